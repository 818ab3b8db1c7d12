import { backToSession, imageAt, permitted, sourceOf } from "./image_path.ts";
import { madeAt, ownerOnDisk } from "./observe.ts";
import { layerStoodOn } from "./standing.ts";
import { UserError, withContext } from "../errors.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import type { Config, ConfiguredSeat } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { imageOf, layerNumber, type Names, namesOf } from "../state/paths.ts";
import type { Lying, ObservedSeat, StandsOn } from "../state/seat.ts";
import type { SeatRecord } from "../state/seat_record.ts";
import { type Listing, parse } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

type Looks = Pick<Host, "backingOf" | "settings">;

/**
 * The seats of a start: those that the configuration lists, and those that only the note still knows.
 *
 * @throws {UserError} if a listed seat isn't in the domain, can't be one, or its master lies where the hook may not go
 */
export function observeSeatsAtPrepare(
  domain: string,
  config: Config | undefined,
  disks: readonly DomainDisk[],
  records: readonly SeatRecord[],
  host: Looks,
): ObservedSeat[] {
  const listed: ObservedSeat[] = [];
  for (const configured of config?.seats ?? []) {
    try {
      const seat = observeListedSeat(domain, configured, disks, records, host);
      const { image } = seat.names;
      const other = listed.find(({ names }) => names.image === image);
      if (other !== undefined) {
        throw new UserError(`${quoted(image)} is the image of ${quoted(other.target)}, too`);
      }
      listed.push(seat);
    } catch (error) {
      throw withContext(configured.target, error);
    }
  }
  const images = listed.map(({ names }) => names.image);
  return [
    ...listed,
    ...records.filter(({ image }) => !images.includes(image)).map((record) =>
      observeRecordedSeat(record, undefined, disks, host)
    ),
  ];
}

/** @throws {UserError} as {@link observeSeatsAtPrepare} */
export function observeListedSeat(
  domain: string,
  { target, master, preview, keepSession }: ConfiguredSeat,
  disks: readonly DomainDisk[],
  records: readonly SeatRecord[],
  host: Looks,
): ObservedSeat {
  const { imageFolders } = host.settings;
  checkNotBelow(domain, target, disks, records);
  const image = imageAt(domain, target, disks, imageFolders, records);
  const names = namesOf(image);
  const masterNames = namesOf(permitted(master, imageFolders));
  checkMasterName(masterNames, image);
  const listing = files.list(image);
  const state = parse(names, listing);
  if (state.kind !== "plain" && state.kind !== "missing") {
    throw new UserError(`${quoted(image)} has layers or a commit of its own beside it: a seat has none`, {
      hint: `see what they are: ls -l ${
        shellWord(image)
      }*; or give the seat an image name of its own: virsh edit`,
    });
  }
  checkNotAbove(domain, image, records, host);
  const record = records.find((record) => record.image === image);
  const masters = [...record ? [namesOf(record.master)] : [], masterNames];
  return {
    ...{ target, names, record, preview, keepSession, listing },
    listed: true,
    master: masterNames,
    source: "same",
    ...lookAt(names, listing, masters, host),
    owner: record?.owner ?? ownerOnDisk(masterNames, files.list(masterNames.image)),
  };
}

/** @throws {UserError} if the domain names a layer: after a blockcommit the seat's session is part of what others stand on */
function checkNotBelow(
  domain: string,
  target: string,
  disks: readonly DomainDisk[],
  records: readonly SeatRecord[],
): void {
  const file = disks.find((disk) => disk.target === target && !disk.firmware)?.file;
  if (file === undefined || !isLayerName(file)) return;
  const own = records.find((record) => record.target === target)?.image;
  throw new UserError(`the seat's disk is ${quoted(file)}, a layer of its master ${quoted(imageOf(file)!)}`, {
    hint:
      `name ${
        own === undefined ? "the seat's own image" : shellWord(own)
      } as the source again, without <backingStore>: virsh edit ${shellWord(domain)}; ` +
      "a blockcommit has written its session into that version of the master, for all who stand on it: " +
      "if it is not to be there, restore that file from a backup",
  });
}

