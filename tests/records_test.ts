/** What a guest's note says of its disks from a start or an end on, by what is decided of them. */

import { assertEquals } from "@std/assert";
import { disk, image, names, record } from "./os_disk.ts";
import type { Decision } from "../lib/state/decision_table.ts";
import type { ObservedDisk } from "../lib/state/observed_disk.ts";
import { namesOf } from "../lib/state/paths.ts";
import { recordsAtPrepare, type ways } from "../lib/state/records_at_prepare.ts";
import { type EndedGuest, recordsAtRelease, unfinished } from "../lib/state/records_at_release.ts";
import type { SessionRecord } from "../lib/state/session_record.ts";
import type { Listing } from "../lib/state/state.ts";

const data = namesOf("/images/data.img");
const now = "2026-02-01T00:00:00.000Z";

const plain: Listing = new Map([[image, 1]]);
const layered: Listing = new Map([[image, 1], [names.layer(0), 1]]);
const session: Listing = new Map([[image, 100], [names.layer(0), 1]]);
const marked: Listing = new Map([...session, [names.mark, 100]]);
const twoLayers: Listing = new Map([[image, 2], [names.layer(0), 1], [names.layer(1), 2]]);
const aside = (listing: Listing): Listing => new Map([...listing, [names.ended, 200]]);
const files = {
  ...{ plain, layered, session, marked, missing: new Map() as Listing },
  ...{ "plain, set aside": aside(plain), "session, set aside": aside(session) },
  "committing": new Map([[names.committing, 100], [names.layer(0), 1]]) as Listing,
  "two layers": twoLayers,
  "torn layers": new Map([...twoLayers, [names.merge(1), 2]]) as Listing,
  "merged": new Map([[image, 2], [names.layer(1), 2]]) as Listing,
};

/** What differs from a disk that is in a session, or is idle where one begins. */
interface Given {
  readonly files?: keyof typeof files;
  readonly noted?: false;
  readonly record?: Partial<SessionRecord>;
  readonly disk?: Partial<ObservedDisk>;
}

function given(decision: Decision, { noted, ...differs }: Given): ObservedDisk {
  const usual = decision === "put back"
    ? "plain, set aside"
    : ["new session", "let go"].includes(decision)
    ? "plain"
    : "session";
  return {
    ...{ ...disk, ...differs.disk, listing: files[differs.files ?? usual] },
    record: noted === false ? undefined : { ...record, ...differs.record },
  };
}

interface Start extends Given {
  readonly start?: keyof typeof ways;
  /** What other guests' notes say of the image. */
  readonly others?: readonly Partial<SessionRecord>[];
  /** What the last start has set aside of another disk of the guest stays. */
  readonly staying?: true;
}

