/** What seats cost beside disks that are managed for themselves. */

import { repeated, sideBySide, type Times } from "./measure.ts";
import type { Guest, Place } from "./place.ts";

const SEATS = 50;
const TIMES = 5;

const prepare = (guest: Guest) => guest.handle("prepare", "begin", "-");
const release = (guest: Guest) => guest.handle("release", "end", "shutdown");
const all = (guests: readonly Guest[], what: (guest: Guest) => Promise<void>) => async () =>
  void await Promise.all(guests.map(what));

export interface PoolCosts {
  /** `prepare` and `release` of one guest, by the kind of its disk. */
  readonly events: Readonly<Record<"managed" | "seat" | "managed release" | "seat release", Times>>;
  /** Of an idle seat, the most of fifty, in bytes: its image, what is beside it, and its note. */
  readonly idleBytes: number;
  /** Until fifty have started that were started at once. */
  readonly managed: Times;
  readonly seats: Times;
  /** Until fifty seats and fifty managed guests have started that were started at once. */
  readonly both: Times;
}

export async function measurePool(place: Place): Promise<PoolCosts> {
  const master = await place.guest("lab");
  const managed: Guest[] = [];
  const seats: Guest[] = [];
  for (let number = 0; number < SEATS; number++) {
    managed.push(await place.guest(`pooled-${number}`));
    seats.push(await place.seat(`seat-${number}`, master));
  }
  const [one, other] = [managed[0]!, seats[0]!];
  const shell = (guest: Guest, ...words: string[]) =>
    `${guest.event(words[0]!, ...words.slice(1)).join(" ")} < ${guest.xml}`;
  const start = (guest: Guest) =>
    `${shell(guest, "prepare", "begin", "-")} && ${shell(guest, "started", "begin", "-")}`;
  const end = (guest: Guest) => shell(guest, "release", "end", "shutdown");
  const subject = (name: string, guest: Guest, call: readonly string[], before: string) => ({
    name,
    command: guest.event(call[0]!, ...call.slice(1)),
    input: guest.xml,
    before,
  });
  const events = await sideBySide([
    subject("managed", one, ["prepare", "begin", "-"], end(one)),
    subject("seat", other, ["prepare", "begin", "-"], end(other)),
    subject("managed release", one, ["release", "end", "shutdown"], start(one)),
    subject("seat release", other, ["release", "end", "shutdown"], start(other)),
  ]) as PoolCosts["events"];
  const ready = async () => {
    await all(managed, release)();
    await all(seats, release)();
  };
  await ready();
  const times = {
    managed: await repeated(TIMES, all(managed, prepare), ready),
    seats: await repeated(TIMES, all(seats, prepare), ready),
    both: await repeated(TIMES, all([...managed, ...seats], prepare), ready),
  };
  await ready();
  return { events, idleBytes: Math.max(...seats.map((seat) => place.bytesOf(seat))), ...times };
}
