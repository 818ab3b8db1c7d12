/** Everything is killed at once, at each call that changes a file: of the hook, of its merge, and of qemu-img. */

import { allCuts } from "./cuts.ts";
import { inPlaces } from "./places.ts";
import { ProofFixture } from "./proof_fixture.ts";
import { sample, share, shared, steps } from "./shares.ts";
import { Tally } from "./tally.ts";
import { Trial } from "./trial.ts";

/** Of so many calls one is tried in the short run. */
const STRIDE = 20;

await shared(import.meta.url, "Killed at each call", new Tally("event", "calls"), async (tally) => {
  await inPlaces(async (places) => {
    for (const [index, cut] of share(sample(allCuts()))) {
      using fixture = new ProofFixture(places);
      const trial = await Trial.of(cut, fixture);
      for (const call of steps(index, STRIDE)) {
        const where = `${cut.event} (${cut.state}), killed at call ${call}`;
        let struck: string | undefined;
        try {
          ({ struck } = await trial.run(["--kill-at", `${call}`]));
          if (struck === undefined) break;
          await trial.check("fault");
          tally.passed(cut.event);
        } catch (error) {
          tally.failed(cut.event, `${where}: ${struck}`, error);
          if (struck === undefined) break;
        }
      }
    }
  });
});
