import { UserError, withContext } from "../errors.ts";
import { type EventContext, isBeingStarted } from "./context.ts";
import {
  checkAbove,
  checkUnwritten,
  explainCopyFailure,
  type Job,
  type Layered,
  type LayerStamp,
  stampOf,
  wayToMerge,
} from "./merge_checks.ts";
import { beginNext, type BegunJob, isPending, isUnderAnother, layered } from "./merge_choice.ts";
import { waitForOrphan, watchForInterrupt } from "./merge_control.ts";
import { noteDeadSeats } from "./seat_release.ts";
import { mergeBlock } from "./standing.ts";
import { reporter, type Watch } from "./merge_progress.ts";
import { isWrittenSince } from "./layer_writes.ts";
import * as files from "../host/files.ts";
import type { Control } from "../host/qemu_img.ts";
import { readRecords } from "../host/session_records.ts";
import type { ObservedDisk } from "../state/observed_disk.ts";
import { imageOf, namesOf } from "../state/paths.ts";
import { parse, type State } from "../state/state.ts";
import {
  copyToLower,
  dropLowest,
  lowestPair,
  renameMerged,
  settleMerged,
} from "../state/merge_transitions.ts";
import { quoted, size } from "../text.ts";

/** More layers than this are merged before the guest's end is over: QEMU's speed, and its limits, suffer. */
const DEEPEST = 16;

/** How long an end may take to merge them, in milliseconds: libvirt, and with it the whole host, waits for it. */
const END_PATIENCE = 60_000;
/** Beside guests that are up a merge copies only so much, in bytes per second: they shall hardly notice it. */
const GENTLY = 32 * 1024 * 1024;
/** Who wrote so short a time ago is up, in milliseconds: systems write something every few seconds. */
const JUST_NOW = 30_000;

/**
 * Merges the disks of a guest, one after the other, lowest pair first, until each has only the commits that are kept.
 *
 * It is a matter of space, never of meaning: cut short at any point, the disk reads the same, and doing it again
 * finishes it. It makes way for a start, within milliseconds, and what fails is reported and stays for the next time.
 * Guest and folders are locked only to choose, since copying takes long; then the layers are the merge's own.
 *
 * @param watch takes how far the merge of a disk is, in percent
 * @returns how it went; what failed has been reported
 */
export async function mergeGuest(
  context: EventContext,
  watch?: Watch,
): Promise<"done" | "waits" | "failed" | "interrupted"> {
  const { run, host, paths } = context;
  const failed = new Set<string>();
  const waiting = new Set<string>();
  await noteDeadOnMasters(context);
  while (true) {
    using locks = new DisposableStack();
    let job: BegunJob | "busy" | undefined;
    {
      using _guest = await run.locks.guest();
      // One whose disk is not listed any more opens the layers themselves.
      if (isBeingStarted(context)) {
        run.logInfo("", "the guest is being started: what waits is merged after its next end");
        return "interrupted";
      }
      job = await beginNext(context, { isWanted: isPending, failed, waiting }, locks);
    }
    if (job === "busy") {
      // Another merge of this guest is under way; what it leaves is looked at anew.
      (await host.lock(paths.merging, { patience: Infinity }))[Symbol.dispose]();
      continue;
    }
    if (job === undefined) return failed.size > 0 ? "failed" : waiting.size > 0 ? "waits" : "done";
    using interrupt = watchForInterrupt(paths.stop);
    try {
      const rate = rateFor(job.disk, context);
      await mergePair(job, context, { stop: interrupt.signal, rate }, watch);
    } catch (error) {
      if (interrupt.signal.aborted) {
        run.logInfo(job.disk.target, "merge interrupted by a start; resumes after the guest's next end");
        return "interrupted";
      }
      run.report(withContext(job.disk.target, error));
      failed.add(job.disk.names.image);
    }
  }
}

/**
 * Merges the disks of a guest that have more layers than QEMU takes well, before its end is over. The caller holds the
 * guest's lock.
 *
 * @param patience longest time for that, in milliseconds; what is left to merge is merged in the background
 */
export async function mergeExcess(context: EventContext, patience = END_PATIENCE): Promise<void> {
  const { run, paths } = context;
  if (!readRecords(paths.note).some(({ image }) => layersOf(image, context) > DEEPEST)) return;
  // Nothing reads through the versions of firmware: it has as many as the disks have commits.
  const isWanted = ({ firmware }: ObservedDisk, state: State | undefined): state is Layered =>
    !firmware && state?.kind === "layered" && state.layers.length > DEEPEST;
  const choice = { isWanted, failed: new Set<string>(), waiting: new Set<string>() };
  const late = AbortSignal.timeout(patience);
  while (true) {
    using locks = new DisposableStack();
    const job = await beginNext(context, choice, locks);
    if (job === undefined || job === "busy") return;
    const { disk: { target, names }, state } = job;
    run.logInfo(
      target,
      `warning: ${state.layers.length} layers, at most ${DEEPEST} are left for later: merging now`,
    );
    using interrupt = watchForInterrupt(paths.stop);
    try {
      await mergePair(job, context, { stop: AbortSignal.any([late, interrupt.signal]) });
    } catch (error) {
      if (late.aborted) {
        run.logInfo(target, `the merge takes more than ${patience / 1000} s, and goes on in the background`);
        return;
      }
      if (interrupt.signal.aborted) return;
      run.report(withContext(target, error));
      choice.failed.add(names.image);
    }
  }
}

function layersOf(image: string, { run }: EventContext): number {
  const state = parse(namesOf(image), run.listing(image));
  return "layers" in state ? state.layers.length : 0;
}

