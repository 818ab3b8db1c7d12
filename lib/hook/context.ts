import { UserError } from "../errors.ts";
import { readConfig } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import type { QemuImg } from "../host/qemu_img.ts";
import type { Run } from "../host/run.ts";
import { readRecords, withSuperseded } from "../host/session_records.ts";
import { LONGEST_START, type ObservedDisk } from "../state/observed_disk.ts";
import type { GuestNames } from "../state/paths.ts";
import { unfinished } from "../state/records_at_release.ts";
import { formatRecords, type SessionRecord } from "../state/session_record.ts";
import { parseStart } from "../state/step.ts";
import { quoted, shellWord } from "../text.ts";

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

/** What libvirt holds as a managed save of the guest. */
export function managedSave(
  { host, domain }: { readonly host: Pick<Host, "settings">; readonly domain: string },
): Deno.FileInfo | undefined {
  return files.lstat(`${host.settings.saveFolder}/${domain}.save`);
}

/** Whether that is older than a session which has come from another host since: the guest was saved on another one. */
export function isSavedBefore({ record }: ObservedDisk, context: EventContext): boolean {
  const saved = record?.came === "migration" ? managedSave(context)?.mtime : undefined;
  return saved != null && saved.getTime() < Date.parse(record!.started);
}

/** What is noted of a start that is under way, if anything is. */
export function readStart({ starting }: GuestNames): ReturnType<typeof parseStart> | undefined {
  const text = files.read(starting);
  return text === undefined ? undefined : parseStart(text);
}

/**
 * How long the events of a guest that is up, or was, wait for a lock, in milliseconds: what another event commits may take minutes to
 * be on the disk. libvirt tells of an end once, and ends a guest whose hook fails when it has come up.
 */
export const PATIENT = { patience: 600_000 } as const;

/** How exactly a host knows when it was booted, in milliseconds. */
const SAME_BOOT = 5_000;

/** How long after its end a guest that goes back to a snapshot is started anew, in milliseconds: no other event comes between the two. */
export const AT_ONCE = 10_000;

/** A start that is, or was, under way. */
export type NotedStart = NonNullable<ReturnType<typeof readStart>>;

/** Whether libvirt has told of a restore, and of nothing after it. */
export function isOnlyAnnounced({ word, more }: NotedStart): boolean {
  return word === "resume" && !more.includes("prepared");
}

/** Whether libvirt is starting the guest, here or at another host: from its announcement on, and until it is up, or has failed. */
export function isBeingStarted(context: StartContext): boolean {
  return mayBeStarting(context) && readStart(context.paths)?.word !== "refused";
}

/** As {@link isBeingStarted}, or the start has been refused, which is also noted of one that has just begun. */
export function mayBeStarting(context: StartContext): boolean {
  const start = readStart(context.paths);
  if (start === undefined || isBeforeThisBoot(start, context)) return false;
  return ageOf(start, context) < (start.more.includes("reverted") ? AT_ONCE : LONGEST_START);
}

type StartContext = Pick<EventContext, "host" | "paths" | "begun">;

/** Whether another host has noted a start: both have one folder of configurations. */
export function isElsewhere({ by }: NotedStart, { host }: Pick<EventContext, "host">): boolean {
  return by !== undefined && by.host !== host.name();
}

/**
 * Where two hosts have one folder of configurations, a guest that one of them is starting is left to it: until its QEMU has opened
 * the images, nothing else tells that its session is in use.
 *
 * @throws {UserError} if another host is starting the guest
 */
export function checkElsewhere(context: EventContext): void {
  const start = readStart(context.paths);
  if (start?.by === undefined || !isElsewhere(start, context) || !isBeingStarted(context)) return;
  throw new UserError(`the host ${quoted(start.by.host)} is starting the guest`, {
    hint: `wait until it is up there, or has failed; if that host is dead: rm ${
      shellWord(context.paths.starting)
    }`,
    healedBy: "event",
  });
}

/**
 * Whether this host's last start of the guest was refused by {@link checkElsewhere}. Its end is still to come, and may be told when
 * the guest is up at the other host.
 */
export function isTurnedAway({ host, paths }: EventContext): boolean {
  const hosts = hostsTurnedAway(paths);
  return hosts.length > 0 && hosts.includes(host.name());
}

/** Notes it, or that it is over. The caller holds the guest's lock. */
export function noteTurnedAway({ run, host, paths }: EventContext, isAway: boolean): void {
  const hosts = hostsTurnedAway(paths);
  if (run.isDry || hosts.length === 0 && !isAway) return;
  const others = hosts.filter((name) => name !== host.name());
  const next = isAway ? [...others, host.name()] : others;
  if (next.length === hosts.length) return;
  if (next.length === 0) return files.removeIfThere(paths.turnedAway);
  files.write(paths.turnedAway, next.map((name) => `${name}\n`).join(""), { durable: false });
}

function hostsTurnedAway({ turnedAway }: GuestNames): string[] {
  return (files.read(turnedAway) ?? "").split("\n").filter((name) => name !== "");
}

/** Whether this host was booted since it noted a start: nothing came of that. */
export function isBeforeThisBoot({ by }: NotedStart, { host }: Pick<EventContext, "host">): boolean {
  return by?.host === host.name() && Math.abs(by.booted.getTime() - host.booted().getTime()) > SAME_BOOT;
}

/**
 * Whether the guest came up on a session since this host was booted, and no end of it was noted: that may have been a save.
 *
 * @param before what was still noted of the guest's last start: nothing, where it came up; a refusal, where nothing came of the next one
 */
export function lacksItsEnd(
  record: { readonly started: string; readonly continued?: string; readonly over?: true } | undefined,
  before: NotedStart | undefined,
  { host }: { readonly host: Pick<Host, "booted"> },
): boolean {
  const isUnbegun = before === undefined || before.word === "refused";
  return isUnbegun && record !== undefined && !record.over &&
    Date.parse(record.continued ?? record.started) >= host.booted().getTime();
}

/** How long ago a start was noted, in milliseconds; also where a clock was set back since. */
export function ageOf({ by }: NotedStart, { paths, begun }: StartContext): number {
  const at = by?.at ?? files.lstat(paths.starting)?.mtime ?? new Date(0);
  return Math.abs(begun.getTime() - at.getTime());
}

/** The configuration of a guest. */
export function configOf({ host, paths }: EventContext) {
  return readConfig(paths.config, host.settings.configOwner);
}

/**
 * Leaves in the note what is still pending of these records.
 *
 * @param shown what a dry run takes for the note as it is then
 * @returns whether that could be done
 */
export async function updateRecords(
  next: readonly SessionRecord[],
  { run, paths }: EventContext,
  shown = next,
): Promise<boolean> {
  return await run.takeOrReport("", () => {
    const left = unfinished(next, (image) => run.listing(image));
    const records = withSuperseded(paths.note, left);
    const now = run.isDry ? shown : readRecords(paths.note);
    return formatRecords(records) === formatRecords(now) ? [] : [{ kind: "note", path: paths.note, records }];
  });
}
