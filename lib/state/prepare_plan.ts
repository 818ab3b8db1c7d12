/** The plan of a start: which steps it takes, in order. Pure; what it rests on has been looked up before. */

import type { Stage } from "./commit_plan.ts";
import { beginsSession, type DecidedDisk } from "./decided_disk.ts";
import type { Decision } from "./decision_table.ts";
import { holdPublished } from "./master_transitions.ts";
import {
  bearsMark,
  disksFirst,
  hasSetAside,
  isFlaggedAtStart,
  isYetToBeMade,
  type ObservedDisk,
  stateOf,
} from "./observed_disk.ts";
import type { GuestNames } from "./paths.ts";
import { leavesAlone } from "./records_at_prepare.ts";
import type { Recovery } from "./recovery.ts";
import { planDiscard } from "./release_plan.ts";
import type { SessionRecord } from "./session_record.ts";
import type { Listing } from "./state.ts";
import { afterAll, startingStep, type StartMark, type StartWord, type Step } from "./step.ts";
import * as moves from "./transitions.ts";

/**
 * A guest of which no disk is listed any more is left alone from its start on, and its end asks for nothing; once it is up, if
 * something says of its disks what must not happen before: a restore, or a merge.
 */
export function isLeftAlone(decided: readonly DecidedDisk[], records: readonly SessionRecord[]): boolean {
  return decided.every(({ decision }) => leavesAlone.includes(decision)) &&
    !decided.some(({ disk }) => hasCommits(disk)) && !records.some(({ lost }) => lost);
}

/** A start in three parts. */
export interface PreparePlan {
  /** What is noted, recovered and made: no disk has its session yet. */
  readonly made: readonly Stage[];
  /** Older sessions that were set aside go, and those that begin take their images' names. */
  readonly named: readonly Stage[];
  /** Those that were begun over an older one get their marks: not before it is noted that these are their flags' own. */
  readonly marked: readonly Stage[];
}

/** A start: all overlays are made before the first of them takes an image's name. */
export function planPrepare(
  decided: readonly DecidedDisk[],
  { stages: recovery }: Recovery,
  records: readonly SessionRecord[],
  start: StartWord,
  paths: GuestNames,
): PreparePlan {
  const stage = (subject: string, ...steps: Step[]): Stage => ({ subject, steps });
  const begun = decided.filter(({ decision }) => beginsSession(decision));
  const made = [
    // By what was noted before: the new note tells of other sessions.
    ...recovery,
    // Before the word: a start that is cut short between the two must not end a session that is to be resumed.
    stage("", { kind: "note", path: paths.note, records }),
    ...isLeftAlone(decided, records)
      ? []
      : [stage("", startingStep(paths, start, records, marksOf(decided)))],
    ...begun.map(({ disk }) => stage(disk.target, ...createSession(disk))),
    ...decided.filter(isAnnounced).map(({ disk }) =>
      stage(disk.target, ...moves.announcePutBack(disk.names))
    ),
  ];
  // Of all of them before the first is replaced: what is set aside is never of two sessions. A disk's goes before its firmware's.
  const older = disksFirst(decided, ({ disk }) => disk)
    .filter(({ disk, decision }) => decision === "set aside, new session" && hasSetAside(disk));
  const forgotten = older.map(({ disk }) => stage(disk.target, ...moves.removeSetAside(disk.names)));
  const begin = decided.map(({ disk, decision }) => {
    const steps = atPrepare(disk, decision);
    // A guest that comes from elsewhere may find a configuration that knows nothing of what is published.
    if (!disk.listed || !beginsSession(decision)) return stage(disk.target, ...steps);
    const after = afterAll(disk.listing, createSession(disk));
    return stage(disk.target, ...steps, ...holdPublished(disk.names, after, disk.byHand ?? false));
  });
  const late = begun.filter(({ disk }) => !isFlaggedAtStart(disk));
  return {
    made,
    named: [...forgotten, ...begin],
    marked: late.map(({ disk }) => stage(disk.target, ...marked(disk))),
  };
}

/** Whether another host's merge may be about to give the image another name while a session that was set aside takes it. */
export function isAnnounced({ disk, decision }: DecidedDisk): boolean {
  return decision === "put back" && !disk.firmware && hasCommits(disk);
}

/** What is noted of a start besides, by the files that it is about. */
export function marksOf(decided: readonly DecidedDisk[]): StartMark[] {
  const isOnCommits = ({ disk, decision }: DecidedDisk) =>
    beginsSession(decision) && !disk.firmware && hasCommits(disk);
  return [
    // Until QEMU has opened it, another host's merge may write to what the session stands on.
    ...decided.some(isOnCommits) ? ["update" as const] : [],
    ...decided.some(({ disk }) => isYetToBeMade(disk)) ? ["firmware" as const] : [],
  ];
}

