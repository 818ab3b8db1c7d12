import type { DecidedDisk } from "./decided_disk.ts";
import type { Decision } from "./decision_table.ts";
import { withCommits, withoutMerged } from "./firmware_commits.ts";
import {
  bearsMark,
  hasItsSetAside,
  hasStaying,
  hasSuccessor,
  isAwaited,
  isAway,
  isHeld,
  isSessionAway,
  isTorn,
  type ObservedDisk,
  waitsToBeSetAside,
  wishOf,
} from "./observed_disk.ts";
import { namesOf } from "./paths.ts";
import { isAsideAwaited, type SessionRecord } from "./session_record.ts";
import { hasEnded, type Listing, parse, topOf } from "./state.ts";

/** What happens to a session that is to go on at the next start, if its flag is set then: a commit may fail. */
const holds: readonly Decision[] = ["hold", "pass on", "leave to a person", "commit"];

/** The decisions after which a session lies there no more. */
const ends: readonly Decision[] = ["commit", "discard", "set aside"];

/** What an end was like. */
export interface EndedGuest {
  /** It had come up. */
  readonly isUp: boolean;
  /** Not all is done yet: cut short, it is an end that nothing tells of. */
  readonly isUnderWay?: boolean;
  /** libvirt doesn't say how it ended. */
  readonly isUntold?: boolean;
  /** Its memory is in a save, or could not be brought back from one. */
  readonly isSaved?: boolean;
  /** libvirt holds a managed save that was made on a session before these. */
  readonly hasOlderSave?: boolean;
  /** Its start was refused: the session may be another's. */
  readonly isRefused?: boolean;
  /** Its memory has gone to another host, or may have. */
  readonly isMigrated?: boolean;
  /** libvirt says so. */
  readonly isGone?: boolean;
  /** What is still open after it runs on another host. */
  readonly isElsewhere?: boolean;
  /** A guest that was to come from another host may not have come. */
  readonly isAborted?: boolean;
  /** When its sessions are committed. */
  readonly at: Date;
  /** Version of the configuration that its flags are in. */
  readonly flagVersion?: string | undefined;
}

/** What the note says of the disks at an end, as long as something is left to end. */
export function recordsAtRelease(
  decided: readonly DecidedDisk[],
  {
    isUp,
    isUnderWay = false,
    isUntold = false,
    isSaved = false,
    hasOlderSave = false,
    isMigrated = false,
    isGone = false,
    isElsewhere = false,
    isAborted = false,
    at,
    flagVersion,
  }: EndedGuest,
): SessionRecord[] {
  const all = decided.map(({ disk }) => disk);
  const isBeside = isUp && decided.some(({ isBeside }) => isBeside);
  const records = decided.flatMap(({ disk, decision }): SessionRecord[] => {
    const { record } = disk;
    if (record === undefined) return [];
    // The guest did not come, and its session is its own host's matter.
    const isTheirs = record.visits !== undefined && isAborted && decision === "leave" && !isSaved && !isGone;
    if (isTheirs && record.visits === "first" && record.merging === undefined) return [];
    const { aside, flagged, visits, lost, ...rest } = decision === "set aside"
      ? withoutAside(record)
      : record;
    const isEnded = ends.includes(decision);
    // The start came to nothing, and what is set aside there is another guest's.
    if (isEnded && !isUp && aside === "others" && !lost) return [];
    const isPassedOn = decision === "pass on";
    // Its flag may be used up by what goes on: from here on the mark counts by itself.
    const isByMark = isPassedOn ||
      decision === "leave to a person" && bearsMark(disk) && wishOf(disk) !== "clear";
    const isLeft = decision === "leave" || decision === "hold" || isPassedOn;
    return [{
      ...rest,
      owner: disk.owner,
      ...isUp && !isUnderWay && !record.detached && { over: true },
      // Where its end fails, a mark that is left there is still the flag's own.
      ...flagged && (!isEnded || decision === "commit" || bearsMark(disk)) && !isByMark && { flagged },
      ...decision === "commit" && flagVersion !== undefined && { flagVersion },
      ...visits && !isEnded && !isTheirs && { visits },
      // A flag that is set later is for the next session.
      ...holds.includes(decision) && mayBeFlagged(disk) && !hasSuccessor(disk, all) && { held: true },
      // Where it can't be set aside now, or nobody can tell whether it is to be, the next start does it.
      ...(isBeside && decision === "leave" || decision === "leave to a person" && wishOf(disk) === "clear" ||
        isUp && isDoubtful(disk, decision, isUntold) || decision === "set aside") &&
        { waits: true },
      // Where both hosts have one note, a session that came by migration is the other's already.
      ...(isSaved || isMigrated && (record.came === undefined || visits) && decision !== "hold") && isLeft &&
        { waits: "saved" },
      ...(isTheirs || isGone && (record.came === undefined || visits) ||
        isElsewhere && !isBeside && !isSaved && !record.came && !isAwaited(disk) && !hasStaying(disk) &&
          disk.source === "same" && !isAway(disk)) &&
        isLeft && decision !== "hold" && { left: true },
      // Whoever has the image meanwhile may throw it away.
      ...(isUntold && (decision === "set aside" || decision === "leave" && isAway(disk)) ||
        !isUp && decision === "discard" && hasItsSetAside(disk)) &&
        { waits: "saved" },
      ...(lost && !isUp || hasOlderSave && isEnded) && { lost: true },
      ...aside && (!isUp || waitsToBeSetAside(disk)) && { aside },
    }];
  });
  return withCommits(
    records,
    decided.filter(({ decision }) => decision === "commit").map(({ disk }) => disk),
    at,
  );
}

