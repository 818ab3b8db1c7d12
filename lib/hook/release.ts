import {
  configOf,
  type EventContext,
  isElsewhere,
  isOnlyAnnounced,
  isSavedBefore,
  isTurnedAway,
  type NotedStart,
  noteTurnedAway,
  PATIENT,
  readStart,
  updateRecords,
} from "./context.ts";
import { planCheckedRecovery } from "./checked_recovery.ts";
import { decideAll, withFirmware } from "./decide.ts";
import { type Ended, endedGuest } from "./ended.ts";
import { sourceOf } from "./image_path.ts";
import { lacksBase } from "./layer_names.ts";
import { mergeExcess, startMerge } from "./merge.ts";
import { mayLackMemory } from "./missing_memory.ts";
import { flattenIdle, isUnderAnother } from "./merge_choice.ts";
import { endSeats } from "./seat_release.ts";
import { observeRecorded, withFirmwareKept, writtenAt } from "./observe.ts";
import * as files from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import { readOwnRecords, readRecords } from "../host/session_records.ts";
import { type DomainDisk, parseDisks } from "../input/domain_xml.ts";
import type { DecidedDisk } from "../state/decided_disk.ts";
import type { Facts } from "../state/decision_table.ts";
import { firmwareAtRelease } from "../state/firmware.ts";
import {
  hasSetAside,
  hasSuccessor,
  isAwaited,
  isMarked,
  isSessionAway,
  LONGEST_FAILURE,
  type ObservedDisk,
  stateOf,
  wishOf,
} from "../state/observed_disk.ts";
import { planRelease } from "../state/release_plan.ts";
import { startingStep } from "../state/step.ts";
import { recordsAtRelease } from "../state/records_at_release.ts";
import type { Recovery } from "../state/recovery.ts";
import type { DecidedSeat } from "../state/seat.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { hasEnded } from "../state/state.ts";

/**
 * An end: every disk whose session the start began is reverted, committed or left, as the table says.
 *
 * What fails with one disk doesn't keep the others from their end, and nothing is lost by it: the disk stays as it is
 * until the next event of the guest. That holds for a crash, too.
 */
export async function release(context: EventContext): Promise<void> {
  const { run, paths } = context;
  const noted = startThatEnds(context);
  // What was only announced came to nothing where the guest was up already: that one ends otherwise than a failed start.
  const isAnnounced = noted !== undefined && ["resume", "migrate"].includes(noted.word) &&
    !noted.more.includes("prepared");
  const isUp = noted === undefined || noted.word === "fresh" && wasUp(noted, context) ||
    isAnnounced && context.extra !== "failed";
  // libvirt starts it anew at once, from the snapshot that lies in the session.
  const [hasSeats, hasDisks] = [paths.seats, paths.note].map((path) => files.lstat(path) !== undefined);
  const named = hasSeats || hasDisks
    ? await readable(context, () => parseDisks(context.host.readXml()))
    : "unreadable";
  const isReverted = isUp && context.extra === "from snapshot" &&
    (isUnderFile(named, context) || await holdsSnapshot(context));
  const start = isReverted || isUp && mayLackMemory(context) ? "resume" : isUp ? "up" : noted.word;
  if (hasSeats || hasDisks) {
    const config = await readable(context, () => configOf(context));
    const how: Ended = { start, end: reasons.get(context.extra) ?? "unknown", config, disks: named };
    const seats = hasSeats ? await endSeats(how, context) : [];
    if (hasDisks) await endDisks(how, seats, context);
  }
  noteTurnedAway(context, false);
  const left = readStart(paths);
  if (left !== undefined && !isElsewhere(left, context)) {
    await run.take("", [{ kind: "remove", path: paths.starting }]);
  }
  if (isReverted && (hasSeats || hasDisks)) {
    await run.takeOrReport("", () => [startingStep(paths, "resume", [], ["reverted"])]);
  }
}

