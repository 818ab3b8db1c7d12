/** The command that has one session of a guest kept, or takes that back. */

import { wordsOf } from "./conditions.ts";
import { setKey } from "./config_edit.ts";
import { configure, finishRecovery, inspectListed, listedDisks, warnOfBase } from "./configure.ts";
import { inspectGuest } from "./guest.ts";
import type { GuestCommand } from "./guest_command.ts";
import { goesOn, type InspectedDisk } from "./inspect.ts";
import { UserError, withContext } from "../errors.ts";
import * as files from "../host/files.ts";
import { readOwnRecords } from "../host/session_records.ts";
import type { ConfiguredDisk } from "../input/config.ts";
import {
  bearsMark,
  isAway,
  isHeld,
  isRecorded,
  isSessionAway,
  mayBeKept,
  type ObservedDisk,
  stateOf,
} from "../state/observed_disk.ts";
import { formatRecords, type SessionRecord } from "../state/session_record.ts";
import { parse } from "../state/state.ts";
import { mark, removeMark } from "../state/transitions.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** Sets the commit flags of disks, or clears them. */
export async function commit(context: GuestCommand): Promise<void> {
  const { run, domain, paths, options, terminal } = context;
  const flag = !options.has("cancel");
  using _guest = await run.locks.guest();
  await finishRecovery(context);
  const { meant } = await listedDisks(context);
  checkTargetsOfFlags(meant, (await inspectGuest(context)).disks, context);
  const changed = meant.filter(({ commit }) => commit !== flag);
  if (changed.length > 0) {
    const targets = changed.map(({ target }) => target);
    const text = targets.reduce(
      (text, target) => setKey(text, target, "one-shot-commit", flag),
      files.read(paths.config)!,
    );
    await configure(text, `${flag ? "set" : "clear"} "one-shot-commit" of ${targets.join(", ")}`, context);
  }
  // As the next event will find them, with the flags as they are now.
  const views = await inspectListed(meant, context);
  if (flag) await promise(views, context);
  else await takeBack(views, context);
  for (const view of views) {
    terminal.print(
      `${domain} ${view.target}: ${flag ? afterCommit(view, context) : afterCancel(view)}`,
    );
    if (flag && view.disk !== undefined) await warnOfBase(view.disk, context);
  }
}

/** @throws {UserError} if the flag of one of these is still that of a session whose disk has another target now */
function checkTargetsOfFlags(
  meant: readonly ConfiguredDisk[],
  views: readonly InspectedDisk[],
  { domain }: GuestCommand,
): void {
  const disks = views.flatMap(({ disk }) => disk ?? []);
  for (const { target } of meant) {
    const other = disks.find((disk) => disk.startFlag?.target === target && mayBeKept(disk));
    if (other === undefined) continue;
    throw withContext(
      target,
      new UserError(
        `its flag is that of the session ${quoted(other.names.image)}, whose disk is ${other.target} now`,
        {
          hint: `start the guest first, or end that session: ${
            recoverCommand("--keep|--discard", domain, other.target)
          }`,
        },
      ),
    );
  }
}

/** A mark that no note tells of counts by itself: it comes last. */
async function promise(views: readonly InspectedDisk[], context: GuestCommand): Promise<void> {
  await recordPromise(views, true, context);
  await markSessions(views, true, context);
}

/** Nothing says any more that the sessions which lie there are to be kept, but for those of guests that run on another host. */
export async function takeBack(views: readonly InspectedDisk[], context: GuestCommand): Promise<void> {
  await dependOnFlags(views.filter(isOwn).flatMap(({ disk }) => disk ?? []), context);
  await markSessions(views, false, context);
  await recordPromise(views, false, context);
}

/**
 * Has the marks of these sessions count as their flags' own, which an administrator has cleared, or is about to: in one step for all of
 * them, since each mark is removed by itself.
 */
