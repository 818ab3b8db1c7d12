import { atEveryStep, type Fault, faults, told } from "./fault.ts";
import { Promised } from "./promised.ts";
import { failed, type Finds, type Scenario, scenarios, type Sequence } from "./scenario.ts";
import { Tree } from "./tree.ts";
import { World } from "./world.ts";

const one = [1, 2, 3].flatMap((layers) => scenarios(["vda"], layers));
const two = [1, 2].flatMap((layers) => scenarios(["vda", "vdb"], layers));

for (const scenario of [...one, ...two]) {
  Deno.test(`nothing is lost or mixed whatever goes wrong at any step of ${scenario.name}`, async () => {
    await withEveryFault(scenario, faults, async (world, promised) => {
      const crashed = new Tree(world.root);
      for (const [sequence, finds] of scenario.next) {
        crashed.restore();
        await take(world, sequence);
        await told(sequence, () => promised.checkLives(finds));
      }
    });
  });
}

for (const scenario of [...scenarios(["vda"], 2), ...scenarios(["vda", "vdb"], 1)]) {
  Deno.test(`nothing is lost or mixed if the start after ${scenario.name} is cut short, too`, async () => {
    const worst = ["dies before", "dies within"] as const;
    const seen = new Set<string>();
    await withEveryFault(scenario, worst, async (world, promised) => {
      const crashed = new Tree(world.root);
      for (const [sequence, finds] of scenario.next) {
        crashed.restore();
        await cutAgain(world, promised, sequence, finds, seen);
      }
    });
  });
}

/** The last event of a sequence is the start: cut short, the whole sequence comes again, with or without an end. */
async function cutAgain(
  world: World,
  promised: Promised,
  sequence: Sequence,
  finds: Finds,
  seen: Set<string>,
): Promise<void> {
  await take(world, sequence.slice(0, -1));
  const before = new Tree(world.root);
  const again = sequence.filter(([operation]) => operation !== "release");
  await atEveryStep("dies before", async (failing) => {
    before.restore();
    const [operation, extra] = sequence.at(-1)!;
    await world.event(operation, extra, { perform: failing.perform });
    const twice = new Tree(world.root);
    if (!isNew(seen, twice.key + again)) return;
    for (const end of promised.scenario.heldByEnd ? [[]] : [[], [failed]]) {
      twice.restore();
      await take(world, [...end, ...again]);
      await told([...sequence, "cut short", ...end, ...again], () => promised.checkLives(finds));
    }
  });
}

/** Runs the scenario's event once with every fault, and `check` on each tree that is left and was not left before. */
async function withEveryFault(
  scenario: Scenario,
  of: readonly Fault[],
  check: (world: World, promised: Promised) => Promise<void>,
): Promise<void> {
  using world = new World();
  await scenario.setUp(world);
  const promised = new Promised(world, scenario);
  const before = new Tree(world.root);
  const obstacles = [...world.full];
  const seen = new Set<string>();
  for (const fault of of) {
    await atEveryStep(fault, async (failing) => {
      before.restore();
      for (const obstacle of obstacles) world.full.add(obstacle);
      const [operation, extra] = scenario.event;
      await world.event(operation, extra, { perform: failing.perform });
      promised.checkWhole();
      scenario.mend?.(world);
      if (isNew(seen, new Tree(world.root).key)) await check(world, promised);
    });
  }
}

function isNew(seen: Set<string>, key: string): boolean {
  return seen.size < seen.add(key).size;
}

async function take(world: World, sequence: Sequence): Promise<void> {
  for (const [operation, extra] of sequence) await world.event(operation, extra);
}
