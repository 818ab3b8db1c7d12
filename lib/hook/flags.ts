/** Which flag is whose: it names a target, and is meant for one session of a disk that has, or had, that target. */

import type { Config, ConfiguredDisk } from "../input/config.ts";
import {
  isHeld,
  isRecorded,
  isUnborn,
  isUnused,
  type ObservedDisk,
  stateOf,
  wishOf,
} from "../state/observed_disk.ts";
import { lastStart, type SessionRecord } from "../state/session_record.ts";
import { parse } from "../state/state.ts";

/**
 * A session in whose place the domain names another image for its target: the flag that is set there will be used up by that one's
 * session. It is this one's, too, if it was set before the guest last wrote to it; else nobody can tell.
 */
export function withItsFlag(
  disk: ObservedDisk,
  config: Pick<Config, "disks" | "changed"> | undefined,
): ObservedDisk {
  const isSet = config?.disks.some(({ target, commit }) => target === disk.target && commit);
  const isReplaced = disk.source === "other" || disk.renamed;
  if (!isSet || !isReplaced || stateOf(disk).kind !== "session" || !isRecorded(disk)) return disk;
  const isIts = !disk.renamed && isWrittenSince(config!, disk);
  return { ...disk, flag: isIts ? "set" : "unreadable" };
}

/** The flag of the target at which a disk's session began, where that is listed for another disk now. */
export function startFlagOf(
  record: SessionRecord | undefined,
  target: string,
  all: readonly ConfiguredDisk[],
): ObservedDisk["startFlag"] {
  if (record === undefined || record.idle || record.target === target) return undefined;
  const other = all.find((disk) => disk.target === record.target);
  return other && { target: record.target, isSet: other.commit };
}

/** What the flags say of a disk: of one that has a session, and another target since, only if both say the same. */
export function flagOf(
  commit: boolean,
  startFlag: ObservedDisk["startFlag"],
  { names, listing, record }: Pick<ObservedDisk, "names" | "listing" | "record">,
): Pick<ObservedDisk, "flag" | "startFlag"> {
  const state = parse(names, listing);
  const said = (isSet: boolean) => isSet ? "set" : "clear";
  if (startFlag === undefined || state.kind !== "session" && state.kind !== "committing") {
    return { flag: said(commit) };
  }
  if (state.kind === "committing") return { flag: said(startFlag.isSet), startFlag };
  // A mark that another host has left counts by itself.
  if (state.marked && !record?.flagged) return { flag: said(commit) };
  return { flag: commit === startFlag.isSet ? said(commit) : "unreadable", startFlag };
}

/**
 * Of which disks a flag is meant for the session that lies there: of all, if the configuration was there before the guest's last write
 * to any of its sessions; else of those that were written to together with one whose flag is. A guest's disks go on together.
 */
export function flagsMeant(
  config: Config | undefined,
  disks: readonly ObservedDisk[],
): (disk: ObservedDisk) => boolean {
  if (isBeforeLastWrite(config, disks)) return () => true;
  const goOn = disks.filter((disk) =>
    stateOf(disk).kind === "session" && wishOf(disk) === "set" && isHeld(disk)
  );
  const startOf = ({ record }: ObservedDisk) => record && lastStart(record);
  return (disk) => goOn.some((other) => startOf(other) === startOf(disk));
}

function isBeforeLastWrite(config: Config | undefined, disks: readonly ObservedDisk[]): boolean {
  if (config === undefined) return false;
  // What a start that was cut short has made is no write of the guest's, nor is what another guest writes to a detached disk.
  return disks.some((disk) =>
    !disk.firmware && disk.record !== undefined && disk.source === "same" && isWrittenSince(config, disk)
  );
}

function isWrittenSince({ changed }: Pick<Config, "changed">, disk: ObservedDisk): boolean {
  const { record, written = 0 } = disk;
  const isUsed = !isUnborn(disk) && (record === undefined || !isUnused(record));
  return stateOf(disk).kind === "session" && isUsed && changed < written;
}
