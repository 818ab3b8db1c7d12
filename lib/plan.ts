/**
 * Plans: which steps an event takes, in order. Pure; what they rest on has been looked up before.
 *
 * A plan is worked out on the names as they will be, step by step, so it can be shown without touching anything.
 */

import { type Case, ownerOfDisk, stateOf } from "./case.ts";
import * as moves from "./moves.ts";
import { type GuestNames, namesOf } from "./names.ts";
import type { Entry } from "./note.ts";
import { type Listing, parse, type State } from "./state.ts";
import { afterAll, type StartWord, type Step } from "./step.ts";
import type { Fate } from "./table.ts";

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
}

/**
 * What a cut-short event left is put right, before anything else is decided.
 *
 * Where one disk's commit was decided, the guest's release was under way: it commits every session that has a flag. The
 * disks of a guest are kept together or not at all.
 */
export function planRecovery(found: readonly Case[], paths: GuestNames): Recovery {
  const stages: Stage[] = [];
  const tidied = (disks: readonly Case[]) =>
    disks.map((disk) => {
      const steps = moves.recover(disk.names, disk.listing);
      if (steps.length > 0) stages.push({ whom: disk.target, steps });
      return { ...disk, listing: afterAll(disk.listing, steps) };
    });
  const cases = tidied(found);
  // As long as its flag can't be cleared, a commit stays decided: finished, the next session would be committed, too.
  const decided = cases.filter((disk) => stateOf(disk).kind === "committing" && disk.flag !== "unreadable");
  if (decided.length === 0) return { stages, cases };

  const joining = cases.filter((disk) =>
    stateOf(disk).kind === "session" && disk.entry && disk.flag === "set" && disk.source !== "other"
  );
  const commit = planCommit(decided, joining, paths);
  stages.push(commit);
  const finished = cases.map((disk) => ({ ...disk, listing: afterAll(disk.listing, commit.steps) }));
  return { stages, cases: tidied(finished) };
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
        return state.kind === "session" ? moves.decideCommit(disk.names, state, ownerOfDisk(disk)) : [];
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
  const froze = decided.filter(({ fate }) => fate === "freeze");
  return [
    // Before the word: a start that is cut short between the two must not end a session that is to be resumed.
    stage("", { kind: "note", path: paths.note, entries }),
    ...start === "fresh" ? [stage("", { kind: "starting", path: paths.starting, word: start })] : [],
    ...recovery,
    ...froze.map(({ disk }) =>
      stage(disk.target, ...moves.stage(disk.names, freezable(disk), ownerOfDisk(disk)))
    ),
    ...decided.map(({ disk, fate }) => stage(disk.target, ...atPrepare(disk, fate))),
    // Last: as long as a start can still fail, nothing is gone. A resumed session has one beside it where its own start
    // was cut short just here; once that session is a layer, the other stands on no top layer any more.
    ...decided.filter(({ disk, fate }) =>
      ["freeze", "resume"].includes(fate) && disk.listing.has(disk.names.ended)
    ).map(({ disk }) => stage(disk.target, ...moves.forget(disk.names))),
  ];
}

function atPrepare(disk: Case, fate: Fate): Step[] {
  switch (fate) {
    case "freeze":
      return moves.swap(disk.names);
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
    // Its flag is looked up by its target, which may be another one than at its start.
    if (entry && fate !== "freeze") return { ...entry, target, ...fate === "resume" && { held: true } };
    return {
      target,
      image,
      started: begin(image).toISOString(),
      owner: ownerOfDisk(disk),
      held: false,
      // As long as an older session lies there, this could be taken for a word about that.
      ...disk.flag === "set" && stateOf(disk).kind !== "session" && { flagged: true } as const,
      ...entry?.merging !== undefined && { merging: entry.merging },
    };
  });
}

/** How a start that failed is taken back: every disk that it froze, from wherever it stopped. */
export function planUndo(disk: Case, listing: Listing): Step[] {
  const before = stateOf(disk);
  const steps = moves.unstage(disk.names, before, listing);
  const now = stateOf({ ...disk, listing: afterAll(listing, steps) });
  const isSwapped = now.kind === "session" && before.kind !== "session";
  return isSwapped ? moves.discard(disk.names, now, ownerOfDisk(disk)) : steps;
}

/** An end: commits first and together, then each disk by itself. */
export function planRelease(decided: readonly Decided[], paths: GuestNames): Stage[] {
  const commits = decided.filter(({ fate }) => fate === "commit").map(({ disk }) => disk);
  return [
    ...commits.length > 0
      ? [
        { whom: "", steps: [{ kind: "note", path: paths.note, entries: noteAtRelease(decided) } as const] },
        planCommit([], commits, paths),
      ]
      : [],
    ...decided.map(({ disk, fate }) => ({ whom: disk.target, steps: atRelease(disk, fate) })),
  ].filter(({ steps }) => steps.length > 0);
}

function atRelease(disk: Case, fate: Fate): Step[] {
  const state = stateOf(disk);
  if (state.kind !== "session") return [];
  if (fate === "discard") return planDiscard(disk);
  return fate === "set aside" ? moves.setAside(disk.names, state, ownerOfDisk(disk)) : [];
}

/** What happens to a session that is to go on at the next start, if its flag is set then: a commit may fail. */
const holds: readonly Fate[] = ["hold", "leave to a person", "commit"];

/** What the note says of the disks at an end, as long as something is left to end. */
export function noteAtRelease(decided: readonly Decided[]): Entry[] {
  return decided.flatMap(({ disk: { entry }, fate }) => {
    if (entry === undefined) return [];
    return [holds.includes(fate) ? { ...entry, held: true } : entry];
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
  return state.kind === "session" ? moves.discard(disk.names, state, ownerOfDisk(disk)) : [];
}

function freezable(disk: Case) {
  const state = stateOf(disk);
  if (state.kind === "plain" || state.kind === "layered" || state.kind === "session") return state;
  throw new Error(`freeze of a disk that is ${state.kind}`);
}
