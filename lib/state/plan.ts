/**
 * Plans: which steps an event takes, in order. Pure; what they rest on has been looked up before.
 *
 * A plan is worked out on the names as they will be, step by step, so it can be shown without touching anything.
 */

import type { Fate } from "./decision_table.ts";
import { type Case, stateOf } from "./observed_disk.ts";
import { type GuestNames, namesOf } from "./paths.ts";
import type { Entry } from "./session_record.ts";
import { type Listing, parse, type State } from "./state.ts";
import { afterAll, type StartWord, type Step } from "./step.ts";
import * as moves from "./transitions.ts";

/** A disk and what is to happen to it. */
export interface Decided {
  readonly disk: Case;
  readonly fate: Fate;
}

/** Steps that only make sense together, and whom they concern. */
export interface Stage {
  readonly whom: string;
  readonly steps: readonly Step[];
}

/** A plan's first part, and the disks as they are after it. */
export interface Recovery {
  readonly stages: readonly Stage[];
  readonly cases: readonly Case[];
  /** Images in whose session's place another file lies, or one that is in use: not committed with the others. */
  readonly strangers: ReadonlySet<string>;
}

/** As long as its flag can't be cleared, a commit stays decided: finished, the next session would be committed, too. */
function isDecided(disk: Case): boolean {
  return stateOf(disk).kind === "committing" && disk.flag !== "unreadable";
}

/** The disks whose sessions are committed with one whose commit was decided, if they are what they seem to be. */
export function joiningCommit(disks: readonly Case[]): Case[] {
  if (!disks.some(isDecided)) return [];
  return disks.filter((disk) =>
    stateOf(disk).kind === "session" && disk.entry && disk.flag === "set" && disk.source !== "other"
  );
}

/**
 * What a cut-short event left is put right, before anything else is decided.
 *
 * Where one disk's commit was decided, the guest's release was under way: it commits every session that has a flag. The
 * disks of a guest are kept together or not at all.
 *
 * @param strangers images of {@link joiningCommit} at which a look found something else than the session
 */
export function planRecovery(
  found: readonly Case[],
  paths: GuestNames,
  strangers: ReadonlySet<string> = new Set(),
): Recovery {
  const stages: Stage[] = [];
  const tidied = (disks: readonly Case[]) =>
    disks.map((disk) => {
      const steps = moves.recover(disk.names, disk.listing);
      if (steps.length > 0) stages.push({ whom: disk.target, steps });
      return { ...disk, listing: afterAll(disk.listing, steps) };
    });
  const cases = tidied(found);
  const decided = cases.filter(isDecided);
  if (decided.length === 0) return { stages, cases, strangers };

  const joining = joiningCommit(cases).filter(({ names }) => !strangers.has(names.image));
  const commit = planCommit(decided, joining, paths);
  stages.push(commit);
  const finished = cases.map((disk) => ({ ...disk, listing: afterAll(disk.listing, commit.steps) }));
  return { stages, cases: tidied(finished), strangers };
}

/** All commits of a guest as one: after the first link they all happen, whatever is cut short. */
export function planCommit(decided: readonly Case[], sessions: readonly Case[], paths: GuestNames): Stage {
  const both = [...decided, ...sessions];
  const flagged = both.filter(({ flag }) => flag === "set").map(({ target }) => target);
  return {
    whom: both.map(({ target }) => target).join(" "),
    steps: [
      ...sessions.flatMap((disk) => {
        const state = stateOf(disk);
        return state.kind === "session" ? moves.decideCommit(disk.names, state, disk.owner) : [];
      }),
      ...flagged.length > 0 ? [{ kind: "clear", config: paths.config, targets: flagged } as const] : [],
      ...both.flatMap((disk) => {
        const state = stateOf(disk);
        return "layers" in state ? moves.finishCommit(disk.names, state) : [];
      }),
    ],
  };
}

