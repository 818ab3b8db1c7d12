/** What a guest's note says of its seats from a start, its being up or an end on, by what is decided of them. */

import { assertEquals } from "@std/assert";
import { namesOf } from "../lib/state/paths.ts";
import type { ways } from "../lib/state/records_at_prepare.ts";
import type { EndedGuest } from "../lib/state/records_at_release.ts";
import {
  recordOnceThere,
  seatRecordAtPrepare,
  seatRecordOnceUp,
  seatRecordsAtRelease,
} from "../lib/state/records_of_seats.ts";
import type { ObservedSeat } from "../lib/state/seat.ts";
import type { SeatRecord } from "../lib/state/seat_record.ts";
import type { SeatDecision } from "../lib/state/seat_table.ts";
import type { Listing } from "../lib/state/state.ts";

const image = "/images/seat.img";
const names = namesOf(image);
const master = namesOf("/images/master.img");
const now = "2026-02-01T00:00:00.000Z";
const owner = { uid: 0, gid: 0, mode: 0o600 };
const record: SeatRecord = {
  ...{ target: "vda", image, master: master.image, layer: 1, started: "2026-01-01T00:00:00.000Z", owner },
};
const files = {
  session: new Map([[image, 100]]) as Listing,
  aside: new Map([[image, 100], [names.ended, 200]]) as Listing,
  "aside alone": new Map([[names.ended, 200]]) as Listing,
};

/** What differs from a seat in a session. */
interface Given {
  readonly files?: keyof typeof files;
  readonly noted?: false;
  readonly record?: Partial<SeatRecord>;
  readonly seat?: Partial<ObservedSeat>;
}

function given({ files: found = "session", noted, ...differs }: Given): ObservedSeat {
  return {
    ...{
      target: "vda",
      names,
      master,
      listed: true,
      preview: false,
      keepSession: false,
      source: "same",
      owner,
    },
    ...{ listing: files[found], file: found === "aside alone" ? "none" : "session" },
    ...{ standsOn: undefined, endedStandsOn: undefined },
    ...{ made: undefined, endedMade: undefined, written: undefined, endedWritten: undefined },
    record: noted === false ? undefined : { ...record, ...differs.record },
    ...differs.seat,
  };
}

interface Start extends Given {
  readonly start?: keyof typeof ways;
  /** Nothing stands on the master. */
  readonly standing?: false;
}

const on = { layer: 2, host: "here" };

