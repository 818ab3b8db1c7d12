/** The steps that change a seat at a start and at an end. Pure. */

import type { DecidedSeat, ObservedSeat } from "./seat.ts";
import type { Listing } from "./state.ts";
import type { Step } from "./step.ts";
import { makeScratch } from "./transitions.ts";

/** What goes just before a start sets another session aside. */
export function forgetOlder({ seat: { names }, decision }: DecidedSeat, now: Listing): Step[] {
  return decision === "set aside, new session" && now.has(names.ended)
    ? [{ kind: "remove", path: names.ended }]
    : [];
}

/** The overlay of a new session, under a name that nobody looks for. */
export function createSeat({ names, owner, listing }: ObservedSeat, backing: string): Step[] {
  return [
    ...listing.has(names.scratch) ? [{ kind: "remove", path: names.scratch } as const] : [],
    ...makeScratch(names, { kind: "create", overlay: names.scratch, backing }, owner),
  ];
}

/** The last steps of a start. */
export function seatAtPrepare({ seat: { names }, decision }: DecidedSeat): Step[] {
  switch (decision) {
    case "new session":
      return [{ kind: "rename", from: names.scratch, to: names.image }];
    case "set aside, new session":
      return [
        { kind: "rename", from: names.image, to: names.ended },
        { kind: "rename", from: names.scratch, to: names.image },
      ];
    case "put back":
      return [{ kind: "rename", from: names.ended, to: names.image }];
    default:
      return [];
  }
}

/** What a start has done to a seat: another host may be beginning a session of it at the same time. */
export interface DoneToSeat {
  /** The file that it has made. */
  readonly made?: number | undefined;
  /** Names that it has renamed something to. */
  readonly names: ReadonlySet<string>;
}

/** Takes back what a start did to a seat, from wherever it stopped, and nothing else. */
export function undoSeat(
  { seat: { names, listing: before }, decision }: DecidedSeat,
  now: Listing,
  { made, names: own }: DoneToSeat,
): Step[] {
  const remove = (path: string): Step[] =>
    made !== undefined && now.get(path) === made ? [{ kind: "remove", path }] : [];
  if (decision === "put back") {
    // A rename that failed may have been done all the same.
    const isDone = now.get(names.image) === before.get(names.ended);
    return isDone && !now.has(names.ended) ? [{ kind: "rename", from: names.image, to: names.ended }] : [];
  }
  // Another host may have given the image's name to what was made here, under the name that both use, and run on it.
  const steps = [...remove(names.scratch), ...own.has(names.image) ? remove(names.image) : []];
  // Of one that was set aside.
  const isAside = own.has(names.ended) && now.get(names.ended) === before.get(names.image);
  const isFree = !now.has(names.image) || own.has(names.image) && now.get(names.image) === made;
  return [
    ...steps,
    ...isAside && isFree ? [{ kind: "rename", from: names.ended, to: names.image } as const] : [],
  ];
}

/** The steps of an end; `isUp` if the guest had come up. */
export function seatAtRelease(
  { seat: { names, listing, record }, decision }: DecidedSeat,
  isUp: boolean,
): Step[] {
  const remove = (path: string): Step[] => listing.has(path) ? [{ kind: "remove", path }] : [];
  switch (decision) {
    case "discard":
      // Nobody was told that the guest is up.
      return [
        ...remove(names.scratch),
        ...isUp && record?.aside === "forget" ? remove(names.ended) : [],
        ...remove(names.image),
      ];
    case "put back":
      return [...remove(names.scratch), { kind: "rename", from: names.ended, to: names.image }];
    case "set aside":
      return [...remove(names.ended), { kind: "rename", from: names.image, to: names.ended }];
    default:
      return [];
  }
}
