/** What is promised of a seat at each event, row by row, in words of its own; and what is read of notes and images. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import { standingOn, tellStanding } from "../lib/hook/standing.ts";
import { backingOf, isMarkedCorrupt } from "../lib/host/qcow2.ts";
import { namesOf } from "../lib/state/paths.ts";
import { formatSeats, parseSeats, type SeatRecord } from "../lib/state/seat_record.ts";
import * as seats from "../lib/state/seat.ts";
import type { DecidedSeat } from "../lib/state/seat.ts";
import { decideSeat, type SeatDecision, type SeatFacts, seatTable } from "../lib/state/seat_table.ts";
import {
  createSeat,
  forgetOlder,
  seatAtPrepare,
  seatAtRelease,
  undoSeat,
} from "../lib/state/seat_transitions.ts";
import { Fixture, temporaryFolder } from "./fixture.ts";
import { Pool } from "./pool.ts";
import { qemuIo } from "./qemu.ts";
import { wordsOf } from "./step_words.ts";

const start: SeatFacts = {
  event: "prepare",
  start: "fresh",
  end: "none",
  came: "not",
  file: "none",
  ended: false,
  ours: true,
  listed: true,
  keeps: false,
  unborn: false,
  another: false,
  either: false,
  stays: false,
  source: "same",
  waits: false,
  saved: false,
  look: "free",
};
const end: SeatFacts = {
  ...start,
  event: "release",
  start: "up",
  end: "normal",
  file: "session",
};

type Case = readonly [differs: Partial<SeatFacts>, decision: SeatDecision];

const atStart: readonly Case[] = [
  [{}, "new session"],
  [{ ours: false }, "new session"],
  [{ ended: true }, "new session"],
  [{ file: "session" }, "new session"],
  [{ file: "session", ours: false }, "set aside, new session"],
  [{ start: "resume", file: "session", another: true, look: "busy" }, "refuse: in use"],
  [{ start: "resume", file: "session", another: true, ended: true }, "put back"],
  [{ start: "resume", file: "session", another: true }, "refuse: nothing to resume"],
  [{ file: "session", look: "busy" }, "refuse: in use"],
  [{ file: "session", saved: true }, "set aside, new session"],
  [{ file: "session", saved: true, unborn: true, ended: true }, "new session"],
  [{ file: "other" }, "refuse: not a seat's"],
  [{ file: "other", ours: false }, "refuse: not a seat's"],
  [{ file: "other", start: "resume" }, "refuse: not a seat's"],
  [{ start: "resume", file: "session" }, "keep"],
  [{ start: "resume", file: "session", either: true }, "keep"],
  [{ start: "resume", file: "session", ours: false }, "keep"],
  [{ start: "resume", file: "session", ended: true }, "keep"],
  [{ start: "resume", file: "session", ended: true, either: true }, "refuse: not its session"],
  [{ start: "resume", file: "session", ended: true, either: true, unborn: true }, "put back"],
  [
    { start: "resume", file: "session", ended: true, either: true, another: true },
    "refuse: not its session",
  ],
  [{ start: "resume", file: "session", ended: true, unborn: true, saved: true }, "put back"],
  [{ start: "resume", file: "session", ended: true, unborn: true, another: true, either: true }, "put back"],
  [{ start: "resume", ended: true }, "put back"],
  [{ start: "resume" }, "refuse: nothing to resume"],
  [{ start: "migrate", file: "session", look: "busy" }, "keep"],
  [{ start: "migrate" }, "refuse: no session to migrate"],
  [{ listed: false, source: "other", file: "session" }, "leave to a person"],
  [{ listed: false, source: "unreadable", file: "session" }, "leave"],
  [{ listed: false, start: "resume", file: "session" }, "keep"],
  [
    { listed: false, start: "resume", file: "session", ended: true, either: true },
    "refuse: not its session",
  ],
  [{ listed: false, start: "resume", file: "session", another: true }, "refuse: nothing to resume"],
  [{ listed: false, start: "resume", file: "other" }, "nothing"],
  [{ listed: false, start: "resume", file: "other", saved: true }, "refuse: nothing to resume"],
  [{ listed: false, start: "migrate", file: "other", saved: true }, "nothing"],
  [{ listed: false, file: "other", saved: true }, "nothing"],
  [{ listed: false, start: "migrate", file: "other" }, "nothing"],
  [{ listed: false, start: "resume", source: "gone" }, "leave"],
  [{ listed: false, source: "gone", file: "session" }, "leave"],
  [{ listed: false, file: "session" }, "refuse: no seat any more"],
  [{ listed: false }, "nothing"],
  [{ source: "other" }, "new session"],
  [{ source: "unreadable" }, "new session"],
  [{ file: "other", listed: false, source: "unreadable" }, "leave"],
  [{ file: "other", listed: false, source: "gone" }, "nothing"],
  [{ source: "gone" }, "new session"],
  [{ file: "session", unborn: true, start: "resume" }, "keep"],
  [{ file: "session", unborn: true, another: true, look: "busy", start: "resume", ended: true }, "put back"],
  [{ file: "session", another: true, look: "busy", start: "migrate" }, "keep"],
  [{ another: true, look: "busy", start: "resume" }, "refuse: nothing to resume"],
  [{ file: "session", look: "busy", start: "resume" }, "keep"],
  [
    { file: "session", another: true, look: "busy", start: "resume", ended: true, either: true },
    "refuse: in use",
  ],
  [{ file: "session", another: true, ended: true, either: true }, "new session"],
  [{ another: true, start: "resume", ended: true, either: true }, "put back"],
  [{ file: "session", another: true, start: "resume", either: true }, "refuse: nothing to resume"],
  [{ look: "busy" }, "new session"],
  [{ file: "session", saved: true, look: "busy" }, "refuse: in use"],
  [{ saved: true }, "new session"],
  [{ listed: false, start: "resume", file: "other", saved: true, source: "unreadable" }, "leave"],
  [{ start: "resume", file: "other", saved: true }, "refuse: not a seat's"],
  [{ listed: false, start: "resume", saved: true }, "refuse: nothing to resume"],
  [{ listed: false, start: "resume", ended: true, saved: true }, "put back"],
];

const atEnd: readonly Case[] = [
  [{}, "discard"],
  [{ end: "crashed" }, "discard"],
  [{ end: "crashed", saved: true }, "leave"],
  [{ file: "none" }, "discard"],
  [{ file: "none", stays: true }, "discard"],
  [{ file: "none", start: "fresh", end: "failed" }, "discard"],
  [{ file: "none", start: "fresh", end: "failed", stays: true }, "put back"],
  [{ listed: false }, "discard"],
  [{ listed: false, end: "unknown" }, "leave"],
  [{ listed: false, end: "unknown", keeps: "unreadable" }, "set aside"],
  [{ keeps: true }, "set aside"],
  [{ end: "failed", keeps: true }, "set aside"],
  [{ keeps: "unreadable" }, "set aside"],
  [{ keeps: "unreadable", stays: true }, "leave"],
  [{ keeps: true, stays: true }, "leave"],
  [{ keeps: true, stays: true, start: "fresh" }, "discard"],
  [{ stays: true }, "discard"],
  [{ ours: false }, "nothing"],
  [{ start: "refused" }, "leave"],
  [{ start: "resume", end: "failed" }, "leave"],
  [{ start: "fresh", end: "failed" }, "discard"],
  [{ start: "fresh", end: "failed", keeps: true }, "discard"],
  [{ start: "fresh", end: "failed", unborn: true }, "put back"],
  [{ start: "fresh", end: "failed", unborn: true, look: "busy" }, "leave"],
  [{ start: "fresh", end: "failed", unborn: true, another: true }, "leave"],
  [{ start: "fresh", end: "failed", look: "busy" }, "leave"],
  [{ end: "crashed", look: "busy" }, "leave"],
  [{ end: "failed", look: "busy", keeps: true }, "leave"],
  [{ end: "destroyed", look: "busy" }, "leave"],
  [{ end: "destroyed" }, "discard"],
  [{ end: "destroyed", keeps: true }, "set aside"],
  [{ waits: true }, "leave"],
  [{ source: "other" }, "leave to a person"],
  [{ source: "unreadable" }, "leave"],
  [{ source: "gone" }, "leave"],
  [{ source: "gone", start: "fresh", end: "failed" }, "leave"],
  [{ source: "gone", file: "none" }, "discard"],
  [{ file: "other" }, "leave"],
  [{ another: true }, "leave"],
  [{ another: true, start: "fresh", end: "failed" }, "leave"],
  [{ came: "restore", end: "failed" }, "leave"],
  [{ came: "migration", end: "failed" }, "leave"],
  [{ file: "none", source: "unreadable" }, "leave"],
  [{ end: "suspended" }, "leave"],
  [{ came: "migration", look: "busy" }, "leave"],
  [{ came: "migration" }, "discard"],
  [{ end: "unknown" }, "set aside"],
  [{ end: "unknown", stays: true }, "leave"],
  [{ end: "unknown", saved: true }, "leave"],
  [{ end: "unknown", look: "busy" }, "leave"],
  [{ ours: false, start: "refused" }, "nothing"],
  [{ source: "other", start: "resume" }, "leave"],
  [{ source: "other", waits: true }, "leave to a person"],
  [{ look: "busy" }, "discard"],
  [{ unborn: true }, "discard"],
  [{ start: "fresh", end: "suspended" }, "discard"],
  [{ saved: true }, "discard"],
  [{ saved: true, end: "failed" }, "leave"],
  [{ end: "crashed", keeps: true, stays: true }, "leave"],
  [{ end: "failed", keeps: true, stays: true }, "leave"],
  [{ end: "destroyed", keeps: true, stays: true }, "leave"],
  [{ saved: true, end: "unknown", keeps: true }, "leave"],
  [{ end: "crashed", keeps: true }, "set aside"],
  [{ end: "failed" }, "discard"],
  [{ start: "fresh", file: "none", stays: true, source: "unreadable" }, "leave"],
];

for (const [base, cases] of [[start, atStart], [end, atEnd]] as const) {
  for (const [differs, decision] of cases) {
    Deno.test(`a seat at ${base.event}, ${JSON.stringify(differs)}: ${decision}`, () => {
      const verdict = decideSeat({ ...base, ...differs });
      assert("row" in verdict);
      assertEquals(verdict.row.decision, decision);
    });
  }
}

Deno.test("every row of the table of seats is reached by one of these", () => {
  const reached = new Set(
    [[start, atStart], [end, atEnd]].flatMap(([base, cases]) =>
      (cases as readonly Case[]).map(([differs]) => {
        const verdict = decideSeat({ ...base as SeatFacts, ...differs });
        return "row" in verdict ? verdict.row : undefined;
      })
    ),
  );
  assertEquals([...seatTable.prepare, ...seatTable.release].filter((row) => !reached.has(row)), []);
});

Deno.test("a start of an idle seat asks qemu-img nothing, and an end with a reason neither", () => {
  const { look: _, saved: __, ...facts } = start;
  assert("row" in decideSeat(facts));
  const { look: ___, saved: ____, ...ended } = end;
  assert("row" in decideSeat(ended));
});

const record: SeatRecord = {
  target: "vda",
  image: "/images/seat.img",
  master: "/images/lab.img",
  layer: 3,
  started: "2026-01-01T00:00:00.000Z",
  owner: { uid: 1, gid: 2, mode: 0o640 },
};

const names = namesOf(record.image);
const words = wordsOf(names);
/** The files beside a seat's image by their inodes: a session 1, what a start has made 2, another host's file 3. */
type Files = { readonly image?: number; readonly ended?: number; readonly scratch?: number };
const listing = (files: Files) =>
  new Map(Object.entries(files).map(([name, inode]) => [names[name as keyof Files], inode]));

