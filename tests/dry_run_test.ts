import { assert, assertEquals } from "@std/assert";
import { DOMAIN, Fixture, LATER } from "./fixture.ts";
import { snapshot, Tree } from "./tree.ts";

interface Shown {
  /** The event, as the end of "a dry run of …". */
  readonly of: string;
  readonly setUp: (fixture: Fixture) => Promise<void> | void;
  readonly event: readonly [operation: string, extra: string];
  /** Kinds of the steps it shows, in order. */
  readonly steps: string;
}

async function up(fixture: Fixture, ...flags: boolean[]): Promise<void> {
  const targets = ["vda", "vdb"].slice(0, flags.length);
  fixture.disks(Object.fromEntries(targets.map((target, index) => [target, flags[index]!])));
  await fixture.start();
  for (const target of targets) fixture.write(fixture.image(target), "session");
}

/** A commit that is decided and not finished. */
async function committing(fixture: Fixture): Promise<void> {
  await up(fixture, true);
  Deno.linkSync(fixture.vda, `${fixture.vda}.autorevert-committing`);
}

const freeze = "link create own sync";

const events: readonly Shown[] = [
  {
    of: "a start",
    setUp: (fixture) => fixture.disks({ vda: false, vdb: false }),
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
    setUp: (fixture) => up(fixture, false),
    event: ["prepare", "-"],
    steps: "note note create own sync rename",
  },
  {
    of: "a start after a power cut in a flagged session",
    setUp: (fixture) => up(fixture, true),
    event: ["prepare", "-"],
    steps: "note note",
  },
  {
    of: "a start that finishes a commit",
    setUp: committing,
    event: ["prepare", "-"],
    steps: "note note clear remove rename create own sync rename",
  },
  {
    of: "a start that is refused",
    setUp: (fixture) => {
      fixture.disks({ vda: false });
      Deno.removeSync(fixture.vda);
    },
    event: ["prepare", "-"],
    steps: "note",
  },
  {
    of: "a start with a configuration that isn't valid",
    setUp: (fixture) => fixture.configureText("{"),
    event: ["prepare", "-"],
    steps: "note",
  },
  {
    of: "a start from a save",
    setUp: async (fixture) => {
      await up(fixture, false);
      await fixture.stop("-");
      await fixture.event("restore");
    },
    event: ["prepare", "-"],
    steps: "note note rename",
  },
  {
    of: "a start without the session that was set aside",
    setUp: async (fixture) => {
      await up(fixture, false);
      await fixture.stop("-");
    },
    event: ["prepare", "-"],
    steps: "note note create own sync rename",
  },
  {
    of: "an end",
    setUp: (fixture) => up(fixture, false, false),
    event: ["release", "shutdown"],
    steps: "own rename own rename remove",
  },
  {
    of: "the end of a flagged session",
    setUp: (fixture) => up(fixture, true, true),
    event: ["release", "shutdown"],
    steps: "note own sync link own sync link clear remove rename remove rename note start",
  },
  {
    of: "the end of a start that failed",
    setUp: async (fixture) => {
      fixture.disks({ vda: true });
      await fixture.good("prepare");
    },
    event: ["release", "failed"],
    steps: "remove own rename remove remove",
  },
  {
    of: "an end without a reason",
    setUp: (fixture) => up(fixture, false),
    event: ["release", "-"],
    steps: "link own link rename note",
  },
  {
    of: "a crash in a flagged session",
    setUp: (fixture) => up(fixture, true),
    event: ["release", "crashed"],
    steps: "note",
  },
  {
    of: "a save",
    setUp: (fixture) => up(fixture, true),
    event: ["release", "saved"],
    steps: "note clear note",
  },
  {
    of: "a resume",
    setUp: (fixture) => fixture.disks({ vda: false }),
    event: ["restore", "-"],
    steps: "note",
  },
  {
    of: "an incoming migration",
    setUp: (fixture) => fixture.disks({ vda: false }),
    event: ["migrate", "-"],
    steps: "note",
  },
  {
    of: "an event that nobody knows",
    setUp: (fixture) => fixture.disks({ vda: false }),
    event: ["new-in-libvirt", "-"],
    steps: "",
  },
  {
    of: "an event that is none of our business",
    setUp: (fixture) => up(fixture, true),
    event: ["stopped", "-"],
    steps: "",
  },
];

const kinds = /^guest(?: vd[ab])*: (link|rename|remove|own|sync|create|merge|clear|note|start)\b/;

for (const { of, setUp, event: [operation, extra], steps } of events) {
  Deno.test(`a dry run of ${of} shows what will happen, and nothing happens`, async () => {
    using fixture = new Fixture();
    await setUp(fixture);
    const before = snapshot(fixture.root);
    const dry = await fixture.event(operation, extra, { dry: true });
    assertEquals(snapshot(fixture.root), before);
    assertEquals(dry.log, []);

    const real = await fixture.event(operation, extra);
    assertEquals(dry.code, real.code);
    assertEquals(dry.said, real.said);
    const errors = new Set(real.said);
    assertEquals(real.log.filter((line) => errors.has(line)), real.said);
    assertEquals(dry.shown, real.log.filter((line) => !errors.has(line)));
    assertEquals(dry.shown.map((line) => kinds.exec(line)?.[1]).filter(Boolean).join(" "), steps);
  });
}

Deno.test("a dry run of an event that takes no step leaves no lock", async () => {
  using fixture = new Fixture().disks({ vda: false });
  await fixture.event("release", "-", { dry: true });
  assertEquals(fixture.files(fixture.config), [`${DOMAIN}.json`]);
});

Deno.test("a dry run waits for nobody", async () => {
  using fixture = new Fixture();
  await up(fixture, false);
  const { lock } = await import("../lib/host/lock.ts");
  using _held = await lock(`${fixture.config}/${DOMAIN}.lock`);
  const { shown } = await fixture.event("release", "shutdown", { dry: true });
  assert(shown.length > 0);
});

Deno.test("a dry run interrupts no merge", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const { lock } = await import("../lib/host/lock.ts");
  using _merging = await lock(`${fixture.config}/${DOMAIN}.merging`);
  const { code, shown } = await fixture.event("prepare", "-", { dry: true });
  assertEquals([code, shown.length > 0], [0, true]);
});

Deno.test("a dry run of `started` leaves the word of the start", async () => {
  using fixture = new Fixture().disks({ vda: false });
  await fixture.good("prepare");
  const before = snapshot(fixture.root);
  await fixture.event("started", "-", { dry: true });
  assertEquals(snapshot(fixture.root), before);
});

Deno.test("what a dry run shows is the same, however often it is asked", async () => {
  using fixture = new Fixture();
  await up(fixture, true);
  fixture.configure({ vda: true }, LATER);
  const tree = new Tree(fixture.root).key;
  const first = await fixture.event("prepare", "-", { dry: true });
  assertEquals(await fixture.event("prepare", "-", { dry: true }), first);
  assertEquals(new Tree(fixture.root).key, tree);
});
