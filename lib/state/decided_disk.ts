import type { Decision } from "./decision_table.ts";
import { hasSetAside, type ObservedDisk } from "./observed_disk.ts";

/** A disk and what is to happen to it. */
export interface DecidedDisk {
  readonly disk: ObservedDisk;
  readonly decision: Decision;
  /** It stays in its place since what its start has set aside is still there. */
  readonly isBeside?: true;
}

/** Whether the disk gets a new session. */
export function beginsSession(decision: Decision): boolean {
  return decision === "new session" || decision === "set aside, new session";
}

/**
 * At an end at which a session of the guest is committed or set aside: whether what is set aside of this disk goes. It would
 * be of another time than what is left of the others.
 */
export function losesSetAside({ disk, decision }: DecidedDisk, all: readonly DecidedDisk[]): boolean {
  return decision === "discard" && hasSetAside(disk) &&
    all.some((other) => !other.disk.firmware && ["commit", "set aside"].includes(other.decision));
}
