/** What `status` tells of a disk, in each state that it can be in. */

import { assert, assertEquals } from "@std/assert";
import type { Condition } from "../lib/command/inspect.ts";
import { lock } from "../lib/host/lock.ts";
import { dyingAt } from "./fault.ts";
import { live, type Past } from "./history.ts";
import { snapshot } from "./tree.ts";
import { Fixture, LATER } from "./fixture.ts";

interface Told {
  readonly disk: string;
  readonly past?: Partial<Past>;
  readonly arrange?: (fixture: Fixture) => Promise<unknown> | void;
  readonly situation: Condition;
  /** As the last column has it, from its beginning. */
  readonly state: string;
  /** What there is of these: a flag, a session, one that is set aside (`aside`). */
  readonly has?: string;
  readonly commits?: number;
}

const starts = async (fixture: Fixture) => {
  await fixture.start();
  fixture.run();
};
const dies = async (fixture: Fixture) => {
  await starts(fixture);
  fixture.halt();
  fixture.booted = LATER;
};
const flag = (fixture: Fixture) => fixture.configure({ vda: true });

const told: readonly Told[] = [
  { disk: "is idle", situation: "clean", state: "clean" },
  {
    disk: "is idle and flagged",
    arrange: flag,
    situation: "clean",
    has: "flag",
    state: "clean; commit at the next session's end",
  },
  {
    disk: "runs on a session",
    arrange: starts,
    situation: "running",
    has: "session",
    state: "running on a session",
  },
  {
    disk: "runs on a flagged session",
    arrange: async (fixture) => {
      await starts(fixture);
      flag(fixture);
    },
    situation: "running",
    has: "flag session",
    state: "running on a session; commit at its end",
  },
  {
    disk: "was listed while the guest ran",
    arrange: (fixture) => fixture.run(),
    situation: "unprotected",
    state: "running on the disk itself until its next start",
  },
  {
    disk: "was saved in a session",
    arrange: async (fixture) => {
      await fixture.start();
      await fixture.stop("saved");
      Deno.writeTextFileSync(fixture.managedSave, "");
    },
    situation: "saved",
    has: "session",
    state: "saved, its session waits for it",
  },
  {
    disk: "was saved where libvirt doesn't say so",
    arrange: async (fixture) => {
      await fixture.start();
      await fixture.stop("-");
      Deno.writeTextFileSync(fixture.managedSave, "");
    },
    situation: "saved",
    has: "aside",
    state: "saved, its session waits for it",
  },
  {
    disk: "died in a session",
    arrange: dies,
    situation: "reverts",
    has: "session",
    state: "unclean shutdown; session discarded at the next start",
  },
  {
    disk: "died in a flagged session",
    arrange: async (fixture) => {
      flag(fixture);
      await dies(fixture);
    },
    situation: "resumes",
    has: "flag session",
    state: "unclean shutdown; session resumes at the next start; commit at its end",
  },
  {
    disk: "was flagged after its session died",
    arrange: async (fixture) => {
      await dies(fixture);
      fixture.configure({ vda: true }, LATER);
    },
    situation: "is set aside",
    has: "flag session",
    state: "unclean shutdown; session set aside at the next start; commit at the next session's end",
  },
  {
    disk: "has a session set aside",
    past: { aside: true },
    situation: "clean",
    has: "aside",
    state: "clean; last session set aside",
  },
  {
    disk: "has commits that wait",
    past: { layers: 3 },
    situation: "clean",
    commits: 2,
    state: "clean; 2 commits waiting to be merged",
  },
  {
    disk: "has commits that are kept",
    past: { layers: 3, keepCommits: 1 },
    situation: "clean",
    commits: 2,
    state: "clean; a commit waiting to be merged; a commit can be undone",
  },
  {
    disk: "is being merged",
    past: { layers: 2, torn: true },
    arrange: async (fixture) => {
      fixture.busy.add(`${fixture.vda}.backing_file`).add(`${fixture.vda}.backing_file.1`);
      Deno.writeTextFileSync(`${fixture.config}/guest.merging`, "vda 43.21");
      return await lock(`${fixture.config}/guest.merging`);
    },
    situation: "clean",
    commits: 1,
    state: "clean; a commit being merged, 43 %",
  },
  {
    disk: "is still written by the qemu-img of a merge that was killed",
    past: { layers: 2, torn: true },
    arrange: (fixture) => void fixture.busy.add(`${fixture.vda}.backing_file`),
    situation: "attention",
    commits: 1,
    state: 'needs attention: "LAYER" is still written by the qemu-img of a merge that was killed',
  },
  {
    disk: "had a merge cut short, and is open elsewhere",
    past: { layers: 2, torn: true },
    arrange: (fixture) => void fixture.busy.add(fixture.vda),
    situation: "attention",
    commits: 1,
    state: 'needs attention: "IMAGE" is open in another process',
  },
  {
    disk: "had a merge cut short",
    past: { layers: 2, torn: true },
    situation: "clean",
    commits: 1,
    state: "clean; a commit waiting to be merged",
  },
  {
    disk: "had its commit cut short",
    arrange: async (fixture) => {
      flag(fixture);
      await fixture.start();
      await fixture.event("release", "shutdown", { perform: dyingAt("clear") });
    },
    situation: "cut short",
    has: "flag",
    state: "interrupted; completes at the next start or stop; commit asked for",
  },
  {
    disk: "had a start cut short that set aside a session with a later flag",
    arrange: async (fixture) => {
      await dies(fixture);
      fixture.configure({ vda: true }, LATER);
      await fixture.good("prepare");
      fixture.now = () => new Date(Date.now() + 3_600_000);
      fixture.booted = fixture.now();
    },
    situation: "clean",
    has: "flag session aside",
    state: "clean; commit at the next session's end; last session set aside",
  },
  {
    disk: "has no image",
    arrange: (fixture) => Deno.removeSync(fixture.vda),
    situation: "attention",
    state: 'needs attention: there is no image "',
  },
  {
    disk: "stands on somebody's own overlay",
    arrange: (fixture) => {
      Deno.renameSync(fixture.vda, `${fixture.vda}.backing_file`);
      fixture.save(fixture.vda, `${fixture.vda}.backing_file`, {});
    },
    situation: "attention",
    has: "session",
    state: "needs attention: ",
  },
  {
    disk: "is open elsewhere",
    arrange: (fixture) => void fixture.busy.add(fixture.vda),
    situation: "attention",
    state: 'needs attention: "',
  },
];

