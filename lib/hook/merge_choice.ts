/** Which layers a merge takes next. */

import type { UserError } from "../errors.ts";
import { type EventContext, updateRecords } from "./context.ts";
import { planCheckedRecovery } from "./checked_recovery.ts";
import { lacksBase, leadsToLayer } from "./layer_names.ts";
import { restoreMasterMarks } from "./master_mark.ts";
import { type Job, type Layered, type Way, wayToBegin } from "./merge_checks.ts";
import { readableDisksIn } from "./definitions.ts";
import { mergeBlock } from "./standing.ts";
import { otherFile } from "./refusal.ts";
import { observeEach, observeRecorded, withFirmwareKept } from "./observe.ts";
import { resumePending } from "./pending_operation.ts";
import { readConfig } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import { readRecords, readRecordsInForce } from "../host/session_records.ts";
import { isTorn, type ObservedDisk } from "../state/observed_disk.ts";
import { parse, type State } from "../state/state.ts";
import { markMerge } from "../state/merge_transitions.ts";
import { flatten } from "../state/transitions.ts";

/** How long a merge tries whether the layers are free, in milliseconds: one that ends needs a folder that this one holds. */
const MOMENT = 100;

/** A merge whose layers are its own now. */
export interface BegunJob extends Job {
  readonly way: Way;
}

/** Which disks a merge is for. */
export interface Choice {
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
export async function beginNext(
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
    // Recovery has told why.
    if (lacksMark(job.disk, context)) {
      failed.add(image);
      continue;
    }
    const block = isUnderAnother(job.disk, context)
      ? otherFile(job.disk, context.domain)
      : mergeBlock(job.disk.names, job.state, context);
    if (block !== undefined) {
      tellBlock(block, job, context);
      waiting.add(image);
      continue;
    }
    const way = await wayToBegin(job, context);
    // Before the first byte is copied: from then on a commit on the lower layer can't be undone.
    const steps = () => way === "drop" ? [] : markMerge(job.disk.names, job.state);
    if (way !== undefined && await run.takeOrReport(job.disk.target, steps)) return { ...job, way };
    failed.add(image);
  }
  await updateRecords(readRecords(paths.note), context);
  return undefined;
}

async function jobsOf(context: EventContext, isWanted: Choice["isWanted"]): Promise<Job[]> {
  const { run, host, domain, paths } = context;
  const defined = readableDisksIn(host.settings.definedFolder, domain) ?? [];
  const config = await readConfig(paths.config, host.settings.configOwner);
  await resumePending(context);
  // A merge that was cut short may have left a disk without its image, which would look as if nothing were to merge.
  const found = observeRecorded(readRecordsInForce(paths.note), config, defined);
  for (const { subject, steps } of (await planCheckedRecovery(found, context)).stages) {
    await run.takeOrReport(subject, () => steps);
  }
  const jobs: Job[] = [];
  const recovered = found.map((disk) => ({ ...disk, listing: run.listing(disk.names.image) }));
  // Another guest of an image, or a path of its own, takes nothing from the commits that this one's firmware goes with.
  const all = observeEach(readRecords(paths.note), config, defined);
  for (const disk of withFirmwareKept(recovered, all)) {
    if (!isUnderAnother(disk, context)) await flattenIdle(disk, context);
    const state = layered(disk, context);
    if (isWanted(disk, state)) jobs.push({ disk, state, again: isTorn(state, [disk.record!]) });
  }
  return jobs;
}

/** A merge that waits has not failed: what it waits for starts it again. */
function tellBlock({ message, hint }: UserError, { disk: { target } }: Job, { run }: EventContext): void {
  run.logInfo(target, message);
  if (hint !== undefined) run.logInfo(target, `hint: ${hint}`);
}

/** Whether a disk has commits that wait to be merged: one whose merge has begun does, however many are to be kept. */
export function isPending({ keepCommits }: ObservedDisk, state: State | undefined): state is Layered {
  return state?.kind === "layered" && (state.layers.length - 1 > keepCommits || isTorn(state));
}

/** Whether the domain names a file in the disk's place that is one of its layers, or stands on one: no layer's name may go. */
export function isUnderAnother(disk: ObservedDisk, context: EventContext): boolean {
  if (disk.source !== "other") return false;
  const { liveFolder, definedFolder } = context.host.settings;
  return [liveFolder, definedFolder].some((folder) =>
    (readableDisksIn(folder, context.domain) ?? []).some(({ file, firmware }) =>
      !firmware && file !== undefined && leadsToLayer(file, disk.names, context)
    )
  );
}

/** A name that nothing needs goes. The caller holds the folder's lock. */
export async function flattenIdle(disk: ObservedDisk, context: EventContext): Promise<void> {
  await context.run.takeOrReport(disk.target, () => {
    const state = layered(disk, context);
    const steps = state && !lacksBase(disk.names, state, context) ? flatten(disk.names, state) : [];
    return steps.length > 0 && lacksMark(disk, context) ? [] : steps;
  });
}

/** Whether seats have the disk as master, and its mark, without which it looks like any other, is lost, and could not be made again. */
function lacksMark(disk: ObservedDisk, context: EventContext): boolean {
  const now = { ...disk, listing: context.run.listing(disk.names.image) };
  return restoreMasterMarks([now], context).stages.length > 0;
}

export function layered({ names }: ObservedDisk, { run }: EventContext): Layered | undefined {
  const state = parse(names, run.listing(names.image));
  return state.kind === "layered" ? state : undefined;
}
