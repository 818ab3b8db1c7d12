/** What `recover` does with the sessions of seats. */

import { hasStrayFirmware } from "./guest.ts";
import {
  confirm,
  described,
  type GuestCommand,
  isLive,
  refuseOnSeats,
  refuseWhileStarted,
} from "./guest_command.ts";
import { goesWithIt, isInChain, onWhichSaved, waitsForSaved } from "./recover_checks.ts";
import { UserError, withContext } from "../errors.ts";
import { configOf, readStart } from "../hook/context.ts";
import { isSaved } from "../hook/decide.ts";
import { disksIn, domains, readableDisksIn } from "../hook/definitions.ts";
import { checkClaims } from "../hook/seat_claims.ts";
import { mayBeSavedOn } from "../hook/seat_decide.ts";
import { openElsewhere } from "../hook/image_errors.ts";
import { sourceOf } from "../hook/image_path.ts";
import { startMastersMerges } from "../hook/seat_masters.ts";
import { lyingAt, masterStoodOn, observeListedSeat } from "../hook/seat_observe.ts";
import { seatName } from "../hook/standing.ts";
import * as files from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import { readRecords } from "../host/session_records.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { namesOf } from "../state/paths.ts";
import { isKnownAway, isNoted, type StandsOn } from "../state/seat.ts";
import type { SeatRecord } from "../state/seat_record.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** A seat with all that lies there of its sessions. */
interface SeatFiles {
  readonly target: string;
  readonly image: string;
  readonly master: string;
  readonly record: SeatRecord | undefined;
  /** The session, the one that is set aside, and one that was being made, as far as they are there. */
  readonly paths: readonly string[];
  /** Masters that these stand on, and those that are configured and noted. */
  readonly masters: readonly string[];
}

/**
 * Tells of the sessions of a guest's seats, and asks whether they are to be thrown away.
 *
 * @returns what does that; undefined if the guest has no seats
 */
export async function askOfSeats(context: GuestCommand): Promise<(() => Promise<void>) | undefined> {
  const { domain, options, terminal } = context;
  const nothing = () => Promise.resolve();
  const config = await configOf(context).catch(() => undefined);
  const seats = seatsMeant(config, context);
  if (seats.length === 0) return undefined;
  if (options.has("keep")) {
    const hasDisks = readRecords(context.paths.note).some(({ firmware }) => !firmware);
    if (context.targets.length > 0 || !hasDisks && !await hasStrayFirmware(context)) {
      await refuseOnSeats("keep", { ...context, targets: [seats[0]!.target] });
    }
    // Of a guest that has disks of its own, too, those are meant.
    for (const { target } of seats) terminal.print(`${domain} ${target}: is a seat, and stays as it is`);
    return undefined;
  }
  const asked = seats.filter(isThere);
  if (asked.length === 0 || isLive(context) && !options.has("discard")) {
    terminal.print(`${domain}: nothing to recover`);
    return nothing;
  }
  if (!options.has("discard") && isSaved(context)) {
    terminal.print(waitsForSaved(domain));
    return nothing;
  }
  if (!options.has("discard")) {
    for (const seat of asked) {
      const { target, image, paths: [first] } = seat;
      const found = first === undefined
        ? "its session is gone"
        : first === namesOf(image).ended
        ? "a session is set aside"
        : "a session lies there";
      terminal.print(
        `${domain} ${target}: ${found}${neededBy(seat, context)}; to end it now: ${
          recoverCommand("--discard", domain, seatName({ domain, target, file: image }, context))
        }`,
      );
    }
    return nothing;
  }
  checkOwners(asked, context);
  for (const seat of asked) {
    const { target, image, paths: [first] } = seat;
    if (first === undefined) continue;
    const { ended } = namesOf(image);
    const also = first !== ended && seat.paths.includes(ended) ? `; ${goesWithIt(ended)}, ${mayBeSaved}` : "";
    confirm(
      `${domain} ${target}: throw the session ${described(first)}${neededBy(seat, context)}, away${also}?`,
      context,
    );
  }
  return () => discardSeats(asked, config, context);
}

/**
 * Throws the sessions of seats away, with what is set aside: of a guest that is shut off and not saved.
 *
 * After a crash each file is there or gone, and the same command goes on.
 *
 * @param asked as the question was about them
 * @throws {UserError} if a session may still be needed, is none, or is another one by now
 */
async function discardSeats(
  asked: readonly SeatFiles[],
  config: Config | undefined,
  context: GuestCommand,
): Promise<void> {
  const { run, domain, paths, terminal } = context;
  using _guest = await run.locks.guest();
  checkShutOff(context);
  const there = seatsMeant(config, context).filter(isThere);
  if (versionsOf(there) !== versionsOf(asked)) {
    throw new UserError("aborted: the sessions changed while waiting for confirmation", {
      hint: "try again",
    });
  }
  checkOwners(there, context);
  for (const seat of there) await checkSession(seat, context);
  run.locks.claim(there.map(({ image }) => image));
  for (const { target, paths } of there) {
    await run.take(target, paths.map((path) => ({ kind: "remove", path })));
    terminal.print(
      `${domain} ${target}: ${
        paths.length > 0
          ? "the session is thrown away"
          : "its session is gone, and nothing is noted of it any more"
      }`,
    );
  }
  const left = readSeats(paths.seats).filter(({ image }) => there.every((seat) => seat.image !== image));
  await run.take("", [{ kind: "seats", path: paths.seats, records: left }]);
  const masters = new Set(there.flatMap(({ masters }) => masters));
  await startMastersMerges([...masters].map(namesOf), context);
}

/**
 * The seats that the configuration lists, and those that only the note knows, as far as they are meant: a session is thrown away in whose
 * image's place the domain names another one only where its image is named.
 */
