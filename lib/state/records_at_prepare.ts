import { beginsSession, type DecidedDisk } from "./decided_disk.ts";
import type { Decision } from "./decision_table.ts";
import { withoutMerged } from "./firmware_commits.ts";
import {
  bearsMark,
  hasStaying,
  isFlaggedAtStart,
  isRecorded,
  isTorn,
  isUnborn,
  isUnused,
  type ObservedDisk,
  stateOf,
  wasSavedOn,
  wishOf,
} from "./observed_disk.ts";
import { isAsideAwaited, type SessionRecord } from "./session_record.ts";
import { hasEnded, type State } from "./state.ts";

/** How a guest's memory comes to its sessions, by the kind of start. */
export const ways = { fresh: undefined, resume: "restore", migrate: "migration" } as const;

/**
 * What the note says from this start on; `now` is the time of the sessions that begin.
 *
 * @param others what the other guests' notes list: a session is newer than theirs on the image, whatever the clock says
 */
export function recordsAtPrepare(
  decided: readonly DecidedDisk[],
  now: Date,
  others: readonly SessionRecord[],
  start: keyof typeof ways = "fresh",
): SessionRecord[] {
  const came = ways[start];
  return decided.map((one): SessionRecord => {
    const { disk, decision } = one;
    const { record } = disk;
    const aside = asideAtPrepare(disk, decision);
    const from = { ...came && { came }, ...aside && { aside } };
    // Its flag is looked up by its target, which may be another one than at its start.
    return record === undefined || beginsSession(decision) || came === "migration" && isStale(disk) ||
        isRestoredFromElsewhere(one)
      ? begunRecord(one, from, now, others, decided)
      : keptRecord(one, record, from, now, others);
  });
}

/** What a start makes of the record of a disk whose session, if it has one, was there before. */
function keptRecord(
  { disk, decision }: DecidedDisk,
  record: SessionRecord,
  from: Pick<SessionRecord, "came" | "aside">,
  now: Date,
  others: readonly SessionRecord[],
): SessionRecord {
  const { target } = disk;
  const {
    aside: _aside,
    setsAside,
    waits,
    left,
    came: _came,
    made: _made,
    idle,
    visits: _visits,
    flagged,
    detached: _detached,
    resumed: _resumed,
    ...rest
  } = record;
  const isLeft = decision === "leave to a person" && stateOf(disk).kind === "session" && !idle;
  // What is in its place may use up the flag: from here on the mark counts by itself.
  const isByMark = bearsMark(disk) &&
    (isLeft && wishOf(disk) !== "clear" || target !== record.target && disk.flag !== "set");
  // The mark that a start makes of it now counts as the flag's own: an editor may clear that still.
  const isMarkedNow = decision === "resume" && disk.flag === "set" && !bearsMark(disk);
  // An editor has cleared its flag since it began.
  const isCleared = decision === "keep" && disk.flag === "clear" && !bearsMark(disk);
  const started = goesOn.includes(decision)
    ? startAfter(others, disk, Date.parse(record.started))
    : record.started;
  const resumed = decision === "put back" ? disk.endedWritten : disk.written;
  return {
    ...rest,
    target,
    ...madeFor(disk, decision),
    // Commits may have been merged meanwhile.
    ...decision === "put back" && disk.layerTimes && { below: disk.layerTimes },
    ...from.came === "restore" && resumed !== undefined && !isUnused(record) && { resumed },
    // Told by its start, it must still be so where that is noted anew.
    ...(decision === "keep" || decision === "resume") && started !== record.started &&
      disk.made !== undefined && { made: [disk.made] },
    ...left && !goesOn.includes(decision) && { left },
    ...idle && !goesOn.includes(decision) && { idle },
    started,
    ...goesOn.includes(decision) && { continued: now.toISOString() },
    // A session that has not come up yet beside one that is set aside holds nothing.
    ...decision === "resume" && !isUnborn(disk) && { held: true },
    ...(flagged && !isByMark && !isCleared || isMarkedNow) && { flagged: true },
    // Nobody can tell for which of the two the flag was meant: it is set aside at its next start.
    ...isLeft && !isByMark && disk.flag === "unreadable" && { waits: true },
    ...isLeft && { detached: true },
    // What a guest may have been saved on goes.
    ...(hasLostSession(disk) ||
      (decision === "let go" || decision === "discard") && hasEnded(stateOf(disk))) && { lost: true },
    ...setsAside !== undefined && (decision !== "put back" || from.aside) && { setsAside },
    // Until the guest is up, its memory may have to come back once more.
    ...(decision === "put back" || waits && !leavesAlone.includes(decision)) &&
      { waits: waits ?? "saved" },
    ...from,
  };
}

/** The record of a session that begins, or comes from another host. */
function begunRecord(
  { disk, decision }: DecidedDisk,
  from: Pick<SessionRecord, "came" | "aside">,
  now: Date,
  others: readonly SessionRecord[],
  all: readonly DecidedDisk[],
): SessionRecord {
  const { record } = disk;
  const stateOfImage = (image: string): State => {
    const found = all.find(({ disk }) => disk.names.image === image);
    return found === undefined ? { kind: "missing" } : stateOf(found.disk);
  };
  const isComing = from.came === "migration";
  const setsAside = decision === "set aside, new session"
    ? disk.made
    : record && wasSavedOn(disk)
    ? disk.endedMade
    : undefined;
  return {
    ...newRecord(disk, now, others),
    ...hasLostSession(disk) && { lost: true } as const,
    // What is on disk is QEMU's already: whose it was is known from an earlier stay.
    ...!beginsSession(decision) && record !== undefined && { owner: record.owner },
    // Until the older session's mark is gone: it is its flag's own still. One that comes bears its host's.
    ...(isFlaggedAtStart(disk) || beginsSession(decision) && record?.flagged && bearsMark(disk)) &&
      { flagged: true } as const,
    ...isComing && { visits: record === undefined ? "first" : "again" } as const,
    // Until the new session has taken its place.
    ...disk.made !== undefined && stateOf(disk).kind === "session" && { made: [disk.made] },
    ...record?.flagVersion !== undefined && { flagVersion: record.flagVersion },
    ...from,
    ...setsAside !== undefined && { setsAside },
    ...(decision === "set aside, new session"
      ? mayBeKeptAfterwards(disk, all)
      : record?.stays && from.aside === "stay") && { stays: true } as const,
    ...record?.undone && decision === "new session" && { undone: true } as const,
    ...record?.commits && { commits: withoutMerged(record.commits, stateOfImage) },
  };
}