/** Whether it has commits that are not merged. */
function hasCommits(disk: ObservedDisk): boolean {
  const state = stateOf(disk);
  return "layers" in state && state.layers.length > 1;
}

function atPrepare(disk: ObservedDisk, decision: Decision): Step[] {
  // Of a session that goes: alone, it would be the mark of one that was lost.
  const unmark = bearsMark(disk) ? moves.removeMark(disk.names) : [];
  switch (decision) {
    case "new session":
      return [
        ...unmark,
        ...isYetToBeMade(disk) ? [] : moves.replaceImage(disk.names),
        ...isFlaggedAtStart(disk) ? marked(disk) : [],
      ];
    case "set aside, new session":
      return [
        ...unmark,
        ...moves.linkAside(disk.names),
        ...moves.replaceImage(disk.names),
      ];
    case "resume":
      return bearsMark(disk) ? [] : marked(disk);
    case "put back":
      return [
        ...unmark,
        ...moves.putBack(disk.names),
        ...isAnnounced({ disk, decision }) ? [{ kind: "remove", path: disk.names.scratch } as const] : [],
      ];
    case "leave to a person":
      return bearsMark(disk) ? [] : marked(disk);
    case "discard":
    case "let go":
      return disk.firmware ? planUnmanageFirmware(disk, decision) : planUnmanage(disk);
    default:
      return [];
  }
}

/** From here on the session may leave for another host. */
function marked({ names, flag }: ObservedDisk): Step[] {
  return flag === "set" ? moves.mark(names) : [];
}

/** A disk that is no longer configured: nothing stays but what is the disk. */
function planUnmanage(disk: ObservedDisk): Step[] {
  const { forget, left } = withoutSetAside(disk);
  const state = stateOf(left);
  return [
    ...forget,
    ...planDiscard(left),
    ...state.kind === "layered" ? moves.flatten(disk.names, state) : [],
  ];
}

/**
 * The same of firmware. Its versions go, too: a guest that runs without a session writes into the newest, or puts another file in its
 * place. That one stays.
 */
function planUnmanageFirmware(disk: ObservedDisk, decision: "discard" | "let go"): Step[] {
  const { forget, left } = withoutSetAside(disk);
  const steps = [...forget, ...decision === "discard" ? planDiscard(left) : []];
  return [...steps, ...moves.removeLayers(disk.names, afterAll(disk.listing, steps))];
}

function withoutSetAside(disk: ObservedDisk): { readonly forget: Step[]; readonly left: ObservedDisk } {
  const forget = hasSetAside(disk) ? moves.removeSetAside(disk.names) : [];
  return { forget, left: { ...disk, listing: afterAll(disk.listing, forget) } };
}

/**
 * How a start that failed is taken back: every disk whose session it began or announced, from wherever it stopped.
 *
 * @param own names that it has made: another host may be beginning a session at the same time
 */
export function planUndo(
  { disk, decision }: DecidedDisk,
  listing: Listing,
  own: ReadonlySet<string>,
): Step[] {
  const before = stateOf(disk);
  const steps = moves.removeOverlay(disk.names, before, listing, own);
  // A session that was put back stays.
  if (!beginsSession(decision)) return steps;
  const left = afterAll(listing, steps);
  const now = stateOf({ ...disk, listing: left });
  if (decision === "set aside, new session") {
    const unmark = own.has(disk.names.mark) && left.has(disk.names.mark) ? moves.removeMark(disk.names) : [];
    return [...steps, ...unmark, ...moves.takeBackAside(disk.names, disk.listing, left)];
  }
  const isSwapped = now.kind === "session" && before.kind !== "session" && own.has(disk.names.image);
  return isSwapped ? moves.discard(disk.names, now, disk.owner) : steps;
}

/** A firmware file that isn't there yet gets its session when libvirt has made it. */
function createSession(disk: ObservedDisk): Step[] {
  if (isYetToBeMade(disk)) return [];
  const { names, owner, firmware, template } = disk;
  return moves.createOverlay(names, startable(disk), owner, { kind: firmware ? "copy" : "create", template });
}

function startable(disk: ObservedDisk) {
  const state = stateOf(disk);
  if (state.kind === "plain" || state.kind === "layered" || state.kind === "session") return state;
  throw new Error(`session on a disk that is ${state.kind}`);
}
