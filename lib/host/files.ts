/**
 * The durable primitives. Nothing else in the program links, renames, removes or writes.
 *
 * Each does its one call, makes it durable with an fsync of the folder, and says so in one line of the log: the log
 * replays what happened. After a crash the call has happened wholly or not at all.
 */

import { asUserError, UserError } from "../errors.ts";
import { belongsTo, expectedNames, folderOf, layerNumber, temporaryName } from "../state/paths.ts";
import type { Owner } from "../state/session_record.ts";
import type { Listing } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

/** @throws {UserError} if there is a name already, or the file system has no hard links */
export function link(from: string, to: string): void {
  attempt(
    "link",
    from,
    () => Deno.linkSync(from, to),
    (cause) => otherCauses.has(codeOf(cause)) ? undefined : LINK_HINT,
  );
  syncFolder(to);
}

/** What link(2) fails with where it isn't for want of hard links. */
const otherCauses = new Set(["EEXIST", "ENOSPC", "EDQUOT", "EIO", "EROFS"]);

const LINK_HINT = "image folders must be on a file system with hard links (ext4, xfs, btrfs, NFS, …)";

/** Replaces `to`. Both must not be names of one file: rename(2) does nothing then. */
export function rename(from: string, to: string): void {
  attempt("rename", from, () => Deno.renameSync(from, to));
  syncFolder(to);
}

export function remove(path: string): void {
  attempt("remove", path, () => Deno.removeSync(path));
  syncFolder(path);
}

/** Removes a file where there is one, without waiting for the disk. */
export function removeIfThere(path: string): void {
  attempt("remove", path, () => ifThere(() => Deno.removeSync(path)));
}

/** Makes a folder that others may look into, unless it is there. */
export function makeFolder(path: string): void {
  attempt("make", path, () => Deno.mkdirSync(path, { recursive: true, mode: 0o755 }));
}

/** @throws {UserError} if there is a file with this name already; otherwise there is an empty one now */
export function createExclusive(path: string): void {
  attempt("make", path, () => Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close());
}

/**
 * Copies a small file's content. After a crash the copy may be there in part; it is not on stable storage yet.
 *
 * @throws {UserError} if there is a file with this name already
 */
export function copy(from: string, to: string): void {
  createExclusive(to);
  attempt("copy", from, () => Deno.writeFileSync(to, Deno.readFileSync(from)));
}

/**
 * Gives a file the content of another small one. It stays the same file, with all that its file system keeps with it, and no room of it is
 * given up meanwhile. After a crash it may have a part of the content; it is not on stable storage yet.
 *
 * @throws {UserError} if one of them is a symbolic link, or there is no room
 */
export async function overwrite(from: string, to: string): Promise<void> {
  // Few events need it. Deno's own calls follow links.
  const { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } = await import("node:fs");
  const withFile = <T>(path: string, mode: number, use: (file: number) => T): T =>
    attempt("merge", path, () => {
      const file = openSync(path, mode | constants.O_NOFOLLOW);
      try {
        return use(file);
      } finally {
        closeSync(file);
      }
    });
  const bytes = withFile(from, constants.O_RDONLY, (file) => readFileSync(file));
  withFile(to, constants.O_WRONLY, (file) => {
    for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done, bytes.length - done, done);
    ftruncateSync(file, bytes.length);
  });
}

/** Makes an empty file where there is none, without waiting for the disk: that it is there says all. */
export function touch(path: string): void {
  attempt("make", path, () => Deno.openSync(path, { write: true, create: true, mode: 0o600 }).close());
}

/** Makes the time of a file's last change of whatever kind now, and nothing else of it. Not durable: nobody relies on it. */
export function renewChangeTime(path: string): void {
  attempt("touch", path, () => {
    const { atime, mtime } = Deno.lstatSync(path);
    Deno.utimeSync(path, atime ?? new Date(), mtime ?? new Date());
  });
}

/** Makes an empty file where there is none: that it is there says all, also after a power cut. */
export function mark(path: string): void {
  touch(path);
  syncFolder(path);
}

/** Gives a file the owner, group and mode, where they are others. Not durable by itself: doing it again is harmless. */
export function setOwner(path: string, { uid, gid, mode }: Owner): void {
  attempt("change the owner of", path, () => {
    const now = Deno.lstatSync(path);
    const isTheirs = now.uid === uid && now.gid === gid;
    if (!isTheirs) Deno.chownSync(path, uid, gid);
    // A change of owner clears bits of the mode.
    if (!isTheirs || ((now.mode ?? 0) & 0o7777) !== mode) Deno.chmodSync(path, mode);
  });
}

