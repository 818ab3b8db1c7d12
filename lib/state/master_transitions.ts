/** The moves of a disk that seats stand on, of which each keeps what transitions.ts says of all. */

import type { Names } from "./paths.ts";
import { allPublished, type Listing, parse, publishedOf, type State, topOf } from "./state.ts";
import type { Step } from "./step.ts";

/** Before the first seat stands on the disk: from here on it stays in layers, of which a plain disk gets its first. */
export function becomeMaster(names: Names, state: State, listing: Listing): Step[] {
  return [
    ...listing.has(names.master) ? [] : [{ kind: "mark", path: names.master } as const],
    ...state.kind === "plain" ? [{ kind: "link", from: names.image, to: names.layer(0) } as const] : [],
  ];
}

/**
 * The first version that is published, where that is done by hand: the newest commit before the next one. Where it is not done by
 * hand any more, nothing is published. Where the published version is gone, as with a backup that was put back, it is an older one.
 */
export function holdPublished(names: Names, listing: Listing, byHand: boolean): Step[] {
  const published = publishedOf(names, listing);
  const state = parse(names, listing);
  if (byHand && published !== undefined && "layers" in state && !state.layers.includes(published)) {
    // The next commit may have its number.
    return publish(names, listing, state.layers.findLast((number) => number < published) ?? state.layers[0]);
  }
  if (byHand === (published !== undefined)) return [];
  if (!byHand) return publish(names, listing, undefined);
  if (!("layers" in state)) return [];
  return publishAsMaster(names, listing, topOf(state.layers));
}

/** The same as {@link publish}, of a disk that may be no master yet. */
export function publishAsMaster(names: Names, listing: Listing, number: number): Step[] {
  const mark = listing.has(names.master) ? [] : [{ kind: "mark", path: names.master } as const];
  return [...mark, ...publish(names, listing, number)];
}

/** Has seats stand on this layer from their next start on; undefined: on the newest one, whatever comes. */
export function publish(names: Names, listing: Listing, number: number | undefined): Step[] {
  const [before, ...others] = allPublished(names, listing);
  // The lowest counts until it has another number, and then none of the others shall.
  const steps = others.toReversed().map((one): Step => ({ kind: "remove", path: names.published(one) }));
  if (before === number) return steps;
  if (number === undefined) return [...steps, { kind: "remove", path: names.published(before!) }];
  const next = names.published(number);
  return before === undefined
    ? [{ kind: "mark", path: next }]
    : [...steps, { kind: "rename", from: names.published(before), to: next }];
}
