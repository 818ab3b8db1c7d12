/** Events that go wrong at each of their steps, in each way: what the tests of crashes have in common. */

import { atEveryStep, type Fault, faults, inContext } from "./fault.ts";
import { Expectations } from "./expectations.ts";
import type { Scenario, Sequence } from "./scenario.ts";
import { Tree } from "./tree.ts";
import { Fixture } from "./fixture.ts";

/**
 * Whatever goes wrong at any step of the scenario's event, what comes next finds what is promised.
 *
 * @param every of the trees that are left, how many there are for each that is gone on with
 */
export async function checkEveryFault(
  scenario: Scenario,
  make = () => new Fixture(),
  every = 1,
): Promise<void> {
  let count = 0;
  await withEveryFault(scenario, faults, async (fixture, promised) => {
    if (count++ % every !== 0) return;
    const crashed = new Tree(fixture.root);
    for (const [sequence, finds] of scenario.next) {
      crashed.restore();
      await take(fixture, sequence);
      await inContext(sequence, () => promised.checkLives(finds));
    }
  }, make);
}

/** Runs the scenario's event once with every fault, and `check` on each tree that is left and was not left before. */
export async function withEveryFault(
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

/** Whether it is there for the first time. */
export function isNew(seen: Set<string>, key: string): boolean {
  return seen.size < seen.add(key).size;
}

export async function take(fixture: Fixture, sequence: Sequence): Promise<void> {
  for (const [operation, extra] of sequence) await fixture.event(operation, extra);
}
