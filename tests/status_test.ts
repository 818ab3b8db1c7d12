/** What `status` tells of a disk, in each state that it can be in. */

import { assert, assertEquals } from "@std/assert";
import type { Situation } from "../lib/command/inspect.ts";
import type { Host } from "../lib/host/host.ts";
import { lock } from "../lib/host/lock.ts";
import { live, type Past } from "./history.ts";
import { snapshot } from "./tree.ts";
import { LATER, World } from "./world.ts";

interface Told {
  readonly disk: string;
  readonly past?: Partial<Past>;
  readonly arrange?: (world: World) => Promise<unknown> | void;
  readonly situation: Situation;
  /** As the last column has it, from its beginning. */
  readonly state: string;
  readonly flag?: boolean;
  readonly layers?: number;
  readonly session?: boolean;
  readonly setAside?: boolean;
  readonly commits?: number;
}

const starts = async (world: World) => {
  await world.start();
  world.run();
};
const dies = async (world: World) => {
  await starts(world);
  world.halt();
};
const flag = (world: World) => world.configure({ vda: true });

const told: readonly Told[] = [
  { disk: "is idle", situation: "clean", state: "clean" },
  {
    disk: "is idle and flagged",
    arrange: flag,
    situation: "clean",
    flag: true,
    state: "clean; commit at the next session's end",
  },
  {
    disk: "runs on a session",
    arrange: starts,
    situation: "running",
    session: true,
    state: "running on a session",
  },
  {
    disk: "runs on a flagged session",
    arrange: async (world) => {
      await starts(world);
      flag(world);
    },
    situation: "running",
    session: true,
    flag: true,
    state: "running on a session; commit at its end",
  },
  {
    disk: "was listed while the guest ran",
    arrange: (world) => world.run(),
    situation: "unprotected",
    state: "running on the disk itself until its next start",
  },
  {
    disk: "was saved in a session",
    arrange: async (world) => {
      await world.start();
      await world.stop("saved");
      Deno.writeTextFileSync(`${world.settings.saveFolder}/guest.save`, "");
    },
    situation: "saved",
    session: true,
    state: "saved, its session waits for it",
  },
  {
    disk: "was saved where libvirt doesn't say so",
    arrange: async (world) => {
      await world.start();
      await world.stop("-");
      Deno.writeTextFileSync(`${world.settings.saveFolder}/guest.save`, "");
    },
    situation: "saved",
    setAside: true,
    state: "saved, its session waits for it",
  },
  {
    disk: "died in a session",
    arrange: dies,
    situation: "reverts",
    session: true,
    state: "its session died, and reverts at the next start",
  },
  {
    disk: "died in a flagged session",
    arrange: async (world) => {
      flag(world);
      await dies(world);
    },
    situation: "resumes",
    session: true,
    flag: true,
    state: "its session died, and goes on at the next start; commit at its end",
  },
  {
    disk: "was flagged after its session died",
    arrange: async (world) => {
      await dies(world);
      world.configure({ vda: true }, LATER);
    },
    situation: "reverts",
    session: true,
    flag: true,
    state: "its session died, and reverts at the next start; commit at the next session's end",
  },
  {
    disk: "has a session set aside",
    past: { aside: true },
    situation: "clean",
    setAside: true,
    state: "clean; last session set aside",
  },
  {
    disk: "has commits that wait",
    past: { layers: 3 },
    situation: "clean",
    layers: 3,
    commits: 2,
    state: "clean; 2 commits waiting to be merged",
  },
  {
    disk: "has commits that are kept",
    past: { layers: 3, keepCommits: 1 },
    situation: "clean",
    layers: 3,
    commits: 2,
    state: "clean; a commit waiting to be merged; a commit can be undone",
  },
  {
    disk: "is being merged",
    past: { layers: 2, torn: true },
    arrange: async (world) => {
      world.busy.add(`${world.image("vda")}.backing_file.1`);
      Deno.writeTextFileSync(`${world.config}/guest.merging`, "vda 43.21");
      return await lock(`${world.config}/guest.merging`);
    },
    situation: "clean",
    layers: 2,
    commits: 1,
    state: "clean; a commit being merged, 43 %",
  },
  {
    disk: "is still written by the qemu-img of a merge that was killed",
    past: { layers: 2, torn: true },
    arrange: (world) => void world.busy.add(`${world.image("vda")}.backing_file.1`),
    situation: "attention",
    layers: 2,
    commits: 1,
    state: "needs attention: ",
  },
  {
    disk: "had a merge cut short",
    past: { layers: 2, torn: true },
    situation: "clean",
    layers: 2,
    commits: 1,
    state: "clean; a commit waiting to be merged",
  },
  {
    disk: "had its commit cut short",
    arrange: async (world) => {
      flag(world);
      await world.start();
      await world.event("release", "shutdown", { perform: dieAtClear });
    },
    situation: "cut short",
    session: false,
    flag: true,
    state: "cut short, and finished at the next event; commit asked for",
  },
  {
    disk: "has no image",
    arrange: (world) => Deno.removeSync(world.image("vda")),
    situation: "attention",
    state: 'needs attention: there is no image "',
  },
  {
    disk: "stands on somebody's own overlay",
    arrange: (world) => {
      Deno.renameSync(world.image("vda"), `${world.image("vda")}.backing_file`);
      world.save(world.image("vda"), `${world.image("vda")}.backing_file`, {});
    },
    situation: "attention",
    session: true,
    state: "needs attention: ",
  },
  {
    disk: "is open elsewhere",
    arrange: (world) => void world.busy.add(world.image("vda")),
    situation: "attention",
    state: 'needs attention: "',
  },
];