/** @throws {UserError} if the domain names a file that stands on a session of the guest: it would be lost with that */
function checkNotAbove(
  domain: string,
  image: string,
  records: readonly SeatRecord[],
  { backingOf }: Looks,
): void {
  const session = records.find((record) => record.image !== image && record.image === backingOf(image));
  if (session === undefined) return;
  throw new UserError(
    `${quoted(image)} stands on the session ${
      quoted(session.image)
    }: an external snapshot or a blockcopy has made it`,
    { hint: backToSession(image, session, domain) },
  );
}

/** A seat by its record, whatever became of the configuration since. */
export function observeRecordedSeat(
  record: SeatRecord,
  config: Config | "unreadable" | undefined,
  disks: readonly DomainDisk[] | "unreadable",
  host: Looks,
): ObservedSeat {
  const { target, image, owner } = record;
  const names = namesOf(image);
  const master = namesOf(record.master);
  const listing = files.listIfThere(image);
  const seat = config === "unreadable" ? undefined : config?.seats.find((seat) => seat.target === target);
  const source = disks === "unreadable" ? disks : sourceOf(record, disks).source;
  return {
    ...{ target, names, master, record, listing, owner, source },
    listed: seat !== undefined && source === "same",
    preview: false,
    keepSession: config === "unreadable" ? config : seat?.keepSession ?? false,
    ...lookAt(names, listing, [master], host),
  };
}

/** The layer that a file stands on, of one of these masters, or of another one: a seat may have had that before. */
export function masterStoodOn(path: string, masters: readonly Names[], host: Looks): StandsOn | undefined {
  const backing = host.backingOf(path);
  return [...masters, ...masterBy(backing)].flatMap((master) => {
    const layer = layerStoodOn(master, backing);
    return layer === undefined ? [] : [{ master: master.image, layer }];
  })[0];
}

function lookAt(names: Names, listing: Listing, masters: readonly Names[], host: Looks) {
  const on = (path: string) => listing.has(path) ? masterStoodOn(path, masters, host) : undefined;
  const standsOn = on(names.image);
  const isEmpty = !listing.has(names.image) || files.lstat(names.image)?.size === 0;
  const file = isEmpty ? "none" : standsOn === undefined ? "other" : "session";
  return {
    file,
    standsOn,
    endedStandsOn: on(names.ended),
    made: madeAt(names.image),
    endedMade: madeAt(names.ended),
    written: writtenAt(names.image),
    endedWritten: writtenAt(names.ended),
  } as const;
}

/** A seat's session by its name and its last write alone, whatever it holds. */
export function lyingAt(
  image: string,
  record: SeatRecord | undefined,
  file: Lying["file"] = "session",
): Lying {
  return {
    ...{ names: namesOf(image), record, file },
    listing: files.listIfThere(image),
    made: madeAt(image),
    written: writtenAt(image),
  };
}

function writtenAt(path: string): number | undefined {
  return files.lstat(path)?.mtime?.getTime();
}

/** The master whose layer a backing file is by its name alone. */
function masterBy(backing: string | undefined): Names[] {
  const image = isLayerName(backing) ? imageOf(backing!) : undefined;
  const master = image && namesOf(image);
  return master && files.listIfThere(master.image).has(master.master) ? [master] : [];
}

/** @throws {UserError} if an image can't be a master by its name alone */
function checkMasterName({ image: master }: Names, image: string): void {
  if (master === image) {
    throw new UserError(`${quoted(image)} is the seat's own image, and can't be its master`, {
      hint: 'name the image of the guest that the seat is to begin with as "master"',
    });
  }
  const owner = imageOf(master);
  if (owner === undefined) return;
  throw new UserError(`the master ${quoted(master)} has the name of a layer or note of ${quoted(owner)}`, {
    hint: `name that image as "master": ${shellWord(owner)}`,
  });
}

/** Whether a backing file's name is that of a layer, of whichever image. */
export function isLayerName(backing: string | undefined): boolean {
  const image = backing === undefined ? undefined : imageOf(backing);
  return image !== undefined && layerNumber(image, backing!) !== undefined;
}
