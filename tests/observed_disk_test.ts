/** What is known of a disk by its files and its note, before anything changes. */

import { assertEquals } from "@std/assert";
import { disk, image, names, record } from "./os_disk.ts";
import * as known from "../lib/state/observed_disk.ts";
import {
  LONGEST_FAILURE,
  LONGEST_START,
  MADE_WITHIN,
  type ObservedDisk,
} from "../lib/state/observed_disk.ts";
import type { SessionRecord } from "../lib/state/session_record.ts";
import type { Listing } from "../lib/state/state.ts";

const began = Date.parse(record.started);

const plain: Listing = new Map([[image, 1]]);
const layered: Listing = new Map([[image, 1], [names.layer(0), 1]]);
const session: Listing = new Map([[image, 100], [names.layer(0), 1]]);
const aside = (listing: Listing): Listing => new Map([...listing, [names.ended, 200]]);
const files = {
  ...{ plain, layered, session, missing: new Map() as Listing },
  ...{ "plain, set aside": aside(plain), "session, set aside": aside(session) },
  "session of two names": new Map([...session, [names.ended, 100]]) as Listing,
  "marked": new Map([...session, [names.mark, 100]]) as Listing,
  "committing, marked": new Map([[names.layer(0), 1], [names.committing, 100], [names.mark, 100]]) as Listing,
  "master": new Map([...layered, [names.master, 9]]) as Listing,
};

/** What differs from a disk in a session of which only the note's least is known. */
interface Given {
  readonly files?: keyof typeof files;
  readonly noted?: false;
  readonly record?: Partial<SessionRecord>;
  readonly disk?: Partial<ObservedDisk>;
}

function given({ noted, ...differs }: Given): ObservedDisk {
  return {
    ...{ ...disk, ...differs.disk, listing: files[differs.files ?? "session"] },
    record: noted === false ? undefined : { ...record, ...differs.record },
  };
}

type Question = {
  readonly [Name in keyof typeof known]: typeof known[Name] extends (disk: ObservedDisk) => boolean | string
    ? Name
    : never;
}[keyof typeof known];

const answers: readonly (readonly [Question, Given, boolean | string])[] = [
  ["isAway", { files: "missing" }, true],
  ["isAway", { files: "missing", disk: { firmware: true } }, false],
  ["isAway", { noted: false, files: "missing" }, false],
  ["isSessionAway", { files: "missing" }, true],
  ["isSessionAway", {}, false],
  ["isSessionAway", { files: "missing", record: { idle: true } }, false],
  ["isMaster", { files: "layered" }, false],
  ["isMaster", { files: "master" }, true],
  ["isYetToBeMade", { files: "missing", disk: { firmware: true } }, true],
  ["isYetToBeMade", { files: "missing" }, false],
  ["isYetToBeMade", { disk: { firmware: true } }, false],
  ["isFlaggedAtStart", { files: "plain", disk: { flag: "set" } }, true],
  ["isFlaggedAtStart", { files: "missing" }, false],
  ["isFlaggedAtStart", { disk: { flag: "set" } }, false],
  ["nameOf", {}, "vda"],
  ["nameOf", { record: { target: "vdb" } }, "/images/os.img"],
  ["nameOf", { disk: { renamed: true } }, "/images/os.img"],
  ["nameOf", { disk: { source: "other" } }, "/images/os.img"],
  ["nameOf", { noted: false }, "vda"],
  ["bearsMark", {}, false],
  ["bearsMark", { files: "marked" }, true],
  ["isMarked", { files: "marked" }, true],
  ["isMarked", { files: "marked", record: { flagged: true } }, false],
  ["isMarked", { files: "marked", record: { flagged: true }, disk: { target: "vdb" } }, true],
  ["isMarked", { files: "marked", record: { flagged: true }, disk: { made: 7 } }, true],
  ["isMarked", {
    files: "marked",
    record: { flagged: true },
    disk: { target: "vdb", startFlag: { target: "vdb", isSet: true } },
  }, false],
  ["wishOf", {}, "clear"],
  ["wishOf", { files: "marked" }, "set"],
  ["wishOf", { files: "marked", disk: { flag: "unreadable" } }, "unreadable"],
  ["isHeld", {}, false],
  ["isHeld", { noted: false }, false],
  ["isHeld", { record: { idle: true, held: true } }, false],
  ["isHeld", { files: "marked", record: { idle: true, flagged: true } }, true],
  ["isHeld", { record: { held: true } }, true],
  ["isHeld", { record: { flagged: true } }, true],
  ["isHeld", { files: "marked" }, true],
  ["isHeld", { files: "committing, marked" }, false],
  ["isHeld", { record: { aside: "stay", flagged: true } }, false],
  ["mayBeKept", {}, false],
  ["mayBeKept", { files: "marked" }, true],
  ["mayBeKept", { record: { held: true } }, true],
  ["mayBeKept", { record: { aside: "stay" } }, true],
  ["mayBeKept", { disk: { flag: "set" } }, true],
  ["mayBeKept", { files: "missing", record: { held: true } }, false],
  ["isAwaited", { record: { aside: "stay" } }, true],
  [
    "isAwaited",
    { files: "session, set aside", record: { aside: "stay", setsAside: 7 }, disk: { made: 7 } },
    true,
  ],
  ["isAwaited", { record: { waits: "saved" } }, true],
  ["isAwaited", { files: "missing", record: { aside: "stay" } }, false],
  ["isAwaited", { files: "session, set aside", record: { aside: "stay" } }, false],
  ["isAwaited", { files: "session, set aside", record: { aside: "stay" }, disk: { made: 7 } }, false],
  ["isMadeForIt", { disk: { made: began + MADE_WITHIN - 1 } }, true],
  ["isMadeForIt", { disk: { made: began + MADE_WITHIN } }, false],
  ["isMadeForIt", { record: { made: [7] }, disk: { made: 7 } }, true],
  ["isMadeForIt", { noted: false, disk: { made: 7 } }, false],
  ["isRecorded", { disk: { made: began } }, true],
  ["isRecorded", { record: { idle: true } }, false],
  ["isRecorded", { noted: false }, false],
  ["isRecorded", { record: { firmware: true }, disk: { made: 7 } }, true],
  ["wasSavedOn", { disk: { endedMade: 7 } }, false],
  ["wasSavedOn", { record: { setsAside: 7 } }, true],
  ["wasSavedOn", { record: { made: [7] }, disk: { endedMade: 7 } }, true],
  ["wasSavedOn", { record: { setsAside: 7 }, disk: { endedMade: 7 } }, true],
  ["wasSavedOn", { noted: false, disk: { endedMade: 7 } }, true],
  ["hasItsSetAside", { record: { setsAside: 7 }, disk: { endedMade: 7 } }, true],
  ["hasItsSetAside", { record: { setsAside: 7 } }, false],
  ["hasStaying", { record: { setsAside: 5, stays: true }, disk: { endedMade: 5 } }, true],
  ["hasStaying", { record: { stays: true } }, false],
  ["hasStaying", { record: { setsAside: 5 }, disk: { endedMade: 5 } }, false],
  ["isUnwrittenSinceRestore", { record: { resumed: 9 }, disk: { written: 9 } }, true],
  ["isUnwrittenSinceRestore", {}, false],
  ["isUnwrittenSinceRestore", { record: { resumed: 9 } }, false],
  ["mayBeAnothers", { disk: { layerChanged: began + LONGEST_START + 1 } }, true],
  ["mayBeAnothers", { disk: { layerChanged: began + LONGEST_START } }, false],
  ["mayBeAnothers", { noted: false, disk: { layerChanged: began + LONGEST_START } }, false],
  ["isUnborn", {
    files: "session, set aside",
    record: { aside: "forget" },
    disk: { written: began + LONGEST_FAILURE },
  }, true],
  ["isUnborn", { files: "session, set aside" }, false],
  ["isUnborn", { record: { aside: "forget" } }, false],
  ["isUnborn", { files: "plain, set aside", record: { aside: "forget" } }, false],
  ["isUnborn", { files: "session of two names", record: { aside: "stay" } }, false],
  ["isUnborn", { files: "session, set aside", record: { aside: "forget", held: true } }, false],
  ["isUnborn", {
    files: "session, set aside",
    record: { aside: "forget" },
    disk: { written: began + LONGEST_FAILURE + 1 },
  }, false],
];

