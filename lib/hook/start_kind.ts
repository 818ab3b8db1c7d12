import {
  ageOf,
  AT_ONCE,
  type EventContext,
  isBeforeThisBoot,
  isElsewhere,
  isOnlyAnnounced,
  type readStart,
} from "./context.ts";
import { isSaved } from "./decide.ts";
import { readSeats } from "../host/seat_records.ts";
import { readRecords } from "../host/session_records.ts";
import { LONGEST_START } from "../state/observed_disk.ts";

/**
 * How long after `restore` or `migrate` its `prepare` may be called, in milliseconds. libvirt does it in a row, but other hooks that
 * are called between the two may take their time, and the memory of a guest must not come onto another disk.
 */
const IN_A_ROW = 120_000;

/** @param announced what is noted of the start */
export function startThatBegins(
  announced: ReturnType<typeof readStart>,
  context: EventContext,
): "fresh" | "resume" | "migrate" {
  if (announced === undefined || announced.word === "refused" || isElsewhere(announced, context)) {
    return "fresh";
  }
  const { word, more } = announced;
  const isAnnounced = isOnlyAnnounced(announced);
  // Whatever the clock says, which may just have been set: libvirt starts a guest of which it holds a managed save no other way.
  if (isAnnounced && isSaved(context)) return word;
  if (isBeforeThisBoot(announced, context)) return "fresh";
  // Also a second time, where the hook is installed twice.
  const age = ageOf(announced, context);
  if (more.includes("reverted")) return age < AT_ONCE ? word : "fresh";
  if (age < IN_A_ROW) return word;
  // Left behind by a restore that failed before its `prepare`, the word would keep an old session alive.
  return isAnnounced && age < LONGEST_START && isSavedToFile(context) ? word : "fresh";
}

/** Whether an end has left a session to a guest that was saved to a file. */
function isSavedToFile({ paths }: EventContext): boolean {
  return readRecords(paths.note).some(({ waits }) => waits === "saved") ||
    readSeats(paths.seats).some(({ waits }) => waits);
}
