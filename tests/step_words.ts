import type { Names } from "../lib/state/paths.ts";
import type { Step } from "../lib/state/step.ts";

/** The steps of a move in a line of words, with the names beside the image instead of paths. */
export function wordsOf(names: Names): (steps: readonly Step[]) => string {
  const known = [
    ...Object.entries(names),
    ...[0, 1, 2].flatMap((number) => [
      [`${number}`, names.layer(number)],
      [`merge.${number}`, names.merge(number)],
      [`published.${number}`, names.published(number)],
    ]),
  ];
  const short = (path: string) => known.find(([, other]) => other === path)?.[0] ?? path;
  return (steps) =>
    steps.map((step) =>
      [step.kind, ...Object.values(step).slice(1).filter((value) => typeof value === "string").map(short)]
        .join(" ")
    ).join(", ");
}
