/**
 * A model of what a power cut leaves.
 *
 * Only what was synced is certain: of the writes to a file since its last fsync any may be lost, whole or from some
 * sector on, and of the names that were made, changed and removed in a folder since its last fsync any may be lost,
 * in whatever order they came. That is more than any file system of Linux does.
 */

import type { Call } from "./record.ts";
import { makeBorn } from "../tests/file_times.ts";

/** Neither opened for its content nor looked at: whether it is there makes no difference. */
const LOCK = /\.(lock|folder-lock|merging|stop-merging)$/;
const SECTOR = 512;
const PUNCH_OR_ZERO = 0x02 | 0x10;
const KEEP_SIZE = 0x01;

/** A change of a file's content. */
interface Write {
  readonly kind: "data" | "zero" | "size" | "grow";
  readonly offset: number;
  readonly data?: Uint8Array;
  readonly length: number;
}

interface StoredFile {
  readonly id: number;
  readonly born: Date;
  readonly content: Uint8Array;
  /** Of the durable content: undefined if it is from the event. */
  readonly mtime: Date | undefined;
  /** How often it was synced. */
  readonly version: number;
  readonly pending: readonly Write[];
}

/** A change of names that is one call. */
interface Renaming {
  readonly folder: string;
  readonly change: readonly (readonly [path: string, id: number | undefined])[];
}

/** A file as it is found after a power cut. */
export interface Found {
  readonly id: number;
  readonly content: Uint8Array;
  readonly mtime: Date;
  /** When it was made, before or during the event. */
  readonly born: Date;
}

/** What may be lost. */
export interface Choice {
  /** Whether the n-th change of names is there. */
  readonly named: (n: number) => boolean;
  /** How much of the n-th write to a file is there, from 0 to 1. */
  readonly written: (file: number, n: number) => number;
}

export class Storage {
  #files = new Map<number, StoredFile>();
  #names = new Map<string, number>();
  #durable = new Map<string, number>();
  #pending: Renaming[] = [];
  #inodes = new Map<number, number>();
  #ids = 0;
  /** Before the event. */
  readonly #begun = new Date();

  /** @param root folder whose files are all durable */
  constructor(readonly root: string) {
    for (const path of filesBelow(root)) {
      const { ino, mtime, birthtime } = Deno.lstatSync(path);
      const id = this.#inodes.get(ino!) ??
        this.#add(ino!, Deno.readFileSync(path), mtime!, birthtime ?? undefined);
      this.#names.set(path, id);
    }
    this.#durable = new Map(this.#names);
  }

  /** How many changes of names are not certain yet. */
  get uncertain(): number {
    return this.#pending.length;
  }

