import { wordsOf } from "./conditions.ts";
import { firmwareProblem } from "./firmware.ts";
import { type Guest, inspectGuest } from "./guest.ts";
import { type Condition, type InspectedDisk, isBeingMerged } from "./inspect.ts";
import { commitsBehind, type InspectedSeat } from "./seats.ts";
import type { EventContext } from "../hook/context.ts";
import { inTheWay, standingOn } from "../hook/standing.ts";
import { progressOf } from "../hook/merge_progress.ts";
import * as files from "../host/files.ts";
import type { Names } from "../state/paths.ts";
import type { Layers } from "../state/state.ts";
import { isMarked, isTorn, type ObservedDisk, stateOf } from "../state/observed_disk.ts";

/** What `--json` tells of a guest. The shape is documented in the manual; keys are only ever added. */
export interface GuestStatus {
  readonly domain: string;
  readonly running: boolean;
  readonly trouble: string | null;
  readonly disks: readonly DiskStatus[];
}

export interface DiskStatus {
  readonly target: string;
  readonly image: string | null;
  readonly situation: Condition;
  /** In words. */
  readonly state: string;
  readonly oneShotCommit: boolean;
  /** Files that are the disk: the base and the commits on it. */
  readonly layers: number;
  readonly session: Extent | null;
  readonly setAside: Extent | null;
  /** Commits that are not merged, oldest first. */
  readonly commits: readonly Extent[];
  readonly merge: { readonly percent: number } | null;
  readonly trouble: string | null;
  /** Of a seat: its master, the layer of it that its session stands on, and the master's commits above that. */
  readonly seat?: { readonly master: string; readonly layer: number; readonly behind: number };
  /** Of a master: how many files stand on its layers, and how many commits are not published. */
  readonly stoodOnBy?: number;
  /** Guests and files for whose end the merge waits. */
  readonly waitsFor?: readonly string[];
  readonly unpublished?: number;
}

interface Extent {
  readonly bytes: number;
  /** Of a session its start, of what has ended its last write; ISO 8601. */
  readonly time: string;
}

/** Looks at a guest, touching nothing. */
export async function statusOf(context: EventContext): Promise<GuestStatus> {
  const guest = await inspectGuest(context);
  const disks = await Promise.all(guest.disks.map((view) => diskStatus(view, guest, context)));
  const seats = guest.seats.map(seatStatus);
  const problem = guest.problem ?? await firmwareProblem(guest, context);
  return {
    domain: guest.domain,
    running: guest.isLive,
    trouble: problem?.message ?? null,
    disks: [...disks, ...seats],
  };
}

function seatStatus({ target, seat, master, condition: situation, problem, on }: InspectedSeat): DiskStatus {
  const isThere = seat?.file === "session";
  const behind = on === undefined ? 0 : commitsBehind(on);
  // The seat may have another one since its session began.
  const image = on?.master ?? master;
  const name = image.slice(image.lastIndexOf("/") + 1);
  const version = behind === 0 ? "" : `, ${count(behind)} behind`;
  const session = seat && isThere ? extent(seat.names.image, seat.record?.started) : null;
  const setAside = seat?.endedStandsOn ? extent(seat.names.ended) : null;
  const state = situation === "attention"
    ? `needs attention: ${problem?.message}`
    : situation === "clean"
    ? `clean, a seat of ${name}${version}`
    : `${wordsOf[situation].state}, of ${name}${version}`;
  return {
    ...{ target, image: seat?.names.image ?? null, situation, session, setAside },
    state: setAside && situation !== "saved" ? `${state}; last session set aside` : state,
    oneShotCommit: false,
    layers: 0,
    commits: [],
    merge: null,
    trouble: problem?.message ?? null,
    ...on && { seat: { ...on, behind } },
  };
}

/** The first of several, and how many more there are. */
function few(names: readonly string[]): string {
  const most = 3;
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return names.slice(0, most).join(", ") + more;
}

/** How many commits, in words. */
function count(number: number): string {
  return number === 1 ? "a commit" : `${number} commits`;
}

