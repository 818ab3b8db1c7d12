/** The end of a guest with seats, and their coming up. */

import type { EventContext } from "./context.ts";
import { isSaved, tellLeft } from "./decide.ts";
import { type Ended, endedGuest } from "./ended.ts";
import { madeAt } from "./observe.ts";
import { seatDecision } from "./seat_decide.ts";
import { isComingUp, isOfEarlierBoot, mayRun } from "./seat_guest.ts";
import { releaseMasters, startMastersMerges } from "./seat_masters.ts";
import { masterStoodOn, observeRecordedSeat } from "./seat_observe.ts";
import { isOn } from "./standing.ts";
import { asUserError } from "../errors.ts";
import * as files from "../host/files.ts";
import { allSeats, readSeats } from "../host/seat_records.ts";
import { readConfig } from "../host/config_file.ts";
import { readRecords } from "../host/session_records.ts";
import { Run } from "../host/run.ts";
import { folderOf, guestNames, type Names, namesOf } from "../state/paths.ts";
import { seatRecordOnceUp, seatRecordsAtRelease } from "../state/records_of_seats.ts";
import { type DecidedSeat, hasStaying, isSeatAwaited, type ObservedSeat } from "../state/seat.ts";
import { seatAtRelease } from "../state/seat_transitions.ts";
import type { SeatRecord } from "../state/seat_record.ts";
import { quoted } from "../text.ts";

/**
 * Every seat's session is forgotten, set aside or left, as the table says. Once it is gone, nothing is noted of the seat, and a
 * merge that waited for it goes on. The caller holds the guest's lock.
 *
 * What fails with one seat doesn't keep the others from their end; the note of it stays until the guest's next event.
 *
 * @returns them, with what has become of each
 */
export async function endSeats(how: Ended, context: EventContext): Promise<DecidedSeat[]> {
  const decided = await endSessions(how, context);
  const masters = decided.map(({ seat }) => seat.master);
  const { config } = how;
  // The last one of its kind, maybe.
  if (config !== "unreadable" && (config?.seats ?? []).length === 0) await releaseMasters(masters, context);
  await startMastersMerges(masters, context);
  return decided;
}

async function endSessions(
  { start, end, config, disks }: Ended,
  context: EventContext,
): Promise<DecidedSeat[]> {
  const { run, host, paths } = context;
  const records = readSeats(paths.seats);
  const seats = records.map((record) => observeRecordedSeat(record, config, disks, host))
    .map((seat) => start === "fresh" ? asBegun(seat) : seat);
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
  const next = seatRecordsAtRelease(decided, endedGuest({ start, end }, isRestored, context));
  if (JSON.stringify(next) !== JSON.stringify(records)) {
    await run.takeOrReport("", () => [{ kind: "seats", path: paths.seats, records: next }]);
  }
  return decided;
}

/** A seat whose guest was noted as up, and that libvirt ended all the same, since all else of that could not be noted. */
function asBegun(seat: ObservedSeat): ObservedSeat {
  const { record } = seat;
  if (record === undefined || record.aside !== undefined || !hasStaying(seat)) return seat;
  return { ...seat, record: { ...record, aside: "stay" } };
}

/**
 * Notes of the sessions on a master whose guests died without a word, as a power cut leaves them, that they are over: nothing else would
 * before those guests start again. One that may still go on keeps its note: of a guest that libvirt runs, starts or holds saved, that
 * came from another host or went there, or that somebody has open; one of this boot after ten minutes in which nothing was heard of it.
 * Their ends may have been saves: their next starts set them aside, and until then they keep what they stand on, and no more.
 *
 * Takes the locks of other guests, so the caller holds none.
 */
export async function noteDeadSeats(master: Names, context: EventContext): Promise<void> {
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
        if (await isDead(theirs)) await noteDead(theirs);
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

async function noteDead(context: EventContext): Promise<void> {
  const { host, paths, run } = context;
  const records = readSeats(paths.seats);
  const config = await readConfig(paths.config, host.settings.configOwner);
  const managed = readRecords(paths.note).map(({ image }) => image);
  const next = records.flatMap((record): SeatRecord[] => {
    const { image, target, came, made } = record;
    if (mayBeUnmounted(record)) return [record];
    // A start was cut short between its two renames: what it has set aside outlives the next one, and stands by itself on what it does.
    const isBetween = record.aside === "stay" && files.lstat(image) === undefined &&
      files.lstat(namesOf(image).ended) !== undefined;
    if (isBetween) return [{ ...record, waits: true }];
    // It may go on where it came from, and its image says by itself what it stands on.
    if (files.lstat(image) === undefined || came === "migration") return [];
    // Another host has begun a session in its place since, or it has become a disk of its own.
    const isAnother = made !== undefined && made !== madeAt(image);
    const isManaged = managed.includes(image) || config?.disks.some((disk) => disk.target === target);
    if (isAnother || isManaged) return [];
    // A start that was cut short has noted what its own session was to stand on.
    const on = masterStoodOn(image, [namesOf(record.master)], host);
    return [{ ...record, ...on, waits: true, beside: "died" }];
  });
  if (JSON.stringify(next) === JSON.stringify(records)) return;
  run.logInfo("", "its guest is gone without a word: what its seats stand on is wanted");
  // What a start was making when it was cut short stands on a layer, too.
  run.locks.claim(records.map(({ image }) => image));
  for (const { target, image } of records) {
    const { scratch } = namesOf(image);
    if (files.lstat(scratch) !== undefined) {
      await run.take(target, [{ kind: "remove", path: scratch }]);
    }
  }
  await run.take("", [{ kind: "seats", path: paths.seats, records: next }]);
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