/** What is decided, what differs, and what the note says then, beside what it has said. */
const atStart: readonly (readonly [Decision, Start, Partial<SessionRecord>])[] = [
  ["keep", { disk: { flag: "set" } }, { continued: now }],
  ["keep", { record: { left: true } }, { continued: now }],
  ["keep", { start: "migrate" }, { continued: now, came: "migration" }],
  ["keep", { disk: { layerTimes: [1] } }, { continued: now }],
  ["keep", { record: { setsAside: 7 } }, { continued: now, setsAside: 7 }],
  ["keep", { disk: { written: 9 } }, { continued: now }],
  ["keep", { others: [{}] }, { started: "2026-01-01T00:00:00.001Z", continued: now }],
  ["keep", { record: { flagged: true } }, { continued: now }],
  ["keep", { disk: { made: 5 }, record: { commits: [{ layer: 1, disks: [data.layer(1)] }] } }, {
    started: now,
    made: [5],
    commits: [{ layer: 1, disks: [data.layer(1)] }],
  }],
  ["keep", { files: "marked", record: { flagged: true } }, { continued: now, flagged: true }],
  ["keep", { start: "resume", disk: { written: 9 } }, { resumed: 9, continued: now, came: "restore" }],
  ["keep", { record: { aside: "stay" }, disk: { made: 5 } }, { started: now, made: [5], aside: "stay" }],
  ["keep", { disk: { made: 5, owner: { uid: 1, gid: 1, mode: 0o600 } } }, { started: now, made: [5] }],
  ["keep", { files: "layered", record: { waits: "saved" } }, { continued: now, lost: true, waits: "saved" }],
  ["keep", { noted: false, disk: { endedMade: 7 } }, { started: now }],
  ["keep", { start: "migrate", noted: false }, { started: now, visits: "first", came: "migration" }],
  ["keep", { start: "migrate", record: { waits: "saved" }, disk: { endedMade: 7 } }, {
    started: now,
    visits: "again",
    came: "migration",
  }],
  ["keep", { start: "migrate", record: { waits: "saved", stays: true } }, {
    started: now,
    visits: "again",
    came: "migration",
  }],
  ["keep", { start: "migrate", record: { left: true }, disk: { layerTimes: [1] } }, {
    started: now,
    below: [1],
    visits: "again",
    came: "migration",
  }],
  ["keep", { start: "migrate", record: { left: true, merging: 1 } }, {
    started: now,
    visits: "again",
    came: "migration",
  }],
  ["keep", {
    start: "migrate",
    record: { left: true },
    others: [{ committed: [{ layer: 2, at: "2026-01-02" }], started: "2025-01-01T00:00:00.000Z" }],
  }, { started: now, visits: "again", came: "migration" }],
  ["keep", { record: { idle: true, made: [5] }, disk: { endedMade: 5 } }, { started: now, setsAside: 5 }],
  ["keep", { files: "two layers", record: { merging: 1 }, disk: { made: 5 } }, { started: now, merging: 1 }],
  ["keep", { record: { flagged: true }, disk: { target: "vdb", flag: "unreadable" } }, {
    target: "vdb",
    continued: now,
    flagged: true,
  }],
  ["keep", { files: "marked", record: { flagged: true }, disk: { made: 5 } }, { started: now, made: [5] }],
  ["keep", {
    files: "two layers",
    disk: { made: 5 },
    others: [{ image: "/other", merging: 1, committed: [], started: "2026-03-01T00:00:00.000Z" }],
  }, { started: now }],
  ["keep", { files: "marked", record: { flagged: true }, disk: { target: "vdb" } }, {
    target: "vdb",
    continued: now,
  }],
  ["keep", { files: "two layers", disk: { made: 5 }, others: [{ merging: 1 }] }, {
    started: now,
    merging: 1,
  }],
  ["keep", { files: "marked", record: { flagged: true }, disk: { target: "vdb", flag: "set" } }, {
    target: "vdb",
    continued: now,
    flagged: true,
  }],
  ["keep", { start: "resume", record: { waits: "saved", came: "restore" }, disk: { written: 9 } }, {
    continued: now,
    waits: "saved",
    came: "restore",
  }],
  ["keep", { disk: { made: Date.parse(record.started) }, others: [{}] }, {
    started: "2026-01-01T00:00:00.001Z",
    made: [Date.parse(record.started)],
    continued: now,
  }],
  ["resume", { disk: { made: 5 } }, { held: true, continued: now }],
  ["resume", { record: { flagged: true } }, { held: true, continued: now, flagged: true }],
  ["resume", { record: { aside: "forget" } }, { held: true, continued: now }],
  ["resume", { record: { idle: true } }, { held: true, continued: now }],
  ["resume", { disk: { flag: "set" } }, { held: true, continued: now, flagged: true }],
  ["resume", { files: "plain, set aside", record: { lost: true } }, {
    held: true,
    lost: true,
    continued: now,
    aside: "others",
  }],
  ["resume", { files: "plain, set aside", record: { aside: "stay" } }, {
    held: true,
    continued: now,
    aside: "stay",
  }],
  ["resume", { disk: { made: 5 }, others: [{}] }, {
    started: "2026-01-01T00:00:00.001Z",
    held: true,
    made: [5],
    continued: now,
  }],
  ["resume", { files: "session, set aside", record: { aside: "forget" } }, {
    continued: now,
    aside: "forget",
  }],
  ["resume", { files: "marked", disk: { flag: "set" } }, { held: true, continued: now }],
  ["resume", { files: "plain, set aside", noted: false }, { started: now, aside: "others" }],
  ["resume", { files: "plain, set aside", record: { lost: true, undone: true } }, {
    held: true,
    lost: true,
    undone: true,
    continued: now,
    aside: "forget",
  }],
  ["put back", { disk: { endedMade: 7 } }, { made: [7], continued: now, waits: "saved" }],
  ["put back", { disk: { layerTimes: [1] } }, { below: [1], continued: now, waits: "saved" }],
  ["put back", { start: "resume", disk: { written: 9 } }, {
    continued: now,
    waits: "saved",
    came: "restore",
  }],
  ["put back", { start: "migrate", disk: { made: 5 } }, { started: now, visits: "again", came: "migration" }],
  ["put back", { record: { aside: "forget", setsAside: 7 } }, { continued: now, waits: "saved" }],
  ["put back", { files: "session", disk: { made: 5 } }, { made: [5], continued: now, waits: "saved" }],
  ["put back", { disk: { made: 5 }, others: [{}] }, {
    started: "2026-01-01T00:00:00.001Z",
    continued: now,
    waits: "saved",
  }],
  ["put back", { files: "session", record: { aside: "forget", setsAside: 7 } }, {
    continued: now,
    setsAside: 7,
    waits: "saved",
    aside: "forget",
  }],
  ["new session", { record: { commits: [{ layer: 1, disks: [names.layer(1)] }] } }, {
    started: now,
    commits: [{ layer: 1, disks: ["/images/os.img"] }],
  }],
  ["new session", { disk: { owner: { uid: 1, gid: 1, mode: 0o600 } } }, {
    started: now,
    owner: { uid: 1, gid: 1, mode: 0o600 },
  }],
  ["new session", { record: { flagVersion: "old" } }, { started: now, flagVersion: "old" }],
  ["new session", { record: { lost: true } }, { started: now, lost: true }],
  ["new session", { record: { flagged: true } }, { started: now }],
  ["new session", { record: { undone: true } }, { started: now, undone: true }],
  ["new session", { disk: { firmware: true } }, { started: now, firmware: true }],
  ["new session", { disk: { flag: "set" } }, { started: now, flagged: true }],
  ["new session", {
    others: [{ committed: [{ layer: 2, at: "2026-01-02" }], started: "2026-03-01T00:00:00.000Z" }],
  }, { started: "2026-03-01T00:00:00.001Z", committed: [{ layer: 2, at: "2026-01-02" }] }],
  ["new session", { files: "marked" }, { started: now }],
  ["new session", { files: "plain, set aside" }, { started: now, aside: "forget" }],
  ["new session", { files: "torn layers" }, { started: now }],
  ["new session", { noted: false }, { started: now }],
  ["new session", { files: "marked", record: { flagged: true } }, { started: now, flagged: true }],
  ["new session", { record: { aside: "forget", setsAside: 7 } }, { started: now, lost: true }],
  ["set aside, new session", { record: { undone: true } }, { started: now, aside: "stay" }],
  ["set aside, new session", { disk: { made: 5 } }, { started: now, made: [5], aside: "stay", setsAside: 5 }],
  ["set aside, new session", { disk: { flag: "set" } }, { started: now, aside: "stay", stays: true }],
  ["set aside, new session", { disk: { keepSession: true } }, { started: now, aside: "stay", stays: true }],
  ["set aside, new session", { disk: { flag: "set" }, staying: true }, { started: now, aside: "stay" }],
  ["leave to a person", { files: "missing" }, {}],
  ["leave to a person", { record: { idle: true } }, { idle: true }],
  ["leave to a person", { record: { left: true } }, { left: true, detached: true }],
  ["leave to a person", { others: [{}] }, { detached: true }],
  ["leave to a person", { disk: { flag: "unreadable" } }, { waits: true, detached: true }],
  ["leave to a person", { files: "marked", disk: { flag: "unreadable" } }, { detached: true }],
  ["leave to a person", { files: "marked", record: { flagged: true } }, { flagged: true, detached: true }],
  ["let go", {}, {}],
  ["let go", { record: { waits: "saved" } }, { lost: true }],
  ["let go", { files: "plain, set aside" }, { lost: true }],
  ["discard", { files: "plain, set aside" }, { lost: true }],
];