for (const [question, differs, answer] of answers) {
  Deno.test(`${question} of a disk, ${JSON.stringify(differs)}: ${answer}`, () => {
    assertEquals(known[question](given(differs)), answer);
  });
}

const restored: readonly (readonly [Partial<SessionRecord>, boolean])[] = [
  [{ came: "restore", waits: "saved" }, true],
  [{ waits: "saved" }, false],
  [{ came: "restore" }, false],
  [{ waits: "saved", came: "restore", resumed: 9 }, false],
];

for (const [differs, isUnused] of restored) {
  Deno.test(`whether a session is one of a restore that failed, ${JSON.stringify(differs)}: ${isUnused}`, () => {
    assertEquals(known.isUnused({ ...record, ...differs }), isUnused);
  });
}

/** What differs from two disks of one target. */
interface Two {
  readonly disk?: Partial<ObservedDisk>;
  readonly other?: Partial<ObservedDisk>;
}

const successors: readonly (readonly [Two, boolean])[] = [
  [{}, false],
  [{ disk: { source: "other" } }, true],
  [{ disk: { renamed: true } }, true],
  [{ disk: { source: "other" }, other: { renamed: true } }, false],
  [{ disk: { renamed: true, target: "vdb" } }, false],
];

for (const [differs, hasSuccessor] of successors) {
  Deno.test(`whether its target is another disk's now, ${JSON.stringify(differs)}: ${hasSuccessor}`, () => {
    const one = given(differs);
    assertEquals(known.hasSuccessor(one, [one, { ...disk, ...differs.other }]), hasSuccessor);
  });
}

interface Cleared {
  readonly disk: Partial<ObservedDisk>;
  readonly cleared?: readonly string[];
}

const flags: readonly (readonly [Cleared, ObservedDisk["flag"]])[] = [
  [{ disk: { flag: "set" } }, "set"],
  [{ disk: { flag: "set", startFlag: { target: "vdb", isSet: true } } }, "set"],
  [{ disk: { startFlag: { target: "vdb", isSet: true } }, cleared: ["vda"] }, "clear"],
  [{ disk: { flag: "set", target: "vdb" }, cleared: ["vdb"] }, "clear"],
  [{ disk: { flag: "set", startFlag: { target: "vdb", isSet: true } }, cleared: ["vdb"] }, "unreadable"],
];

for (const [differs, flag] of flags) {
  Deno.test(`a disk's flag once flags are cleared, ${JSON.stringify(differs)}: ${flag}`, () => {
    assertEquals(known.afterClearing(given(differs), differs.cleared ?? []).flag, flag);
  });
}

Deno.test("disks come before the files of their firmware", () => {
  const all = [{ firmware: true }, {}, { firmware: false }];
  assertEquals(known.disksFirst(all, (one) => one), [{}, { firmware: false }, { firmware: true }]);
});
