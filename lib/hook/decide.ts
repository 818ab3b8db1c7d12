import { UserError, withContext } from "../errors.ts";
import { type EventContext, isSavedBefore, lacksItsEnd, managedSave, type NotedStart } from "./context.ts";
import { changedBelow, hasLaterLayer, isTopUnknown } from "./layer_writes.ts";
import { isFileOf, isMissing, takenFrom } from "./layer_names.ts";
import { backingThroughLink } from "./misplaced_image.ts";
import { explain, lostLayer } from "./refusal.ts";
import { isOthersSetAside, isSavedElsewhere, othersSession } from "./session_owner.ts";
import { standingOn } from "./standing.ts";
import * as files from "../host/files.ts";
import type { DecidedDisk } from "../state/decided_disk.ts";
import {
  decide,
  type Facts,
  isUnclean,
  type LookUp,
  type Refusal,
  type Row,
} from "../state/decision_table.ts";
import {
  hasItsSetAside,
  hasStaying,
  isMadeForIt,
  isMarked,
  isMaster,
  isRecorded,
  isUnborn,
  mayBeAnothers,
  nameOf,
  type ObservedDisk,
  stateOf,
  wasSavedOn,
  wishOf,
} from "../state/observed_disk.ts";
import { imageOf, layerNumber } from "../state/paths.ts";
import { hasEnded, topOf } from "../state/state.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** The facts that depend on the event, not on the disk. */
export type EventFacts = Pick<Facts, "event" | "start" | "end" | "held" | "saved" | "waits" | "came">;

/**
 * Why a start is refused, with what can be done about it.
 *
 * @param isWithFirmware the guest's firmware has a session, which ends with those of its disks
 */
export async function whyRefused(
  decision: Refusal,
  disk: ObservedDisk,
  context: EventContext,
  isWithFirmware = false,
): Promise<UserError> {
  const others = decision === "refuse: not ours" ? othersSession(disk, context) : undefined;
  if (others !== undefined) return others;
  if (disk.firmware && decision === "refuse: not ours") {
    const image = quoted(disk.names.image);
    return new UserError(`${image} has versions beside it, but no session of this guest has made it`, {
      hint: `to have it as the newest version, or throw it away: ${
        recoverCommand("--keep|--discard", context.domain)
      }`,
    });
  }
  if (decision === "refuse: not ours" && hasLeft(disk)) {
    const ended = recoverCommand("--keep|--discard", context.domain, nameOf(disk));
    return new UserError(`the session ${quoted(disk.names.image)} has gone to another host with its guest`, {
      hint: `if that host is dead, or the session has ended there: ${ended}`,
    });
  }
  const error = await explain(decision, disk, context);
  // A move of names leaves that of the firmware, and its host would throw it away.
  if (isWithFirmware && decision === "refuse: not ours" && lostLayer(disk, context) === undefined) {
    const ended = recoverCommand("--keep|--discard", context.domain);
    return new UserError(error.message, { hint: `to end it, with that of the guest's firmware: ${ended}` });
  }
  // A copy is made later than the session that it is of.
  const isNoted = decision === "refuse: not ours" && disk.record !== undefined && !disk.record.idle;
  return isNoted
    ? new UserError(`${error.message}: it was not made with the one that is noted`, {
      hint: `if its files were copied: ${
        recoverCommand("--keep|--discard", context.domain, nameOf(disk))
      }; else ${error.hint}`,
    })
    : error;
}

/** All that is decided: of the firmware, which is told here, and of the disks, which has been. */
export function withFirmware(
  firmware: readonly DecidedDisk[],
  decided: readonly DecidedDisk[],
  { run }: EventContext,
): DecidedDisk[] {
  for (const { disk, decision } of firmware) {
    if (decision !== "nothing") run.logInfo(disk.target, `${decision}: it goes with the disks`);
  }
  return [...firmware, ...decided];
}

/** Finds out what is to happen to each disk but the firmware, looking up only what the table asks for. Changes nothing. */
export async function decideAll(
  all: readonly ObservedDisk[],
  context: EventContext,
  facts: (disk: ObservedDisk) => EventFacts,
): Promise<DecidedDisk[]> {
  const disks = all.filter(({ firmware }) => !firmware);
  const decided: DecidedDisk[] = [];
  // Each may take a process.
  const rows = await Promise.all(disks.map((disk) => decisionFor(disk, context, facts(disk))));
  for (const [index, disk] of disks.entries()) {
    const { decision, reason, when } = rows[index]!;
    decided.push({ disk, decision, ...when?.stays === true && { isBeside: true } });
    if (decision !== "nothing") context.run.logInfo(disk.target, `${decision}: ${reason}`);
    if (decision === "leave to a person") tellLeft(disk, context);
  }
  return decided;
}

/** What a person can do about a disk that is left to one. */
export function tellLeft(
  { target, names }: Pick<ObservedDisk, "target" | "names">,
  { run, domain }: EventContext,
): void {
  const show = `virsh domblklist --inactive ${shellWord(domain)}`;
  run.logInfo(target, `hint: ${quoted(names.image)} is kept; see what the domain names now: ${show}`);
}

