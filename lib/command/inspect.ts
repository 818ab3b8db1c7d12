import { asUserError, UserError, withContext } from "../errors.ts";
import {
  type EventContext,
  isBeingStarted,
  isOnlyAnnounced,
  lookingBy,
  mayBeStarting,
  readStart,
} from "../hook/context.ts";
import { decisionFor, isSaved, whyRefused } from "../hook/decide.ts";
import { checkMarks, checkMergeMarks } from "../hook/marks.ts";
import { isPaused } from "../hook/live_status.ts";
import { orphanError } from "../hook/merge_control.ts";
import { sourceOf } from "../hook/image_path.ts";
import { eventFacts } from "../hook/decide_start.ts";
import { announcedRestore, otherFile } from "../hook/refusal.ts";
import * as files from "../host/files.ts";
import { isHeld } from "../host/lock.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { type Decision, isRefusal } from "../state/decision_table.ts";
import { isTorn, isUnborn, nameOf, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { layerNumber } from "../state/paths.ts";
import { planRecovery } from "../state/recovery.ts";
import { probe } from "../state/transitions.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** A disk of a guest. */
export interface InspectedDisk {
  readonly target: string;
  /** Undefined where it can't even be told which image it is. */
  readonly disk: ObservedDisk | undefined;
  readonly condition: Condition;
  /** What keeps it from starting, or should be dealt with. */
  readonly problem: UserError | undefined;
  /** What the next start would do with it, where the table was asked. */
  readonly decision?: Decision;
}

/** How a disk is, by what happens to it next. */
export type Condition =
  | "clean"
  /** A guest runs on a session. */
  | "running"
  /** The guest runs on the disk itself: it was started before the disk was listed. */
  | "unprotected"
  /** Its session waits for a saved guest. */
  | "saved"
  /** A guest was saved to a file on its session, or has gone with it: set aside at the next start, unless that is a restore. */
  | "awaited"
  /** The same of a flagged session: it goes on at the next start, whichever that is. */
  | "goes on"
  /** Its session has gone to another host, and runs there. */
  | "elsewhere"
  /** A session died without a word, and goes at the next start. */
  | "reverts"
  /** A session died without a word, and is set aside at the next start: its flag may be meant for the one that begins then. */
  | "is set aside"
  /** A flagged session died, and goes on at the next start. */
  | "resumes"
  /** Something was cut short, and is finished at the next event. */
  | "cut short"
  | "attention";

/** A disk, and what stands against it. */
export interface FoundDisk {
  readonly target: string;
  readonly disk: ObservedDisk | undefined;
  readonly error?: unknown;
}

/** What the guest's files say besides its disks. */
interface Surroundings {
  /** Whether a disk's flag is for the session that lies there. */
  readonly isFlagMeant: (disk: ObservedDisk) => boolean;
  /** A disk after the recovery of them all, where a commit was cut short that takes others along. */
  readonly recovered: (disk: ObservedDisk) => ObservedDisk | undefined;
  /** The disks of the guest that runs. */
  readonly live: readonly DomainDisk[] | undefined;
}

/** Judges how a disk is. */
export async function inspectDisk(
  seen: FoundDisk,
  surroundings: Surroundings,
  context: EventContext,
): Promise<InspectedDisk> {
  const { target, disk } = seen;
  try {
    if (disk !== undefined) checkSource(disk, surroundings.live, context);
    if (disk === undefined || seen.error !== undefined) throw seen.error;
    return { target, disk, ...await judge(disk, surroundings, gently(context)) };
  } catch (error) {
    return { target, disk, condition: "attention", problem: asReadable(error) };
  }
}

/** A look locks an image for a moment, and QEMU would not wait for that when it opens its disks: a start would fail. */
function gently(context: EventContext): EventContext {
  if (!mayBeStarting(context)) return context;
  return lookingBy((image) => context.host.qemuImg.info(image, { unlocked: true }), context);
}

/** @throws what only root may read: nothing can be said of a guest then */
export function asReadable(error: unknown): UserError {
  const problem = asUserError(error);
  if (problem.cause instanceof Deno.errors.PermissionDenied) throw problem;
  return problem;
}

async function judge(
  disk: ObservedDisk,
  { isFlagMeant, recovered: withOthers, live }: Surroundings,
  context: EventContext,
): Promise<Pick<InspectedDisk, "condition" | "problem" | "decision">> {
  const fine = (condition: Condition, decision?: Decision) => ({
    condition,
    problem: undefined,
    ...decision && { decision },
  });
  const { stages, disks } = planRecovery([disk], context.paths);
  const recovered = withOthers(disk) ?? disks[0]!;
  const state = stateOf(recovered);
  const isCutShort = stages.length > 0 || state.kind !== stateOf(disk).kind ||
    disk.record?.pending !== undefined;
  // libvirt's file of a guest that runs outlives a QEMU that was killed together with libvirtd.
  const isUp = mayBeStarting(context) || isPaused(context.domain, context.host.settings);
  if (live && (isUp || await isOpen(disk, context))) {
    if (state.kind === "session" && disk.record) return fine("running");
    if (state.kind === "plain" || state.kind === "layered") return fine("unprotected");
  }
  // libvirt has no file of it until QEMU runs.
  if (!live && state.kind === "session" && disk.record && isBeingStarted(context)) {
    const isAnnounced = isOnlyAnnounced(readStart(context.paths)!) && !isSaved(context);
    return isAnnounced ? { condition: "attention", problem: announcedRestore(context) } : fine("running");
  }
  const isMerged = await isBeingMerged(recovered, context);
  if (isMerged && "layers" in state && !await isHeld(context.paths.merging, context.host.lock)) {
    return { condition: "attention", problem: orphanError(recovered.names.layer(state.layers[0])) };
  }
  if (!live && isElsewhere(recovered) && await isOpen(disk, context)) return fine("elsewhere");
  const start = isSaved(context) ? "resume" : "fresh";
  checkMergeMarks(recovered);
  checkMarks(recovered, start === "resume");
  const { decision, reason } = await decisionFor(
    recovered,
    context,
    eventFacts(
      recovered,
      { start, isFlagMeant: isFlagMeant(recovered), before: readStart(context.paths) },
      context,
    ),
  );
  // A merge has the top layer open if that is the one it merges, and the next start interrupts it.
  if (decision === "refuse: in use" && isMerged) return fine("clean");
  if (isRefusal(decision)) {
    return { condition: "attention", problem: await whyRefused(decision, recovered, context), decision };
  }
  // Its guest never came up: the next start begins with nothing else than a new one would.
  if (decision === "resume" && isUnborn(recovered)) return fine("clean", decision);
  const condition = conditionOf(decision, state.kind === "session", recovered.record?.waits === "saved");
  if (condition === "attention") {
    const problem = recovered.source === "other"
      ? otherFile(recovered, context.domain)
      : new UserError(`it is left as it is: ${reason}`, {
        hint: state.kind === "session"
          ? `to end its session: ${recoverCommand("--keep|--discard", context.domain, nameOf(recovered))}`
          : undefined,
      });
    return { condition, problem, decision };
  }
  return fine(isCutShort ? "cut short" : condition, decision);
}

/** Whether this host has let the session go to another one, or was to get it from there. */
function isElsewhere(disk: ObservedDisk): boolean {
  return stateOf(disk).kind === "session" &&
    (disk.record?.waits !== undefined || disk.record?.came === "migration");
}

/** @throws {UserError} if the guest that runs writes to another file: after an external snapshot, or a blockcopy */
function checkSource(disk: ObservedDisk, live: Surroundings["live"], { domain }: EventContext): void {
  const { target, names: { image } } = disk;
  if (live === undefined || sourceOf({ target, image }, live).source !== "other") return;
  const file = live.find((disk) => disk.target === target)?.file;
  if (file !== undefined && layerNumber(image, file) !== undefined) {
    throw new UserError(`the guest writes to ${quoted(file)} now, of which the session is a part`, {
      hint: `after a blockcommit: virsh shutdown ${shellWord(domain)}; its next start says how to go on`,
    });
  }
  throw new UserError(
    `the guest writes to ${
      file === undefined ? "no file" : quoted(file)
    } now, which may stand on the session ${quoted(image)}`,
    {
      hint:
        `after an external snapshot, bring it back into the session: virsh blockcommit ${
          shellWord(domain)
        } ${target} ` +
        `--base ${shellWord(image)} --top ${shellWord(file ?? "")} --active --pivot`,
    },
  );
}

/** @throws {UserError} if an idle image's folder has no hard links, as a start begins with. Changes nothing that lasts. */
export async function probeLinks(
  { target, names, listing }: ObservedDisk,
  { run }: EventContext,
): Promise<void> {
  const steps = probe(names, listing);
  await run.takeUnlogged(target, steps.slice(0, -1));
  const isOneFile = run.isDry || files.sameFile(names.image, names.probe);
  await run.takeUnlogged(target, steps.slice(-1));
  if (isOneFile) return;
  throw withContext(
    target,
    new UserError(`a hard link to ${quoted(names.image)} is not told as the same file`, {
      hint: "keep images on a file system that gives each file one inode number (ext4, xfs, btrfs, NFS, …)",
    }),
  );
}

/** Whether a `qemu-img` works on the merge of the lowest layers: a guest writes to the top, and only reads what is below. */
export async function isBeingMerged(disk: ObservedDisk, context: EventContext): Promise<boolean> {
  const { names, record } = disk;
  const state = stateOf(disk);
  if (!("layers" in state) || !isTorn(state, record ? [record] : [])) return false;
  // A start interrupts it.
  if (mayBeStarting(context)) return false;
  return (await context.host.qemuImg.info(names.layer(state.layers[0]))).kind === "busy";
}

async function isOpen({ names }: ObservedDisk, { host }: EventContext): Promise<boolean> {
  return (await host.qemuImg.info(names.image)).kind === "busy";
}

/** Whether the next start goes on with the disk's session, whichever that is. */
export function goesOn({ condition }: Pick<InspectedDisk, "condition">): boolean {
  return condition === "resumes" || condition === "goes on";
}

/** What the next start would do says how the disk is now. */
function conditionOf(decision: Decision, isSession: boolean, isSaved: boolean): Condition {
  switch (decision) {
    case "keep":
    case "put back":
      return "saved";
    case "resume":
      return isSaved ? "goes on" : "resumes";
    case "set aside, new session":
      return isSaved ? "awaited" : "is set aside";
    case "new session":
    case "discard":
      return isSession ? "reverts" : "clean";
    case "leave":
    case "leave to a person":
      return "attention";
    default:
      return "clean";
  }
}
