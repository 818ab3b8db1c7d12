/** What must be so before a disk is listed in a configuration. */

import { Usage } from "./arguments.ts";
import { ofBoth } from "./configure_seats.ts";
import { type GuestCommand, onSameDisks, optionWords } from "./guest_command.ts";
import { isBeingMerged, probeLinks } from "./inspect.ts";
import { asUserError, UserError, withContext } from "../errors.ts";
import { eventFacts } from "../hook/decide_start.ts";
import { readStart } from "../hook/context.ts";
import { decisionFor, whyRefused } from "../hook/decide.ts";
import { domains } from "../hook/definitions.ts";
import { checkPublishable } from "../hook/image_path.ts";
import { observeListed } from "../hook/observe.ts";
import { readSeats } from "../host/seat_records.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { isRefusal } from "../state/decision_table.ts";
import { bearsMark, nameOf, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { listed, nearest, quoted, recoverCommand, shellWord } from "../text.ts";

/** @throws {UserError} if one of the disks that are named is a seat, or was one and is not done with that */
export function checkNoSeat(
  config: Config | undefined,
  { domain, paths, targets, options }: GuestCommand,
): void {
  const isForAll = targets.length === 0 && ofBoth.some((option) => options.has(option));
  const seat = config?.seats.find(({ target }) => isForAll || targets.includes(target));
  if (seat !== undefined) {
    throw withContext(
      seat.target,
      new UserError("it is a seat, and the others that are meant are not", { hint: "name them one by one" }),
    );
  }
  const standing = readSeats(paths.seats).find(({ target }) => targets.includes(target));
  if (standing !== undefined) {
    throw withContext(
      standing.target,
      new UserError(`a session of it stands on ${quoted(standing.master)} still`, {
        hint: `${
          standing.waits ? "a guest was saved on it: restore it, and " : ""
        }end that first, or throw it away: ${recoverCommand("--discard", domain, standing.target)}`,
      }),
    );
  }
}

/** @throws {UserError} if commits of one of these disks can't be published by hand */
export function checkAllPublishable(disks: readonly ObservedDisk[]): void {
  for (const { target, names } of disks) {
    try {
      checkPublishable(names.image);
    } catch (error) {
      throw withContext(target, error);
    }
  }
}

/** Names the disks that could be listed; the next command to type lists them all. */
export function nothingNamed(
  defined: readonly DomainDisk[],
  old: readonly string[],
  context: GuestCommand,
): Usage {
  const { domain, host } = context;
  const reasons: string[] = [];
  const fit = defined.filter(({ target, firmware }) => {
    if (firmware || old.includes(target)) return false;
    try {
      observeListed(
        domain,
        { target, commit: false, keepCommits: 0, keepSession: false },
        [],
        defined,
        [],
        host.settings.imageFolders,
      );
      return true;
    } catch (error) {
      reasons.push(`${quoted(target)} can't be managed: ${asUserError(error).message}`);
      return false;
    }
  });
  const targets = fit.map(({ target }) => target);
  const command = [onSameDisks("enable", { domain, targets }), ...optionWords(context)].join(" ");
  const could = fit.length > 0
    ? `which disks? There ${fit.length === 1 ? "is" : "are"} ${
      fit.map(({ target, file }) => `${target} (${quoted(file)})`).join(", ")
    }`
    : "there is no other disk that could go back at every start";
  return new Usage(
    [could, ...old.map((target) => `${quoted(target)} is listed already`), ...reasons].join("; "),
    "enable",
    fit.length > 0 ? command : undefined,
  );
}

/** A start would be refused, or the folder has no hard links: better known now. */
export async function checkStart(disk: ObservedDisk, isLive: boolean, context: GuestCommand): Promise<void> {
  const { target, record } = disk;
  const state = stateOf(disk);
  if (isOwnSession(disk) && record?.held && !isToBeKept(disk)) {
    throw withContext(
      target,
      new UserError("its session may be to be kept, and nobody can tell any more", {
        hint: `end it first: ${recoverCommand("--keep|--discard", context.domain, nameOf(disk))}`,
      }),
    );
  }
  // A guest that runs has its own image open, and so has a merge.
  const isOpen = isLive && (state.kind !== "session" || isOwnSession(disk)) ||
    await isBeingMerged(disk, context);
  if (!isOpen) {
    const { decision } = await decisionFor(
      disk,
      context,
      eventFacts(disk, { start: "fresh", isFlagMeant: false, before: readStart(context.paths) }, context),
    );
    if (isRefusal(decision)) {
      const error = await whyRefused(decision, disk, context);
      const hint = decision === "refuse: in use"
        ? `${error.hint}; ${onOtherHost(context.paths.config)}`
        : error.hint;
      throw withContext(target, new UserError(error.message, { ...error, hint }));
    }
  }
  if (state.kind === "plain") await probeLinks(disk, context);
}

/** The session began before the disk was taken out of the configuration. */
export function isOwnSession(disk: ObservedDisk): boolean {
  return stateOf(disk).kind === "session" && disk.record !== undefined;
}

/** Whether the session of a disk that is listed anew is to be committed: its flag was taken out with its entry. */
export function isToBeKept(disk: ObservedDisk): boolean {
  return isOwnSession(disk) && (disk.record?.flagged === true || bearsMark(disk));
}

/** How a guest that runs there has its disks managed here, too. */
function onOtherHost(config: string): string {
  return `if the guest runs on another host, copy its configuration from there: ${quoted(config)}`;
}

/** Why nothing of a guest can be listed that libvirt doesn't know. */
export function noDomain({ domain, host, paths }: GuestCommand): UserError {
  const known = domains(host.settings);
  const meant = nearest(domain, known);
  return new UserError(`libvirt knows no domain ${quoted(domain)}; it knows ${listed(known)}`, {
    hint: meant === undefined
      ? `define it first: virsh define ${shellWord(domain)}.xml; ${onOtherHost(paths.config)}`
      : `did you mean ${quoted(meant)}?`,
  });
}
