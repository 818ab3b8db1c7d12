import { inResolvedFolder, listIfThere, lstat, read, sameFile, siblings } from "./files.ts";
import { folderOf, guestNames, guestOfNote, namesOf } from "../state/paths.ts";
import { unfinished } from "../state/records_at_release.ts";
import { parseRecords, type SessionRecord } from "../state/session_record.ts";
import { parse } from "../state/state.ts";

/** What the note of a guest lists, each image where its folder is now; nothing where there is none. */
export function readRecords(path: string): SessionRecord[] {
  return readAsNoted(path).map(({ image, commits, ...rest }) => ({
    ...rest,
    image: inResolvedFolder(image),
    ...commits && { commits: commits.map((one) => ({ ...one, disks: one.disks.map(inResolvedFolder) })) },
  }));
}

function readAsNoted(path: string): SessionRecord[] {
  const text = read(path);
  return text === undefined ? [] : parseRecords(path, text);
}

/**
 * What the note of a guest lists and no other guest has begun a session on since: an image may be handed on, or be
 * configured for both. Of one on which the guest was saved, or may have been, it stays known that its session is gone.
 */
export function readOwnRecords(path: string): SessionRecord[] {
  return readWithOwners(path).flatMap(({ record, isSuperseded }) => {
    if (!isSuperseded) return record;
    const { waits, pending: _, ...rest } = record;
    const isLost = waits === "saved" || rest.lost || rest.setsAside !== undefined;
    return isLost ? { ...rest, idle: true, lost: true } : [];
  });
}

/** Those of them that say what lies there now: of the others it is only known that a saved guest's memory doesn't fit to it. */
export function readRecordsInForce(path: string): SessionRecord[] {
  return readWithOwners(path).flatMap(({ record, isSuperseded }) => isSuperseded ? [] : record);
}

function readWithOwners(
  path: string,
): { readonly record: SessionRecord; readonly isSuperseded: boolean }[] {
  const records = readRecords(path);
  const others = readOtherRecords(path, records.map(({ image }) => image));
  return records.map((record) => ({
    record,
    isSuperseded: hasTakenNothing(record) || others.some((other) => supersedes(other, record)),
  }));
}

/**
 * These records, and those of the guest's note that a start of another guest has superseded and that isn't over: if it
 * fails, they are what is known of the image.
 */
export function withSuperseded(path: string, records: readonly SessionRecord[]): SessionRecord[] {
  // What is known of a superseded one is no change of it.
  const isUnchanged = ({ image, started }: SessionRecord) => {
    const next = records.find((record) => record.image === image);
    return next === undefined || next.lost && next.started === started;
  };
  const unchanged = readRecords(path).filter(isUnchanged);
  if (unchanged.length === 0) return [...records];
  const starting = otherGuests(path, unchanged.map(({ image }) => image)).filter(({ domain }) =>
    lstat(guestNames(folderOf(path), domain).starting) !== undefined
  );
  const superseded = unchanged.filter((record) =>
    starting.some(({ records }) => records.some((other) => supersedes(other, record)))
  );
  const images = superseded.map(({ image }) => image);
  return [
    ...records.filter(({ image }) => !images.includes(image)),
    ...unfinished(superseded, listIfThere),
  ];
}

function supersedes(other: SessionRecord, { image, started }: SessionRecord): boolean {
  return other.image === image && other.started > started && !hasTakenNothing(other);
}

/** A start that found another guest's session set aside, and was cut short before it made one, or failed, has taken nothing over. */
function hasTakenNothing({ image, aside }: SessionRecord): boolean {
  return aside === "others" && parse(namesOf(image), listIfThere(image)).kind !== "session";
}

/** What the notes of all other guests list, as {@link otherGuests}. */
export function readOtherRecords(path: string, images: readonly string[]): SessionRecord[] {
  return otherGuests(path, images).flatMap(({ records }) => records);
}

/**
 * The notes of all other guests. One that can't be read is a matter of its own guest's events.
 *
 * @param images an image that another guest has by another path (of a bind mount) is told by the one that is here
 */
export function otherGuests(
  path: string,
  images: readonly string[],
): { readonly domain: string; readonly records: readonly SessionRecord[] }[] {
  const asHere = (record: SessionRecord): SessionRecord => ({
    ...record,
    image: images.find((image) => isSameImage(image, record.image)) ?? record.image,
  });
  return siblings(path).flatMap((other) => {
    const domain = guestOfNote(other);
    if (domain === undefined) return [];
    try {
      // Folders of other guests are not asked for: their server may not answer.
      return [{ domain, records: readAsNoted(other).map(asHere) }];
    } catch {
      return [];
    }
  });
}

/** Whether two paths are one name in one folder. The file itself may be missing for a moment. */
export function isSameImage(a: string, b: string): boolean {
  const name = (path: string) => path.slice(path.lastIndexOf("/"));
  return a === b || name(a) === name(b) && sameFile(folderOf(a), folderOf(b));
}
