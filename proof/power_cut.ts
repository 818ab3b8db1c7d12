/** The power fails after each call: what was not synced is lost, in part or wholly, and names in any order. */

import { allCuts } from "./cuts.ts";
import { inPlaces } from "./places.ts";
import { ProofFixture } from "./proof_fixture.ts";
import { randomly } from "./random.ts";
import { readRecord } from "./record.ts";
import { isShort, sample, share, shared } from "./shares.ts";
import { type Choice, type Found, lay, Storage } from "./storage.ts";
import { Tally } from "./tally.ts";
import { Trial } from "./trial.ts";

/** Of more changes of names than this not every combination is tried, but so many times two to its power. */
const EXHAUSTIVE = 6;
/** So many different outcomes of one event are judged, chosen evenly. */
const OUTCOMES = isShort ? 3 : 24;

interface Outcome {
  /** Calls before the cut. */
  readonly calls: number;
  readonly done: boolean;
  readonly files: () => Map<string, Found>;
}

/** Every different outcome of a power cut during these calls. */
function outcomes(storage: Storage, path: string, code: number): Outcome[] {
  const calls = readRecord(path);
  const random = randomly(1);
  const found = new Map<string, Outcome>();
  for (let n = 0;; n++) {
    for (const choice of choices(storage, random)) {
      const { key, files } = storage.cut(choice);
      const done = n === calls.length && code === 0;
      if (done || !found.has(key)) found.set(key, { calls: n, done, files });
    }
    if (n === calls.length) return [...found.values()];
    storage.apply(calls[n]!);
  }
}

function* choices(storage: Storage, random: () => number): Generator<Choice> {
  const { uncertain, isWritten } = storage;
  const few = uncertain <= EXHAUSTIVE;
  for (let combination = 0; combination < 2 ** Math.min(uncertain, EXHAUSTIVE); combination++) {
    const luck = Array.from({ length: uncertain }, () => random() < 0.5);
    const named = (n: number) => few ? (combination >> n & 1) === 1 : luck[n]!;
    yield { named, written: () => 0 };
    if (!isWritten) continue;
    yield { named, written: () => 1 };
    for (let times = 0; times < 2; times++) {
      const share = () => [0, 0.3, 0.6, 1][Math.floor(random() * 4)]!;
      const shares = new Map<string, number>();
      const written = (file: number, n: number) => {
        const key = `${file} ${n}`;
        return shares.get(key) ?? shares.set(key, share()).get(key)!;
      };
      yield { named, written };
    }
  }
}

await shared(import.meta.url, "Power cut after each call", new Tally("event", "outcomes"), async (tally) => {
  await inPlaces(async (places) => {
    for (const [, cut] of share(sample(allCuts()))) {
      using fixture = new ProofFixture(places);
      const trial = await Trial.of(cut, fixture);
      fixture.restore(trial.before);
      const storage = new Storage(fixture.root);
      const record = `${places.folder}/record`;
      const { code } = await fixture.trace(cut.args, ["--record", record]);
      const all = outcomes(storage, record, code);
      const every = Math.max(1, all.length / OUTCOMES);
      for (let at = 0; at < all.length; at += every) {
        const { calls, done, files } = all[Math.floor(at)]!;
        try {
          lay(fixture.root, files());
          await trial.check("reboot", done);
          tally.passed(cut.event);
        } catch (error) {
          tally.failed(
            cut.event,
            `${cut.event} (${cut.state}), outcome ${Math.floor(at)}, after call ${calls}`,
            error,
          );
        }
      }
    }
  });
});
