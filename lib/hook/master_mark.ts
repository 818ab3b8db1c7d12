import type { EventContext } from "./context.ts";
import { seatsListedOn } from "./seat_masters.ts";
import { isOn } from "./standing.ts";
import { allSeats } from "../host/seat_records.ts";
import type { Stage } from "../state/commit_plan.ts";
import { type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { after } from "../state/step.ts";

/**
 * An empty file is lost easily: `find -empty -delete`, a copy that leaves it out. A disk in layers that a seat's note or configuration
 * of this host names as its master gets its mark back before anything else is decided: of what is set aside there is no note.
 *
 * @returns the disks as they are with their marks, and what makes them
 */
export function restoreMasterMarks(
  disks: readonly ObservedDisk[],
  { host }: Pick<EventContext, "host">,
): { readonly disks: readonly ObservedDisk[]; readonly stages: readonly Stage[] } {
  const isUnmarked = (disk: ObservedDisk) => {
    const state = stateOf(disk);
    return "layers" in state && state.master === undefined;
  };
  // Of most disks nobody asks: neither notes nor configurations are read for them.
  if (!disks.some(isUnmarked)) return { disks, stages: [] };
  const noted = allSeats(host.settings.configFolder).flatMap(({ records }) =>
    records === "unreadable" ? [] : records
  );
  const isLost = (disk: ObservedDisk) =>
    isUnmarked(disk) &&
    (noted.some((record) => isOn(disk.names, record)) || seatsListedOn(disk.names, { host }).length > 0);
  const step = ({ names }: ObservedDisk) => ({ kind: "mark", path: names.master } as const);
  return {
    disks: disks.map((disk) => isLost(disk) ? { ...disk, listing: after(disk.listing, step(disk)) } : disk),
    stages: disks.filter(isLost).map((disk) => ({ subject: disk.target, steps: [step(disk)] })),
  };
}
