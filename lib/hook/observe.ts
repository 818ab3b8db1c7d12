import { UserError, withContext } from "../errors.ts";
import { flagOf, startFlagOf, withItsFlag } from "./flags.ts";
import { checkLength, checkPublishable, imageAt, permitted, sourceOf, sourceOfTarget } from "./image_path.ts";
import { list, listIfThere, lstat, ownerOf, writtenTime } from "../host/files.ts";
import { isSameImage } from "../host/session_records.ts";
import type { Config, ConfiguredDisk } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import type { Settings } from "../settings.ts";
import { versionsKept } from "../state/firmware_commits.ts";
import { hasSuccessor, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { type Names, namesOf } from "../state/paths.ts";
import type { Owner, SessionRecord } from "../state/session_record.ts";
import { type Listing, parse, topOf } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

/** Owner of an idle disk that no note tells of: its image's, or its top layer's where an event was cut short. */
export function ownerOnDisk(names: Names, listing: Listing): Owner {
  const state = parse(names, listing);
  const layers = "layers" in state ? state.layers.map(names.layer).toReversed() : [];
  const path = [names.image, ...layers].find((path) => listing.has(path));
  return path === undefined ? { uid: 0, gid: 0, mode: 0o600 } : ownerOf(path);
}

/**
 * The images of a start, to lock their folders: nothing else is read before that, since it may be changing.
 *
 * @throws {UserError} as {@link observeAtPrepare}
 */
export function imagesAtPrepare(
  domain: string,
  config: Pick<Config, "disks" | "firmware"> | undefined,
  disks: readonly DomainDisk[],
  records: readonly SessionRecord[],
  { imageFolders, firmwareFolders }: Settings,
): string[] {
  const listed = (config?.disks ?? []).map(({ target }) => {
    try {
      return imageAt(domain, target, disks, imageFolders, records);
    } catch (error) {
      throw withContext(target, error);
    }
  });
  const firmware = firmwareOf(config, disks, firmwareFolders).map(({ image }) => image);
  return [...listed, ...firmware, ...records.map(({ image }) => image)];
}

/**
 * The files of the firmware that belong to the guest's disks.
 *
 * @throws {UserError} if one is in no file, or where the program may not go
 */
function firmwareOf(
  config: Pick<Config, "firmware"> | undefined,
  disks: readonly DomainDisk[],
  folders: readonly string[],
): { readonly target: string; readonly image: string }[] {
  const listed = config?.firmware ? disks.filter(({ firmware }) => firmware) : [];
  return listed.map(({ target, file, unfit }) => {
    try {
      if (unfit !== undefined) throw new UserError(unfit.reason, unfit);
      const image = permitted(file!, folders, true);
      checkLength(image);
      return { target, image };
    } catch (error) {
      throw withContext(target, error);
    }
  });
}

/**
 * The disks of a start: those that the configuration lists, and those that only the note still knows.
 *
 * @throws {UserError} if a listed disk isn't in the domain, can't be managed, or lies where the hook may not go
 */
export function observeAtPrepare(
  domain: string,
  config: Pick<Config, "disks" | "firmware" | "changed"> | undefined,
  disks: readonly DomainDisk[],
  records: readonly SessionRecord[],
  { imageFolders, firmwareFolders }: Settings,
): ObservedDisk[] {
  const observed: ObservedDisk[] = [];
  for (const configured of config?.disks ?? []) {
    try {
      const disk = observeListed(domain, configured, config!.disks, disks, records, imageFolders);
      checkOwnImage(disk, observed, domain);
      observed.push(disk);
    } catch (error) {
      throw withContext(configured.target, error);
    }
  }
  observed.push(...observeFirmware(config, disks, records, firmwareFolders));
  const others = records.filter(({ image }) =>
    !observed.some(({ names }) => isSameImage(names.image, image))
  );
  return [
    ...observed,
    ...observeRecorded(others, undefined, disks)
      .map((disk) => withItsFlag(disk, config)),
  ];
}

/** @throws {UserError} if another disk of the guest has the same image */
export function checkOwnImage(
  { names: { image } }: ObservedDisk,
  others: readonly ObservedDisk[],
  domain: string,
): void {
  const other = others.find(({ names }) => names.image === image);
  if (other === undefined) return;
  throw new UserError(`${quoted(image)} is the image of ${quoted(other.target)}, too`, {
    hint: `give each disk its own image: virsh edit ${shellWord(domain)}`,
  });
}

/**
 * A disk that the configuration lists.
 *
 * @throws {UserError} if it isn't in the domain, can't be managed, or lies where the hook may not go
 */
export function observeListed(
  domain: string,
  { target, commit, keepCommits, keepSession, byHand }: ConfiguredDisk,
  all: readonly ConfiguredDisk[],
  disks: readonly DomainDisk[],
  records: readonly SessionRecord[],
  imageFolders: readonly string[],
): ObservedDisk {
  const image = imageAt(domain, target, disks, imageFolders, records);
  if (byHand) checkPublishable(image);
  const names = namesOf(image);
  const listing = list(image);
  const record = recordOf(image, records);
  return {
    target,
    names,
    record,
    listed: true,
    ...flagOf(commit, startFlagOf(record, target, all), { names, listing, record }),
    keepCommits,
    keepSession,
    ...byHand && { byHand },
    source: "same",
    listing,
    ...timesOf(names, listing, record),
    named: disks.find((disk) => disk.target === target && disk.file !== image)?.file,
    // While it is idle, whoever gives the disk to somebody means it.
    owner: record === undefined || record.idle ? ownerOnDisk(names, listing) : record.owner,
  };
}

/** What is noted of an image, by this path or by one that a bind mount gives it. */
function recordOf(image: string, records: readonly SessionRecord[]): SessionRecord | undefined {
  const record = records.find((record) => isSameImage(record.image, image));
  return record && { ...record, image };
}

/**
 * The guest's firmware, where its file says that it belongs to the disks.
 *
 * @throws {UserError} if it is in no file, or where the program may not go
 */
export function observeFirmware(
  config: Pick<Config, "firmware"> | undefined,
  disks: readonly DomainDisk[],
  records: readonly SessionRecord[],
  folders: readonly string[],
): ObservedDisk[] {
  return firmwareOf(config, disks, folders).map(({ target, image }) => ({
    ...firmwareFile(target, image, recordOf(image, records)),
    listed: true,
  }));
}

/** A file of the firmware, which has neither flag nor commits of its own. */
function firmwareFile(target: string, image: string, record: SessionRecord | undefined): ObservedDisk {
  const names = namesOf(image);
  const listing = listIfThere(image);
  return {
    target,
    names,
    record,
    firmware: true,
    listed: false,
    flag: "clear",
    keepCommits: Infinity,
    keepSession: false,
    source: "same",
    listing,
    made: madeAt(image),
    owner: record === undefined || record.idle ? ownerOnDisk(names, listing) : record.owner,
  };
}

/**
 * The firmware among these keeps the versions that the guest's disks can go back to.
 *
 * @param all those by whose commits that is told
 */
export function withFirmwareKept(
  disks: readonly ObservedDisk[],
  all: readonly ObservedDisk[] = disks,
): ObservedDisk[] {
  return disks.map((disk) => disk.firmware ? { ...disk, keepCommits: versionsKept(disk, all) } : disk);
}

/**
 * The disks of a guest by their sessions' records, whatever became of the configuration since.
 *
 * @param config undefined if there is none
 * @param disks what the domain's XML names
 */
export function observeRecorded(
  records: readonly SessionRecord[],
  config: Config | "unreadable" | undefined,
  disks: readonly DomainDisk[] | "unreadable",
): ObservedDisk[] {
  const observed = observeEach(records, config, disks).filter((disk) => !hasMovedAway(disk));
  return observed.map((disk) => hasSuccessor(disk, observed) ? { ...disk, flag: "clear" } : disk);
}

/** The same, with those whose files are gone, and each by itself. */
export function observeEach(
  records: readonly SessionRecord[],
  config: Config | "unreadable" | undefined,
  disks: readonly DomainDisk[] | "unreadable",
): ObservedDisk[] {
  // One that the domain has with an image of its own is another disk.
  const isNamed = (target: string) =>
    disks !== "unreadable" && disks.some((disk) => disk.target === target) &&
    records.every(({ image }) => sourceOfTarget({ target, image }, disks) !== "same");
  const mayBeRenamed = typeof config === "object" &&
    config.disks.some(({ target }) =>
      records.every((record) => record.target !== target) && !isNamed(target)
    );
  return records.map((record) => observeOne(record, config, disks, mayBeRenamed));
}

/** Whether all files of an idle disk are gone, and the domain names another one: its image was renamed, moved or replaced. */
function hasMovedAway(disk: ObservedDisk): boolean {
  const { record, source } = disk;
  return record?.idle === true && source === "other" && stateOf(disk).kind === "missing" &&
    !record.waits && !record.lost && !record.pending;
}

/** @param mayBeRenamed the configuration lists a disk of which no record tells: it may be this one, under another target */
function observeOne(
  record: SessionRecord,
  config: Config | "unreadable" | undefined,
  disks: readonly DomainDisk[] | "unreadable",
  mayBeRenamed: boolean,
): ObservedDisk {
  const { target, image } = record;
  if (record.firmware) return firmwareFile(target, image, record);
  const { source, renamed } = disks === "unreadable"
    ? { source: disks, renamed: false }
    : sourceOf(record, disks);
  const names = namesOf(image);
  const listing = listIfThere(image);
  const known = {
    target,
    names,
    record,
    listed: false,
    source,
    renamed,
    listing,
    ...timesOf(names, listing, record),
    // What comes by migration has been given to QEMU already: whose it is shows where libvirt gives the image back.
    owner: record.visits === "first" ? ownerOnDisk(names, listing) : record.owner,
  } as const;
  const unreadable = { ...known, flag: "unreadable", keepCommits: Infinity, keepSession: false } as const;
  if (config === "unreadable") return unreadable;
  const disk = config?.disks.find((disk) => disk.target === target);
  // Its flag may be found under another target, or when an editor has put the file back.
  const isFlagged = record.flagged && stateOf({ ...unreadable }).kind === "session";
  if (disk === undefined && (isFlagged || mayBeRenamed)) return unreadable;
  const { commit, keepCommits, keepSession, byHand = undefined } = disk ??
    { commit: false, keepCommits: 0, keepSession: false };
  return {
    ...known,
    flag: commit ? "set" : "clear",
    // What is listed there is another disk's until a start has told.
    keepCommits: renamed ? Infinity : keepCommits,
    keepSession,
    ...byHand && { byHand },
  };
}

/** By what a disk's sessions are told from others, and when they were written to, by the host's clock. */
function timesOf(
  names: Names,
  listing: Listing,
  record: SessionRecord | undefined,
): Pick<
  ObservedDisk,
  "made" | "written" | "layerTimes" | "endedMade" | "endedWritten" | "layerChanged" | "layerWritten"
> {
  const image = lstat(names.image);
  const ended = listing.has(names.ended) ? lstat(names.ended) : undefined;
  const made = madeOf(image);
  const state = parse(names, listing);
  const top = state.kind === "session" ? names.layer(topOf(state.layers)) : undefined;
  const changed = made !== undefined && made < 0 && top !== undefined ? lstat(top)?.ctime : undefined;
  const layers = "layers" in state ? state.layers : [];
  const isTorn = "torn" in state && state.torn === true;
  const layerTimes = layerTimesOf(names, listing);
  const written = layers.find((_, index) =>
    isWritten(layerTimes[index]!, record?.below, isTorn && index === 0)
  );
  return {
    made,
    ...layerTimes.length > 0 && { layerTimes },
    ...written !== undefined && { layerWritten: written },
    ...top !== undefined && { written: writtenAt(image, record) },
    ...listing.has(names.ended) && { endedMade: madeOf(ended), endedWritten: writtenAt(ended, record) },
    ...changed && { layerChanged: changed.getTime() },
  };
}

/**
 * Whether a layer was written to since the session on it began.
 *
 * @param below when the layers had been written as it began, the lowest first
 * @param isTorn a merge was writing to it: a power cut may have taken that back, with the time
 */
function isWritten(time: number, below: readonly number[] = [time], isTorn: boolean): boolean {
  return !below.includes(time) && !(isTorn && time < below[0]!);
}

/** {@link ObservedDisk.layerTimes}: the lowest layer's first. */
export function layerTimesOf(names: Names, listing: Listing): number[] {
  const state = parse(names, listing);
  const layers = "layers" in state ? state.layers.map(names.layer) : [];
  // A session that is committed is a layer once that is completed.
  const others = [names.image, names.committing].filter((path) => listing.has(path));
  return [...layers, ...others].map(writtenTime);
}

/** When a file of a session was last written to, by the host's clock, in milliseconds. */
export function writtenAt(
  info: Deno.FileInfo | undefined,
  record: { readonly image: string; readonly ahead?: number } | undefined,
): number | undefined {
  const time = info?.mtime?.getTime();
  return time === undefined ? undefined : time - (record?.ahead ?? 0);
}

/** {@link ObservedDisk.made} of a file; undefined where there is none. */
export function madeAt(image: string): number | undefined {
  return madeOf(lstat(image));
}

/** The same of what is known of a file. */
export function madeOf(info: Deno.FileInfo | undefined): number | undefined {
  return info?.birthtime?.getTime() ?? (info?.ino ? -info.ino : undefined);
}
