/** The moves of a merge, of which each keeps what transitions.ts says of all: the two lowest layers become one. */

import { mergeNumber, type Names } from "./paths.ts";
import type { Owner } from "./session_record.ts";
import { type Listing, parse } from "./state.ts";
import type { Step } from "./step.ts";
import { flatten, giveBack, type Of, relink } from "./transitions.ts";

/** The layers that are merged next. */
export function lowestPair(
  names: Names,
  { layers }: Of<"layered">,
): { lower: string; upper: string } | undefined {
  const [lower, upper] = layers;
  return upper === undefined ? undefined : { lower: names.layer(lower), upper: names.layer(upper) };
}

/** Says beside the image, where every host sees it, that the lower of the two lowest layers is about to be half written. */
export function markMerge(names: Names, { layers: [, upper], torn }: Of<"layered">): Step[] {
  return upper === undefined || torn
    ? []
    : [{ kind: "link", from: names.layer(upper), to: names.merge(upper) }];
}

/**
 * The first part of a merge: copying. Nothing that the guest would see changes, however often it is cut short.
 *
 * @param how a layer that `isWhole` stands on nothing, and its content replaces that of the lower one
 */
export function copyToLower(
  names: Names,
  state: Of<"layered">,
  owner: Owner,
  how: { readonly isWhole?: true } = {},
): Step[] {
  const pair = lowestPair(names, state);
  if (pair === undefined) return [];
  const { lower, upper } = pair;
  return [...giveBack(lower, state, owner), { kind: "merge", layer: upper, into: lower, ...how }];
}

/** The second part: what was copied is whole, and on stable storage. `again` where a merge was cut short before. */
export function settleMerged(names: Names, state: Of<"layered">, again: boolean): Step[] {
  const pair = lowestPair(names, state);
  if (pair === undefined) return [];
  const { lower } = pair;
  return [
    ...again ? [{ kind: "repair", path: lower, what: "leaks" } as const] : [],
    { kind: "sync", path: lower },
  ];
}

/**
 * The last part: the merged file takes the name that the layers above stand on. The mark of the merge goes before the image has
 * its name again: beside a disk without layers it would be that of a commit which was lost.
 *
 * @param isWritten somebody has written to the disk since a session was set aside
 */
export function renameMerged(names: Names, state: Of<"layered">, isWritten = false): Step[] {
  const pair = lowestPair(names, state);
  if (pair === undefined) return [];
  const { lower, upper } = pair;
  const rename: Step[] = [{ kind: "rename", from: lower, to: upper }, ...removeMergeMark(names, state)];
  if (state.layers.length > 2) return rename;
  // The image is a name of the upper layer: left in place, it would look like a session on the merged file.
  return [
    { kind: "remove", path: names.image },
    ...rename,
    ...state.ended || state.master
      ? relink(names, upper)
      : [{ kind: "rename", from: upper, to: names.image } as const],
    // What the merge has written is no change of what that session stands on: see `keep`.
    ...state.ended && !isWritten ? [{ kind: "touch", path: names.ended } as const] : [],
  ];
}

function removeMergeMark(names: Names, { layers: [, upper], torn }: Of<"layered">): Step[] {
  return torn ? [{ kind: "remove", path: names.merge(upper!) }] : [];
}

/** In place of a merge, where the second layer stands on nothing: it is all that the lowest was needed for. */
export function dropLowest(
  names: Names,
  state: Of<"layered">,
): Step[] {
  const [lowest, next, ...higher] = state.layers;
  if (next === undefined) return [];
  return [
    { kind: "remove", path: names.layer(lowest) },
    ...removeMergeMark(names, state),
    ...flatten(names, { ...state, layers: [next, ...higher] }),
  ];
}

/** The marks of merges that are done: another file has the layer's name now, or that file is the disk itself. */
export function doneMerges(names: Names, listing: Listing): string[] {
  const state = parse(names, listing);
  return [...listing].flatMap(([path, inode]) => {
    const number = mergeNumber(names.image, path);
    if (number === undefined) return [];
    // As long as the layer has its own name, what it stands on may have been moved away, half written.
    const isDone = "layers" in state
      ? number < state.layers[0] || number === state.layers[0] && inode !== listing.get(names.layer(number))
      : inode === listing.get(names.image);
    return isDone ? [path] : [];
  });
}

/**
 * The marks of merges whose upper layer is gone, or is another file now, though the names below say that it was not merged: somebody
 * has thrown it away who doesn't know the mark, and what is left is half written.
 */
export function lostMerges(names: Names, listing: Listing): string[] {
  const done = doneMerges(names, listing);
  return [...listing].flatMap(([path, inode]) => {
    const number = mergeNumber(names.image, path);
    const isLost = number !== undefined && listing.get(names.layer(number)) !== inode && !done.includes(path);
    return isLost ? [path] : [];
  });
}