function seatsMeant(config: Config | undefined, context: GuestCommand): SeatFiles[] {
  const { run, domain, host, paths, targets, options } = context;
  const records = readSeats(paths.seats);
  const defined = disksIn(host.settings.definedFolder, domain) ?? [];
  const listed = (config?.seats ?? []).flatMap((seat) => {
    try {
      const { target, names, master } = observeListedSeat(domain, seat, defined, records, host);
      return [{ target, image: names.image, master: master.image }];
    } catch (error) {
      run.report(withContext(seat.target, error));
      return [];
    }
  });
  const lists = (target: string) =>
    [...listed, ...config?.disks ?? []].some((disk) => disk.target === target);
  const isReplaced = (seat: { readonly target: string; readonly image: string }) =>
    options.has("discard") && lists(seat.target) && sourceOf(seat, defined).source === "other";
  return [...listed, ...records.filter((record) => listed.every(({ image }) => image !== record.image))]
    .filter((seat) =>
      targets.includes(seat.image) ||
      (targets.length === 0 || targets.includes(seat.target)) && !isReplaced(seat)
    )
    .map(({ target, image, master }) => {
      const { ended, scratch } = namesOf(image);
      const record = records.find((record) => record.image === image);
      const known = [master, ...record ? [record.master] : []];
      const found = [image, ended, scratch].map((path) => ({ path, on: whatLies(path, known, context) }));
      // Another file in the image's place is somebody's own.
      const own = found.filter(({ path, on }) => on !== undefined && (path !== image || on !== "other"));
      return {
        ...{ target, image, master, record },
        paths: own.map(({ path }) => path),
        masters: [...known, ...own.flatMap(({ on }) => typeof on === "object" ? on.master : [])],
      };
    });
}

/** The layer that a file stands on; undefined where there is none. One that is damaged, or empty, may have been a session. */
function whatLies(
  path: string,
  masters: readonly string[],
  { host }: GuestCommand,
): StandsOn | "damaged" | "other" | undefined {
  const size = files.lstat(path)?.size;
  if (size === undefined) return undefined;
  if (size === 0) return "damaged";
  try {
    return masterStoodOn(path, masters.map(namesOf), host) ?? "other";
  } catch {
    return "damaged";
  }
}

/** @throws {UserError} if what lies there is another guest's, by its note or by its definition */
function checkOwners(seats: readonly SeatFiles[], context: GuestCommand): void {
  const { definedFolder } = context.host.settings;
  checkClaims(
    seats.map(({ target, image, master }) => ({ target, names: namesOf(image), master: namesOf(master) })),
    context,
  );
  const others = domains(context.host.settings).filter((domain) => domain !== context.domain);
  for (const { target, image } of seats) {
    const isNamed = ({ file }: DomainDisk) =>
      file !== undefined && (file === image || files.sameFile(file, image));
    const other = others.find((domain) => readableDisksIn(definedFolder, domain)?.some(isNamed));
    if (other === undefined) continue;
    throw withContext(
      target,
      new UserError(
        `${quoted(image)} is a disk of the guest ${quoted(other)}, too, and may have been left by that`,
        {
          hint: `give each an image of its own: virsh edit ${shellWord(context.domain)}`,
        },
      ),
    );
  }
}

/** What is said of a session of which no end was told, or after whose end it was set aside. */
const mayBeSaved = "on which a guest may have been saved";

function neededBy({ image, record, paths: [first] }: SeatFiles, context: GuestCommand): string {
  const file = first === image ? "session" : "none";
  const lying = lyingAt(image, record, file);
  if (file === "session" && !isNoted(lying)) {
    return ", of which no note here tells: a guest may be saved on it at another host";
  }
  if (isKnownAway(lying)) return `, ${onWhichSaved}`;
  const mayBe = file === "session"
    ? mayBeSavedOn(lying, readStart(context.paths), context)
    : first === namesOf(image).ended;
  return mayBe ? `, ${mayBeSaved}` : "";
}

function isThere({ record, paths }: SeatFiles): boolean {
  return paths.length > 0 || record !== undefined;
}

function versionsOf(seats: readonly SeatFiles[]): string {
  return seats.flatMap(({ paths }) => paths.map((path) => `${path} ${files.identity(path)}`)).join("\n");
}

/** @throws {UserError} if the guest is up, or may be soon */
function checkShutOff(context: GuestCommand): void {
  const guest = shellWord(context.domain);
  refuseWhileStarted(context);
  if (isLive(context)) {
    throw new UserError("the guest runs", { hint: `end it first: virsh shutdown ${guest}` });
  }
  if (isSaved(context)) {
    throw new UserError("libvirt holds a managed save of the guest, which expects its session", {
      hint: `start it, or drop the save: virsh managedsave-remove ${guest}`,
    });
  }
}

/** @throws {UserError} if what lies there may be needed, or is no session */
async function checkSession(
  { target, image, record, paths }: SeatFiles,
  context: GuestCommand,
): Promise<void> {
  const refuse = (message: string, hint?: string) => withContext(target, new UserError(message, { hint }));
  if (record?.left) {
    throw refuse(
      "its guest has migrated, and runs on the session at another host, or ended there",
      "end it there, or start it here",
    );
  }
  if (await isInChain(image, context, { isBelow: true })) {
    throw refuse(
      `the domain names another file, which stands on ${quoted(image)}`,
      `see what it names: virsh domblklist --inactive ${shellWord(context.domain)}; and name ${
        shellWord(image)
      } again with virsh edit, where that is not needed`,
    );
  }
  if (paths.includes(image) && (await context.host.qemuImg.info(image)).kind === "busy") {
    throw withContext(target, openElsewhere(image));
  }
}
