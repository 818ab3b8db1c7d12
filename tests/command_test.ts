/** What an administrator asks for: `undo`, `keep`, `merge`, and the configuration keys beside them. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Trouble } from "../lib/errors.ts";
import type { Occasion } from "../lib/hook/context.ts";
import { mergeExcess } from "../lib/hook/merge.ts";
import { outliveOrphan } from "../lib/hook/merge_control.ts";
import { lock } from "../lib/host/lock.ts";
import { performer } from "../lib/host/perform.ts";
import type { QemuImg } from "../lib/host/qemu_img.ts";
import { Run } from "../lib/host/run.ts";
import type { Verb } from "../lib/input/event.ts";
import { guestNames } from "../lib/state/paths.ts";
import { tearing } from "./fault.ts";
import { type History, layersOf, live, type Past, placeOf, tornOf, writeAll } from "./history.ts";
import { snapshot } from "./tree.ts";
import { DOMAIN, type Manner, World } from "./world.ts";

const plain: Past = { targets: ["vda"], layers: 1, keepCommits: 0, torn: false, aside: false };
const committed: Past = { ...plain, layers: 2, keepCommits: 1 };
const setAside: Past = { ...committed, aside: true };

async function worldOf(past: Past): Promise<World & { history: History; vda: string }> {
  const world = new World();
  return Object.assign(world, { history: await live(world, past), vda: world.image("vda") });
}

const running = async (world: World) => {
  await world.start();
};

interface Refusal {
  readonly verb: Verb;
  readonly if: string;
  readonly past: Past;
  readonly arrange?: (world: World) => Promise<void> | void;
  readonly order?: Manner;
  /** Both lines, without `error: guest`; the image's path as `IMAGE`. */
  readonly said: readonly [error: string, hint?: string];
}

const managedSave = {
  if: "libvirt holds a managed save",
  arrange: (world: World) => Deno.writeTextFileSync(`${world.settings.saveFolder}/${DOMAIN}.save`, ""),
  said: [
    ": libvirt holds a managed save of the guest, which expects its disks as they are",
    "start it, or drop the save: virsh managedsave-remove guest",
  ],
} as const;
const inUse = {
  if: "the image is open in another process",
  arrange: (world: World) => void world.busy.add(world.image("vda")),
  said: [' vda: "IMAGE" is open in another process', "find it: fuser -v IMAGE"],
} as const;
const noSuchTarget = {
  if: "no disk has that name, but one a similar",
  order: { target: "vdaa" },
  said: [': the guest has no disk "vdaa", it has "vda"', 'did you mean "vda"?'],
} as const;
const noTargetLikeIt = {
  if: "no disk has a name like it",
  order: { target: "nvme0n1" },
  said: [': the guest has no disk "nvme0n1", it has "vda"'],
} as const;
const session = ' vda: "IMAGE" is in a session, or was saved in one';
const inSession = {
  if: "the guest runs on a session",
  arrange: async (world: World) => {
    await running(world);
    world.run();
  },
  said: [session, "end it first: virsh shutdown guest"],
} as const;
const inDeadSession = {
  if: "a session has died",
  arrange: running,
  said: [session, "end it first: autorevert recover --keep|--discard guest"],
} as const;
const inSavedSession = {
  if: "a session waits for a saved guest",
  arrange: async (world: World) => {
    await running(world);
    managedSave.arrange(world);
  },
  said: [session, "start the guest and end it, or drop the save: virsh managedsave-remove guest"],
} as const;
const noGuest = {
  if: "there is no such guest",
  past: plain,
  order: { domain: "gues" },
} as const;

const refusals: readonly Refusal[] = [
  { verb: "undo", past: committed, ...inSession },
  { verb: "undo", past: committed, ...inDeadSession },
  { verb: "undo", past: committed, ...inSavedSession },
  { verb: "undo", past: committed, ...managedSave },
  { verb: "undo", past: committed, ...inUse },
  { verb: "undo", past: committed, ...noSuchTarget },
  { verb: "undo", past: committed, ...noTargetLikeIt },
  {
    verb: "undo",
    if: "there is no commit",
    past: plain,
    said: [
      ": there is no commit that can be undone",
      'to have the next ones kept, set "keep-commits" in CONFIG',
    ],
  },
  {
    verb: "undo",
    if: "the commit is being merged",
    past: { ...committed, torn: true },
    said: [
      ": the commit is already being merged into the disk, and can't be undone any more",
      'to have the next ones kept, set "keep-commits" in CONFIG',
    ],
  },
  {
    verb: "undo",
    if: "nobody says yes",
    past: committed,
    order: { answer: false },
    said: [
      ": nothing was changed: the question was not answered with yes",
      "where nobody can answer, use --yes",
    ],
  },
  { verb: "keep", past: committed, ...inSession },
  { verb: "keep", past: setAside, ...managedSave },
  { verb: "keep", past: setAside, ...inUse },
  { verb: "keep", past: setAside, ...noSuchTarget },
  {
    verb: "keep",
    if: "no session was set aside",
    past: committed,
    said: [": no session was set aside", 'to have the next ones kept, set "keep-session" in CONFIG'],
  },
];