/** Whether the domain names another file in place of a session, as after an external snapshot: its guest may go back to that. */
function isUnderFile(named: readonly DomainDisk[] | "unreadable", { paths }: EventContext): boolean {
  if (named === "unreadable") return false;
  const disks = readOwnRecords(paths.note).filter(({ firmware, idle }) => !firmware && !idle);
  return [...disks, ...readSeats(paths.seats)].some((record) => sourceOf(record, named).source === "other");
}

/** Whether a session of the guest holds an internal snapshot that it may go back to, or can't be read. Others lie in the disk below. */
async function holdsSnapshot({ host, paths }: EventContext): Promise<boolean> {
  const disks = readOwnRecords(paths.note).filter(({ firmware, idle }) => !firmware && !idle);
  const images = [...disks, ...readSeats(paths.seats)].map(({ image }) => image);
  const looks = await Promise.all(images.map((image) => host.qemuImg.info(image)));
  return looks.some((look) => look.kind !== "free" || look.snapshots !== undefined);
}

/**
 * Whether a guest was up of which that was never noted: libvirtd had died before it could tell. Of one that was not, libvirt says that
 * it failed; where it gives no reason, or tells that the guest died, the disks show it. A flagged session isn't thrown away for that.
 */
function wasUp({ by }: NotedStart, { extra, paths, begun }: EventContext): boolean {
  if (extra === "failed") return false;
  const isDead = extra === "crashed" || extra === "daemon";
  // QEMU may have been destroyed before the guest was up.
  if (!isDead && extra !== "-" && extra !== "destroyed") return true;
  if (by === undefined) return extra !== "-";
  const [from, to] = [by.at.getTime() + LONGEST_FAILURE, begun.getTime()];
  const records = readOwnRecords(paths.note);
  if (isDead && records.some(({ flagged }) => flagged)) return true;
  return [...records, ...readSeats(paths.seats)].some((record) => {
    const written = writtenAt(files.lstat(record.image), record) ?? 0;
    return from < written && written <= to;
  });
}

/** What is noted of the start that has come to its end; undefined where its guest was up. */
function startThatEnds(context: EventContext): ReturnType<typeof readStart> {
  const refused = { word: "refused", more: [] } as const;
  if (isTurnedAway(context)) return refused;
  const noted = readStart(context.paths);
  if (noted === undefined) return isFailedStart(context) ? refused : undefined;
  if (!isElsewhere(noted, context)) return noted;
  // Another host is starting the guest: it has a session already, or this may be the end of a start that it has kept from happening.
  const hasBegun = noted.word === "fresh" || noted.word === "resume" && !isOnlyAnnounced(noted);
  return hasBegun || ["failed", "daemon", "-"].includes(context.extra) ? refused : undefined;
}

/**
 * Whether a start has failed that could not be noted. Only a guest to which a memory comes is called up before it has failed: its note
 * tells of that.
 */
function isFailedStart({ extra, paths }: EventContext): boolean {
  return extra === "failed" &&
    [...readOwnRecords(paths.note), ...readSeats(paths.seats)].every(({ came }) => came === undefined);
}

/** @param seats the guest's seats, which have ended already */
async function endDisks(how: Ended, seats: readonly DecidedSeat[], context: EventContext): Promise<void> {
  const disks = await endSessions(how, seats, context);
  // Not part of the end, but can be done now that the disks are idle; of most guests nothing is left to do.
  if (how.start === "refused" || files.lstat(context.paths.note) === undefined) return;
  await mergeExcess(context);
  await startMerge(disks, context);
}

