/** The header of a qcow2 image, read without a process and without a lock: docs/interop/qcow2.rst of QEMU describes it. */

import { isMissing, readAt } from "./files.ts";
import { folderOf } from "../state/paths.ts";

const MAGIC = 0x514649fb;
/** QEMU takes no longer name of a backing file, in bytes. */
const LONGEST_NAME = 1023;
/** Of the features that a program must know, in the lower half of them. */
const CORRUPT = 2;

/**
 * The file that an image stands on, as its header names it: an absolute path, or QEMU's `json:{…}`.
 *
 * @returns undefined if it stands on nothing, is no qcow2 image, or is gone by now
 */
export function backingOf(image: string): string | undefined {
  try {
    const header = readAt(image, 0, 20);
    if (header.length < 20) return undefined;
    const view = new DataView(header.buffer);
    const [offset, length] = [view.getBigUint64(8), view.getUint32(16)];
    if (view.getUint32(0) !== MAGIC || offset === 0n || length === 0 || length > LONGEST_NAME) {
      return undefined;
    }
    const name = new TextDecoder().decode(readAt(image, Number(offset), length)).replace(/^file:/, "");
    return name.startsWith("/") || /^[a-z0-9+-]+:/.test(name) ? name : `${folderOf(image)}/${name}`;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether QEMU has found a contradiction in an image, and marked it: such a one is opened to read all the same. */
export function isMarkedCorrupt(image: string): boolean {
  const header = readAt(image, 0, 80);
  if (header.length < 80) return false;
  const view = new DataView(header.buffer);
  return view.getUint32(0) === MAGIC && view.getUint32(4) >= 3 && (view.getUint32(76) & CORRUPT) !== 0;
}