function decided(decision: SeatDecision, files: Files, more: Partial<SeatRecord> = {}): DecidedSeat {
  const seat: DecidedSeat["seat"] = {
    target: "vda",
    names,
    master: namesOf(record.master),
    record: { ...record, ...more },
    listed: true,
    preview: false,
    keepSession: false,
    source: "same",
    listing: listing(files),
    file: files.image === undefined ? "none" : "session",
    standsOn: undefined,
    endedStandsOn: undefined,
    made: undefined,
    endedMade: undefined,
    written: undefined,
    endedWritten: undefined,
    owner: record.owner,
  };
  return { seat, decision };
}

/** What is taken back of a start by what lies there now. */
const undone = (one: DecidedSeat, now: Files, own: readonly (keyof Files)[], made?: number) =>
  undoSeat(one, listing(now), { made, names: new Set(own.map((name) => names[name])) });

const idle = decided("new session", {});
const older = decided("set aside, new session", { image: 1 });
const back = decided("put back", { ended: 1 });
const isAside = decided("discard", { image: 1, ended: 3, scratch: 3 }, { aside: "forget" });

const orders: readonly (readonly [what: string, steps: ReturnType<typeof createSeat>, words: string])[] = [
  [
    "a new overlay over what a start left that was cut short",
    createSeat(decided("new session", { scratch: 3 }).seat, "/lab"),
    "remove scratch, create scratch /lab, own scratch, sync scratch",
  ],
  ["a start that sets a session aside", seatAtPrepare(older), "rename image ended, rename scratch image"],
  ["what goes before that", forgetOlder(older, listing({ image: 1, ended: 3 })), "remove ended"],
  ["what goes before a new session", forgetOlder(idle, listing({ ended: 3 })), ""],
  ["taking back an overlay without its name", undone(idle, { scratch: 2 }, [], 2), "remove scratch"],
  ["taking back an overlay of which nobody knows", undone(idle, { scratch: 3 }, []), ""],
  ["taking back where another host makes its own", undone(idle, { scratch: 3 }, [], 2), ""],
  ["taking back a session", undone(idle, { image: 2 }, ["image"], 2), "remove image"],
  ["taking back where another host gave it the name and runs on it", undone(idle, { image: 2 }, [], 2), ""],
  ["taking back where another host's is in its place", undone(idle, { image: 3 }, ["image"], 2), ""],
  [
    "taking back a session that has set one aside",
    undone(older, { image: 2, ended: 1 }, ["ended", "image"], 2),
    "remove image, rename ended image",
  ],
  [
    "taking back where one is set aside and the next has no name yet",
    undone(older, { scratch: 2, ended: 1 }, ["ended"], 2),
    "remove scratch, rename ended image",
  ],
  [
    "taking back where another host has set the session aside",
    undone(older, { ended: 1 }, [], 2),
    "",
  ],
  [
    "taking back where another file is set aside since",
    undone(older, { ended: 3 }, ["ended"], 2),
    "",
  ],
  [
    "taking back where another host's session has taken the place of the one set aside",
    undone(older, { image: 3, ended: 1 }, ["ended", "image"], 2),
    "",
  ],
  [
    "taking back where another host gave the place to what was made here",
    undone(older, { image: 2, ended: 1 }, ["ended"], 2),
    "",
  ],
  ["taking back a rename that failed and is done", undone(back, { image: 1 }, []), "rename image ended"],
  ["taking back a rename that isn't done", undone(back, { ended: 1 }, []), ""],
  ["taking it back where another one is in its place", undone(back, { image: 3 }, []), ""],
  ["taking it back where another one is set aside", undone(back, { image: 1, ended: 3 }, []), ""],
  ["an end", seatAtRelease(isAside, true), "remove scratch, remove ended, remove image"],
  ["an end of a guest that never came up", seatAtRelease(isAside, false), "remove scratch, remove image"],
  [
    "an end beside what stays",
    seatAtRelease(decided("discard", { image: 1, ended: 3 }, { aside: "stay" }), true),
    "remove image",
  ],
  [
    "an end that sets the session aside",
    seatAtRelease(decided("set aside", { image: 1, ended: 3 }), true),
    "remove ended, rename image ended",
  ],
  [
    "an end that puts the older one back",
    seatAtRelease(decided("put back", { image: 1, ended: 3, scratch: 2 }), false),
    "remove scratch, rename ended image",
  ],
];