const plain: Past = { targets: ["vda"], layers: 1, keepCommits: 0, torn: false, aside: false };

for (const { disk, past, arrange, ...expected } of told) {
  // Who asks whether a lock is held waits for it in vain until the end of the process.
  const options = { sanitizeOps: false, sanitizeResources: false };
  Deno.test(`status tells of a disk that ${disk}, and touches nothing`, options, async () => {
    using fixture = new Fixture();
    await live(fixture, { ...plain, ...past });
    fixture.define();
    const arranged = await arrange?.(fixture);
    using _held = arranged instanceof Deno.FsFile ? arranged : undefined;
    const before = snapshot(fixture.root);
    const { code, printed, said } = await fixture.type("status --json");
    assertEquals([code, said], [expected.situation === "attention" ? 1 : 0, []]);
    const [guest] = JSON.parse(printed.join("")).guests;
    assertEquals([guest.domain, guest.trouble, guest.disks.length], ["guest", null, 1]);
    const [found] = guest.disks;
    const state = expected.state.replace("LAYER", `${fixture.vda}.backing_file`)
      .replace("IMAGE", fixture.vda);
    assert(found.state.startsWith(state), found.state);
    const has = [
      found.oneShotCommit ? ["flag"] : [],
      found.session === null ? [] : ["session"],
      found.setAside === null ? [] : ["aside"],
    ].flat().join(" ");
    const { situation, commits = 0 } = expected;
    assertEquals([found.situation, has, found.commits.length], [situation, expected.has ?? "", commits]);
    if (commits > 0) assertEquals(found.layers, commits + 1);

    const text = await fixture.type("status guest");
    assertEquals(text.printed.length, 2);
    assert(text.printed[1]!.includes(found.state), text.printed[1]);
    const hint = expected.situation === "attention"
      ? ["hint: what to do about it: autorevert check guest"]
      : [];
    assertEquals(text.said, hint);
    assertEquals(snapshot(fixture.root), before);
  });
}

