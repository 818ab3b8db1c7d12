import { UserError, withContext } from "../errors.ts";
import { configOf, type EventContext, managedSave, readStart } from "./context.ts";
import { beginSessions } from "./begin_sessions.ts";
import type { Start } from "./decide_start.ts";
import { startThatBegins } from "./start_kind.ts";
import { interruptMerges, resumeMerges } from "./merge_control.ts";
import { imagesAtPrepare, observeAtPrepare } from "./observe.ts";
import { withoutSeats } from "./seat_claims.ts";
import { makeSeats } from "./seat_prepare.ts";
import { resumePending } from "./pending_operation.ts";
import * as files from "../host/files.ts";
import { startStamp } from "../host/host.ts";
import { readSeats } from "../host/seat_records.ts";
import { readOwnRecords, readRecords } from "../host/session_records.ts";
import { type DomainDisk, parseDisks } from "../input/domain_xml.ts";
import { formatStart, startingStep } from "../state/step.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * A start: every listed disk gets its session, or the start is refused and no disk has changed.
 *
 * After a crash the next event of the guest finishes it or takes it back: libvirt calls `release` for a start that
 * failed, and the next start recovers.
 */
export async function prepare(context: EventContext): Promise<0 | 1> {
  const { run, paths } = context;
  try {
    await begin(context);
    return 0;
  } catch (error) {
    run.report(error);
    await run.takeOrReport("", () => [startingStep(paths, "refused")]);
    return 1;
  }
}

async function begin(context: EventContext): Promise<void> {
  const { run, host, paths } = context;
  const before = readStart(paths);
  const start = startThatBegins(before, context);
  const isCutShort = start === "fresh" &&
    (before?.word === "migrate" || before?.more.includes("incoming") === true);
  const config = await configOf(context);
  const disks = parseDisks(host.readXml());
  // What was there of it is gone since the guest's lock was waited for: it is none of our business any more.
  if (
    config === undefined && files.lstat(paths.note) === undefined && files.lstat(paths.seats) === undefined
  ) return;
  // Until it is noted what this start does, its end must change nothing: a hook that is killed says no more.
  const more = start === "migrate" ? ["incoming"] as const : [];
  if (!run.isDry) {
    files.write(paths.starting, formatStart({ word: "refused", more, by: startStamp(host) }), {
      durable: false,
    });
  }
  if (start === "resume") checkManagedSave(context);
  const seats = await makeSeats({ start, before, isCutShort, config, disks }, context);
  try {
    const isMixed = (config?.disks ?? []).length > 0 || config?.firmware === true ||
      files.lstat(paths.note) !== undefined;
    if (seats === undefined || isMixed) {
      await beginManaged({ start, before, isCutShort, config, seats }, disks, context);
    } else await seats.finish([]);
  } catch (error) {
    await seats?.undo();
    throw error;
  }
}

/**
 * A session may have come from another host since libvirt has saved the guest on this one, or where hosts share the notes, have been begun
 * there.
 *
 * @throws {UserError} if so: its memory does not fit that
 */
function checkManagedSave(context: EventContext): void {
  const { host, domain, paths } = context;
  const saved = managedSave(context)?.mtime?.getTime();
  if (saved === undefined) return;
  const sessions = [...readOwnRecords(paths.note).filter(({ idle }) => !idle), ...readSeats(paths.seats)];
  const later = sessions.find((record) =>
    (record.came === "migration" || record.host !== undefined && record.host !== host.name()) &&
    Date.parse(record.started) > saved && files.lstat(record.image) !== undefined
  );
  if (later === undefined) return;
  const [name, by] = [
    shellWord(domain),
    later.host === undefined ? "another host" : `the host ${quoted(later.host)}`,
  ];
  throw withContext(
    later.target,
    new UserError(`${by} has begun a session since libvirt has saved the guest here`, {
      hint:
        `end that there: autorevert recover --keep|--discard ${name}; or give the saved guest up: virsh managedsave-remove ${name}`,
    }),
  );
}

/** The start of the disks that are managed for themselves. */
async function beginManaged(
  { isCutShort, ...from }: Start & { readonly isCutShort: boolean },
  disks: readonly DomainDisk[],
  context: EventContext,
): Promise<void> {
  const { run, host, domain, paths } = context;
  const { config } = from;
  const images = imagesAtPrepare(domain, config, disks, readRecords(paths.note), host.settings);
  using _folders = await run.locks.folders(images);
  await interruptMerges(context, images);
  try {
    await resumePending(context);
    // A guest that was to come and never came up has left its session to its own host.
    const own = readOwnRecords(paths.note).filter(({ visits }) => visits === undefined || !isCutShort);
    const records = withoutSeats(own, config, disks, context).map((record) => withDoubt(record, context));
    const found = observeAtPrepare(domain, config, disks, records, host.settings);
    // A dry run looks at what the operations that were pending have come to.
    const observed = run.isDry
      ? found.map((disk) => ({ ...disk, listing: run.listing(disk.names.image) }))
      : found;
    await beginSessions(observed, records, from, context);
  } catch (error) {
    await resumeMerges(images, context);
    throw error;
  }
}

/**
 * A session that was written to in this boot, in which this host has not noted anything of its guest, has gone on at another host by
 * its mark, or without this hook, or was mended by hand. Nobody can tell whether it is to be kept.
 */
function withDoubt(record: SessionRecord, { host, paths }: EventContext): SessionRecord {
  if (record.idle) return record;
  const booted = host.booted().getTime();
  if (files.writtenTime(paths.note) >= booted || files.writtenTime(record.image) <= booted) return record;
  return { ...record, waits: record.waits ?? true };
}
