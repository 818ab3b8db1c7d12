/** Whether the layers that a session stands on are still what they were. */

import { isLowerLayer } from "./layer_names.ts";
import { madeAt } from "./observe.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { isRecorded, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import type { Names } from "../state/paths.ts";
import { topOf } from "../state/state.ts";

/** Deno tells when a file's names were changed in whole seconds, in milliseconds. */
const SECOND = 1000;

/**
 * Whether somebody has written to the idle disk since the session was set aside, or put another file in the place of its top layer:
 * a session is made later than what it stands on.
 *
 * @param top its top layer
 */
export function isWrittenSince({ ended }: Names, top: string): boolean {
  const written = files.writtenTime(top);
  const setAside = files.lstat(ended)?.ctime?.getTime() ?? Infinity;
  const [madeTop, madeEnded] = [top, ended].map(madeAt);
  // Inode numbers, which are negative, tell of no time.
  const isNewer = madeTop! > madeEnded! && madeEnded! > 0;
  return written >= setAside + SECOND || isNewer;
}

/**
 * The layer that was written to since the session on it began, as by a blockcommit that was cut short, if there is one: only through the
 * session is the disk whole.
 */
export function changedBelow(disk: ObservedDisk): string | undefined {
  const { names, layerWritten } = disk;
  const isSession = stateOf(disk).kind === "session" && isRecorded(disk);
  return layerWritten === undefined || !isSession ? undefined : names.layer(layerWritten);
}

/** Whether another file was put in the place of a layer, such as a backup: it was made later than the session that stands on it. */
export function hasLaterLayer({ names, layerWritten, made = -1 }: ObservedDisk): boolean {
  const madeLayer = layerWritten === undefined ? undefined : madeAt(names.layer(layerWritten));
  // Inode numbers, which are negative, tell of no time.
  return madeLayer !== undefined && made > 0 && madeLayer > made;
}

/**
 * Whether the session stands on a lower layer, and the note knows of no commit that has made the top one: it may be somebody's file,
 * such as a copy of the base with a date for its number.
 */
export function isTopUnknown(disk: ObservedDisk, { backingOf }: Pick<Host, "backingOf">): boolean {
  const { names, record, firmware } = disk;
  const state = stateOf(disk);
  if (firmware || state.kind !== "session" || state.layers.length < 2) return false;
  if (record?.committed?.some(({ layer }) => layer === topOf(state.layers))) return false;
  return isLowerLayer(backingOf(names.image), names, state.layers);
}