for (const { verb, if: wrong, past, arrange, order, said: [error, hint] } of refusals) {
  Deno.test(`${verb} is refused if ${wrong}, and nothing has changed`, async () => {
    using world = await worldOf(past);
    await arrange?.(world);
    const before = [snapshot(world.images), Deno.readTextFileSync(world.configFile)];
    const result = await world.command(verb, order);
    const named = (text: string) =>
      text.replaceAll("IMAGE", world.vda).replaceAll("CONFIG", world.configFile);
    assertEquals(result.said, [
      `error: guest${named(error)}`,
      ...hint === undefined ? [] : [`hint: ${named(hint)}`],
    ]);
    assertEquals([result.code, result.printed], [1, []]);
    assertEquals([snapshot(world.images), Deno.readTextFileSync(world.configFile)], before);
  });
}

for (const verb of ["undo", "keep", "merge"] as const) {
  Deno.test(`${verb} is refused for a guest without a configuration, or with a name that is none`, async () => {
    using world = new World();
    const { code, said } = await world.command(verb, noGuest.order);
    assertEquals([code, said], [1, [
      'error: gues: there is no configured guest "gues"; there are none',
      "hint: see the domains that libvirt knows: virsh list --all",
    ]]);
    assertEquals((await world.command(verb, { domain: "../guest" })).code, 1);
    assertEquals(world.files(world.config), []);
  });
}

Deno.test("undo drops the newest commit of each disk, and asks before", async () => {
  using world = await worldOf({ ...committed, targets: ["vda", "vdb"], layers: 3, keepCommits: 2 });
  const { code, printed, said } = await world.command("undo", { answer: true });
  assertEquals([code, said], [0, []]);
  assertEquals(
    printed,
    ["vda", "vdb"].map((target) =>
      `guest ${target}: the last commit is undone: the next start begins with the disk as it was before`
    ),
  );
  for (const [index, target] of ["vda", "vdb"].entries()) {
    assertEquals(placeOf(world, world.history, target), 1);
    assert(
      /^guest vd[ab]: undo the commit of \d{4}-\d\d-\d\d \d\d:\d\d UTC, [\d.]+ (bytes|KiB)\?$/
        .test(world.asked[index]!),
      world.asked[index],
    );
  }
  await world.start();
  assertEquals(world.read(world.vda), world.history.get("vda")![1]);
});

Deno.test("undo drops the newest commit of the disk that is named, with --yes unasked", async () => {
  using world = await worldOf({ ...committed, targets: ["vda", "vdb"] });
  assertEquals((await world.command("undo", { target: "vdb" })).code, 0);
  assertEquals(world.asked, []);
  assertEquals(["vda", "vdb"].map((target) => placeOf(world, world.history, target)), [1, 0]);
  assertEquals(world.files().filter((name) => name.startsWith("vdb")), [
    "vdb.img",
    "vdb.img.autorevert-ended",
    "vdb.img.backing_file",
  ]);
});

Deno.test("undo tells that the session that was set aside goes with the commit", async () => {
  using world = await worldOf(setAside);
  assertEquals((await world.command("undo", { answer: true })).code, 0);
  assert(world.asked[0]!.includes("; the session that was set aside, of "), world.asked[0]);
  assertEquals(placeOf(world, world.history, "vda"), 0);
  await world.start();
  await world.stop();
  assertEquals([placeOf(world, world.history, "vda"), world.files()], [0, ["vda.img"]]);
});

Deno.test("keep brings back what was undone, until the next start", async () => {
  using world = await worldOf({ ...committed, layers: 3, keepCommits: 2 });
  for (let time = 0; time < 2; time++) {
    assertEquals((await world.command("undo")).code, 0);
    assertEquals(placeOf(world, world.history, "vda"), 1);
    assertEquals((await world.command("keep")).code, 0);
    assertEquals(placeOf(world, world.history, "vda"), 2);
  }
  await world.command("undo");
  await world.start();
  await world.stop();
  assertEquals((await world.command("keep")).code, 1);
  assertEquals(placeOf(world, world.history, "vda"), 1);
});

