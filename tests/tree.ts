/** Files below a folder: to compare them, and to have them again as they were. */

import { createHash } from "node:crypto";
import { makeBorn } from "./file_times.ts";

interface Saved {
  readonly path: string;
  readonly content: Uint8Array;
  /** Equal for equal content. */
  readonly digest: string;
  readonly mode: number;
  readonly mtime: Date;
  readonly birthtime: Date | null;
  /** First of the paths that are names of this file. */
  readonly same: string;
}

/** Every file with its inode, mode, owner, time and content: equal only if nothing changed. */
export function snapshot(folder: string): string[] {
  return walk(folder).map(({ path, info, digest }) => {
    const { ino, mode, uid, gid, mtime } = info;
    return JSON.stringify([path, ino, mode, uid, gid, mtime, digest]);
  });
}

/** A folder's files set down, to be put there again as often as needed. */
export class Tree {
  readonly #files: readonly Saved[];

  constructor(readonly folder: string) {
    const first = new Map<number, string>();
    this.#files = walk(folder).filter(({ info }) => info.isFile).map(({ path, info, content, digest }) => {
      const same = first.get(info.ino!) ?? path;
      first.set(info.ino!, same);
      const { mode, mtime, birthtime } = info;
      return { path, content, digest, mode: mode! & 0o7777, mtime: mtime!, birthtime, same };
    });
  }

  /** @param born whether the files were made when they were, as far as this process is concerned */
  restore({ born = true } = {}): void {
    for (const { path, info } of walk(this.folder)) if (info.isFile) Deno.removeSync(path);
    for (const { path, content, mode, mtime, birthtime, same } of this.#files) {
      if (same !== path) {
        Deno.linkSync(same, path);
        continue;
      }
      Deno.writeFileSync(path, content);
      Deno.chmodSync(path, mode);
      Deno.utimeSync(path, mtime, mtime);
      if (born) makeBorn(path, birthtime);
    }
  }

  /** Equal for trees that no event could tell apart. Of a time counts only whether it is one that a test set. */
  get key(): string {
    const now = Date.now();
    const age = (time: Date) => Math.round((time.getTime() - now) / 86_400_000);
    return JSON.stringify(
      this.#files.map(({ mtime, birthtime: _, content: __, ...file }) => ({ ...file, age: age(mtime) })),
    );
  }
}

interface Found {
  readonly path: string;
  readonly info: Deno.FileInfo;
  readonly content: Uint8Array;
  readonly digest: string;
}

function walk(folder: string): Found[] {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  return names.flatMap((name) => {
    const path = `${folder}/${name}`;
    const info = Deno.lstatSync(path);
    const content = info.isFile ? Deno.readFileSync(path) : new Uint8Array();
    const digest = createHash("sha1").update(content).digest("hex");
    return [{ path, info, content, digest }, ...info.isDirectory ? walk(path) : []];
  });
}
