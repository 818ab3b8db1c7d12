import { UserError } from "../errors.ts";
import type { EventContext } from "./context.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { otherGuests, readRecords } from "../host/session_records.ts";
import { type GuestNames, guestNames, namesOf } from "../state/paths.ts";
import { isTorn } from "../state/observed_disk.ts";
import { parse } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

/** How often a merge looks whether it is asked to stop, in milliseconds. */
const INTERVAL = 20;
/** How long it may take to stop, in milliseconds. */
const PATIENCE = 2_000;

/**
 * Asks the merges of these images, whichever guest they were begun for, to stop, and waits until they have. The caller
 * holds the locks of the images' folders, so that no other merge begins.
 *
 * @throws {UserError} if one doesn't within 2 s; then nothing has changed
 */
export async function interruptMerges(
  { run, host, domain, paths }: EventContext,
  images: readonly string[],
): Promise<void> {
  if (run.isDry) return;
  const others = otherGuests(paths.note, images).filter(({ records }) =>
    records.some(({ image }) => images.includes(image))
  );
  for (const guest of [domain, ...others.map(({ domain }) => domain)]) {
    await interruptMerge(guestNames(host.settings.configFolder, guest), host);
  }
}

/** Merges that were interrupted for a start go on where that is refused. */
export async function resumeMerges(
  images: readonly string[],
  { run, domain, paths }: EventContext,
): Promise<void> {
  await run.takeOrReport(
    "",
    () =>
      [{ domain, records: readRecords(paths.note) }, ...otherGuests(paths.note, images)]
        .filter(({ records }) =>
          records.some((record) =>
            images.includes(record.image) &&
            isTorn(parse(namesOf(record.image), run.listing(record.image)), [record])
          )
        )
        .map(({ domain }) => ({ kind: "background", domain })),
  );
}

async function interruptMerge({ merging, stop }: GuestNames, { lock }: Host): Promise<void> {
  // A file that is made with the first merge.
  if (files.lstat(merging) === undefined) return;
  files.touch(stop);
  try {
    (await lock(merging, { patience: PATIENCE }))[Symbol.dispose]();
  } catch (cause) {
    throw new UserError(`the merge that holds ${quoted(merging)} does not stop within ${PATIENCE / 1000} s`, {
      cause,
      hint: "try again; the disks are in order, and the log tells how far the merge is",
      healedBy: "event",
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
 * @throws {UserError} if it goes on for longer, or as soon as `signal` is given
 */
export async function waitForOrphan(
  lower: string,
  { host }: EventContext,
  { patience = PATIENCE, signal }: { patience?: number; signal?: AbortSignal } = {},
): Promise<void> {
  const until = Date.now() + patience;
  while ((await host.qemuImg.info(lower)).kind === "busy") {
    signal?.throwIfAborted();
    if (Date.now() >= until) throw orphanError(lower);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

/** Why no start can come as long as that `qemu-img` copies on, which may be that of another host's merge. */
export function orphanError(lower: string): UserError {
  const word = shellWord(lower);
  return new UserError(
    `${quoted(lower)} is still written by the qemu-img of a merge that was killed, or is another host's`,
    {
      // A guest that only reads from there is left alone.
      hint: `wait until it is done; or see whether it is here: fuser -v ${word}; and end it, which harms ` +
        `nothing: fuser -k -w ${word}`,
      healedBy: "event",
    },
  );
}

/** The other side: a signal that is given when somebody asks. */
export function watchForInterrupt(stop: string): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const timer = setInterval(() => {
    try {
      if (files.lstat(stop) !== undefined) controller.abort();
    } catch {
      // A disk that doesn't answer may do so the next time.
    }
  }, INTERVAL);
  return { signal: controller.signal, [Symbol.dispose]: () => clearInterval(timer) };
}