Deno.test("nobody waits for the answer to a question, and what changes meanwhile is not undone", async () => {
  using world = await worldOf({ ...committed, layers: 3, keepCommits: 2 });
  let free = false;
  const result = await world.command("undo", {
    answer: () => {
      // Another undo, in the time of the question.
      const { success } = new Deno.Command("flock", {
        args: ["--nonblock", `${world.config}/guest.lock`, "true"],
      })
        .outputSync();
      free = success;
      Deno.removeSync(world.vda);
      Deno.removeSync(`${world.vda}.backing_file.2`);
      Deno.linkSync(`${world.vda}.backing_file.1`, world.vda);
      return true;
    },
  });
  assertEquals([free, result.code, layersOf(world, "vda").length], [true, 1, 2]);
  assertEquals(result.said, [
    "error: guest: nothing was changed: the disks are not any more what the question was about",
    "hint: try again: autorevert undo guest",
  ]);
});

Deno.test("keep makes the session that was set aside the disk, and asks nothing", async () => {
  using world = await worldOf({ ...setAside, keepCommits: 2 });
  const { code, printed } = await world.command("keep", { answer: false });
  assertEquals([code, printed, world.asked], [
    0,
    ["guest vda: the last session is part of the disk now: the next start begins with it"],
    [],
  ]);
  assertEquals([placeOf(world, world.history, "vda"), layersOf(world, "vda").length], [2, 3]);
  assertEquals((await world.command("undo")).code, 0);
  assertEquals(placeOf(world, world.history, "vda"), 1);
});

Deno.test("keep starts the merge of what is more than is kept", async () => {
  using world = await worldOf({ ...setAside, keepCommits: 0 });
  const { code, merge } = await world.command("keep");
  assertEquals([code, merge?.code, world.files()], [0, 0, ["vda.img"]]);
  assertEquals(placeOf(world, world.history, "vda"), 2);
});

Deno.test("merge tells when nothing is left, and keeps as many commits as it should", async () => {
  for (const keepCommits of [0, 1, 2]) {
    using world = await worldOf({ ...committed, layers: 4, keepCommits });
    for (let time = 0; time < 2; time++) {
      const { code, printed, said } = await world.command("merge");
      assertEquals([code, printed, said], [0, ["guest: nothing is left to merge"], []]);
      assertEquals(layersOf(world, "vda").length, keepCommits === 0 ? 0 : keepCommits + 1);
      assertEquals(placeOf(world, world.history, "vda"), 3);
    }
  }
});

Deno.test("a merge that lacks space doesn't begin, and tells how much", async () => {
  using world = await worldOf({ ...committed, keepCommits: 0 });
  const upper = `${world.vda}.backing_file.1`;
  const needed = Deno.statSync(upper).blocks! * 512;
  world.free = 512;
  const before = snapshot(world.images);
  const { code, said, printed } = await world.command("merge");
  assertEquals([code, printed, said], [1, [], [
    `error: guest vda: to merge "${upper}" up to ${
      needed / 1024
    }.0 KiB are needed in "${world.images}", 512 bytes are free`,
    `hint: make room for ${(needed - 512) / 1024} KiB more, then: autorevert merge guest`,
  ]]);
  assertEquals(snapshot(world.images), before);
  world.free = needed;
  assertEquals((await world.command("merge")).code, 0);
  assertEquals([world.files(), placeOf(world, world.history, "vda")], [["vda.img"], 1]);
});

Deno.test("a merge that lacks space has torn nothing: the commit can still be undone", async () => {
  using world = await worldOf({ ...committed, keepCommits: 0 });
  world.free = 0;
  assertEquals((await world.merge()).code, 1);
  assertEquals(tornOf(world, "vda"), false);
  assertEquals((await world.command("undo")).code, 0);
  assertEquals(placeOf(world, world.history, "vda"), 0);
});

