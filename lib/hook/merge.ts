import { UserError, withContext } from "../errors.ts";
import { type EventContext, updateRecords } from "./context.ts";
import { planCheckedRecovery } from "./decide.ts";
import {
  checkAbove,
  checkUnwritten,
  explainCopyFailure,
  type Job,
  type Layered,
  type LayerStamp,
  stampOf,
  type Way,
  wayToBegin,
  wayToMerge,
} from "./merge_checks.ts";
import { waitForOrphan, watchForInterrupt } from "./merge_control.ts";
import { endDeadSeats } from "./seat_release.ts";
import { mergeBlock } from "./standing.ts";
import { reporter, type Watch } from "./merge_progress.ts";
import { observeRecorded, withFirmwareKept } from "./observe.ts";
import { resumePending } from "./pending_operation.ts";
import { readConfig } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import type { Control } from "../host/qemu_img.ts";
import { readOwnRecords, readRecords } from "../host/session_records.ts";
import type { ObservedDisk } from "../state/observed_disk.ts";
import { imageOf, namesOf } from "../state/paths.ts";
import { isTorn } from "../state/records.ts";
import { parse, type State } from "../state/state.ts";
import {
  copyToLower,
  dropLowest,
  flatten,
  lowestPair,
  markMerge,
  renameMerged,
  settleMerged,
} from "../state/transitions.ts";
import { quoted, size } from "../text.ts";

/** More layers than this are merged before the guest's end is over: QEMU's speed, and its limits, suffer. */
const DEEPEST = 16;

