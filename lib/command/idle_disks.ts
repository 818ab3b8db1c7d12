/** What `undo` and `keep` have in common: an operation on disks of a guest that have no session, on all that are meant or on none. */

import { namedDisks } from "./guest.ts";
import {
  checkTargets,
  checkUnchanged,
  confirm,
  type GuestCommand,
  namesIn,
  onSameDisks,
  refuseAway,
  refuseBusy,
} from "./guest_command.ts";
import {
  checkEnded,
  type Idle,
  nothingFor,
  type Operation,
  renamedDisk,
  sessionsEnd,
  withOrder,
} from "./idle_operation.ts";
import { noteIdleDisks } from "./noteless_disks.ts";
import { asUserError, UserError, withContext } from "../errors.ts";
import { planCheckedRecovery } from "../hook/checked_recovery.ts";
import { configOf, updateRecords } from "../hook/context.ts";
import { isSaved } from "../hook/decide.ts";
import { startMerge } from "../hook/merge.ts";
import { interruptMerges, resumeMerges } from "../hook/merge_control.ts";
import { observeRecorded } from "../hook/observe.ts";
import { resumePending, withPending } from "../hook/pending_operation.ts";
import { otherFile } from "../hook/refusal.ts";
import * as files from "../host/files.ts";
import { readOwnRecords, readRecords, readRecordsInForce } from "../host/session_records.ts";
import { withCommits } from "../state/firmware_commits.ts";
import { holdPublished } from "../state/master_transitions.ts";
import { hasSuccessor, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { unfinished } from "../state/records_at_release.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * Has the operation done, after all questions are answered.
 *
 * After a crash it is done to no disk, or to all of them with the next event of the guest.
 */
export async function onIdleDisks(context: GuestCommand, work: Operation): Promise<void> {
  try {
    await askAndDo(context, work);
  } finally {
    // Those that made way for this go on, whatever became of it.
    await resumeMerges(readRecords(context.paths.note).map(({ image }) => image), context);
  }
}

async function askAndDo(given: GuestCommand, work: Operation): Promise<void> {
  const { domain, terminal } = given;
  let context = given;
  // Nobody's start or end waits for an answer.
  const asked = await withLocks(context, async () => {
    const interrupted = readRecordsInForce(context.paths.note).filter(({ pending }) =>
      pending?.verb === work.verb
    )
      .map(({ target }) => target);
    const done = await resumePending(context);
    if (!done.some(({ verb }) => verb === work.verb)) return await choose(work, context);
    terminal.print(`${domain}: ${work.verb} was interrupted before, and is completed now`);
    const targets = context.targets.filter((target) => !interrupted.includes(target));
    if (targets.length === 0) return undefined;
    context = { ...context, targets };
    return await choose(work, context);
  });
  if (asked === undefined) return;
  for (const target of await targetsLeft(asked, context)) {
    terminal.print(`${domain} ${target}: has ${work.others}, and stays as it is`);
  }
  for (const idle of asked) {
    const question = work.question(idle, asked);
    if (question !== undefined) confirm(`${domain} ${idle.disk.target}: ${question}?`, context);
  }
  await withLocks(context, async () => {
    const chosen = await choose(work, context);
    const again = `try again: ${onSameDisks(work.verb, context)}`;
    checkUnchanged(namesIn(disksOf(asked)), disksOf(chosen), again);
    await follow(chosen, work, context);
  });
}

/** The disks that are named, or all that are listed, as far as nothing is to be done to them. */
async function targetsLeft(asked: readonly Idle[], context: GuestCommand): Promise<string[]> {
  const listed = (await configOf(context))?.disks.map(({ target }) => target) ?? [];
  const all = context.targets.length > 0 ? context.targets : listed;
  const named = namedDisks(context);
  // One that goes by another target since is told by its file.
  const isAsked = (target: string) =>
    disksOf(asked).some((disk) =>
      disk.target === target ||
      named.some(({ file, ...other }) =>
        other.target === target && file !== undefined && files.sameFile(file, disk.names.image)
      )
    );
  return all.filter((target) => !isAsked(target));
}

async function withLocks<T>(context: GuestCommand, act: () => Promise<T>): Promise<T> {
  const { run, paths } = context;
  using _guest = await run.locks.guest();
  await noteIdleDisks(context);
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
    if (disk.renamed && context.targets.length > 0) throw renamedDisk(disk, work.verb, context);
  }
  for (const idle of chosen) {
    try {
      work.check?.(idle);
    } catch (error) {
      throw withContext(idle.disk.target, error);
    }
    if (work.verb === "keep" && !idle.disk.firmware) await checkEnded(idle, context);
  }
  for (const { disk } of chosen) if (!disk.firmware) await refuseBusy(disk, context);
  return chosen;
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
  const noted = readOwnRecords(paths.note);
  const records = withPending(
    work.verb === "keep"
      ? withCommits(noted, disksOf(chosen), context.host.now(), { isSetAside: true })
      : noted,
    work.verb,
    states,
  );
  await run.take("", [{ kind: "note", path: paths.note, records }]);
  try {
    await resumePending(context);
  } catch (error) {
    throw withOrder(work.verb, asUserError(error), context);
  }
  for (const { disk } of chosen) if (!disk.firmware) terminal.print(`${domain} ${disk.target}: ${work.done}`);
  await updateRecords(readOwnRecords(paths.note), context);
  await startMerge(chosen.flatMap(({ disk }) => disk.firmware ? [] : disk), context);
}

/** The guest's disks, or those that are meant, recovered and without a session. */
async function idleDisks({ verb }: Operation, context: GuestCommand): Promise<Idle[]> {
  const { run, paths, targets: meant } = context;
  const config = await configOf(context);
  const records = unfinished(readRecordsInForce(paths.note), (image) => run.listing(image));
  checkTargets(meant, [...config?.disks ?? [], ...records], context);
  const { stages, disks } = await planCheckedRecovery(
    observeRecorded(records, config, namedDisks(context)),
    context,
  );
  for (const { subject, steps } of stages) await run.take(subject, steps);
  // A disk that isn't listed is written to without a session.
  const isListed = ({ target, renamed }: ObservedDisk) =>
    renamed === true || config?.disks.some((disk) => disk.target === target) === true;
  // Firmware that is managed no more is let go by the next start.
  const isMeant = (disk: ObservedDisk) =>
    disk.firmware
      ? config === undefined || config.firmware === true
      : meant.length > 0
      ? meant.includes(disk.target)
      : isListed(disk);
  const all = disks.filter((disk) => isMeant(disk) && !hasSuccessor(disk, disks));
  refuseAway(`autorevert ${verb}`, all, context);
  return all.flatMap((disk) => {
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
