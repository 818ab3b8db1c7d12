/** Whose session lies on an image, where the guest of this event has not begun it. */

import { UserError, withContext } from "../errors.ts";
import { type EventContext, managedSave } from "./context.ts";
import { readableDisksIn } from "./definitions.ts";
import { sourceOf } from "./image_path.ts";
import * as files from "../host/files.ts";
import { otherGuests } from "../host/session_records.ts";
import {
  bearsMark,
  isMarked,
  isRecorded,
  type ObservedDisk,
  stateOf,
  wasSavedOn,
} from "../state/observed_disk.ts";
import { guestNames } from "../state/paths.ts";
import { hasEnded } from "../state/state.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** The other guest that has begun the newest session on an image, by the notes; undefined where none has. */
export function otherOwner(
  image: string,
  { paths }: EventContext,
  guests = otherGuests(paths.note, [image]),
) {
  const others = guests.flatMap(({ domain, records }) =>
    records.filter((record) => record.image === image).map((record) => ({ ...record, domain }))
  );
  return others.toSorted((a, b) => a.started < b.started ? -1 : 1).at(-1);
}

/** Whether a saved guest comes from another host: of its session there is no note here, but this hook has marked it there. */
export function isSavedElsewhere(disk: ObservedDisk, context: EventContext): boolean {
  const { waits, left, lost, setsAside } = disk.record ?? {};
  // What a guest was saved on here is another one; on one that has gone to another host it was not saved here.
  const isAnother = waits === "saved" && (!left || managedSave(context) !== undefined) || lost === true ||
    setsAside !== undefined;
  return isMarked(disk) && !isAnother && otherOwner(disk.names.image, context) === undefined;
}

/**
 * Whether what is set aside beside an image is another guest's, by its note, and of this one nothing is noted: it wasn't saved on that here.
 */
export function isOthersSetAside(
  { names: { image }, endedMade, record }: ObservedDisk,
  { paths }: EventContext,
): boolean {
  return record === undefined && endedMade !== undefined &&
    otherGuests(paths.note, [image]).some(({ records }) =>
      records.some((record) => record.image === image && wasSavedOn({ endedMade, record }))
    );
}

/** Why a session of another guest is left alone, if it is one. */
export function othersSession(disk: ObservedDisk, context: EventContext): UserError | undefined {
  const { image } = disk.names;
  const isOwn = disk.record !== undefined && !disk.record.idle;
  const owner = !isOwn && stateOf(disk).kind === "session" ? otherOwner(image, context) : undefined;
  if (owner === undefined) return undefined;
  const isSession = `${quoted(image)} is a session of the guest ${quoted(owner.domain)}`;
  if (owner.aside === "others" && hasEnded(stateOf(disk))) {
    const discard = recoverCommand("--discard", owner.domain, image);
    return new UserError(`${isSession}, which never came up on it`, {
      hint: `take it away, which leaves what is set aside as it is: ${discard}`,
    });
  }
  const { configFolder, definedFolder, liveFolder } = context.host.settings;
  const isKnown = [definedFolder, liveFolder].some((folder) => files.lstat(`${folder}/${owner.domain}.xml`));
  const [theirs, own] = [owner, context].map(({ domain }) =>
    shellWord(guestNames(configFolder, domain).note)
  );
  const first = isKnown && owner.waits === "saved"
    ? "that guest was saved on it, or has gone to another host with it: restore it, and end it"
    : isKnown
    ? "start that guest and end it"
    // Its flag is in the other configuration.
    : disk.flag !== "set" && (bearsMark(disk) || owner.held || owner.flagged)
    ? undefined
    : `if it was renamed to ${quoted(context.domain)}: mv -n ${theirs} ${own}`;
  const { source, renamed } = namedNow({ ...owner, image }, context);
  const name = source === "same" && !renamed ? owner.target : image;
  const end = recoverCommand("--keep|--discard", owner.domain, ...owner.firmware ? [] : [name]);
  return new UserError(isSession, {
    hint: source !== "same"
      ? `that guest has another image now: ${end}`
      : first === undefined
      ? `end it: ${end}`
      : `${first}; or: ${end}`,
  });
}

/**
 * A commit is finished by the guest whose session it is, since the flag that was set for it is in that guest's file; and an undo or keep
 * by the guest that it was typed for, of which it may be about several disks.
 *
 * @throws {UserError} if that is another guest; then a process of that guest's finishes it meanwhile
 */
export async function checkOwners(disks: readonly ObservedDisk[], context: EventContext): Promise<void> {
  const asked = disks.filter((disk) => {
    const { kind } = stateOf(disk);
    return !disk.firmware && (isOthersCommit(disk) || kind === "layered" || kind === "headless");
  });
  // libvirt waits for each note that is read.
  if (asked.length === 0) return;
  const guests = otherGuests(context.paths.note, asked.map(({ names }) => names.image));
  for (const disk of asked) await checkOwner(disk, otherOwner(disk.names.image, context, guests), context);
}

/** Whether a commit was decided of which this guest's note says nothing: of another session than it tells of, or where that has gone. */
export function isOthersCommit(disk: ObservedDisk): boolean {
  const { record } = disk;
  const isDecidedHere = record?.flagVersion !== undefined || isRecorded(disk) && !record?.left;
  return stateOf(disk).kind === "committing" && !isDecidedHere;
}

async function checkOwner(
  disk: ObservedDisk,
  owner: ReturnType<typeof otherOwner>,
  context: EventContext,
): Promise<void> {
  const { target, names: { image }, record } = disk;
  if (owner === undefined) return;
  const isNewer = record === undefined || owner.started > record.started;
  const isTheirs = isOthersCommit(disk) && (record === undefined || isRecorded({ ...disk, record: owner }));
  const what = isTheirs ? "commit" : isNewer ? owner.pending?.verb : undefined;
  if (what === undefined || what === "forget") return;
  const { domain } = owner;
  await context.run.takeOrReport(target, () => [{ kind: "background", domain }]);
  throw withContext(
    target,
    new UserError(
      `the ${what} of the guest ${quoted(domain)} on ${quoted(image)} was cut short, and is being finished`,
      { hint: `try again; by hand: ${recoverCommand("complete", domain)}`, healedBy: "event" },
    ),
  );
}

/** What the domain, as libvirt keeps it, names for the target now. */
function namedNow(
  { domain, ...session }: { readonly domain: string; readonly target: string; readonly image: string },
  { host: { settings } }: EventContext,
): ReturnType<typeof sourceOf> {
  const disks = readableDisksIn(settings.definedFolder, domain);
  return disks === undefined ? { source: "same", renamed: false } : sourceOf(session, disks);
}
