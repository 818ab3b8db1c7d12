/**
 * The locks, the rule they follow, and the only place that takes them.
 *
 * | lock | only its holder may | held |
 * | --- | --- | --- |
 * | guest | change the guest's configuration and its note | for a whole event, command, or choice of a merge |
 * | folder | change a name beside an image that lies there, whichever guest's it is | from the first look at the images to the last change of what a note says of them |
 * | merging | write into layers | from the choice of a merge to its end |
 *
 * They are taken in this order, folders in the order of their locks' names, so that no two holders wait for each other.
 * A merge lets the folders go while it copies, and takes one again for the names: it alone holds `merging` then and waits
 * for a folder, so it gives up as soon as somebody asks it to make way. Whoever holds a folder may ask that, and no
 * other merge of its images begins, since it takes the folder to be chosen.
 *
 * {@link Locks.check} holds every step to this, wherever it is taken.
 */

import { asTrouble, Trouble } from "../errors.ts";
import { look } from "./files.ts";
import { quoted } from "../text.ts";

/** Longest wait for a lock, in milliseconds. */
const PATIENCE = 30_000;

/** How long somebody waits for a lock. */
export interface Wait {
  /** In milliseconds. */
  readonly patience?: number;
  /** Ends it at once. */
  readonly stop?: AbortSignal;
}

/** Takes a lock by its file's path: {@link lock}, or what a test has for it. */
export type Lock = (path: string, wait?: Wait) => Promise<Disposable>;

/**
 * Takes a lock, as flock(2) on a file that is made where it isn't there. It ends with the returned object or with the
 * process, however that dies; nothing has to be cleaned up.
 *
 * @throws {Trouble} if another process still holds it after `patience` milliseconds
 * @throws the reason of `stop`, once that is given
 */
export async function lock(path: string, { patience = PATIENCE, stop }: Wait = {}): Promise<Disposable> {
  stop?.throwIfAborted();
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
  } catch (cause) {
    throw new Trouble(`cannot open the lock ${quoted(path)}: ${asTrouble(cause).message}`, { cause });
  }
  const { promise: late, resolve: giveUp } = Promise.withResolvers<"late">();
  const timer = patience === Infinity ? undefined : setTimeout(() => giveUp("late"), patience);
  const abort = () => giveUp("late");
  stop?.addEventListener("abort", abort);
  const locked = file.lock(true);
  const outcome = await Promise.race([locked, late]);
  clearTimeout(timer);
  stop?.removeEventListener("abort", abort);
  if (outcome !== "late") return file;
  // The call goes on in a thread of its own, and may get the lock after all.
  locked.then(() => file.close(), () => {});
  stop?.throwIfAborted();
  throw new Trouble(`another event holds ${quoted(path)} for more than ${patience / 1000} s`, {
    hint: "see in the log what it does, and try again when it is done",
    heals: "event",
  });
}

/** Long enough to take a lock that is free, in milliseconds. */
const MOMENT = 100;

/** Whether a process holds the lock now. */
export async function isHeld(path: string, lock: Lock): Promise<boolean> {
  if (look(path) === undefined) return false;
  try {
    (await lock(path, { patience: MOMENT }))[Symbol.dispose]();
    return false;
  } catch {
    return true;
  }
}
