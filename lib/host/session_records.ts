import { read, siblings } from "./files.ts";
import { guestOfNote } from "../state/paths.ts";
import { parseRecords, type SessionRecord } from "../state/session_record.ts";

/** What the note of a guest lists; nothing where there is none. */
export function readRecords(path: string): SessionRecord[] {
  const text = read(path);
  return text === undefined ? [] : parseRecords(path, text);
}

/**
 * What the note of a guest lists and no other guest has begun a session on since: an image may be handed on, or be
 * configured for both.
 */
export function readOwnRecords(path: string): SessionRecord[] {
  const records = readRecords(path);
  if (records.length === 0) return records;
  const others = readOtherRecords(path);
  return records.filter(({ image, started }) =>
    others.every((other) => other.image !== image || other.started <= started)
  );
}

/** What the notes of all other guests list. One that can't be read is a matter of its own guest's events. */
export function readOtherRecords(path: string): SessionRecord[] {
  return otherGuests(path).flatMap(({ records }) => records);
}

/** The notes of all other guests. */
export function otherGuests(
  path: string,
): { readonly domain: string; readonly records: readonly SessionRecord[] }[] {
  return siblings(path).flatMap((other) => {
    const domain = guestOfNote(other);
    if (domain === undefined) return [];
    try {
      return [{ domain, records: readRecords(other) }];
    } catch {
      return [];
    }
  });
}
