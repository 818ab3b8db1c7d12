/**
 * Which layers were committed together, and which version of the firmware belongs to which layers of disks. A version is made with every
 * commit of the guest, also where only one of its disks was flagged: counting them would not tell.
 */

import { type ObservedDisk, stateOf } from "./observed_disk.ts";
import { imageOf } from "./paths.ts";
import {
  type CommitTime,
  type FirmwareCommit,
  lastStart,
  type PendingOperation,
  type SessionRecord,
} from "./session_record.ts";
import { type State, topOf } from "./state.ts";

/**
 * The records once these disks and firmware are committed together: later than all that is noted, whatever the clock says, but for a
 * disk of whose session another one was kept before.
 *
 * @param isSetAside they are committed with what is set aside of them: a commit that was undone has the time that it had
 */
export function withCommits(
  records: readonly SessionRecord[],
  committed: readonly ObservedDisk[],
  now: Date,
  { isSetAside = false } = {},
): SessionRecord[] {
  const before = records.flatMap(({ committed = [] }) => committed.map(({ at }) => Date.parse(at) + 1));
  const at = new Date(Math.max(now.getTime(), ...before.filter(Number.isFinite))).toISOString();
  const disks = committed.filter(({ firmware }) => !firmware).flatMap((disk) => {
    const layer = nextLayer(stateOf(disk));
    return layer === undefined ? [] : disk.names.layer(layer);
  });
  return records.map((record) => {
    const file = committed.find(({ names }) => names.image === record.image);
    const layer = file && nextLayer(stateOf(file));
    if (layer === undefined) return record;
    const isChanged = ({ layer }: CommitTime) => (file?.layerWritten ?? Infinity) < layer;
    const lower = (record.committed ?? []).filter((commit) => commit.layer < layer);
    const undone = isSetAside && record.undone && record.committed?.find((commit) => commit.layer === layer);
    const time = record.firmware ? at : committedBefore(record, records) ?? at;
    const commits = [...lower, undone || { layer, at: time, started: lastStart(record) }]
      .map((commit): CommitTime => isChanged(commit) ? { ...commit, changed: true } : commit);
    const times = { ...record, committed: commits };
    if (!file?.firmware) return times;
    // The names of layers that were taken back are used again.
    const older = (record.commits ?? []).filter((commit) => commit.layer < layer)
      .map((commit) => ({ ...commit, disks: commit.disks.filter((path) => !disks.includes(path)) }));
    // One that is kept by itself goes with no disk's commit.
    const own = disks.length > 0 ? disks : [file.names.layer(layer)];
    return { ...times, commits: [...older, { layer, disks: own }] };
  });
}

/** When another disk of the same session was committed: they were kept one by one. */
function committedBefore(record: SessionRecord, records: readonly SessionRecord[]): string | undefined {
  const last = records.flatMap(({ firmware, undone, committed }) =>
    firmware || undone ? [] : committed?.at(-1) ?? []
  );
  const { continued = "" } = record;
  // One that has gone on since is committed with what it went on beside.
  return last.find((commit) => commit.started === lastStart(record) && commit.at > continued)?.at;
}

/**
 * Of disks with commits those whose newest one belongs to the guest's last commit: one of an earlier session stays when that is taken
 * back. One of which it isn't noted may belong to it.
 *
 * @param newest the number of the layer that counts as a disk's newest one
 */
export function lastCommitted<One extends { readonly disk: ObservedDisk }>(
  all: readonly One[],
  newest: (disk: ObservedDisk) => number | undefined = topLayerOf,
): One[] {
  const timeOf = ({ disk }: One) => {
    const number = newest(disk);
    return disk.record?.committed?.find(({ layer }) => layer === number)?.at;
  };
  const last = all.flatMap((one) => timeOf(one) ?? []).toSorted().at(-1);
  return all.filter((one) => [undefined, last].includes(timeOf(one)));
}

function topLayerOf(disk: ObservedDisk): number | undefined {
  const state = stateOf(disk);
  return "layers" in state ? topOf(state.layers) : undefined;
}

/** What is noted of a layer of the firmware. */
function commitOf(record: SessionRecord | undefined, number: number | undefined): FirmwareCommit | undefined {
  return record?.commits?.find(({ layer }) => layer === number);
}

function nextLayer(state: State): number | undefined {
  return "layers" in state ? topOf(state.layers) + 1 : undefined;
}

/**
 * How many of the newest versions of the firmware stay: down to the oldest whose commit can be taken back from a disk. Of versions of
 * which that is not noted there are as many as the guest's disk has commits that has most, or keeps most.
 */