/** Leaves a figure in a file that is there, in place: nobody relies on it, so it may fail unnoticed. */
export function writeProgress(path: string, text: string): void {
  try {
    Deno.writeTextFileSync(path, text, { create: false });
  } catch {
    // On a full disk, too, what the figure tells of goes on.
  }
}

/** Waits until the file's content is on stable storage. */
export function sync(path: string): void {
  attempt("sync", path, () => {
    using file = Deno.openSync(path);
    file.syncSync();
  });
}

/**
 * Gives a file this text: it is written beside, then takes the name. After a crash the file has the old or the new
 * text, whole; after a power cut too, if `durable`.
 */
export function write(
  path: string,
  text: string,
  { owner, durable }: { owner?: Owner; durable: boolean },
): void {
  const beside = temporaryName(path);
  attempt("write", path, () => {
    {
      using file = Deno.openSync(beside, { write: true, create: true, truncate: true, mode: 0o644 });
      const bytes = new TextEncoder().encode(text);
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
      if (owner !== undefined) setOwner(beside, owner);
      if (durable) file.syncSync();
    }
    Deno.renameSync(beside, path);
  });
  if (durable) syncFolder(path);
}

/** The text of a file, or undefined if there is none. */
export function read(path: string): string | undefined {
  return attempt("read", path, () => ifThere(() => Deno.readTextFileSync(path)));
}

