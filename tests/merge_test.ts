/** How a merge goes about it: what it asks first, what it notes, whom it tells, and whom it makes way for. */

import { assert, assertEquals } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import { mergeGuest } from "../lib/hook/merge.ts";
import { watchForInterrupt } from "../lib/hook/merge_control.ts";
import { progressOf } from "../lib/hook/merge_progress.ts";
import type { Host } from "../lib/host/host.ts";
import { readRecords } from "../lib/host/session_records.ts";
import { afterFirst, atEveryStep, before, Failing, failingAt, tearing } from "./fault.ts";
import { type Circumstance, DOMAIN, Fixture, NOW } from "./fixture.ts";
import { layersOf, live, type Past, placeOf, writeAll } from "./history.ts";
import { committed as withCommit } from "./running_guest.ts";
import { snapshot, Tree } from "./tree.ts";

const committed: Past = { targets: ["vda"], layers: 2, keepCommits: 0, torn: false, aside: false };

async function fixtureOf(past: Past) {
  const fixture = new Fixture();
  const [lower, upper] = [`${fixture.vda}.backing_file`, `${fixture.vda}.backing_file.1`];
  return Object.assign(fixture, { history: await live(fixture, past), lower, upper });
}
type Layered = Awaited<ReturnType<typeof fixtureOf>>;

/** A guest up on so many layers that its end merges some of them. */
async function deep(): Promise<Layered> {
  const fixture = await fixtureOf({ ...committed, layers: 16, keepCommits: 12 });
  fixture.configure({ vda: true });
  await fixture.start();
  writeAll(fixture, "vda", "last");
  return fixture;
}

const pause = (milliseconds: number) => new Promise((wake) => setTimeout(wake, milliseconds));

interface Impossible {
  readonly if: string;
  readonly arrange: (fixture: Layered) => void;
  readonly error: (fixture: Layered) => string;
}

const impossible: readonly Impossible[] = [
  {
    if: "the upper layer is open",
    arrange: (fixture) => void fixture.busy.add(fixture.upper),
    error: ({ upper }) => `"${upper}" is open in another process`,
  },
  {
    if: "the upper layer stands on another file",
    arrange: (fixture) => {
      fixture.save(`${fixture.root}/other`, null, {});
      fixture.save(fixture.upper, `${fixture.root}/other`, {});
      Deno.removeSync(fixture.vda);
      Deno.linkSync(fixture.upper, fixture.vda);
    },
    error: ({ root, upper, lower }) => `"${upper}" stands on "${root}/other", should be "${lower}"`,
  },
  {
    if: "the upper layer can't be read",
    arrange: (fixture) => Deno.writeTextFileSync(fixture.upper, "nonsense"),
    error: ({ upper }) => `"${upper}" is no readable qcow2 image`,
  },
  {
    if: "the lower layer is another disk, too",
    arrange: ({ lower, root }) => Deno.linkSync(lower, `${root}/other.img`),
    error: ({ lower }) =>
      `"${lower}" has another name elsewhere, a hard link: what is merged into it would change there, too`,
  },
];

for (const { if: wrong, arrange, error } of impossible) {
  Deno.test(`a merge doesn't begin if ${wrong}, and nothing has changed`, async () => {
    using fixture = await fixtureOf(committed);
    arrange(fixture);
    const note = fixture.note;
    const before = [snapshot(fixture.images), readRecords(note)];
    const { code, said } = await fixture.merge();
    assertEquals([code, said[0]], [1, `error: guest vda: ${error(fixture)}`]);
    assertEquals([snapshot(fixture.images), readRecords(note)], before);
  });
}

for (const torn of [false, true]) {
  Deno.test(`a layer with another name elsewhere gets a file of its own as the hint says${torn ? ", also one that is half merged" : ""}`, async () => {
    using fixture = await fixtureOf({ ...committed, torn });
    Deno.linkSync(fixture.upper, `${fixture.root}/backup`);
    const before = fixture.disk("vda");
    const { said } = await fixture.merge();
    const [, command] = /a file of its own: (.*)$/.exec(said[1]!)!;
    assertEquals((await new Deno.Command("sh", { args: ["-c", command!] }).output()).code, 0);
    const { code } = await fixture.merge();
    assertEquals([code, fixture.disk("vda"), fixture.files()], [0, before, ["vda.img"]]);
  });
}

