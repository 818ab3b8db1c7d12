/** What `enable` and `disable` do with seats, and with disks as masters. */

import { Usage } from "./arguments.ts";
import { checkSeatsImage, imagesOfDomains } from "./check_guest.ts";
import { endsOfIdle } from "./check_seats.ts";
import { listSeat, setKey } from "./config_edit.ts";
import { managedGuests } from "./guest.ts";
import { type GuestCommand, isLive } from "./guest_command.ts";
import { UserError, withContext } from "../errors.ts";
import { readStart } from "../hook/context.ts";
import { isSaved } from "../hook/decide.ts";
import { disksIn, domains, readableDisksIn } from "../hook/definitions.ts";
import { checkClaims } from "../hook/seat_claims.ts";
import { mayBeSavedOn, seatDecision } from "../hook/seat_decide.ts";
import { firmwareOfMaster } from "../hook/seat_firmware.ts";
import { newLayer } from "../hook/seat_layer.ts";
import { releaseMasters, seatsListedOn, seatsOn, startMastersMerges } from "../hook/seat_masters.ts";
import { lyingAt, observeListedSeat } from "../hook/seat_observe.ts";
import { explainSeat } from "../hook/seat_refusal.ts";
import { standingOn, wayOut } from "../hook/standing.ts";
import { readConfig } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import { type Config, peekDisks } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { guestNames, namesOf } from "../state/paths.ts";
import { publishedOf } from "../state/state.ts";
import { isSeatRefusal } from "../state/seat_table.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** Options of `enable` that are for disks with commits, for seats, and for both. */
const ofDisks = ["keep-commits", "by-hand", "no-by-hand"];
const ofSeats = ["master", "preview", "no-preview"];
export const ofBoth = ["keep-session", "no-keep-session"];

/**
 * The seats that `enable` is for: those that are named, where a master is, or where all of them are seats already; and where none is
 * named all that are listed, if the options are for them.
 *
 * @returns undefined if it is for other disks
 * @throws {Usage} if an option isn't for what it is for
 */
export function seatsMeant(
  { options, targets }: GuestCommand,
  config: Config | undefined,
): readonly string[] | undefined {
  const seats = config?.seats.map(({ target }) => target) ?? [];
  const given = (list: readonly string[]) => list.find((option) => options.has(option));
  const areMeant = options.has("master") || seats.length > 0 && (
        targets.length > 0
          ? targets.every((target) => seats.includes(target))
          : given(ofSeats) !== undefined || config?.disks.length === 0 && given(ofBoth) !== undefined
      );
  const misplaced = given(areMeant ? ofDisks : ofSeats);
  if (misplaced !== undefined) {
    const [one, other] = areMeant ? ["disks with commits", "seats"] : ["seats", "other disks"];
    throw new Usage(`--${misplaced} is for ${one}, not for ${other}`, "enable");
  }
  if (!areMeant) return undefined;
  return targets.length > 0 || options.has("master") ? targets : seats;
}

/** What is to be done to have disks listed as seats. */
interface EnabledSeats {
  /** The configuration as it is to be, and what changes in it. */
  readonly text: string;
  readonly change: string;
  /** Masters that seats had before. */
  readonly left: readonly string[];
  readonly said: readonly string[];
}

/**
 * Lists disks as seats of a master, after a look whether they can be, or changes what is kept of listed ones. The caller holds the
 * guest's lock.
 *
 * @param hasFirmware its firmware begins with the master's
 * @throws {UserError} if a start would be refused
 */
