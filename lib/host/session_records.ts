import { besides, read } from "./files.ts";
import { guestOfNote } from "../state/paths.ts";
import { type Entry, parseNote } from "../state/session_record.ts";

/** What the note of a guest lists; nothing where there is none. */
export function readNote(path: string): Entry[] {
  const text = read(path);
  return text === undefined ? [] : parseNote(path, text);
}

/**
 * What the note of a guest lists and no other guest has begun a session on since: an image may be handed on, or be
 * configured for both.
 */
export function readOwnNote(path: string): Entry[] {
  const entries = readNote(path);
  if (entries.length === 0) return entries;
  const others = readOtherNotes(path);
  return entries.filter(({ image, started }) =>
    others.every((other) => other.image !== image || other.started <= started)
  );
}

/** What the notes of all other guests list. One that can't be read is a matter of its own guest's events. */
export function readOtherNotes(path: string): Entry[] {
  return otherNotes(path).flatMap(({ entries }) => entries);
}

/** The notes of all other guests. */
export function otherNotes(path: string): { readonly domain: string; readonly entries: readonly Entry[] }[] {
  return besides(path).flatMap((other) => {
    const domain = guestOfNote(other);
    if (domain === undefined) return [];
    try {
      return [{ domain, entries: readNote(other) }];
    } catch {
      return [];
    }
  });
}
