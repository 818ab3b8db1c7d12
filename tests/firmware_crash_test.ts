/**
 * Crashes in the events of guests with firmware: in every third event, and every third tree that is left is gone on with; in each, and
 * with each, with `EVERY=1`.
 */

import { checkEveryFault } from "./event_faults.ts";
import { EVERY } from "./fault.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";
import { scenarios } from "./scenario.ts";

const all = [...scenarios(["vda"], 1), ...scenarios(["vda", "vdb"], 2)];

for (const scenario of all.filter((_, index) => index % EVERY === 0)) {
  Deno.test(`firmware fits to its disk whatever goes wrong at any step of ${scenario.name}`, () =>
    checkEveryFault(scenario, () => new FirmwareFixture(), EVERY));
}
