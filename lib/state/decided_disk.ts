import type { Decision } from "./decision_table.ts";
import type { ObservedDisk } from "./observed_disk.ts";

/** A disk and what is to happen to it. */
export interface DecidedDisk {
  readonly disk: ObservedDisk;
  readonly decision: Decision;
}

/** Whether the disk gets a new session. */
export function beginsSession(decision: Decision): boolean {
  return decision === "new session" || decision === "set aside, new session";
}