Deno.test("layers aren't merged as long as a higher one stands on the lowest", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 4 });
  const top = `${fixture.vda}.backing_file.3`;
  fixture.save(top, fixture.lower, fixture.read(top));
  const { code, said } = await fixture.merge();
  const error = `error: guest vda: "${top}" stands on "${fixture.lower}", should be "${fixture.upper}"`;
  assertEquals([code, said[0], layersOf(fixture, "vda")], [1, error, [0, 1, 2, 3]]);
});

/** The n-th layer is written anew, without a backing file: restored, or flattened. */
function makeWhole(fixture: Layered, number: number): void {
  const layer = `${fixture.vda}.backing_file.${number}`;
  fixture.save(layer, null, fixture.read(layer));
}

for (const layers of [2, 3]) {
  for (const whole of [1, layers - 1]) {
    for (const aside of [false, true]) {
      for (const torn of [false, true]) {
        const like = `${layers} layers${aside ? " and a session set aside" : ""}${
          torn ? ", the lowest torn" : ""
        }`;
        Deno.test(`where layer ${whole} of ${like} stands on nothing, what is below goes, wherever it is cut short`, async () => {
          using fixture = await fixtureOf({ ...committed, layers, aside, torn });
          makeWhole(fixture, whole);
          const before = new Tree(fixture.root);
          for (const fault of ["dies before", "dies after", "fails after"] as const) {
            await atEveryStep(fault, async (failing) => {
              before.restore();
              await fixture.merge({ perform: failing.perform });
              assertEquals(placeOf(fixture, fixture.history, "vda"), layers - 1);
              const { code, said } = await fixture.merge();
              assertEquals([code, said], [0, []]);
              assertEquals(placeOf(fixture, fixture.history, "vda"), layers - 1);
              if (aside) {
                const ended = fixture.read(`${fixture.vda}.autorevert-ended`);
                assertEquals(ended, fixture.history.get("vda")!.at(-1));
              }
              assertEquals(layersOf(fixture, "vda"), aside ? [layers - 1] : []);
            });
          }
        });
      }
    }
  }
}

Deno.test("a commit that stands on nothing is copied nowhere, and can be undone as long as it is kept", async () => {
  using fixture = await fixtureOf({ ...committed, keepCommits: 1 });
  makeWhole(fixture, 1);
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(layersOf(fixture, "vda"), [0, 1]);
  assertEquals((await fixture.command("undo")).code, 0);
  assertEquals(placeOf(fixture, fixture.history, "vda"), 0);
  assertEquals((await fixture.command("keep")).code, 0);
  fixture.keys = {};
  fixture.configure({ vda: false });
  fixture.free = 0;
  fixture.merges = false;
  const { code, log } = await fixture.merge();
  assertEquals([code, fixture.files(), placeOf(fixture, fixture.history, "vda")], [0, ["vda.img"], 1]);
  assertEquals(log.slice(0, 3), [
    `guest vda: "${fixture.upper}" stands on nothing: there is nothing to copy`,
    `guest vda: sync "${fixture.upper}"`,
    `guest vda: remove "${fixture.lower}"`,
  ]);
});

Deno.test("nothing goes that a layer above stands on", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3 });
  makeWhole(fixture, 1);
  fixture.save(`${fixture.vda}.backing_file.2`, fixture.lower, {});
  const before = snapshot(fixture.images);
  const { code, said } = await fixture.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: "${
      fixture.upper.replace(/1$/, "2")
    }" stands on "${fixture.lower}", should be "${fixture.upper}"`,
    `hint: have it stand on that, and read as it does: qemu-img rebase -f qcow2 -F qcow2 -b ${fixture.upper} ${
      fixture.upper.replace(/1$/, "2")
    }`,
  ]]);
  assertEquals(snapshot(fixture.images), before);
});

Deno.test("a merge knows the lower layer by whatever path leads there", async () => {
  using fixture = await fixtureOf(committed);
  Deno.symlinkSync(fixture.images, `${fixture.root}/link`);
  const { data } = JSON.parse(Deno.readTextFileSync(fixture.upper));
  fixture.save(fixture.upper, fixture.lower.replace(fixture.images, `${fixture.root}/link`), data);
  assertEquals((await fixture.merge()).code, 0);
  assertEquals([fixture.files(), placeOf(fixture, fixture.history, "vda")], [["vda.img"], 1]);
});

