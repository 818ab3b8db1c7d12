/** Every combination of facts that the state table can be asked about. */

import type { Facts } from "../lib/state/decision_table.ts";

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
function* product(values: { readonly [K in keyof Known]: readonly Known[K][] }): Generator<Known> {
  const keys = Object.keys(values) as (keyof Known)[];
  function* from(index: number, facts: Partial<Known>): Generator<Known> {
    const key = keys[index];
    if (key === undefined) return yield facts as Known;
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
export const listedAtPrepare = [...product({ ...prepare, listed: [true], source: ["same"] })];
/** … and of one that only the note knows. */
export const unlistedAtPrepare = [
  ...product({ ...prepare, stood: both, listed: [false], source: ["same", "other", "gone", "unreadable"] }),
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
  ...product(release),
  // Of a memory that has come nothing is said before the guest is called up.
  ...product({
    ...release,
    came: ["restore", "migration"],
    start: ["up"],
    ended: [false],
    held: [false],
    unborn: [false],
    ours: [true],
  }),
  ...product({ ...release, start: ["up"], ended: [true], stays: [true], ours: [true] }),
];