/** A start: all overlays are made before the first of them takes an image's name. */
export function planPrepare(
  decided: readonly Decided[],
  { stages: recovery }: Recovery,
  entries: readonly Entry[],
  start: StartWord,
  paths: GuestNames,
): Stage[] {
  const stage = (whom: string, ...steps: Step[]): Stage => ({ whom, steps });
  const froze = decided.filter(({ fate }) => freezes(fate));
  return [
    // Before the note: from there on what is set aside is the session that this start sets aside.
    ...decided.filter(({ disk, fate }) => fate === "set aside, freeze" && disk.listing.has(disk.names.ended))
      .map(({ disk }) => stage(disk.target, ...moves.forget(disk.names))),
    // Before the word: a start that is cut short between the two must not end a session that is to be resumed.
    stage("", { kind: "note", path: paths.note, entries }),
    ...start === "fresh" ? [stage("", startingStep(paths, start, entries))] : [],
    ...recovery,
    ...froze.map(({ disk }) => stage(disk.target, ...moves.stage(disk.names, freezable(disk), disk.owner))),
    ...decided.map(({ disk, fate }) => stage(disk.target, ...atPrepare(disk, fate))),
  ];
}

/** Whether the disk gets a new session. */
export function freezes(fate: Fate): boolean {
  return fate === "freeze" || fate === "set aside, freeze";
}

/**
 * Notes which kind of start is under way.
 *
 * @param entries what the note says from this start on
 */
export function startingStep({ starting }: GuestNames, word: StartWord, entries: readonly Entry[] = []) {
  const forgets = entries.some(({ aside }) => aside !== undefined);
  return { kind: "starting", path: starting, word, ...forgets && { forgets } } as const;
}

function atPrepare(disk: Case, fate: Fate): Step[] {
  switch (fate) {
    case "freeze":
      return moves.swap(disk.names);
    case "set aside, freeze":
      return [...moves.linkAside(disk.names), ...moves.swap(disk.names)];
    case "put back":
      return moves.putBack(disk.names);
    case "discard":
    case "let go":
      return planFarewell(disk);
    default:
      return [];
  }
}

/** A disk that is no longer configured: nothing stays but what is the disk. */
function planFarewell(disk: Case): Step[] {
  const forget = disk.listing.has(disk.names.ended) ? moves.forget(disk.names) : [];
  const left = { ...disk, listing: afterAll(disk.listing, forget) };
  const state = stateOf(left);
  return [
    ...forget,
    ...planDiscard(left),
    ...state.kind === "layered" ? moves.flatten(disk.names, state) : [],
  ];
}

/**
 * What the note says from this start on; `now` is the time of the sessions that begin.
 *
 * @param others what the other guests' notes list: a session is newer than theirs on the image, whatever the clock says
 */
export function noteAtPrepare(decided: readonly Decided[], now: Date, others: readonly Entry[]): Entry[] {
  const begin = (image: string) => {
    const before = others.filter((other) => other.image === image).map(({ started }) => Date.parse(started));
    return new Date(Math.max(now.getTime(), ...before.filter(Number.isFinite).map((time) => time + 1)));
  };
  return decided.map(({ disk, fate }): Entry => {
    const { target, names: { image }, entry } = disk;
    const aside = asideAtPrepare(disk, fate);
    // Its flag is looked up by its target, which may be another one than at its start.
    if (entry && !freezes(fate)) {
      const { aside: _, ...rest } = entry;
      return { ...rest, target, ...fate === "resume" && { held: true }, ...aside && { aside } };
    }
    return {
      target,
      image,
      started: begin(image).toISOString(),
      owner: disk.owner,
      held: false,
      // As long as an older session lies there, this could be taken for a word about that.
      ...disk.flag === "set" && stateOf(disk).kind !== "session" && { flagged: true } as const,
      ...aside && { aside },
      ...tornLayer(disk, others),
    };
  });
}

/** What a start means for the session that is set aside beside the one that it begins or resumes. */
function asideAtPrepare(disk: Case, fate: Fate): Entry["aside"] {
  if (fate === "set aside, freeze") return "stay";
  if (fate === "keep") return disk.entry?.aside;
  if (!disk.listing.has(disk.names.ended) || fate !== "freeze" && fate !== "resume") return undefined;
  // The start that has set it aside was cut short: this one is the same start again.
  return stateOf(disk).kind === "session" ? disk.entry?.aside ?? "forget" : "forget";
}

