import { decide } from "../../lib/state/decision_table.ts";
import { decideSeat } from "../../lib/state/seat_table.ts";

// To make them takes a while.
const facts = () => import("../../tests/facts.ts");

type Decide<Facts> = (
  facts: Facts,
) => { readonly row: { readonly decision: string } } | { readonly lookUp: string };

/** By the file of a state table: whether another one, which lies at that path, decides and asks for the same in every case that there is. */
export const decidesTheSame: Readonly<Record<string, (path: string) => Promise<boolean>>> = {
  "lib/state/decision_table.ts": async (path) => {
    const [other, { atPrepare, atRelease }] = await Promise.all([load(path), facts()]);
    return areTheSame(decide, other.decide, [...atPrepare, ...atRelease]);
  },
  "lib/state/seat_table.ts": async (path) => {
    const [other, { seatFacts }] = await Promise.all([load(path), facts()]);
    return areTheSame(decideSeat, other.decideSeat, seatFacts());
  },
};

function load(path: string) {
  return import(`${path}?${crypto.randomUUID()}`);
}

function areTheSame<Facts extends { readonly saved?: unknown; readonly look?: unknown }>(
  one: Decide<Facts>,
  other: Decide<Facts>,
  all: Iterable<Facts>,
): boolean {
  for (const facts of all) {
    const { saved: _, look: __, ...known } = facts;
    for (const asked of [facts, known as Facts]) {
      if (verdict(one, asked) !== verdict(other, asked)) return false;
    }
  }
  return true;
}

function verdict<Facts>(decide: Decide<Facts>, facts: Facts): string {
  try {
    const verdict = decide(facts);
    return "row" in verdict ? verdict.row.decision : `look up ${verdict.lookUp}`;
  } catch (error) {
    return String(error);
  }
}
