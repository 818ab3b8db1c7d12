/**
 * The program with all mutants in it, each behind a switch: `isMutant(number)` tells in the running program whether it is the one that
 * lives. So the program is loaded once for all of them, and what asks for a switch has reached its mutant.
 */

import type { Change } from "./mutant.ts";

/** A change, and the number of the mutant that it belongs to. */
export type Numbered = Change & { readonly mutant: number };

/** Puts the switches into a source; a program that knows of no mutants runs as before. */
export function withSwitches(source: string, changes: readonly Numbered[]): string {
  const isInner = ({ what }: Change) => Number(what === "expression");
  const sorted = changes.toSorted((one, other) =>
    one.start - other.start || other.end - one.end || isInner(one) - isInner(other)
  );
  return `globalThis.isMutant ??= () => false; ${switched(source, 0, source.length, sorted)}`;
}

/** A piece of the source. @param changes those in it, the outer before the inner */
function switched(source: string, start: number, end: number, changes: readonly Numbered[]): string {
  const [outer] = changes;
  if (outer === undefined) return source.slice(start, end);
  const within = changes.filter((change) => change.start < outer.end);
  const same = within.filter(({ end, what }) => end === outer.end && what === outer.what)
    .filter((change) => change.start === outer.start);
  const original = switched(
    source,
    outer.start,
    outer.end,
    within.filter((change) => !same.includes(change)),
  );
  return source.slice(start, outer.start) + same.reduce(choice, original) +
    switched(source, outer.end, end, changes.slice(within.length));
}

function choice(original: string, { what, text, mutant }: Numbered): string {
  const lives = `globalThis.isMutant(${mutant})`;
  switch (what) {
    case "statement":
      return `{ if (${lives}) { ${text} } else { ${original} } }`;
    case "element":
      return `...(${lives} ? [${text}] : [${original}])`;
    case "property":
      return `...(${lives} ? { ${text} } : { ${original} })`;
    case "expression":
      return `(${lives} ? (${text}) : (${original}))`;
    default:
      return what satisfies never;
  }
}
