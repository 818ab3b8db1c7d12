/** A seat at one event, the steps that change it, and what is noted of it. Pure. */

import type { Names } from "./paths.ts";
import type { SeatDecision, SeatFacts } from "./seat_table.ts";
import type { SeatRecord } from "./seat_record.ts";
import { ways } from "./records_at_prepare.ts";
import type { EndedGuest } from "./records_at_release.ts";
import type { Owner } from "./session_record.ts";
import type { Listing } from "./state.ts";
import type { Step } from "./step.ts";
import { isUnwrittenSinceRestore } from "./observed_disk.ts";
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
  /** The same of the one that is set aside. */
  readonly endedMade: string | undefined;
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

export function beginsSeat(decision: SeatDecision): boolean {
  return decision === "new session" || decision === "set aside, new session";
}

/** Whether the session was begun by a start that never came up: the one that is set aside is the guest's last. */
export function isSeatUnborn(seat: ObservedSeat): boolean {
  const { file, names, listing, record } = seat;
  return file === "session" && listing.has(names.ended) && record?.aside !== undefined &&
    !waitsToBeSetAside(seat);
}

type Lying =
  & Pick<ObservedSeat, "file" | "names" | "listing" | "record">
  & Partial<Pick<ObservedSeat, "written">>;

/** Whether an older session still lies in the image's place, which a start was about to set aside when it was cut short. */
function waitsToBeSetAside({ file, names, listing, record, written }: Lying): boolean {
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
  if (endedWritten === undefined) return false;
  return record?.stays === true && isSameTime(endedWritten, record.setsAside) ||
    besideOf(seat) === "unknown";
}

/** What is noted of the end of the session that lies there, if that has left it beside another one. */
function besideOf(seat: ObservedSeat): SeatRecord["beside"] {
  const { file, made, record } = seat;
  const isIts = record?.made === undefined ? waitsToBeSetAside(seat) : record.made === made;
  return file === "session" && isIts ? record?.beside : undefined;
}

/** Whether it is known that the guest was saved on the session that lies there, or its memory came back to it and may have to again. */
export function isSavedOn(seat: ObservedSeat): boolean {
  const { record } = seat;
  return isNoted(seat) &&
    (record?.waits === true && record.beside === undefined && !record.left || isUnwrittenSinceRestore(seat));
}

/** Whether the session that lies there is the one of which the note tells, and not one that another host has begun since. */
export function isNoted({ file, made, record }: ObservedSeat): boolean {
  return record !== undefined && (file !== "session" || record.made === undefined || record.made === made);
}

/** Whether another session lies there than the one that a guest was saved on here: it was written to since, or was never saved. */
export function isAnotherSession(seat: ObservedSeat): boolean {
  const { file, written, record } = seat;
  if (file !== "session") return false;
  return record?.written !== undefined && !isSameTime(written, record.written) ||
    besideOf(seat) === "ended";
}

/** Whether the session that lies there was begun, or has gone on, at another host, where the guest may have been saved on it. */
export function isAnotherHosts(seat: ObservedSeat): boolean {
  return seat.record?.left === true || isAnotherSession(seat) && besideOf(seat) === undefined;
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
  const isIts = record?.written === undefined || isSameTime(endedWritten, record.written);
  return listing.has(names.ended) && (start !== "resume" || isIts);
}

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
    return {
      ...base,
      ...{ started: now.toISOString() },
      ...came && { came },
      ...aside && { aside },
      ...decision === "set aside, new session" ? setAsideBy(seat) : aside === "stay" && asideOf(record),
    };
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
    ...decision === "keep" && asideOf(record),
  };
}

/** What is noted of the session that a start sets aside, and until then of the older one. */
function setAsideBy(seat: ObservedSeat): Partial<SeatRecord> {
  const { record, written } = seat;
  // Begun again, before anything was set aside: what is noted is the next session already.
  const isAgain = waitsToBeSetAside(seat);
  const stays = isAgain ? record?.stays : !isNoted(seat) || isSavedOn(seat);
  // Until it has been, the guest may come back to what lies there.
  const beside = besideOf(seat) ?? (!isAgain && !stays && hasStaying(seat) ? "unknown" : undefined);
  return {
    ...written !== undefined && { setsAside: written },
    ...stays && { stays: true },
    ...beside && { beside },
  };
}

/** What a record tells of the session that its start has set aside. */
function asideOf(record: SeatRecord | undefined): Partial<SeatRecord> {
  const { setsAside, stays } = record ?? {};
  return { ...setsAside !== undefined && { setsAside }, ...stays && { stays } };
}

/** The note of a guest that is up: no memory has to come back for its session. What its start has set aside is told only if it stays. */
export function seatRecordOnceUp(
  { aside: _aside, waits, written, beside, setsAside, ...rest }: SeatRecord,
): SeatRecord {
  // The guest runs on another file.
  const isElsewhere = rest.detached && waits;
  return {
    ...rest,
    ...isElsewhere && { waits, ...written !== undefined && { written }, ...beside && { beside } },
    ...rest.stays && setsAside !== undefined && { setsAside },
  };
}

/** When the session that the note tells of was last written to: another host may have set it aside. */
function lastWrite(seat: ObservedSeat): number | undefined {
  const isAside = !isNoted(seat) && seat.endedMade === seat.record?.made;
  return isAside ? seat.endedWritten : seat.written;
}

/** What the note says of the seats at an end, as long as a session of theirs stands on something. */
export function seatRecordsAtRelease(
  decided: readonly DecidedSeat[],
  { isUp, isSaved = false, isRefused = false, isMigrated = false, isGone = false, isAborted = false }:
    EndedGuest,
): SeatRecord[] {
  return decided.flatMap(({ seat, decision, isOpen = false, beside }) => {
    const { record, file } = seat;
    if (record === undefined || decision === "discard" || decision === "set aside") return [];
    const isLeft = decision === "leave";
    // The guest did not come, and its session is its own host's matter.
    const isTheirs = record.visits !== undefined && isAborted && isLeft && !isSaved && !isGone;
    if (isTheirs && record.visits === "first") return [];
    const { aside, visits, ...rest } = record;
    if (beside) {
      const { written: _written, ...left } = rest;
      return [{ ...left, waits: true as const, beside }];
    }
    // Where both hosts have one note, a session that came by migration is the other's already.
    const isOwn = record.came !== "migration" || visits !== undefined;
    const isElsewhere = isLeft && (isTheirs || isOwn && (isGone || isOpen));
    const isWaiting = file === "session" && isLeft && (isSaved || isOwn && isMigrated || isElsewhere);
    const isMigratedAway = isGone || record.came === "migration" && !isUp;
    // One that goes on elsewhere is written to there. That a restored guest came up may not have been noted.
    const isLast = isSaved && !isRefused && !isMigratedAway;
    const last = isLast ? lastWrite(seat) : record.written;
    return [{
      ...rest,
      ...isWaiting && { waits: true as const, ...last !== undefined && { written: last } },
      ...isElsewhere ? { left: true as const } : visits && { visits },
      ...aside && !isUp && { aside },
    }];
  });
}
