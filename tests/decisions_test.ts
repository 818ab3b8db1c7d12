/**
 * What is promised of a disk at each event, written down apart from the program's own table: facts that differ from those
 * of an ordinary disk, and what happens then.
 */

import { assert, assertEquals } from "@std/assert";
import { decide, type Decision, type Facts } from "../lib/state/decision_table.ts";

const start: Facts = {
  event: "prepare",
  start: "fresh",
  end: "none",
  state: "plain",
  ended: false,
  ours: true,
  listed: true,
  flag: "clear",
  keeps: false,
  held: false,
  unborn: false,
  replaced: false,
  stood: false,
  waits: false,
  came: "not",
  source: "same",
  saved: false,
  stays: false,
  look: "sound",
};
const unlisted: Facts = { ...start, listed: false };
const end: Facts = {
  ...start,
  event: "release",
  start: "up",
  end: "normal",
  state: "session",
  listed: false,
};

type Case = readonly [differs: Partial<Facts>, decision: Decision];

const atStart: readonly Case[] = [
  [{}, "new session"],
  [{ state: "layered" }, "new session"],
  [{ ended: true }, "new session"],
  [{ look: "busy" }, "refuse: in use"],
  [{ state: "layered", look: "busy" }, "refuse: in use"],
  [{ look: "damaged" }, "refuse: unreadable"],
  [{ state: "missing" }, "refuse: missing"],
  [{ state: "session", ours: false }, "refuse: not ours"],
  [{ look: "moved" }, "refuse: moved"],
  [{ state: "stray" }, "refuse: stray commit"],
  [{ state: "session", look: "busy" }, "refuse: in use"],
  [{ state: "session", flag: "unreadable" }, "refuse: another target"],
  [{ state: "session", flag: "set", held: true }, "resume"],
  [{ state: "session", flag: "set" }, "set aside, new session"],
  [{ state: "session", saved: true }, "set aside, new session"],
  [{ state: "session", look: "damaged", replaced: true }, "refuse: replaced"],
  [{ start: "resume", state: "layered", ended: true, ours: false }, "refuse: not its session"],
  [{ start: "resume", state: "session", ended: true }, "refuse: not its session"],
  [{ start: "resume", state: "session", ended: true, saved: true }, "keep"],
  [{ start: "resume", state: "session", ended: true, flag: "set" }, "refuse: not its session"],
  [{ start: "resume", state: "session", ended: true, saved: true }, "keep"],
  [{ state: "session", ended: true, unborn: true, flag: "set" }, "new session"],
  [{ start: "resume", state: "session", ended: true, unborn: true }, "put back"],
  [{ state: "session", look: "damaged", flag: "set", held: true }, "refuse: damaged"],
  [{ state: "session", look: "damaged", flag: "set" }, "set aside, new session"],
  [{ state: "session", look: "damaged", held: true }, "new session"],
  [{ state: "session", look: "damaged", ours: false, flag: "set", held: true }, "refuse: not ours"],
  [{ state: "session", held: true }, "new session"],
  [{ state: "session", look: "replaced" }, "refuse: replaced"],
  [{ state: "session", look: "moved", ours: false }, "refuse: moved"],
  [{ state: "session" }, "new session"],
  [{ start: "resume", state: "session" }, "keep"],
  [{ start: "resume", state: "layered", ended: true }, "put back"],
  [{ start: "resume", state: "session", look: "busy", ours: false, ended: true }, "refuse: in use"],
  [{ start: "resume" }, "new session"],
  [{ start: "resume", state: "layered" }, "new session"],
  [{ start: "migrate", state: "session" }, "keep"],
  [{ start: "migrate" }, "refuse: no session to migrate"],
];

const unlistedAtStart: readonly Case[] = [
  [{ start: "resume", state: "layered", ended: true }, "put back"],
  [{ start: "resume", state: "layered", ended: "other" }, "refuse: nothing to resume"],
  [{ start: "resume", state: "session" }, "keep"],
  [{ start: "resume", state: "session", ended: true }, "refuse: not its session"],
  [{ start: "resume", state: "session", ended: true, unborn: true }, "put back"],
  [{ start: "resume", state: "session", ended: "other", unborn: true }, "refuse: nothing to resume"],
  [{ start: "resume", state: "session", ours: false }, "refuse: not ours"],
  [{ start: "resume" }, "keep"],
  [{ start: "resume", saved: true }, "refuse: nothing to resume"],
  [{ start: "migrate" }, "keep"],
  [{ start: "migrate", state: "session", ended: true, unborn: true }, "keep"],
  [{ state: "session", ended: true, unborn: true }, "discard"],
  [{ state: "session", source: "gone", held: true }, "leave to a person"],
  [{ state: "session", source: "gone", look: "busy" }, "leave to a person"],
  [{ state: "session" }, "discard"],
  [{ state: "session", ended: true }, "discard"],
  [{ ended: true }, "let go"],
  [{ state: "layered" }, "let go"],
  [{}, "nothing"],
  [{ state: "session", look: "busy" }, "refuse: in use"],
  [{ state: "session", look: "replaced" }, "refuse: replaced"],
  [{ state: "layered", stood: true }, "refuse: seats"],
  [{ state: "session", stood: true }, "refuse: seats"],
  [{ start: "resume", state: "session", look: "busy", stood: true }, "keep"],
  [{ state: "session", source: "other" }, "leave to a person"],
  [{ state: "session", source: "unreadable" }, "leave"],
  [{ start: "resume", state: "session", source: "unreadable" }, "leave"],
];

