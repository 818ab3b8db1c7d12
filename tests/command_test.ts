/** What an administrator asks for: `undo`, `keep`, `merge`, and the configuration keys beside them. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import type { EventContext } from "../lib/hook/context.ts";
import { mergeExcess } from "../lib/hook/merge.ts";
import { waitForOrphan } from "../lib/hook/merge_control.ts";
import { lock } from "../lib/host/lock.ts";
import type { QemuImg } from "../lib/host/qemu_img.ts";
import type { Verb } from "../lib/input/event.ts";
import { afterFirst, tearing } from "./fault.ts";
import { DOMAIN, Fixture, type Manner } from "./fixture.ts";
import { type History, layersOf, live, type Past, placeOf, tornOf, writeAll } from "./history.ts";
import { withoutPaths } from "./refused.ts";
import { snapshot } from "./tree.ts";

const plain: Past = { targets: ["vda"], layers: 1, keepCommits: 0, torn: false, aside: false };
const committed: Past = { ...plain, layers: 2, keepCommits: 1 };
const setAside: Past = { ...committed, aside: true };

async function fixtureOf(past: Past): Promise<Fixture & { history: History }> {
  const fixture = new Fixture();
  return Object.assign(fixture, { history: await live(fixture, past) });
}

const running = (fixture: Fixture) => fixture.start();

interface Refusal {
  readonly verb: Verb;
  readonly if: string;
  readonly past: Past;
  readonly arrange?: (fixture: Fixture) => Promise<void> | void;
  readonly order?: Manner;
  /** Both lines, without `error: guest`. */
  readonly said: readonly [error: string, hint?: string];
}

const managedSave = {
  if: "libvirt holds a managed save",
  arrange: (fixture: Fixture) => Deno.writeTextFileSync(fixture.managedSave, ""),
  said: [
    ": libvirt holds a managed save of the guest, which expects its disks as they are",
    "start it, or drop the save: virsh managedsave-remove guest",
  ],
} as const;
const inUse = {
  if: "the image is open in another process",
  arrange: (fixture: Fixture) => void fixture.busy.add(fixture.vda),
  said: [
    ' vda: "IMAGE" is open in another process',
    "find it: fuser -v IMAGE; if that finds nothing, it is open on another host",
  ],
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
  arrange: async (fixture: Fixture) => {
    await running(fixture);
    fixture.run();
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
  arrange: async (fixture: Fixture) => {
    await running(fixture);
    managedSave.arrange(fixture);
  },
  said: [session, "start the guest and end it, or drop the save: virsh managedsave-remove guest"],
} as const;
const keepNext = (option: string) => `to have the next ones kept: autorevert enable guest ${option}`;

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
    said: [": there is no commit that can be undone", keepNext("--keep-commits 1")],
  },
  {
    verb: "undo",
    if: "the commit is being merged",
    past: { ...committed, torn: true },
    // The merge, which made way for it, goes on.
    order: { mergeDies: true },
    said: [
      " vda: the commit is already being merged into the disk, and can't be undone any more",
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
  {
    verb: "keep",
    past: committed,
    ...inSession,
    said: [session, "to have it kept at its end: autorevert commit guest"],
  },
  { verb: "keep", past: setAside, ...managedSave },
  { verb: "keep", past: setAside, ...inUse },
  { verb: "keep", past: setAside, ...noSuchTarget },
  {
    verb: "keep",
    if: "no session was set aside",
    past: committed,
    said: [": no session was set aside", keepNext("--keep-session")],
  },
];

for (const { verb, if: wrong, past, arrange, order, said: [error, hint] } of refusals) {
  Deno.test(`${verb} is refused if ${wrong}, and nothing has changed`, async () => {
    using fixture = await fixtureOf(past);
    await arrange?.(fixture);
    const before = [snapshot(fixture.images), Deno.readTextFileSync(fixture.configFile)];
    const result = await fixture.command(verb, order);
    assertEquals(result.said.map((line) => withoutPaths(line, fixture)), [
      `error: guest${error}`,
      ...hint === undefined ? [] : [`hint: ${hint}`],
    ]);
    assertEquals([result.code, result.printed], [1, []]);
    assertEquals([snapshot(fixture.images), Deno.readTextFileSync(fixture.configFile)], before);
  });
}

for (const verb of ["undo", "keep", "merge"] as const) {
  Deno.test(`${verb} is refused for a guest without a configuration, or with a name that is none`, async () => {
    using fixture = new Fixture();
    const { code, said } = await fixture.command(verb, { domain: "gues" });
    assertEquals([code, said], [1, [
      'error: gues: there is no configured guest "gues"; there are none',
      "hint: see the domains that libvirt knows: virsh list --all",
    ]]);
    assertEquals((await fixture.command(verb, { domain: "../guest" })).code, 1);
    assertEquals(fixture.files(fixture.config), []);
  });
}

Deno.test("undo drops the newest commit of each disk, and asks before", async () => {
  using fixture = await fixtureOf({ ...committed, targets: ["vda", "vdb"], layers: 3, keepCommits: 2 });
  const { code, printed, said } = await fixture.command("undo", { answer: true });
  assertEquals([code, said], [0, []]);
  assertEquals(
    printed,
    ["vda", "vdb"].map((target) =>
      `guest ${target}: the last commit is undone: the next start begins with the disk as it was before`
    ),
  );
  for (const [index, target] of ["vda", "vdb"].entries()) {
    assertEquals(placeOf(fixture, fixture.history, target), 1);
    assert(
      /^guest vd[ab]: undo the commit of \d{4}-\d\d-\d\d \d\d:\d\d UTC, [\d.]+ (bytes|KiB)\?$/
        .test(fixture.asked[index]!),
      fixture.asked[index],
    );
  }
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), fixture.history.get("vda")![1]);
});

