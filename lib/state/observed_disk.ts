import type { Facts } from "./decision_table.ts";
import type { Names } from "./paths.ts";
import type { Owner, SessionRecord } from "./session_record.ts";
import { type Listing, parse, type State } from "./state.ts";

/** One disk at one event: all that is known of it before anything changes. */
export interface ObservedDisk {
  readonly target: string;
  readonly names: Names;
  /** What the note says of it. */
  readonly record: SessionRecord | undefined;
  /** It is a file of the guest's firmware: a session of it is a copy, and it follows the guest's disks. */
  readonly firmware?: boolean;
  /** Of a seat's firmware: the file that its sessions begin with, in place of what it is itself. */
  readonly template?: string | undefined;
  /** The configuration lists it. */
  readonly listed: boolean;
  readonly flag: Facts["flag"];
  /** The flag of the target that it had at its session's start, where the configuration lists that for another disk now. */
  readonly startFlag?: { readonly target: string; readonly isSet: boolean };
  /** Number of newest commits kept unmerged; without limit as long as nobody can tell. */
  readonly keepCommits: number;
  readonly keepSession: boolean;
  /** Seats that stand on it take a commit only when it is published. */
  readonly byHand?: true;
  readonly source: Facts["source"];
  /** The domain has it under another target now. */
  readonly renamed?: boolean;
  readonly listing: Listing;
  /** When the image's file was made, in milliseconds; where the file system doesn't tell, its inode number, negative. */
  readonly made?: number | undefined;
  /** When the image was last written to, in milliseconds. */
  readonly written?: number | undefined;
  /** When each file that is a layer, or may become one, was last written to, in milliseconds by the clock of their file system. */
  readonly layerTimes?: readonly number[];
  /** The same as `written` of the file that is set aside. */
  readonly endedWritten?: number | undefined;
  /** The same as `made` of the file that is set aside. */
  readonly endedMade?: number | undefined;
  /**
   * When what the session stands on was last given another name or owner, in milliseconds, where the file system doesn't tell when a
   * file was made.
   */
  readonly layerChanged?: number | undefined;
  /** The lowest layer that was written to since the session on it began, as by a blockcommit. */
  readonly layerWritten?: number | undefined;
  /** The path that the domain's XML has for it, where that leads through a symbolic link. */
  readonly named?: string | undefined;
  /** What its files belong to while it is idle. */
  readonly owner: Owner;
}

export function stateOf({ names, listing }: ObservedDisk): State {
  return parse(names, listing);
}

/** Whether the note knows the disk, and nothing of it can be seen: its folder may not be mounted. */
export function isAway(disk: ObservedDisk): boolean {
  return !disk.firmware && disk.record !== undefined && stateOf(disk).kind === "missing";
}

/** The same of a disk whose session has not ended. */
export function isSessionAway(disk: ObservedDisk): boolean {
  return isAway(disk) && disk.record?.idle !== true;
}

/** Whether seats may stand on its layers. */
export function isMaster(disk: ObservedDisk): boolean {
  return "master" in stateOf(disk);
}

/** Whether a session is set aside beside the disk. */
export function hasSetAside({ listing, names }: ObservedDisk): boolean {
  return listing.has(names.ended);
}

/** Disks, and after them the files of their firmware: whatever is cut short between the two, the disks say how it goes on. */
export function disksFirst<One>(
  all: readonly One[],
  fileOf: (one: One) => { readonly firmware?: boolean },
): One[] {
  return [...all.filter((one) => !fileOf(one).firmware), ...all.filter((one) => fileOf(one).firmware)];
}

/** Whether it is a file of the firmware that libvirt makes between `prepare` and `start`. */
export function isYetToBeMade(disk: ObservedDisk): boolean {
  return disk.firmware === true && stateOf(disk).kind === "missing";
}

/** Whether a session that begins now has its flag: over an older one, this could be taken for a word about that. */
export function isFlaggedAtStart(disk: ObservedDisk): boolean {
  return disk.flag === "set" && stateOf(disk).kind !== "session";
}