Deno.test("one disk that can't be merged doesn't keep the other from it", async () => {
  using world = await worldOf({ ...committed, targets: ["vda", "vdb"], keepCommits: 0 });
  const inner = world.qemuImg;
  const failing = { ...inner, commit: () => Promise.reject(new Error("broken")) };
  world.qemuImg = {
    ...inner,
    commit: (layer, into) => layer.includes("vda") ? failing.commit() : inner.commit(layer, into),
  };
  const { code, said } = await world.command("merge");
  assertEquals([code, said], [1, ["error: guest vda: broken"]]);
  assertEquals(["vda", "vdb"].map((target) => layersOf(world, target).length), [2, 0]);
});

Deno.test("the log tells how far a merge is, in steps of ten percent", async () => {
  using world = await worldOf({ ...committed, keepCommits: 0 });
  const inner = world.qemuImg;
  world.qemuImg = {
    ...inner,
    commit: async (layer, into, control) => {
      for (const percent of [0, 1.5, 9.99, 10, 19, 20.5, 45, 99, 100]) control?.progress?.(percent);
      await inner.commit(layer, into, control);
    },
  };
  const { log } = await world.merge();
  const lines = log.filter((line) => line.includes("merging,"));
  assertEquals(lines, [10, 20, 45, 99].map((percent) => `guest vda: merging, ${percent} %`));
  assertEquals(log.filter((line) => /^guest vda: merged .* in 0\.0 s, /.test(line)).length, 1);
});

Deno.test("more than 16 layers are merged inside the end, with a warning", async () => {
  using world = await worldOf({ ...committed, layers: 16, keepCommits: 12 });
  world.configure({ vda: true });
  await world.start();
  writeAll(world, "vda", "last");
  const { log, code } = await world.event("release", "shutdown", { mergeDies: true });
  assertEquals(code, 0);
  assertEquals(log.filter((line) => line.includes("warning")), [
    "guest vda: warning: 17 layers, at most 16 are left for later: merging now",
  ]);
  assertEquals(layersOf(world, "vda").length, 16);
  const disk = world.disk("vda");
  assertEquals(disk["b last"], "last");
  await world.merge();
  assertEquals([layersOf(world, "vda").length, world.disk("vda")], [13, disk]);
});

Deno.test("merging inside the end takes no longer than it may, and goes on in the background", async () => {
  using world = await worldOf({ ...committed, layers: 16, keepCommits: 12 });
  world.configure({ vda: true });
  await world.start();
  writeAll(world, "vda", "last");
  world.merges = false;
  await world.event("release", "shutdown", { mergeDies: true });
  world.merges = true;
  const { qemuImg } = endless(world, true);
  const disk = world.disk("vda");
  const lines: string[] = [];
  const tell = (line: string) => void lines.push(line);
  const run = new Run({
    settings: world.settings,
    qemuImg,
    perform: performer(qemuImg, () => {}),
    freeBytes: () => Promise.resolve(Infinity),
    lock,
    log: tell,
    say: tell,
    show: undefined,
    readXml: () => "",
    now: () => new Date(),
  }, DOMAIN);
  const paths = guestNames(world.config, DOMAIN);
  {
    using _guest = await run.locks.guest();
    await mergeExcess({ run, host: run.host, domain: DOMAIN, paths, extra: "-" }, 50);
  }
  assertEquals(lines.at(-1), "guest vda: the merge takes more than 0.05 s, and goes on in the background");
  assertEquals([layersOf(world, "vda").length, world.disk("vda")], [17, disk]);
  assertEquals((await world.merge()).code, 0);
  assertEquals([layersOf(world, "vda").length, world.disk("vda")], [13, disk]);
});

Deno.test("a layer that has its data in another file is not merged", async () => {
  using world = await worldOf({ ...committed, keepCommits: 0 });
  const inner = world.qemuImg;
  world.qemuImg = {
    ...inner,
    look: async (image) => {
      const look = await inner.look(image);
      return look.kind === "free" && image.endsWith(".1") ? { ...look, data: "/secret" } : look;
    },
  };
  const disk = world.disk("vda");
  const { said, code } = await world.merge();
  assertEquals(code, 1);
  assertEquals(
    said[0],
    `error: guest vda: "${world.vda}.backing_file.1" has its data in "/secret", and can't be merged`,
  );
  assertEquals([world.disk("vda"), layersOf(world, "vda").length], [disk, 2]);
});

const reasons: readonly (readonly [reason: string, aside: boolean, session: boolean])[] = [
  ["shutdown", true, false],
  ["destroyed", true, false],
  ["from snapshot", true, false],
  ["crashed", true, false],
  ["daemon", true, false],
  ["failed", true, false],
  ["-", true, false],
  ["saved", false, true],
  ["migrated", false, true],
];