Deno.test("neither of two layers may have its data in another file", async () => {
  for (const name of ["lower", "upper"] as const) {
    using fixture = await fixtureOf(committed);
    const { info: look } = fixture.qemuImg;
    fixture.qemuImg = {
      ...fixture.qemuImg,
      info: async (image) => {
        const found = await look.call(fixture.qemuImg, image);
        return found.kind === "free" && image === fixture[name] ? { ...found, data: "/secret" } : found;
      },
    };
    const { code, said } = await fixture.merge();
    assertEquals([code, said[0]?.includes(`"${fixture[name]}" has its data in "/secret"`)], [1, true]);
  }
});

for (const place of ["the background", "an end"] as const) {
  Deno.test(`before ${place} copies, a name says of that disk alone which layer is torn from now on`, async () => {
    using fixture = place === "an end"
      ? await deep()
      : await fixtureOf({ ...committed, targets: ["vda", "vdb"], layers: 3 });
    const noted: unknown[] = [];
    const perform = before("merge", () => {
      noted.push(fixture.files().filter((name) => name.includes("autorevert-merge")));
    });
    if (place === "an end") await fixture.event("release", "shutdown", { perform, mergeDies: true });
    else await fixture.merge({ perform });
    const names = ["vda.img.autorevert-merge.1", "vda.img.autorevert-merge.2"];
    assertEquals(noted.slice(0, 2), names.slice(0, place === "an end" ? 1 : 2).map((name) => [name]));
  });
}

const failingMark: Circumstance = {
  perform: failingAt((step) => step.kind === "link" && step.to.includes("autorevert-merge")),
};

Deno.test("an end merges nothing that it can't mark, has no room for, or can't copy, and says so", async () => {
  const cases: readonly (readonly [(fixture: Layered) => Circumstance, RegExp])[] = [
    [() => failingMark, /^error: guest vda: EIO$/],
    [(fixture) => (fixture.free = 0, {}), /^error: guest vda: to merge .* are needed in/],
    [(fixture) => (fixture.merges = false, {}), /^error: guest vda: qemu-img commit failed/],
  ];
  for (const [arrange, error] of cases) {
    using fixture = await deep();
    const { code, said, log } = await fixture.event("release", "shutdown", {
      ...arrange(fixture),
      mergeDies: true,
    });
    assertEquals([code, layersOf(fixture, "vda").length], [0, 17]);
    assert(said.some((line) => error.test(line)), said.join());
    assertEquals(log.filter((line) => /takes more than|repair/.test(line)), []);
  }
});

