/**
 * Plans: which steps an event takes, in order. Pure; what they rest on has been looked up before.
 *
 * A plan is worked out on the names as they will be, step by step, so it can be shown without touching anything.
 */

import { planCommit, type Stage } from "./commit_plan.ts";
import { beginsSession, type DecidedDisk } from "./decided_disk.ts";
import type { Decision } from "./decision_table.ts";
import {
  bearsMark,
  isFlaggedAtStart,
  isYetToBeMade,
  type ObservedDisk,
  stateOf,
  wishOf,
} from "./observed_disk.ts";
import type { GuestNames } from "./paths.ts";
import { leavesAlone } from "./records_at_prepare.ts";
import { recordsAtRelease } from "./records_at_release.ts";
import type { Recovery } from "./recovery.ts";
import type { SessionRecord } from "./session_record.ts";
import type { Listing } from "./state.ts";
import { afterAll, type StartMark, type StartWord, type Step } from "./step.ts";
import { holdPublished } from "./master_transitions.ts";
import * as moves from "./transitions.ts";

/**
 * A guest of which no disk is listed any more is left alone from its start on, and its end asks for nothing; once it is up, if
 * something says of its disks what must not happen before: a restore, or a merge.
 */
export function isLeftAlone(decided: readonly DecidedDisk[], records: readonly SessionRecord[]): boolean {
  const isLayered = ({ disk }: DecidedDisk) => {
    const state = stateOf(disk);
    return "layers" in state && state.layers.length > 1;
  };
  return decided.every(({ decision }) => leavesAlone.includes(decision)) && !decided.some(isLayered) &&
    !records.some(({ lost }) => lost);
}

/** A start in three parts. */
export interface PreparePlan {
  /** What is noted, recovered and made: no disk has its session yet. */
  readonly made: readonly Stage[];
  /** Sessions take their images' names. */
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
    // Before the word: a start that is cut short between the two must not end a session that is to be resumed.
    stage("", { kind: "note", path: paths.note, records }),
    ...isLeftAlone(decided, records)
      ? []
      : [stage("", startingStep(paths, start, records, marksOf(decided)))],
    ...recovery,
    ...begun.map(({ disk }) => stage(disk.target, ...createSession(disk))),
    ...decided.filter(isAnnounced).map(({ disk }) =>
      stage(disk.target, ...moves.announcePutBack(disk.names))
    ),
  ];
  const named = decided.map(({ disk, decision }) => {
    const steps = atPrepare(disk, decision);
    // A guest that comes from elsewhere may find a configuration that knows nothing of what is published.
    if (!disk.listed || !beginsSession(decision)) return stage(disk.target, ...steps);
    const after = afterAll(disk.listing, [...createSession(disk), ...steps]);
    return stage(disk.target, ...steps, ...holdPublished(disk.names, after, disk.byHand ?? false));
  });
  const late = begun.filter(({ disk }) => !isFlaggedAtStart(disk));
  return { made, named, marked: late.map(({ disk }) => stage(disk.target, ...marked(disk))) };
}

/** Whether another host's merge may be about to give the image another name while a session that was set aside takes it. */
export function isAnnounced({ disk, decision }: DecidedDisk): boolean {
  const state = stateOf(disk);
  return decision === "put back" && !disk.firmware && "layers" in state && state.layers.length > 1;
}

/** What is noted of a start besides, by the files that it is about. */
export function marksOf(decided: readonly DecidedDisk[]): StartMark[] {
  return decided.some(({ disk }) => isYetToBeMade(disk)) ? ["firmware"] : [];
}

/**
 * Notes which kind of start is under way.
 *
 * @param records what the note says from this start on
 * @param marks what else is noted of it
 */
