import { atEveryStep, type Fault, faults, inContext } from "./fault.ts";
import { Expectations } from "./expectations.ts";
import { failed, type Finds, type Scenario, scenarios, type Sequence } from "./scenario.ts";
import { Tree } from "./tree.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";
import { Fixture } from "./fixture.ts";

const one = [1, 2, 3].flatMap((layers) => scenarios(["vda"], layers));
const two = [1, 2].flatMap((layers) => scenarios(["vda", "vdb"], layers));

for (const scenario of [...one, ...two]) {
  Deno.test(`nothing is lost or mixed whatever goes wrong at any step of ${scenario.name}`, async () => {
    await withEveryFault(scenario, faults, async (fixture, promised) => {
      const crashed = new Tree(fixture.root);
      for (const [sequence, finds] of scenario.next) {
        crashed.restore();
        await take(fixture, sequence);
        await inContext(sequence, () => promised.checkLives(finds));
      }
    });
  });
}

for (const scenario of [...scenarios(["vda"], 2), ...scenarios(["vda", "vdb"], 1)]) {
  Deno.test(`nothing is lost or mixed if the start after ${scenario.name} is cut short, too`, async () => {
    const worst = ["dies before", "dies within"] as const;
    const seen = new Set<string>();
    await withEveryFault(scenario, worst, async (fixture, promised) => {
      const crashed = new Tree(fixture.root);
      for (const [sequence, finds] of scenario.next) {
        crashed.restore();
        await cutAgain(fixture, promised, sequence, finds, seen);
      }
    });
  });
}

for (const scenario of [...scenarios(["vda"], 1), ...scenarios(["vda", "vdb"], 2)]) {
  Deno.test(`firmware fits to its disk whatever goes wrong at any step of ${scenario.name}`, async () => {
    await withEveryFault(scenario, faults, async (fixture, promised) => {
      const crashed = new Tree(fixture.root);
      for (const [sequence, finds] of scenario.next) {
        crashed.restore();
        await take(fixture, sequence);
        await inContext(sequence, () => promised.checkLives(finds));
      }
    }, () => new FirmwareFixture());
  });
}

/** The last event of a sequence is the start: cut short, the whole sequence comes again, with or without an end. */
async function cutAgain(
  fixture: Fixture,
  promised: Expectations,
  sequence: Sequence,
  finds: Finds,
  seen: Set<string>,
): Promise<void> {
  await take(fixture, sequence.slice(0, -1));
  const before = new Tree(fixture.root);
  const again = sequence.filter(([operation]) => operation !== "release");
  await atEveryStep("dies before", async (failing) => {
    before.restore();
    const [operation, extra] = sequence.at(-1)!;
    await fixture.event(operation, extra, { perform: failing.perform });
    const twice = new Tree(fixture.root);
    if (!isNew(seen, twice.key + again)) return;
    for (const end of promised.scenario.heldByEnd ? [[]] : [[], [failed]]) {
      twice.restore();
      await take(fixture, [...end, ...again]);
      await inContext([...sequence, "cut short", ...end, ...again], () => promised.checkLives(finds));
    }
  });
}

/** Runs the scenario's event once with every fault, and `check` on each tree that is left and was not left before. */
async function withEveryFault(
  scenario: Scenario,
  of: readonly Fault[],
  check: (fixture: Fixture, promised: Expectations) => Promise<void>,
  make = () => new Fixture(),
): Promise<void> {
  using fixture = make();
  await scenario.setUp(fixture);
  const promised = new Expectations(fixture, scenario);
  const before = new Tree(fixture.root);
  const obstacles = [...fixture.full];
  const seen = new Set<string>();
  for (const fault of of) {
    await atEveryStep(fault, async (failing) => {
      before.restore();
      for (const obstacle of obstacles) fixture.full.add(obstacle);
      const [operation, extra] = scenario.event;
      await fixture.event(operation, extra, { perform: failing.perform });
      promised.checkWhole();
      scenario.mend?.(fixture);
      if (isNew(seen, new Tree(fixture.root).key)) await check(fixture, promised);
    });
  }
}

function isNew(seen: Set<string>, key: string): boolean {
  return seen.size < seen.add(key).size;
}

async function take(fixture: Fixture, sequence: Sequence): Promise<void> {
  for (const [operation, extra] of sequence) await fixture.event(operation, extra);
}