/** What is decided, what differs, and what the note says then, beside what it has said; undefined where nothing is noted. */
const atStart: readonly (readonly [SeatDecision, Start, Partial<SeatRecord> | undefined])[] = [
  ["keep", { record: { waits: true } }, { ...on, continued: now, waits: true }],
  ["keep", { record: { written: 9000 } }, { ...on, continued: now, written: 9000 }],
  ["keep", { record: { beside: "ended" } }, { ...on, continued: now, beside: "ended" }],
  ["keep", { files: "aside" }, { ...on, continued: now, stays: true }],
  ["keep", { seat: { written: 9000 } }, { ...on, continued: now }],
  ["keep", { standing: false }, {}],
  ["keep", { record: { made: 5 } }, { ...on, continued: now }],
  ["keep", { start: "migrate" }, { ...on, continued: now, came: "migration" }],
  ["keep", { record: { aside: "stay" } }, { ...on, continued: now, waits: true }],
  ["keep", { seat: { file: "none" }, record: { made: 5 } }, { ...on, continued: now, made: 5 }],
  ["keep", { files: "aside", seat: { endedWritten: 8000 } }, {
    ...on,
    continued: now,
    setsAside: 8000,
    stays: true,
  }],
  ["keep", { start: "resume", seat: { endedWritten: 8000 } }, { ...on, continued: now, came: "restore" }],
  ["keep", { start: "migrate", record: { left: true } }, {
    ...on,
    continued: now,
    came: "migration",
    visits: "again",
  }],
  ["keep", { start: "migrate", noted: false }, {
    ...on,
    started: now,
    continued: now,
    came: "migration",
    visits: "first",
  }],
  ["put back", { record: { stays: true } }, { ...on, continued: now, waits: true, stays: true }],
  ["put back", { record: { aside: "forget" } }, { ...on, continued: now, waits: true, aside: "forget" }],
  ["put back", { record: { setsAside: 9000 } }, { ...on, continued: now, waits: true, setsAside: 9000 }],
  ["put back", { files: "aside" }, { ...on, continued: now, waits: true }],
  ["put back", { start: "resume", seat: { endedWritten: 8000 } }, {
    ...on,
    continued: now,
    waits: true,
    came: "restore",
    resumed: 8000,
  }],
  ["new session", { record: { stays: true } }, { ...on, started: now }],
  ["new session", { start: "resume" }, { ...on, started: now, came: "restore" }],
  ["new session", { files: "aside", record: { written: 9000, aside: "stay" } }, {
    ...on,
    started: now,
    aside: "stay",
    written: 9000,
  }],
  ["set aside, new session", { seat: { written: 9000 } }, {
    ...on,
    started: now,
    aside: "stay",
    setsAside: 9000,
    stays: true,
  }],
  ["set aside, new session", { record: { aside: "stay" } }, { ...on, started: now, aside: "stay" }],
  ["set aside, new session", { record: { made: 5 } }, {
    ...on,
    started: now,
    aside: "stay",
    written: 0,
    stays: true,
  }],
  ["set aside, new session", { record: { aside: "stay", beside: "ended" } }, {
    ...on,
    started: now,
    aside: "stay",
    beside: "ended",
  }],
  ["set aside, new session", { seat: { made: 5 }, record: { made: 5, beside: "died" } }, {
    ...on,
    started: now,
    aside: "stay",
    stays: true,
    beside: "died",
  }],
  ["leave", {}, { detached: true }],
  ["leave", { noted: false }, undefined],
  ["nothing", { standing: false }, undefined],
];

for (const [decision, differs, noted] of atStart) {
  Deno.test(`a seat's note at a start, ${JSON.stringify([decision, differs])}`, () => {
    assertEquals(
      seatRecordAtPrepare(
        { seat: given(differs), decision },
        differs.standing === false ? undefined : { master: master.image, layer: on.layer },
        { now: new Date(now), host: on.host },
        differs.start ?? "fresh",
      ),
      noted && { ...record, ...noted },
    );
  });
}

interface Coming {
  readonly record?: Partial<SeatRecord>;
  readonly made?: number;
}

/** The same of a session that has its image's name by now, or whose guest is up. */
const afterStart: readonly (readonly [SeatDecision | "up", Coming, Partial<SeatRecord>])[] = [
  ["up", { record: { setsAside: 9000 } }, {}],
  ["up", { record: { stays: true } }, { stays: true }],
  ["up", { record: { detached: true, aside: "forget" } }, { detached: true, aside: "forget" }],
  ["up", { record: { setsAside: 9000, stays: true } }, { stays: true, setsAside: 9000 }],
  ["keep", { record: { stays: true } }, { stays: true }],
  ["keep", { made: 5 }, { made: 5 }],
  ["put back", { record: { stays: true } }, {}],
];

for (const [decision, differs, noted] of afterStart) {
  Deno.test(`a seat's note after a start, ${JSON.stringify([decision, differs])}`, () => {
    const before = { ...record, ...differs.record };
    assertEquals(
      decision === "up" ? seatRecordOnceUp(before) : recordOnceThere(before, decision, differs.made),
      { ...record, ...noted },
    );
  });
}

interface End extends Given {
  readonly end?: Partial<EndedGuest>;
  readonly isOpen?: true;
  readonly beside?: "ended";
}