for (const [reason, aside, session] of reasons) {
  Deno.test(`with keep-session, an end with the reason "${reason}" ${aside ? "sets aside" : "leaves"} the session`, async () => {
    using world = await worldOf(plain);
    world.keys = { "keep-session": true };
    world.configure({ vda: false });
    await world.start();
    world.write(world.vda, "session");
    await world.stop(reason);
    const ended = `${world.vda}.autorevert-ended`;
    assertEquals(world.files().includes("vda.img.autorevert-ended"), aside);
    assertEquals(world.state("vda").kind, session ? "session" : "layered");
    assertEquals(world.read(aside ? ended : world.vda), { base: "vda", session: "yes" });
    assertEquals(world.disk("vda"), { base: "vda" });
  });
}

Deno.test("with keep-session, the end of a start that failed sets nothing aside, nor does the one of a flagged session", async () => {
  using world = await worldOf(plain);
  world.keys = { "keep-session": true };
  world.configure({ vda: false });
  await world.good("prepare");
  await world.stop("failed");
  assertEquals(world.files(), ["vda.img"]);

  world.configure({ vda: true });
  await world.start();
  world.write(world.vda, "session");
  await world.stop();
  assertEquals([world.files(), world.disk("vda")], [["vda.img"], { base: "vda", session: "yes" }]);
});

Deno.test("a session that was set aside by keep-session is kept by the command, once", async () => {
  using world = await worldOf(plain);
  world.keys = { "keep-session": true };
  world.configure({ vda: false });
  await world.start();
  world.write(world.vda, "session");
  await world.stop();
  assertEquals((await world.command("keep")).code, 0);
  assertEquals((await world.command("keep")).code, 1);
  assertEquals([world.files(), world.disk("vda")], [["vda.img"], { base: "vda", session: "yes" }]);
});

/** A merge that copies until it is asked to stop, if it listens. */
function endless({ qemuImg }: World, listens: boolean) {
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const commit: QemuImg["commit"] = async (_layer, _into, control) => {
    begun.resolve();
    if (listens) control!.stop!.addEventListener("abort", () => end.reject(new Error("killed")));
    await end.promise;
  };
  return { qemuImg: { ...qemuImg, commit }, begun: begun.promise, end: () => end.reject(new Error("over")) };
}

Deno.test("a start makes a merge stop, and stands on the top layer; the merge goes on after the end", async () => {
  using world = await worldOf({ ...committed, layers: 3, keepCommits: 0 });
  const inner = world.qemuImg;
  const { qemuImg, begun } = endless(world, true);
  world.qemuImg = qemuImg;
  const merge = world.merge();
  await begun;
  const since = Date.now();
  await world.start();
  assert(Date.now() - since < 1000, "within milliseconds");
  const { code, said, log } = await merge;
  assertEquals([code, said], [1, []]);
  assertEquals(log.at(-1), "guest vda: the merge makes way, and goes on after the guest's next end");
  assertEquals(await inner.look(world.vda), { kind: "free", backing: `${world.vda}.backing_file.2` });
  assertEquals([tornOf(world, "vda"), world.files(world.config).includes("guest.stop-merging")], [
    true,
    false,
  ]);
  world.qemuImg = inner;
  world.write(world.vda, "junk");
  await world.stop();
  assertEquals([world.files(), placeOf(world, world.history, "vda")], [["vda.img"], 2]);
});

Deno.test("undo makes a merge stop, too, and drops a commit that the merge had not come to", async () => {
  using world = await worldOf({ ...committed, layers: 3, keepCommits: 0 });
  const { qemuImg, begun } = endless(world, true);
  world.qemuImg = qemuImg;
  const merge = world.merge();
  await begun;
  assertEquals((await world.command("undo", { mergeDies: true })).code, 0);
  await merge;
  assertEquals([placeOf(world, world.history, "vda"), tornOf(world, "vda")], [1, true]);
});

// What waits in vain for the lock is left to the end of the process, as it is in the hook.
Deno.test("a merge that doesn't stop refuses the start after 2 s, and nothing has changed", {
  sanitizeResources: false,
  sanitizeOps: false,
}, async () => {
  using world = await worldOf({ ...committed, keepCommits: 0 });
  const { qemuImg, begun, end } = endless(world, false);
  world.qemuImg = qemuImg;
  const merge = world.merge();
  await begun;
  const before = snapshot(world.images);
  const { code, said } = await world.event("prepare");
  assertEquals([code, said], [1, [
    `error: guest: the merge that holds "${world.config}/guest.merging" does not stop within 2 s`,
    "hint: try again; the disks are in order, and the log tells how far the merge is",
  ]]);
  await world.event("release", "failed");
  assertEquals(snapshot(world.images), before);
  assertEquals(world.files(world.config).includes("guest.stop-merging"), false);
  end();
  await merge;
});