/** Whether the domain names another of these disks for its target now: flags and commands that name the target mean that one. */
export function hasSuccessor(
  disk: Pick<ObservedDisk, "target" | "source" | "renamed">,
  disks: readonly Pick<ObservedDisk, "target" | "source" | "renamed">[],
): boolean {
  return (disk.source === "other" || disk.renamed === true) &&
    disks.some(({ target, source, renamed }) => target === disk.target && source === "same" && !renamed);
}

/** What a command names to mean this disk: its target, or its image where the target is, was or may be another disk's. */
export function nameOf({ target, names, source, renamed, record }: ObservedDisk): string {
  const hasChanged = source === "other" || renamed || record !== undefined && record.target !== target;
  return hasChanged ? names.image : target;
}

/** Whether the session bears a mark, whoever has made it. */
export function bearsMark(disk: ObservedDisk): boolean {
  return "marked" in stateOf(disk);
}

/**
 * Whether the session bears a mark that another host, or an earlier stay on this one, has left. One that came of this host's own
 * flag says no more than the flag, which an editor may have cleared since.
 */
export function isMarked(disk: ObservedDisk): boolean {
  // A flag that was set for another target, which is listed no more, isn't looked up any more.
  const isLookedUp = disk.record?.target === disk.target || disk.startFlag !== undefined;
  const isOwnFlags = disk.record?.flagged === true && isLookedUp && isRecorded(disk);
  return stateOf(disk).kind === "session" && bearsMark(disk) && !isOwnFlags;
}

/** The target whose flag the session of a disk uses up. */
export function flagTargetOf({ target, startFlag }: ObservedDisk): string {
  return startFlag?.target ?? target;
}

/** A disk once the flags of these targets are cleared. */
export function afterClearing(disk: ObservedDisk, targets: readonly string[]): ObservedDisk {
  const { target, flag, startFlag } = disk;
  const isCleared = targets.includes(target) || startFlag !== undefined && targets.includes(startFlag.target);
  if (!isCleared) return disk;
  // Of two that differed the one that was set is clear now, of two that were set one is.
  return { ...disk, flag: startFlag !== undefined && flag === "set" ? "unreadable" : "clear" };
}

/** Whether the session is to be committed: by its flag, or by its mark. */
export function wishOf(disk: ObservedDisk): Facts["flag"] {
  return disk.flag === "clear" && isMarked(disk) ? "set" : disk.flag;
}

/** Whether an event, a mark or the note holds the session for its flag: one that a start was about to set aside is set aside again. */
export function isHeld(disk: ObservedDisk): boolean {
  return !waitsToBeSetAside(disk) && (isNotedHeld(disk) || isMarked(disk));
}

/**
 * Whether the note says that the session is to be kept if its flag is set. What it says of another one, which has gone to another host
 * or ended there, is no word about the one that has begun since.
 */
export function isNotedHeld(disk: Pick<ObservedDisk, "made" | "record">): boolean {
  return isRecorded(disk) && (disk.record?.held || disk.record?.flagged) === true;
}

/** Whether anything says that the session is to be kept, or that it may be. */
export function mayBeKept(disk: ObservedDisk): boolean {
  const { record, flag } = disk;
  return stateOf(disk).kind === "session" &&
    (flag !== "clear" || bearsMark(disk) || record?.held === true || isAwaited(disk));
}

/** Whether an older session still lies in the image's place, which a start was about to set aside when it was cut short. */
export function waitsToBeSetAside(disk: ObservedDisk): boolean {
  const { record, names, listing, made } = disk;
  if (stateOf(disk).kind !== "session" || record?.aside !== "stay") return false;
  const ended = listing.get(names.ended);
  if (ended === undefined || ended === listing.get(names.image)) return true;
  // What has been set aside before goes just before this one takes its name.
  return made !== undefined && record.setsAside === made;
}

/** A session's file is made within this time of its start, in milliseconds, unless the note tells of another time. */
export const MADE_WITHIN = 5_000;

