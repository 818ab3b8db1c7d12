/** The start that comes after an event that was cut short is cut short, too: after every third way of the first, all of them with `EVERY=1`. */

import { isNew, take, withEveryFault } from "./event_faults.ts";
import type { Expectations } from "./expectations.ts";
import { atEveryStep, EVERY, inContext } from "./fault.ts";
import type { Fixture } from "./fixture.ts";
import { failed, type Finds, scenarios, type Sequence } from "./scenario.ts";
import { Tree } from "./tree.ts";

// That no guest came up on a session is known of one start that was cut short, not of two: it is set aside then.
const all = [...scenarios(["vda"], 2), ...scenarios(["vda", "vdb"], 1)]
  .map((scenario) => ({ ...scenario, setsAside: true as const }));

for (const scenario of all) {
  Deno.test(`nothing is lost or mixed if the start after ${scenario.name} is cut short, too`, async () => {
    const worst = ["dies before", "dies within"] as const;
    const seen = new Set<string>();
    let count = 0;
    await withEveryFault(scenario, worst, async (fixture, promised) => {
      if (count++ % EVERY !== 0) return;
      const crashed = new Tree(fixture.root);
      for (const [sequence, finds] of scenario.next) {
        crashed.restore();
        await cutAgain(fixture, promised, sequence, finds, seen);
      }
    });
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
