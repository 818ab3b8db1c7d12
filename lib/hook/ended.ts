import type { EventContext } from "./context.ts";
import { isSaved } from "./decide.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import type { Facts } from "../state/decision_table.ts";
import type { EndedGuest } from "../state/records_at_release.ts";

/** What an end rests on besides its disks. */
export interface Ended {
  readonly start: Facts["start"];
  readonly end: Facts["end"];
  readonly config: Config | "unreadable" | undefined;
  readonly disks: readonly DomainDisk[] | "unreadable";
}

/**
 * What an end was like, for what is noted of disks and seats.
 *
 * @param isRestored the guest's memory had come from a save
 */
export function endedGuest(
  { start, end }: Pick<Ended, "start" | "end">,
  isRestored: boolean,
  context: EventContext,
): EndedGuest {
  const { extra } = context;
  const isUp = start === "up";
  return {
    isUp,
    at: context.begun,
    isUntold: end === "unknown",
    isRefused: start === "refused",
    // A restore may be tried again, whether libvirt has told that the guest is up or not. One that was refused has touched nothing.
    isSaved: start !== "refused" &&
      (start === "resume" || end === "failed" && isRestored || extra === "saved" ||
        ["unknown", "crashed", "failed"].includes(end) && isSaved(context)),
    isMigrated: isUp && (extra === "migrated" || end === "unknown"),
    isGone: extra === "migrated",
    isAborted: isUp || start === "migrate",
  };
}