/** Whether the session's file was certainly made for it. */
export function isMadeForIt({ made, record }: Pick<ObservedDisk, "made" | "record">): boolean {
  if (made === undefined || record === undefined) return false;
  return record.made?.includes(made) || Math.abs(made - Date.parse(record.started)) < MADE_WITHIN;
}

/**
 * Whether the session that lies there is the one that the note tells of, as far as the file system tells one file from another. A
 * later one is somebody's own overlay, or the session that another host has begun since; an earlier one comes from a snapshot of the storage.
 */
export function isRecorded({ made, record }: Pick<ObservedDisk, "made" | "record">): boolean {
  if (record === undefined || record.idle) return false;
  // swtpm makes its file anew at each write.
  return record.firmware === true || made === undefined || isMadeForIt({ made, record });
}

/** Whether the session must outlive what comes now: a saved guest may come back for it, or it waits to be set aside. */
export function isAwaited(disk: ObservedDisk): boolean {
  return disk.record?.waits !== undefined || waitsToBeSetAside(disk);
}

/**
 * Whether what is set aside may be the session that the guest was saved on: the last one that was begun here, or the one that its start
 * has set aside.
 */
export function wasSavedOn({ endedMade, record }: Pick<ObservedDisk, "endedMade" | "record">): boolean {
  return record === undefined || endedMade === undefined || record.setsAside === endedMade ||
    isMadeForIt({ made: endedMade, record });
}

/** Whether a restore that failed has made the session for a disk that had none: no guest was up on it. */
export function isUnused(record: SessionRecord): boolean {
  return record.came === "restore" && record.waits !== undefined && record.resumed === undefined;
}

/** Whether what the session's own start has set aside is still there. */
export function hasItsSetAside({ endedMade, record }: Pick<ObservedDisk, "endedMade" | "record">): boolean {
  return record?.setsAside !== undefined && record.setsAside === endedMade;
}

/** The same, and it outlives the session's end. */
export function hasStaying(disk: Pick<ObservedDisk, "endedMade" | "record">): boolean {
  return disk.record?.stays === true && hasItsSetAside(disk);
}

/** Whether a restored guest has not written to the session yet: its memory may not have come back. */
export function isUnwrittenSinceRestore(
  { written, record }: {
    readonly written?: number | undefined;
    readonly record: { readonly resumed?: number } | undefined;
  },
): boolean {
  return record?.resumed !== undefined && record.resumed === written;
}

/** A start takes no longer, in milliseconds, unless it was cut short with its host. */
export const LONGEST_START = 600_000;

/**
 * Whether another host may have thrown the session away and begun its own, in a file with the same inode number: that changes the
 * names of what it stands on. libvirt gives that its owner until the guest is up. Only where the file system doesn't tell when a file
 * was made.
 */
export function mayBeAnothers({ layerChanged, record }: ObservedDisk): boolean {
  return layerChanged !== undefined && record !== undefined &&
    layerChanged > Date.parse(record.started) + LONGEST_START;
}

/** A start that comes to nothing writes no disk later than this after it was noted, in milliseconds. */
export const LONGEST_FAILURE = 60_000;

/** Whether the session was begun by a start that never came up: the one that is set aside is the guest's last. */
export function isUnborn(disk: ObservedDisk): boolean {
  const { record, listing, names, written = 0 } = disk;
  return stateOf(disk).kind === "session" && listing.has(names.ended) && record?.aside !== undefined &&
    !record.held && !waitsToBeSetAside(disk) && written <= Date.parse(record.started) + LONGEST_FAILURE;
}

/**
 * Whether a merge was begun on the two lowest layers and is not done: only the view through the upper one is right.
 *
 * @param records of this image: an earlier version of the hook has noted it there
 */
export function isTorn(state: State, records: readonly SessionRecord[] = []): boolean {
  if (!("layers" in state)) return false;
  return state.torn === true ||
    records.some(({ merging }) => merging !== undefined && merging === state.layers[1]);
}
