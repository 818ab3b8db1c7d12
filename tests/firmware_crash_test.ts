/** Crashes in the events of guests with firmware: of two disks every third tree that is left is gone on with, each with `EVERY=1`. */

import { checkEveryFault } from "./event_faults.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";
import { scenarios } from "./scenario.ts";

const EVERY = Number(Deno.env.get("EVERY") ?? 3);
const guests = [[scenarios(["vda"], 1), 1], [scenarios(["vda", "vdb"], 2), EVERY]] as const;

for (const [all, every] of guests) {
  for (const scenario of all) {
    Deno.test(`firmware fits to its disk whatever goes wrong at any step of ${scenario.name}`, () =>
      checkEveryFault(scenario, () => new FirmwareFixture(), every));
  }
}
