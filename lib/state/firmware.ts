/**
 * UEFI variables and the state of a TPM: files of the guest that belong to its disks. What happens to the disks happens to
 * them, so they have no rows of their own in the decision table.
 */

import type { DecidedDisk } from "./decided_disk.ts";
import type { Decision, Facts } from "./decision_table.ts";
import { isUnborn, type ObservedDisk, stateOf, waitsToBeSetAside } from "./observed_disk.ts";
import type { DecidedSeat } from "./seat.ts";
import type { SeatDecision } from "./seat_table.ts";
import { hasEnded } from "./state.ts";

/** What is decided of the guest's disks, and of its seats. */
type Decisions = readonly (Decision | SeatDecision)[];

/** What a start makes of the firmware among these files, by what it makes of the guest's disks and seats. Pure. */
export function firmwareAtPrepare(
  all: readonly ObservedDisk[],
  disks: readonly Decision[],
  seats: readonly SeatDecision[],
  start: "fresh" | "resume" | "migrate",
): DecidedDisk[] {
  return firmwareIn(all).map((disk) => ({
    disk,
    decision: atPrepare(disk, [...disks, ...seats], seats, start),
  }));
}

function atPrepare(
  disk: ObservedDisk,
  decisions: Decisions,
  seats: readonly SeatDecision[],
  start: "fresh" | "resume" | "migrate",
): Decision {
  const state = stateOf(disk);
  const isSession = state.kind === "session";
  const ended = hasEnded(state);
  if (has(decisions, "keep", "resume", "put back")) {
    // Where a migration fails, libvirt removes the TPM's state at its target, with all that lies beside it.
    if (disk.listed && disk.target === "tpm" && start === "migrate") return "refuse: TPM to migrate";
    const isUnfit = has(decisions, "keep") ? isUnborn(disk) : has(decisions, "put back");
    if (ended && (!isSession || isUnfit && !waitsToBeSetAside(disk))) return "put back";
    if (isSession) return has(decisions, "resume") ? "resume" : "keep";
    // The guest boots: at its first start, cut short before, nothing was written to it yet. Or its memory comes back, and the firmware
    // was committed with a disk, or is managed only now: what it was before the guest was saved, nobody can tell any more.
    if (disk.listed && start !== "migrate" && state.kind !== "stray") return "new session";
    return disk.listed && start === "migrate" ? "refuse: no session to migrate" : "nothing";
  }
  // The memory that comes back goes with it, though an external snapshot stands on the disk's session.
  if (start === "resume" && isSession && isOurs(disk) && has(decisions, "leave to a person")) return "keep";
  const isDone = disk.record?.aside === "stay" && !waitsToBeSetAside(disk);
  // A start that was cut short may have set the disk's aside already.
  const isDue = has(decisions, "set aside, new session") || waitsToBeSetAside(disk);
  const isSetAside = isSession && isDue && !isDone;
  // What a guest was saved on stays with the disk's, whatever is listed since.
  if (!disk.listed && !(isSetAside && isOurs(disk))) return isSession && isOurs(disk) ? "discard" : "let go";
  // A seat's guest may be saved at another host on both.
  const isSeats = disk.record === undefined && has(seats, "set aside, new session");
  if (isSession && !isOurs(disk) && !isSeats) return "refuse: not ours";
  if (state.kind === "stray") return "refuse: stray commit";
  return isSetAside ? "set aside, new session" : "new session";
}

/** What an end makes of the firmware among these files, by what it makes of the guest's disks and seats. Pure. */
export function firmwareAtRelease(
  all: readonly ObservedDisk[],
  decided: readonly DecidedDisk[],
  seats: readonly DecidedSeat[],
  start: Facts["start"],
): DecidedDisk[] {
  // What a disk that was detached waits for is no longer the guest's matter.
  const attached = {
    disks: decided.filter(({ disk }) => disk.source !== "gone" && !disk.record?.detached),
    seats: seats.filter(({ seat }) => seat.source !== "gone" && !seat.record?.detached),
  };
  const isAny = attached.disks.length > 0 || attached.seats.length > 0;
  const { disks, seats: others } = isAny ? attached : { disks: decided, seats };
  const decisions = [...disks, ...others].map(({ decision }) => decision);
  // Of one that isn't there, or isn't what was noted, nobody knows how it will end.
  const isUnknown = disks.some(({ disk, decision }) =>
    decision === "nothing" && disk.source !== "other" && !["plain", "layered"].includes(stateOf(disk).kind)
  );
  return firmwareIn(all).map((disk) => ({ disk, decision: atRelease(disk, decisions, isUnknown, start) }));
}

function atRelease(
  disk: ObservedDisk,
  decisions: Decisions,
  isUnknown: boolean,
  start: Facts["start"],
): Decision {
  if (stateOf(disk).kind !== "session" || !isOurs(disk)) return "nothing";
  // The saved guest is still to be resumed.
  if (start === "refused" || start === "resume" || start === "migrate") return "leave";
  // Nor has a start that was cut short replaced it yet.
  if (start === "fresh" && waitsToBeSetAside(disk)) return "leave";
  if (has(decisions, "commit")) return "commit";
  if (isUnknown || has(decisions, "hold", "leave", "pass on", "leave to a person")) return "leave";
  return has(decisions, "set aside") ? "set aside" : "discard";
}

/** Whether the session that lies there was begun by this guest: while the file is idle, only somebody else replaces it. */
function isOurs({ record }: ObservedDisk): boolean {
  return record !== undefined && !record.idle;
}

function firmwareIn(all: readonly ObservedDisk[]): ObservedDisk[] {
  return all.filter(({ firmware }) => firmware);
}

/** Whether one of these is decided of any disk. */
function has(decisions: Decisions, ...some: Decision[]): boolean {
  return some.some((one) => decisions.includes(one));
}