async function diskStatus(
  { target, disk, condition: situation, problem: trouble }: InspectedDisk,
  guest: Guest,
  context: EventContext,
): Promise<DiskStatus> {
  const listed = guest.config?.disks.find((disk) => disk.target === target);
  const isGone = listed === undefined && guest.problem === undefined && situation !== "attention";
  const none = { layers: 0, session: null, setAside: null, commits: [], merge: null };
  const known = disk === undefined ? none : await extentsOf(disk, context);
  const rest = {
    target,
    image: disk?.names.image ?? null,
    situation,
    oneShotCommit: listed?.commit ?? false,
    trouble: trouble?.message ?? null,
  };
  const oneShotCommit = rest.oneShotCommit || disk !== undefined && isMarked(disk);
  const state = inWords({ ...rest, ...known, oneShotCommit }, disk);
  return { ...rest, ...known, state: isGone ? `${state}; not configured any more` : state };
}

type Known = Pick<
  DiskStatus,
  "layers" | "session" | "setAside" | "commits" | "merge" | "stoodOnBy" | "waitsFor" | "unpublished"
>;

async function extentsOf(disk: ObservedDisk, context: EventContext): Promise<Known> {
  const { names, record, listing } = disk;
  const state = stateOf(disk);
  const layers = "layers" in state ? state.layers : [];
  const session = state.kind === "session" ? extent(names.image, record?.started) : null;
  return {
    layers: Math.max(1, layers.length),
    session,
    setAside: listing.has(names.ended) ? extent(names.ended) : null,
    commits: layers.slice(1).map((number) => extent(names.layer(number))),
    merge: await mergeOf(disk, context),
    ..."layers" in state && state.master && standing(names, state, context),
    ..."layers" in state && state.published !== undefined && {
      unpublished: layers.filter((number) => number > state.published!).length,
    },
  };
}

function standing(names: Names, state: { readonly layers: Layers }, context: EventContext) {
  const all = standingOn(names, context);
  const blocking = state.layers.length > 1 ? inTheWay(all, state) : [];
  const waitsFor = [...new Set(blocking.map(({ domain, file }) => domain ?? file))].sort();
  const known = all.filter(({ how }) => how !== "unreadable file" && how !== "unreadable note");
  return { stoodOnBy: known.length, ...waitsFor.length > 0 && { waitsFor } };
}

async function mergeOf(disk: ObservedDisk, context: EventContext): Promise<Known["merge"]> {
  if (!await isBeingMerged(disk, context)) return null;
  const progress = progressOf(context.paths.merging);
  return { percent: progress?.target === disk.target ? progress.percent : 0 };
}

function extent(path: string, since?: string): Extent {
  const info = files.lstat(path);
  return { bytes: (info?.blocks ?? 0) * 512, time: since ?? (info?.mtime ?? new Date(0)).toISOString() };
}

function inWords(disk: Omit<DiskStatus, "state">, found: ObservedDisk | undefined): string {
  const {
    situation,
    oneShotCommit,
    setAside,
    commits,
    merge,
    trouble,
    stoodOnBy = 0,
    waitsFor = [],
    unpublished = 0,
  } = disk;
  if (situation === "attention") return `needs attention: ${trouble}`;
  // A session takes its flag to another host as a mark; where both have one folder of configurations, without one.
  const isCarried = situation !== "elsewhere" || found !== undefined && isMarked(found);
  const isMerging = found !== undefined && isTorn(stateOf(found));
  const kept = Math.min(found?.keepCommits ?? 0, commits.length - (isMerging ? 1 : 0));
  const waiting = commits.length - kept;
  // A file that no note tells of has no end that anybody knows.
  const untold = waitsFor.filter((one) => one.startsWith("/"));
  const guests = waitsFor.filter((one) => !untold.includes(one));
  const waitingFor = [
    ...guests.length > 0 ? [`, for the end of ${few(guests)}`] : [],
    ...untold.length > 0 ? [`, kept from it by ${few(untold)}: see autorevert check`] : [],
  ].join("");
  const progress = merge
    ? `being merged, ${Math.floor(merge.percent)} %`
    : `waiting to be merged${waitingFor}`;
  return [
    wordsOf[situation].state,
    ...oneShotCommit ? [isCarried ? wordsOf[situation].flagged : "commit asked for"] : [],
    ...waiting > 0 ? [`${count(waiting)} ${progress}`] : [],
    ...stoodOnBy > 0 ? [stoodOnBy === 1 ? "a seat stands on it" : `${stoodOnBy} seats stand on it`] : [],
    ...unpublished > 0 ? [`${count(unpublished)} not published`] : [],
    ...kept > 0 ? [`${count(kept)} can be undone`] : [],
    ...setAside && situation !== "saved" ? ["last session set aside"] : [],
  ].join("; ");
}