for (const [what, steps, expected] of orders) {
  Deno.test(`the steps of a seat, ${what}`, () => assertEquals(words(steps), expected));
}

Deno.test("two times are one where a copy of the file has whole seconds only", () => {
  assertEquals(seats.isSameTime(1500, 1500), true);
  assertEquals([seats.isSameTime(1500, 1000), seats.isSameTime(1000, 1500)], [true, true]);
  assertEquals([seats.isSameTime(1500, 1200), seats.isSameTime(2000, 1500)], [false, false]);
  const none = [
    seats.isSameTime(undefined, 1),
    seats.isSameTime(1, undefined),
    seats.isSameTime(undefined, undefined),
  ];
  assertEquals(none, [false, false, false]);
});

/** What is told of a seat by its note and files. */
function told(files: Files, noted: Partial<SeatRecord> | undefined, times: Partial<seats.ObservedSeat> = {}) {
  const { seat } = decided("nothing", files, noted);
  const all = { ...seat, made: 5, written: 6500, ...times, ...noted === undefined && { record: undefined } };
  const answers = {
    unborn: seats.isSeatUnborn(all),
    due: seats.waitsToBeSetAside(all),
    awaited: seats.isSeatAwaited(all),
    staying: seats.hasStaying(all),
    away: seats.isKnownAway(all),
    saved: seats.isSavedOn(all),
    noted: seats.isNoted(all),
    another: seats.isAnotherSession(all),
    others: seats.isAnotherHosts(all),
    beside: seats.besideOf(all) !== undefined,
  };
  return Object.entries(answers).filter(([, is]) => is).map(([what]) => what).join(" ");
}

