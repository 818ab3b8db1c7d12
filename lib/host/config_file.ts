import { UserError } from "../errors.ts";
import { leadsNowhere, lstat, ownerOf, read, remove, stat, write } from "./files.ts";
import { type Config, parseConfig, withoutFlags } from "../input/config.ts";
import { folderOf } from "../state/paths.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * Reads and checks a guest's file.
 *
 * @param owner user id that folder and file must belong to
 * @returns undefined if there is none
 * @throws {UserError} if it isn't valid, or others could have written it
 */
export async function readConfig(path: string, owner: number): Promise<Config | undefined> {
  const info = lstat(path);
  if (info === undefined) return undefined;
  const folder = folderOf(path);
  checkWriters(folder, stat(folder)!, owner);
  if (!info.isFile) {
    throw new UserError(`${quoted(path)} is not a regular file`, {
      hint: "put the configuration itself there, not a link",
    });
  }
  checkWriters(path, info, owner);
  const text = read(path);
  return text === undefined ? undefined : {
    ...await parseConfig(path, text),
    changed: Math.max(info.mtime?.getTime() ?? Infinity, info.ctime?.getTime() ?? 0),
    version: versionOf(info),
  };
}

/**
 * @throws {UserError} if the folder of configurations is a link to what isn't there, as to a share that isn't mounted: a guest without
 * its file would run on its disks themselves
 */
export function checkConfigFolder(folder: string): void {
  if (!leadsNowhere(folder)) return;
  throw new UserError(
    `${quoted(folder)} is a link to ${quoted(Deno.readLinkSync(folder))}, which isn't there: ` +
      "nobody can tell which guests' disks are to be reverted",
    {
      hint: `mount what it leads to; if no guest of this host has a configuration: rm ${shellWord(folder)}`,
    },
  );
}

/**
 * What differs for every other file that has been a guest's configuration; undefined if there is none. One that is put in place with
 * its old time, as mv and cp -p do, is told by when that happened. A change of owner or mode, or another link, makes another
 * version, too: a flag is then taken for a later one, and nothing is thrown away for it.
 */
export function configVersion(path: string): string | undefined {
  const info = lstat(path);
  return info && versionOf(info);
}

function versionOf({ size, mtime, ctime }: Deno.FileInfo): string {
  return `${size} bytes of ${mtime?.toISOString()}, in place since ${ctime?.toISOString()}`;
}

/** Whoever can write the configuration decides what root does to an image. */
function checkWriters(path: string, { uid, mode }: Deno.FileInfo, owner: number): void {
  if (uid !== owner && uid !== 0) {
    throw new UserError(`${quoted(path)} belongs to user ${uid}, it must belong to root`, {
      hint: `chown root: ${shellWord(path)}`,
    });
  }
  if (((mode ?? 0) & 0o022) !== 0) {
    throw new UserError(
      `${quoted(path)} can be written by others than root (mode ${((mode ?? 0) & 0o7777).toString(8)})`,
      { hint: `chmod go-w ${shellWord(path)}` },
    );
  }
}

/**
 * Sets the commit flags of these targets to false, and changes nothing else: not a byte of the rest, nor owner, group
 * and mode. Done before, it does nothing. After a crash the file is the old or the new one, whole.
 *
 * @throws {UserError} if the file can't be read or written; then it is as it was
 */
export async function clearFlags(path: string, targets: readonly string[]): Promise<void> {
  const text = read(path);
  if (text === undefined) return;
  const cleared = await withoutFlags(text, targets);
  if (cleared !== text) write(path, cleared, { owner: ownerOf(path), durable: true });
}

/**
 * Gives a guest's file this text, or removes it. Owner and mode stay; a new file can be read by all. After a crash the
 * file is the old or the new one, whole.
 */
export function writeConfig(path: string, text: string | undefined): void {
  if (text === undefined) return remove(path);
  write(path, text, { ...lstat(path) && { owner: ownerOf(path) }, durable: true });
}