/** Whether the session is to be kept, or was when it began, and nobody can tell now. */
function mayBeFlagged(disk: ObservedDisk): boolean {
  const flag = wishOf(disk);
  return flag === "set" || flag === "unreadable" && isHeld(disk);
}

/** Whether a session that could not be ended may be one that is to be set aside. */
function isDoubtful(disk: ObservedDisk, decision: Decision, isUntold: boolean): boolean {
  if (decision !== "hold" && !isSessionAway(disk)) return false;
  const flag = wishOf(disk);
  return flag === "unreadable" || flag === "clear" && (isUntold || disk.keepSession);
}

/** The record without what it tells of what is set aside: something else is, or nothing. */
function withoutAside(
  { setsAside: _setsAside, stays: _stays, undone: _undone, ...rest }: SessionRecord,
): SessionRecord {
  return rest;
}

/**
 * The records whose disks still have a session to end, layers to merge, or a session to bring back; also those without
 * any file: their folder may not be mounted yet. Of firmware it is: libvirt makes it anew.
 */
export function unfinished(
  records: readonly SessionRecord[],
  listing: (image: string) => Listing,
): SessionRecord[] {
  return records.flatMap((record) => {
    const state = parse(namesOf(record.image), listing(record.image));
    const isIdle = state.kind === "plain" || state.kind === "layered";
    const isOver = isIdle && !state.ended;
    // A guest that was saved must not find another disk than its own, whoever has thrown its session away.
    const isLost = record.lost || isOver && isAsideAwaited(record);
    if (state.kind === "plain" && isOver && (record.firmware || record.waits !== "saved" && !isLost)) {
      return [];
    }
    if (record.firmware && state.kind === "missing") return [];
    // As long as an order stands, nothing is known to be gone.
    const isAside = hasEnded(state) || record.aside === "stay" || record.pending !== undefined;
    const { merging, flagVersion, held, flagged, committed, commits, below, waits, ...rest } = isAside
      ? record
      : withoutAside(record);
    return [{
      ...rest,
      ...isLost && { lost: true },
      ...waits && (waits === "saved" || !isIdle) && { waits },
      ...committed && "layers" in state &&
        {
          committed: committed.filter(({ layer }) =>
            state.layers.includes(layer) ||
            (rest.undone || state.kind === "committing") && layer > topOf(state.layers)
          ),
        },
      ...commits && { commits: withoutMerged(commits, (image) => parse(namesOf(image), listing(image))) },
      held: held && !isOver,
      ...flagged && !isIdle && { flagged },
      // From then on whatever lies there is another session, until a start of this guest begins one.
      ...isIdle && { idle: true },
      ...flagVersion !== undefined && !isIdle && { flagVersion },
      ...below !== undefined && !isIdle && { below },
      ...merging !== undefined && isTorn(state, [record]) && { merging },
    }];
  });
}
