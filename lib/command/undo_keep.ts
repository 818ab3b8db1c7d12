/** The commands on a guest's commits: `undo` and `keep`. */

import {
  checkTargets,
  confirm,
  described,
  type GuestCommand,
  isLive,
  namesIn,
  refuseBusy,
  tellSetAside,
} from "./guest_command.ts";
import { UserError, withContext } from "../errors.ts";
import { guestOf, namedDisks } from "./guest.ts";
import { configOf, updateRecords } from "../hook/context.ts";
import { planCheckedRecovery } from "../hook/checked_recovery.ts";
import { isSaved } from "../hook/decide.ts";
import { endDeadOnMasters, startMerge } from "../hook/merge.ts";
import { interruptMerges } from "../hook/merge_control.ts";
import { observeRecorded } from "../hook/observe.ts";
import { onTop, standingOn, tellStanding, wayOut } from "../hook/standing.ts";
import { resumePending, withPending } from "../hook/pending_operation.ts";
import { otherFile } from "../hook/refusal.ts";
import * as files from "../host/files.ts";
import { readOtherRecords, readOwnRecords, readRecords } from "../host/session_records.ts";
import { hasSuccessor, isTorn, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { unfinished } from "../state/records_at_release.ts";
import { imageOf, namesOf } from "../state/paths.ts";
import type { PendingOperation } from "../state/session_record.ts";
import { type State, topOf } from "../state/state.ts";
import { holdPublished } from "../state/master_transitions.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

type Layered = Extract<State, { kind: "layered" }>;

/** A disk that a command can work on. */
interface Idle {
  readonly disk: ObservedDisk;
  readonly state: Layered;
}

/**
 * Takes back the newest commit of a disk, or of each of the guest's disks that has one, and sets it aside.
 *
 * After a crash the commits are all there, or all taken back with the next event of the guest.
 *
 * @throws {UserError} if a session exists, a saved guest needs the commit, or it is already being merged
 */
export async function undo(context: GuestCommand): Promise<void> {
  await endDeadOnMasters(context);
  await onIdleDisks(context, {
    verb: "undo",
    // What was set aside with a disk goes with it, also of firmware that has no commit.
    applies: ({ state, disk }) => state.layers.length > 1 || disk.firmware === true && state.ended,
    nothing: "there is no commit that can be undone",
    key: "keep-commits",
    question: ({ disk, state }) => {
      const { names } = disk;
      const lost = state.ended
        ? `; the session that was set aside, ${described(names.ended)}, goes with it`
        : "";
      return `undo the commit ${described(names.layer(topOf(state.layers)))}${lost}`;
    },
    check: ({ disk, state }) => {
      // A merge that another guest of the image began has torn the same layer.
      const { record, names: { image } } = disk;
      checkSeats(image, state, context);
      const others = readOtherRecords(context.paths.note, [image]).filter((other) => other.image === image);
      if (state.layers.length === 2 && isTorn(state, [...record ? [record] : [], ...others])) {
        throw new UserError(
          "the commit is already being merged into the disk, and can't be undone any more",
          { hint: `to have the next ones kept: ${enableKeeping("keep-commits", context)}` },
        );
      }
    },
    done: "the last commit is undone: the next start begins with the disk as it was before",
  });
}

/** @throws {UserError} if a session stands on the newest commit, or it is published */
function checkSeats(image: string, state: Layered, context: GuestCommand): void {
  if (!state.master) return;
  const names = namesOf(image);
  const guest = shellWord(context.domain);
  if (state.published === topOf(state.layers)) {
    throw new UserError("the commit is the published version", {
      hint: `publish the one before it: autorevert publish --back ${guest}`,
    });
  }
  const standing = onTop(standingOn(names, context), state);
  if (standing.length === 0) return;
  const owners = standing.map(({ domain, file, how }) =>
    how === "unreadable note" ? undefined : domain ?? guestOf(imageOf(file) ?? file, context)
  );
  const seats = [...new Set(owners.flatMap((domain) => domain ?? []))].map(shellWord).join(" ");
  // What is set aside and no guest's is as unknown as all else that nobody tells of.
  const others = standing.filter((_, index) => owners[index] === undefined)
    .map((one) => one.how === "set aside" ? { ...one, how: "unknown" as const } : one);
  const ways = [
    seats && `end them first: virsh shutdown GUEST; a session that was saved, set aside or died: ` +
      `autorevert recover --discard GUEST; they are ${seats}`,
    wayOut(others),
  ];
  throw new UserError(`sessions stand on the commit: ${tellStanding(standing)}`, {
    hint: ways.filter(Boolean).join("; "),
  });
}

/**
 * Makes the last session, which was set aside, part of the disk, as if its flag had been set. After an undo that is what was undone,
 * and where no disk is named, nothing else.
 *
 * After a crash the sessions are all set aside, or all committed with the next event of the guest.
 *
 * @throws {UserError} if there is none, or a session exists
 */
export async function keep(context: GuestCommand): Promise<void> {
  await onIdleDisks(context, {
    verb: "keep",
    applies: ({ state }) => state.ended,
    among: (idle) => {
      const undone = idle.filter(({ disk }) => disk.firmware || disk.record?.undone);
      return context.targets.length > 0 || undone.every(({ disk }) => disk.firmware) ? idle : undone;
    },
    nothing: "no session was set aside",
    key: "keep-session",
    question: (idle) =>
      isWrittenSince(idle)
        ? "the disk was written to since the session was set aside, which may not fit to it any more. " +
          "Keep the session all the same"
        : undefined,
    done: "the last session is part of the disk now: the next start begins with it",
  });
  if (context.targets.length === 0) tellSetAside(context);
}

/** Deno tells when a file's names were changed in whole seconds, in milliseconds. */
const SECOND = 1000;

/** Whether somebody has written to the idle disk that the session which was set aside stands on. */
function isWrittenSince({ disk: { names, firmware }, state }: Idle): boolean {
  const written = files.lstat(names.layer(topOf(state.layers)))?.mtime?.getTime() ?? 0;
  const setAside = files.lstat(names.ended)?.ctime?.getTime() ?? Infinity;
  return !firmware && written >= setAside + SECOND;
}

interface Operation {
  readonly verb: PendingOperation["verb"];
  readonly applies: (idle: Idle) => boolean;
  /** Those that are meant, of the disks that it applies to. */
  readonly among?: (idle: Idle[]) => Idle[];
  /** What is said where it applies to no disk. */
  readonly nothing: string;
  /** The key of the configuration that makes it apply. */
  readonly key: "keep-commits" | "keep-session";
  /** Asked before something that can't be taken back for good. */
  readonly question: (idle: Idle) => string | undefined;
  /** Throws where it can't be done to a disk that it applies to. */
  readonly check?: (idle: Idle) => void;
  readonly done: string;
}

async function onIdleDisks(context: GuestCommand, work: Operation): Promise<void> {
  const { domain, terminal } = context;
  // Nobody's start or end waits for an answer.
  const asked = await withLocks(context, async () => {
    const done = await resumePending(context);
    if (!done.some(({ verb }) => verb === work.verb)) return await choose(work, context);
    terminal.print(`${domain}: ${work.verb} was interrupted before, and is completed now`);
    return undefined;
  });
  if (asked === undefined) return;
  for (const idle of asked) {
    const question = work.question(idle);
    if (question !== undefined) confirm(`${domain} ${idle.disk.target}: ${question}?`, context);
  }
  await withLocks(context, async () => {
    const chosen = await choose(work, context);
    if (namesIn(disksOf(chosen)) !== namesIn(disksOf(asked))) {
      throw new UserError("aborted: the disks changed while waiting for confirmation", {
        hint: `try again: autorevert ${work.verb} ${shellWord(domain)}`,
      });
    }
    await follow(chosen, work, context);
  });
}

async function withLocks<T>(context: GuestCommand, act: () => Promise<T>): Promise<T> {
  const { run, paths } = context;
  using _guest = await run.locks.guest();
  const images = readRecords(paths.note).map(({ image }) => image);
  using _folders = await run.locks.folders(images);
  await interruptMerges(context, images);
  return await act();
}

const disksOf = (idle: readonly Idle[]) => idle.map(({ disk }) => disk);

/** The disks that it is to be done to, each of them fit for it. */
async function choose(work: Operation, context: GuestCommand): Promise<Idle[]> {
  const found = (await idleDisks(work, context)).filter(work.applies);
  const chosen = work.among?.(found) ?? found;
  if (chosen.every(({ disk }) => disk.firmware)) throw await nothingFor(work, context);
  if (isSaved(context)) {
    throw new UserError("libvirt holds a managed save of the guest, which expects its disks as they are", {
      hint: `start it, or drop the save: virsh managedsave-remove ${shellWord(context.domain)}`,
    });
  }
  for (const { disk } of chosen) {
    if (disk.source === "other") throw otherFile(disk, context.domain);
    if (disk.renamed && context.targets.length > 0) throw renamedDisk(disk);
  }
  for (const idle of chosen) {
    work.check?.(idle);
    if (work.verb === "keep" && !idle.disk.firmware) await checkEnded(idle, context);
  }
  for (const { disk } of chosen) if (!disk.firmware) await refuseBusy(disk, context);
  return chosen;
}

function renamedDisk({ target, names: { image } }: ObservedDisk): UserError {
  return withContext(
    target,
    new UserError(`the disk that was ${target}, ${quoted(image)}, has another target now`, {
      hint: "start the guest and shut it down first: then its disks go by the targets that they have now",
    }),
  );
}

/** @throws {UserError} if the session that was set aside stands on another layer than the top: what lies above it would be lost */
async function checkEnded({ disk: { target, names }, state }: Idle, { host }: GuestCommand): Promise<void> {
  const look = await host.qemuImg.info(names.ended);
  const backing = look.kind === "free" ? look.backing : undefined;
  const top = names.layer(topOf(state.layers));
  // One that stands on nothing is a whole disk.
  const isWhole = look.kind === "free" && backing === undefined;
  if (isWhole || backing !== undefined && files.sameFile(backing, top)) return;
  throw withContext(
    target,
    new UserError(
      `the session that was set aside stands on ${
        backing === undefined ? "no readable file" : quoted(backing)
      }, not on the top layer ${quoted(top)}`,
      { hint: `see what stands on what: qemu-img info --backing-chain ${shellWord(names.ended)}` },
    ),
  );
}

async function follow(chosen: readonly Idle[], work: Operation, context: GuestCommand): Promise<void> {
  const { run, domain, paths, terminal } = context;
  const states = new Map(chosen.map(({ disk, state }) => [disk.names.image, state]));
  // What seats stand on is not the commit that is coming.
  for (const { disk: { target, names, byHand } } of chosen) {
    if (byHand && work.verb === "keep") {
      await run.take(target, holdPublished(names, run.listing(names.image), true));
    }
  }
  const records = withPending(readOwnRecords(paths.note), work.verb, states);
  await run.take("", [{ kind: "note", path: paths.note, records }]);
  await resumePending(context);
  for (const { disk } of chosen) if (!disk.firmware) terminal.print(`${domain} ${disk.target}: ${work.done}`);
  await updateRecords(readOwnRecords(paths.note), context);
  await startMerge(chosen.flatMap(({ disk }) => disk.firmware ? [] : disk), context);
}

async function nothingFor({ nothing, key }: Operation, context: GuestCommand): Promise<UserError> {
  const disks = (await configOf(context))?.disks ?? [];
  const isSet = disks.some(({ keepCommits, keepSession }) =>
    key === "keep-commits" ? keepCommits > 0 : keepSession
  );
  return new UserError(nothing, {
    ...!isSet && { hint: `to have the next ones kept: ${enableKeeping(key, context)}` },
  });
}

/** The command that sets this key for the disks that are meant. */
function enableKeeping(key: Operation["key"], { domain, targets }: GuestCommand): string {
  const words = ["autorevert", "enable", domain, ...targets].map(shellWord).join(" ");
  return key === "keep-commits" ? `${words} --keep-commits 1` : `${words} --keep-session`;
}

/** What ends the session that lies there, whatever state its guest is in. */
function sessionsEnd(verb: Operation["verb"], context: GuestCommand): string {
  const guest = shellWord(context.domain);
  if (isLive(context)) {
    return verb === "keep"
      ? `to have it kept at its end: autorevert commit ${guest}`
      : `end it first: virsh shutdown ${guest}`;
  }
  if (isSaved(context)) {
    return `start the guest and end it, or drop the save: virsh managedsave-remove ${guest}`;
  }
  return `end it first: ${recoverCommand("--keep|--discard", context.domain)}`;
}

/** The guest's disks, or those that are meant, recovered and without a session. */
async function idleDisks({ verb }: Operation, context: GuestCommand): Promise<Idle[]> {
  const { run, paths, targets: meant } = context;
  const config = await configOf(context);
  const records = unfinished(readOwnRecords(paths.note), (image) => run.listing(image));
  checkTargets(meant, [...config?.disks ?? [], ...records]);
  const { stages, disks } = await planCheckedRecovery(
    observeRecorded(records, config, namedDisks(context)),
    context,
  );
  for (const { subject, steps } of stages) await run.take(subject, steps);
  const isMeant = ({ target, firmware }: ObservedDisk) =>
    meant.length === 0 || firmware || meant.includes(target);
  return disks.filter((disk) => isMeant(disk) && !hasSuccessor(disk, disks)).flatMap((disk) => {
    const state = stateOf(disk);
    if (state.kind === "session") {
      throw withContext(
        disk.target,
        new UserError(`${quoted(disk.names.image)} is in a session, or was saved in one`, {
          hint: sessionsEnd(verb, context),
        }),
      );
    }
    return state.kind === "layered" ? [{ disk, state }] : [];
  });
}