/**
 * Whether somebody may want to keep the session, once the next one has ended. One that has waited beside another goes as any other does:
 * else no end would leave the disk idle any more.
 */
function mayBeKeptAfterwards(disk: ObservedDisk, all: readonly DecidedDisk[]): boolean {
  return (disk.flag !== "clear" || disk.keepSession) && !all.some((other) => hasStaying(other.disk));
}

/** By what the session is told from now on: one that is put back is another file than the one in whose place it comes. */
function madeFor(disk: ObservedDisk, decision: Decision): Pick<SessionRecord, "made"> {
  const { record, made, endedMade } = disk;
  const isThere = stateOf(disk).kind === "session";
  const both = [isThere ? made : undefined, endedMade].filter((time) => time !== undefined);
  const told = decision === "put back" ? both : record?.made ?? [];
  return told.length > 0 ? { made: told } : {};
}

/**
 * Whether the note tells of an earlier stay on this host than the one that comes now: where both hosts have one note, it is the
 * source's own.
 */
function isStale(disk: ObservedDisk): boolean {
  return disk.record?.left === true || disk.record?.waits === "saved" || !isRecorded(disk);
}

/** Whether a saved guest comes back on a session of another host: what is noted is of an earlier one. */
function isRestoredFromElsewhere({ disk, decision }: DecidedDisk): boolean {
  return decision === "keep" && !isRecorded(disk);
}

/** The decisions after which a disk is none of ours. */
export const leavesAlone: readonly Decision[] = ["discard", "let go", "nothing"];

/** The decisions after which an older session is the guest's. */
const goesOn: readonly Decision[] = ["keep", "resume", "put back"];

/** Whether a guest was saved on a session of the disk that is gone, and none has come up since. */
export function hasLostSession(disk: ObservedDisk): boolean {
  const state = stateOf(disk);
  const isIdle = (state.kind === "plain" || state.kind === "layered") && !state.ended;
  const { record } = disk;
  return record?.lost === true ||
    isIdle && record !== undefined && (record.waits === "saved" || isAsideAwaited(record));
}

/** A start that is later than all that other guests' notes say of the image. */
function startAfter(
  others: readonly SessionRecord[],
  { names: { image } }: ObservedDisk,
  time: number,
): string {
  const before = others.filter((other) => other.image === image).map(({ started }) => Date.parse(started));
  return new Date(Math.max(time, ...before.filter(Number.isFinite).map((time) => time + 1))).toISOString();
}

/**
 * What the note says of a disk from now on, of which it said nothing.
 *
 * @param others what the other guests' notes list: a session is newer than theirs on the image, whatever the clock says
 */
export function newRecord(disk: ObservedDisk, now: Date, others: readonly SessionRecord[]): SessionRecord {
  const { target, names: { image }, owner, firmware, layerTimes } = disk;
  const started = startAfter(others, disk, now.getTime());
  return {
    ...{ target, image, started, owner, held: false },
    ...firmware ? { firmware } : layerTimes && { below: layerTimes },
    ...tornLayer(disk, others),
    ...committedLayers(disk, others),
  };
}

/** What a start means for the session that is set aside beside the one that it begins or resumes. */
function asideAtPrepare(disk: ObservedDisk, decision: Decision): SessionRecord["aside"] {
  if (decision === "set aside, new session") return "stay";
  // What lies in the place of one that comes back is still no session of the guest's, until its name is another's.
  const isInTheWay = decision === "put back" && stateOf(disk).kind === "session";
  if (decision === "keep" || isInTheWay) return disk.record?.aside;
  if (!disk.listing.has(disk.names.ended) || decision !== "new session" && decision !== "resume") {
    return undefined;
  }
  // A start that was cut short, or failed in QEMU, is begun again: what it has set aside has not outlived any start yet.
  if (disk.record?.aside !== undefined) return disk.record.aside;
  // Where the guest's own session is gone it is another's, too, but for a commit of its own that was undone.
  return disk.record === undefined || disk.record.lost && !disk.record.undone ? "others" : "forget";
}

/**
 * A merge that any guest of the image has begun with an earlier version of the hook: what it has torn stays known with whoever has
 * the image now.
 */
function tornLayer(disk: ObservedDisk, others: readonly SessionRecord[]) {
  const { names: { image }, record } = disk;
  const state = stateOf(disk);
  const torn = [...record ? [record] : [], ...others].find((one) =>
    one.image === image && one.merging !== undefined && isTorn(state, [one])
  );
  return torn && { merging: torn.merging! };
}

/** When the layers were committed: they are the image's, and what the guest that had it last knows of them is the newest. */
function committedLayers({ names: { image }, record }: ObservedDisk, others: readonly SessionRecord[]) {
  const { committed } = [...record ? [record] : [], ...others]
    .filter((one) => one.image === image)
    .toSorted((a, b) => a.started < b.started ? -1 : 1).at(-1) ?? {};
  return committed && { committed };
}
