import { checkEveryFault } from "./event_faults.ts";
import { scenarios } from "./scenario.ts";

const one = [1, 2, 3].flatMap((layers) => scenarios(["vda"], layers));
const two = [1, 2].flatMap((layers) => scenarios(["vda", "vdb"], layers));

for (const scenario of [...one, ...two]) {
  Deno.test(`nothing is lost or mixed whatever goes wrong at any step of ${scenario.name}`, () =>
    checkEveryFault(scenario));
}
