/** Disks whose files say what they are, though no note tells of them: they came from another host, or the note was moved away. */

import { namedDisks } from "./guest.ts";
import type { GuestCommand } from "./guest_command.ts";
import { configOf } from "../hook/context.ts";
import { observeAtPrepare } from "../hook/observe.ts";
import { readOtherRecords, readOwnRecords, readRecordsInForce } from "../host/session_records.ts";
import type { ObservedDisk } from "../state/observed_disk.ts";
import { newRecord } from "../state/records_at_prepare.ts";
import { parse } from "../state/state.ts";

/**
 * Notes the listed disks that have commits or a session set aside, and no session, of which no guest's note tells. The caller holds the
 * guest's lock.
 *
 * After a crash they are noted, or not.
 */
export async function noteIdleDisks(context: GuestCommand): Promise<void> {
  const { run, host, paths } = context;
  const records = readOwnRecords(paths.note);
  const unknown = (await disksAtNextStart(context)).filter(({ record }) => record === undefined);
  if (unknown.length === 0) return;
  using _folders = await run.locks.folders(unknown.map(({ names }) => names.image));
  const others = readOtherRecords(paths.note, unknown.map(({ names }) => names.image));
  const idle = unknown.filter((disk) => {
    const state = parse(disk.names, run.listing(disk.names.image));
    return (state.kind === "layered" || state.kind === "plain" && state.ended) &&
      others.every(({ image }) => image !== disk.names.image);
  });
  if (idle.length === 0) return;
  const added = idle.map((disk) => ({ ...newRecord(disk, host.now(), others), idle: true as const }));
  await run.take("", [{ kind: "note", path: paths.note, records: [...records, ...added] }]);
}

/** The listed disks as a start would find them. Of a guest whose next start is refused for another reason there are none: `check` tells that. */
export async function disksAtNextStart(context: GuestCommand): Promise<ObservedDisk[]> {
  try {
    const config = await configOf(context);
    const records = readRecordsInForce(context.paths.note);
    return observeAtPrepare(context.domain, config, namedDisks(context), records, context.host.settings);
  } catch {
    return [];
  }
}