Deno.test("what lies in a seat's place is told by its note: the guest's own session, a saved one, or another host's", () => {
  const one = { image: 1 };
  const two = { image: 1, ended: 2 };
  assertEquals(told(one, undefined), "");
  assertEquals([told({}, {}), told({}, { made: 4, written: 1 }), told({}, { aside: "stay" })], [
    "noted",
    "noted",
    "noted",
  ]);
  assertEquals([told(one, {}), told(one, { made: 5 })], ["noted", "noted"]);
  assertEquals(told(one, { made: 4 }), "another others");
  assertEquals(told(one, { waits: true }), "awaited away saved noted");
  assertEquals(told(one, { waits: true, left: true }), "awaited away noted others");
  assertEquals(told(one, { waits: true, made: 5, beside: "died" }), "awaited noted beside");
  assertEquals(told(one, { waits: true, made: 5, beside: "ended" }), "awaited noted another beside");
  assertEquals(told(one, { made: 4, beside: "ended" }), "another others");
  assertEquals(told({}, { waits: true, beside: "ended", made: 5 }), "awaited noted");
  assertEquals(told(one, { resumed: 6500 }), "away saved noted");
  assertEquals(told(one, { resumed: 6500, made: 4 }), "");
  assertEquals(told(one, { resumed: 6000, made: 4 }), "another others");
  assertEquals([told(one, { written: 6500 }), told(one, { written: 6000 })], ["noted", "noted"]);
  assertEquals(told(one, { written: 6200, made: 5 }), "noted another others");
  // What a start was about to set aside when it was cut short, and has set aside.
  assertEquals(told(one, { aside: "stay" }), "due awaited away noted");
  assertEquals(told(one, { aside: "stay", beside: "died" }), "due awaited away noted beside");
  assertEquals(told(two, { aside: "stay", setsAside: 6500 }), "due awaited away noted");
  assertEquals(told(two, { aside: "stay", setsAside: 6500, made: 5 }), "unborn noted");
  assertEquals(told(two, { aside: "stay", setsAside: 6000 }), "unborn noted");
  assertEquals(told(two, { aside: "stay" }, { written: undefined }), "unborn noted");
  assertEquals([told(two, { aside: "forget" }), told(two, {})], ["unborn noted", "noted"]);
  assertEquals(told(two, { aside: "forget", made: 4 }), "another others");
  assertEquals([told({ ended: 2 }, { aside: "stay" }), told(one, { aside: "forget" })], ["noted", "noted"]);
  assertEquals(told(two, { stays: true, setsAside: 7500 }, { endedWritten: 7500 }), "staying noted");
  assertEquals(told(two, { setsAside: 7500 }, { endedWritten: 7500 }), "noted");
  assertEquals(told(two, { stays: true, setsAside: 7500 }, { endedWritten: 7200 }), "noted");
  assertEquals(told(two, { stays: true }), "noted");
});