/** @returns the disks whose sessions have ended, or were left */
async function endSessions(
  { start, end, config, disks: named }: Ended,
  seats: readonly DecidedSeat[],
  context: EventContext,
): Promise<ObservedDisk[]> {
  const { run, paths, extra } = context;
  using _folders = await run.locks.folders(readRecords(paths.note).map(({ image }) => image), PATIENT);
  const records = readOwnRecords(paths.note);
  const recovery = await planCheckedRecovery(
    observeRecorded(records, config, named),
    context,
  );
  for (const { subject, steps } of recovery.stages) await run.take(subject, steps);
  const disks = start === "fresh" ? recovery.disks.map(asBegun) : recovery.disks;
  const each = await decideAll(disks, context, (disk) => ({
    event: "release",
    start,
    end,
    held: disk.record?.held ?? false,
    waits: isAwaited(disk),
    came: disk.record?.came ?? "not",
  }));
  const ended = allOrNone(each, recovery, context).map((one) =>
    isOfBefore(one) ? { ...one, decision: "leave" as const } : one
  );
  const decided = withFirmware(firmwareAtRelease(disks, ended, seats, start), ended, context);
  const isUp = start === "up";
  const flagVersion = typeof config === "object" ? config.version : undefined;
  const guest = endedGuest({ start, end }, decided.some(isRestored), context);
  const { isSaved = false, isUntold = false } = guest;
  const hasOlderSave = disks.some((disk) => isSavedBefore(disk, context));
  const how = { isUp, at: context.begun, flagVersion, isSaved, isUntold, hasOlderSave };
  const isFirmware = (subject: string) =>
    decided.some(({ disk }) => disk.firmware && disk.target === subject);
  let isDone = true;
  const stages = planRelease(decided, how, paths);
  for (const { subject, steps } of stages) {
    // The firmware's session waits for the next event with that of the disk.
    if (isDone || !isFirmware(subject)) isDone = await run.takeOrReport(subject, () => steps) && isDone;
    // Where nothing can be noted, the refusal of a start could not be noted either: this may be its end, and no guest's.
    if (!isDone && end === "unknown" && steps[0]?.kind === "note") break;
  }
  // Without a reason this may be the end of a start that was cut short before it was noted.
  if (isUp && extra === "migrated") await clearSpent(decided.map(({ disk }) => disk), context);

  const next = recordsAtRelease(decided, {
    ...guest,
    ...how,
    isElsewhere: isUp && ["crashed", "failed", "destroyed"].includes(end),
  }).map((record) => isUp && isCleared(record, decided, context) ? withoutFlag(record) : record);
  const noted = stages.flatMap(({ steps }) => steps).findLast((step) => step.kind === "note");
  const isNoted = await updateRecords(next, context, noted?.records ?? records);
  if (!isNoted && isSaved) {
    // Its name says that it stays where nothing else can, as on a disk that the save has filled.
    const waiting = decided.filter(({ disk, decision }) =>
      decision === "leave" && stateOf(disk).kind === "session" && !hasSetAside(disk) &&
      wishOf(disk) === "clear"
    );
    const aside = waiting.map(({ disk }) => ({ disk, decision: "set aside" } as const));
    for (const { subject, steps } of planRelease(aside, how, paths)) {
      await run.takeOrReport(subject, () => steps);
    }
  }
  const left = withFirmwareKept(
    decided.map(({ disk }) => ({ ...disk, listing: run.listing(disk.names.image) })),
  );
  if (start !== "refused" && files.lstat(paths.note) !== undefined) {
    for (const disk of left) if (!isUnderAnother(disk, context)) await flattenIdle(disk, context);
    if (!run.isDry) await updateRecords(readRecords(paths.note), context);
  }
  return left;
}

/**
 * A disk whose guest came up, so that its note tells no more of what its start found or set aside, and which libvirt ended all the same,
 * since the hook was killed: what is set aside there is the last session still.
 */
function asBegun(disk: ObservedDisk): ObservedDisk {
  const { record } = disk;
  if (record === undefined || record.aside !== undefined || !hasEnded(stateOf(disk))) return disk;
  return { ...disk, record: { ...record, aside: "forget" } };
}

/**
 * The disks of a guest are kept together or not at all: where one can't be committed yet, the others wait for it. What
 * recovery took for somebody else's file is neither committed nor thrown away.
 */
