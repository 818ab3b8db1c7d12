/** Every combination of facts that the state tables can be asked about. */

import type { Facts } from "../lib/state/decision_table.ts";
import type { SeatFacts } from "../lib/state/seat_table.ts";

/** Facts of which all that can be looked up is known. */
export type Known = Required<Facts>;

const both = [true, false];
const everywhere = {
  state: ["plain", "layered", "session", "stray", "missing"],
  ended: both,
  held: both,
  unborn: both,
  replaced: both,
  stood: [false],
  stays: [false],
  keeps: both,
  look: ["busy", "sound", "moved", "replaced", "damaged"],
} as const;

/** Every combination of these facts. */
function* product<All>(values: { readonly [K in keyof All]: readonly All[K][] }): Generator<All> {
  const keys = Object.keys(values) as (keyof All)[];
  function* from(index: number, facts: Partial<All>): Generator<All> {
    const key = keys[index];
    if (key === undefined) return yield facts as All;
    for (const value of values[key]) yield* from(index + 1, { ...facts, [key]: value });
  }
  yield* from(0, {});
}

const prepare = {
  ...everywhere,
  event: ["prepare"],
  waits: [false],
  start: ["fresh", "resume", "migrate"],
  end: ["none"],
  ended: [false, true, "other"],
  came: ["not"],
  ours: both,
  flag: ["set", "clear", "unreadable"],
  saved: both,
} as const;
/** All that can be true of a disk that the configuration lists, at a start. */
export const listedAtPrepare = [...product<Known>({ ...prepare, listed: [true], source: ["same"] })];
/** … and of one that only the note knows. */
export const unlistedAtPrepare = [
  ...product<Known>({
    ...prepare,
    stood: both,
    listed: [false],
    source: ["same", "other", "gone", "unreadable"],
  }),
];
export const atPrepare = [...listedAtPrepare, ...unlistedAtPrepare];
const release = {
  ...everywhere,
  event: ["release"],
  waits: both,
  start: ["up", "fresh", "resume", "migrate", "refused"],
  end: ["normal", "destroyed", "suspended", "crashed", "failed", "unknown"],
  came: ["not"],
  ours: both,
  listed: [false],
  flag: ["set", "clear", "unreadable"],
  source: ["same", "other", "gone", "unreadable"],
  saved: both,
} as const;
/** … and at an end. */
export const atRelease = [
  ...product<Known>(release),
  // Of a memory that has come nothing is said before the guest is called up.
  ...product<Known>({
    ...release,
    came: ["restore", "migration"],
    start: ["up"],
    ended: [false],
    held: [false],
    unborn: [false],
    ours: [true],
  }),
  ...product<Known>({ ...release, start: ["up"], ended: [true], stays: [true], ours: [true] }),
];

const ofSeats = {
  file: ["none", "session", "other"],
  ours: both,
  listed: both,
  unborn: both,
  another: both,
  source: ["same", "other", "gone", "unreadable"],
  saved: both,
  look: ["busy", "free"],
} as const;
/** All that can be true of a seat, at a start and at an end. */
export function* seatFacts(): Generator<Required<SeatFacts>> {
  yield* product<Required<SeatFacts>>({
    ...ofSeats,
    event: ["prepare"],
    start: ["fresh", "resume", "migrate"],
    end: ["none"],
    came: ["not"],
    ended: [false, true],
    keeps: [false],
    either: both,
    stays: [false],
    waits: [false],
  });
  yield* product<Required<SeatFacts>>({
    ...ofSeats,
    event: ["release"],
    start: ["up", "fresh", "resume", "migrate", "refused"],
    end: ["normal", "destroyed", "suspended", "crashed", "failed", "unknown"],
    came: ["not", "restore", "migration"],
    ended: [false],
    keeps: [true, false, "unreadable"],
    either: [false],
    stays: both,
    waits: both,
  });
}
