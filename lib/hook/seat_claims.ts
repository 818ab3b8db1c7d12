/** Whose image a seat is: each belongs to one guest, and is neither a master nor a disk of its own. */

import type { EventContext } from "./context.ts";
import { readableDisksIn } from "./definitions.ts";
import { sourceOfTarget } from "./image_path.ts";
import { isForsaken } from "./seat_guest.ts";
import { UserError, withContext } from "../errors.ts";
import * as files from "../host/files.ts";
import { allSeats } from "../host/seat_records.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { guestNames } from "../state/paths.ts";
import type { ObservedSeat } from "../state/seat.ts";
import type { SeatRecord } from "../state/seat_record.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { quoted, shellWord } from "../text.ts";

/** @throws {UserError} if a disk is listed for itself, and a session of it stands on a master still */
export function checkNotManaged(records: readonly SeatRecord[], config: Config | undefined): void {
  for (const { target, image, master } of records) {
    if (!config?.disks.some((disk) => disk.target === target)) continue;
    throw withContext(
      target,
      new UserError(
        `${quoted(image)} is a session on ${quoted(master)}, and is listed as a disk of its own`,
        {
          hint: "end that session first: list the disk as a seat again, and start and end its guest; " +
            `or: autorevert recover --discard DOMAIN ${shellWord(image)}`,
        },
      ),
    );
  }
}

/**
 * These records, but for those of disks that the guest had once and whose images are seats by now, of this guest or another one: what
 * lies beside them is those seats' own.
 */
export function withoutSeats(
  records: readonly SessionRecord[],
  config: Config | undefined,
  disks: readonly DomainDisk[],
  { host }: Pick<EventContext, "host">,
): readonly SessionRecord[] {
  const isOwn = (record: SessionRecord) =>
    record.firmware === true || sourceOfTarget(record, disks) === "same" &&
      config?.disks.some(({ target }) => target === record.target);
  // libvirt waits for each note that is read.
  if (records.every(isOwn)) return records;
  const seats = allSeats(host.settings.configFolder).flatMap(({ records }) =>
    records === "unreadable" ? [] : records.map(({ image }) => image)
  );
  return records.filter((record) => isOwn(record) || !seats.includes(record.image));
}

/** The notes of guests that are gone name these images no more: they are this guest's now. */
export async function takeOver(
  images: readonly string[],
  { run, host, domain }: EventContext,
): Promise<void> {
  const { configFolder } = host.settings;
  for (const { domain: other, records } of allSeats(configFolder)) {
    if (other === domain || records === "unreadable" || !isForsaken(other, { host })) continue;
    const left = records.filter(({ image }) => !images.includes(image));
    if (left.length === records.length) continue;
    await run.take("", [{ kind: "seats", path: guestNames(configFolder, other).seats, records: left }]);
  }
}

/** What to do where the notes of two guests name one image. */
function wayFromClaim(
  image: string,
  [domain, other]: readonly [string, string],
  { settings: { configFolder, definedFolder } }: EventContext["host"],
): string {
  const [own, theirs] = [domain, other].map((guest) => shellWord(guestNames(configFolder, guest).seats));
  const [isOwn, isTheirs] = [domain, other].map((guest) => {
    const disks = readableDisksIn(definedFolder, guest);
    return disks &&
      disks.some(({ file }) => file !== undefined && (file === image || files.sameFile(file, image)));
  });
  // Each has an image of its own.
  if (isOwn && isTheirs === false) return `if the note of ${quoted(other)} is a copy: rm ${theirs}`;
  if (isTheirs && isOwn === false) return `if the note of ${quoted(domain)} is a copy: rm ${own}`;
  const edit = `give each an image of its own: virsh edit ${shellWord(domain)}`;
  // Else this guest's own note is of other seats.
  const isNoted = files.lstat(guestNames(configFolder, domain).seats) !== undefined;
  return isNoted ? edit : `${edit}; if it was renamed: mv -n ${theirs} ${own}`;
}

/** @throws {UserError} if a seat's image is another guest's, or somebody's master */
export function checkClaims(
  seats: readonly Pick<ObservedSeat, "target" | "names" | "master">[],
  { host, domain }: EventContext,
): void {
  const { configFolder } = host.settings;
  const others = allSeats(configFolder).filter((guest) =>
    guest.domain !== domain && !isForsaken(guest.domain, { host })
  );
  for (const { target, names, master } of seats) {
    for (const { domain: other, records } of others) {
      if (records === "unreadable") continue;
      if (records.some(({ image }) => image === names.image)) {
        throw withContext(
          target,
          new UserError(`${quoted(names.image)} is a seat of the guest ${quoted(other)}, too`, {
            hint: wayFromClaim(names.image, [domain, other], host),
          }),
        );
      }
      const isSeat = records.some(({ image }) => image === master.image);
      const isMaster = records.some((record) => record.master === names.image);
      if (isSeat || isMaster) {
        throw withContext(
          target,
          new UserError(
            `${quoted(isSeat ? master.image : names.image)} is a seat of the guest ${
              quoted(isSeat ? other : domain)
            }, and can't be a master, too`,
            { hint: 'correct "master" in the configuration: it names an image that is no seat' },
          ),
        );
      }
    }
  }
}