Deno.test("undo drops the newest commit of the disk that is named, with --yes unasked", async () => {
  using fixture = await fixtureOf({ ...committed, targets: ["vda", "vdb"] });
  assertEquals((await fixture.command("undo", { target: "vdb" })).code, 0);
  assertEquals(fixture.asked, []);
  assertEquals(["vda", "vdb"].map((target) => placeOf(fixture, fixture.history, target)), [1, 0]);
  assertEquals(fixture.files().filter((name) => name.startsWith("vdb")), [
    "vdb.img",
    "vdb.img.autorevert-ended",
    "vdb.img.backing_file",
  ]);
});

Deno.test("undo tells that the session that was set aside goes with the commit", async () => {
  using fixture = await fixtureOf(setAside);
  assertEquals((await fixture.command("undo", { answer: true })).code, 0);
  assert(fixture.asked[0]!.includes("; the session that was set aside, of "), fixture.asked[0]);
  assertEquals(placeOf(fixture, fixture.history, "vda"), 0);
  await fixture.start();
  await fixture.stop();
  assertEquals([placeOf(fixture, fixture.history, "vda"), fixture.files()], [0, ["vda.img"]]);
});

Deno.test("keep brings back what was undone, until the next start", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits: 2 });
  for (let time = 0; time < 2; time++) {
    assertEquals((await fixture.command("undo")).code, 0);
    assertEquals(placeOf(fixture, fixture.history, "vda"), 1);
    assertEquals((await fixture.command("keep")).code, 0);
    assertEquals(placeOf(fixture, fixture.history, "vda"), 2);
  }
  await fixture.command("undo");
  await fixture.start();
  await fixture.stop();
  assertEquals((await fixture.command("keep")).code, 1);
  assertEquals(placeOf(fixture, fixture.history, "vda"), 1);
});

Deno.test("nobody waits for the answer to a question, and what changes meanwhile is not undone", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits: 2 });
  let free = false;
  const result = await fixture.command("undo", {
    answer: () => {
      // Another undo, in the time of the question.
      const { success } = new Deno.Command("flock", {
        args: ["--nonblock", `${fixture.config}/guest.lock`, "true"],
      })
        .outputSync();
      free = success;
      Deno.removeSync(fixture.vda);
      Deno.removeSync(`${fixture.vda}.backing_file.2`);
      Deno.linkSync(`${fixture.vda}.backing_file.1`, fixture.vda);
      return true;
    },
  });
  assertEquals([free, result.code, layersOf(fixture, "vda").length], [true, 1, 2]);
  assertEquals(result.said, [
    "error: guest: aborted: the disks changed while waiting for confirmation",
    "hint: try again: autorevert undo guest",
  ]);
});