/** How long an end may take to merge them, in milliseconds: libvirt, and with it the whole host, waits for it. */
const END_PATIENCE = 60_000;
/** Beside guests that are up a merge copies only so much, in bytes per second: they shall hardly notice it. */
const GENTLY = 32 * 1024 * 1024;
/** Who wrote so short a time ago is up, in milliseconds: systems write something every few seconds. */
const JUST_NOW = 30_000;
/** How long a merge tries whether the layers are free, in milliseconds: one that ends needs a folder that this one holds. */
const MOMENT = 100;

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
  await endDeadOnMasters(context);
  while (true) {
    using locks = new DisposableStack();
    let job: BegunJob | "busy" | undefined;
    {
      using _guest = await run.locks.guest();
      job = await begin(context, { isWanted: isPending, failed, waiting }, locks);
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
    const job = await begin(context, choice, locks);
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

/** A merge whose layers are its own now. */
interface BegunJob extends Job {
  readonly way: Way;
}

/** Which disks a merge is for. */
interface Choice {
  readonly isWanted: (disk: ObservedDisk, state: State | undefined) => state is Layered;
  /** Images that have failed; takes those that can't be begun. */
  readonly failed: Set<string>;
  /** Takes the images whose merge waits for others who stand on the layers. */
  readonly waiting: Set<string>;
}

/**
 * Chooses what is merged next, and marks it. The caller holds the guest's lock.
 *
 * @param locks takes the lock of the layers, which is held from here to the end of the merge
 * @returns undefined if nothing is left that could be merged, `busy` if another merge of the guest is under way
 */
async function begin(
  context: EventContext,
  { isWanted, failed, waiting }: Choice,
  locks: DisposableStack,
): Promise<BegunJob | "busy" | undefined> {
  const { run, paths } = context;
  using _folders = await run.locks.folders(readRecords(paths.note).map(({ image }) => image));
  try {
    locks.use(await run.locks.merging({ patience: MOMENT }));
  } catch {
    return "busy";
  }
  // Whoever asked for this held a folder, and has got what it waited for, or is dead.
  if (!run.isDry) files.removeIfThere(paths.stop);
  for (const job of await jobsOf(context, isWanted)) {
    const { image } = job.disk.names;
    if (failed.has(image) || waiting.has(image)) continue;
    const block = mergeBlock(job.disk.names, job.state, context);
    if (block !== undefined) {
      tellBlock(block, job, context);
      waiting.add(image);
      continue;
    }
    const way = await wayToBegin(job, context);
    // Before the first byte is copied: from then on a commit on the lower layer can't be undone.
    const steps = () => way === "copy" ? markMerge(job.disk.names, job.state) : [];
    if (way !== undefined && await run.takeOrReport(job.disk.target, steps)) return { ...job, way };
    failed.add(image);
  }
  await updateRecords(readRecords(paths.note), context);
  return undefined;
}

/** What died on the layers of the guest's disks keeps no merge waiting. The caller holds no lock. */
export async function endDeadOnMasters(context: EventContext): Promise<void> {
  const { run, paths } = context;
  if (run.isDry) return;
  for (const { image } of readRecords(paths.note)) {
    const names = namesOf(image);
    const state = parse(names, run.listing(image));
    if ("layers" in state && state.master) await endDeadSeats(names, context);
  }
}

/** A merge that waits has not failed: what it waits for starts it again. */
function tellBlock({ message, hint }: UserError, { disk: { target } }: Job, { run }: EventContext): void {
  run.logInfo(target, message);
  if (hint !== undefined) run.logInfo(target, `hint: ${hint}`);
}

/** Starts a merge as a process of its own, if one of these disks waits for it. */
export async function startMerge(disks: readonly ObservedDisk[], context: EventContext): Promise<void> {
  const { run, domain } = context;
  const waits = disks.some((disk) => isPending(disk, layered(disk, context)));
  if (waits) await run.takeOrReport("", () => [{ kind: "background", domain }]);
}

/** Whether a disk has commits that wait to be merged. */
export function isPending({ keepCommits }: ObservedDisk, state: State | undefined): state is Layered {
  return state?.kind === "layered" && state.layers.length - 1 > keepCommits;
}

/** A name that nothing needs goes. The caller holds the folder's lock. */
export async function flattenIdle(disk: ObservedDisk, context: EventContext): Promise<void> {
  await context.run.takeOrReport(disk.target, () => {
    const state = layered(disk, context);
    return state ? flatten(disk.names, state) : [];
  });
}

async function jobsOf(context: EventContext, isWanted: Choice["isWanted"]): Promise<Job[]> {
  const { run, host, paths } = context;
  const config = await readConfig(paths.config, host.settings.configOwner);
  await resumePending(context);
  // A merge that was cut short may have left a disk without its image, which would look as if nothing were to merge.
  const found = observeRecorded(readOwnRecords(paths.note), config, []);
  for (const { subject, steps } of (await planCheckedRecovery(found, context)).stages) {
    await run.takeOrReport(subject, () => steps);
  }
  const jobs: Job[] = [];
  const recovered = found.map((disk) => ({ ...disk, listing: run.listing(disk.names.image) }));
  for (const disk of withFirmwareKept(recovered)) {
    await flattenIdle(disk, context);
    const state = layered(disk, context);
    if (isWanted(disk, state)) jobs.push({ disk, state, again: isTorn(state, [disk.record!]) });
  }
  return jobs;
}

/** A merge goes at full speed, unless another guest that is up would notice. */
function rateFor({ target, names }: ObservedDisk, { run, host, paths }: EventContext): number | undefined {
  const own = readRecords(paths.note).map(({ image }) => image);
  const isUp = (path: string) => {
    const written = files.lstat(path)?.mtime?.getTime() ?? 0;
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
  if (again) await waitForOrphan(lower, context, { patience: Infinity, signal: control.stop });
  const way = again ? await wayToMerge(job, context) : begun;
  const copied = way === "copy"
    ? await copy(job, context, { ...control, progress: reporter(context, target, watch) })
    : await syncWhole(job, context);

  // Names change only under the folder's lock, after another look.
  using _folder = await run.locks.folders([names.image], control);
  const now = layered(disk, context);
  if (now?.layers.join() !== state.layers.join()) return;
  if (!disk.firmware) {
    await checkUnwritten(upper, copied, context);
    await checkAbove(names, now, context);
  }
  const block = mergeBlock(names, now, context);
  if (block !== undefined) throw block;
  // The looks above take time, and another host has locks of its own.
  const last = run.listing(names.image);
  const isSame = layered(disk, context)?.layers.join() === state.layers.join() && !last.has(names.scratch);
  if (!isSame) {
    throw new UserError(`${quoted(names.image)} is being used by another host: it is merged later`);
  }
  await run.take(target, way === "copy" ? renameMerged(names, now) : dropLowest(names, now));
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

function layered({ names }: ObservedDisk, { run }: EventContext): Layered | undefined {
  const state = parse(names, run.listing(names.image));
  return state.kind === "layered" ? state : undefined;
}
