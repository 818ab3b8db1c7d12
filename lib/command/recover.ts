import { endSessions, maySomebodyNeed } from "./end_sessions.ts";
import { type Guest, hasStrayFirmware, inspectGuest } from "./guest.ts";
import {
  checkTargets,
  checkUnchanged,
  confirm,
  described,
  type GuestCommand,
  namesIn,
  refuseAway,
} from "./guest_command.ts";
import { checkSessions, goesWithIt, onWhichSaved, waitsForSaved } from "./recover_checks.ts";
import { forgetReplaced } from "./recover_replaced.ts";
import { askOfSeats } from "./recover_seats.ts";
import { UserError } from "../errors.ts";
import { planCheckedRecovery } from "../hook/checked_recovery.ts";
import { isSaved } from "../hook/decide.ts";
import { guestsOf } from "../hook/definitions.ts";
import { startMerge } from "../hook/merge.ts";
import { interruptMerges, resumeMerges } from "../hook/merge_control.ts";
import { resumePending } from "../hook/pending_operation.ts";
import * as files from "../host/files.ts";
import { readRecords } from "../host/session_records.ts";
import { hasSuccessor, isRecorded, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { guestNames, namesOf } from "../state/paths.ts";
import { lastStart, type SessionRecord } from "../state/session_record.ts";
import { parse } from "../state/state.ts";
import { listed, recoverCommand, shellWord } from "../text.ts";

/**
 * Finishes what was cut short, as the guest's next event would, and ends a session that lies there, if the
 * administrator says how. After a crash the next event, or the same command, goes on from there.
 *
 * @throws {UserError} if a session is to be ended that a process or a saved guest needs, or that is no session
 */
export async function recover(context: GuestCommand): Promise<void> {
  const { run, targets, options } = context;
  const isMeant = ({ target, image, firmware }: SessionRecord) =>
    targets.length === 0 || !firmware && (targets.includes(target) || targets.includes(image));
  const isLeft = (record: SessionRecord) =>
    isMeant(record) && !(options.has("discard") && isIdle(record, context));
  // Nobody's start or end waits for an answer, and nothing changes before the last one.
  const discardSeats = await askOfSeats(context);
  // Firmware goes back at the next start where only seats are meant.
  const isAnyLeft = async () =>
    readRecords(context.paths.note).some(isLeft) || targets.length === 0 && await hasStrayFirmware(context);
  if (discardSeats !== undefined && !await isAnyLeft()) return await discardSeats();
  if (options.has("discard") && await forgetReplaced(context)) return;
  const asked = options.has("keep") || options.has("discard") ? await ask(context) : undefined;
  await discardSeats?.();
  using _guest = await run.locks.guest();
  const images = filesOf(await inspectGuest(context)).map(({ names }) => names.image);
  using _folders = await run.locks.folders(images);
  await interruptMerges(context, images);
  try {
    await completeAndEnd(asked, context);
  } catch (error) {
    await resumeMerges(images, context);
    throw error;
  }
}

/** @param asked the names that a question was about */
async function completeAndEnd(asked: string | undefined, context: GuestCommand): Promise<void> {
  const { run, domain, targets, options, terminal } = context;
  const orders = await resumePending(context);
  if (orders.length > 0) {
    terminal.print(`${domain}: ${orders[0]!.verb} was interrupted, and is completed now`);
  }
  const guest = await inspectGuest(context);
  checkMeant(guest, context);
  const { stages, disks } = await planCheckedRecovery(filesOf(guest), context);
  for (const { subject, steps } of stages) {
    await run.take(subject, steps);
    terminal.print(`${domain} ${subject}: interrupted event completed`);
  }
  const sessions = sessionsOf(disks, targets);
  const isCompleted = sessions.length === 0 && stages.length > 0;
  if (!isCompleted && (options.has("keep") || options.has("discard"))) {
    if (asked !== undefined) checkUnchanged(asked, sessions);
    await endSessions(sessions, firmwareOf(sessions, disks, context), guest, context);
    const ended = sessions.flatMap(({ target, names }) => [target, names.image]);
    for (const target of targets.filter((target) => !ended.includes(target))) {
      terminal.print(`${domain} ${target}: has no session, and stays as it is`);
    }
  } else if (guest.problem !== undefined && disks.some((disk) => stateOf(disk).kind === "committing")) {
    throw guest.problem;
  } else if (stages.length === 0 && orders.length === 0) {
    tellNothing(sessions, guest, context);
  }
  await startMerge(disks, context);
}

/** @throws {UserError} if the guest has none of these disks, by target or image */
function checkMeant({ disks, defined }: Guest, context: GuestCommand): void {
  // Without a definition a target is what the note says.
  const known = disks.flatMap(({ disk }) =>
    disk === undefined ? [] : [disk.names.image, ...defined === undefined ? [disk.target] : []]
  );
  checkTargets(context.targets.filter((target) => !known.includes(target)), disks, context);
}

/** Whether a disk has neither a session nor an order that was cut short. */
function isIdle({ image, pending }: SessionRecord, { run }: GuestCommand): boolean {
  const { kind } = parse(namesOf(image), run.listing(image));
  return pending === undefined && (kind === "plain" || kind === "layered");
}

/**
 * Asks before anything is thrown away: a session, or with a commit the one that is set aside.
 *
 * @returns the names that the question was about
 */
async function ask(context: GuestCommand): Promise<string> {
  const { domain, targets, options } = context;
  const guest = await inspectGuest(context);
  checkMeant(guest, context);
  const { stages, disks } = await planCheckedRecovery(filesOf(guest), context);
  const choice = options.has("keep") ? "--keep" : "--discard";
  refuseAway(`autorevert recover ${choice}`, disks.filter(({ record }) => !record?.idle), context);
  const sessions = sessionsOf(disks, targets);
  if (sessions.length === 0 && stages.length > 0) {
    if (options.has("keep") || !isCommitting(guest)) return namesIn(sessions);
    throw new UserError("its session is part of the disk already, by a commit that was cut short", {
      hint: `complete that, and take it back: ${recoverCommand("complete", domain)}; autorevert undo ${
        shellWord(domain)
      }`,
    });
  }
  await checkSessions(sessions, context);
  for (const disk of sessions) {
    const { target, names, listing } = disk;
    const saved = maySomebodyNeed(disk, context)
      ? `, ${onWhichSaved}`
      : disk.firmware || isRecorded(disk)
      ? ""
      : ", which another host may have begun, and saved a guest on";
    const lost = [
      ...listing.has(names.ended) ? [goesWithIt(names.ended)] : [],
      ...endedWith(disk, disks).map((other) =>
        `that of ${other.target}, which began with it, is not there any more`
      ),
    ];
    // What an end has left to it: its memory fits to the disk as it is then, and no longer once another guest has written to that.
    const isSavedOn = disk.record?.waits === "saved";
    const keeping = isSavedOn || lost.length > 0
      ? [`keep the session${isSavedOn ? saved : ""}`, ...lost].join("; ")
      : undefined;
    // Where it is configured, its events have looked at what lies there.
    const others = guestsOf(names.image, context).filter((other) =>
      other !== domain && !hasConfig(other, context)
    );
    const doubts = [
      ...disk.layerWritten !== undefined
        ? [
          "what it stands on was written to in it, as by a blockcommit: without it the disk may not be whole",
        ]
        : [],
      ...guest.defined === undefined
        ? [
          "libvirt has no definition of the guest: after an external snapshot or a blockcopy a file may stand on it",
        ]
        : [],
      ...others.length > 0
        ? [`it is a disk of ${listed(others)}, too, and may have been written to there`]
        : [],
    ];
    const question = options.has("discard")
      ? [`throw the session ${described(names.image)}${saved}, away`, ...doubts].join("; ")
      : keeping;
    if (question !== undefined) confirm(`${domain} ${target}: ${question}?`, context);
  }
  return namesIn(sessions);
}

function hasConfig(domain: string, { host }: GuestCommand): boolean {
  const { config } = guestNames(host.settings.configFolder, domain);
  return files.lstat(config) !== undefined;
}

/** The disks whose sessions began with that of a disk, and have ended without it: an end was cut short. */
function endedWith({ record }: ObservedDisk, disks: readonly ObservedDisk[]): ObservedDisk[] {
  return disks.filter((other) =>
    record !== undefined && !other.firmware && stateOf(other).kind !== "session" &&
    other.record !== undefined &&
    !other.record.idle && lastStart(other.record) === lastStart(record)
  );
}

/** Whether a commit of a disk was cut short, and takes along the sessions that began with it. */
function isCommitting(guest: Guest): boolean {
  return filesOf(guest).some((disk) => stateOf(disk).kind === "committing");
}

/** The guest's disks, and the files of its firmware. */
function filesOf({ disks, firmware }: Guest): ObservedDisk[] {
  return [...disks.flatMap(({ disk }) => disk ?? []), ...firmware];
}

/** The sessions that are meant; where no disk has one, the firmware's that is there alone. */
function sessionsOf(disks: readonly ObservedDisk[], targets: GuestCommand["targets"]): ObservedDisk[] {
  const sessions = disks.filter((disk) => stateOf(disk).kind === "session");
  const own = sessions.filter(({ firmware }) => !firmware);
  if (own.length === 0) return sessions;
  return own.filter((disk) =>
    targets.includes(disk.names.image) ||
    (targets.length === 0 || targets.includes(disk.target)) && !hasSuccessor(disk, disks)
  );
}

/** The firmware's sessions that end with those of disks: they are thrown away with the last of these. */
function firmwareOf(
  sessions: readonly ObservedDisk[],
  disks: readonly ObservedDisk[],
  { options }: GuestCommand,
): ObservedDisk[] {
  const all = disks.filter((disk) => stateOf(disk).kind === "session");
  const isLast = all.every((disk) => disk.firmware || sessions.includes(disk));
  const isDue = options.has("keep") || isLast;
  return all.filter((disk) => isDue && disk.firmware && !sessions.includes(disk));
}

function tellNothing(sessions: readonly ObservedDisk[], guest: Guest, context: GuestCommand): void {
  const { domain, terminal } = context;
  terminal.print(`${domain}: nothing to recover`);
  if (guest.isLive) return;
  if (isSaved(context)) {
    if (sessions.length > 0) {
      terminal.print(waitsForSaved(domain));
    }
    return;
  }
  for (const { target, source, record, firmware } of sessions) {
    if (source === "other") continue;
    if (record?.waits === "saved") {
      terminal.print(
        `${domain} ${target}: the session waits for a guest that was saved to a file, or has gone to another host`,
      );
      continue;
    }
    terminal.print(
      `${domain} ${target}: it has a session; to end it now: ${
        recoverCommand("--keep|--discard", domain, ...firmware ? [] : [target])
      }`,
    );
  }
}
