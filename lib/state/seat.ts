/** A seat at one event, the steps that change it, and what is noted of it. Pure. */

import type { Names } from "./paths.ts";
import type { SeatDecision, SeatFacts } from "./seat_table.ts";
import type { SeatRecord } from "./seat_record.ts";
import { ways } from "./records_at_prepare.ts";
import type { EndedGuest } from "./records_at_release.ts";
import type { Owner } from "./session_record.ts";
import type { Listing } from "./state.ts";
import type { Step } from "./step.ts";
import { makeScratch } from "./transitions.ts";

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
  readonly made: string | undefined;
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
}

export function beginsSeat(decision: SeatDecision): boolean {
  return decision === "new session" || decision === "set aside, new session";
}

/** Whether the session was begun by a start that never came up: the one that is set aside is the guest's last. */
export function isSeatUnborn({ file, names, listing, record }: ObservedSeat): boolean {
  return file === "session" && listing.has(names.ended) && record?.aside !== undefined;
}

/** Whether the session must outlive what comes now: a saved guest may come back for it, or it waits to be set aside. */
export function isSeatAwaited(
  { file, names, listing, record }: Pick<ObservedSeat, "file" | "names" | "listing" | "record">,
): boolean {
  return record?.waits === true ||
    file === "session" && record?.aside === "stay" && !listing.has(names.ended);
}

/** Whether the session that lies there is the one of which the note tells, and not one that another host has begun since. */
export function isNoted({ file, made, record }: ObservedSeat): boolean {
  return record !== undefined && (file !== "session" || record.made === undefined || record.made === made);
}

/** Whether another session lies there than the one that a guest was saved on here: it was written to since. */
export function isAnotherSession({ file, written, record }: ObservedSeat): boolean {
  return file === "session" && record?.written !== undefined && written !== record.written;
}

/** Whether a session is set aside, at a restore the one that the guest was saved on. */
export function hasSetAside(
  { names, listing, endedWritten, record }: ObservedSeat,
  start: SeatFacts["start"],
): boolean {
  const isIts = record?.written === undefined || record.written === endedWritten;
  return listing.has(names.ended) && (start !== "resume" || isIts);
}

/** What is removed before it is noted that a start sets another session aside. */
export function forgetOlder({ seat: { names, listing }, decision }: DecidedSeat): Step[] {
  return decision === "set aside, new session" && listing.has(names.ended)
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
  const putBack: Step[] = [{ kind: "rename", from: names.image, to: names.ended }];
  if (decision === "put back") return own.has(names.image) ? putBack : [];
  const steps = [...remove(names.scratch), ...remove(names.image)];
  // Of one that was set aside.
  const isAside = own.has(names.ended) && now.get(names.ended) === before.get(names.image);
  const isFree = !now.has(names.image) || now.get(names.image) === made;
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
    case "set aside":
      return [...remove(names.ended), { kind: "rename", from: names.image, to: names.ended }];
    default:
      return [];
  }
}

/** What the note says of a seat from this start on; undefined where nothing stands on anything. */
export function seatRecordAtPrepare(
  { seat, decision }: DecidedSeat,
  on: StandsOn | undefined,
  { now, host }: { readonly now: Date; readonly host: string },
  start: keyof typeof ways,
): SeatRecord | undefined {
  const { target, names, record, listing, owner } = seat;
  if (on === undefined) return decision === "nothing" ? undefined : record;
  const came = ways[start];
  const hasEnded = listing.has(names.ended);
  const base = { target, image: names.image, ...on, host, owner: record?.owner ?? owner };
  if (beginsSeat(decision)) {
    // A start that was cut short is begun again: what it has set aside has not outlived any start yet.
    const aside = decision === "set aside, new session"
      ? "stay"
      : hasEnded
      ? record?.aside ?? "forget"
      : undefined;
    return { ...base, started: now.toISOString(), ...came && { came }, ...aside && { aside } };
  }
  if (decision === "leave" || decision === "leave to a person") {
    return record && { ...record, detached: true };
  }
  if (decision !== "keep" && decision !== "put back") return record;
  const resumed = decision === "put back" ? seat.endedWritten : seat.written;
  return {
    ...base,
    started: record?.started ?? now.toISOString(),
    continued: now.toISOString(),
    // Until the guest is up, its memory may have to come back once more.
    ...(decision === "put back" || record?.waits) && { waits: true },
    ...record?.written !== undefined && { written: record.written },
    ...decision === "keep" && isNoted(seat) && record?.made !== undefined && { made: record.made },
    ...came && { came },
    ...came === "restore" && resumed !== undefined && { resumed },
    // What is noted is an earlier session, or an earlier stay here.
    ...came === "migration" && (!isNoted(seat) || record?.left) &&
      { visits: record === undefined ? "first" : "again" } as const,
    ...decision === "keep" && record?.aside && { aside: record.aside },
  };
}

/** What the note says of the seats at an end, as long as a session of theirs stands on something. */
export function seatRecordsAtRelease(
  decided: readonly DecidedSeat[],
  { isUp, isSaved = false, isRefused = false, isMigrated = false, isGone = false, isAborted = false }:
    EndedGuest,
): SeatRecord[] {
  return decided.flatMap(({ seat: { record, file, written }, decision, isOpen = false }) => {
    if (record === undefined || decision === "discard" || decision === "set aside") return [];
    const isLeft = decision === "leave";
    // The guest did not come, and its session is its own host's matter.
    const isTheirs = record.visits !== undefined && isAborted && isLeft && !isSaved && !isGone;
    if (isTheirs && record.visits === "first") return [];
    const { aside, visits, ...rest } = record;
    // Where both hosts have one note, a session that came by migration is the other's already.
    const isOwn = record.came !== "migration" || visits !== undefined;
    const isElsewhere = isLeft && (isTheirs || isOwn && (isGone || isOpen));
    const isWaiting = file === "session" && isLeft && (isSaved || isOwn && isMigrated || isElsewhere);
    const isMigratedAway = isGone || record.came === "migration";
    // One that goes on elsewhere is written to there. That a restored guest came up may not have been noted.
    const isLast = isSaved && !isRefused && !isMigratedAway;
    const last = isLast ? written : record.written;
    return [{
      ...rest,
      ...isWaiting && { waits: true as const, ...last !== undefined && { written: last } },
      ...isElsewhere ? { left: true as const } : visits && { visits },
      ...aside && !isUp && { aside },
    }];
  });
}