Deno.test("status tells of a guest whose files can't be read, and of the others beside it", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: true }).define();
  Deno.writeTextFileSync(`${fixture.config}/bad.json`, "{");
  Deno.writeTextFileSync(`${fixture.config}/gone.json`, '{"disks":[{"target":"vda"}]}');
  const { code, printed, said } = await fixture.type("status");
  assertEquals([code, said], [1, ["hint: what to do about it: autorevert check bad gone"]]);
  assertEquals(printed.map((line) => line.replace(/is not JSON.*/, "is not JSON")), [
    "DOMAIN  DISK  SESSION  AGE  LAYERS  FLAG    STATE",
    `bad     -     -        -    -       -       needs attention: "${fixture.config}/bad.json": is not JSON`,
    "gone    -     -        -    -       -       needs attention: libvirt knows no such domain",
    "guest   vda   -        -    1       -       clean",
    "guest   vdb   -        -    1       commit  clean; commit at the next session's end",
  ]);
});

Deno.test("status tells of a disk that was taken out of the configuration in its session", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
  await starts(fixture);
  const states = async () =>
    (await fixture.type("status")).printed.slice(1).map((line) => line.slice(line.indexOf("running")));
  const session = "running on a session";
  await fixture.type("disable guest vdb");
  assertEquals(await states(), [session, `${session}; not configured any more`]);
  await fixture.type("disable guest");
  assertEquals(await states(), [
    `${session}; not configured any more`,
    `${session}; not configured any more`,
  ]);
});

Deno.test("status keeps to the terminal's width, and counts wide characters as two columns", async () => {
  using fixture = new Fixture().disks({ vda: true });
  for (const domain of ["guest", "财务"]) fixture.define(domain);
  Deno.copyFileSync(fixture.configFile, `${fixture.config}/财务.json`);
  fixture.width = 68;
  assertEquals((await fixture.type("status")).printed, [
    "DOMAIN  DISK  SESSION  AGE  LAYERS  FLAG    STATE",
    "guest   vda   -        -    1       commit  clean; commit at the",
    "                                            next session's end",
    "财务    vda   -        -    1       commit  clean; commit at the",
    "                                            next session's end",
  ]);
});

Deno.test("status without any guest tells how to begin, and a slip in a name is met", async () => {
  using fixture = new Fixture();
  assertEquals(await fixture.type("status").then(({ code, printed, said }) => [code, printed, said]), [
    0,
    [],
    ["hint: no guest is configured; to have a disk go back at every start: autorevert enable DOMAIN TARGET"],
  ]);
  fixture.disks({ vda: false });
  fixture.define("other");
  assertEquals((await fixture.type("status gust")).said, [
    'error: there is no configured guest "gust"; there are "guest"',
    'hint: did you mean "guest"?',
  ]);
  assertEquals((await fixture.type("status other")).said, [
    'error: the guest "other" has no configuration; guests that have one: "guest"',
    "hint: see which of its disks could go back at every start: autorevert enable other",
  ]);
});

for (const verb of ["status", "check"]) {
  Deno.test(`while a guest starts, ${verb} keeps no image from being opened`, async () => {
    using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
    await fixture.good("prepare");
    const { info } = fixture.qemuImg;
    const locked: string[] = [];
    fixture.qemuImg = {
      ...fixture.qemuImg,
      info: (image, look) => {
        if (!look?.unlocked) locked.push(image);
        return info.call(fixture.qemuImg, image, look);
      },
    };
    await fixture.type(`${verb}`);
    fixture.run();
    const { printed } = await fixture.type(`${verb}`);
    assertEquals(locked, []);
    if (verb === "status") {
      assertEquals(printed.filter((line) => line.endsWith("running on a session")).length, 2);
    }
    await fixture.good("start");
    await fixture.good("started");
    await fixture.type(`${verb}`);
    assertEquals(locked.sort(), ["vda", "vdb"].map((target) => fixture.image(target)));
  });
}