export async function enableSeats(
  config: Config | undefined,
  hasFirmware: boolean,
  context: GuestCommand,
): Promise<EnabledSeats> {
  const { domain, host, paths, options, targets } = context;
  if (targets.length === 0) {
    throw new UserError("which disks are to be seats?", {
      hint: `autorevert enable ${shellWord(domain)} TARGET --master ${
        shellWord(options.get("master") ?? "IMAGE")
      }`,
    });
  }
  const managed = targets.find((target) => config?.disks.some((disk) => disk.target === target));
  if (managed !== undefined) {
    throw withContext(
      managed,
      new UserError("it is listed with sessions and commits of its own, and can't be a seat, too", {
        hint: `take it out first: autorevert disable ${shellWord(domain)} ${managed}`,
      }),
    );
  }
  const disks = disksIn(host.settings.liveFolder, domain) ?? disksIn(host.settings.definedFolder, domain) ??
    [];
  const defined = disksIn(host.settings.definedFolder, domain) ?? disks;
  let text = files.read(paths.config);
  const said: string[] = [];
  const left: string[] = [];
  const users = imagesOfDomains(host.settings);
  for (const target of targets) {
    const old = config?.seats.find((seat) => seat.target === target);
    const wanted = {
      target,
      master: options.get("master") ?? old!.master,
      preview: options.has("preview") || !options.has("no-preview") && (old?.preview ?? false),
      keepSession: options.has("keep-session") ||
        !options.has("no-keep-session") && (old?.keepSession ?? false),
    };
    try {
      const seat = observeListedSeat(context.domain, wanted, defined, readSeats(paths.seats), host);
      const isRunning = isLive(context) && seat.record !== undefined;
      if (!isRunning) {
        const circumstances = {
          event: "prepare",
          start: "fresh",
          end: "none",
          saved: mayBeSavedOn(seat, readStart(paths), context),
        } as const;
        const { decision } = await seatDecision(seat, circumstances, context);
        if (isSeatRefusal(decision)) throw explainSeat(decision, seat, domain);
        checkClaims([seat], context);
      }
      checkSeatsImage(seat.names.image, domain, users);
      const on = newLayer(seat, context);
      if (hasFirmware) await firmwareOfMaster(on, context);
      checkMastersDisks(seat.master.image, context);
    } catch (error) {
      throw withContext(target, error);
    }
    if (old === undefined) text = listSeat(text, target, wanted.master);
    if (old !== undefined && wanted.master !== old.master) {
      text = setKey(text!, target, "master", wanted.master);
      left.push(old.master);
    }
    if (wanted.preview !== (old?.preview ?? false)) text = setKey(text!, target, "preview", wanted.preview);
    if (wanted.keepSession !== (old?.keepSession ?? false)) {
      text = setKey(text!, target, "keep-session", wanted.keepSession);
    }
    said.push(`${domain} ${target}: every start begins with ${quoted(wanted.master)} from the next one on`);
  }
  return { text: text!, change: `list ${targets.join(", ")} as seats`, left, said };
}

/** @throws {UserError} if the guest's firmware couldn't begin with that of its seats' masters */
export async function checkSeatsFirmware(
  seats: Config["seats"],
  defined: readonly DomainDisk[],
  context: GuestCommand,
): Promise<void> {
  const [first] = seats;
  if (first === undefined) return;
  try {
    const seat = observeListedSeat(
      context.domain,
      first,
      defined,
      readSeats(context.paths.seats),
      context.host,
    );
    await firmwareOfMaster(newLayer(seat, context), context);
  } catch (error) {
    throw withContext(first.target, error);
  }
}

/** The guests whose seats, and firmware, begin with these disks of another guest. */
export async function guestsWithFirmwareOf(
  images: readonly string[],
  { host }: GuestCommand,
): Promise<string[]> {
  const { configFolder, configOwner } = host.settings;
  const found: string[] = [];
  for (const domain of managedGuests(host.settings)) {
    const config = await readConfig(guestNames(configFolder, domain).config, configOwner).catch(() =>
      undefined
    );
    const isOn = config?.seats.some(({ master }) => images.some((image) => files.sameFile(image, master)));
    if (isOn && config?.firmware) found.push(domain);
  }
  return found;
}

