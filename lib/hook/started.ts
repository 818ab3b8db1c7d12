import { type EventContext, PATIENT } from "./context.ts";
import { layerTimesOf } from "./observe.ts";
import { seatsUp } from "./seat_release.ts";
import { list, listIfThere, lstat } from "../host/files.ts";
import { readOwnRecords } from "../host/session_records.ts";
import { disksFirst } from "../state/observed_disk.ts";
import { namesOf } from "../state/paths.ts";
import { unfinished } from "../state/records_at_release.ts";
import { parse } from "../state/state.ts";
import { endsWhenUp } from "../state/step.ts";
import * as moves from "../state/transitions.ts";

/**
 * A guest is up: its start can't fail any more, so the sessions that were set aside before go. What this start has set
 * aside stays until the next one is up. No memory has to come back for the session that it runs on. What merges of other hosts have
 * written to the files below it until now is noted as what it stands on.
 *
 * What can't be removed, or is left by a crash, goes at the guest's next start. Nothing is removed before all that can fail is done:
 * libvirt ends the guest then, and what it was saved on must still be there.
 *
 * @throws {UserError} if the note can't be written: a save of the guest would be taken for one of the session set aside
 */
export async function started(context: EventContext): Promise<void> {
  const { run, paths } = context;
  using _guest = await run.locks.guest(PATIENT);
  const forgetOfSeats = await seatsUp(context);
  if (lstat(paths.note) === undefined) return await forgetOfSeats();
  const images = readOwnRecords(paths.note).map(({ image }) => image);
  using _folders = await run.locks.folders(images, PATIENT);
  const records = readOwnRecords(paths.note);
  const left = records.map((record) => {
    // On another one than the guest runs on.
    if (record.detached) return record;
    const { aside: _aside, lost: _lost, over: _over, waits: _waits, ...rest } = record;
    // One that this start has begun: QEMU keeps the merges of other hosts from the files below it now.
    const isBegun = record.below !== undefined && record.continued === undefined;
    const names = namesOf(record.image);
    return { ...rest, ...isBegun && { below: layerTimesOf(names, listIfThere(record.image)) } };
  });
  const note = [{ kind: "note", path: paths.note, records: unfinished(left, listIfThere) } as const];
  if (endsWhenUp(records)) await run.take("", note);
  else await run.takeOrReport("", () => note);
  await forgetOfSeats();
  // A disk's is never there without its firmware's.
  const inOrder = disksFirst(records, (record) => record);
  let isDone = true;
  for (const { target, image, aside, firmware } of inOrder) {
    if (aside !== "forget" && aside !== "others" || firmware && !isDone) continue;
    isDone = await run.takeOrReport(target, () => {
      const names = namesOf(image);
      const state = parse(names, list(image));
      return state.kind === "session" && state.ended ? moves.removeSetAside(names) : [];
    }) && isDone;
  }
}
