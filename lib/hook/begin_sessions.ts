import { UserError, withContext } from "../errors.ts";
import { type EventContext, lookingBy, type NotedStart, updateRecords } from "./context.ts";
import { planCheckedRecovery } from "./checked_recovery.ts";
import { decideAll, type EventFacts, mayBeSavedUntold, whyRefused, withFirmware } from "./decide.ts";
import { checkMarks, checkMergeMarks } from "./marks.ts";
import { waitForOrphan } from "./merge_control.ts";
import { flagsMeant } from "./flags.ts";
import { madeAt, madeOf } from "./observe.ts";
import { takeOwn } from "./own_names.ts";
import { checkTemplates, withTemplates } from "./seat_firmware.ts";
import type { MadeSeats } from "./seat_prepare.ts";
import { dataError } from "./image_errors.ts";
import { undoStart } from "./undo_start.ts";
import * as files from "../host/files.ts";
import type { ImageInfo } from "../host/qemu_img.ts";
import { readOtherRecords } from "../host/session_records.ts";
import type { Config } from "../input/config.ts";
import type { Stage } from "../state/commit_plan.ts";
import { beginsSession, type DecidedDisk } from "../state/decided_disk.ts";
import { isRefusal } from "../state/decision_table.ts";
import { firmwareAtPrepare } from "../state/firmware.ts";
import {
  disksFirst,
  isAwaited,
  isHeld,
  isMadeForIt,
  isTorn,
  isUnborn,
  isUnwrittenSinceRestore,
  isYetToBeMade,
  MADE_WITHIN,
  mayBeAnothers,
  type ObservedDisk,
  stateOf,
  waitsToBeSetAside,
} from "../state/observed_disk.ts";
import { type Names, namesOf } from "../state/paths.ts";
import { isAnnounced, isLeftAlone, marksOf, planPrepare } from "../state/prepare_plan.ts";
import { hasLostSession, recordsAtPrepare } from "../state/records_at_prepare.ts";
import type { SeatDecision } from "../state/seat_table.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { type DecidedSeat, isSeatLeft } from "../state/seat.ts";
import { hasEnded, parse, topOf } from "../state/state.ts";
import type { Step } from "../state/step.ts";
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

/** How long it is announced that a session is put back, before it is, in milliseconds. */
const ANNOUNCED = 100;