Deno.test("a merge that was cut short goes on with whatever room there is, and says what it lacks", async () => {
  using fixture = await fixtureOf({ ...committed, torn: true });
  const needed = Deno.statSync(fixture.upper).blocks! * 512;
  fixture.free = needed / 2;
  const inner = fixture.qemuImg;
  const full = new UserError("qemu-img commit failed with exit code 1: No space left on device");
  fixture.qemuImg = { ...inner, commit: () => Promise.reject(full) };
  const { code, said } = await fixture.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: ${full.message}; the disk is in order`,
    `hint: make room for ${needed / 2048}.0 KiB more, then: autorevert merge guest`,
  ]]);
  assertEquals(placeOf(fixture, fixture.history, "vda"), 1);
  fixture.free = Infinity;
  assertEquals((await fixture.merge()).said[1], "hint: try again: autorevert merge guest");
  fixture.free = needed / 2;
  fixture.qemuImg = inner;
  assertEquals((await fixture.merge()).code, 0);
  assertEquals([fixture.files(), placeOf(fixture, fixture.history, "vda")], [["vda.img"], 1]);
});

Deno.test("an end that merges frees no clusters: nothing was torn", async () => {
  using fixture = await deep();
  const { log } = await fixture.event("release", "shutdown", { mergeDies: true });
  assertEquals(log.filter((line) => line.includes("repair")), []);
});

Deno.test("what was pending and cut short is done before anything is merged", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3, keepCommits: 1 });
  await fixture.command("undo", { perform: new Failing(1, "dies before").perform });
  assertEquals(fixture.ordered("vda"), "undo");
  assertEquals((await fixture.merge()).code, 0);
  assertEquals([fixture.ordered("vda"), placeOf(fixture, fixture.history, "vda")], [undefined, 1]);
});

Deno.test("a merge takes the name of a layer that nothing stands on", async () => {
  using fixture = new Fixture().disks({ vda: false });
  await fixture.event("prepare", "-", { perform: new Failing(3, "dies before").perform });
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file"]);
  fixture.now = () => new Date(Date.now() + 660_000); // no start takes as long
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("a merge that waits for the qemu-img of a dead one makes way", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3 });
  await fixture.merge({ perform: tearing(fixture) });
  fixture.busy.add(fixture.lower).add(fixture.upper);
  const merge = fixture.merge();
  await pause(50);
  Deno.writeTextFileSync(`${fixture.config}/${DOMAIN}.stop-merging`, "");
  const { code, said, log } = await merge;
  assertEquals([code, said], [1, []]);
  assertEquals(log.at(-1), "guest vda: merge interrupted by a start; resumes after the guest's next end");
});

Deno.test("a merge goes on where nobody can tell whether it is asked to stop, and is told later", async () => {
  using fixture = new Fixture();
  const folder = `${fixture.config}/folder`;
  Deno.writeTextFileSync(folder, "no folder, so that looking into it fails");
  using interrupt = watchForInterrupt(`${folder}/stop`);
  await pause(100);
  assertEquals(interrupt.signal.aborted, false);
  Deno.removeSync(folder);
  Deno.mkdirSync(folder);
  Deno.writeTextFileSync(`${folder}/stop`, "");
  await pause(100);
  assertEquals(interrupt.signal.aborted, true);
});

Deno.test("a merge waits for nobody where no merge was cut short", async () => {
  using fixture = await fixtureOf(committed);
  fixture.busy.add(fixture.lower);
  assertEquals((await fixture.merge()).code, 1);
});

interface Meanwhile {
  readonly what: string;
  readonly act: (fixture: Layered, top: string) => void;
  readonly after?: (fixture: Layered, top: string) => void;
  readonly error: (fixture: Layered, top: string) => string;
}

const meanwhiles: readonly Meanwhile[] = [
  {
    what: "the upper layer was written to",
    act: (fixture) => fixture.write(fixture.upper, "late"),
    error: ({ upper }) =>
      `"${upper}" was written to after it was merged: all names stay, and it is merged again`,
  },
  {
    what: "the upper layer was opened",
    act: (fixture) => void fixture.busy.add(fixture.upper),
    after: (fixture) => fixture.busy.clear(),
    error: ({ upper }) => `"${upper}" is open in another process`,
  },
  {
    what: "the layer above stands on another one",
    act: (fixture, top) => fixture.save(top, fixture.lower, fixture.read(top)),
    after: (fixture, top) => fixture.save(top, fixture.upper, fixture.read(top)),
    error: ({ upper, lower }, top) => `"${top}" stands on "${lower}", should be "${upper}"`,
  },
];

for (const { what, act, after, error } of meanwhiles) {
  for (const whole of [false, true]) {
    Deno.test(`no name changes if ${what} after ${whole ? "a look at the whole" : "the copying"}`, async () => {
      using fixture = await fixtureOf({ ...committed, layers: 3 });
      if (whole) makeWhole(fixture, 1);
      const top = `${fixture.vda}.backing_file.2`;
      let before: string[] = [];
      const { code, said } = await fixture.merge({
        perform: afterFirst("sync", async () => {
          // A clock tells files apart that are written one after the other only every few milliseconds.
          await pause(20);
          act(fixture, top);
          before = snapshot(fixture.images);
        }),
      });
      assertEquals([code, said[0]], [1, `error: guest vda: ${error(fixture, top)}`]);
      assertEquals(snapshot(fixture.images), before);
      after?.(fixture, top);
      const disk = fixture.disk("vda");
      assertEquals((await fixture.merge()).code, 0);
      assertEquals([fixture.files(), fixture.disk("vda")], [["vda.img"], disk]);
    });
  }
}

Deno.test("over a layer that is missing a merge doesn't begin, and names nothing that would mix two disks", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3 });
  const top = `${fixture.vda}.backing_file.2`;
  Deno.removeSync(fixture.upper);
  const { code, said } = await fixture.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: "${fixture.upper}" is missing, which "${top}" stands on`,
    `hint: restore it from where it was moved or copied; what stands on what: qemu-img info -U --backing-chain ${top}`,
  ]]);
});