  get isWritten(): boolean {
    return [...this.#files.values()].some(({ pending }) => pending.length > 0);
  }

  /** Does a recorded call. */
  apply({ call, path, to, result, flags = 0, file, offset = 0, length = 0, mode = 0, data }: Call): void {
    if (result < 0 || path === `${this.root}/log`) return;
    switch (call) {
      case "open":
      case "openat": {
        if ((flags & 0o100) !== 0 && !this.#names.has(path)) {
          this.#rename([[path, this.#add(file!, new Uint8Array(), undefined)]]);
        } else if ((flags & 0o1000) !== 0) {
          this.#write(file!, { kind: "size", offset: 0, length: 0 });
        }
        return;
      }
      case "write":
      case "writev":
      case "pwrite64":
      case "pwritev":
      case "pwritev2":
        return this.#write(file!, {
          kind: "data",
          offset,
          data: Uint8Array.fromHex(data!),
          length: data!.length / 2,
        });
      case "ftruncate":
        return this.#write(file!, { kind: "size", offset: 0, length });
      case "fallocate":
        if ((mode & PUNCH_OR_ZERO) !== 0) this.#write(file!, { kind: "zero", offset, length });
        if ((mode & KEEP_SIZE) === 0) {
          this.#write(file!, { kind: "grow", offset: 0, length: offset + length });
        }
        return;
      case "fsync":
      case "fdatasync":
        return this.#names.has(path) || this.#inodes.has(file!) ? this.#sync(file!) : this.#syncFolder(path);
      case "rename":
      case "renameat":
      case "renameat2": {
        const id = this.#names.get(path)!;
        // Two names of one file: it does nothing.
        return id === this.#names.get(to!) ? undefined : this.#rename([[path, undefined], [to!, id]]);
      }
      case "link":
      case "linkat":
        return this.#rename([[to!, this.#names.get(path)!]]);
      case "unlink":
      case "unlinkat":
        return this.#rename([[path, undefined]]);
      case "chmod":
      case "chown":
      case "fchmod":
      case "fchown":
      case "fchmodat":
      case "fchownat":
      case "utimensat":
        // The program does them again wherever they matter, or loses nothing without.
        return;
      default:
        throw new Error(`the model has no ${call}`);
    }
  }

  /** The files after a power cut now, by path. Equal keys are equal files. */
  cut({ named, written }: Choice): { readonly key: string; readonly files: () => Map<string, Found> } {
    const names = new Map(this.#durable);
    this.#pending.forEach(({ change }, n) => {
      if (named(n)) {
        for (const [path, id] of change) {
          id === undefined ? names.delete(path) : names.set(path, id);
        }
      }
    });
    const shares = new Map<number, number[]>();
    for (const id of new Set(names.values())) {
      const share = this.#files.get(id)!.pending.map((_, n) => written(id, n));
      shares.set(id, share.slice(0, share.findLastIndex((part) => part > 0) + 1));
    }
    const key = JSON.stringify(
      [...names].sort(([a], [b]) => a < b ? -1 : 1).map(([path, id]) => [
        path,
        id,
        this.#files.get(id)!.version,
        shares.get(id),
      ]),
    );
    const files = new Map(this.#files);
    return {
      key,
      files: () => {
        const found = new Map([...shares].map(([id, share]) => [id, foundFile(files.get(id)!, share)]));
        return new Map([...names].map(([path, id]) => [path, found.get(id)!]));
      },
    };
  }

  #add(inode: number, content: Uint8Array, mtime: Date | undefined, born = this.#begun): number {
    const id = this.#ids++;
    this.#inodes.set(inode, id);
    this.#files.set(id, { id, born, content, mtime, version: 0, pending: [] });
    return id;
  }

  #write(inode: number, write: Write): void {
    const file = this.#files.get(this.#inodes.get(inode)!)!;
    this.#files.set(file.id, { ...file, pending: [...file.pending, write] });
  }

  #sync(inode: number): void {
    const file = this.#files.get(this.#inodes.get(inode)!)!;
    if (file.pending.length === 0) return;
    const { content } = foundFile(file, file.pending.map(() => 1));
    this.#files.set(file.id, { ...file, content, mtime: undefined, version: file.version + 1, pending: [] });
  }

  #rename(change: Renaming["change"]): void {
    for (const [path, id] of change) id === undefined ? this.#names.delete(path) : this.#names.set(path, id);
    const [[path]] = change as [readonly [string, unknown]];
    if (change.every(([path]) => LOCK.test(path))) {
      for (const [path, id] of change) {
        id === undefined ? this.#durable.delete(path) : this.#durable.set(path, id);
      }
    } else {
      this.#pending.push({ folder: path.slice(0, path.lastIndexOf("/")), change });
    }
  }

  #syncFolder(folder: string): void {
    for (const { change } of this.#pending.filter((pending) => pending.folder === folder)) {
      for (const [path, id] of change) {
        id === undefined ? this.#durable.delete(path) : this.#durable.set(path, id);
      }
    }
    this.#pending = this.#pending.filter((pending) => pending.folder !== folder);
  }
}

/** Puts files below a folder in the place of those that are there. */
export function lay(root: string, files: ReadonlyMap<string, Found>): void {
  for (const path of filesBelow(root)) Deno.removeSync(path);
  const laid = new Map<number, string>();
  for (const [path, { id, born, content, mtime }] of files) {
    const same = laid.get(id);
    if (same !== undefined) {
      Deno.linkSync(same, path);
      continue;
    }
    laid.set(id, path);
    Deno.writeFileSync(path, content, { mode: 0o644 });
    Deno.utimeSync(path, mtime, mtime);
    makeBorn(path, born);
  }
}

function foundFile({ id, born, content, mtime, pending }: StoredFile, shares: readonly number[]): Found {
  let bytes = content;
  let changed = mtime === undefined;
  const size = (length: number) => {
    const next = new Uint8Array(length);
    next.set(bytes.subarray(0, Math.min(length, bytes.length)));
    bytes = next;
  };
  pending.forEach(({ kind, offset, data, length }, n) => {
    const share = shares[n] ?? 0;
    if (share === 0) return;
    changed = true;
    const part = share === 1 ? length : Math.floor(length * share / SECTOR) * SECTOR;
    switch (kind) {
      case "size":
        return size(length);
      case "grow":
        return length > bytes.length ? size(length) : undefined;
      case "zero":
        bytes = bytes.slice();
        bytes.fill(0, offset, Math.min(bytes.length, offset + part));
        return;
      case "data":
        if (offset + part > bytes.length) size(offset + part);
        else bytes = bytes.slice();
        bytes.set(data!.subarray(0, part), offset);
        return;
      default:
        return kind satisfies never;
    }
  });
  return { id, born, content: bytes, mtime: changed ? new Date() : mtime! };
}

function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesBelow(`${folder}/${name}`) : [`${folder}/${name}`]
  );
}