export async function dependOnFlags(
  disks: readonly ObservedDisk[],
  { run, paths }: GuestCommand,
): Promise<void> {
  // Whether one bears a mark that can't be seen, nobody knows.
  const images = disks.filter((disk) => bearsMark(disk) || isSessionAway(disk) && isHeld(disk))
    .map(({ names }) => names.image);
  const records = readOwnRecords(paths.note).map((record) =>
    images.includes(record.image) ? { ...record, flagged: true as const, held: false } : record
  );
  if (images.length > 0) await run.take("", [{ kind: "note", path: paths.note, records }]);
}

/** A session that the flag is said to be for is meant, whatever becomes of its guest and of the file before it ends. */
async function recordPromise(
  views: readonly InspectedDisk[],
  flag: boolean,
  { run, paths }: GuestCommand,
): Promise<void> {
  const imagesOf = (which: (view: InspectedDisk) => boolean) =>
    views.filter(which).map(({ disk }) => disk?.names.image);
  const promised = imagesOf((view) => flag ? isPromised(view) : isHere(view));
  const setAside = imagesOf(({ condition }) => flag && condition === "is set aside");
  const kept = imagesOf(({ disk }) => disk?.keepSession === true || disk?.record?.detached === true);
  const before = readOwnRecords(paths.note);
  const records = before.map((record): SessionRecord => {
    if (setAside.includes(record.image)) return { ...record, waits: true };
    if (!promised.includes(record.image)) return record;
    const { flagged: _, waits, ...rest } = record;
    // What waits to be set aside since it was promised goes again.
    const stillWaits = waits === "saved" || flag || kept.includes(record.image) ? waits : undefined;
    return { ...rest, ...stillWaits && { waits: stillWaits }, ...flag ? { flagged: true } : { held: false } };
  });
  if (formatRecords(records) === formatRecords(before)) return;
  await run.take("", [{ kind: "note", path: paths.note, records }]);
}

/** The word lies beside the sessions that it is for, too: they may end on another host. */
async function markSessions(
  views: readonly InspectedDisk[],
  flag: boolean,
  context: GuestCommand,
): Promise<void> {
  const { run } = context;
  const disks = views.filter(flag ? isPromised : isHere).flatMap(({ disk }) => disk ?? []);
  using _folders = await run.locks.folders(disks.map(({ names }) => names.image));
  for (const { target, names } of disks) {
    const state = parse(names, run.listing(names.image));
    if (state.kind !== "session" || (state.marked ?? false) === flag) continue;
    await run.take(target, flag ? mark(names) : removeMark(names));
  }
}

/** Whether a session is this guest's, and on this host: of another one the word is given where that is. */
function isOwn({ condition, disk }: InspectedDisk): boolean {
  return condition !== "elsewhere" && disk !== undefined && isRecorded(disk);
}

/** The same of one that can be seen. */
function isHere(view: InspectedDisk): boolean {
  return isOwn(view) && !isAway(view.disk!);
}

/** Whether the flag is said to be for the session that lies there. */
function isPromised(view: InspectedDisk): boolean {
  const { condition, disk } = view;
  if (disk === undefined || stateOf(disk).kind !== "session") return false;
  return condition === "running" || condition === "saved" || goesOn(view);
}

function afterCancel(view: InspectedDisk): string {
  const { disk, condition } = view;
  const isAnothers = disk !== undefined && bearsMark(disk) && !isHere(view);
  return wordsOf[isAnothers ? "elsewhere" : condition].cancel;
}

function afterCommit(view: InspectedDisk, { domain }: GuestCommand): string {
  const { condition, target } = view;
  // Where libvirt doesn't tell of a save, its session is set aside until it comes back.
  const isNext = condition === "saved" && !isPromised(view);
  const { commit } = wordsOf[isNext ? "clean" : condition];
  return commit.replaceAll(/DOMAIN|TARGET/g, (word) => word === "DOMAIN" ? shellWord(domain) : target);
}