/** A merge that any guest of the image has begun: what it has torn stays known with whoever has the image now. */
function tornLayer(disk: Case, others: readonly Entry[]) {
  const { names: { image }, entry } = disk;
  const state = stateOf(disk);
  const torn = [...entry ? [entry] : [], ...others].find((one) => one.image === image && isTorn(one, state));
  return torn && { merging: torn.merging! };
}

/** How a start that failed is taken back: every disk that it froze, from wherever it stopped. */
export function planUndo({ disk, fate }: Decided, listing: Listing): Step[] {
  const before = stateOf(disk);
  const steps = moves.unstage(disk.names, before, listing);
  const left = afterAll(listing, steps);
  const now = stateOf({ ...disk, listing: left });
  if (fate === "set aside, freeze") return [...steps, ...moves.takeBackAside(disk.names, disk.listing, left)];
  const isSwapped = now.kind === "session" && before.kind !== "session";
  return isSwapped ? moves.discard(disk.names, now, disk.owner) : steps;
}

/**
 * An end: commits first and together, then each disk by itself.
 *
 * @param isUp whether the guest had come up
 */
export function planRelease(decided: readonly Decided[], isUp: boolean, paths: GuestNames): Stage[] {
  const commits = decided.filter(({ fate }) => fate === "commit").map(({ disk }) => disk);
  return [
    ...commits.length > 0
      ? [
        {
          whom: "",
          steps: [{ kind: "note", path: paths.note, entries: noteAtRelease(decided, isUp) } as const],
        },
        planCommit([], commits, paths),
      ]
      : [],
    ...decided.map(({ disk, fate }) => ({ whom: disk.target, steps: atRelease(disk, fate, isUp) })),
  ].filter(({ steps }) => steps.length > 0);
}

function atRelease(disk: Case, fate: Fate, isUp: boolean): Step[] {
  const state = stateOf(disk);
  if (state.kind !== "session") return [];
  if (fate === "set aside") return moves.setAside(disk.names, state, disk.owner);
  if (fate !== "discard") return [];
  // Nobody was told that the guest is up.
  const forget = isUp && disk.entry?.aside === "forget" && state.ended ? moves.forget(disk.names) : [];
  return [...forget, ...planDiscard({ ...disk, listing: afterAll(disk.listing, forget) })];
}

/** What happens to a session that is to go on at the next start, if its flag is set then: a commit may fail. */
const holds: readonly Fate[] = ["hold", "leave to a person", "commit"];

/** The fates after which a session lies there no more. */
const ends: readonly Fate[] = ["commit", "discard", "set aside"];

/**
 * What the note says of the disks at an end, as long as something is left to end.
 *
 * @param isUp whether the guest had come up
 */
export function noteAtRelease(decided: readonly Decided[], isUp: boolean): Entry[] {
  return decided.flatMap(({ disk: { entry }, fate }) => {
    if (entry === undefined) return [];
    const { aside, ...rest } = entry;
    const begun = isUp || ends.includes(fate);
    return [{ ...rest, ...holds.includes(fate) && { held: true }, ...aside && !begun && { aside } }];
  });
}

/**
 * The entries whose disks still have a session to end, layers to merge, or a session to bring back; also those without
 * any file: their folder may not be mounted yet.
 */
export function pending(entries: readonly Entry[], listing: (image: string) => Listing): Entry[] {
  return entries.flatMap((entry) => {
    const state = parse(namesOf(entry.image), listing(entry.image));
    if (state.kind === "plain" && !state.ended) return [];
    if (isTorn(entry, state)) return [entry];
    const { merging: _done, ...rest } = entry;
    return [rest];
  });
}

/** Whether a merge was begun on the two lowest layers and is not done: only the view through the upper one is right. */
export function isTorn({ merging }: Entry, state: State): boolean {
  return merging !== undefined && "layers" in state && state.layers[1] === merging;
}

/** Forgets a disk's session, if it has one. */
export function planDiscard(disk: Case): Step[] {
  const state = stateOf(disk);
  return state.kind === "session" ? moves.discard(disk.names, state, disk.owner) : [];
}

function freezable(disk: Case) {
  const state = stateOf(disk);
  if (state.kind === "plain" || state.kind === "layered" || state.kind === "session") return state;
  throw new Error(`freeze of a disk that is ${state.kind}`);
}