function allOrNone(
  all: readonly DecidedDisk[],
  { disks: recovered, replaced: strangers }: Recovery,
  context: EventContext,
): DecidedDisk[] {
  const { run } = context;
  const decided = all.map((one): DecidedDisk => {
    const { disk, decision } = one;
    const isStranger = strangers.has(disk.names.image) &&
      ["commit", "discard", "set aside"].includes(decision);
    if (isStranger) return { ...one, decision: "hold" };
    // Nothing of it can be seen, or what it stands on is away, and it may come back.
    const state = stateOf(disk);
    const isUnseen = disk.source === "same" &&
      (isSessionAway(disk) || state.kind === "session" && lacksBase(disk.names, state, context));
    if (!isUnseen) return one;
    const held = wishOf(disk) === "set" ? "hold" : "leave";
    if (held !== decision) {
      run.logInfo(disk.target, `${held}: its files, or what it stands on, can't be seen now`);
    }
    return { ...one, decision: held };
  });
  const waits = decided.some(({ disk, decision }) =>
    wishOf(disk) === "set" && !hasSuccessor(disk, recovered) &&
    (decision === "hold" || decision === "pass on" || decision === "leave to a person" ||
      decision === "leave" && disk.source === "same")
  );
  const isKeptByMark = decided.some(({ disk, decision }) =>
    decision === "commit" && isMarked(disk) && disk.record?.came === "migration"
  );
  const isBeside = decided.some((one) => one.isBeside);
  return decided.map((one) => {
    const { disk, decision } = one;
    if (isBeside && decision === "set aside") {
      run.logInfo(disk.target, "leave: another disk's session stays until the next start sets it aside");
      return { ...one, decision: "leave" };
    }
    if (isKeptByMark && decision === "discard" && disk.record?.came === "migration") {
      run.logInfo(
        disk.target,
        "set aside: another disk is kept, and its old host may have been cut short before it marked this one",
      );
      return { ...one, decision: "set aside" };
    }
    if (!waits || decision !== "commit") return one;
    run.logInfo(disk.target, "hold: another disk of the guest can't be committed yet");
    return { ...one, decision: "hold" };
  });
}

/** Whether the disk's session is of an earlier run, though the disk may have been attached again: the start that has found it left it. */
function isOfBefore({ disk }: DecidedDisk): boolean {
  return disk.record?.detached === true && disk.source !== "other" && stateOf(disk).kind === "session";
}

/** Whether an editor has cleared the flag with which a session began, and the mark that it made is gone. */
function isCleared(
  { image, flagged }: SessionRecord,
  decided: readonly DecidedDisk[],
  { run }: EventContext,
): boolean {
  if (!flagged) return false;
  const disk = decided.find(({ disk: { names } }) => names.image === image)?.disk;
  return disk !== undefined && wishOf(disk) === "clear" && !run.listing(image).has(disk.names.mark);
}

function withoutFlag({ flagged: _, ...rest }: SessionRecord): SessionRecord {
  return rest;
}

/**
 * The flags of sessions that have ended on another host already: their marks went with them, and they were committed there. A
 * flag that was set by an editor meanwhile had no mark, and stays for the next session.
 */
async function clearSpent(disks: readonly ObservedDisk[], { run, paths }: EventContext): Promise<void> {
  const gone = disks.filter((disk) =>
    disk.flag === "set" && ["plain", "layered"].includes(stateOf(disk).kind)
  );
  const late = gone.filter(({ record }) => !record?.flagged).map(({ target }) => target);
  for (const target of late) {
    run.logInfo(
      target,
      "the session has ended on its new host: a flag set since it left is for the next one",
    );
  }
  const targets = gone.map(({ target }) => target).filter((target) => !late.includes(target));
  if (targets.length > 0) {
    await run.takeOrReport("", () => [{ kind: "clear", config: paths.config, targets }]);
  }
}

function isRestored({ disk }: DecidedDisk): boolean {
  return disk.record?.came === "restore";
}

/** Shutoff reasons as libvirt spells them: virDomainShutoffReason in src/conf/domain_conf.c. Another one says nothing. */
const reasons = new Map<string, Facts["end"]>(Object.entries({
  "shutdown": "normal",
  "destroyed": "destroyed",
  "saved": "suspended",
  "migrated": "suspended",
  "crashed": "crashed",
  "from snapshot": "failed",
  "failed": "failed",
  "daemon": "crashed",
}));

async function readable<T>({ run }: EventContext, read: () => T | Promise<T>): Promise<T | "unreadable"> {
  try {
    return await read();
  } catch (error) {
    run.report(error);
    return "unreadable";
  }
}