Deno.test("keep makes the session that was set aside the disk, and asks nothing", async () => {
  using fixture = await fixtureOf({ ...setAside, keepCommits: 2 });
  const { code, printed } = await fixture.command("keep", { answer: false });
  assertEquals([code, printed, fixture.asked], [
    0,
    ["guest vda: the last session is part of the disk now: the next start begins with it"],
    [],
  ]);
  assertEquals([placeOf(fixture, fixture.history, "vda"), layersOf(fixture, "vda").length], [2, 3]);
  assertEquals((await fixture.command("undo")).code, 0);
  assertEquals(placeOf(fixture, fixture.history, "vda"), 1);
});

Deno.test("keep starts the merge of what is more than is kept", async () => {
  using fixture = await fixtureOf({ ...setAside, keepCommits: 0 });
  const { code, merge } = await fixture.command("keep");
  assertEquals([code, merge?.code, fixture.files()], [0, 0, ["vda.img"]]);
  assertEquals(placeOf(fixture, fixture.history, "vda"), 2);
});

Deno.test("merge tells when nothing is left, and keeps as many commits as it should", async () => {
  for (const keepCommits of [0, 1, 2]) {
    using fixture = await fixtureOf({ ...committed, layers: 4, keepCommits });
    for (let time = 0; time < 2; time++) {
      const { code, printed, said } = await fixture.command("merge");
      assertEquals([code, printed, said], [0, ["guest: nothing is left to merge"], []]);
      assertEquals(layersOf(fixture, "vda").length, keepCommits === 0 ? 0 : keepCommits + 1);
      assertEquals(placeOf(fixture, fixture.history, "vda"), 3);
    }
  }
});

Deno.test("a merge that lacks space doesn't begin, and tells how much", async () => {
  using fixture = await fixtureOf({ ...committed, keepCommits: 0 });
  const upper = `${fixture.vda}.backing_file.1`;
  const needed = Deno.statSync(upper).blocks! * 512;
  fixture.free = 512;
  const before = snapshot(fixture.images);
  const { code, said, printed } = await fixture.command("merge");
  assertEquals([code, printed, said], [1, [], [
    `error: guest vda: to merge "${upper}" up to ${
      needed / 1024
    }.0 KiB are needed in "${fixture.images}", 512 bytes are free`,
    `hint: make room for ${(needed - 512) / 1024} KiB more, then: autorevert merge guest`,
  ]]);
  assertEquals(snapshot(fixture.images), before);
  fixture.free = needed;
  assertEquals((await fixture.command("merge")).code, 0);
  assertEquals([fixture.files(), placeOf(fixture, fixture.history, "vda")], [["vda.img"], 1]);
});

Deno.test("a merge that lacks space has torn nothing: the commit can still be undone", async () => {
  using fixture = await fixtureOf({ ...committed, keepCommits: 0 });
  fixture.free = 0;
  assertEquals((await fixture.merge()).code, 1);
  assertEquals(tornOf(fixture, "vda"), false);
  assertEquals((await fixture.command("undo")).code, 0);
  assertEquals(placeOf(fixture, fixture.history, "vda"), 0);
});

Deno.test("one disk that can't be merged doesn't keep the other from it", async () => {
  using fixture = await fixtureOf({ ...committed, targets: ["vda", "vdb"], keepCommits: 0 });
  const inner = fixture.qemuImg;
  const failing = { ...inner, commit: () => Promise.reject(new Error("broken")) };
  fixture.qemuImg = {
    ...inner,
    commit: (layer, into) => layer.includes("vda") ? failing.commit() : inner.commit(layer, into),
  };
  const { code, said } = await fixture.command("merge");
  assertEquals([code, said], [1, ["error: guest vda: broken"]]);
  assertEquals(["vda", "vdb"].map((target) => layersOf(fixture, target).length), [2, 0]);
});

Deno.test("the log tells how far a merge is, in steps of ten percent", async () => {
  using fixture = await fixtureOf({ ...committed, keepCommits: 0 });
  const inner = fixture.qemuImg;
  fixture.qemuImg = {
    ...inner,
    commit: async (layer, into, control) => {
      for (const percent of [0, 1.5, 9.99, 10, 19, 20.5, 45, 99, 100]) control?.progress?.(percent);
      await inner.commit(layer, into, control);
    },
  };
  const { log } = await fixture.merge();
  const lines = log.filter((line) => line.includes("merging,"));
  assertEquals(lines, [10, 20, 45, 99].map((percent) => `guest vda: merging, ${percent} %`));
  assertEquals(log.filter((line) => /^guest vda: merged .* in \d+\.\d s, /.test(line)).length, 1);
});

