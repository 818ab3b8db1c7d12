import { UserError } from "../errors.ts";
import { openElsewhere } from "./image_errors.ts";
import { movingAway } from "../host/files.ts";
import type { ObservedSeat } from "../state/seat.ts";
import type { SeatRefusal } from "../state/seat_table.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** Why a start is refused for a seat, with what an administrator can do about it. */
export function explainSeat(
  kind: SeatRefusal,
  { target, names, master, file, record, written, endedWritten }: ObservedSeat,
  domain: string,
): UserError {
  const image = quoted(names.image);
  const word = shellWord(names.image);
  const guest = shellWord(domain);
  switch (kind) {
    case "refuse: not a seat's":
      return new UserError(
        `${image} is no session on ${quoted(master.image)}: a seat's image is made at each start`,
        {
          hint: `see what it is: qemu-img info ${word}; and move it away: ${movingAway(names.image)}`,
        },
      );
    case "refuse: no seat any more":
      return new UserError(
        `${image} is a session on ${quoted(master.image)}, and not configured as its seat any more`,
        {
          hint: `list it again: autorevert enable ${guest} ${target} --master ${shellWord(master.image)}; ` +
            `or throw the session away, and give the disk an image of its own: ${
              recoverCommand("--discard", domain, target)
            }`,
        },
      );
    case "refuse: in use":
      return openElsewhere(names.image, "event");
    case "refuse: nothing to resume": {
      const gone = `the session of ${image} that the guest was saved on is gone`;
      const drop = `bring it back, or drop the saved guest: virsh managedsave-remove ${guest}`;
      const [path, found, saved] = file === "session"
        ? [names.image, written, record?.beside ? undefined : record?.written]
        : [names.ended, endedWritten, record?.written ?? record?.setsAside];
      if (found === undefined || !saved) return new UserError(gone, { hint: drop });
      return new UserError(
        `${gone}: ${quoted(path)} was last written to at ${timeOf(found)}, and the guest saved on one of ${
          timeOf(saved)
        }`,
        {
          hint: "if it is the same, and only its file was copied or mended since: " +
            `touch -d ${timeOf(saved)} ${shellWord(path)}; else ${drop}`,
        },
      );
    }
    case "refuse: not its session":
      return new UserError(
        `nobody can tell on which session the guest was saved: ${image}, last written to at ${
          timeOf(written)
        }, or the one that is set aside, at ${timeOf(endedWritten)}`,
        {
          // The restore puts back what is set aside itself, with its firmware.
          hint: `put the other one away, and restore the guest again: if it was saved on the first, ${
            movingAway(names.ended, names.image)
          }; if on the second, ${movingAway(names.image)}; merges wait until what is put away is removed`,
        },
      );
    case "refuse: no session to migrate":
      return new UserError(`the guest migrates here without the session of ${image} that it runs on`, {
        hint:
          "migrate on shared storage, between hosts that both have this hook and the guest's configuration",
      });
    default:
      return kind satisfies never;
  }
}

function timeOf(written: number | undefined): string {
  return written === undefined ? "a time that can't be told" : new Date(written).toISOString();
}
