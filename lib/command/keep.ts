import { type GuestCommand, tellSetAside } from "./guest_command.ts";
import { onIdleDisks } from "./idle_disks.ts";
import type { Idle } from "./idle_operation.ts";
import { isWrittenSince } from "../hook/layer_writes.ts";
import { topLayer } from "../hook/ways_out.ts";
import { readRecordsInForce } from "../host/session_records.ts";
import type { SessionRecord } from "../state/session_record.ts";

/**
 * Makes the last session, which was set aside, part of the disk, as if its flag had been set. After an undo that is what was undone,
 * and where no disk is named, nothing else.
 *
 * After a crash the sessions are all set aside, or all committed with the next event of the guest.
 *
 * @throws {UserError} if there is none, or a session exists
 */
export async function keep(context: GuestCommand): Promise<void> {
  const firmware = readRecordsInForce(context.paths.note).filter(({ firmware }) => firmware);
  await onIdleDisks(context, {
    verb: "keep",
    applies: ({ state }) => state.ended,
    among: (idle) => {
      const isUndone = ({ disk }: Idle) => disk.record?.undone === true;
      const disks = idle.filter(({ disk }) => !disk.firmware);
      const undone = disks.filter(isUndone);
      const meant = context.targets.length > 0 || undone.length === 0 ? disks : undone;
      const firmware = idle.filter((one) => one.disk.firmware && isUndone(one) === meant.some(isUndone));
      return [...meant, ...firmware];
    },
    others: "nothing of that session set aside",
    nothing: "no session was set aside",
    key: "keep-session",
    question: (idle, all) => {
      const doubts = [
        ...!idle.disk.firmware && isWrittenSince(idle.disk.names, topLayer(idle.disk))
          ? ["the disk was written to since the session was set aside, which may not fit to it any more"]
          : [],
        ...!all.some(({ disk }) => disk.firmware) && firmware.some((file) => !fits(file, idle.disk.record))
          ? ["the guest's firmware has nothing of the session, and may not fit to it"]
          : [],
      ];
      return doubts.length > 0 ? `${doubts.join("; ")}. Keep the session all the same` : undefined;
    },
    done: "the last session is part of the disk now: the next start begins with it",
  });
  tellSetAside(context);
}

/** Whether the firmware may be as it was in the session of a disk: it was committed with another one, or an undo has left it as it is. */
function fits({ committed }: SessionRecord, record: SessionRecord | undefined): boolean {
  const last = committed?.at(-1)?.at;
  return record?.undone === true || last !== undefined && record !== undefined && last >= record.started;
}
