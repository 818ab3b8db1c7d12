import { planCommit, type Stage } from "./commit_plan.ts";
import { afterClearing, isMarked, isNotedHeld, type ObservedDisk, stateOf, wishOf } from "./observed_disk.ts";
import { doneMerges } from "./merge_transitions.ts";
import { type GuestNames, layerNumber, type Names } from "./paths.ts";
import { hasEnded, type Listing, parse, topOf } from "./state.ts";
import { afterAll, type Step } from "./step.ts";
import * as moves from "./transitions.ts";

/** A plan's first part, and the disks as they are after it. */
export interface Recovery {
  readonly stages: readonly Stage[];
  readonly disks: readonly ObservedDisk[];
  /** Images in whose session's place another file lies, or one that is in use: not committed with the others. */
  readonly replaced: ReadonlySet<string>;
}

/** As long as its flag can't be cleared, a commit stays decided: finished, the next session would be committed, too. */
function isDecided(disk: ObservedDisk): boolean {
  return stateOf(disk).kind === "committing" && disk.flag !== "unreadable";
}

/** The disks whose sessions are committed with one whose commit was decided, if they are what they seem to be. */
export function joiningCommit(disks: readonly ObservedDisk[]): ObservedDisk[] {
  const decided = disks.filter((disk) => isDecided(disk) && !disk.firmware);
  if (decided.length === 0) return [];
  // An end that decides commits has noted for which sessions, whatever their flags say since, and in which version of the configuration.
  const isOfThatEnd = ({ record }: ObservedDisk) =>
    record?.held === true && record.flagVersion !== undefined && decided.some((other) => {
      const versions = [record.flagVersion, other.record?.flagVersion];
      return versions[0] === versions[1] || versions.includes("none");
    });
  // Where nothing is noted, a flag that was set since is meant for the next one.
  const isNoted = decided.some(({ record }) => record?.flagVersion !== undefined);
  const isMeant = (disk: ObservedDisk) =>
    disk.source !== "other" && (isOfThatEnd(disk) ||
      !isNoted && (isNotedHeld(disk) || isMarked(disk)) && wishOf(disk) === "set");
  return disks.filter((disk) => stateOf(disk).kind === "session" && (disk.firmware || isMeant(disk)));
}

/**
 * What a cut-short event left is put right, before anything else is decided.
 *
 * Where one disk's commit was decided, the guest's release was under way: it commits every session that has a flag. The
 * disks of a guest are kept together or not at all.
 *
 * @param strangers images of {@link joiningCommit} at which a look found something else than the session
 * @param isFlagNewer whether a disk's flag was set since the commit was decided: it is meant for the next session, and stays
 */
export function planRecovery(
  found: readonly ObservedDisk[],
  paths: GuestNames,
  strangers: ReadonlySet<string> = new Set(),
  isFlagNewer: (disk: ObservedDisk) => boolean = () => false,
): Recovery {
  const stages: Stage[] = [];
  const tidied = (disks: readonly ObservedDisk[]) =>
    disks.map((disk) => {
      const steps = recoverDisk(disk);
      if (steps.length > 0) stages.push({ subject: disk.target, steps });
      return { ...disk, listing: afterAll(disk.listing, steps) };
    });
  const disks = tidied(found);
  const decided = disks.filter(isDecided);
  if (decided.length === 0) return { stages, disks, replaced: strangers };

  const joining = joiningCommit(disks).filter(({ names }) => !strangers.has(names.image));
  const isUsed = (disk: ObservedDisk) => !isFlagNewer(disk);
  const commit = planCommit(decided, joining, paths, isUsed);
  stages.push(commit);
  const cleared = [...decided, ...joining].filter(isUsed);
  const targets = commit.steps.flatMap((step) => step.kind === "clear" ? step.targets : []);
  const finished = disks.map((disk): ObservedDisk => ({
    ...cleared.includes(disk) ? { ...disk, flag: "clear" } : afterClearing(disk, targets),
    listing: afterAll(disk.listing, commit.steps),
  }));
  return { stages, disks: tidied(finished), replaced: strangers };
}