/** The row of the table that decides about a disk. */
export async function decisionFor(
  disk: ObservedDisk,
  context: EventContext,
  circumstances: EventFacts,
): Promise<Omit<Row, "when"> & Partial<Row>> {
  const state = stateOf(disk);
  if (state.kind === "committing" || state.kind === "headless") {
    if (circumstances.event === "prepare") {
      throw withContext(disk.target, new UserError(`${quoted(disk.names.image)} could not be recovered`));
    }
    return { decision: "leave", reason: "it could not be recovered yet" };
  }
  let facts: Facts = {
    ...circumstances,
    state: state.kind,
    ended: hasSetAside(disk, context, circumstances),
    ours: isOurs(disk, circumstances.start) ||
      circumstances.start === "resume" && isSavedElsewhere(disk, context),
    unborn: isUnborn(disk) || circumstances.start === "resume" && disk.record?.lost === true,
    listed: disk.listed,
    flag: wishOf(disk),
    keeps: disk.keepSession || isUnclean(circumstances.end) && mayBeAnothers(disk),
    source: disk.source,
    stays: circumstances.event === "release" && hasStaying(disk),
  };
  while (true) {
    const verdict = decide(facts);
    if ("row" in verdict) return verdict.row;
    facts = { ...facts, ...await lookUp(verdict.lookUp, facts, disk, context) };
  }
}

function hasSetAside(
  disk: ObservedDisk,
  context: EventContext,
  { event, start }: EventFacts,
): Facts["ended"] {
  const isThere = hasEnded(stateOf(disk));
  if (event !== "prepare" || start !== "resume") return isThere;
  // Once the guest was up on a session that is gone now, and whose end was not told here, what its start had set aside is older.
  const isOlder = stateOf(disk).kind !== "session" && hasItsSetAside(disk) && !disk.record?.idle &&
    disk.record?.aside === undefined;
  const isOther = disk.record?.lost === true || isThere && (isOlder || !wasSavedOn(disk));
  return isOther ? "other" : isThere && !isOthersSetAside(disk, context);
}

async function lookUp(
  fact: LookUp,
  { event, flag, held }: Facts,
  disk: ObservedDisk,
  context: EventContext,
): Promise<Partial<Facts>> {
  // A session that is committed makes the disk whole.
  const isToBeCommitted = flag === "set" && (event === "release" || held);
  const isChanged = changedBelow(disk) !== undefined && (!isToBeCommitted || hasLaterLayer(disk));
  switch (fact) {
    case "saved":
      return { saved: isSaved(context) && !isSavedBefore(disk, context) };
    case "look":
      return { look: isChanged ? "replaced" : await inspectImage(disk, context) };
    case "stood": {
      return { stood: isMaster(disk) && standingOn(disk.names, context).length > 0 };
    }
    case "replaced":
      return { replaced: isChanged || await isReplaced(disk, context) };
    default:
      return fact satisfies never;
  }
}

/** Whether the note says that the session, or what is left of it, is this guest's. */
function isOurs(disk: ObservedDisk, start: EventFacts["start"]): boolean {
  if (disk.record === undefined || stateOf(disk).kind === "session" && !isRecorded(disk)) return false;
  return start !== "fresh" || !hasLeft(disk);
}

/** Whether the session went on at another host, and nothing says that it is to be kept, wherever it goes on. */
function hasLeft(disk: ObservedDisk): boolean {
  return disk.record?.left === true && !isMarked(disk);
}

/**
 * Whether a file lies in the session's place that isn't the session: one that was made at another time is looked at. Where
 * the file system doesn't tell when that was, a file that can't be read is taken for the session.
 */
async function isReplaced(disk: ObservedDisk, context: EventContext): Promise<boolean> {
  if (isMadeForIt(disk) && !isTopUnknown(disk, context.host)) return false;
  const look = await inspectImage(disk, context);
  return look === "replaced" || look === "moved" || look === "damaged" && (disk.made ?? -1) >= 0;
}

/** Whether libvirt holds a managed save of the guest. */
export function isSaved(context: Pick<EventContext, "host" | "domain">): boolean {
  return managedSave(context) !== undefined;
}

/**
 * Whether a guest may have been saved on the session that lies there, though no end of it says so: nothing was noted, or libvirt holds a
 * managed save, and its guest came up on this one.
 *
 * @param before what was still noted of the guest's last start
 */
export function mayBeSavedUntold(
  record: Parameters<typeof lacksItsEnd>[0] & { readonly aside?: string } | undefined,
  before: NotedStart | undefined,
  context: Pick<EventContext, "host" | "domain">,
): boolean {
  return lacksItsEnd(record, before, context) || record?.aside === undefined && isSaved(context);
}

/** What an image is at a closer look. */
export async function inspectImage(
  disk: ObservedDisk,
  context: EventContext,
): Promise<NonNullable<Facts["look"]>> {
  const { host } = context;
  if (disk.firmware) return "sound";
  const state = stateOf(disk);
  const { image, committing, mark, layer } = disk.names;
  const top = "layers" in state ? layer(topOf(state.layers)) : image;
  // A plan is worked out on the names as they will be: an image that is made again isn't there yet.
  const others = [committing, state.kind === "session" ? mark : top, top];
  const there = [image, ...others].find((path) => files.lstat(path) !== undefined) ?? image;
  const look = await host.qemuImg.info(there);
  if (look.kind !== "free") return look.kind;
  const { backing } = look;
  // It would be made its own backing file, and qemu-img follow it round and round.
  if (!("layers" in state)) {
    if (isMissing(backing, host.settings.imageFolders)) return "damaged";
    const isOwnLayer = layerNumber(image, backing ?? "") !== undefined;
    return isOwnLayer || takenFrom(image, backing, context) !== undefined ||
        await backingThroughLink(disk, backing, host.qemuImg) !== undefined
      ? "moved"
      : "sound";
  }
  const layers = state.layers.map(layer);
  const below = layers.at(state.kind === "session" ? -1 : -2);
  if (below === undefined || backing !== undefined && files.sameFile(backing, below)) return "sound";
  const owner = backing === undefined ? undefined : imageOf(backing);
  const isMoved = owner !== undefined && !layers.some((path) => files.sameFile(backing!, path)) &&
    (state.kind === "layered" || owner === image || !isFileOf(owner, image));
  return isMoved ? "moved" : "replaced";
}
