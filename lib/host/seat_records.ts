import * as files from "./files.ts";
import { guestNames, guestOfSeats } from "../state/paths.ts";
import { formatSeats, parseSeats, type SeatRecord } from "../state/seat_record.ts";

/** What a guest's note says of its seats; nothing where there is none. */
export function readSeats(path: string): SeatRecord[] {
  const text = files.read(path);
  return text === undefined ? [] : parseSeats(path, text);
}

/** Which seats the note says stand on a layer, from now on; one that says of none goes. Durable. */
export function writeSeats(path: string, records: readonly SeatRecord[]): void {
  if (records.length > 0) return files.write(path, formatSeats(records), { durable: true });
  if (files.lstat(path) !== undefined) files.remove(path);
}

/** The seats of one guest, or that its note of them can't be read. */
export interface GuestSeats {
  readonly domain: string;
  readonly records: readonly SeatRecord[] | "unreadable";
}

/** The seats of all guests. */
export function allSeats(configFolder: string): GuestSeats[] {
  return files.listNames(configFolder).flatMap((name): GuestSeats[] => {
    const domain = guestOfSeats(`/${name}`);
    if (domain === undefined) return [];
    try {
      return [{ domain, records: readSeats(guestNames(configFolder, domain).seats) }];
    } catch {
      return [{ domain, records: "unreadable" }];
    }
  });
}
