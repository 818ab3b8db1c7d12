/** What is noted of seats at a start, once a guest is up, and at an end. Pure. */

import { ways } from "./records_at_prepare.ts";
import type { EndedGuest } from "./records_at_release.ts";
import {
  beginsSeat,
  besideOf,
  type DecidedSeat,
  isAnotherSession,
  isNoted,
  isSeatLeft,
  type ObservedSeat,
  type StandsOn,
  waitsToBeSetAside,
} from "./seat.ts";
import type { SeatRecord } from "./seat_record.ts";
import type { SeatDecision } from "./seat_table.ts";

/** What the note says of a seat from this start on; undefined where nothing stands on anything. */
export function seatRecordAtPrepare(
  { seat, decision }: DecidedSeat,
  on: StandsOn | undefined,
  { now, host }: { readonly now: Date; readonly host: string },
  start: keyof typeof ways,
): SeatRecord | undefined {
  const { target, names, record, listing, owner } = seat;
  if (isSeatLeft(decision)) {
    return record && { ...record, detached: true };
  }
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
  const resumed = decision === "put back" ? seat.endedWritten : seat.written;
  // What a start was about to set aside when it was cut short goes on.
  const isLast = waitsToBeSetAside(seat);
  return {
    ...base,
    started: record?.started ?? now.toISOString(),
    continued: now.toISOString(),
    // Until the guest is up, its memory may have to come back once more.
    ...(decision === "put back" || record?.waits || isLast) && { waits: true },
    ...record?.written !== undefined && { written: record.written },
    // Of what lies there now, until the session has its name.
    ...record?.made !== undefined && isNoted(seat) && { made: record.made },
    ...record?.beside && { beside: record.beside },
    ...decision === "put back" && { ...record?.aside && { aside: record.aside }, ...asideOf(record) },
    ...came && { came },
    ...came === "restore" && resumed !== undefined && { resumed },
    // What is noted is an earlier session, or an earlier stay here.
    ...came === "migration" && (!isNoted(seat) || record?.left) &&
      { visits: record === undefined ? "first" : "again" } as const,
    // Whichever host has set it aside: a session that goes on does not replace it.
    ...decision === "keep" && hasEnded &&
      { ...seat.endedWritten !== undefined && { setsAside: seat.endedWritten }, stays: true },
  };
}

/** The note of a session that has its image's name by now: which file it is, and nothing more of what lay there before. */
export function recordOnceThere(
  { beside: _beside, ...record }: SeatRecord,
  decision: SeatDecision,
  made: number | undefined,
): SeatRecord {
  const { aside: _aside, setsAside: _setsAside, stays: _stays, ...rest } = record;
  return { ...decision === "put back" ? rest : record, ...made !== undefined && { made } };
}

/** What is noted of the session that a start sets aside, and until then of the older one. */
function setAsideBy(seat: ObservedSeat): Partial<SeatRecord> {
  const { record, written } = seat;
  const beside = besideOf(seat);
  // Begun again, before anything was set aside: what is noted is the next session already.
  const stays = waitsToBeSetAside(seat) ? record?.stays : beside === undefined || beside === "died";
  // Until the guest is up, it may come back to the one of its last save, and to no other. Of what is gone nobody knows the time.
  const saved = record?.written ?? (isAnotherSession(seat) && beside === undefined ? 0 : undefined);
  return {
    ...saved !== undefined && { written: saved },
    ...written !== undefined && { setsAside: written },
    ...stays && { stays: true },
    // Until it has been set aside, the guest may come back to what lies there.
    ...beside && { beside },
  };
}

/** What a record tells of the session that its start has set aside. */
function asideOf(record: SeatRecord | undefined): Partial<SeatRecord> {
  const { setsAside, stays, written } = record ?? {};
  return {
    ...written !== undefined && { written },
    ...setsAside !== undefined && { setsAside },
    ...stays && { stays },
  };
}

/** The note of a guest that is up: no memory has to come back for its session. What its start has set aside is told only if it stays. */
export function seatRecordOnceUp(record: SeatRecord): SeatRecord {
  // The guest runs on another file.
  if (record.detached) return record;
  const { aside: _aside, waits: _waits, written: _written, beside: _beside, setsAside, ...rest } = record;
  return { ...rest, ...rest.stays && setsAside !== undefined && { setsAside } };
}

/** When the session that the note tells of was last written to: another host may have set it aside. */
function lastWrite(seat: ObservedSeat): number | undefined {
  const { record, endedMade, endedWritten } = seat;
  // Or a restore was cut short before it had put it back.
  const isAside = !isNoted(seat) && endedMade === record?.made ||
    endedWritten !== undefined && endedWritten === record?.resumed;
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
    // All is as when the start began that has set it aside.
    if (decision === "put back") {
      const { made: _made, ...begun } = record;
      return [{
        ...begun,
        ...seat.endedStandsOn,
        ...seat.endedMade !== undefined && { made: seat.endedMade },
      }];
    }
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
      ...aside && (!isUp || record.detached) && { aside },
    }];
  });
}
