/** The end of a guest with seats, and their coming up. */

import type { EventContext } from "./context.ts";
import { isSaved, tellLeft } from "./decide.ts";
import { disksIn } from "./definitions.ts";
import { type Ended, endedGuest } from "./ended.ts";
import { madeAt } from "./observe.ts";
import { seatDecision } from "./seat_decide.ts";
import { isComingUp, isOfEarlierBoot, mayRun } from "./seat_guest.ts";
import { releaseMasters, startMastersMerges } from "./seat_masters.ts";
import { observeRecordedSeat } from "./seat_observe.ts";
import { isOn } from "./standing.ts";
import { asUserError } from "../errors.ts";
import * as files from "../host/files.ts";
import { allSeats, readSeats } from "../host/seat_records.ts";
import { readConfig } from "../host/config_file.ts";
import { readRecords } from "../host/session_records.ts";
import { Run } from "../host/run.ts";
import { folderOf, guestNames, type Names, namesOf } from "../state/paths.ts";
import { seatRecordOnceUp, seatRecordsAtRelease } from "../state/records_of_seats.ts";
import { type DecidedSeat, isSeatAwaited } from "../state/seat.ts";
import { seatAtRelease } from "../state/seat_transitions.ts";
import type { SeatRecord } from "../state/seat_record.ts";
import type { SeatDecision } from "../state/seat_table.ts";
import { quoted } from "../text.ts";

/**
 * Every seat's session is forgotten, set aside or left, as the table says. Once it is gone, nothing is noted of the seat, and a
 * merge that waited for it goes on. The caller holds the guest's lock.
 *
 * What fails with one seat doesn't keep the others from their end; the note of it stays until the guest's next event.
 *
 * @returns what has become of each
 */
export async function endSeats(how: Ended, context: EventContext): Promise<SeatDecision[]> {
  const decided = await endSessions(how, context);
  const masters = decided.map(({ seat }) => seat.master);
  const { config } = how;
  // The last one of its kind, maybe.
  if (config !== "unreadable" && (config?.seats ?? []).length === 0) await releaseMasters(masters, context);
  await startMastersMerges(masters, context);
  return decided.map(({ decision }) => decision);
}

async function endSessions(
  { start, end, config, disks, isTold = true }: Ended,
  context: EventContext,
): Promise<DecidedSeat[]> {
  const { run, host, paths } = context;
  const records = readSeats(paths.seats);
  const seats = records.map((record) => observeRecordedSeat(record, config, disks, host));
  run.locks.claim(records.map(({ image }) => image));
  const isUp = start === "up";
  const decided: DecidedSeat[] = [];
  for (const seat of seats) {
    const { decision, reason, when } = await seatDecision(seat, {
      event: "release",
      start,
      end,
      waits: isSeatAwaited(seat),
      came: seat.record?.came ?? "not",
    }, context);
    if (decision !== "nothing") run.logInfo(seat.target, `${decision}: ${reason}`);
    if (decision === "leave to a person") tellLeft(seat, context);
    const one: DecidedSeat = {
      ...{ seat, decision },
      isOpen: when.look === "busy",
      ...when.stays && { beside: end === "unknown" ? "unknown" : "ended" },
    };
    const isDone = await run.takeOrReport(seat.target, () => seatAtRelease(one, isUp));
    decided.push(isDone ? one : { seat, decision: "leave" });
  }
  const isRestored = decided.some(({ seat }) => seat.record?.came === "restore");
  const next = seatRecordsAtRelease(decided, endedGuest({ start, end, isTold }, isRestored, context));
  if (JSON.stringify(next) !== JSON.stringify(records)) {
    await run.takeOrReport("", () => [{ kind: "seats", path: paths.seats, records: next }]);
  }
  return decided;
}

/**
 * Ends the sessions on a master whose guests died without a word, as a power cut leaves them: nothing else would end them before
 * those guests start again. One that may still be needed stays: of a guest that libvirt runs, starts or holds saved, that came from
 * another host or went there, or that somebody has open; one of this boot after ten minutes in which nothing was heard of it. They
 * are set aside until their guests' next start, since their ends may have been saves; what they stand on stays, and no more. Of a guest
 * with firmware, and beside a session that stays, they are left to that start.
 *
 * Takes the locks of other guests, so the caller holds none.
 */
export async function endDeadSeats(master: Names, context: EventContext): Promise<void> {
  const { configFolder } = context.host.settings;
  for (const { domain, records } of allSeats(configFolder)) {
    if (records === "unreadable" || domain === context.domain) continue;
    if (!records.some((record) => isOn(master, record))) continue;
    const run = new Run(context.host, domain);
    const theirs: EventContext = {
      ...context,
      run,
      domain,
      paths: guestNames(configFolder, domain),
      extra: "-",
    };
    try {
      if (await isDead(theirs)) {
        using _guest = await run.locks.guest({ patience: MOMENT });
        if (await isDead(theirs)) await endDead(theirs);
      }
    } catch (error) {
      // It is an event of theirs, or its matter.
      context.run.logInfo(
        "",
        `the seats of ${quoted(domain)} are left as they are: ${asUserError(error).message}`,
      );
    }
  }
}