Deno.test("a start waits for a qemu-img that outlived its merge, and says so if it goes on", async () => {
  using world = await worldOf({ ...committed, layers: 3, keepCommits: 0 });
  await world.merge({ perform: tearing(world) });
  const lower = `${world.vda}.backing_file`;
  world.busy.add(lower);
  const end = setTimeout(() => world.busy.delete(lower), 150);
  await world.start();
  clearTimeout(end);
  assertEquals(world.busy.size, 0);
  await world.stop("shutdown", { mergeDies: true });

  world.busy.add(lower);
  const before = snapshot(world.images);
  const { code, said } = await world.event("prepare", "-", { mergeDies: true });
  assertEquals([code, said], [1, [
    `error: guest: "${lower}" is still written by the qemu-img of a merge that was killed`,
    `hint: wait until it is done, or end it, which harms nothing: fuser -k ${lower}`,
  ]]);
  await world.event("release", "failed");
  assertEquals(snapshot(world.images), before);
});

Deno.test("a merge that goes on with a torn layer waits for the qemu-img that outlived the last one", async () => {
  using world = await worldOf({ ...committed, layers: 3, keepCommits: 0 });
  await world.merge({ perform: tearing(world) });
  const lower = `${world.vda}.backing_file`;
  world.busy.add(lower);
  setTimeout(() => world.busy.delete(lower), 150);
  assertEquals((await world.merge()).code, 0);
  assertEquals(world.files(world.images), ["vda.img"]);
});

Deno.test("a merge leaves the names alone if they have changed while it copied", async () => {
  using world = await worldOf({ ...committed, keepCommits: 0 });
  const [one, two] = [1, 2].map((number) => `${world.vda}.backing_file.${number}`);
  const disk = { ...world.disk("vda"), later: "yes" };
  let copied = 0;
  const { code } = await world.merge({
    perform: (inner) => async (step, control) => {
      await inner(step, control);
      if (step.kind !== "sync" || copied++ > 0) return;
      world.save(two!, one!, { later: "yes" });
      Deno.removeSync(world.vda);
      Deno.linkSync(two!, world.vda);
    },
  });
  assertEquals([code, world.files(world.images), world.disk("vda")], [0, ["vda.img"], disk]);
});

Deno.test("what asked a merge to make way, and died, asks no later one", async () => {
  using world = await worldOf({ ...committed, layers: 3, keepCommits: 0 });
  Deno.writeTextFileSync(`${world.config}/${DOMAIN}.stop-merging`, "");
  assertEquals((await world.merge()).code, 0);
  assertEquals(world.files(world.images), ["vda.img"]);
  assertEquals(world.files(world.config).includes(`${DOMAIN}.stop-merging`), false);
});

Deno.test("a merge waits for an orphan as long as it takes, but makes way at once", async () => {
  using world = new World();
  world.disks({ vda: false });
  world.busy.add(world.image("vda"));
  const occasion = { host: { qemuImg: world.qemuImg } } as unknown as Occasion;
  const trouble = await assertRejects(
    () => outliveOrphan(world.image("vda"), occasion, { patience: 0 }),
    Trouble,
    "is still written by the qemu-img of a merge that was killed",
  );
  assertEquals(trouble.heals, "event");
  const controller = new AbortController();
  const waiting = outliveOrphan(world.image("vda"), occasion, {
    patience: Infinity,
    signal: controller.signal,
  });
  controller.abort(new Error("make way"));
  await assertRejects(() => waiting, Error, "make way");
  world.busy.clear();
  await outliveOrphan(world.image("vda"), occasion, { patience: 0 });
});

Deno.test(
  "only one merge of a guest runs at a time: another lets it go on",
  { sanitizeResources: false, sanitizeOps: false },
  async () => {
    using world = await worldOf({ ...committed, keepCommits: 0 });
    const paths = `${world.config}/${DOMAIN}.merging`;
    const held = await lock(paths);
    const before = snapshot(world.images);
    assertEquals((await world.merge()).code, 1);
    assertEquals(snapshot(world.images), before);
    held[Symbol.dispose]();
  },
);
