import type { EventContext } from "./context.ts";
import { isIncoming } from "./live_status.ts";
import { writtenAt } from "./observe.ts";
import { lstat } from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import { readOwnRecords } from "../host/session_records.ts";
import { isUnwrittenSinceRestore } from "../state/observed_disk.ts";
import { startingStep } from "../state/step.ts";

/**
 * A guest that was called up here, and whose memory never came from the other host or the save, or not all of it: its end is that of a
 * migration or a restore that failed. The session is the other host's, or waits for the next restore. Before 10.5 libvirt doesn't say
 * so at `release`, nor ever where libvirtd was killed meanwhile; and the source may have given up the image's lock until it goes on.
 * Nothing is changed for a guest that has all its memory.
 *
 * A libvirtd that has found such a guest again doesn't say so any more: see {@link mayLackMemory}.
 */
export async function noteMissingMemory({ run, host, domain, paths }: EventContext): Promise<void> {
  if (!isIncoming(domain, host.settings)) return;
  const records = [...readOwnRecords(paths.note), ...readSeats(paths.seats)];
  const came = ["migration", "restore"].find((way) => records.some((record) => record.came === way));
  if (came === undefined) return;
  run.logInfo("", `its memory has not come: the ${came} counts as one that failed`);
  await run.take("", [startingStep(paths, came === "migration" ? "migrate" : "resume", records)]);
}

/**
 * Whether a restored guest that has ended, and not by itself, has not written to any disk yet: its memory may not have come from the
 * save, whatever was told.
 */
export function mayLackMemory({ extra, paths }: EventContext): boolean {
  if (!["crashed", "destroyed", "daemon", "-"].includes(extra)) return false;
  const disks = readOwnRecords(paths.note).filter(({ firmware, idle }) => !firmware && !idle);
  // One that began with the restore has nothing that the memory would have to fit.
  const restored = [...disks, ...readSeats(paths.seats)]
    .filter(({ came, resumed }) => came === "restore" && resumed !== undefined);
  return restored.length > 0 &&
    restored.every((record) =>
      isUnwrittenSinceRestore({ record, written: writtenAt(lstat(record.image), record) })
    );
}