/** Long enough to take a lock that is free, in milliseconds. */
const MOMENT = 100;

async function isDead(context: EventContext): Promise<boolean> {
  const { host, paths, domain } = context;
  const records = readSeats(paths.seats);
  if (isComingUp(domain, context) || isSaved(context)) return false;
  if (
    records.length === 0 ||
    records.some((record) =>
      record.waits ||
      record.came === "migration" && !isOfEarlierBoot(record, context) && files.lstat(record.image)
    )
  ) return false;
  if (records.some((record) => mayRun(record, context))) return false;
  for (const { image } of records) {
    if (files.lstat(image) !== undefined && (await host.qemuImg.info(image)).kind === "busy") return false;
  }
  return true;
}

async function endDead(context: EventContext): Promise<void> {
  const { host, domain, paths, run } = context;
  const records = readSeats(paths.seats);
  if (records.some(mayBeUnmounted)) return;
  // It may go on where it came from, and its image says by itself what it stands on.
  const left = records.filter(({ came }) => came !== "migration");
  if (left.length < records.length) {
    await run.take("", [{ kind: "seats", path: paths.seats, records: left }]);
  }
  const disks = disksIn(host.settings.definedFolder, domain);
  // Of a session that is there nobody could tell what stands on it.
  const isThere = left.some(({ image }) => files.lstat(image) !== undefined);
  if (disks === undefined && isThere) return;
  // Another host may have begun a session in its place since, or it has become a disk of its own.
  const config = await readConfig(paths.config, host.settings.configOwner);
  const managed = readRecords(paths.note).map(({ image }) => image);
  const isTheirs = (record: SeatRecord) =>
    (record.made === undefined || files.lstat(record.image) === undefined ||
      record.made === madeAt(record.image)) &&
    !managed.includes(record.image) && !config?.disks.some(({ target }) => target === record.target);
  const theirs = left.filter(isTheirs);
  if (theirs.length < left.length) {
    await run.take("", [{ kind: "seats", path: paths.seats, records: theirs }]);
  }
  if (theirs.length === 0) return;
  // Set aside by itself, its session would lack its firmware: both wait for the next start, and keep no other merge waiting either.
  if (readRecords(paths.note).some(({ firmware, idle }) => firmware && !idle)) {
    return await run.take("", [{ kind: "seats", path: paths.seats, records: leftWithFirmware(theirs) }]);
  }
  run.logInfo("", "its guest is gone without a word: what its seats stand on is wanted");
  // None of their ends was noted: it may have been a save. What a start that never came up has set aside is what may be saved then.
  const start = theirs.some(({ aside }) => aside !== undefined) ? "fresh" : "up";
  await endSessions({ start, end: "unknown", config, disks: disks ?? [], isTold: false }, context);
}

/** The note of a guest with firmware that is gone without a word: its sessions wait to be set aside, whichever of them are there. */
function leftWithFirmware(records: readonly SeatRecord[]): SeatRecord[] {
  return records.flatMap((record) => {
    if (files.lstat(record.image) === undefined) return [];
    // What a start that never came up has set aside is what its guest comes back to.
    return record.aside ? record : { ...record, waits: true, beside: "unknown" };
  });
}

/**
 * Whether nothing is there of a session that had its name: it has ended elsewhere, or its folder isn't mounted yet. One beside its
 * master is gone.
 */
function mayBeUnmounted({ image, master, made, continued }: SeatRecord): boolean {
  return folderOf(image) !== folderOf(master) && (made !== undefined || continued !== undefined) &&
    [image, namesOf(image).ended].every((path) => files.lstat(path) === undefined);
}

/**
 * The guest is up: no memory has to come back for what its seats run on, which is noted.
 *
 * @returns removes what the start found set aside
 * @throws {UserError} if it can't be noted
 */
export async function seatsUp({ run, paths }: EventContext): Promise<() => Promise<void>> {
  const records = readSeats(paths.seats);
  if (records.every(({ aside, waits }) => aside === undefined && waits === undefined)) return async () => {};
  run.locks.claim(records.map(({ image }) => image));
  await run.take("", [{ kind: "seats", path: paths.seats, records: records.map(seatRecordOnceUp) }]);
  return async () => {
    for (const { target, image, aside, detached } of records) {
      if (aside !== "forget" || detached) continue;
      const { ended } = namesOf(image);
      await run.takeOrReport(
        target,
        () => files.list(image).has(ended) ? [{ kind: "remove", path: ended }] : [],
      );
    }
  };
}