/**
 * An end that was cut short between the disks and their firmware: where all disks have ended, it goes as they went. Not for a guest
 * with seats, of which the disks say nothing.
 *
 * @param isBegun whether a session was begun by a start that was cut short before the disks had theirs: nothing was written to it
 */
export function endFirmware(recovery: Recovery, isBegun: (disk: ObservedDisk) => boolean): Recovery {
  const all = recovery.disks.filter(({ firmware }) => !firmware).map(stateOf);
  const isOver = all.length > 0 && all.every(({ kind }) => kind === "plain" || kind === "layered");
  if (!isOver) return recovery;
  const isAside = all.some(hasEnded);
  const stages: Stage[] = [];
  const disks = recovery.disks.map((disk) => {
    const isLeft = stateOf(disk).kind === "session" && disk.record !== undefined && !disk.record.idle;
    if (!isLeft) return disk;
    const steps = planFirmwareEnd(disk, isAside && !isBegun(disk));
    stages.push({ subject: disk.target, steps });
    return { ...disk, listing: afterAll(disk.listing, steps) };
  });
  return { ...recovery, stages: [...recovery.stages, ...stages], disks };
}

/**
 * Ends a session of the firmware whose disks have ended.
 *
 * @param isAside whether the session of one of them is set aside
 */
export function planFirmwareEnd(disk: ObservedDisk, isAside: boolean): Step[] {
  const { names, owner } = disk;
  const state = stateOf(disk);
  if (state.kind !== "session") return [];
  // What was set aside before was removed first, where the session was to be.
  return isAside && !state.ended ? moves.setAside(names, state, owner) : moves.discard(names, state, owner);
}

/** What {@link recover} does, but that an end which was setting the session aside is completed: a start notes that it does so before. */
function recoverDisk(disk: ObservedDisk): Step[] {
  const { names, listing, owner, record } = disk;
  const steps = recover(names, listing);
  const state = stateOf(disk);
  const isUnderWay = state.kind === "session" && listing.get(names.ended) === listing.get(names.image);
  if (!isUnderWay || record === undefined || record.aside !== undefined) return steps;
  return [
    ...steps.filter((step) => step.kind !== "remove" || step.path !== names.ended),
    ...moves.finishSetAside(names, state, owner),
  ];
}

/**
 * What an interrupted event left: scratch goes, so does a session set aside that never left its place, and a headless
 * image gets its layer back. A decided commit is not its matter.
 */
export function recover(names: Names, listing: Listing): Step[] {
  const image = listing.get(names.image);
  const leftovers: Step[] = [
    ...[names.scratch, names.probe].filter((path) => listing.has(path))
      .map((path) => ({ kind: "remove", path } as const)),
    // Kept, it would outlive the layers that it stands on, and be put back as a session of long ago.
    ...image !== undefined && image === listing.get(names.ended)
      ? [{ kind: "remove", path: names.ended } as const]
      : [],
    // What has become a layer, or the disk itself, by hand is kept already.
    ...isLayer(names, listing, names.mark) || isDisk(names, listing, names.mark)
      ? moves.removeMark(names)
      : [],
    ...doneMerges(names, listing).map((path) => ({ kind: "remove", path } as const)),
  ];
  const state = parse(names, listing);
  if (state.kind !== "headless") return leftovers;
  // Whoever has removed the image has left a session that is to be kept its other name.
  const isMarked = listing.has(names.mark) && !isLayer(names, listing, names.mark);
  return [...leftovers, ...moves.relink(names, isMarked ? names.mark : names.layer(topOf(state.layers)))];
}

/** Whether a file is a layer, too. */
function isLayer(names: Names, listing: Listing, path: string): boolean {
  const inode = listing.get(path);
  return [...listing].some(([other, its]) => its === inode && layerNumber(names.image, other) !== undefined);
}

/** Whether a file is a disk without layers, too. */
function isDisk(names: Names, listing: Listing, path: string): boolean {
  return listing.get(path) === listing.get(names.image) && parse(names, listing).kind === "plain";
}