export async function beginSessions(
  disks: readonly ObservedDisk[],
  records: readonly SessionRecord[],
  { start, before, config, seats }: Start,
  context: EventContext,
): Promise<void> {
  const { run, host, paths } = context;
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
  const firmware = firmwareAtPrepare(
    found,
    decisions,
    seatsDecided.map(ofFirmware),
    start,
  );
  const decided = withFirmware(firmware, disksDecided, context);
  for (const disk of recovery.disks) checkMergeMarks(disk);
  await refuse(decided, context);
  if (start === "fresh") checkFirmware(decided, seatsDecided, context);
  for (const disk of recovery.disks) checkMarks(disk, start === "resume");
  warnOfBases(decided, looked, context);

  const note = recordsAtPrepare(decided, host.now(), others, start);
  const { made, named, marked } = planPrepare(decided, recovery, note, start, paths);
  const own = new Set<string>();
  const begun = decided.filter(({ decision }) => beginsSession(decision));
  try {
    const take = async ({ subject, steps }: Stage) => {
      for (const step of steps) await takeOwn(subject, step, own, context);
    };
    for (const stage of made) await take(stage);
    await checkTemplates(begun.map(({ disk }) => disk), context);
    // A merge of another host that has looked for that name just before has given the image its own by then.
    if (decided.some(isAnnounced) && !run.isDry) await new Promise((wake) => setTimeout(wake, ANNOUNCED));
    // Theirs can be taken back wholly, also after the last step; where it fails, no disk has begun.
    await seats?.finish(note, marksOf(decided));
    for (const stage of named) {
      await checkBegun(stage.steps, decided, context);
      await noteClock(stage.steps, note, context);
      await take(stage);
    }
    for (const { disk } of begun) {
      const state = parse(disk.names, run.listing(disk.names.image));
      if (state.kind !== "session" && !isYetToBeMade(disk)) {
        throw withContext(disk.target, changedMeanwhile(disk));
      }
    }
  } catch (error) {
    // Of what is left behind by a start, or seems to be, another host's event makes an end.
    const taken = files.isMissing(error) &&
      begun.find(({ disk: { names } }) =>
        own.has(names.scratch) && files.lstat(names.scratch) === undefined &&
        files.lstat(names.image) !== undefined
      );
    await undoStart(decided, { before: records, note, own }, context);
    if (taken) throw withContext(taken.disk.target, changedMeanwhile(taken.disk));
    throw error;
  }
  if (await updateRecords(recordsWhenBegun(note, begun), context)) {
    for (const { subject, steps } of marked) await run.takeOrReport(subject, () => steps);
  }
  if (isLeftAlone(decided, note) && seats === undefined && !run.isDry) files.removeIfThere(paths.starting);
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
 * Where the file system's clock differs from ours, it is noted how far, and a session is told by when its file was made: before it is
 * the session.
 */
async function noteClock(
  steps: readonly Step[],
  note: SessionRecord[],
  { run, paths, host }: EventContext,
): Promise<void> {
  let isChanged = false;
  for (const [index, record] of note.entries()) {
    const names = namesOf(record.image);
    const scratch = givesName(steps, names) ? files.lstat(names.scratch) : undefined;
    const made = madeOf(scratch);
    if (scratch === undefined || made === undefined) continue;
    const ahead = clockOffset(scratch, record, host.now());
    const isTold = isMadeForIt({ made, record });
    if (ahead === 0 && isTold) continue;
    note[index] = {
      ...record,
      ...!isTold && { made: [...record.made ?? [], made] },
      ...ahead !== 0 && { ahead },
    };
    isChanged = true;
  }
  if (isChanged) await run.take("", [{ kind: "note", path: paths.note, records: note }]);
}

/** How far the clock of a file's file system is ahead, in milliseconds; the file was made since the session's start. */
function clockOffset({ mtime }: Deno.FileInfo, { started }: SessionRecord, now: Date): number {
  const at = mtime?.getTime() ?? now.getTime();
  const [since, until] = [Date.parse(started), now.getTime()];
  const offset = at > until ? at - until : at < since ? at - since : 0;
  return Math.abs(offset) < MADE_WITHIN ? 0 : offset;
}

/**
 * What is noted once all sessions are in their places: one that began with its flag set over an older one can't be taken for a word
 * about that any more, and one that goes on, or has come back, is told as those that began were before.
 */
function recordsWhenBegun(
  note: readonly SessionRecord[],
  begun: readonly DecidedDisk[],
): SessionRecord[] {
  return note.map((record) => {
    const one = begun.find(({ disk }) => disk.names.image === record.image);
    if (one !== undefined) {
      const { flagged: _, ...rest } = record;
      return { ...rest, ...one.disk.flag === "set" && { flagged: true } };
    }
    // What lies in the place of one that was left may be somebody's own.
    if (record.detached) return record;
    if (record.aside !== undefined && files.lstat(namesOf(record.image).ended) === undefined) {
      const { aside: _aside, setsAside: _setsAside, ...rest } = record;
      return rest;
    }
    const made = madeAt(record.image);
    if (made === undefined || isMadeForIt({ made, record })) return record;
    const isSession = parse(namesOf(record.image), files.listIfThere(record.image)).kind === "session";
    return isSession ? { ...record, made: [made] } : record;
  });
}

/** Whether one of these steps gives a session the image's name. */
function givesName(steps: readonly Step[], { image }: Names): boolean {
  return steps.some((step) => step.kind === "rename" && step.to === image);
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

/**
 * Another host has locks of its own: its merge may end in the moment in which the overlay is made here, and give the image the
 * only name of the disk, or its QEMU open the session that is to go. A look just before the overlay takes that name.
 *
 * @throws {UserError} if the layer is gone that the overlay stands on, or the older session is in use
 */
async function checkBegun(
  steps: readonly Step[],
  decided: readonly DecidedDisk[],
  context: EventContext,
): Promise<void> {
  const { run, host } = context;
  const begun = decided.find((one) =>
    (beginsSession(one.decision) || isAnnounced(one)) && givesName(steps, one.disk.names)
  );
  if (begun === undefined) return;
  const { target, names } = begun.disk;
  const listing = run.listing(names.image);
  const state = parse(names, listing);
  const before = stateOf(begun.disk);
  const top = "layers" in before ? topOf(before.layers) : 0;
  const isSame = run.isDry || listing.get(names.image) === begun.disk.listing.get(names.image);
  if (!("layers" in state) || topOf(state.layers) !== top || !isSame) {
    throw withContext(target, changedMeanwhile(begun.disk));
  }
  if (before.kind !== "session" || begun.disk.firmware || run.isDry) return;
  const { kind } = await host.qemuImg.info(names.image);
  if (kind === "busy") throw withContext(target, await whyRefused("refuse: in use", begun.disk, context));
}

function changedMeanwhile({ names: { image } }: ObservedDisk): UserError {
  return new UserError(
    `the layers of ${quoted(image)} were changed by another host while a session was begun`,
    { hint: "try again: nothing is lost by that", healedBy: "event" },
  );
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
  for (const { disk, decision } of disksFirst(decided, ({ disk }) => disk)) {
    if (isRefusal(decision)) throw withContext(disk.target, await whyRefused(decision, disk, context));
  }
}
