import { readConfig } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import type { QemuImg } from "../host/qemu_img.ts";
import type { Run } from "../host/run.ts";
import { readRecords, withSuperseded } from "../host/session_records.ts";
import type { GuestNames } from "../state/paths.ts";
import { unfinished } from "../state/records.ts";
import { formatRecords, type SessionRecord } from "../state/session_record.ts";
import { parseStart } from "../state/step.ts";

/** An event of a managed guest, with what it needs to be dealt with. */
export interface EventContext {
  readonly run: Run;
  readonly host: Host;
  readonly domain: string;
  readonly paths: GuestNames;
  /** When libvirt called, before any lock was waited for. */
  readonly begun: Date;
  /** Shutoff reason; `-` where libvirt gives none. */
  readonly extra: string;
}

/** The same context, with another way to look at images. */
export function lookingBy(info: QemuImg["info"], context: EventContext): EventContext {
  const { host } = context;
  return { ...context, host: { ...host, qemuImg: { ...host.qemuImg, info } } };
}

/** A guest with none of these files is none of our business. */
export function isManaged({ config, note, seats }: GuestNames): boolean {
  return [config, note, seats].some((path) => files.lstat(path) !== undefined);
}

/** What is noted of a start that is under way, if anything is. */
export function readStart({ starting }: GuestNames): ReturnType<typeof parseStart> | undefined {
  const text = files.read(starting);
  return text === undefined ? undefined : parseStart(text);
}

/** A start takes no longer, in milliseconds, unless it was cut short with its host. */
const LONGEST_START = 600_000;

/** Whether libvirt is starting the guest: from its `prepare` on, and until it is up, or has failed. */
export function isBeingStarted({ host, paths }: EventContext): boolean {
  const start = readStart(paths);
  if (start === undefined || start.word === "refused") return false;
  const noted = files.lstat(paths.starting)?.mtime?.getTime() ?? 0;
  return Math.abs(host.now().getTime() - noted) < LONGEST_START;
}

/** The configuration of a guest. */
export function configOf({ host, paths }: EventContext) {
  return readConfig(paths.config, host.settings.configOwner);
}

/**
 * Leaves in the note what is still pending of these records.
 *
 * @param shown what a dry run takes for the note as it is then
 */
export async function updateRecords(
  next: readonly SessionRecord[],
  { run, paths }: EventContext,
  shown = next,
): Promise<void> {
  await run.takeOrReport("", () => {
    const left = unfinished(next, (image) => run.listing(image));
    const records = withSuperseded(paths.note, left);
    const now = run.isDry ? shown : readRecords(paths.note);
    return formatRecords(records) === formatRecords(now) ? [] : [{ kind: "note", path: paths.note, records }];
  });
}
