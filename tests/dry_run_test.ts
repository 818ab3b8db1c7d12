import { assert, assertEquals } from "@std/assert";
import { DOMAIN, LATER, World } from "./world.ts";
import { snapshot, Tree } from "./tree.ts";

interface Shown {
  /** The event, as the end of "a dry run of …". */
  readonly of: string;
  readonly setUp: (world: World) => Promise<void> | void;
  readonly event: readonly [operation: string, extra: string];
  /** Kinds of the steps it shows, in order. */
  readonly steps: string;
}

async function up(world: World, ...flags: boolean[]): Promise<void> {
  const targets = ["vda", "vdb"].slice(0, flags.length);
  world.disks(Object.fromEntries(targets.map((target, index) => [target, flags[index]!])));
  await world.start();
  for (const target of targets) world.write(world.image(target), "session");
}

/** A commit that is decided and not finished. */
async function committing(world: World): Promise<void> {
  await up(world, true);
  Deno.linkSync(world.image("vda"), `${world.image("vda")}.autorevert-committing`);
}

const freeze = "link create own sync";

const events: readonly Shown[] = [
  {
    of: "a start",
    setUp: (world) => world.disks({ vda: false, vdb: false }),
    event: ["prepare", "-"],
    steps: `note note ${freeze} ${freeze} rename rename`,
  },
  {
    of: "a start of a guest that isn't ours",
    setUp: () => {},
    event: ["prepare", "-"],
    steps: "",
  },
  {
    of: "a start after a power cut",
    setUp: (world) => up(world, false),
    event: ["prepare", "-"],
    steps: "note note create own sync rename",
  },
  {
    of: "a start after a power cut in a flagged session",
    setUp: (world) => up(world, true),
    event: ["prepare", "-"],
    steps: "note note",
  },
  {
    of: "a start that finishes a commit",
    setUp: committing,
    event: ["prepare", "-"],
    steps: "note note clear rename create own sync rename",
  },
  {
    of: "a start that is refused",
    setUp: (world) => {
      world.disks({ vda: false });
      Deno.removeSync(world.image("vda"));
    },
    event: ["prepare", "-"],
    steps: "note",
  },
  {
    of: "a start with a configuration that isn't valid",
    setUp: (world) => world.configureText("{"),
    event: ["prepare", "-"],
    steps: "note",
  },
  {
    of: "a start from a save",
    setUp: async (world) => {
      await up(world, false);
      await world.stop("-");
      await world.event("restore");
    },
    event: ["prepare", "-"],
    steps: "note rename",
  },
  {
    of: "a start without the session that was set aside",
    setUp: async (world) => {
      await up(world, false);
      await world.stop("-");
    },
    event: ["prepare", "-"],
    steps: "note note create own sync rename",
  },
  {
    of: "an end",
    setUp: (world) => up(world, false, false),
    event: ["release", "shutdown"],
    steps: "own rename own rename remove",
  },
  {
    of: "the end of a flagged session",
    setUp: (world) => up(world, true, true),
    event: ["release", "shutdown"],
    steps: "note own sync link own sync link clear rename rename start",
  },
  {
    of: "the end of a start that failed",
    setUp: async (world) => {
      world.disks({ vda: true });
      await world.good("prepare");
    },
    event: ["release", "failed"],
    steps: "own rename remove remove",
  },
  {
    of: "an end without a reason",
    setUp: (world) => up(world, false),
    event: ["release", "-"],
    steps: "link own link rename",
  },
  {
    of: "a crash in a flagged session",
    setUp: (world) => up(world, true),
    event: ["release", "crashed"],
    steps: "note",
  },
  { of: "a save", setUp: (world) => up(world, true), event: ["release", "saved"], steps: "note" },
  { of: "a resume", setUp: (world) => world.disks({ vda: false }), event: ["restore", "-"], steps: "note" },
  {
    of: "an incoming migration",
    setUp: (world) => world.disks({ vda: false }),
    event: ["migrate", "-"],
    steps: "note",
  },
  {
    of: "an event that nobody knows",
    setUp: (world) => world.disks({ vda: false }),
    event: ["new-in-libvirt", "-"],
    steps: "",
  },
  {
    of: "an event that is none of our business",
    setUp: (world) => up(world, true),
    event: ["stopped", "-"],
    steps: "",
  },
];

const kinds = /^guest(?: vd[ab])*: (link|rename|remove|own|sync|create|merge|clear|note|start)\b/;

for (const { of, setUp, event: [operation, extra], steps } of events) {
  Deno.test(`a dry run of ${of} shows what will happen, and nothing happens`, async () => {
    using world = new World();
    await setUp(world);
    const before = snapshot(world.root);
    const dry = await world.event(operation, extra, { dry: true });
    assertEquals(snapshot(world.root), before);
    assertEquals(dry.log, []);

    const real = await world.event(operation, extra);
    assertEquals(dry.code, real.code);
    assertEquals(dry.said, real.said);
    const errors = new Set(real.said);
    assertEquals(real.log.filter((line) => errors.has(line)), real.said);
    assertEquals(dry.shown, real.log.filter((line) => !errors.has(line)));
    assertEquals(dry.shown.map((line) => kinds.exec(line)?.[1]).filter(Boolean).join(" "), steps);
  });
}

Deno.test("a dry run of an event that takes no step leaves no lock", async () => {
  using world = new World();
  world.disks({ vda: false });
  await world.event("release", "-", { dry: true });
  assertEquals(world.files(world.config), [`${DOMAIN}.json`]);
});

Deno.test("a dry run waits for nobody", async () => {
  using world = new World();
  await up(world, false);
  const { lock } = await import("../lib/host/lock.ts");
  using _held = await lock(`${world.config}/${DOMAIN}.lock`);
  const { shown } = await world.event("release", "shutdown", { dry: true });
  assert(shown.length > 0);
});

Deno.test("a dry run interrupts no merge", async () => {
  using world = new World();
  world.disks({ vda: false });
  const { lock } = await import("../lib/host/lock.ts");
  using _merging = await lock(`${world.config}/${DOMAIN}.merging`);
  const { code, shown } = await world.event("prepare", "-", { dry: true });
  assertEquals([code, shown.length > 0], [0, true]);
});

Deno.test("a dry run of `started` leaves the word of the start", async () => {
  using world = new World();
  world.disks({ vda: false });
  await world.good("prepare");
  const before = snapshot(world.root);
  await world.event("started", "-", { dry: true });
  assertEquals(snapshot(world.root), before);
});

Deno.test("what a dry run shows is the same, however often it is asked", async () => {
  using world = new World();
  await up(world, true);
  world.configure({ vda: true }, LATER);
  const tree = new Tree(world.root).key;
  const first = await world.event("prepare", "-", { dry: true });
  assertEquals(await world.event("prepare", "-", { dry: true }), first);
  assertEquals(new Tree(world.root).key, tree);
});
