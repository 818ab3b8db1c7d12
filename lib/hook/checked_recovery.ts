import { type EventContext, type NotedStart, readStart } from "./context.ts";
import { inspectImage } from "./decide.ts";
import { madeAt } from "./observe.ts";
import { restoreMasterMarks } from "./master_mark.ts";
import { checkOwners, isOthersCommit } from "./session_owner.ts";
import { configVersion } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import type { Facts } from "../state/decision_table.ts";
import { isMadeForIt, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { endFirmware, joiningCommit, planRecovery, type Recovery } from "../state/recovery.ts";
import { topOf } from "../state/state.ts";

/**
 * What a cut-short event left, after a look at the sessions that would be committed with others. Changes nothing.
 *
 * @param start what is still noted of the guest's last start
 */
export async function planCheckedRecovery(
  disks: readonly ObservedDisk[],
  context: EventContext,
  start: NotedStart | undefined = readStart(context.paths),
): Promise<Recovery> {
  const { disks: found, stages } = restoreMasterMarks(disks, context);
  await checkOwners(found, context);
  const strangers = new Set<string>();
  for (const disk of joiningCommit(found)) {
    const look = await inspectImage(disk, context);
    if (look === "sound") continue;
    strangers.add(disk.names.image);
    context.run.logInfo(disk.target, `not committed with the guest's other disks: ${strange[look]}`);
  }
  const isFlagNewer = newerFlags(found, context);
  if (found.some(isFlagNewer)) {
    context.run.logInfo(
      "",
      "the configuration was changed since a commit was cut short: its flags are for the next session",
    );
  }
  const planned = planRecovery(found, context.paths, strangers, isFlagNewer);
  // Few guests have any: libvirt waits for each look.
  const isAlone = found.some(({ firmware }) => firmware) && files.lstat(context.paths.seats) === undefined;
  const isBegun = ({ names: { image } }: ObservedDisk) =>
    start?.by !== undefined && (files.lstat(image)?.mtime ?? new Date(0)) >= start.by.at;
  const recovery = withoutUsedFlags(isAlone ? endFirmware(planned, isBegun) : planned, context);
  return { ...recovery, stages: [...stages, ...recovery.stages] };
}

/**
 * A commit that was cut short here may have been finished by another host, which doesn't know whose flag it uses up. Where nothing
 * was written to the disk since the session began, it has come to nothing, and its session was thrown away by hand.
 */
function withoutUsedFlags(recovery: Recovery, { paths }: EventContext): Recovery {
  const noted = recovery.disks.filter((disk) =>
    disk.flag === "set" && disk.record?.flagVersion !== undefined &&
    isWrittenSince(disk, disk.record.started)
  );
  // The file is looked at only where there is something to compare: libvirt waits for each look.
  const version = noted.length > 0 ? configVersion(paths.config) : undefined;
  const used = noted.filter(({ record }) => record!.flagVersion === version);
  if (used.length === 0) return recovery;
  const targets = used.map(({ target }) => target);
  return {
    ...recovery,
    stages: [...recovery.stages, {
      subject: targets.join(" "),
      steps: [{ kind: "clear", config: paths.config, targets }],
    }],
    disks: recovery.disks.map((disk) => used.includes(disk) ? { ...disk, flag: "clear" } : disk),
  };
}

/** Whether an idle disk was written to since that time: by a session that was committed, or a merge of it. */
function isWrittenSince(disk: ObservedDisk, time: string): boolean {
  const { names: { image, layer } } = disk;
  const state = stateOf(disk);
  if (state.kind !== "plain" && state.kind !== "layered") return false;
  const top = state.kind === "plain" ? image : layer(topOf(state.layers));
  const made = madeAt(top);
  // A backup that was put back is neither the session nor an older file that it was merged into.
  if (made !== undefined && made >= Date.parse(time) && !isMadeForIt({ made, record: disk.record })) {
    return false;
  }
  return (files.lstat(top)?.mtime?.getTime() ?? Infinity) >= Date.parse(time);
}

/**
 * Whether the flag of a disk is in a later version of the configuration than that whose flags a cut-short commit uses up: those of its
 * disk, or where nothing is noted with that, of the others.
 */
function newerFlags(
  found: readonly ObservedDisk[],
  { paths }: EventContext,
): (disk: ObservedDisk) => boolean {
  const committing = found.filter((disk) => !disk.firmware && stateOf(disk).kind === "committing");
  if (committing.length === 0 || !found.some(({ flag }) => flag === "set")) return () => false;
  const now = configVersion(paths.config);
  const isNewer = (version: string | undefined) => version !== undefined && version !== now;
  // Of a session that is none of this host's, the flag is in another file.
  const isAnyNewer = committing.some((disk) => isOthersCommit(disk) || isNewer(disk.record?.flagVersion));
  return ({ flag, record }) =>
    flag === "set" && (record?.flagVersion === undefined ? isAnyNewer : isNewer(record.flagVersion));
}

const strange: Readonly<Record<Exclude<NonNullable<Facts["look"]>, "sound">, string>> = {
  busy: "it is open in another process",
  moved: "it stands on files with another path",
  replaced: "another file was put in the session's place",
  damaged: "it is no readable qcow2 image",
};
