import { asUserError, UserError } from "../errors.ts";
import { lstat } from "./files.ts";
import { within } from "./time_limit.ts";
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
 * @throws {UserError} if another process still holds it after `patience` milliseconds
 * @throws the reason of `stop`, once that is given
 */
export async function lock(path: string, { patience = PATIENCE, stop }: Wait = {}): Promise<Disposable> {
  stop?.throwIfAborted();
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
  } catch (cause) {
    throw new UserError(`cannot open the lock ${quoted(path)}: ${asUserError(cause).message}`, { cause });
  }
  // Asking takes no thread that waits; Deno 2.6 can't.
  const { tryLockSync } = file as { tryLockSync?: (exclusive: boolean) => boolean };
  if (tryLockSync?.call(file, true)) return file;
  const locked = file.lock(true);
  if (await within(patience, locked, stop) !== "late") return file;
  // The call goes on in a thread of its own, and may get the lock after all.
  locked.then(() => file.close(), () => {});
  stop?.throwIfAborted();
  throw new UserError(`another event holds ${quoted(path)} for more than ${patience / 1000} s`, {
    hint: "see in the log what it does, and try again when it is done",
    healedBy: "event",
  });
}

/** Long enough to take a lock that is free, in milliseconds. */
const MOMENT = 100;

/** Whether a process holds the lock now. */
export async function isHeld(path: string, lock: Lock): Promise<boolean> {
  if (lstat(path) === undefined) return false;
  try {
    (await lock(path, { patience: MOMENT }))[Symbol.dispose]();
    return false;
  } catch {
    return true;
  }
}
