import { UserError } from "../errors.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { readRecords } from "../host/session_records.ts";
import { folderOf, type GuestNames, imageOf, layerNumber, type Names } from "../state/paths.ts";
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

/**
 * The image from whose layers a file was taken away under another name: it stands on them, and is one of that image's files, or the guest's
 * note tells of that image.
 *
 * @param backing what the file stands on
 */
export function takenFrom(
  image: string,
  backing: string | undefined,
  { paths }: { readonly paths: Pick<GuestNames, "note"> },
): string | undefined {
  const owner = imageOf(backing ?? "");
  if (owner === undefined || layerNumber(owner, backing!) === undefined || owner === image) return undefined;
  const isNoted = readRecords(paths.note).some((record) => record.image === owner);
  return isNoted || isFileOf(owner, image) ? owner : undefined;
}

/** Whether a file is a layer of an image, or stands on one other than through the image. One that can't be read may. */
export function leadsToLayer(
  file: string,
  { image }: Names,
  { host: { backingOf } }: { readonly host: Pick<Host, "backingOf"> },
): boolean {
  try {
    const layers = [...files.listIfThere(image).keys()].filter((path) =>
      layerNumber(image, path) !== undefined
    );
    const isLayer = (path: string) =>
      layerNumber(image, path) !== undefined || layers.some((layer) => files.sameFile(layer, path));
    const seen = new Set<string>();
    for (let path: string | undefined = file; path !== undefined && !seen.has(path);) {
      if (path === image) return false;
      if (!path.startsWith("/") || isLayer(path)) return true;
      seen.add(path);
      path = backingOf(path);
    }
    return false;
  } catch {
    return true;
  }
}

/** Whether what a file stands on is one of these layers, below the top one. */
export function isLowerLayer(backing: string | undefined, names: Names, layers: Layers): boolean {
  return backing !== undefined &&
    layers.slice(0, -1).some((layer) => files.sameFile(names.layer(layer), backing));
}

/** Whether a file is one of those of another image. */
export function isFileOf(other: string, file: string): boolean {
  return [...files.listIfThere(other).keys()].some((path) => files.sameFile(path, file));
}

/** Whether the lowest layer that is there stands on another one, which is away: alone, it is not the disk. */
export function lacksBase(
  names: Names,
  { layers: [lowest] }: { readonly layers: Layers },
  { host }: { readonly host: Pick<Host, "backingOf"> },
): boolean {
  return lowest !== 0 && missingLayer(names, host.backingOf(names.layer(lowest))) !== undefined;
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

/** Whether a file is one of the image folders, and not there. */
export function isMissing(path: string | undefined, imageFolders: readonly string[]): path is string {
  return path !== undefined && imageFolders.some((folder) => path.startsWith(`${folder}/`)) &&
    files.lstat(path) === undefined;
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
