import { decide, type Facts, type Verdict } from "../../lib/state/decision_table.ts";
import { atPrepare, atRelease, type Known } from "../../tests/facts.ts";

type Decide = (facts: Facts) => Verdict;

/** Whether another state table decides, and asks for, the same in every case that there is. */
export async function decidesTheSame(path: string): Promise<boolean> {
  const other: Decide = (await import(`${path}?${crypto.randomUUID()}`)).decide;
  return [...atPrepare, ...atRelease].every((facts) => {
    const { saved: _, look: __, ...known } = facts;
    return verdict(decide, facts) === verdict(other, facts) &&
      verdict(decide, known) === verdict(other, known);
  });
}

function verdict(decide: Decide, facts: Facts | Known): string {
  try {
    const verdict = decide(facts);
    return "row" in verdict ? verdict.row.decision : `look up ${verdict.lookUp}`;
  } catch (error) {
    return String(error);
  }
}
