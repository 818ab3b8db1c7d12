import { type Guest, inspectGuest } from "./guest.ts";
import { goesOn } from "./inspect.ts";
import {
  checkTargets,
  checkUnchanged,
  confirm,
  described,
  type GuestCommand,
  namesIn,
  refuseAway,
  tellSetAside,
} from "./guest_command.ts";
import { lacksItsEnd, readStart, updateRecords } from "../hook/context.ts";
import { planCheckedRecovery } from "../hook/checked_recovery.ts";
import { isSaved } from "../hook/decide.ts";
import { startMerge } from "../hook/merge.ts";
import { interruptMerges, resumeMerges } from "../hook/merge_control.ts";
import { resumePending } from "../hook/pending_operation.ts";
import { dependOnFlags } from "./commit.ts";
import { holdResumed } from "./configure.ts";
import { checkSessions, goesWithIt, onWhichSaved, waitsForSaved } from "./recover_checks.ts";
import { forgetReplaced } from "./recover_replaced.ts";
import { askOfSeats } from "./recover_seats.ts";
import { configVersion } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import { readOtherRecords, readOwnRecords, readRecords } from "../host/session_records.ts";
import { planCommit } from "../state/commit_plan.ts";
import type { SessionRecord } from "../state/session_record.ts";
import {
  bearsMark,
  flagTargetOf,
  hasItsSetAside,
  hasSetAside,
  hasSuccessor,
  type ObservedDisk,
  stateOf,
  waitsToBeSetAside,
} from "../state/observed_disk.ts";
import { withCommits } from "../state/firmware_commits.ts";
import { planFirmwareEnd } from "../state/recovery.ts";
import { planDiscard } from "../state/release_plan.ts";
import { holdPublished } from "../state/master_transitions.ts";
import { newRecord } from "../state/records_at_prepare.ts";
import { namesOf } from "../state/paths.ts";
import { hasEnded, parse } from "../state/state.ts";
import { cancelCommand, recoverCommand } from "../text.ts";

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
  if (discardSeats !== undefined && !readRecords(context.paths.note).some(isLeft)) {
    return await discardSeats();
  }
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
  if (options.has("keep") || options.has("discard")) {
    if (asked !== undefined) checkUnchanged(asked, sessions);
    await endSessions(sessions, firmwareOf(sessions, disks, context), guest, context);
  } else if (guest.problem !== undefined && disks.some((disk) => stateOf(disk).kind === "committing")) {
    throw guest.problem;
  } else if (stages.length === 0 && orders.length === 0) {
    tellNothing(sessions, guest, context);
  }
  await startMerge(disks, context);
}

/** @throws {UserError} if the guest has none of these disks, by target or image */
function checkMeant({ disks }: Guest, context: GuestCommand): void {
  const known = disks.flatMap(({ disk }) => disk?.names.image ?? []);
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
  const { disks } = await planCheckedRecovery(filesOf(guest), context);
  const choice = options.has("keep") ? "--keep" : "--discard";
  refuseAway(`autorevert recover ${choice}`, disks.filter(({ record }) => !record?.idle), context);
  const sessions = sessionsOf(disks, targets);
  await checkSessions(sessions, context);
  for (const disk of sessions) {
    const { target, names, listing } = disk;
    const saved = maySomebodyNeed(disk, context) ? `, ${onWhichSaved}` : "";
    const lost = [
      ...listing.has(names.ended) ? [goesWithIt(names.ended)] : [],
      ...endedWith(disk, disks).map((other) =>
        `that of ${other.target}, which began with it, is not there any more`
      ),
    ];
    const keeping = lost.length > 0 ? ["keep the session", ...lost].join("; ") : undefined;
    const question = options.has("discard")
      ? `throw the session ${described(names.image)}${saved}, away`
      : keeping;
    if (question !== undefined) confirm(`${domain} ${target}: ${question}?`, context);
  }
  return namesIn(sessions);
}

