/** Whether what a session that is set aside stands on is still what it was. */

import { madeAt } from "./observe.ts";
import * as files from "../host/files.ts";
import type { Names } from "../state/paths.ts";

/** Deno tells when a file's names were changed in whole seconds, in milliseconds. */
const SECOND = 1000;

/**
 * Whether somebody has written to the idle disk since the session was set aside, or put another file in the place of its top layer:
 * a session is made later than what it stands on.
 *
 * @param top its top layer
 */
export function isWrittenSince({ ended }: Names, top: string): boolean {
  const written = files.lstat(top)?.mtime?.getTime() ?? 0;
  const setAside = files.lstat(ended)?.ctime?.getTime() ?? Infinity;
  const [madeTop, madeEnded] = [top, ended].map(madeAt);
  // Inode numbers, which are negative, tell of no time.
  const isNewer = madeTop! > madeEnded! && madeEnded! > 0;
  return written >= setAside + SECOND || isNewer;
}