Deno.test("the lowest layer keeps its name as long as a session that is set aside stands on it", async () => {
  using fixture = await fixtureOf({ ...committed, aside: true });
  const ended = `${fixture.vda}.autorevert-ended`;
  fixture.save(ended, fixture.lower, {});
  const { code, said } = await fixture.merge();
  assertEquals([code, said[0]], [
    1,
    `error: guest vda: "${ended}" stands on "${fixture.lower}", should be "${fixture.upper}"`,
  ]);
  Deno.writeTextFileSync(ended, "damaged");
  assertEquals((await fixture.merge()).code, 0);
});

Deno.test("a merge doesn't begin below a layer that stands on another one", async () => {
  using fixture = await fixtureOf({ ...committed, layers: 3 });
  const top = `${fixture.vda}.backing_file.2`;
  fixture.save(top, fixture.lower, {});
  fixture.merges = false;
  const { code, said } = await fixture.merge();
  assertEquals([code, said[0]], [
    1,
    `error: guest vda: "${top}" stands on "${fixture.lower}", should be "${fixture.upper}"`,
  ]);
  assertEquals(fixture.files().some((name) => name.includes("autorevert-merge")), false);
});

Deno.test("a merge takes names under the folder's lock, a dry run takes no lock", async () => {
  using fixture = await fixtureOf(committed);
  const held: Disposable[] = [];
  let isFree = false;
  const merge = fixture.merge({
    perform: (inner) => async (step, control) => {
      await inner(step, control);
      if (step.kind === "sync") {
        held.push(await fixture.lockFolders([fixture.vda]));
        setTimeout(() => {
          isFree = true;
          held[0]![Symbol.dispose]();
        }, 50);
      } else if (held.length > 0 && step.kind !== "note") {
        assert(isFree, step.kind);
      }
    },
  });
  assertEquals((await merge).code, 0);

  using other = await deep();
  using _held = await other.lockFolders([other.vda]);
  const { shown } = await other.event("release", "shutdown", { dry: true });
  assert(shown.some((line) => line.includes("merging now")), shown.join("\n"));
});

const besides: readonly (readonly [what: string, name: string, age: number, rate: number | undefined])[] = [
  ["a guest that writes", "other.img", 29, 32 * 1024 * 1024],
  ["a guest that wrote long ago", "other.img", 31, undefined],
  ["a file from the future", "other.img", -31, undefined],
  ["another guest's merge", "other.img.backing_file", 0, undefined],
  ["the guest's own other disk", "vdb.img", 0, undefined],
];
for (const [what, name, age, rate] of besides) {
  Deno.test(`beside ${what} a merge goes ${rate ? "gently" : "at full speed"}`, async () => {
    using fixture = await fixtureOf({ ...committed, targets: ["vda", "vdb"] });
    fixture.now = () => NOW;
    const path = `${fixture.images}/${name}`;
    if (name !== "vdb.img") fixture.save(path, null, {});
    const rates: unknown[] = [];
    const { code, log } = await fixture.merge({
      perform: (inner) => async (step, control) => {
        if (fixture.files().includes(name)) Deno.utimeSync(path, NOW, new Date(NOW.getTime() - age * 1000));
        if (step.kind === "merge") rates.push(control?.rate);
        await inner(step, control);
      },
    });
    assertEquals([code, rates], [0, [rate, rate]]);
    const told = log.filter((line) => line.includes("merging at"));
    assertEquals(
      told,
      rate
        ? ["vda", "vdb"].map((disk) => `guest ${disk}: merging at 32.0 MiB/s: "${path}" is being written to`)
        : [],
    );
  });
}

Deno.test("how far a merge is, is told to who watches, left in its lock, and logged after ten percent or half a minute", async () => {
  using fixture = await fixtureOf(committed);
  const merging = `${fixture.config}/${DOMAIN}.merging`;
  assertEquals(progressOf(merging), undefined);
  Deno.writeTextFileSync(merging, "");
  assertEquals(progressOf(merging), undefined);

  let seconds = 0;
  const log: string[] = [];
  const left: unknown[] = [];
  const watched: unknown[] = [];
  const steps: readonly (readonly [seconds: number, percent: number])[] = [
    [0, 5],
    [29, 7],
    [30, 8],
    [31, 18],
    [60, 19],
  ];
  const perform: Host["perform"] = (step, control) => {
    if (step.kind !== "merge") return Promise.resolve();
    for (const [at, percent] of steps) {
      seconds = at;
      control?.progress?.(percent);
      left.push(progressOf(merging)?.percent);
    }
    return Promise.reject(new Error("enough"));
  };
  const host = fixture.host({
    perform,
    log: (line) => void log.push(line),
    now: () => new Date(seconds * 1000),
  });
  await mergeGuest(fixture.context(host), (target, percent) => void watched.push([target, percent]));
  const percents = steps.map(([, percent]) => percent);
  assertEquals(left, percents);
  assertEquals(watched, percents.map((percent) => ["vda", percent]));
  assertEquals(log.filter((line) => line.includes("merging, ")), [
    "guest vda: merging, 8 %",
    "guest vda: merging, 18 %",
  ]);
});