/** The disks whose sessions began with that of a disk, and have ended without it: an end was cut short. */
function endedWith({ record }: ObservedDisk, disks: readonly ObservedDisk[]): ObservedDisk[] {
  return disks.filter((other) =>
    record !== undefined && !other.firmware && stateOf(other).kind !== "session" && !other.record?.idle &&
    other.record?.started === record.started
  );
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

async function endSessions(
  sessions: readonly ObservedDisk[],
  firmware: readonly ObservedDisk[],
  { problem, disks }: Guest,
  context: GuestCommand,
): Promise<void> {
  const { run, domain, host, paths, options, terminal } = context;
  await checkSessions(sessions, context);
  // A flag that nobody can read can't be cleared, and would commit the next session, too.
  const isThere = files.lstat(paths.config) !== undefined;
  if (
    options.has("keep") && problem !== undefined && isThere &&
    sessions.some(({ flag }) => flag === "unreadable")
  ) throw problem;
  const isEnded = ({ image }: { readonly image: string }) =>
    sessions.some(({ names }) => names.image === image);
  // Before any flag is cleared.
  await holdResumed(disks.filter(({ disk }) => disk && !isEnded(disk.names)), context);
  const records = readOwnRecords(paths.note);
  const others = readOtherRecords(paths.note, sessions.map(({ names }) => names.image));
  const flagVersion = configVersion(paths.config);
  // Of a guest that never came up, the flag is still to be used.
  const isUnused = ({ record }: ObservedDisk) =>
    options.has("discard") && readStart(paths)?.word === "fresh" && !record?.held;
  const own = [
    ...sessions.map((disk) => isUnused(disk) ? withoutFlag(disk) : withOwnFlag(disk, disks)),
    ...firmware,
  ];
  // Cut short, the firmware's go as the disks went.
  const all = [...sessions, ...firmware];
  const noted = all.map((disk) => disk.record ?? newRecord(disk, host.now(), others));
  const foreign = all.filter(({ record }) => record === undefined).map(({ names }) => names.image);
  const rest = records.filter(({ image }) => noted.every((record) => record.image !== image));
  const before = [...rest, ...noted];
  const note = options.has("keep") ? withCommits(before, own, host.now()) : before;
  const ours = note.filter((record) => !rest.includes(record));
  // What the guest may have been saved on, and goes now.
  const needed = all.filter((disk) =>
    options.has("keep") ? hasSetAside(disk) : maySomebodyNeed(disk, context)
  );
  if (options.has("keep")) {
    // Flags that are set later are meant for the next session.
    const usesFlag = ({ image }: SessionRecord) =>
      sessions.some((disk) => disk.names.image === image && own.includes(disk));
    const deciding = note.map((record) => ({
      ...record,
      ...ours.includes(record) && { held: true, flagVersion: usesFlag(record) && flagVersion || "none" },
      // One that isn't this guest's yet must not go at the next start.
      ...foreign.includes(record.image) && { idle: true as const },
    }));
    await run.take("", [{ kind: "note", path: paths.note, records: deciding }]);
    for (const { target, names, listing, byHand } of sessions) {
      if (byHand) await run.take(target, holdPublished(names, listing, true));
    }
    const { subject, steps } = planCommit([], own, paths);
    await run.take(subject, steps);
  } else {
    // The flag that was meant for a session goes with it, and first: without it, the session goes at the next start, too.
    await dependOnFlags(all, context);
    const isAside = disks.some(({ disk }) =>
      disk !== undefined && hasEnded(stateOf(disk)) &&
      sessions.every(({ names }) => names.image !== disk.names.image)
    );
    const targets = own.filter(({ flag }) => flag === "set").map(flagTargetOf);
    if (targets.length > 0) await run.take("", [{ kind: "clear", config: paths.config, targets }]);
    for (const disk of all) {
      await run.take(disk.target, disk.firmware ? planFirmwareEnd(disk, isAside) : planDiscard(disk));
    }
  }
  const outcome = options.has("keep")
    ? "the session is part of the disk now: the next start begins with it"
    : "the session is thrown away: the next start begins without it";
  const flagSaid = (disk: ObservedDisk) =>
    disk.startFlag?.isSet
      ? `; the flag of ${disk.startFlag.target}, as which it began, is used up by that`
      : disk.record === undefined && bearsMark(disk)
      ? `; where it began its flag is still set, for the next session there: ${
        cancelCommand(domain, disk.target)
      }`
      : own.includes(disk) || disk.startFlag !== undefined && disk.flag === "clear"
      ? ""
      : "; the flag stays, and the next session will be kept";
  for (const disk of sessions) terminal.print(`${domain} ${disk.target}: ${outcome}${flagSaid(disk)}`);
  // What the guest was saved on is the disk now, or gone: nothing else that lies there is for its memory.
  const goes = needed.map(({ names }) => names.image);
  const left = note.map((record): SessionRecord => {
    const { waits: _, ...rest } = record;
    if (!ours.includes(record)) return record;
    return { ...rest, ...goes.includes(record.image) && { lost: true } };
  });
  await updateRecords(left, context);
  if (context.targets.length > 0) tellOthers(sessions, disks, context);
  else if (options.has("keep")) tellSetAside(context);
}

/** What becomes of one disk is not always meant for it alone. */
function tellOthers(
  sessions: readonly ObservedDisk[],
  views: Guest["disks"],
  { domain, options, terminal }: GuestCommand,
): void {
  for (const { disk, target } of views) {
    if (disk === undefined || stateOf(disk).kind !== "session" || disk.source === "other") continue;
    if (sessions.some(({ names }) => names.image === disk.names.image)) continue;
    const command = recoverCommand(options.has("keep") ? "--keep" : "--discard", domain, target);
    terminal.print(`${domain} ${target}: its session lies there still; to end it, too: ${command}`);
  }
}

/** Whether a guest that was saved, or that runs elsewhere, may need the session. */
function maySomebodyNeed(disk: ObservedDisk, context: GuestCommand): boolean {
  // The session that its start has set aside is rather what a guest was saved on than one of which no end is known.
  return disk.record?.waits === "saved" || waitsToBeSetAside(disk) ||
    !hasItsSetAside(disk) && lacksItsEnd(disk.record, readStart(context.paths), context);
}

/** A flag that was set since the session died is meant for the next one, and stays. */
function withOwnFlag(disk: ObservedDisk, views: Guest["disks"]): ObservedDisk {
  // It began as another target, whose flag goes with it.
  if (disk.startFlag !== undefined) return { ...disk, flag: disk.startFlag.isSet ? "set" : "clear" };
  const view = views.find((view) => view.disk?.names.image === disk.names.image);
  const isMeant = disk.record?.held || disk.record?.flagged ||
    view !== undefined && goesOn(view);
  return isMeant ? disk : withoutFlag(disk);
}

function withoutFlag(disk: ObservedDisk): ObservedDisk {
  return disk.flag === "set" ? { ...disk, flag: "clear" } : disk;
}