/** What died on the layers of the guest's disks keeps no merge waiting. The caller holds no lock. */
export async function noteDeadOnMasters(context: EventContext): Promise<void> {
  const { run, paths } = context;
  if (run.isDry) return;
  for (const { image } of readRecords(paths.note)) {
    const names = namesOf(image);
    const state = parse(names, run.listing(image));
    if ("layers" in state && state.master) await noteDeadSeats(names, context);
  }
}

/** Starts a merge as a process of its own, if one of these disks waits for it. */
export async function startMerge(disks: readonly ObservedDisk[], context: EventContext): Promise<void> {
  const { run, domain } = context;
  const waits = disks.some((disk) =>
    isPending(disk, layered(disk, context)) && !isUnderAnother(disk, context)
  );
  if (waits) await run.takeOrReport("", () => [{ kind: "background", domain }]);
}

/** A merge goes at full speed, unless another guest that is up would notice. */
function rateFor({ target, names }: ObservedDisk, { run, host, paths }: EventContext): number | undefined {
  const own = readRecords(paths.note).map(({ image }) => image);
  const isUp = (path: string) => {
    const written = files.writtenTime(path);
    return imageOf(path) === undefined && Math.abs(host.now().getTime() - written) < JUST_NOW;
  };
  const other = files.siblings(names.image).find((path) => !own.includes(path) && isUp(path));
  if (other === undefined) return undefined;
  run.logInfo(target, `merging at ${size(GENTLY)}/s: ${quoted(other)} is being written to`);
  return GENTLY;
}

async function mergePair(
  { way: begun, ...job }: BegunJob,
  context: EventContext,
  control: Control & { readonly stop: AbortSignal },
  watch?: Watch,
): Promise<void> {
  const { run } = context;
  const { disk, state, again } = job;
  const { target, names } = disk;
  const { lower, upper } = lowestPair(names, state)!;
  if (again && !disk.firmware) {
    await waitForOrphan(lower, context, { patience: Infinity, signal: control.stop });
  }
  const way = again ? await wayToMerge(job, context) : begun;
  const copied = way === "drop"
    ? await syncWhole(job, context)
    : way === "overwrite"
    ? await overwrite(job, context)
    : await copy(job, context, { ...control, progress: reporter(context, target, watch) });

  // Names change only under the folder's lock, after another look.
  using _folder = await run.locks.folders([names.image], control);
  const now = layered(disk, context);
  if (now?.layers.join() !== state.layers.join()) return;
  await checkUnwritten(upper, copied, disk, context);
  if (!disk.firmware) await checkAbove(names, now, context);
  const block = mergeBlock(names, now, context);
  if (block !== undefined) throw block;
  // The looks above take time, and another host has locks of its own.
  const last = run.listing(names.image);
  if (isBeingStarted(context)) throw startedMeanwhile(names.image);
  const isSame = layered(disk, context)?.layers.join() === state.layers.join() && !last.has(names.scratch);
  if (!isSame) {
    throw new UserError(`${quoted(names.image)} is being used by another host: it is merged later`);
  }
  await run.take(
    target,
    way === "drop" ? dropLowest(names, now) : renameMerged(names, now, isWrittenSince(names, upper)),
  );
}

function startedMeanwhile(image: string): UserError {
  return new UserError(`${quoted(image)} is about to be opened by its guest, which is being started`, {
    hint: "it is merged after the guest's next end",
    healedBy: "event",
  });
}

/** @returns the upper layer as it was when nobody else could write to it any longer */
async function copy(
  { disk, state, again }: Job,
  context: EventContext,
  control: Control,
): Promise<LayerStamp> {
  const { run, host } = context;
  const { target, names, owner } = disk;
  const { lower, upper } = lowestPair(names, state)!;
  const bytes = (files.lstat(upper)?.blocks ?? 0) * 512;
  const begun = host.now().getTime();
  // QEMU counts anew when it opens an image to write, but not when a commit begins to write to the one below: it would
  // give clusters away that are in use.
  const look = await host.qemuImg.info(lower);
  if (look.kind === "free" && look.isDirty) {
    await run.take(target, [{ kind: "repair", path: lower, what: "all" }], control);
  }
  try {
    await run.take(target, copyToLower(names, state, owner), control);
  } catch (error) {
    throw await explainCopyFailure(error, upper, context);
  }
  // qemu-img itself may have written to it, where it keeps bitmaps.
  const copied = stampOf(upper);
  await run.take(target, settleMerged(names, state, again), control);
  const seconds = (host.now().getTime() - begun) / 1000;
  run.logInfo(
    target,
    `merged ${size(bytes)} in ${seconds.toFixed(1)} s, ${size(bytes / Math.max(seconds, 0.001))}/s`,
  );
  return copied;
}

/** The same of firmware, which is small. */
async function overwrite({ disk, state }: Job, { run }: EventContext): Promise<LayerStamp> {
  const { target, names, owner } = disk;
  const { upper } = lowestPair(names, state)!;
  const found = stampOf(upper);
  await run.take(target, copyToLower(names, state, owner, { isWhole: true }));
  await run.take(target, settleMerged(names, state, false));
  run.logInfo(target, `merged ${quoted(upper)}`);
  return found;
}

/** The upper layer is on stable storage before anything goes. */
async function syncWhole(
  { disk: { target, names }, state }: Job,
  { run }: EventContext,
): Promise<LayerStamp> {
  const { upper } = lowestPair(names, state)!;
  const found = stampOf(upper);
  run.logInfo(target, `${quoted(upper)} stands on nothing: there is nothing to copy`);
  await run.take(target, [{ kind: "sync", path: upper }]);
  return found;
}
