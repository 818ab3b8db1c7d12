/** What becomes of each disk at a start, and why it is refused. */

import { UserError, withContext } from "../errors.ts";
import { type EventContext, lookingBy, type NotedStart } from "./context.ts";
import { planCheckedRecovery } from "./checked_recovery.ts";
import { decideAll, type EventFacts, mayBeSavedUntold, whyRefused, withFirmware } from "./decide.ts";
import { checkMarks, checkMergeMarks } from "./marks.ts";
import { waitForOrphan } from "./merge_control.ts";
import { flagsMeant } from "./flags.ts";
import { withTemplates } from "./seat_firmware.ts";
import type { MadeSeats } from "./seat_prepare.ts";
import { dataError } from "./image_errors.ts";
import * as files from "../host/files.ts";
import type { ImageInfo } from "../host/qemu_img.ts";
import { readOtherRecords } from "../host/session_records.ts";
import type { Config } from "../input/config.ts";
import { beginsSession, type DecidedDisk } from "../state/decided_disk.ts";
import { isRefusal } from "../state/decision_table.ts";
import { firmwareAtPrepare } from "../state/firmware.ts";
import {
  disksFirst,
  isAwaited,
  isHeld,
  isTorn,
  isUnborn,
  isUnwrittenSinceRestore,
  mayBeAnothers,
  type ObservedDisk,
  stateOf,
  waitsToBeSetAside,
} from "../state/observed_disk.ts";
import { hasLostSession } from "../state/records_at_prepare.ts";
import { type DecidedSeat, isSeatLeft } from "../state/seat.ts";
import type { SeatDecision } from "../state/seat_table.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { hasEnded } from "../state/state.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** What a start rests on besides its disks. */
export interface Start {
  readonly start: "fresh" | "resume" | "migrate";
  /** What is still noted of the start before it: nothing, where that guest came up. */
  readonly before: NotedStart | undefined;
  readonly config: Config | undefined;
  /** The guest's seats, whose sessions are made. */
  readonly seats: MadeSeats | undefined;
}

/**
 * What becomes of each disk. A merge of another host may be about to end: while it gives the image its name, any look may fail.
 *
 * @throws {UserError} if a disk can't have its session, or the names around one have changed meanwhile
 */
export async function decideStart(
  disks: readonly ObservedDisk[],
  records: readonly SessionRecord[],
  from: Start,
  context: EventContext,
): ReturnType<typeof decideDisks> {
  try {
    return await decideDisks(disks, records, from, context);
  } catch (error) {
    const changed = disks.find(({ names, listing }) => {
      const now = context.run.listing(names.image);
      return now.size !== listing.size || [...listing].some(([path, inode]) => now.get(path) !== inode);
    });
    throw changed ? withContext(changed.target, changedMeanwhile(changed)) : error;
  }
}

async function decideDisks(
  disks: readonly ObservedDisk[],
  records: readonly SessionRecord[],
  { start, before, config, seats }: Start,
  context: EventContext,
) {
  const { host, paths } = context;
  const planned = await planCheckedRecovery(disks, context, before);
  const others = readOtherRecords(paths.note, planned.disks.map(({ names }) => names.image));
  const recovery = {
    ...planned,
    disks: await unmergedDisks(planned.disks, [...records, ...others], context),
  };
  const isFlagMeant = flagsMeant(config, recovery.disks);
  const looked = new Map<string, ImageInfo>();
  // The warnings are made of the same looks: each would take a process.
  const noting = lookingBy(async (image, how) => {
    const look = await host.qemuImg.info(image, how);
    looked.set(image, look);
    return look;
  }, context);
  const disksDecided = await decideAll(
    recovery.disks,
    noting,
    (disk) => eventFacts(disk, { start, isFlagMeant: isFlagMeant(disk), before }, context),
  );
  const decisions = disksDecided.map(({ decision }) => decision);
  const found = start === "fresh" ? await withTemplates(recovery.disks, context) : recovery.disks;
  const seatsDecided = seats?.decided ?? [];
  const firmware = firmwareAtPrepare(found, decisions, seatsDecided.map(ofFirmware), start);
  const decided = withFirmware(firmware, disksDecided, context);
  for (const disk of recovery.disks) checkMergeMarks(disk);
  await refuse(decided, context);
  if (start === "fresh") checkFirmware(decided, seatsDecided, context);
  for (const disk of recovery.disks) checkMarks(disk, start === "resume");
  warnOfBases(decided, looked, context);
  return { decided, recovery, others };
}