export function startingStep(
  { starting }: GuestNames,
  word: StartWord,
  records: readonly { readonly aside?: unknown; readonly waits?: unknown; readonly lost?: unknown }[] = [],
  marks: readonly StartMark[] = [],
) {
  const more: StartMark[] = [
    ...marks.filter((mark) => word === "fresh" || mark !== "firmware"),
    ...records.some(({ aside, waits, lost }) => aside !== undefined || waits || lost)
      ? ["update" as const]
      : [],
    ...records.length > 0 && word !== "fresh" ? ["prepared" as const] : [],
  ];
  return { kind: "starting", path: starting, word, ...more.length > 0 && { more } } as const;
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
        // Not before the overlay is made: a start that fails leaves it.
        ...disk.listing.has(disk.names.ended) ? moves.removeSetAside(disk.names) : [],
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

function hasSetAside({ listing, names }: ObservedDisk): boolean {
  return listing.has(names.ended);
}

/**
 * How a start that failed is taken back: every disk whose session it began, from wherever it stopped.
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
  const left = afterAll(listing, steps);
  const now = stateOf({ ...disk, listing: left });
  if (decision === "set aside, new session") {
    const unmark = own.has(disk.names.mark) && left.has(disk.names.mark) ? moves.removeMark(disk.names) : [];
    return [...steps, ...unmark, ...moves.takeBackAside(disk.names, disk.listing, left)];
  }
  const isSwapped = now.kind === "session" && before.kind !== "session" && own.has(disk.names.image);
  return isSwapped ? moves.discard(disk.names, now, disk.owner) : steps;
}

/**
 * An end: commits first and together, then each disk by itself, and its firmware last.
 *
 * @param isUp whether the guest had come up
 * @param flagVersion of the configuration that the flags are in
 */
export function planRelease(
  decided: readonly DecidedDisk[],
  isUp: boolean,
  paths: GuestNames,
  flagVersion?: string,
): Stage[] {
  const commits = decided.filter(({ decision }) => decision === "commit").map(({ disk }) => disk);
  const disks = decided.filter(({ disk }) => !disk.firmware);
  const firmware = decided.filter(({ disk }) => disk.firmware);
  return [
    ...commits.length > 0
      ? [
        {
          subject: "",
          steps: [
            {
              kind: "note",
              path: paths.note,
              records: recordsAtRelease(decided, { isUp, flagVersion }),
            } as const,
          ],
        },
        // What seats stand on is not the commit that is coming.
        ...commits.filter(({ byHand }) => byHand).map(({ target, names, listing }) => ({
          subject: target,
          steps: holdPublished(names, listing, true),
        })),
        planCommit([], commits, paths),
      ]
      : [],
    ...planPassOn(decided, paths),
    // What is set aside there says how an end goes on that is cut short: see `endFirmware`.
    ...firmware.filter(({ disk, decision }) => decision === "set aside" && hasSetAside(disk))
      .map(({ disk }) => ({ subject: disk.target, steps: moves.removeSetAside(disk.names) })),
    ...[...disks, ...firmware].map(({ disk, decision }) => ({
      subject: disk.target,
      steps: atRelease(disk, decision, isUp),
    })),
  ].filter(({ steps }) => steps.length > 0);
}

/**
 * The sessions of a guest that goes on elsewhere take their flags with them: these lie beside the images from here on. Cut short,
 * a flag may count here as well, but is never gone in both places.
 */
function planPassOn(decided: readonly DecidedDisk[], paths: GuestNames): Stage[] {
  const passed = decided.filter(({ disk, decision }) => decision === "pass on" && disk.flag === "set")
    .map(({ disk }) => disk);
  if (passed.length === 0) return [];
  const targets = passed.map(({ target }) => target);
  // One stage: where a mark can't be made, no flag is cleared.
  const steps: Step[] = [
    ...passed.flatMap((disk) => bearsMark(disk) ? [] : moves.mark(disk.names)),
    // Before the flag: as long as the mark counts as the flag's own, it would go with it.
    { kind: "note", path: paths.note, records: recordsAtRelease(decided, { isUp: true }) },
    { kind: "clear", config: paths.config, targets },
  ];
  return [{ subject: targets.join(" "), steps }];
}

function atRelease(disk: ObservedDisk, decision: Decision, isUp: boolean): Step[] {
  const state = stateOf(disk);
  if (state.kind !== "session") return [];
  if (decision === "set aside") {
    const ended = state.ended && !disk.firmware;
    return moves.setAside(disk.names, { ...state, ended }, disk.owner);
  }
  // What stands on it now may use up the flag.
  if (decision === "leave to a person" && disk.flag === "set" && !bearsMark(disk)) {
    return moves.mark(disk.names);
  }
  // Its own flag was cleared by an editor, and the mark would count elsewhere.
  if (decision === "leave" && isUp && state.marked && wishOf(disk) === "clear") {
    return moves.removeMark(disk.names);
  }
  if (decision !== "discard") return [];
  // Nobody was told that the guest is up.
  const forget = isUp && (disk.record?.aside === "forget" || disk.record?.aside === "others") && state.ended
    ? moves.removeSetAside(disk.names)
    : [];
  return [...forget, ...planDiscard({ ...disk, listing: afterAll(disk.listing, forget) })];
}

/** Forgets a disk's session, if it has one. */
export function planDiscard(disk: ObservedDisk): Step[] {
  const state = stateOf(disk);
  return state.kind === "session" ? moves.discard(disk.names, state, disk.owner) : [];
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