Deno.test("commits are kept of the disk for which the configuration asks, whose target another disk had before", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  const configure = (vda: number, vdb: number, flag: boolean) =>
    fixture.configureText(JSON.stringify({
      disks: [
        { target: "vda", "one-shot-commit": flag, "keep-commits": vda },
        { target: "vdb", "one-shot-commit": flag, "keep-commits": vdb },
      ],
    }));
  const [first, second] = [fixture.vda, fixture.image("vdb")];
  for (const count of [1, 2]) {
    configure(2, 0, true);
    await fixture.start();
    for (const image of [first, second]) fixture.write(image, `commit ${count}`);
    await fixture.stop("shutdown", { mergeDies: count === 2 });
  }
  fixture.sources.set("vda", second); // virsh edit
  fixture.sources.set("vdb", first);
  fixture.define();
  configure(0, 2, false);
  await fixture.merge();
  const layers = fixture.files().filter((name) => name.startsWith("vda.img.backing_file"));
  assertEquals(layers, ["vda.img.backing_file", "vda.img.backing_file.1", "vda.img.backing_file.2"]);
});

Deno.test("nothing is merged under a guest whose disk is not listed any more, from its start until its end", async () => {
  using fixture = new Fixture().disks({ vda: true });
  fixture.define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop("shutdown", { mergeDies: true });
  Deno.removeSync(fixture.configFile);
  await fixture.good("prepare");
  const before = fixture.files();
  const { log } = await fixture.merge();
  assertEquals(log, ["guest: the guest is being started: what waits is merged after its next end"]);
  assertEquals(fixture.files(), before);
  await fixture.good("started");
  await fixture.good("release", "shutdown");
  await fixture.merge();
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("a commit whose base is away for a while is a commit still when that is back", async () => {
  using fixture = await withCommit({ "keep-commits": 2 });
  fixture.define();
  const [layer, base] = [`${fixture.vda}.backing_file`, `${fixture.root}/base.img`];
  Deno.renameSync(layer, base);
  Deno.symlinkSync(base, layer);
  const { said } = await fixture.event("prepare");
  assertEquals(
    said.at(-1),
    `hint: what it belongs with lies here still; move it back: mv -f ${base} ${layer}`,
  );
  await fixture.event("release", "failed");
  Deno.removeSync(layer);
  await fixture.type("merge guest");
  Deno.renameSync(base, layer);
  await fixture.start();
  assertEquals("session" in fixture.read(fixture.vda), true);
});

Deno.test("a commit whose base is moved away while the guest runs is a commit still when that is back", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: true }).define();
  const { vda } = fixture;
  await fixture.start();
  fixture.write(vda, "commit");
  await fixture.stop();
  fixture.configure({ vda: false });
  await fixture.start();
  // QEMU has the base open, and doesn't mind.
  Deno.renameSync(`${vda}.backing_file`, `${fixture.root}/base.img`);
  await fixture.event("stopped", "shutdown");
  await fixture.event("release", "shutdown");
  Deno.renameSync(`${fixture.root}/base.img`, `${vda}.backing_file`);
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said, "commit" in fixture.read(vda)], [0, [], true]);
});

Deno.test("a disk on a file that has the name of another image's layer is committed as any other", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 1 };
  fixture.disks({ vda: false }).define();
  const golden = `${fixture.images}/golden.img.backing_file`;
  fixture.save(golden, null, { golden: "yes" });
  fixture.save(fixture.vda, golden, {});
  const disk: Record<string, string> = { golden: "yes" };
  for (const key of ["one", "two", "three", "four"]) {
    fixture.configure({ vda: true });
    await fixture.start();
    fixture.write(fixture.vda, key);
    await fixture.stop();
    disk[key] = "yes";
    assertEquals(fixture.disk("vda"), disk);
  }
});