Deno.test("a session is no matter of a start where the domain names it no more, or nobody can tell", () => {
  const all = ["leave", "leave to a person", "nothing", "keep"] as const;
  assertEquals(all.map(seats.isSeatLeft), [true, true, false, false]);
});

Deno.test("a restore finds a session set aside only where that is the one of its save", () => {
  const has = (start: SeatFacts["start"], noted: Partial<SeatRecord>, files: Files = { ended: 2 }) =>
    seats.hasSetAside({ ...decided("nothing", files, noted).seat, endedWritten: 7500 }, start);
  assertEquals([has("resume", {}), has("resume", {}, {})], [true, false]);
  assertEquals([has("resume", { written: 7500 }), has("resume", { written: 7200 })], [true, false]);
  assertEquals([has("resume", { setsAside: 7500 }), has("resume", { setsAside: 7200 })], [true, false]);
  assertEquals([has("fresh", { written: 7200 }), has("fresh", { written: 7200 }, {})], [true, false]);
});

Deno.test("a note of seats is read as it was written", () => {
  const records: SeatRecord[] = [
    record,
    {
      ...record,
      target: "vdb",
      waits: true,
      host: "host 1",
      written: 7.5,
      came: "migration",
      visits: "again",
      left: true,
      aside: "stay",
      setsAside: 8.5,
      stays: true,
      beside: "unknown",
    },
  ];
  assertEquals(parseSeats("/x", formatSeats(records)), records);
});

