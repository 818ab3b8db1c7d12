/** What may be wrong with an image's file, whoever comes upon it. */

import { UserError } from "../errors.ts";
import type { ImageInfo } from "../host/qemu_img.ts";
import { quoted, shellWord } from "../text.ts";

/** QEMU holds locks on what it has open, which shared storage brings to all hosts. */
export function openElsewhere(path: string, healedBy: UserError["healedBy"] = "person"): UserError {
  return new UserError(`${quoted(path)} is open in another process`, {
    hint: `find it: fuser -v ${shellWord(path)}; if that finds nothing, it is open on another host`,
    healedBy,
  });
}

/**
 * QEMU opens such an image to read only: as the lower one of an overlay it could go on unnoticed.
 *
 * @param otherwise what is left to do where it can't be mended
 */
export function markedCorrupt(file: string, otherwise: string): UserError {
  const word = shellWord(file);
  return new UserError(`${quoted(file)} is marked as corrupt: QEMU found a contradiction in its tables`, {
    hint: `copy it, and mend it: qemu-img check -r all ${word}; or ${otherwise}`,
  });
}

/**
 * Why no commit can be merged with an image that has its data in another file, if it has: qemu-img would take that file's
 * name from the image, and write there, or read from there, as root.
 */
export function dataError(image: string, look: ImageInfo): UserError | undefined {
  if (look.kind !== "free" || look.data === undefined) return undefined;
  return new UserError(
    `${quoted(image)} has its data in ${quoted(look.data)}: no commit can be merged with it`,
    { hint: `have it in one file: qemu-img convert -O qcow2 ${shellWord(image)} NEW` },
  );
}

/** Has a file stand on another one, without copying or changing what it holds. */
export function rebase(file: string, backing: string): string {
  return `qemu-img rebase -u ${onto(file, backing)}`;
}

/** The same, and copies into it what it would lack: it reads as before. */
export function rebaseReading(file: string, backing: string): string {
  return `qemu-img rebase ${onto(file, backing)}`;
}

/** Copies into a file all that it reads from below. */
export function rebaseToNothing(file: string): string {
  return `qemu-img rebase -f qcow2 -b '' ${shellWord(file)}`;
}

function onto(file: string, backing: string): string {
  return `-f qcow2 -F qcow2 -b ${shellWord(backing)} ${shellWord(file)}`;
}