/** The disks once nothing writes to what a merge has torn. */
async function unmergedDisks(
  disks: readonly ObservedDisk[],
  records: readonly SessionRecord[],
  context: EventContext,
): Promise<ObservedDisk[]> {
  const unmerged: ObservedDisk[] = [];
  for (const disk of disks) {
    const { image, layer } = disk.names;
    const state = stateOf(disk);
    if ("layers" in state && isTorn(state, records.filter((record) => record.image === image))) {
      const lowest = layer(state.layers[0]);
      await waitForOrphan(lowest, context);
      unmerged.push({ ...disk, layerTimes: [...disk.layerTimes ?? [], files.writtenTime(lowest)] });
    } else unmerged.push(disk);
  }
  return unmerged;
}

/**
 * What a start depends on besides the disk.
 *
 * @param isFlagMeant its flag, if it is set, is for the session that lies there: see {@link flagsMeant}
 * @param before what is still noted of the start before it
 */
export function eventFacts(
  disk: ObservedDisk,
  { start, isFlagMeant, before }: Pick<Start, "before"> & {
    readonly start: EventFacts["start"];
    readonly isFlagMeant: boolean;
  },
  context: Pick<EventContext, "host" | "domain">,
): EventFacts {
  const { record } = disk;
  const held = isHeld(disk) ||
    !waitsToBeSetAside(disk) && (disk.listed ? isFlagMeant : disk.flag === "unreadable");
  // Beside one that is set aside, it was left without a word of a save: either may be the one that is to be restored.
  const isEither = start === "resume" && hasEnded(stateOf(disk)) && record?.waits === true;
  const saved = stateOf(disk).kind === "session"
    ? isAwaited(disk) && !isEither || isUnwrittenSinceRestore(disk) || mayBeAnothers(disk) ||
      mayBeSavedUntold(record, before, context)
    : record?.waits === "saved" || hasLostSession(disk);
  return { event: "prepare", start, end: "none", held, saved };
}

/** @throws {UserError} if the firmware's session belongs to one whose image the domain names no more */
function checkFirmware(
  decided: readonly DecidedDisk[],
  seats: readonly DecidedSeat[],
  { domain }: EventContext,
): void {
  const goes = decided.find(({ disk, decision }) =>
    disk.firmware && stateOf(disk).kind === "session" && !isUnborn(disk) &&
    (beginsSession(decision) || decision === "discard")
  );
  const leftDisk = decided.find(({ disk, decision }) =>
    decision === "leave to a person" && stateOf(disk).kind === "session"
  )?.disk;
  // Beside one that was left before, the firmware has begun another session since.
  const leftSeat = seats.find(({ seat, decision }) =>
    isSeatLeft(decision) && seat.file === "session" && !seat.record?.detached
  )?.seat;
  const left = leftDisk ?? leftSeat;
  if (goes === undefined || left === undefined) return;
  const { image } = left.names;
  throw withContext(
    goes.disk.target,
    new UserError(`it belongs to the session ${quoted(image)}, whose disk the domain names no more`, {
      hint:
        `after an external snapshot, bring that back into the session: qemu-img commit -b ${
          shellWord(image)
        } ` +
        `SNAPSHOT; then name that again: virsh edit ${shellWord(domain)}; or end it: ${
          recoverCommand(leftDisk ? "--keep|--discard" : "--discard", domain, image)
        }`,
    }),
  );
}

/**
 * What a seat's decision means for the firmware: what lies there of that belongs to the session that is set aside, where an end was cut
 * short between the two.
 */
function ofFirmware({ seat, decision }: DecidedSeat): SeatDecision {
  const isSetAside = seat.file === "none" && seat.listing.has(seat.names.ended);
  return isSetAside && decision === "new session" ? "set aside, new session" : decision;
}

async function refuse(decided: readonly DecidedDisk[], context: EventContext): Promise<void> {
  const isWithFirmware = decided.some(({ disk }) => disk.firmware && stateOf(disk).kind === "session");
  for (const { disk, decision } of disksFirst(decided, ({ disk }) => disk)) {
    if (!isRefusal(decision)) continue;
    throw withContext(disk.target, await whyRefused(decision, disk, context, isWithFirmware));
  }
}

/** A disk's first start tells that no commit could be merged with it; an end could tell it only when it is too late. */
function warnOfBases(
  decided: readonly DecidedDisk[],
  looked: ReadonlyMap<string, ImageInfo>,
  { run }: EventContext,
): void {
  for (const { disk: { target, names: { image } }, decision } of decided) {
    const look = beginsSession(decision) ? looked.get(image) : undefined;
    const error = look && dataError(image, look);
    if (error !== undefined) run.logInfo(target, `warning: ${error.message}`);
  }
}

export function changedMeanwhile({ names: { image } }: ObservedDisk): UserError {
  return new UserError(
    `the layers of ${quoted(image)} were changed by another host while a session was begun`,
    { hint: "try again: nothing is lost by that", healedBy: "event" },
  );
}
