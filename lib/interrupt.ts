import * as files from "./files.ts";
import type { Occasion } from "./hook.ts";
import { lock } from "./lock.ts";
import type { GuestNames } from "./names.ts";
import { quoted, shellWord, Trouble } from "./voice.ts";

/** How often a merge looks whether it is asked to stop, in milliseconds. */
const INTERVAL = 20;
/** How long it may take to stop, in milliseconds. */
const PATIENCE = 2_000;

/**
 * Asks a merge of the guest's disks, if there is one, to stop, and waits until it has. The caller holds the guest's
 * lock, so that no other merge begins.
 *
 * @throws {Trouble} if it doesn't within 2 s; then nothing has changed
 */
export async function interruptMerge({ merging, stop }: GuestNames): Promise<void> {
  // A file that is made with the first merge.
  if (files.look(merging) === undefined) return;
  files.write(stop, "", { durable: false });
  try {
    (await lock(merging, PATIENCE))[Symbol.dispose]();
  } catch (cause) {
    throw new Trouble(`the merge of this guest's disks does not stop within ${PATIENCE / 1000} s`, {
      cause,
      hint: "try again; the disks are in order, and the log tells how far the merge is",
      heals: "event",
    });
  } finally {
    files.removeIfThere(stop);
  }
}

/**
 * Waits for a `qemu-img` whose merge was killed: it copies on, and keeps everybody else from the layers. Without the
 * right to send signals nothing else can be done about it.
 *
 * @param patience longest time, in milliseconds
 * @throws {Trouble} if it goes on for longer, or as soon as `signal` is given
 */
export async function outliveOrphan(
  lower: string,
  { host }: Occasion,
  { patience = PATIENCE, signal }: { patience?: number; signal?: AbortSignal } = {},
): Promise<void> {
  const until = Date.now() + patience;
  while ((await host.qemuImg.look(lower)).kind === "busy") {
    signal?.throwIfAborted();
    if (Date.now() >= until) throw orphaned(lower);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

/** Why no start can come as long as that `qemu-img` copies on. */
export function orphaned(lower: string): Trouble {
  return new Trouble(`${quoted(lower)} is still written by the qemu-img of a merge that was killed`, {
    hint: `wait until it is done, or end it, which harms nothing: fuser -k ${shellWord(lower)}`,
    heals: "event",
  });
}

/** The other side: a signal that is given when somebody asks. */
export function watchForInterrupt(stop: string): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const timer = setInterval(() => {
    if (files.look(stop) !== undefined) controller.abort();
  }, INTERVAL);
  return { signal: controller.signal, [Symbol.dispose]: () => clearInterval(timer) };
}