Deno.test("more than 16 layers are merged inside the end, with a warning", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 16, keepCommits: 12 });
  fixture.configure({ vda: true });
  await fixture.start();
  writeAll(fixture, "vda", "last");
  const { log, code } = await fixture.event("release", "shutdown", { mergeDies: true });
  assertEquals(code, 0);
  assertEquals(log.filter((line) => line.includes("warning")), [
    "guest vda: warning: 17 layers, at most 16 are left for later: merging now",
  ]);
  assertEquals(layersOf(fixture, "vda").length, 16);
  const disk = fixture.disk("vda");
  assertEquals(disk["b last"], "last");
  await fixture.merge();
  assertEquals([layersOf(fixture, "vda").length, fixture.disk("vda")], [13, disk]);
});

Deno.test("merging inside the end takes no longer than it may, and goes on in the background", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 16, keepCommits: 12 });
  fixture.configure({ vda: true });
  await fixture.start();
  writeAll(fixture, "vda", "last");
  fixture.merges = false;
  await fixture.event("release", "shutdown", { mergeDies: true });
  fixture.merges = true;
  const { qemuImg } = fixture;
  fixture.qemuImg = endless(fixture, true).qemuImg;
  const disk = fixture.disk("vda");
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const context = fixture.context(fixture.host({ log, say: log }));
  {
    using _guest = await context.run.locks.guest();
    await mergeExcess(context, 50);
  }
  fixture.qemuImg = qemuImg;
  assertEquals(lines.at(-1), "guest vda: the merge takes more than 0.05 s, and goes on in the background");
  assertEquals([layersOf(fixture, "vda").length, fixture.disk("vda")], [17, disk]);
  assertEquals((await fixture.merge()).code, 0);
  assertEquals([layersOf(fixture, "vda").length, fixture.disk("vda")], [13, disk]);
});

// A session without a snapshot is over where its guest goes back to one.
const over = ["shutdown", "destroyed", "crashed", "daemon", "from snapshot", "-"];
// Of a guest that has come up without a memory nothing is told as failed: that is a start's end.
const reasons = [...over, "saved", "migrated", "failed"];

/** A guest whose ended sessions are set aside, up. */
async function keepingUp(flag = false): Promise<Fixture> {
  const fixture = await fixtureOf(plain);
  fixture.keys = { "keep-session": true };
  fixture.configure({ vda: flag });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  return fixture;
}
const kept = { base: "vda", session: "yes" };

for (const reason of reasons) {
  const aside = over.includes(reason);
  Deno.test(`with keep-session, an end with the reason "${reason}" ${aside ? "sets aside" : "leaves"} the session`, async () => {
    using fixture = await keepingUp();
    await fixture.stop(reason);
    const ended = `${fixture.vda}.autorevert-ended`;
    assertEquals(fixture.files().includes("vda.img.autorevert-ended"), aside);
    assertEquals(fixture.state("vda").kind, aside ? "layered" : "session");
    assertEquals(fixture.read(aside ? ended : fixture.vda), kept);
    assertEquals(fixture.disk("vda"), { base: "vda" });
  });
}

Deno.test("with keep-session, the end of a start that failed sets nothing aside, nor does the one of a flagged session", async () => {
  using failed = await fixtureOf(plain);
  failed.keys = { "keep-session": true };
  failed.configure({ vda: false });
  await failed.good("prepare");
  await failed.stop("failed");
  assertEquals(failed.files(), ["vda.img"]);

  using flagged = await keepingUp(true);
  await flagged.stop();
  assertEquals([flagged.files(), flagged.disk("vda")], [["vda.img"], kept]);
});

Deno.test("a session that was set aside by keep-session is kept by the command, once", async () => {
  using fixture = await keepingUp();
  await fixture.stop();
  assertEquals((await fixture.command("keep")).code, 0);
  assertEquals((await fixture.command("keep")).code, 1);
  assertEquals([fixture.files(), fixture.disk("vda")], [["vda.img"], kept]);
});