const atEnd: readonly Case[] = [
  [{ waits: true }, "leave"],
  [{ replaced: true }, "hold"],
  [{ start: "fresh", replaced: true }, "hold"],
  [{ source: "gone" }, "hold"],
  [{ flag: "set" }, "commit"],
  [{}, "discard"],
  [{ end: "unknown", saved: true }, "leave"],
  [{ end: "unknown", saved: true, flag: "set" }, "hold"],
  [{ end: "unknown", look: "busy" }, "leave"],
  [{ end: "unknown", look: "busy", flag: "set" }, "pass on"],
  [{ end: "unknown", flag: "set" }, "commit"],
  [{ end: "unknown" }, "set aside"],
  [{ keeps: true }, "set aside"],
  [{ end: "failed", keeps: true }, "set aside"],
  [{ end: "failed", keeps: true, saved: true }, "leave"],
  [{ end: "failed", flag: "set", saved: true }, "hold"],
  [{ end: "unknown", ended: true, stays: true }, "leave"],
  [{ end: "unknown", ended: true, stays: true, flag: "set" }, "commit"],
  [{ keeps: true, ended: true, stays: true }, "leave"],
  [{ end: "failed", keeps: true, ended: true, stays: true }, "leave"],
  [{ ended: true, stays: true }, "discard"],
  [{ keeps: true, flag: "set" }, "commit"],
  [{ end: "failed", keeps: true, flag: "set" }, "hold"],
  [{ end: "suspended", keeps: true }, "leave"],
  [{ start: "fresh", keeps: true }, "discard"],
  [{ end: "suspended" }, "leave"],
  [{ end: "suspended", flag: "set" }, "pass on"],
  [{ end: "suspended", flag: "set", saved: true }, "hold"],
  [{ start: "refused" }, "leave"],
  [{ start: "resume", end: "failed" }, "leave"],
  [{ start: "resume", end: "failed", source: "other" }, "leave"],
  [{ came: "migration", end: "failed" }, "leave"],
  [{ came: "restore", end: "failed", flag: "set" }, "leave"],
  [{ came: "restore", saved: true, flag: "set" }, "leave"],
  [{ came: "restore", saved: true, replaced: true }, "hold"],
  [{ end: "crashed", look: "busy", flag: "set" }, "pass on"],
  [{ end: "failed", look: "busy", flag: "set" }, "pass on"],
  [{ end: "destroyed", look: "busy", flag: "set" }, "pass on"],
  [{ end: "crashed", look: "busy" }, "leave"],
  [{ end: "failed", look: "busy" }, "leave"],
  [{ end: "destroyed", look: "busy" }, "leave"],
  [{ came: "migration", look: "busy", flag: "set" }, "leave"],
  [{ came: "migration" }, "discard"],
  [{ start: "migrate", end: "failed" }, "leave"],
  [{ start: "fresh", end: "unknown" }, "discard"],
  [{ start: "fresh", end: "failed", flag: "set" }, "discard"],
  [{ start: "fresh", flag: "set", held: true }, "leave"],
  [{ start: "fresh", end: "suspended", flag: "set" }, "discard"],
  [{ end: "failed", flag: "set" }, "hold"],
  [{ end: "failed" }, "discard"],
  [{ source: "other", flag: "set" }, "leave to a person"],
  [{ source: "gone", look: "busy", flag: "set" }, "leave"],
  [{ source: "gone", flag: "set" }, "commit"],
  [{ flag: "unreadable" }, "hold"],
  [{ end: "suspended", flag: "unreadable" }, "leave"],
  [{ state: "plain" }, "nothing"],
  [{ state: "layered" }, "nothing"],
  [{ ours: false, flag: "set" }, "nothing"],
  [{ ours: false, start: "refused" }, "nothing"],
];

const all: readonly (readonly [when: string, facts: Facts, cases: readonly Case[]])[] = [
  ["at a start", start, atStart],
  ["at a start, no longer listed", unlisted, unlistedAtStart],
  ["at an end", end, atEnd],
];

for (const [when, facts, cases] of all) {
  for (const [differs, decision] of cases) {
    const words = Object.entries(differs).map(([fact, value]) => `${fact} ${value}`).join(", ") ||
      "nothing else";
    Deno.test(`${when}, ${words}: ${decision}`, () => {
      const verdict = decide({ ...facts, ...differs });
      assert("row" in verdict);
      assertEquals(verdict.row.decision, decision);
    });
  }
}
