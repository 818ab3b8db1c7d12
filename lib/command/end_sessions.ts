/** How `recover` ends sessions, as an administrator says. */

import { dependOnFlags } from "./commit.ts";
import { holdResumed } from "./configure.ts";
import type { Guest } from "./guest.ts";
import { type GuestCommand, tellSetAside } from "./guest_command.ts";
import { goesOn } from "./inspect.ts";
import { checkSessions } from "./recover_checks.ts";
import { lacksItsEnd, readStart, updateRecords } from "../hook/context.ts";
import { configVersion } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import { readOtherRecords, readOwnRecords } from "../host/session_records.ts";
import { planCommit } from "../state/commit_plan.ts";
import { withCommits } from "../state/firmware_commits.ts";
import { holdPublished } from "../state/master_transitions.ts";
import {
  bearsMark,
  flagTargetOf,
  hasItsSetAside,
  hasSetAside,
  isNotedHeld,
  isRecorded,
  type ObservedDisk,
  stateOf,
  waitsToBeSetAside,
} from "../state/observed_disk.ts";
import { newRecord } from "../state/records_at_prepare.ts";
import { planFirmwareEnd } from "../state/recovery.ts";
import { planDiscard } from "../state/release_plan.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { hasEnded } from "../state/state.ts";
import { cancelCommand, recoverCommand } from "../text.ts";

/**
 * Ends these sessions, kept or thrown away, for all of them or with the next event. The caller holds the guest's lock and the folders'.
 *
 * @param firmware the sessions of firmware that end with them
 * @throws {UserError} if one of them can't be ended; then nothing has changed
 */
export async function endSessions(
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
    problem !== undefined && isThere &&
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
  const goes = needed.map(({ names }) => names.image);
  if (options.has("keep")) {
    // Flags that are set later are meant for the next session.
    const usesFlag = ({ image }: SessionRecord) =>
      sessions.some((disk) => disk.names.image === image && own.includes(disk));
    const deciding = note.map((record) => ({
      ...record,
      ...ours.includes(record) && {
        held: true,
        flagVersion: usesFlag(record) && flagVersion || "none",
        // Until its commit is decided, a start sets it aside.
        waits: record.waits ?? true as const,
        ...goes.includes(record.image) && { lost: true as const },
      },
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
      : !isRecorded(disk) && bearsMark(disk)
      ? `; where it began its flag is still set, for the next session there: ${
        cancelCommand(domain, disk.target)
      }`
      : own.includes(disk) && disk.flag === "set" && !options.has("keep")
      ? "; its flag is cleared with it"
      : own.includes(disk) || disk.startFlag !== undefined && disk.flag === "clear"
      ? ""
      : "; the flag stays, and the next session will be kept";
  for (const disk of sessions) terminal.print(`${domain} ${disk.target}: ${outcome}${flagSaid(disk)}`);
  // What the guest was saved on is the disk now, or gone: nothing else that lies there is for its memory.
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
export function maySomebodyNeed(disk: ObservedDisk, context: GuestCommand): boolean {
  // The session that its start has set aside is rather what a guest was saved on than one of which no end is known.
  return disk.record?.waits === "saved" || waitsToBeSetAside(disk) ||
    !hasItsSetAside(disk) && lacksItsEnd(disk.record, readStart(context.paths), context);
}

/** A flag that was set since the session died is meant for the next one, and stays. */
function withOwnFlag(disk: ObservedDisk, views: Guest["disks"]): ObservedDisk {
  // It began as another target, whose flag goes with it.
  if (disk.startFlag !== undefined) return { ...disk, flag: disk.startFlag.isSet ? "set" : "clear" };
  const view = views.find((view) => view.disk?.names.image === disk.names.image);
  const isMeant = isNotedHeld(disk) || view !== undefined && goesOn(view);
  return isMeant ? disk : withoutFlag(disk);
}

function withoutFlag(disk: ObservedDisk): ObservedDisk {
  return disk.flag === "set" ? { ...disk, flag: "clear" } : disk;
}