for (const [decision, differs, noted] of atStart) {
  Deno.test(`the note at a start, ${JSON.stringify([decision, differs])}`, () => {
    const others = (differs.others ?? []).map((other) => ({ ...record, ...other }));
    const staying: ObservedDisk = {
      ...{ ...disk, names: data, endedMade: 7 },
      record: { ...record, image: data.image, stays: true, setsAside: 7 },
    };
    const decided = [
      { disk: given(decision, differs), decision },
      ...differs.staying ? [{ disk: staying, decision: "keep" } as const] : [],
    ];
    const [first] = recordsAtPrepare(decided, new Date(now), others, differs.start);
    assertEquals(first, { ...record, ...noted });
  });
}

interface End extends Given {
  readonly end?: Partial<EndedGuest>;
  readonly isBeside?: true;
  /** Another disk of the guest: it stays beside what its start has set aside, or its image is what the target names now. */
  readonly another?: "beside" | "successor";
}

const committed = { committed: [{ layer: 1, at: now, started: record.started }] };

/** The same of an end; undefined where nothing is noted any more. */
const atEnd: readonly (readonly [Decision, End, Partial<SessionRecord> | undefined])[] = [
  ["leave", { end: { isGone: true } }, { left: true }],
  ["leave", { end: { flagVersion: "new" } }, {}],
  ["leave", { end: { isAborted: true } }, {}],
  ["leave", { end: { isMigrated: true } }, { waits: "saved" }],
  ["leave", { end: { isUntold: true } }, {}],
  ["leave", { end: { hasOlderSave: true } }, {}],
  ["leave", { another: "beside" }, {}],
  ["leave", { record: { aside: "others" } }, { aside: "others" }],
  ["leave", { end: { isUp: true, isUnderWay: true } }, {}],
  ["leave", { end: { isElsewhere: true }, disk: { source: "other" } }, {}],
  ["leave", { end: { isUp: true }, record: { lost: true } }, { over: true }],
  ["leave", { end: { isUp: true }, record: { aside: "stay" } }, { over: true, aside: "stay" }],
  ["leave", { record: { setsAside: 5 }, disk: { endedMade: 5 } }, { setsAside: 5 }],
  ["leave", { end: { isUp: true }, record: { detached: true } }, { detached: true }],
  ["leave", { end: { isGone: true }, record: { came: "restore" } }, { came: "restore" }],
  ["leave", { end: { isElsewhere: true }, record: { came: "restore" } }, { came: "restore" }],
  ["leave", { end: { isElsewhere: true }, record: { waits: "saved" } }, { waits: "saved" }],
  ["leave", { end: { isMigrated: true }, record: { came: "restore" } }, { came: "restore" }],
  ["leave", { end: { isSaved: true, isElsewhere: true } }, { waits: "saved" }],
  ["leave", { end: { isAborted: true }, record: { visits: "first" } }, undefined],
  ["leave", { end: { isAborted: true }, record: { visits: "again" } }, { left: true }],
  ["leave", { end: { isUntold: true }, files: "missing" }, { waits: "saved" }],
  ["leave", { files: "marked", record: { flagged: true }, disk: { flag: "set" } }, { flagged: true }],
  ["leave", { end: { isUp: true, isElsewhere: true }, another: "beside" }, { over: true, waits: true }],
  ["leave", { end: { isSaved: true, isAborted: true }, record: { visits: "first" } }, {
    visits: "first",
    waits: "saved",
  }],
  ["leave", { end: { isGone: true, isAborted: true }, record: { visits: "first" } }, {
    visits: "first",
    left: true,
  }],
  ["leave", { end: { isGone: true }, record: { came: "restore", visits: "first" } }, {
    came: "restore",
    visits: "first",
    left: true,
  }],
  ["leave", { end: { isMigrated: true }, record: { came: "restore", visits: "first" } }, {
    came: "restore",
    visits: "first",
    waits: "saved",
  }],
  ["leave", { end: { isAborted: true }, record: { visits: "first", merging: 1 } }, {
    merging: 1,
    left: true,
  }],
  ["leave", { end: { isElsewhere: true }, disk: { source: "other" } }, {}],
  ["leave", { end: { isUp: true }, disk: { keepSession: true } }, { over: true }],
  ["leave", { end: { isUp: true }, files: "missing", disk: { keepSession: true } }, {
    over: true,
    waits: true,
  }],
  ["leave", { end: { isElsewhere: true }, record: { setsAside: 5, stays: true }, disk: { endedMade: 5 } }, {
    setsAside: 5,
    stays: true,
  }],
  ["leave", { end: { isElsewhere: true }, files: "missing" }, {}],
  ["discard", { end: { isMigrated: true } }, {}],
  ["discard", { record: { flagged: true } }, {}],
  ["discard", { end: { isGone: true } }, {}],
  ["discard", { end: { hasOlderSave: true } }, { lost: true }],
  ["discard", { record: { aside: "others" } }, undefined],
  ["discard", { end: { isUp: true }, another: "beside" }, { over: true }],
  ["discard", { end: { isAborted: true }, record: { visits: "first" } }, {}],
  ["discard", { record: { aside: "others", lost: true } }, { lost: true, aside: "others" }],
  ["discard", { record: { setsAside: 7 }, disk: { endedMade: 7 } }, { setsAside: 7, waits: "saved" }],
  ["discard", { files: "marked", record: { flagged: true } }, { flagged: true }],
  ["discard", { end: { isUntold: true }, files: "missing" }, {}],
  ["discard", { end: { isUp: true }, record: { aside: "others" } }, { over: true }],
  ["discard", { end: { isUp: true }, record: { setsAside: 7 }, disk: { endedMade: 7 } }, {
    setsAside: 7,
    over: true,
  }],
  ["commit", { end: { flagVersion: "new" } }, { flagVersion: "new", ...committed }],
  ["commit", { record: { flagged: true } }, { flagged: true, ...committed }],
  ["commit", { record: { flagged: true }, disk: { flag: "unreadable" } }, {
    held: true,
    flagged: true,
    ...committed,
  }],
  ["commit", { disk: { flag: "set", source: "other" }, another: "successor" }, committed],
  ["set aside", { record: { undone: true } }, { waits: true }],
  ["set aside", { end: { isUntold: true } }, { waits: "saved" }],
  ["hold", { end: { isGone: true } }, {}],
  ["hold", { end: { isSaved: true } }, { waits: "saved" }],
  ["hold", { end: { isMigrated: true } }, {}],
  ["hold", { end: { isUp: true } }, { over: true }],
  ["hold", { end: { isUp: true, isUntold: true } }, { over: true, waits: true }],
  ["hold", { end: { isUp: true, isUntold: true }, files: "marked" }, { held: true, over: true }],
  ["hold", { end: { isUp: true }, disk: { flag: "unreadable" } }, { over: true, waits: true }],
  ["hold", { end: { isUp: true }, disk: { keepSession: true } }, { over: true, waits: true }],
  ["pass on", { end: { isElsewhere: true } }, { left: true }],
  ["pass on", { record: { flagged: true } }, {}],
  ["leave to a person", { record: { flagged: true }, disk: { flag: "set" } }, { held: true, flagged: true }],
  ["leave to a person", { files: "marked", record: { flagged: true } }, { flagged: true, waits: true }],
  ["leave to a person", { files: "marked", record: { flagged: true }, disk: { made: 7 } }, { held: true }],
];

