/** What the commands that change a guest's configuration share: they do it as an administrator could with an editor. */

import { inspectGuest, namedDisks } from "./guest.ts";
import { checkTargets, type GuestCommand } from "./guest_command.ts";
import { goesOn, type InspectedDisk } from "./inspect.ts";
import { noteIdleDisks } from "./noteless_disks.ts";
import { messageLines, UserError, withContext } from "../errors.ts";
import { configOf } from "../hook/context.ts";
import { planCheckedRecovery } from "../hook/checked_recovery.ts";
import { flagsMeant } from "../hook/flags.ts";
import { interruptMerges, resumeMerges } from "../hook/merge_control.ts";
import { checkBase } from "../hook/merge_checks.ts";
import { observeRecorded } from "../hook/observe.ts";
import { resumePending } from "../hook/pending_operation.ts";
import { readOwnRecords, readRecords, readRecordsInForce } from "../host/session_records.ts";
import { type Config, type ConfiguredDisk, parseConfig } from "../input/config.ts";
import { type ObservedDisk, wishOf } from "../state/observed_disk.ts";
import { formatRecords, type PendingOperation } from "../state/session_record.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * What was cut short is completed before any change: a commit clears its flag with the next event, which tells it by the time of the
 * file, and an undo takes away what a command would work on.
 *
 * @returns the orders of an administrator that it has completed
 */
export async function finishRecovery(context: GuestCommand): Promise<readonly PendingOperation[]> {
  const { run, domain, paths, terminal } = context;
  await noteIdleDisks(context);
  const images = readRecords(paths.note).map(({ image }) => image);
  using _folders = await run.locks.folders(images);
  let done: readonly PendingOperation[] = [];
  if (readOwnRecords(paths.note).some(({ pending }) => pending !== undefined)) {
    await interruptMerges(context, images);
    done = await resumePending(context);
    const [first] = done;
    if (first !== undefined) terminal.print(`${domain}: ${first.verb} was interrupted, and is completed now`);
    await resumeMerges(images, context);
  }
  const config = await configOf(context);
  const disks = observeRecorded(readRecordsInForce(paths.note), config, namedDisks(context));
  for (const { subject, steps } of (await planCheckedRecovery(disks, context)).stages) {
    await run.take(subject, steps);
    terminal.print(`${domain} ${subject}: interrupted event completed`);
  }
  return done;
}

/** The disks that are meant, out of those that the configuration lists. */
export async function listedDisks(
  context: GuestCommand,
): Promise<{ config: Config; meant: readonly ConfiguredDisk[] }> {
  const { targets, paths } = context;
  const config = await configOf(context);
  if (config === undefined) {
    throw new UserError(`there is no configuration ${quoted(paths.config)} any more`, {
      hint: `make it again: autorevert enable ${shellWord(context.domain)} TARGET`,
    });
  }
  checkTargets(targets, [...config.disks, ...config.seats], context);
  const meant = config.disks.filter(({ target }) => targets.length === 0 || targets.includes(target));
  return { config, meant };
}

/** How these disks are now. */
export async function inspectListed(
  listed: readonly ConfiguredDisk[],
  context: GuestCommand,
): Promise<InspectedDisk[]> {
  const { disks, problem } = await inspectGuest(context);
  const unknown = { disk: undefined, condition: "attention", problem } as const;
  return listed.map(({ target }) => disks.find((disk) => disk.target === target) ?? { target, ...unknown });
}

/** A flag that is older than a session's last write is meant for that session: the file's time says so only until it is changed. */
export async function holdResumed(
  views: readonly InspectedDisk[],
  context: GuestCommand,
): Promise<void> {
  const { run, paths } = context;
  const isMeant = flagsMeant(await configOf(context), views.flatMap(({ disk }) => disk ?? []));
  const resumed = views.flatMap((view) => {
    const { condition, disk } = view;
    if (disk === undefined) return [];
    return goesOn(view) || condition === "running" && wishOf(disk) === "set" && isMeant(disk)
      ? disk.names.image
      : [];
  });
  const before = readOwnRecords(paths.note);
  const records = before.map((record) => resumed.includes(record.image) ? { ...record, held: true } : record);
  if (formatRecords(records) === formatRecords(before)) return;
  await run.take("", [{ kind: "note", path: paths.note, records }]);
}

/** Gives the guest's file another text, but never one that isn't valid. */
export async function configure(
  text: string | undefined,
  change: string,
  context: GuestCommand,
): Promise<void> {
  const { run, paths } = context;
  if (text !== undefined) await parseConfig(paths.config, text);
  await holdResumed((await inspectGuest(context)).disks, context);
  await run.take("", [{ kind: "configure", config: paths.config, text, change }]);
}

/** A disk with which no commit can be merged goes back well, but is nothing to commit to. */
export async function warnOfBase(disk: ObservedDisk, { host, domain }: GuestCommand): Promise<void> {
  try {
    await checkBase(disk, { host });
  } catch (error) {
    const [first, ...rest] = messageLines(withContext(domain, withContext(disk.target, error)));
    for (const line of [first!.replace(/^error/, "warning"), ...rest]) host.say(line);
  }
}
