/**
 * Events of masters and seats, cut short at every step: what others stand on stays, and the next event goes on, which is tried after every
 * third way of being cut short, after each with `EVERY=1`.
 */

import { atEveryStep, EVERY, faults, inContext } from "./fault.ts";
import { Fixture } from "./fixture.ts";
import { Pool } from "./pool.ts";
import { PoolExpectations, poolScenarios, takeEvent } from "./pool_scenario.ts";
import { Tree } from "./tree.ts";

for (const scenario of poolScenarios) {
  Deno.test(`no seat loses what it stands on whatever goes wrong at any step of ${scenario.name}`, async () => {
    using fixture = new Fixture();
    const pool = new Pool(fixture);
    await scenario.setUp(pool);
    const before = new Tree(fixture.root);
    const busy = [...fixture.busy];
    const promised = new PoolExpectations(pool, scenario);
    const seen = new Set<string>();
    for (const fault of faults) {
      await atEveryStep(fault, async (failing) => {
        before.restore();
        fixture.busy = new Set(busy);
        await takeEvent(scenario, pool, { perform: failing.perform });
        const left = new Tree(fixture.root);
        if (seen.size === seen.add(left.key).size) return;
        promised.checkOthers();
        await inContext("a merge", async () => {
          await pool.merge();
          promised.checkOthers();
        });
        if (seen.size % EVERY !== 1 % EVERY) return;
        for (const sequence of scenario.next) {
          left.restore();
          fixture.busy = new Set(busy);
          await inContext(sequence, () => promised.checkLives(sequence));
        }
      });
    }
  });
}