/** The same of an end. */
const atEnd: readonly (readonly [SeatDecision, End, Partial<SeatRecord> | undefined])[] = [
  ["leave", { beside: "ended" }, { waits: true, beside: "ended" }],
  ["leave", { record: { aside: "forget" } }, { aside: "forget" }],
  ["leave", { end: { isMigrated: true } }, { waits: true }],
  ["leave", { noted: false }, undefined],
  ["leave", { end: { isAborted: true } }, {}],
  ["leave", { isOpen: true, seat: { written: 9000 } }, { waits: true, left: true }],
  ["leave", { end: { isUp: true }, record: { aside: "forget" } }, {}],
  ["leave", { isOpen: true, record: { came: "migration" } }, { came: "migration" }],
  ["leave", { end: { isGone: true }, files: "aside alone" }, { left: true }],
  ["leave", { end: { isAborted: true }, record: { visits: "again" } }, { waits: true, left: true }],
  ["leave", { end: { isAborted: true }, record: { visits: "first" } }, undefined],
  ["leave", { end: { isMigrated: true }, record: { came: "migration" } }, { came: "migration" }],
  ["leave", { end: { isSaved: true }, seat: { endedWritten: 8000 } }, { waits: true }],
  ["leave", { isOpen: true, record: { came: "migration", visits: "first" } }, {
    came: "migration",
    waits: true,
    left: true,
  }],
  ["leave", { end: { isUp: true }, record: { detached: true, aside: "forget" } }, {
    detached: true,
    aside: "forget",
  }],
  ["leave", { end: { isGone: true, isAborted: true }, record: { visits: "first" } }, {
    waits: true,
    left: true,
  }],
  ["leave", { end: { isSaved: true, isAborted: true }, record: { visits: "first" } }, {
    waits: true,
    visits: "first",
  }],
  ["leave", { end: { isSaved: true, isGone: true }, seat: { written: 9000 } }, { waits: true, left: true }],
  ["leave", { end: { isSaved: true, isRefused: true }, seat: { written: 9000 } }, { waits: true }],
  ["leave", { end: { isSaved: true }, seat: { written: 9000 }, record: { made: 5 } }, {
    made: 5,
    waits: true,
    written: 9000,
  }],
  ["leave", { end: { isSaved: true }, seat: { endedWritten: 9000 }, record: { resumed: 9000 } }, {
    resumed: 9000,
    waits: true,
    written: 9000,
  }],
  ["leave", { end: { isUp: true, isSaved: true }, seat: { written: 9000 }, record: { came: "migration" } }, {
    came: "migration",
    waits: true,
    written: 9000,
  }],
  ["leave", {
    end: { isSaved: true },
    seat: { endedWritten: 8000 },
    record: { resumed: 8000, came: "migration" },
  }, { resumed: 8000, came: "migration", waits: true }],
  ["leave", { end: { isSaved: true }, seat: { endedMade: 5, endedWritten: 8000 }, record: { made: 5 } }, {
    made: 5,
    waits: true,
    written: 8000,
  }],
  ["nothing", { isOpen: true }, {}],
  ["nothing", { end: { isSaved: true } }, {}],
  ["nothing", { end: { isAborted: true }, record: { visits: "first" } }, { visits: "first" }],
  ["put back", { seat: { endedMade: 7 } }, { made: 7 }],
  ["put back", { record: { aside: "forget", beside: "ended" } }, { aside: "forget", beside: "ended" }],
  ["discard", {}, undefined],
  ["set aside", {}, undefined],
];

for (const [decision, differs, noted] of atEnd) {
  Deno.test(`a seat's note at an end, ${JSON.stringify([decision, differs])}`, () => {
    const { isOpen, beside, end } = differs;
    const decided = { seat: given(differs), decision, ...isOpen && { isOpen }, ...beside && { beside } };
    assertEquals(
      seatRecordsAtRelease([decided], { at: new Date(now), isUp: false, ...end }),
      noted === undefined ? [] : [{ ...record, ...noted }],
    );
  });
}
