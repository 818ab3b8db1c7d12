import { checkEveryFault } from "./event_faults.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";
import { scenarios } from "./scenario.ts";

for (const scenario of [...scenarios(["vda"], 1), ...scenarios(["vda", "vdb"], 2)]) {
  Deno.test(`firmware fits to its disk whatever goes wrong at any step of ${scenario.name}`, () =>
    checkEveryFault(scenario, () => new FirmwareFixture()));
}
