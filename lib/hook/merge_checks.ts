import { asUserError, UserError, withContext } from "../errors.ts";
import type { EventContext } from "./context.ts";
import {
  dataError,
  markedCorrupt,
  openElsewhere,
  rebase,
  rebaseReading,
  rebaseToNothing,
} from "./image_errors.ts";
import { checkMergeMarks } from "./marks.ts";
import { layerNamed, missingError, missingLayer } from "./layer_names.ts";
import * as files from "../host/files.ts";
import type { ImageInfo } from "../host/qemu_img.ts";
import { type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { folderOf, type Names } from "../state/paths.ts";
import type { State } from "../state/state.ts";
import { lowestPair } from "../state/merge_transitions.ts";
import { listed, quoted, shellWord, size } from "../text.ts";

export type Layered = Extract<State, { kind: "layered" }>;

/** A disk whose lowest two layers are to become one. */
export interface Job {
  readonly disk: ObservedDisk;
  readonly state: Layered;
  /** A merge of these layers was begun before and not finished. */
  readonly again: boolean;
}

/** How two layers become one. */
export type Way =
  /** The upper one is copied into the lower one, which takes its name. */
  | "copy"
  /** The same of files that stand on nothing: the content of the upper one replaces that of the lower one. */
  | "overwrite"
  /** The upper one stands on nothing: it is the whole disk, and the lower one can go. */
  | "drop";

/**
 * Asked before the lower layer is marked as torn: a merge that can't begin keeps no commit from being undone.
 *
 * @returns undefined if it can't; why has been reported
 */
export async function wayToBegin(job: Job, context: EventContext): Promise<Way | undefined> {
  try {
    checkMergeMarks(job.disk);
    const way = await wayToMerge(job, context);
    // Of one that goes on nobody can tell how much it has copied: counted anew, it might never be done.
    if (way === "copy" && !job.again) {
      await checkSpace(lowestPair(job.disk.names, job.state)!.upper, context);
    }
    return way;
  } catch (error) {
    context.run.report(withContext(job.disk.target, error));
    return undefined;
  }
}

/** @throws {UserError} if the layers can't become one as they are */
export async function wayToMerge(
  { disk, state, again }: Job,
  context: EventContext,
): Promise<Way> {
  const { names, firmware } = disk;
  const { lower, upper } = lowestPair(names, state)!;
  const { qemuImg } = context.host;
  if (firmware) {
    checkNames(lower, names, changes);
    await checkClosed(upper, disk, context);
    return "overwrite";
  }
  const [below, above] = [await qemuImg.info(lower), await qemuImg.info(upper)];
  // By the one that goes on without the merge that it was begun for.
  if (above.kind === "busy" && again) return "copy";
  if (above.kind === "busy") throw openElsewhere(upper);
  if (above.kind === "damaged") {
    throw damaged(upper, above, `take it back: autorevert undo ${shellWord(context.domain)}`);
  }
  await checkAbove(names, state, context);
  if (above.backing === undefined) {
    checkSnapshots(lower, below);
    return "drop";
  }
  if (!files.sameFile(above.backing, lower)) throw standsElsewhere(upper, above.backing, lower, names);
  if (below.kind === "damaged") throw damaged(lower, below, "restore it from a backup");
  checkData(lower, below);
  checkData(upper, above);
  checkSnapshots(upper, above);
  checkSize({ lower, upper }, below, above);
  checkNames(lower, names, changes);
  checkNames(upper, names, "it would stand on nothing after a merge");
  return "copy";
}

/** What a merge does to the other name of a file that it writes into. */
const changes = "what is merged into it would change there, too";

/** @throws {UserError} if a layer is another disk, too, or somebody's backup */
function checkNames(layer: string, { image }: Names, harm: string): void {
  const listing = files.list(image);
  const own = [...listing.keys()].filter((path) => listing.get(path) === listing.get(layer));
  if ((files.lstat(layer)?.nlink ?? 0) <= own.length) return;
  const word = shellWord(layer);
  // The image, or the mark of a merge: what is another file than its layer would be nobody's.
  const links = own.filter((path) => path !== layer).map((path) => ` && ln -f ${word} ${shellWord(path)}`);
  throw new UserError(
    `${quoted(layer)} has another name elsewhere, a hard link: ${harm}`,
    {
      hint:
        `find it: find "$(stat -c %m ${word})" -xdev -samefile ${word}; and remove it, or give the disk a file of its own: ` +
        `cp -a ${word} ${shellWord(`${layer}.own`)} && mv ${shellWord(`${layer}.own`)} ${word}${
          links.join("")
        }`,
    },
  );
}

/** @param otherwise what is left to do where it can't be mended */
function damaged(
  layer: string,
  { isMarked }: Extract<ImageInfo, { kind: "damaged" }>,
  otherwise: string,
): UserError {
  return isMarked
    ? markedCorrupt(layer, otherwise)
    : new UserError(`${quoted(layer)} is no readable qcow2 image`, {
      hint: `see what it is: qemu-img info ${shellWord(layer)}; and restore it, or ${otherwise}`,
    });
}

/**
 * The file that both become has the upper one's name: what stands on the two has to stand on that.
 *
 * @throws {UserError} if something stands on another file
 */
export async function checkAbove(
  names: Names,
  { layers, ended }: Layered,
  { host }: EventContext,
): Promise<void> {
  const [lower, upper, third, ...higher] = layers.map(names.layer);
  const above = [...third === undefined ? [] : [third], ...higher, ...ended ? [names.ended] : []];
  for (const file of above) {
    const look = await host.qemuImg.info(file);
    if (look.kind === "busy") throw openElsewhere(file);
    const backing = look.kind === "free" ? look.backing : undefined;
    const isRight = file === third
      ? look.kind === "free" && (backing === undefined || files.sameFile(backing, upper!))
      // After a blockpull it may stand on a lower layer than its name says; any but this one stays.
      : backing === undefined || !files.sameFile(backing, lower!);
    if (!isRight) throw standsElsewhere(file, backing, upper!, names);
  }
}

/** By what a layer shows that somebody wrote to it. */
export interface LayerStamp {
  readonly size: number | undefined;
  readonly written: number | undefined;
}

export function stampOf(layer: string): LayerStamp {
  const info = files.lstat(layer);
  return { size: info?.size, written: info?.mtime?.getTime() };
}

/**
 * What was written to the upper layer after it was copied would be gone with its name.
 *
 * @throws {UserError} if somebody has, or may do so
 */
export async function checkUnwritten(
  upper: string,
  copied: LayerStamp,
  disk: ObservedDisk,
  context: EventContext,
): Promise<void> {
  await checkClosed(upper, disk, context);
  const now = stampOf(upper);
  if (now.size === copied.size && now.written === copied.written) return;
  throw new UserError(
    `${quoted(upper)} was written to after it was merged: all names stay, and it is merged again`,
    { hint: `now: autorevert merge ${shellWord(context.domain)}`, healedBy: "event" },
  );
}

/** @throws {UserError} if a process may write to the layer */
async function checkClosed(
  layer: string,
  { firmware: isRaw = false }: ObservedDisk,
  { host }: EventContext,
): Promise<void> {
  if ((await host.qemuImg.info(layer, { isRaw })).kind === "busy") throw openElsewhere(layer);
}

/** A file that stands on another one than its name says. */
function standsElsewhere(file: string, backing: string | undefined, right: string, names: Names): UserError {
  const missing = missingLayer(names, backing);
  if (missing !== undefined) return missingError(file, missing);
  const named = backing === undefined ? undefined : layerNamed(names, backing);
  const isMoved = named === right && backing !== right;
  // After a blockcommit of lower layers, or a blockpull.
  const isLower = named !== undefined && named !== right && files.sameFile(backing!, named);
  return new UserError(
    `${quoted(file)} stands on ${backing === undefined ? "no file" : quoted(backing)}, should be ${
      quoted(right)
    }`,
    {
      hint: isMoved
        ? `if the layers were copied, moved or renamed together: ${rebase(file, right)}`
        : isLower
        ? `have it stand on that, and read as it does: ${rebaseReading(file, right)}`
        : `see what stands on what: qemu-img info -U --backing-chain ${shellWord(file)}`,
    },
  );
}

/**
 * Whether commits can be merged with a disk as its base is; told before there is any. Keeps nobody from opening it.
 *
 * @throws {UserError} if not
 */
export async function checkBase(disk: ObservedDisk, { host }: Pick<EventContext, "host">): Promise<void> {
  const state = stateOf(disk);
  const base = "layers" in state ? disk.names.layer(state.layers[0]) : disk.names.image;
  checkData(base, await host.qemuImg.info(base, { unlocked: true }));
}

/** @throws {UserError} if the layer has its data in another file */
function checkData(layer: string, look: ImageInfo): void {
  const error = dataError(layer, look);
  if (error !== undefined) throw error;
}

/** Only what a layer reads as is copied. The snapshots of one that is copied into stay. */
function checkSnapshots(layer: string, look: ImageInfo): void {
  if (look.kind !== "free" || look.snapshots === undefined) return;
  const [first] = look.snapshots;
  throw new UserError(
    `${quoted(layer)} has internal snapshots, which a merge would delete: ${listed(look.snapshots)}`,
    {
      hint: `delete them yourself: qemu-img snapshot -d ${shellWord(first!)} ${shellWord(layer)}; ` +
        `or keep the commit as it is with "keep-commits"`,
    },
  );
}

/** `qemu-img commit` leaves a larger file as large as it is: behind the end of the disk there would be old data again. */
function checkSize(
  { lower, upper }: { lower: string; upper: string },
  below: ImageInfo,
  above: ImageInfo,
): void {
  const [large, small] = [below, above].map((look) => look.kind === "free" ? look.virtualSize : undefined);
  if (large === undefined || small === undefined || small >= large) return;
  throw new UserError(
    `${quoted(upper)} holds a disk of ${size(small)}, smaller than ${quoted(lower)} with ${size(large)}`,
    {
      hint: `have it stand on nothing, which copies into it what it needs: ${rebaseToNothing(upper)}`,
    },
  );
}

/** What a copying that ran out of room lacks yet, at most. It has harmed nothing, and the next merge goes on with it. */
export async function explainCopyFailure(
  error: unknown,
  upper: string,
  context: EventContext,
): Promise<unknown> {
  const { message, subject } = asUserError(error);
  if (!message.includes("No space left on device")) return error;
  const lack = await checkSpace(upper, context).catch(asUserError);
  return new UserError(`${message}; the disk is in order`, {
    cause: error,
    hint: lack?.hint ?? `try again: autorevert merge ${shellWord(context.domain)}`,
    subject,
  });
}

/** The lower layer may grow by all that the upper one holds; half a merge helps nobody, and a full disk harms others. */
async function checkSpace(upper: string, { host, domain }: EventContext): Promise<void> {
  const needed = (files.lstat(upper)?.blocks ?? 0) * 512;
  const folder = folderOf(upper);
  const free = await host.freeBytes(folder);
  if (free >= needed) return;
  throw new UserError(
    `to merge ${quoted(upper)} up to ${size(needed)} are needed in ${quoted(folder)}, ${size(free)} are free`,
    { hint: `make room for ${size(needed - free)} more, then: autorevert merge ${shellWord(domain)}` },
  );
}