/** @throws {UserError} if the master is a seat's image by another guest's configuration */
function checkMastersDisks(master: string, { host }: GuestCommand): void {
  const { definedFolder, configFolder } = host.settings;
  for (const domain of domains(host.settings)) {
    const text = files.read(`${configFolder}/${domain}.json`) ?? "";
    if (!text.includes('"master"')) continue;
    const seats = peekDisks(text) ?? [];
    for (const disk of disksIn(definedFolder, domain) ?? []) {
      const isSeat = seats.some(({ target, master }) => target === disk.target && master !== undefined);
      if (!isSeat || disk.file === undefined || !files.sameFile(disk.file, master)) continue;
      throw new UserError(
        `${quoted(master)} is a seat of the guest ${quoted(domain)}, and can't be a master, too`,
      );
    }
  }
}

/**
 * Of a session that is set aside nothing is noted, or no longer than the one beside it lasts: without the configuration no event and no
 * command would end it.
 *
 * @throws {UserError} if one of a seat that is to be taken out is
 */
export function checkNothingAside(seats: Config["seats"], context: GuestCommand): void {
  const { host, paths, domain } = context;
  const records = readSeats(paths.seats);
  const defined = readableDisksIn(host.settings.definedFolder, domain) ?? [];
  for (const configured of seats) {
    let seat;
    try {
      seat = observeListedSeat(domain, configured, defined, records, host);
    } catch {
      // It was none, as its starts have said.
      continue;
    }
    const { target, names, listing } = seat;
    if (!listing.has(names.ended)) continue;
    throw withContext(
      target,
      new UserError(`its last session is set aside, and keeps what it stands on from being merged`, {
        hint: isLive(context)
          ? "shut the guest down first"
          : `unless the guest was saved on it, throw it away first: ${
            recoverCommand("--discard", domain, target)
          }`,
      }),
    );
  }
}

/** Says what becomes of seats that are taken out of the configuration. */
export function tellDisabledSeats(seats: Config["seats"], context: GuestCommand): void {
  const { paths, domain, terminal } = context;
  const records = readSeats(paths.seats);
  const before = readStart(paths);
  for (const { target } of seats) {
    const record = records.find((record) => record.target === target);
    const end = recoverCommand("--discard", domain, target);
    const session = record === undefined
      ? ""
      : isLive(context) || isSaved(context)
      ? `this session is still thrown away when it ends (libvirt before 10.5: then end it with ${end}); `
      : mayBeSavedOn(lyingAt(record.image, record), before, context)
      ? `a guest was saved on its session, or may have been: restore it and shut it down, or end that session: ${end}; `
      : `a session lies there still, to end it: ${end}; `;
    terminal.print(
      `${domain} ${target}: is no seat any more; ${session}it needs an image of its own before its next start`,
    );
  }
}

/** After a seat, or its master, is gone from the configuration: its master may become an ordinary disk, and its merges may go on. */
export async function leaveMasters(masters: readonly string[], context: GuestCommand): Promise<void> {
  const names = masters.map((master) => namesOf(files.resolveIfThere(master) ?? master));
  await releaseMasters(names, context);
  await startMastersMerges(names, context);
}

/**
 * @throws {UserError} if a disk that is to be left alone is a master: its guest would write into what seats stand on; or a version of it
 * is published, with which those of other hosts may begin
 */
export function checkNoSeats(image: string, target: string, context: GuestCommand): void {
  const names = namesOf(image);
  const seats = seatsOn(names, context);
  if (seats.length === 0) {
    if (publishedOf(names, files.listIfThere(image)) === undefined) return;
    throw withContext(
      target,
      new UserError("a version of it is published, with which seats of other hosts may begin", {
        hint: `if there are none: autorevert enable ${shellWord(context.domain)} ${target} --no-by-hand`,
      }),
    );
  }
  const areListed = seatsListedOn(names, context).length > 0;
  const standing = standingOn(names, context);
  const ways = [
    areListed ? "take those out first: autorevert disable GUEST TARGET" : undefined,
    wayOut(standing, context),
    ...endsOfIdle(standing, context),
  ];
  throw withContext(
    target,
    new UserError(`it is the master of seats: ${seats.join(", ")}`, {
      hint: ways.filter(Boolean).join("; ") || undefined,
    }),
  );
}
