import { look } from "./files.ts";
import { folderLock, folderOf } from "./names.ts";
import { asTrouble, quoted, Trouble } from "./voice.ts";

/** Longest wait for a lock, in milliseconds. */
const PATIENCE = 30_000;

/**
 * Takes a lock, as flock(2) on a file that is made where it isn't there. It ends with the returned object or with the
 * process, however that dies; nothing has to be cleaned up.
 *
 * @throws {Trouble} if another process still holds it after `patience` milliseconds
 */
export async function lock(path: string, patience = PATIENCE): Promise<Disposable> {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
  } catch (cause) {
    throw new Trouble(`cannot open the lock ${quoted(path)}: ${asTrouble(cause).message}`, { cause });
  }
  const { promise: late, resolve: giveUp } = Promise.withResolvers<"late">();
  const timer = patience === Infinity ? undefined : setTimeout(() => giveUp("late"), patience);
  const outcome = await Promise.race([file.lock(true), late]);
  clearTimeout(timer);
  if (outcome === "late") {
    throw new Trouble(`another event holds ${quoted(path)} for more than ${patience / 1000} s`, {
      hint: "see in the log what it does, and try again when it is done",
      heals: "event",
    });
  }
  return file;
}

/** Long enough to take a lock that is free, in milliseconds. */
const MOMENT = 100;

/** Whether a process holds the lock now. */
export async function isHeld(path: string): Promise<boolean> {
  if (look(path) === undefined) return false;
  try {
    (await lock(path, MOMENT))[Symbol.dispose]();
    return false;
  } catch {
    return true;
  }
}

/**
 * Locks the folders of these images against other guests' events. A guest's own lock isn't enough where two guests
 * are configured for one image.
 */
export async function lockFolders(configFolder: string, images: readonly string[]): Promise<Disposable> {
  const locks = new DisposableStack();
  try {
    const folders = images.map((image) => look(folderOf(image))).filter((info) => info !== undefined);
    // In one order everywhere: two events that each wait for the other's lock would wait for ever.
    for (const path of [...new Set(folders.map((info) => folderLock(configFolder, info)))].sort()) {
      locks.use(await lock(path));
    }
  } catch (error) {
    locks.dispose();
    throw error;
  }
  return locks;
}
