/** What is promised of a disk at each event, row by row, in words of its own: not derived from the program's table. */

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
  waits: false,
  came: "not",
  source: "same",
  saved: false,
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

const rows: readonly (readonly [row: string, facts: Facts, decision: Decision])[] = [
  ["prepare, plain: freeze", start, "new session"],
  ["prepare, layered: freeze", { ...start, state: "layered" }, "new session"],
  [
    "prepare, plain, with I.ended: it is deleted and the disk frozen",
    { ...start, ended: true },
    "new session",
  ],
  ["prepare, plain, in use: refuse", { ...start, look: "busy" }, "refuse: in use"],
  ["prepare, layered, in use: refuse", { ...start, state: "layered", look: "busy" }, "refuse: in use"],
  ["prepare, plain, no image: refuse", { ...start, look: "damaged" }, "refuse: unreadable"],
  ["prepare, missing: refuse", { ...start, state: "missing" }, "refuse: missing"],
  [
    "prepare, session, not in .session: refuse",
    { ...start, state: "session", ours: false },
    "refuse: not ours",
  ],
  ["prepare, its layers lie elsewhere: refuse", { ...start, look: "moved" }, "refuse: moved"],
  ["prepare, a commit without its layers: refuse", { ...start, state: "stray" }, "refuse: stray commit"],
  ["prepare, session in use: refuse", { ...start, state: "session", look: "busy" }, "refuse: in use"],
  [
    "prepare, session, flag set during it: resume",
    { ...start, state: "session", flag: "set", held: true },
    "resume",
  ],
  [
    "prepare, session, flag set after it, or so it seems: set it aside and freeze",
    { ...start, state: "session", flag: "set" },
    "set aside, new session",
  ],
  [
    "prepare, session that a saved guest left: set it aside, and begin anew",
    { ...start, state: "session", saved: true },
    "set aside, new session",
  ],
  [
    "prepare, session damaged that was not made at its start: refuse",
    { ...start, state: "session", look: "damaged", replaced: true },
    "refuse: replaced",
  ],
  [
    "prepare from a save, no longer configured, with I.ended: put back",
    { ...unlisted, start: "resume", state: "layered", ended: true },
    "put back",
  ],
  [
    "prepare from a save, with another guest's I.ended: refuse",
    { ...start, start: "resume", state: "layered", ended: true, ours: false },
    "refuse: not its session",
  ],
  [
    "prepare from a save, session that begun since, beside the one set aside: put that back",
    { ...start, start: "resume", state: "session", ended: true },
    "put back",
  ],
  [
    "prepare from a save, flagged session that begun since, beside the one set aside: refuse",
    { ...start, start: "resume", state: "session", ended: true, flag: "set" },
    "refuse: not its session",
  ],
  [
    "prepare from a save, the session it was left, beside one set aside: keep",
    { ...start, start: "resume", state: "session", ended: true, saved: true },
    "keep",
  ],
  [
    "release, a session that waits: leave",
    { ...end, waits: true },
    "leave",
  ],
  [
    "prepare, no longer configured, its target is gone, held: leave it to a person",
    { ...unlisted, state: "session", source: "gone", held: true },
    "leave to a person",
  ],
  [
    "prepare, no longer configured, its target is gone, in use: leave",
    { ...unlisted, state: "session", source: "gone", look: "busy" },
    "leave",
  ],
  ["release, another file in the session's place: hold", { ...end, replaced: true }, "hold"],
  [
    "release of a failed start, another file in the session's place: hold",
    { ...end, start: "fresh", replaced: true },
    "hold",
  ],
  ["release, its target is gone: hold", { ...end, source: "gone" }, "hold"],
  [
    "prepare, session that never came up beside one set aside, flag set after it: discard and freeze",
    { ...start, state: "session", ended: true, unborn: true, flag: "set" },
    "new session",
  ],
  [
    "prepare from a save, session that never came up beside one set aside: put that back",
    { ...start, start: "resume", state: "session", ended: true, unborn: true },
    "put back",
  ],
  [
    "prepare, session damaged, flag set during it: refuse",
    { ...start, state: "session", look: "damaged", flag: "set", held: true },
    "refuse: damaged",
  ],
  [
    "prepare, session damaged, flag set after it, or so it seems: set it aside and freeze",
    { ...start, state: "session", look: "damaged", flag: "set" },
    "set aside, new session",
  ],
  [
    "prepare, session damaged, flag cleared since: discard and freeze",
    { ...start, state: "session", look: "damaged", held: true },
    "new session",
  ],
  [
    "prepare, session damaged, not in .session: refuse",
    { ...start, state: "session", look: "damaged", ours: false, flag: "set", held: true },
    "refuse: not ours",
  ],
  [
    "prepare, session, flag cleared since: discard and freeze",
    { ...start, state: "session", held: true },
    "new session",
  ],
  [
    "prepare, session, another file put there: refuse",
    { ...start, state: "session", look: "replaced" },
    "refuse: replaced",
  ],
  [
    "prepare, session of another disk, not in .session: refuse",
    { ...start, state: "session", look: "moved", ours: false },
    "refuse: moved",
  ],
  ["prepare, session, no flag: discard and freeze", { ...start, state: "session" }, "new session"],
  ["prepare, resume, session: keep", { ...start, start: "resume", state: "session" }, "keep"],
  [
    "prepare, resume, layered, with I.ended: put back",
    { ...start, start: "resume", state: "layered", ended: true },
    "put back",
  ],
  [
    "prepare, resume, session in use, not in .session: refuse",
    { ...start, start: "resume", state: "session", look: "busy", ours: false, ended: true },
    "refuse: in use",
  ],
  ["prepare, resume, plain: freeze", { ...start, start: "resume" }, "new session"],
  ["prepare, resume, layered: freeze", { ...start, start: "resume", state: "layered" }, "new session"],
  [
    "prepare of an incoming migration, session: keep",
    { ...start, start: "migrate", state: "session" },
    "keep",
  ],
  [
    "prepare of an incoming migration, no session: refuse",
    { ...start, start: "migrate" },
    "refuse: no session to migrate",
  ],
  ["prepare, unlisted, session: discard", { ...unlisted, state: "session" }, "discard"],
  [
    "prepare, unlisted, session, with I.ended: both go",
    { ...unlisted, state: "session", ended: true },
    "discard",
  ],
  ["prepare, unlisted, with I.ended: let go", { ...unlisted, ended: true }, "let go"],
  ["prepare, unlisted, layered: let go", { ...unlisted, state: "layered" }, "let go"],
  ["prepare, unlisted, plain: nothing", unlisted, "nothing"],
  [
    "prepare, unlisted, session in use: refuse",
    { ...unlisted, state: "session", look: "busy" },
    "refuse: in use",
  ],
  [
    "prepare, unlisted, session, another file put there: refuse",
    { ...unlisted, state: "session", look: "replaced" },
    "refuse: replaced",
  ],
  [
    "prepare, unlisted, resume, session in use: keep",
    { ...unlisted, start: "resume", state: "session", look: "busy" },
    "keep",
  ],
  [
    "prepare, unlisted, the XML names another file: leave, tell a person",
    { ...unlisted, state: "session", source: "other" },
    "leave to a person",
  ],
  [
    "prepare, unlisted, the XML can't be read: leave",
    { ...unlisted, state: "session", source: "unreadable" },
    "leave",
  ],
  [
    "prepare, unlisted, resume, the XML can't be read: leave",
    { ...unlisted, start: "resume", state: "session", source: "unreadable" },
    "leave",
  ],
  ["release, over, flag: commit", { ...end, flag: "set" }, "commit"],
  ["release, over: discard", end, "discard"],
  ["release -, a managed save exists: leave", { ...end, end: "unknown", saved: true }, "leave"],
  [
    "release -, a managed save exists, flag: hold",
    { ...end, end: "unknown", saved: true, flag: "set" },
    "hold",
  ],
  ["release -, in use: leave", { ...end, end: "unknown", look: "busy" }, "leave"],
  [
    "release -, in use, flag: its flag goes with it",
    { ...end, end: "unknown", look: "busy", flag: "set" },
    "pass on",
  ],
  ["release -, flag: commit", { ...end, end: "unknown", flag: "set" }, "commit"],
  ["release -: set aside", { ...end, end: "unknown" }, "set aside"],
  ["release, over, keep-session: set aside", { ...end, keeps: true }, "set aside"],
  ["release, died, keep-session: set aside", { ...end, end: "failed", keeps: true }, "set aside"],
  ["release, over, keep-session and flag: commit", { ...end, keeps: true, flag: "set" }, "commit"],
  ["release, died, keep-session and flag: hold", { ...end, end: "failed", keeps: true, flag: "set" }, "hold"],
  ["release, saved, keep-session: leave", { ...end, end: "suspended", keeps: true }, "leave"],
  [
    "release, .starting fresh, keep-session: discard",
    { ...end, start: "fresh", keeps: true },
    "discard",
  ],
  ["release, saved or migrated: leave", { ...end, end: "suspended" }, "leave"],
  [
    "release, saved or migrated, flag: its flag goes with it",
    { ...end, end: "suspended", flag: "set" },
    "pass on",
  ],
  ["release, managed save, flag: hold", { ...end, end: "suspended", flag: "set", saved: true }, "hold"],
  ["release, .starting refused: leave", { ...end, start: "refused" }, "leave"],
  ["release, .starting resume: leave", { ...end, start: "resume", end: "failed" }, "leave"],
  [
    "release, .starting resume, the XML names another file: leave",
    { ...end, start: "resume", end: "failed", source: "other" },
    "leave",
  ],
  [
    "release, came by migration, failed after it was called up: leave, whoever has it open",
    { ...end, came: "migration", end: "failed" },
    "leave",
  ],
  ["release, restored, failed after it was called up: leave", {
    ...end,
    came: "restore",
    end: "failed",
    flag: "set",
  }, "leave"],
  ["release, came by migration, destroyed while the other host has it open: leave", {
    ...end,
    came: "migration",
    look: "busy",
    flag: "set",
  }, "leave"],
  ["release, came by migration, shut down: discard", { ...end, came: "migration" }, "discard"],
  ["release, .starting migrate: leave", { ...end, start: "migrate", end: "failed" }, "leave"],
  [
    "release, .starting fresh, whatever the reason: discard",
    { ...end, start: "fresh", end: "unknown" },
    "discard",
  ],
  ["release, .starting fresh, flag: discard, and the flag stays", {
    ...end,
    start: "fresh",
    end: "failed",
    flag: "set",
  }, "discard"],
  ["release, .starting fresh, a session held before: leave", {
    ...end,
    start: "fresh",
    flag: "set",
    held: true,
  }, "leave"],
  [
    "release, .starting fresh, saved: discard",
    { ...end, start: "fresh", end: "suspended", flag: "set" },
    "discard",
  ],
  ["release, died, flag: hold for the next start", { ...end, end: "failed", flag: "set" }, "hold"],
  ["release, died: discard", { ...end, end: "failed" }, "discard"],
  [
    "release, the XML names another file: leave, tell a person",
    { ...end, source: "other", flag: "set" },
    "leave to a person",
  ],
  [
    "release, the disk is detached, and in use: leave",
    { ...end, source: "gone", look: "busy", flag: "set" },
    "leave",
  ],
  ["release, the disk is detached, flag: commit", { ...end, source: "gone", flag: "set" }, "commit"],
  ["release, flag can't be read: hold", { ...end, flag: "unreadable" }, "hold"],
  ["release, saved, flag can't be read: leave", { ...end, end: "suspended", flag: "unreadable" }, "leave"],
  ["release, plain: nothing", { ...end, state: "plain" }, "nothing"],
  ["release, layered: nothing", { ...end, state: "layered" }, "nothing"],
  ["release, not ours: nothing", { ...end, ours: false, flag: "set" }, "nothing"],
  ["release, not ours, .starting refused: nothing", { ...end, ours: false, start: "refused" }, "nothing"],
];

for (const [row, facts, decision] of rows) {
  Deno.test(`the design's row "${row}"`, () => {
    const verdict = decide(facts);
    assert("row" in verdict);
    assertEquals(verdict.row.decision, decision);
  });
}