function dieAtClear(inner: Host["perform"]): Host["perform"] {
  let dead = false;
  return async (step, control) => {
    dead ||= step.kind === "clear";
    if (dead) throw new Error("killed");
    await inner(step, control);
  };
}

const plain: Past = { targets: ["vda"], layers: 1, keepCommits: 0, torn: false, aside: false };

for (const { disk, past, arrange, ...expected } of told) {
  // Who asks whether a lock is held waits for it in vain until the end of the process.
  const options = { sanitizeOps: false, sanitizeResources: false };
  Deno.test(`status tells of a disk that ${disk}, and touches nothing`, options, async () => {
    using world = new World();
    await live(world, { ...plain, ...past });
    world.define();
    const arranged = await arrange?.(world);
    using _held = arranged instanceof Deno.FsFile ? arranged : undefined;
    const before = snapshot(world.root);
    const { code, printed, said } = await world.type(["status", "--json"]);
    assertEquals([code, said], [expected.situation === "attention" ? 1 : 0, []]);
    const [guest] = JSON.parse(printed.join("")).guests;
    assertEquals([guest.domain, guest.trouble, guest.disks.length], ["guest", null, 1]);
    const [found] = guest.disks;
    assert(found.state.startsWith(expected.state), found.state);
    assertEquals(
      [
        found.situation,
        found.oneShotCommit,
        found.session !== null,
        found.setAside !== null,
        found.commits.length,
      ],
      [
        expected.situation,
        expected.flag ?? false,
        expected.session ?? false,
        expected.setAside ?? false,
        expected.commits ?? 0,
      ],
    );
    if (expected.layers) assertEquals(found.layers, expected.layers);

    const text = await world.type(["status", "guest"]);
    assertEquals(text.printed.length, 2);
    assert(text.printed[1]!.includes(found.state), text.printed[1]);
    const hint = expected.situation === "attention"
      ? ["hint: what to do about it: autorevert check guest"]
      : [];
    assertEquals(text.said, hint);
    assertEquals(snapshot(world.root), before);
  });
}

Deno.test("status tells of a guest whose files can't be read, and of the others beside it", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: true });
  world.define();
  Deno.writeTextFileSync(`${world.config}/bad.json`, "{");
  Deno.writeTextFileSync(`${world.config}/gone.json`, '{"disks":[{"target":"vda"}]}');
  const { code, printed, said } = await world.type(["status"]);
  assertEquals([code, said], [1, ["hint: what to do about it: autorevert check bad gone"]]);
  assertEquals(printed.map((line) => line.replace(/is not JSON.*/, "is not JSON")), [
    "DOMAIN  DISK  SESSION  AGE  LAYERS  FLAG    STATE",
    `bad     -     -        -    -       -       needs attention: "${world.config}/bad.json": is not JSON`,
    "gone    -     -        -    -       -       needs attention: libvirt knows no such domain",
    "guest   vda   -        -    1       -       clean",
    "guest   vdb   -        -    1       commit  clean; commit at the next session's end",
  ]);
});

Deno.test("status keeps to the terminal's width, and counts wide characters as two columns", async () => {
  using world = new World();
  world.disks({ vda: true });
  for (const domain of ["guest", "财务"]) world.define(domain);
  Deno.copyFileSync(world.configFile, `${world.config}/财务.json`);
  world.width = 68;
  assertEquals((await world.type(["status"])).printed, [
    "DOMAIN  DISK  SESSION  AGE  LAYERS  FLAG    STATE",
    "guest   vda   -        -    1       commit  clean; commit at the",
    "                                            next session's end",
    "财务    vda   -        -    1       commit  clean; commit at the",
    "                                            next session's end",
  ]);
});

Deno.test("status without any guest tells how to begin, and a slip in a name is met", async () => {
  using world = new World();
  assertEquals(await world.type(["status"]).then(({ code, printed, said }) => [code, printed, said]), [
    0,
    [],
    ["hint: no guest is configured; to have a disk go back at every start: autorevert enable DOMAIN TARGET"],
  ]);
  world.disks({ vda: false });
  world.define("other");
  assertEquals((await world.type(["status", "gust"])).said, [
    'error: there is no configured guest "gust"; there are "guest"',
    'hint: did you mean "guest"?',
  ]);
  assertEquals((await world.type(["status", "other"])).said, [
    'error: "other" is a domain without a configuration; configured are "guest"',
    "hint: to have its disks go back at every start: autorevert enable other TARGET",
  ]);
});