/** A merge that copies until it is asked to stop, if it listens. */
function endless({ qemuImg }: Fixture, listens: boolean) {
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
  using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits: 0 });
  const inner = fixture.qemuImg;
  const { qemuImg, begun } = endless(fixture, true);
  fixture.qemuImg = qemuImg;
  const merge = fixture.merge();
  await begun;
  await fixture.start();
  const { code, said, log } = await merge;
  assertEquals([code, said], [1, []]);
  assertEquals(log.at(-1), "guest vda: merge interrupted by a start; resumes after the guest's next end");
  assertEquals(await inner.info(fixture.vda), { kind: "free", backing: `${fixture.vda}.backing_file.2` });
  assertEquals([tornOf(fixture, "vda"), fixture.files(fixture.config).includes("guest.stop-merging")], [
    true,
    false,
  ]);
  fixture.qemuImg = inner;
  fixture.write(fixture.vda, "junk");
  await fixture.stop();
  assertEquals([fixture.files(), placeOf(fixture, fixture.history, "vda")], [["vda.img"], 2]);
});

Deno.test("undo makes a merge stop, too, and drops a commit that the merge had not come to", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits: 0 });
  const { qemuImg, begun } = endless(fixture, true);
  fixture.qemuImg = qemuImg;
  const merge = fixture.merge();
  await begun;
  assertEquals((await fixture.command("undo", { mergeDies: true })).code, 0);
  await merge;
  assertEquals([placeOf(fixture, fixture.history, "vda"), tornOf(fixture, "vda")], [1, true]);
});

// What waits in vain for the lock is left to the end of the process, as it is in the hook.
Deno.test("a merge that doesn't stop refuses the start after 2 s, and nothing has changed", {
  sanitizeResources: false,
  sanitizeOps: false,
}, async () => {
  using fixture = await fixtureOf({ ...committed, keepCommits: 0 });
  const { qemuImg, begun, end } = endless(fixture, false);
  fixture.qemuImg = qemuImg;
  const merge = fixture.merge();
  await begun;
  const before = snapshot(fixture.images);
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said], [1, [
    `error: guest: the merge that holds "${fixture.config}/guest.merging" does not stop within 2 s`,
    "hint: try again; the disks are in order, and the log tells how far the merge is",
  ]]);
  await fixture.event("release", "failed");
  assertEquals(snapshot(fixture.images), before);
  assertEquals(fixture.files(fixture.config).includes("guest.stop-merging"), false);
  end();
  await merge;
});

Deno.test("a start waits for a qemu-img that outlived its merge, and says so if it goes on", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits: 0 });
  await fixture.merge({ perform: tearing(fixture) });
  const lower = `${fixture.vda}.backing_file`;
  fixture.busy.add(lower);
  const end = setTimeout(() => fixture.busy.delete(lower), 150);
  await fixture.start();
  clearTimeout(end);
  assertEquals(fixture.busy.size, 0);
  await fixture.stop("shutdown", { mergeDies: true });

  fixture.busy.add(lower);
  const before = snapshot(fixture.images);
  const { code, said } = await fixture.event("prepare", "-", { mergeDies: true });
  assertEquals([code, said], [1, [
    `error: guest: "${lower}" is still written by the qemu-img of a merge that was killed, or is another host's`,
    `hint: wait until it is done; or see whether it is here: fuser -v ${lower}; and end it, which harms nothing: ` +
    `fuser -k -w ${lower}`,
  ]]);
  await fixture.event("release", "failed");
  assertEquals(snapshot(fixture.images), before);
});

Deno.test("a merge that goes on with a torn layer waits for the qemu-img that outlived the last one", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits: 0 });
  await fixture.merge({ perform: tearing(fixture) });
  const lower = `${fixture.vda}.backing_file`;
  fixture.busy.add(lower);
  setTimeout(() => fixture.busy.delete(lower), 150);
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(fixture.files(fixture.images), ["vda.img"]);
});

Deno.test("a merge leaves the names alone if they have changed while it copied", async () => {
  using fixture = await fixtureOf({ ...committed, keepCommits: 0 });
  const [one, two] = [1, 2].map((number) => `${fixture.vda}.backing_file.${number}`);
  const disk = { ...fixture.disk("vda"), later: "yes" };
  const { code } = await fixture.merge({
    perform: afterFirst("sync", () => {
      fixture.save(two!, one!, { later: "yes" });
      Deno.removeSync(fixture.vda);
      Deno.linkSync(two!, fixture.vda);
    }),
  });
  assertEquals([code, fixture.files(fixture.images), fixture.disk("vda")], [0, ["vda.img"], disk]);
});