export function versionsKept(file: ObservedDisk, disks: readonly ObservedDisk[]): number {
  const states = disks.filter(({ firmware }) => !firmware).map((disk) => [disk, stateOf(disk)] as const);
  const commits = commitsIn(stateOf(file));
  // Nobody knows which commits a disk has that can't be seen.
  if (states.some(([, { kind }]) => kind === "missing")) return commits.length;
  const most = Math.max(
    0,
    ...states.map(([{ keepCommits }, state]) => Math.max(keepCommits, commitsIn(state).length)),
  );
  if (!file.record?.commits) return most;
  const layers = states.flatMap(([{ names }, state]) => commitsIn(state).map(names.layer));
  const images = [file, ...states.map(([disk]) => disk)].map(({ names }) => names.image);
  const isKnown = (path: string) => images.includes(imageOf(path) ?? path);
  let oldest = commits.findIndex((number, index) => {
    const noted = commitOf(file.record, number);
    // Of a disk that was moved or renamed the paths say nothing.
    return noted?.disks.some((path) => layers.includes(path)) ||
      !noted?.disks.every(isKnown) && commits.length - index <= most;
  });
  if (oldest === -1) return 0;
  // Where an undo of that goes back to is below those of which no disk has anything.
  while (isAllUndone(commitOf(file.record, commits[oldest - 1]))) oldest--;
  return commits.length - oldest;
}

function isAllUndone(noted: FirmwareCommit | undefined): boolean {
  return noted !== undefined && noted.disks.every((path) => noted.undone?.includes(path));
}

/** The layers that are commits: all but the lowest. */
function commitsIn(state: State): readonly number[] {
  return "layers" in state ? state.layers.slice(1) : [];
}

/** Whether the newest version of the firmware was committed with one of these layers of disks, or nothing is noted of that. */
export function wasCommittedWith(file: ObservedDisk, layers: readonly string[]): boolean {
  const state = stateOf(file);
  const noted = commitOf(file.record, "layers" in state ? topOf(state.layers) : undefined);
  return noted === undefined || noted.disks.some((path) => layers.includes(path));
}

/**
 * The version of the firmware that belongs to a layer of a disk: the newest before that of the disk's next layer.
 *
 * @param versions numbers of the firmware's layers, lowest first
 * @param numberOf the number of the disk's layer that a path is, or was
 * @param on the number of the layer
 * @param layers all that the disk has, and one that is about to be
 * @returns undefined where it is not noted of all of them
 */
export function versionOf(
  versions: readonly number[],
  record: SessionRecord | undefined,
  numberOf: (path: string) => number | undefined,
  { on, layers }: { readonly on: number; readonly layers: readonly number[] },
): number | undefined {
  if (!versions.slice(1).every((number) => commitOf(record, number))) return undefined;
  const isNewer = ({ disks, undone }: FirmwareCommit) =>
    disks.some((path) => {
      const number = numberOf(path) ?? -1;
      // What is there no more, and was not undone, is in the disk: its numbers have begun anew since.
      return number > on && (layers.includes(number) || undone?.includes(path));
    });
  const next = versions.findIndex((number, index) => index > 0 && isNewer(commitOf(record, number)!));
  return next === -1 ? versions.at(-1) : versions[next - 1];
}

/** The same commits, where a disk that is plain by now has them in itself: the numbers of its layers begin anew. */
export function withoutMerged(
  commits: readonly FirmwareCommit[],
  stateOf: (image: string) => State,
): FirmwareCommit[] {
  const isPlain = (path: string) => stateOf(imageOf(path) ?? path).kind === "plain";
  return commits.map(({ layer, disks, undone = [] }) => {
    const left = undone.filter((path) => !isPlain(path));
    return {
      layer,
      // What was undone isn't in it.
      disks: disks.filter((path) => left.includes(path) || !undone.includes(path))
        .map((path) => isPlain(path) ? imageOf(path) ?? path : path),
      ...left.length > 0 && { undone: left },
    };
  });
}

/** The records once an undo has taken these layers of disks back, or `keep` has made them anew. */
export function withUndone(
  records: readonly SessionRecord[],
  verb: PendingOperation["verb"],
  layers: readonly string[],
): SessionRecord[] {
  return records.map((record) => {
    if (!record.commits) return record;
    const commits = record.commits.map(({ undone = [], ...commit }): FirmwareCommit => {
      const others = undone.filter((path) => !layers.includes(path));
      const now = verb === "keep"
        ? others
        : [...others, ...commit.disks.filter((path) => layers.includes(path))];
      return { ...commit, ...now.length > 0 && { undone: now } };
    });
    return { ...record, commits };
  });
}

/**
 * The layer of the firmware that an undo goes back to, where that isn't the next one: the newest older version of which not all is
 * undone.
 */
export function versionBefore(
  record: SessionRecord,
  { layers, torn }: Extract<State, { kind: "layered" }>,
): number | undefined {
  if (!record.firmware) return undefined;
  const [lowest, ...older] = layers.slice(torn ? 1 : 0, -1);
  const before = older.findLast((number) => !isAllUndone(commitOf(record, number))) ?? lowest;
  return before === layers.at(-2) ? undefined : before;
}