Deno.test("a note of seats that is none says what to do", () => {
  for (const text of ["", "{}", "[1]", '[{"target": "vda"}]', formatSeats([{ ...record, layer: -1 }])]) {
    const read = () => parseSeats("/config/seat.seats", text);
    assertThrows(read, UserError, '"/config/seat.seats" is not a note of this hook');
  }
});

Deno.test("the backing file is read off a real image's header, as QEMU has it", () => {
  const folder = temporaryFolder();
  try {
    const at = (name: string) => `${folder}/${name}`;
    qemuIo(["create", "-f", "qcow2", at("base"), "1M"]);
    const make = (name: string, backing: string) =>
      qemuIo(["create", "-f", "qcow2", "-F", "qcow2", "-b", backing, at(name), "1M"]);
    make("absolute", at("base"));
    make("relative", "base");
    make("json", `json:{"driver":"qcow2","file":{"driver":"file","filename":"${at("base")}"}}`);
    assertEquals(backingOf(at("absolute")), at("base"));
    assertEquals(backingOf(at("relative")), at("base"));
    assertStringIncludes(backingOf(at("json"))!, at("base"));
    for (const [name, text] of [["empty", ""], ["text", "QFI no image"], ["short", "QFI\u00fb"]] as const) {
      Deno.writeTextFileSync(at(name), text);
      assertEquals(backingOf(at(name)), undefined);
    }
    assertEquals([backingOf(at("base")), backingOf(at("gone"))], [undefined, undefined]);
    qemuIo(["create", "-f", "qcow2", "-o", "compat=0.10", at("old"), "1M"]);
    for (const name of ["absolute", "empty", "text", "old"]) assertEquals(isMarkedCorrupt(at(name)), false);
    // The bit that QEMU sets.
    using file = Deno.openSync(at("absolute"), { write: true });
    file.seekSync(79, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array([2]));
    assertEquals(isMarkedCorrupt(at("absolute")), true);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("who stands on a master is told by notes and images, in folders below each other, by whatever path", () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, []);
  const names = namesOf(pool.master);
  const below = `${fixture.images}/below`;
  Deno.mkdirSync(below);
  Deno.symlinkSync(fixture.images, `${fixture.root}/link`);
  fixture.save(`${below}/a.img`, names.layer(2), {});
  fixture.save(`${fixture.images}/b.img`, `${fixture.root}/link/vda.img.backing_file`, {});
  fixture.save(`${fixture.images}/c.img`, `json:{"file":{"filename":"${names.layer(1)}"}}`, {});
  fixture.save(`${fixture.images}/d.img.autorevert-ended`, names.layer(1), {});
  fixture.save(`${below}/vda.img.backing_file`, null, {});
  fixture.save(`${fixture.images}/other.img`, `${below}/vda.img.backing_file`, {});
  fixture.save(names.layer(1), names.layer(0), {});
  Deno.writeTextFileSync(`${fixture.config}/torn.seats`, "[");
  const found = standingOn(names, { host: fixture.host() });
  assertEquals(
    found.map(({ file, layer, how }) => [file.slice(fixture.root.length), layer, how]).sort(),
    [
      ["/config/torn.seats", undefined, "unreadable note"],
      ["/images/b.img", 0, "unknown"],
      ["/images/below/a.img", 2, "unknown"],
      ["/images/c.img", 1, "unknown"],
      ["/images/d.img.autorevert-ended", 1, "set aside"],
    ],
  );
  assertStringIncludes(tellStanding(found), '"torn" has a note of its seats that can\'t be read');
});
