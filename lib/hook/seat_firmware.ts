/** Firmware of guests with seats: it begins with that of the master's guest, as the disk does with the master. */

import { configOf, type EventContext } from "./context.ts";
import { disksIn, guestsOf } from "./definitions.ts";
import { observeFirmware } from "./observe.ts";
import { masterGuests } from "./seat_masters.ts";
import { UserError, withContext } from "../errors.ts";
import * as files from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import { isSameImage, readRecords } from "../host/session_records.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { versionOf } from "../state/firmware_commits.ts";
import { type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { guestNames, imageOf, layerNumber, namesOf } from "../state/paths.ts";
import type { StandsOn } from "../state/seat.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { parse, topOf } from "../state/state.ts";
import { listed, quoted, recoverCommand, shellWord } from "../text.ts";

/**
 * These files, with what the sessions of a seat's firmware begin with: the master's, of the version that the seat stands on. Where
 * the master's guest isn't known, that is what they are themselves.
 *
 * @throws {UserError} if the master's guest keeps no versions of its firmware, or nothing tells which belongs to the layer
 */
export async function withTemplates(
  all: readonly ObservedDisk[],
  context: EventContext,
): Promise<ObservedDisk[]> {
  // One whose disk was detached is not the guest's matter.
  const seat = readSeats(context.paths.seats).find(({ detached }) => !detached);
  const isToBegin = ({ firmware, listed }: ObservedDisk) => firmware === true && listed;
  if (seat === undefined || !all.some(isToBegin)) return [...all];
  const masters = await firmwareOfMaster(seat, context);
  return all.map((disk) =>
    isToBegin(disk) ? { ...disk, template: masters.find(({ target }) => target === disk.target)?.file } : disk
  );
}

/**
 * A look after the copies: the master's guest has locks of its own, and may have begun a session meanwhile.
 *
 * @throws {UserError} if these files would begin with others now
 */
export async function checkTemplates(
  copied: readonly ObservedDisk[],
  context: EventContext,
): Promise<void> {
  if (copied.every(({ template }) => template === undefined)) return;
  const now = await withTemplates(copied, context);
  const changed = copied.find(({ template }, index) => template !== now[index]!.template);
  if (changed === undefined) return;
  const problem = `${quoted(changed.template!)} was changed by its guest's start or end while it was copied`;
  throw withContext(
    changed.target,
    new UserError(problem, { hint: "try again: nothing is lost by that", healedBy: "event" }),
  );
}

/**
 * The files that a seat's firmware begins with, where its disk stands on that; none where the master's guest isn't known.
 *
 * @throws {UserError} as {@link withTemplates}
 */
export async function firmwareOfMaster(
  { master, layer }: StandsOn,
  context: EventContext,
): Promise<{ readonly target: string; readonly file: string }[]> {
  const { run, host, domain } = context;
  const names = namesOf(master);
  const guest = await guestOfMaster({ master, layer }, context);
  if (guest === undefined) {
    run.logInfo(
      "",
      `no guest is known here whose disk ${quoted(master)} is: the firmware begins with its own`,
    );
    return [];
  }
  const { domain: owner, disks, config, records } = guest;
  if (!config?.firmware) {
    throw new UserError(
      `the firmware of ${quoted(owner)}, whose disk is the master, doesn't go with its disk`,
      {
        hint: `have it do so: autorevert enable ${shellWord(owner)} --firmware; ` +
          `or leave this guest's as it is: autorevert enable ${shellWord(domain)} --no-firmware`,
      },
    );
  }
  const cut = masterGuests(names, context).find(({ records }) => records.some(({ pending }) => pending));
  if (cut !== undefined) {
    throw new UserError(
      `an undo, keep or publish of ${quoted(cut.domain)}, whose disk is the master, was cut short`,
      {
        hint: `complete it: ${recoverCommand("complete", cut.domain)}`,
        healedBy: "event",
      },
    );
  }
  const state = parse(names, run.listing(master));
  const isIn = ["session", "committing"].includes(state.kind) &&
    records.some(({ image, idle }) => isSameImage(image, master) && !idle);
  // Where nothing is noted, versions are counted from the newest: each commit of the disk is one of the firmware.
  const layers = "layers" in state ? state.layers : [];
  const newer = layers.filter((number) => number > layer).length;
  const all = "layers" in state && state.kind === "committing"
    ? [...layers, topOf(state.layers) + 1]
    : layers;
  return observeFirmware(config, disks, records, host.settings.firmwareFolders).flatMap((file) => {
    const { target, names, record } = file;
    const theirs = stateOf(file);
    if (theirs.kind === "missing") return [];
    if (theirs.kind === "plain") {
      if (isIn) throw withContext(target, notYetIn(owner));
      return [{ target, file: names.image }];
    }
    if (!("layers" in theirs)) {
      const problem = `there is no version that ${quoted(names.committing)} could stand on`;
      throw withContext(target, new UserError(problem, { hint: `autorevert status ${shellWord(owner)}` }));
    }
    // A commit that was cut short between the disk's and this one's.
    const isCommitted = theirs.kind === "committing" && state.kind !== "committing";
    const coming = topOf(theirs.layers) + 1;
    // One that is being overwritten is about to become the next one.
    const whole = theirs.layers.slice(theirs.torn ? 1 : 0);
    const versions = [...whole, ...isCommitted ? [coming] : []];
    const version = versionOf(versions, record, (path) =>
      layerNoted(path, master), { on: layer, layers: all }) ??
      versions[Math.max(0, versions.length - 1 - newer)]!;
    return [{ target, file: isCommitted && version === coming ? names.committing : names.layer(version) }];
  });
}

/** The number of the image's layer that a path is by which a commit was noted: its own image may have been moved or renamed since. */
function layerNoted(path: string, image: string): number | undefined {
  const noted = imageOf(path) ?? path;
  const isGone = () => !files.isSeen(noted) && !files.isSeen(path);
  return isSameImage(noted, image) || isGone() ? layerNumber(noted, path) : undefined;
}

/** The firmware was switched on in the middle of a session: nobody can tell any more what it was before. */
function notYetIn(owner: string): UserError {
  const guest = shellWord(owner);
  return new UserError(
    `the firmware of ${quoted(owner)}, whose disk is the master, goes with its disk from its next session on`,
    {
      hint: `end this one first: virsh shutdown ${guest}; where it died: ${
        recoverCommand("--keep|--discard", owner)
      }`,
      healedBy: "event",
    },
  );
}

/** A guest that libvirt knows here, and that has a master as its own disk. */
interface MastersGuest {
  readonly domain: string;
  readonly disks: readonly DomainDisk[];
  readonly config: Config | undefined;
  readonly records: readonly SessionRecord[];
}

/**
 * The guest whose firmware is the master's: one that lists the disk, and has its firmware go with it. Of several the one that has
 * committed the layer.
 *
 * @throws {UserError} if that doesn't tell which of them it is
 */
async function guestOfMaster(
  { master, layer }: StandsOn,
  context: EventContext,
): Promise<MastersGuest | undefined> {
  const { definedFolder, liveFolder, configFolder } = context.host.settings;
  const names = namesOf(master);
  const noted = masterGuests(names, context).map(({ domain }) => domain);
  const found: MastersGuest[] = [];
  for (const domain of new Set([...guestsOf(master, context), ...noted])) {
    const disks = disksIn(definedFolder, domain) ?? disksIn(liveFolder, domain);
    if (domain === context.domain || disks === undefined) continue;
    const config = await configOfGuest(domain, context);
    if (config === undefined && !noted.includes(domain)) continue;
    found.push({ domain, disks, config, records: readRecords(guestNames(configFolder, domain).note) });
  }
  const isListed = ({ config, disks }: MastersGuest) =>
    disks.some(({ target, file }) =>
      file !== undefined && files.sameFile(file, master) &&
      config?.disks.some((disk) => disk.target === target)
    );
  const fit = found.filter((guest) => guest.config?.firmware && isListed(guest));
  const committed = fit.filter(({ records }) =>
    records.some(({ commits = [] }) =>
      commits.some(({ disks }) => disks.some((path) => layerNoted(path, master) === layer))
    )
  );
  const [first, ...others] = committed.length > 0 ? committed : fit;
  if (others.length === 0) return first ?? found[0];
  throw new UserError(
    `${quoted(master)} is a disk of ${
      listed([first!, ...others].map(({ domain }) => domain))
    }, and firmware of each goes ` +
      "with it: nothing tells whose the seat's begins with",
    {
      hint: "have only that of one go with its disks; for the others: autorevert enable GUEST --no-firmware",
    },
  );
}

function configOfGuest(domain: string, context: EventContext): Promise<Config | undefined> {
  return configOf({ ...context, paths: guestNames(context.host.settings.configFolder, domain) });
}
