import type { Command } from "./arguments.ts";
import { namedDisks } from "./guest.ts";
import type { Terminal } from "./terminal.ts";
import { UserError, withContext } from "../errors.ts";
import { configOf, type EventContext, isBeingStarted, isOnlyAnnounced, readStart } from "../hook/context.ts";
import { isSaved } from "../hook/decide.ts";
import { guestOf } from "../hook/definitions.ts";
import { openElsewhere } from "../hook/image_errors.ts";
import { announcedRestore } from "../hook/refusal.ts";
import { isPaused } from "../hook/live_status.ts";
import { observeRecorded } from "../hook/observe.ts";
import * as files from "../host/files.ts";
import { readRecordsInForce } from "../host/session_records.ts";
import { isAway, nameOf, type ObservedDisk } from "../state/observed_disk.ts";
import { parse } from "../state/state.ts";
import { listed, nearest, quoted, shellWord, size } from "../text.ts";

/** A command that works on one guest. */
export interface GuestCommand extends EventContext {
  readonly terminal: Terminal;
  /** The disks that are meant; none of them: all that it applies to. */
  readonly targets: readonly string[];
  readonly options: Command["options"];
}

/** Another command, on the disks that this one is for. */
export function onSameDisks(
  command: string,
  { domain, targets }: Pick<GuestCommand, "domain" | "targets">,
): string {
  return ["autorevert", command, ...[domain, ...targets].map(shellWord)].join(" ");
}

/** The options that were given, as they are typed, but for the answer to questions that are others elsewhere. */
export function optionWords({ options }: Pick<GuestCommand, "options">): string[] {
  return [...options].filter(([name]) => name !== "yes")
    .flatMap(([name, value]) => value === "" ? [`--${name}`] : [`--${name}`, shellWord(value)]);
}

/** @throws {UserError} if one of the targets isn't among these disks: those that are managed, or could be */
export function checkTargets(
  targets: readonly string[],
  disks: readonly { readonly target: string }[],
  context: GuestCommand,
): void {
  const known = [...new Set(disks.map(({ target }) => target))];
  for (const target of targets) {
    if (known.includes(target)) continue;
    if (namedDisks(context).some((disk) => disk.target === target && !disk.firmware)) {
      throw withContext(
        target,
        new UserError(`it is not configured, configured is ${listed(known)}`, {
          hint: `to configure it: ${onSameDisks("enable", { domain: context.domain, targets: [target] })}`,
        }),
      );
    }
    const meant = nearest(target, known);
    throw new UserError(`the guest has no disk ${quoted(target)}, it has ${listed(known)}`, {
      ...meant !== undefined && { hint: `did you mean ${quoted(meant)}?` },
    });
  }
}

/** @throws {UserError} if all disks are meant, and nothing of one of these can be seen: what is done must be done to it, too */
export function refuseAway(
  command: string,
  disks: readonly ObservedDisk[],
  { domain, targets }: GuestCommand,
): void {
  const away = targets.length > 0 ? undefined : disks.find(isAway);
  if (away === undefined) return;
  const others = disks.filter((disk) => !isAway(disk) && !disk.firmware).map(nameOf);
  const words = [...command.split(" "), domain, ...others].map(shellWord).join(" ");
  throw withContext(
    away.target,
    new UserError(`there is no image ${quoted(away.names.image)}, and its folder may not be mounted`, {
      hint: `mount it first${others.length > 0 ? `; or leave that disk as it is: ${words}` : ""}`,
    }),
  );
}

/** @throws {UserError} unless the answer is yes */
export function confirm(question: string, { options, terminal }: GuestCommand): void {
  if (options.has("yes") || terminal.confirm(question)) return;
  throw new UserError("nothing was changed: the question was not answered with yes", {
    hint: "where nobody can answer, use --yes",
  });
}