Deno.test("what asked a merge to make way, and died, asks no later one", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits: 0 });
  Deno.writeTextFileSync(`${fixture.config}/${DOMAIN}.stop-merging`, "");
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(fixture.files(fixture.images), ["vda.img"]);
  assertEquals(fixture.files(fixture.config).includes(`${DOMAIN}.stop-merging`), false);
});

Deno.test("a merge waits for an orphan as long as it takes, but makes way at once", async () => {
  using fixture = new Fixture().disks({ vda: false });
  fixture.busy.add(fixture.vda);
  const context = { host: { qemuImg: fixture.qemuImg } } as unknown as EventContext;
  const trouble = await assertRejects(
    () => waitForOrphan(fixture.vda, context, { patience: 0 }),
    UserError,
    "is still written by the qemu-img of a merge that was killed",
  );
  assertEquals(trouble.healedBy, "event");
  const controller = new AbortController();
  const waiting = waitForOrphan(fixture.vda, context, { patience: Infinity, signal: controller.signal });
  controller.abort(new Error("make way"));
  await assertRejects(() => waiting, Error, "make way");
  fixture.busy.clear();
  await waitForOrphan(fixture.vda, context, { patience: 0 });
});

Deno.test(
  "only one merge of a guest runs at a time: another waits, and keeps nobody else from anything",
  { sanitizeResources: false, sanitizeOps: false },
  async () => {
    using fixture = await fixtureOf({ ...committed, keepCommits: 0 });
    const paths = `${fixture.config}/${DOMAIN}.merging`;
    const held = await lock(paths);
    const before = snapshot(fixture.images);
    const merge = fixture.merge();
    await new Promise((wake) => setTimeout(wake, 300));
    assertEquals(snapshot(fixture.images), before);
    {
      using _folder = await fixture.lockFolders([fixture.vda]);
      using _guest = await lock(`${fixture.config}/${DOMAIN}.lock`);
    }
    held[Symbol.dispose]();
    assertEquals([(await merge).code, fixture.files()], [0, ["vda.img"]]);
  },
);

Deno.test("merge tells of commits that wait for the end of a session", async () => {
  for (
    const [keepCommits, line] of [[0, "guest vda: 2 commits wait for the end of the session"], [
      1,
      "guest vda: a commit waits for the end of the session",
    ], [2, "guest: nothing is left to merge"]] as const
  ) {
    using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits });
    await fixture.start();
    const { code, printed } = await fixture.command("merge");
    assertEquals([code, printed], [0, [line]]);
  }
});

for (const verb of ["keep", "undo", "merge"] as const) {
  Deno.test(`${verb} finds what status tells of, also where images and configuration came without their note`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 3, "keep-session": true };
    fixture.disks({ vda: true }).define();
    for (const key of ["first", "second"]) {
      await fixture.start();
      fixture.write(fixture.vda, key);
      await fixture.stop();
    }
    if (verb === "merge") {
      fixture.keys = {};
      fixture.configure({ vda: false });
    }
    Deno.removeSync(fixture.note);
    const { code, said } = await fixture.command(verb);
    assertEquals([code, said], [0, []]);
    const first = verb === "undo" ? {} : { first: "yes" };
    const second = verb === "keep" ? { second: "yes" } : {};
    assertEquals(fixture.disk("vda"), { base: "vda", ...first, ...second });
    const layers = fixture.files().filter((name) => name.includes("backing_file"));
    assertEquals(layers.length, { keep: 3, undo: 1, merge: 1 }[verb]);
  });
}

Deno.test("a commit whose merge has begun is merged, however many are to be kept since, and not said to be one that can be undone", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  for (const key of ["a", "b"]) fixture.write(fixture.vda, key);
  await fixture.event("release", "shutdown", { mergeDies: true });
  await fixture.merge({ perform: tearing(fixture) });
  assertEquals((await fixture.type("enable guest vda --keep-commits 1")).printed, [
    "guest vda: the newest commit can be undone; the oldest is being merged, and can't be any more",
  ]);
  assertStringIncludes(
    (await fixture.type("status guest")).printed[1]!,
    "clean; a commit waiting to be merged",
  );
  assertEquals((await fixture.command("undo")).code, 1);
  await fixture.command("merge");
  assertEquals(fixture.files(), ["vda.img"]);
});