/** So many bytes of a file from an offset on, or as many as there are. */
export function readAt(path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
  return attempt("read", path, () => {
    using file = Deno.openSync(path);
    if (offset > 0) file.seekSync(offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(length);
    let done = 0;
    for (let more: number | null = 0; done < length && more !== null; done += more ?? 0) {
      more = file.readSync(bytes.subarray(done));
    }
    return bytes.subarray(0, done);
  });
}

/** Whether a file that was looked for is not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof UserError && error.cause instanceof Deno.errors.NotFound;
}

/**
 * The regular files in these folders and below them, links not followed; none where there is no such folder. Hidden folders are left
 * out: there snapshots of a file system lie, whose copies of an image nobody runs on.
 *
 * Deno leaves out what a failing disk doesn't tell, and says nothing: so some files are looked up by their names.
 *
 * @param expected files that may be there
 * @param missed takes each folder that can't be listed, or of which one of those is not listed
 */
export function walk(
  folders: readonly string[],
  expected: readonly string[],
  missed: (folder: string) => void,
): string[] {
  const find = () => outermost(folders).flatMap((folder) => filesBelow(folder, missed));
  const leftOut = (found: readonly string[]) => {
    const all = new Set(found);
    return expected.filter((path) =>
      !all.has(path) && folders.some((folder) => path.startsWith(`${folder}/`)) && !isHidden(path, folders) &&
      lstat(path)?.isFile
    );
  };
  const found = find();
  if (leftOut(found).length === 0) return found;
  // What has come meanwhile is found the second time.
  const again = find();
  leftOut(again).map(folderOf).forEach(missed);
  return again;
}

function filesBelow(folder: string, missed: (folder: string) => void): string[] {
  let entries: Deno.DirEntry[];
  try {
    entries = ifThere(() => [...Deno.readDirSync(folder)]) ?? [];
  } catch {
    missed(folder);
    return [];
  }
  return entries.flatMap(({ name, isDirectory, isFile }) => {
    const path = folder === "/" ? `/${name}` : `${folder}/${name}`;
    if (isDirectory) return name.startsWith(".") ? [] : filesBelow(path, missed);
    return isFile ? [path] : [];
  });
}

/** Whether {@link walk} of these folders leaves a file out, since it lies in a hidden one of them. */
export function isHidden(path: string, folders: readonly string[]): boolean {
  const above = outermost(folders).filter((folder) => path.startsWith(`${folder}/`));
  return above.length > 0 &&
    above.every((folder) => folderOf(path).slice(folder.length).includes("/."));
}

/** These folders without those that lie in another one of them. */
export function outermost(folders: readonly string[]): string[] {
  return folders.filter((folder) => !folders.some((other) => folder.startsWith(`${other}/`)));
}

/** What tells a file from all others, whatever its path; undefined if there is none. */
export function identity(path: string): string | undefined {
  const info = lstat(path);
  return info && `${info.dev} ${inodeOf(path, info)}`;
}

/** What lstat(2) says, or undefined if there is nothing. */
export function lstat(path: string): Deno.FileInfo | undefined {
  return attempt("look at", path, () => ifThere(() => Deno.lstatSync(path)));
}

/** When a file was last written to, by the clock of its file system, in milliseconds; 0 where it isn't there. */
export function writtenTime(path: string): number {
  return lstat(path)?.mtime?.getTime() ?? 0;
}

/** Whether something is there that the program may look at. */
export function isSeen(path: string): boolean {
  try {
    return lstat(path) !== undefined;
  } catch (error) {
    if (isForbidden(error)) return false;
    throw error;
  }
}

/** What stat(2) says, of what a link leads to, wherever that is. */
export function stat(path: string): Deno.FileInfo | undefined {
  return attempt("look at", path, () => ifThere(() => Deno.statSync(path)));
}

/** Whether a path is a link to what isn't there. */
export function leadsNowhere(path: string): boolean {
  return stat(path) === undefined && lstat(path) !== undefined;
}

/** What differs for every other content that a file has had: its size and time; undefined if there is no file. */
export function version(path: string): string | undefined {
  const info = lstat(path);
  return info && `${info.size} bytes of ${info.mtime?.toISOString()}`;
}

/**
 * The files that belong to an image.
 *
 * @throws {UserError} if one of them is no regular file, or the folder can't be read as a whole
 */
export function list(image: string): Listing {
  const listing = new Map<string, number>();
  const belonging = (paths: readonly string[]) => paths.filter((path) => belongsTo(image, path));
  const all = belonging(paths(folderOf(image), (found) => expectedNames(image, belonging(found))));
  for (const path of all) {
    const info = lstat(path);
    if (info === undefined) continue;
    if (!info.isFile) throw notRegular(path, image, all);
    listing.set(path, inodeOf(path, info));
  }
  return listing;
}

/** @param all what belongs to the image */
function notRegular(path: string, image: string, all: readonly string[]): UserError {
  const hasLayers = all.some((path) => layerNumber(image, path) !== undefined);
  const isDisk = path === image || layerNumber(image, path) !== undefined;
  const moved = isDisk ? resolveIfThere(path) : undefined;
  const why = hasLayers ? "what it belongs with lies here still; " : "";
  return new UserError(`${quoted(path)} is not a regular file, but has a name that belongs to a disk`, {
    // It may be a session, which stands on these or on a master, or what they stand on.
    hint: moved !== undefined && !all.includes(moved)
      ? `${why}move it back: mv -f ${shellWord(moved)} ${shellWord(path)}`
      : `move it away: ${movingAway(path)}`,
  });
}

/** The command that moves a file away, to a name beside an image that nothing has. */
export function movingAway(path: string, image = path): string {
  return `mv -n ${shellWord(path)} ${shellWord(nameForOld(image))}`;
}

/** A name beside an image, for what is moved away, that nothing has. */
export function nameForOld(image: string): string {
  let name = `${image}.old`;
  for (let number = 2; lstat(name) !== undefined; number++) name = `${image}.old.${number}`;
  return name;
}

/** @throws {UserError} where such numbers can't tell one file from another */
function inodeOf(path: string, { ino }: Deno.FileInfo): number {
  if (ino !== null && Number.isSafeInteger(ino)) return ino;
  throw new UserError(`the inode number of ${quoted(path)} is too large to tell one file from another`, {
    hint: "mount GlusterFS with -o enable-ino32, or keep images on ext4, xfs, btrfs or NFS",
  });
}

/**
 * The files that belong to an image of which a note tells; none where its folder is gone, isn't mounted, or isn't one of
 * those that the program may touch any more.
 */
export function listIfThere(image: string): Listing {
  try {
    return lstat(folderOf(image)) === undefined ? new Map() : list(image);
  } catch (error) {
    if (isForbidden(error)) return new Map();
    throw error;
  }
}

/** Whether a path is none of those that the program was built to touch. */
export function isForbidden(error: unknown): boolean {
  return error instanceof UserError && error.cause instanceof Deno.errors.NotCapable;
}

/**
 * All that is in a folder.
 *
 * Deno leaves out what a failing disk doesn't tell, and says nothing: so some files are looked up by their names.
 *
 * @param expected files that may be there, by what was found
 * @throws {UserError} if one of those is there and not among what was found
 */
function paths(folder: string, expected: (found: readonly string[]) => readonly string[]): string[] {
  const find = () =>
    attempt("list", folder, () => [...Deno.readDirSync(folder)])
      .map(({ name }) => folder === "/" ? `/${name}` : `${folder}/${name}`);
  const isWhole = (found: readonly string[]) =>
    expected(found).every((path) => found.includes(path) || lstat(path) === undefined);
  // What has come meanwhile is found the second time.
  for (let times = 0; times < 2; times++) {
    const found = find();
    if (isWhole(found)) return found;
  }
  throw new UserError(`cannot list ${quoted(folder)}: not all that is there is found`, {
    hint: "look at the storage: dmesg | tail",
  });
}

/** The files beside one that is there, sorted. */
export function siblings(path: string): string[] {
  return paths(folderOf(path), () => [path]).filter((other) => other !== path).sort();
}

/** Names in a folder, sorted; none where there is no such folder. */
export function listNames(folder: string): string[] {
  const records = attempt("list", folder, () => ifThere(() => [...Deno.readDirSync(folder)])) ?? [];
  return records.map(({ name }) => name).sort();
}

/** Whether two paths lead to one file; no where one of them leads nowhere, or to where the program may not look. */
export function sameFile(a: string, b: string): boolean {
  if (a === b) return true;
  try {
    const [one, other] = [Deno.statSync(a), Deno.statSync(b)];
    return one.dev === other.dev && inodeOf(a, one) === inodeOf(b, other);
  } catch {
    return false;
  }
}

/** Owner, group and mode of a file. */
export function ownerOf(path: string): Owner {
  const { uid, gid, mode } = attempt("look at", path, () => Deno.lstatSync(path));
  return { uid: uid ?? 0, gid: gid ?? 0, mode: (mode ?? 0o600) & 0o7777 };
}

/**
 * The file a path leads to, links resolved. Its folder must exist, the file need not: a cut-short event may have
 * left an image without its name.
 */
export function resolve(path: string): string {
  return attempt("resolve", path, () => {
    for (let hops = 0, at = path; hops < 40; hops++) {
      const found = ifThere(() => Deno.realPathSync(at));
      if (found !== undefined) return found;
      const info = ifThere(() => Deno.lstatSync(at));
      const folder = Deno.realPathSync(folderOf(at));
      if (info === undefined) return `${folder === "/" ? "" : folder}/${at.slice(at.lastIndexOf("/") + 1)}`;
      // It has come back between the two looks: a merge gives an image its name anew.
      if (!info.isSymlink) continue;
      const target = Deno.readLinkSync(at);
      at = target.startsWith("/") ? target : `${folder}/${target}`;
    }
    throw new Error("too many symbolic links");
  });
}

/** A path by where its folder is now, if that was moved and has left a link. The path as it is where nothing can be seen. */
export function inResolvedFolder(path: string): string {
  const folder = resolveIfThere(folderOf(path));
  const name = path.slice(path.lastIndexOf("/"));
  return folder === undefined ? path : folder === "/" ? name : folder + name;
}

/** The file a path leads to, links resolved; undefined where it leads nowhere, or to where the program may not look. */
export function resolveIfThere(path: string): string | undefined {
  try {
    return Deno.realPathSync(path);
  } catch {
    return undefined;
  }
}

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    // What can't have a name isn't there: a guest's name may be nearly as long as a file's.
    const isTooLong = codeOf(error) === "ENAMETOOLONG";
    if (error instanceof Deno.errors.NotFound || isTooLong) return undefined;
    throw error;
  }
}

function syncFolder(path: string): void {
  sync(folderOf(path));
}

function attempt<T>(
  verb: string,
  path: string,
  call: () => T,
  hint?: (cause: unknown) => string | undefined,
): T {
  try {
    return call();
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    if (cause instanceof Deno.errors.NotCapable) throw notPermitted(path, cause);
    throw new UserError(`cannot ${verb} ${quoted(path)}: ${asUserError(cause).message}`, {
      cause,
      hint: hint?.(cause),
    });
  }
}

/** Only a build for other folders than the one before comes upon such a path. */
function notPermitted(path: string, cause: Deno.errors.NotCapable): UserError {
  return new UserError(`${quoted(path)} is outside the folders that this build of the program was made for`, {
    cause,
    hint:
      `see those: autorevert --version; build it for all of them: make install IMAGE_DIRS=…, or for a package: ` +
      "make deb IMAGE_DIRS=…",
  });
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? "";
}
