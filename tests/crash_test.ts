/** Crashes in the events of guests: but for the simplest every third tree that is left is gone on with, each with `EVERY=1`. */

import { checkEveryFault } from "./event_faults.ts";
import { EVERY } from "./fault.ts";
import { scenarios } from "./scenario.ts";

const guests = [
  [scenarios(["vda"], 1), 1],
  ...[2, 3].map((layers) => [scenarios(["vda"], layers), EVERY] as const),
  ...[1, 2].map((layers) => [scenarios(["vda", "vdb"], layers), EVERY] as const),
] as const;

for (const [all, every] of guests) {
  for (const scenario of all) {
    Deno.test(`nothing is lost or mixed whatever goes wrong at any step of ${scenario.name}`, () =>
      checkEveryFault(scenario, undefined, every));
  }
}
