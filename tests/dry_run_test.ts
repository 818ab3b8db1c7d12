import { assert, assertEquals } from "@std/assert";
import { atEveryStep } from "./fault.ts";
import { DOMAIN, Fixture, LATER } from "./fixture.ts";
import { snapshot, Tree } from "./tree.ts";

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

type SetUp = (fixture: Fixture) => unknown;
const idle: SetUp = (fixture) => fixture.disks({ vda: false });
const withSetAside: SetUp = async (fixture) => {
  await up(fixture, false);
  await fixture.stop("-");
};

/** Events by operation and reason, of which something is shown. */
const events: readonly (readonly [of: string, setUp: SetUp, operation: string, extra?: string])[] = [
  ["a start", (fixture) => fixture.disks({ vda: false, vdb: false }), "prepare"],
  ["a start after a power cut", (fixture) => up(fixture, false), "prepare"],
  ["a start after a power cut in a flagged session", (fixture) => up(fixture, true), "prepare"],
  ["a start that finishes a commit", committing, "prepare"],
  ["a start that is refused", (fixture) => Deno.removeSync(fixture.disks({ vda: false }).vda), "prepare"],
  ["a start with a configuration that isn't valid", (fixture) => fixture.configureText("{"), "prepare"],
  ["a start from a save", async (fixture) => {
    await withSetAside(fixture);
    await fixture.event("restore");
  }, "prepare"],
  ["a start without the session that was set aside", withSetAside, "prepare"],
  ["an end", (fixture) => up(fixture, false, false), "release", "shutdown"],
  ["the end of a flagged session", (fixture) => up(fixture, true, true), "release", "shutdown"],
  [
    "the end of a start that failed",
    async (fixture) => {
      await fixture.disks({ vda: true }).good("prepare");
    },
    "release",
    "failed",
  ],
  ["an end without a reason", (fixture) => up(fixture, false), "release"],
  ["a crash in a flagged session", (fixture) => up(fixture, true), "release", "crashed"],
  ["a save", (fixture) => up(fixture, true), "release", "saved"],
  ["a resume", idle, "restore"],
  ["an incoming migration", idle, "migrate"],
  ["an event that nobody knows", idle, "new-in-libvirt"],
];
/** … and those of which nothing is. */
const nothing: typeof events = [
  ["a start of a guest that isn't ours", () => {}, "prepare"],
  ["an event that is none of our business", (fixture) => up(fixture, true), "stopped"],
];

for (const [of, setUp, operation, extra] of [...events, ...nothing]) {
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
    assertEquals(dry.shown.length > 0, nothing.every(([name]) => name !== of));
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

Deno.test("a dry run of a start shows what becomes of an undo that was cut short", async () => {
  await atEveryStep("dies after", async (failing) => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 3 };
    await up(fixture, true);
    await fixture.stop();
    await fixture.command("undo", { perform: failing.perform });
    const { code, said } = await fixture.event("prepare", "-", { dry: true });
    assertEquals([code, said], [0, []]);
    assertEquals((await fixture.event("prepare")).code, 0);
  });
});