/** @throws {UserError} if another process has the image open */
export async function refuseBusy({ target, names }: ObservedDisk, context: GuestCommand): Promise<void> {
  const { kind } = await context.host.qemuImg.info(names.image);
  // A guest that is paused after its migration holds no lock.
  const isUp = isLive(context) && isPaused(context.domain, context.host.settings);
  if (kind !== "busy" && !isUp) return;
  const error = isLive(context)
    ? new UserError(`the guest runs on ${quoted(names.image)}`, {
      hint: `end it first: virsh shutdown ${shellWord(context.domain)}`,
    })
    : openElsewhere(names.image);
  throw withContext(target, error);
}

/** @throws {UserError} for a command on commits of a guest's seats: it says where those are made */
export async function refuseOnSeats(verb: string, context: GuestCommand): Promise<void> {
  const config = await configOf(context).catch(() => undefined);
  const seats = config?.seats ?? [];
  const meant = seats.find(({ target }) => context.targets.includes(target)) ??
    ((config?.disks.length ?? 0) === 0 && context.targets.length === 0 ? seats[0] : undefined);
  if (meant === undefined) return;
  throw withContext(
    meant.target,
    new UserError(
      `it is a seat of ${quoted(meant.master)}: what is kept of that is committed by its own guest`,
      { hint: hintOnSeats(verb, meant.master, context) },
    ),
  );
}

/** What is to be typed instead, to the same end: no other session of the master's guest, and no commit of it, is meant. */
function hintOnSeats(verb: string, master: string, context: GuestCommand): string {
  const guest = guestOf(master, context);
  const word = guest === undefined ? "DOMAIN" : shellWord(guest);
  if (context.options.has("cancel")) return "no session of a seat is kept, so there is nothing to cancel";
  if (verb === "keep" || verb === "commit") {
    return `do what is to be kept in a session of that guest: autorevert commit ${word}`;
  }
  return ["autorevert", verb, ...optionWords(context), word].join(" ");
}

/** Whether libvirt has the guest running. */
export function isLive({ host, domain }: GuestCommand): boolean {
  return files.lstat(`${host.settings.liveFolder}/${domain}.xml`) !== undefined;
}

/** @throws {UserError} if libvirt is starting the guest */
export function refuseWhileStarted(context: GuestCommand): void {
  const start = readStart(context.paths);
  const isUp = isLive(context);
  if (start === undefined || !isUp && !isBeingStarted(context)) return;
  if (!isUp && isOnlyAnnounced(start) && !isSaved(context)) throw announcedRestore(context);
  throw new UserError("the guest is being started", {
    hint: "wait until it is up, or has failed",
    healedBy: "event",
  });
}

/** All names around these disks, and which of them are one file. */
export function namesIn(disks: readonly ObservedDisk[]): string {
  return JSON.stringify(disks.map(({ listing }) => [...listing].sort()));
}

/**
 * @param asked the names of the disks that a question was about
 * @throws {UserError} if they are others by now
 */
export function checkUnchanged(asked: string, disks: readonly ObservedDisk[], again = "try again"): void {
  if (namesIn(disks) === asked) return;
  throw new UserError("aborted: the disks changed while waiting for confirmation", { hint: again });
}

/** Time and size of a session or commit. */
export function described(path: string): string {
  const info = files.lstat(path);
  const time = info?.mtime?.toISOString().slice(0, 16).replace("T", " ") ?? "unknown";
  return `of ${time} UTC, ${size((info?.blocks ?? 0) * 512)}`;
}

/** Tells which disks' last sessions are still set aside, once other disks' are kept. */
export function tellSetAside(context: GuestCommand): void {
  const { domain, paths, run, terminal } = context;
  const disks = observeRecorded(readRecordsInForce(paths.note), undefined, namedDisks(context));
  for (const { target, names, firmware, source } of disks) {
    const state = parse(names, run.listing(names.image));
    if (firmware || source === "other" || state.kind !== "layered" || !state.ended) continue;
    const command = `autorevert keep ${shellWord(domain)} ${shellWord(target)}`;
    terminal.print(`${domain} ${target}: the last session is still set aside; to keep it, too: ${command}`);
  }
}