for (const [decision, differs, noted] of atEnd) {
  Deno.test(`the note at an end, ${JSON.stringify([decision, differs])}`, () => {
    const another: ObservedDisk = { ...disk, names: data, record: undefined };
    const decided = [
      { disk: given(decision, differs), decision, ...differs.isBeside && { isBeside: true as const } },
      ...differs.another === "beside" ? [{ disk: another, decision: "leave", isBeside: true } as const] : [],
      ...differs.another === "successor" ? [{ disk: another, decision: "leave" } as const] : [],
    ];
    assertEquals(
      recordsAtRelease(decided, { at: new Date(now), isUp: false, ...differs.end }),
      noted === undefined ? [] : [{ ...record, ...noted }],
    );
  });
}

/** The files after an end, what was noted, and what stays noted. */
const afterEnd:
  readonly (readonly [keyof typeof files, Partial<SessionRecord>, Partial<SessionRecord> | undefined])[] = [
    ["torn layers", {}, { idle: true }],
    ["plain", {}, undefined],
    ["missing", { flagVersion: "old" }, { flagVersion: "old" }],
    ["missing", { below: [1] }, { below: [1] }],
    ["layered", { firmware: true }, { firmware: true, idle: true }],
    ["layered", { committed: [{ layer: 0, at: "2026-01-03" }] }, {
      committed: [{ layer: 0, at: "2026-01-03" }],
      idle: true,
    }],
    ["missing", { commits: [{ layer: 1, disks: [names.layer(1)] }] }, {
      commits: [{ layer: 1, disks: [names.layer(1)] }],
    }],
    ["missing", { flagged: true }, { flagged: true }],
    ["missing", { merging: 1 }, {}],
    ["layered", { waits: true }, { idle: true }],
    ["layered", { held: true }, { idle: true }],
    ["layered", { flagged: true }, { idle: true }],
    ["layered", { flagVersion: "old" }, { idle: true }],
    ["layered", { below: [1] }, { idle: true }],
    ["plain, set aside", { setsAside: 7 }, { setsAside: 7, idle: true }],
    ["missing", { firmware: true }, undefined],
    ["missing", { committed: [{ layer: 0, at: "2026-01-03" }] }, {}],
    ["missing", { waits: true }, { waits: true }],
    ["layered", { committed: [{ layer: 1, at: "2026-01-03" }] }, { committed: [], idle: true }],
    ["plain", { waits: "saved" }, { waits: "saved", idle: true }],
    ["two layers", { merging: 1 }, { idle: true, merging: 1 }],
    ["plain", { lost: true }, { lost: true, idle: true }],
    ["committing", { committed: [{ layer: 1, at: "2026-01-03" }] }, {
      committed: [{ layer: 1, at: "2026-01-03" }],
    }],
    ["missing", { aside: "stay", stays: true }, { aside: "stay", stays: true }],
    ["missing", { aside: "forget", setsAside: 7 }, { aside: "forget" }],
    ["plain", { aside: "forget", setsAside: 7 }, { aside: "forget", lost: true, idle: true }],
    ["plain", { lost: true, firmware: true }, undefined],
    ["layered", {
      undone: true,
      committed: [{ layer: 1, at: "2026-01-03" }],
      pending: { verb: "undo", top: 1 },
    }, {
      undone: true,
      pending: { verb: "undo", top: 1 },
      committed: [{ layer: 1, at: "2026-01-03" }],
      idle: true,
    }],
    ["merged", {
      undone: true,
      committed: [{ layer: 0, at: "2026-01-03" }],
      pending: { verb: "undo", top: 1 },
    }, { undone: true, pending: { verb: "undo", top: 1 }, committed: [], idle: true }],
  ];

for (const [found, before, noted] of afterEnd) {
  Deno.test(`the note after an end, ${JSON.stringify([found, before])}`, () => {
    assertEquals(
      unfinished([{ ...record, ...before }], () => files[found]),
      noted === undefined ? [] : [{ ...record, ...noted }],
    );
  });
}
