import type { EventContext } from "./context.ts";
import { isIncoming } from "./live_status.ts";
import { readSeats } from "../host/seat_records.ts";
import { readOwnRecords } from "../host/session_records.ts";
import { startingStep } from "../state/plan.ts";

/**
 * A guest that was called up here, and whose memory never came from the other host, or not all of it: its end is that of a migration
 * that failed, and its session is the other host's. Before 10.5 libvirt doesn't say so at `release`, and the source may have given
 * up the image's lock until it goes on. Nothing is changed for a guest that has all its memory.
 */
export async function stopped({ run, host, domain, paths }: EventContext): Promise<void> {
  if (!isIncoming(domain, host.settings)) return;
  const records = [...readOwnRecords(paths.note), ...readSeats(paths.seats)];
  if (!records.some(({ came }) => came === "migration")) return;
  run.logInfo("", "its memory has not come: this is the end of a migration that failed");
  await run.take("", [startingStep(paths, "migrate", records)]);
}
