import { UserError } from "../errors.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { folderOf, imageOf, layerNumber, type Names } from "../state/paths.ts";
import type { Layers } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * The layer of this image that a file should stand on, by the backing file it names: files that were copied, moved or
 * renamed together keep their numbers.
 *
 * @returns undefined if that is no layer's name
 */
export function layerNamed(names: Names, backing: string): string | undefined {
  const number = layerNumber(imageOf(backing) ?? "", backing);
  return number === undefined ? undefined : names.layer(number);
}

/** Whether the lowest layer that is there stands on another one, which is away: alone, it is not the disk. */
export function lacksBase(
  names: Names,
  { layers: [lowest] }: { readonly layers: Layers },
  { host }: { readonly host: Pick<Host, "backingOf"> },
): boolean {
  const backing = lowest === 0 ? undefined : host.backingOf(names.layer(lowest));
  const below = backing === undefined ? undefined : layerNamed(names, backing);
  return below !== undefined && below !== names.layer(lowest);
}

/**
 * The layer that a file stands on, if that is neither where the file says nor beside the image.
 *
 * @returns its path beside the image where that has the same name there; otherwise it may be another image's layer
 */
export function missingLayer(names: Names, backing: string | undefined): string | undefined {
  const named = backing === undefined ? undefined : layerNamed(names, backing);
  const isThere = [backing, named].some((path) => path !== undefined && files.lstat(path) !== undefined);
  if (isThere || backing === undefined || named === undefined) return undefined;
  return nameOf(backing) === nameOf(named) ? named : backing;
}

function nameOf(path: string): string {
  return path.slice(folderOf(path).length);
}

/** Without that layer, nobody may have the file stand on another one: it would be a mixture of two disks. */
export function missingError(file: string, missing: string): UserError {
  return new UserError(`${quoted(missing)} is missing, which ${quoted(file)} stands on`, {
    hint:
      `restore it from where it was moved or copied; what stands on what: qemu-img info -U --backing-chain ${
        shellWord(file)
      }`,
  });
}
