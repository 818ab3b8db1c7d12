/** A seat at one event: what is known of it, and what that means. Pure. */

import type { Names } from "./paths.ts";
import type { SeatDecision, SeatFacts } from "./seat_table.ts";
import type { SeatRecord } from "./seat_record.ts";
import type { Owner } from "./session_record.ts";
import type { Listing } from "./state.ts";
import { isUnwrittenSinceRestore } from "./observed_disk.ts";

/** One seat at one event: all that is known of it before anything changes. */
export interface ObservedSeat {
  readonly target: string;
  readonly names: Names;
  /** Names of the master, where it is listed the configured one. */
  readonly master: Names;
  readonly record: SeatRecord | undefined;
  readonly listed: boolean;
  /** It stands on the newest commit, whatever is published. */
  readonly preview: boolean;
  readonly keepSession: SeatFacts["keeps"];
  readonly source: SeatFacts["source"];
  readonly listing: Listing;
  readonly file: SeatFacts["file"];
  /** What the session that lies there stands on. */
  readonly standsOn: StandsOn | undefined;
  /** The same of the session that is set aside. */
  readonly endedStandsOn: StandsOn | undefined;
  /** Which file the session is, as the record has it. */
  readonly made: number | undefined;
  /** The same of the one that is set aside. */
  readonly endedMade: number | undefined;
  /** Last writes of both, in milliseconds. */
  readonly written: number | undefined;
  readonly endedWritten: number | undefined;
  /** What the overlay of a session belongs to. */
  readonly owner: Owner;
}

/** A layer of a master. */
export interface StandsOn {
  readonly master: string;
  readonly layer: number;
}

/** A seat and what is to happen to it. */
export interface DecidedSeat {
  readonly seat: ObservedSeat;
  readonly decision: SeatDecision;
  /** It was left since another process has it open. */
  readonly isOpen?: boolean;
  /** It was left since what its start has set aside stays; its end was no save, or nobody can tell. */
  readonly beside?: SeatRecord["beside"];
}

/** Whether a session that lies there is not the matter of a start: the domain names it no more, or nobody can tell. */
export function isSeatLeft(decision: SeatDecision): boolean {
  return decision === "leave" || decision === "leave to a person";
}

export function beginsSeat(decision: SeatDecision): boolean {
  return decision === "new session" || decision === "set aside, new session";
}

/** Whether the session was begun by a start that never came up: the one that is set aside is the guest's last. */
export function isSeatUnborn(seat: ObservedSeat): boolean {
  const { file, names, listing, record } = seat;
  return file === "session" && listing.has(names.ended) && record?.aside !== undefined &&
    isNoted(seat) && !waitsToBeSetAside(seat);
}

/** What tells whether a session that lies there is needed. */
export type Lying = Pick<ObservedSeat, "file" | "names" | "listing" | "record" | "made" | "written">;

/** Whether an older session still lies in the image's place, which a start was about to set aside when it was cut short. */
export function waitsToBeSetAside({ file, names, listing, record, written }: Lying): boolean {
  if (file !== "session" || record?.aside !== "stay") return false;
  if (!listing.has(names.ended)) return true;
  // Once the new one has taken its place, that is noted.
  return record.made === undefined && written !== undefined && record.setsAside === written;
}

/** Whether the session must outlive what comes now: a saved guest may come back for it, or it waits to be set aside. */
export function isSeatAwaited(seat: Lying): boolean {
  return seat.record?.waits === true || waitsToBeSetAside(seat);
}

/** Whether what the session's own start has set aside is still there, and outlives the session. */
export function hasStaying(seat: ObservedSeat): boolean {
  const { endedWritten, record } = seat;
  return record?.stays === true && isSameTime(endedWritten, record.setsAside);
}

/** What is noted of the end of the session that lies there, if that has left it to be set aside. */
export function besideOf(seat: ObservedSeat): SeatRecord["beside"] {
  const { file, made, record } = seat;
  const isIts = record?.made === undefined ? waitsToBeSetAside(seat) : record.made === made;
  return file === "session" && isIts ? record?.beside : undefined;
}

/** Whether it is noted that a guest was saved on the session that lies there, or has gone to another host with it. */
export function isKnownAway(seat: Lying): boolean {
  return isSavedOn(seat) || seat.record?.left === true || waitsToBeSetAside(seat);
}

/** Whether it is known that the guest was saved on the session that lies there, or its memory came back to it and may have to again. */
export function isSavedOn(seat: Lying): boolean {
  const { record } = seat;
  return isNoted(seat) &&
    (record?.waits === true && record.beside === undefined && !record.left || isUnwrittenSinceRestore(seat));
}

/** Whether the session that lies there is the one of which the note tells, and not one that another host has begun since. */
export function isNoted({ file, made, record }: Pick<ObservedSeat, "file" | "made" | "record">): boolean {
  return record !== undefined && (file !== "session" || record.made === undefined || record.made === made);
}

/**
 * Whether another session lies there than the one that a guest was saved on here: it was written to since, or was never saved. Where no
 * last write is noted, the file tells; a restore that was cut short may have put it back.
 */
export function isAnotherSession(seat: ObservedSeat): boolean {
  const { file, written, record } = seat;
  if (file !== "session" || record === undefined) return false;
  const isIts = record.written === undefined
    ? isNoted(seat) || isUnwrittenSinceRestore(seat)
    : isSameTime(written, record.written);
  return !isIts || besideOf(seat) === "ended";
}

/** Whether the session that lies there was begun, or has gone on, at another host, where the guest may have been saved on it. */
export function isAnotherHosts(seat: ObservedSeat): boolean {
  return seat.record?.left === true || isAnotherSession(seat) && besideOf(seat) !== "ended";
}

/** Whether two times, in milliseconds, are one that many a copy of a file has in whole seconds only. */
export function isSameTime(one: number | undefined, other: number | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  const [first, second] = [one, other].map((time) => Math.floor(time / 1000) * 1000);
  return one === other || first === second && (one === first || other === second);
}

/** Whether a session is set aside, at a restore the one that the guest was saved on. */
export function hasSetAside(
  { names, listing, endedWritten, record }: ObservedSeat,
  start: SeatFacts["start"],
): boolean {
  const its = record?.written ?? record?.setsAside;
  const isIts = its === undefined || isSameTime(endedWritten, its);
  return listing.has(names.ended) && (start !== "resume" || isIts);
}
