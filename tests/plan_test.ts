import { assertEquals } from "@std/assert";
import type { Decision } from "../lib/state/decision_table.ts";
import { afterClearing, isTorn, type ObservedDisk } from "../lib/state/observed_disk.ts";
import { guestNames, namesOf } from "../lib/state/paths.ts";
import { isLeftAlone, marksOf, planPrepare, planUndo } from "../lib/state/prepare_plan.ts";
import { recordsAtPrepare } from "../lib/state/records_at_prepare.ts";
import { unfinished } from "../lib/state/records_at_release.ts";
import { endFirmware, joiningCommit, planFirmwareEnd, planRecovery } from "../lib/state/recovery.ts";
import { planRelease } from "../lib/state/release_plan.ts";
import type { SessionRecord } from "../lib/state/session_record.ts";
import { type Layers, type Listing, parse, type State } from "../lib/state/state.ts";
import { wordsOf } from "./step_words.ts";

const image = "/images/os.img";
const names = namesOf(image);
const record: SessionRecord = {
  target: "vda",
  image,
  started: "2026-01-01T00:00:00.000Z",
  owner: { uid: 0, gid: 0, mode: 0o600 },
  held: false,
};
const disk: ObservedDisk = {
  target: "vda",
  names,
  record,
  listed: true,
  flag: "clear",
  keepCommits: 0,
  keepSession: false,
  source: "same",
  listing: new Map(),
  owner: { uid: 0, gid: 0, mode: 0o600 },
};
const layered = (...layers: Layers): Listing =>
  new Map([[image, layers.at(-1)!], ...layers.map((number) => [names.layer(number), number] as const)]);

Deno.test("a merge is torn until the upper layer has taken the place of the lower one", () => {
  const state = (...layers: Layers): State => ({ kind: "layered", layers, ended: false });
  const noted = [record, { ...record, merging: 1 }];
  assertEquals(isTorn(state(0, 1), noted), true);
  assertEquals(isTorn(state(0, 1, 2), noted), true);
  assertEquals(isTorn(state(1, 2), noted), false);
  assertEquals(isTorn({ kind: "plain", ended: false }, noted), false);
  assertEquals(isTorn(state(0), [record]), false);
  assertEquals(isTorn(state(0, 1), [record]), false);
  assertEquals(isTorn({ kind: "plain", ended: false }, [record]), false);
  const marked = (...layers: Layers) => parse(names, new Map([...layered(...layers), [names.merge(1), 1]]));
  assertEquals(isTorn(marked(0, 1), []), true);
  assertEquals(isTorn(marked(0, 1, 2), [record]), true);
  assertEquals(isTorn(marked(1, 2), []), false);
  assertEquals(isTorn(marked(1), []), false);
});

Deno.test("a record is pending as long as anything lies beside its disk, knows that its session has ended, and forgets a merge that is done", () => {
  const merging = { ...record, merging: 1 };
  const idle = { ...record, idle: true } as const;
  assertEquals(unfinished([record], () => new Map([[image, 1]])), []);
  assertEquals(unfinished([record], () => new Map([[image, 1], [names.ended, 2]])), [idle]);
  assertEquals(unfinished([record], () => layered(0, 1)), [idle]);
  assertEquals(unfinished([merging], () => layered(0, 1)), [{ ...idle, merging: 1 }]);
  assertEquals(unfinished([merging], () => layered(1, 2)), [idle]);
  assertEquals(unfinished([idle], () => new Map([...layered(0), [image, 1]])), [idle]);
});

Deno.test("a session on a shared image is newer than every other guest's, whatever the clock says", () => {
  const begun = (others: readonly SessionRecord[], now: string) =>
    recordsAtPrepare([{ disk, decision: "new session" }], new Date(now), others)[0]!.started;
  assertEquals(begun([], "2026-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.000Z");
  assertEquals(begun([record], "2026-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.001Z");
  assertEquals(begun([record], "2025-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.001Z");
  assertEquals(
    begun([{ ...record, image: "/other" }], "2025-01-01T00:00:00.000Z"),
    "2025-01-01T00:00:00.000Z",
  );
});

Deno.test("the note tells of a session that goes on what it told, and of a new one nothing older", () => {
  const now = new Date("2026-02-02");
  const noted = (record: SessionRecord | undefined, decision: Decision) =>
    recordsAtPrepare([{ disk: { ...disk, record }, decision }], now, [])[0];
  const held = { ...record, held: true };
  const continued = now.toISOString();
  assertEquals(noted(record, "keep"), { ...record, continued });
  assertEquals(noted(held, "keep"), { ...held, continued });
  assertEquals(noted(record, "resume"), { ...held, continued });
  assertEquals(noted(held, "new session"), { ...record, started: now.toISOString() });
  const target = Deno.makeTempFileSync();
  const adopted = { ...disk, names: namesOf(target), record: undefined };
  const [first] = recordsAtPrepare([{ disk: adopted, decision: "keep" }], now, []);
  Deno.removeSync(target);
  assertEquals([first?.image, first?.started], [target, now.toISOString()]);
});

const paths = guestNames("/config", "guest");
const words = wordsOf(names);
/** Inodes: the layers their numbers, a session 100, a session set aside 200, what a start makes 300. */
const [SESSION, ENDED, MADE] = [100, 200, 300];
const beside = (listing: Listing, more: Readonly<Record<string, number>>) =>
  new Map([...listing, ...Object.entries(more)]);
const session = (...layers: Layers) => beside(layered(...layers), { [image]: SESSION });
const marked = (listing: Listing) => beside(listing, { [names.mark]: listing.get(image)! });
const aside = (listing: Listing) => beside(listing, { [names.ended]: ENDED });
const plain: Listing = new Map([[image, 1]]);

/** What a start does to a disk once all that is new has been made. */
function atStart(decision: Decision, listing: Listing, differs: Partial<ObservedDisk> = {}): string {
  const one = { disk: { ...disk, listing, ...differs }, decision };
  const { named, marked } = planPrepare(
    [one],
    { stages: [], disks: [], replaced: new Set() },
    [],
    "fresh",
    paths,
  );
  return words([...named, ...marked].flatMap(({ steps }) => steps));
}

function atEnd(
  decision: Decision,
  listing: Listing,
  differs: Partial<ObservedDisk> = {},
  isUp = true,
): string {
  const stages = planRelease([{ disk: { ...disk, listing, ...differs }, decision }], {
    isUp,
    at: new Date(0),
  }, paths);
  return words(stages.flatMap(({ steps }) => steps));
}

/** What is taken back by what lies there now. */
function undone(decision: Decision, before: Listing, now: Listing, ...own: string[]): string {
  return words(planUndo({ disk: { ...disk, listing: before }, decision }, now, new Set(own)));
}

const set = { flag: "set" } as const;
const firmware = { firmware: true, record: { ...record, firmware: true } } as const;
const forgets = (aside: SessionRecord["aside"]) => ({ record: { ...record, ...aside && { aside } } });
const announced = beside(aside(layered(0, 1)), { [names.scratch]: ENDED });
const madePlain = beside(layered(0), { [image]: 0, [names.scratch]: MADE });
const begun = beside(layered(0, 1), { [image]: MADE });

const orders: readonly (readonly [what: string, steps: string, words: string])[] = [
  [
    "a start of a flagged disk",
    atStart("new session", plain, set),
    "rename scratch image, link image mark",
  ],
  [
    "a start over a marked session",
    atStart("new session", marked(session(0)), set),
    "remove mark, rename scratch image, link image mark",
  ],
  [
    "a start that sets a marked session aside",
    atStart("set aside, new session", marked(aside(session(0)))),
    "remove ended, remove mark, link image ended, rename scratch image",
  ],
  ["a restore of a flagged session", atStart("resume", session(0), set), "link image mark"],
  ["a restore of a marked session", atStart("resume", marked(session(0)), set), ""],
  [
    "a session that is put back on an only layer",
    atStart("put back", aside(layered(0))),
    "rename ended image",
  ],
  [
    "a session that is put back where its layers are gone",
    atStart("put back", aside(plain)),
    "rename ended image",
  ],
  [
    "a session that is put back on commits, in place of a marked one",
    atStart("put back", marked(aside(session(0, 1)))),
    "remove mark, rename ended image, remove scratch",
  ],
  [
    "firmware that is put back on versions",
    atStart("put back", aside(layered(0, 1)), firmware),
    "rename ended image",
  ],
  ["a start that leaves a flagged session", atStart("leave to a person", session(0), set), "link image mark"],
  ["a start that leaves a marked session", atStart("leave to a person", marked(session(0)), set), ""],
  [
    "a start of a disk that is listed no more, and has nothing to merge",
    atStart("let go", aside(layered(0))),
    "remove ended, remove 0",
  ],
  [
    "a start of a disk that is listed no more, with a session",
    atStart("discard", aside(session(0))),
    "remove ended, own 0, rename 0 image",
  ],
  [
    "a start without firmware that is listed no more",
    atStart("discard", aside(session(0, 1)), firmware),
    "remove ended, own 1, link 1 scratch, rename scratch image, remove 0, remove 1",
  ],
  [
    "a start with firmware that somebody has replaced",
    atStart("let go", session(0, 1), firmware),
    "remove 0, remove 1",
  ],
  [
    "a start of a master that is published by hand",
    atStart("new session", layered(0, 1), { byHand: true }),
    "rename scratch image, mark master, mark published.1",
  ],
  [
    "a start of a plain master that is published by hand",
    atStart("new session", plain, { byHand: true }),
    "rename scratch image, mark master, mark published.0",
  ],
  [
    "a start of a master of which nothing is published yet",
    atStart("new session", beside(layered(0, 1), { [names.master]: 5 }), { byHand: true }),
    "rename scratch image, mark published.1",
  ],
  [
    "a start of a master of which an older commit is published",
    atStart("new session", beside(layered(0, 1), { [names.published(0)]: 5 }), { byHand: true }),
    "rename scratch image",
  ],
  [
    "a start of a master that is listed no more",
    atStart("new session", layered(0, 1), { byHand: true, listed: false }),
    "rename scratch image",
  ],
  [
    "a start of a master that goes on",
    atStart("keep", session(0, 1), { byHand: true }),
    "",
  ],
  [
    "taking back an overlay on a plain disk",
    undone("new session", plain, madePlain, names.scratch, names.layer(0)),
    "remove scratch, remove 0",
  ],
  ["taking it back where another host made both", undone("new session", plain, madePlain), ""],
  [
    "taking a session back",
    undone("new session", layered(0, 1), begun, image, names.scratch),
    "own 1, link 1 scratch, rename scratch image",
  ],
  [
    "taking it back where another host's is in its place",
    undone("new session", layered(0, 1), begun, names.scratch),
    "",
  ],
  ["taking back a session over an older one", undone("new session", session(0, 1), begun, image), ""],
  [
    "taking back a session that has set a marked one aside",
    undone(
      "set aside, new session",
      session(0),
      beside(marked(begun), { [names.ended]: SESSION }),
      image,
      names.mark,
    ),
    "remove mark, rename ended image",
  ],
  [
    "taking it back before the next one has its mark",
    undone(
      "set aside, new session",
      session(0),
      beside(begun, { [names.ended]: SESSION }),
      image,
      names.mark,
    ),
    "rename ended image",
  ],
  [
    "taking it back where another host has made the mark",
    undone("set aside, new session", session(0), beside(marked(begun), { [names.ended]: SESSION }), image),
    "rename ended image",
  ],
  [
    "taking back what announces that a session is put back",
    undone("put back", aside(layered(0, 1)), announced, names.scratch),
    "remove scratch",
  ],
  [
    "taking back a start whose session was put back",
    undone("put back", aside(layered(0, 1)), session(0, 1), image, names.scratch),
    "",
  ],
  [
    "an end beside what the start was to forget",
    atEnd("discard", aside(session(0)), forgets("forget")),
    "remove ended, own 0, rename 0 image",
  ],
  [
    "an end beside another guest's",
    atEnd("discard", aside(session(0)), forgets("others")),
    "remove ended, own 0, rename 0 image",
  ],
  [
    "an end beside what stays",
    atEnd("discard", aside(session(0)), forgets("stay")),
    "own 0, link 0 scratch, rename scratch image",
  ],
  [
    "an end of a guest that never came up, beside what its start was to forget",
    atEnd("discard", aside(session(0)), forgets("forget"), false),
    "own 0, link 0 scratch, rename scratch image",
  ],
  ["an end without a session", atEnd("discard", layered(0)), ""],
  ["an end that leaves an idle disk to a person", atEnd("leave to a person", layered(0), set), ""],
  [
    "an end whose session's flag an editor has cleared, and that holds it",
    atEnd("hold", marked(session(0)), { record: { ...record, flagged: true } }),
    "remove mark",
  ],
  [
    "an end where what its start was to forget is gone",
    atEnd("discard", session(0), forgets("forget")),
    "own 0, rename 0 image",
  ],
  [
    "an end that sets a session aside in place of another",
    atEnd("set aside", aside(session(0))),
    "remove ended, link image ended, own 0, link 0 scratch, rename scratch image",
  ],
  [
    "an end that leaves a flagged session to a person",
    atEnd("leave to a person", session(0), set),
    "link image mark",
  ],
  ["an end that leaves a session without a flag to a person", atEnd("leave to a person", session(0)), ""],
  [
    "an end that leaves a marked session to a person",
    atEnd("leave to a person", marked(session(0)), set),
    "",
  ],
  [
    "an end that leaves a session whose own flag an editor has cleared",
    atEnd("leave", marked(session(0)), { record: { ...record, flagged: true } }),
    "remove mark",
  ],
  ["an end that leaves a session which another host has marked", atEnd("leave", marked(session(0))), ""],
  [
    "an end of a guest that never came up, whose flag an editor has cleared",
    atEnd("leave", marked(session(0)), { record: { ...record, flagged: true } }, false),
    "",
  ],
  [
    "an end whose session goes on elsewhere",
    atEnd("pass on", session(0), set),
    "link image mark, note /config/guest.session, clear /config/guest.json",
  ],
  ["an end whose session goes on elsewhere without a flag", atEnd("pass on", session(0)), ""],
  [
    "a commit of a master that is published by hand",
    atEnd("commit", session(0, 1), { byHand: true }),
    "note /config/guest.session, mark master, mark published.1, own image, sync image, link image committing, rename committing 2",
  ],
];

for (const [what, steps, expected] of orders) {
  Deno.test(`the steps of ${what}, in order`, () => assertEquals(steps, expected));
}

Deno.test("a guest is left alone only where nothing is listed, merged or lost", () => {
  const one = (decision: Decision, listing: Listing) => ({ disk: { ...disk, listing }, decision });
  assertEquals(isLeftAlone([one("let go", layered(0)), one("nothing", plain)], [record]), true);
  assertEquals(isLeftAlone([one("let go", layered(0, 1))], [record]), false);
  assertEquals(isLeftAlone([one("keep", session(0))], [record]), false);
  assertEquals(isLeftAlone([one("let go", plain)], [{ ...record, lost: true }]), false);
});

Deno.test("what is set aside of another disk goes at the end of a guest that came up, if a session of it is set aside", () => {
  const two = (isUp: boolean) =>
    planRelease(
      [
        { disk: { ...disk, listing: session(0) }, decision: "set aside" },
        { disk: { ...disk, target: "vdb", listing: aside(session(0)) }, decision: "discard" },
      ],
      { isUp, at: new Date(0) },
      paths,
    ).filter(({ subject }) => subject === "vdb")
      .map(({ steps }) => words(steps));
  const goes = "own 0, link 0 scratch, rename scratch image";
  assertEquals(two(true), ["remove ended", goes]);
  assertEquals(two(false), [goes]);
});

Deno.test("of two flags that a session may use up, clearing one leaves it unknown whether the other asks for it", () => {
  const both = { ...disk, flag: "set", startFlag: { target: "vdc", isSet: true } } as const;
  assertEquals(afterClearing(both, ["vdc"]).flag, "unreadable");
  assertEquals(afterClearing({ ...both, flag: "unreadable" }, ["vdc"]).flag, "clear");
  assertEquals(afterClearing({ ...disk, flag: "set" }, ["vda"]).flag, "clear");
  assertEquals(afterClearing(both, ["vdb"]).flag, "set");
});

Deno.test("firmware whose disks have ended goes as they went, unless nobody knows how, or it has ended already", () => {
  const file = { ...disk, ...firmware, target: "nvram", listing: session(0) };
  const ended = (listing: Listing, differs: Partial<ObservedDisk> = {}, isBegun = false) =>
    endFirmware(
      { stages: [], disks: [{ ...disk, listing }, { ...file, ...differs }], replaced: new Set() },
      () => isBegun,
    ).stages.map(({ subject, steps }) => `${subject}: ${words(steps)}`);
  const goes = ["nvram: own 0, rename 0 image"];
  const stays = ["nvram: link image ended, own 0, link 0 scratch, rename scratch image"];
  assertEquals([plain, layered(0, 1)].map((listing) => ended(listing)), [goes, goes]);
  assertEquals(ended(aside(layered(0))), stays);
  assertEquals(ended(aside(layered(0)), {}, true), goes);
  assertEquals(ended(session(0)), []);
  assertEquals(ended(plain, { record: { ...file.record, idle: true } }), []);
  assertEquals(ended(plain, { record: undefined }), []);
  assertEquals(ended(plain, { listing: layered(0) }), []);
  // Where its session was to be set aside, what was set aside before went first.
  const left = "nvram: own 0, link 0 scratch, rename scratch image";
  assertEquals(ended(aside(layered(0)), { listing: aside(session(0)) }), [left]);
  assertEquals(planFirmwareEnd({ ...file, listing: layered(0) }, false), []);
  const before = { subject: "vda", steps: [] };
  const found = { stages: [before], disks: [{ ...disk, listing: plain }, file], replaced: new Set<string>() };
  assertEquals(endFirmware(found, () => false).stages[0], before);
  const alone = { stages: [], disks: [file], replaced: new Set<string>() };
  assertEquals(endFirmware(alone, () => false), alone);
});

Deno.test("a start notes what it is about to do, announces what is put back, and leaves a guest alone of which nothing is listed", () => {
  const made = (decision: Decision, listing: Listing) =>
    words(
      planPrepare(
        [{ disk: { ...disk, listing }, decision }],
        { stages: [], disks: [], replaced: new Set() },
        [],
        "fresh",
        paths,
      ).made.flatMap(({ steps }) => steps),
    );
  const noted = "note /config/guest.session, starting /config/guest.starting fresh";
  assertEquals(made("put back", aside(layered(0, 1))), `${noted}, link ended scratch`);
  assertEquals(made("put back", aside(layered(0))), noted);
  assertEquals(made("let go", layered(0)), "note /config/guest.session");
  const of = (listing: Listing) =>
    marksOf([{ disk: { ...disk, ...firmware, listing }, decision: "nothing" }]);
  assertEquals([of(new Map()), of(plain)], [["firmware"], []]);
});

const committing = beside(session(0), { [names.committing]: SESSION });
const second = namesOf("/images/data.img");
const ofSecond = (listing: Listing) =>
  new Map([...listing].map(([path, inode]) => [path.replace(image, second.image), inode]));
const other: ObservedDisk = {
  ...disk,
  target: "vdb",
  names: second,
  record: { ...record, target: "vdb", image: second.image },
  listing: ofSecond(session(0)),
};

Deno.test("with a commit that was cut short those sessions are committed that its end has noted, or that were meant before", () => {
  const joins = (
    differs: Partial<SessionRecord>,
    observed: Partial<ObservedDisk> = {},
    decided: Partial<ObservedDisk> = {},
  ) =>
    joiningCommit([
      { ...disk, listing: committing, ...decided },
      { ...other, ...observed, record: { ...other.record!, ...differs } },
    ]).length > 0;
  const noted = (flagVersion: string) => ({ record: { ...record, flagVersion } });
  const its = { held: true, flagVersion: "1" };
  // As its end has noted.
  assertEquals(joins(its, {}, noted("1")), true);
  assertEquals(joins(its, {}, noted("none")), true);
  assertEquals(joins({ ...its, flagVersion: "2" }, {}, noted("1")), false);
  assertEquals(joins({ ...its, held: false }, {}, noted("1")), false);
  assertEquals(joins({ held: true }, {}, noted("1")), false);
  assertEquals(joins({ held: true }, set, noted("1")), false);
  assertEquals(joins(its, { source: "other" }, noted("1")), false);
  assertEquals(joins(its, { listing: ofSecond(layered(0)) }, noted("1")), false);
  // Where it has noted nothing.
  assertEquals(joins({ held: true }, set), true);
  assertEquals(joins({ flagged: true }, set), true);
  assertEquals(joins({}, { listing: ofSecond(marked(session(0))) }), true);
  assertEquals(joins({}, set), false);
  assertEquals(joins({ held: true }), false);
  // The firmware's go with any disk's, and ask for none themselves.
  assertEquals(joins({}, { firmware: true }), true);
  assertEquals(joins({ held: true }, set, { firmware: true }), false);
  // Committed while its flag can't be cleared, it would be committed twice.
  assertEquals(joins({ held: true }, set, { flag: "unreadable" }), false);
});

Deno.test("a commit that was cut short is finished with those that join it, and clears the flags that asked for it", () => {
  const decided = { ...disk, ...set, listing: committing };
  const joined = { ...other, ...set, record: { ...other.record!, held: true } };
  const secondWords = wordsOf(second);
  const recovered = (isNewer: (disk: ObservedDisk) => boolean, ...strangers: string[]) => {
    const { stages, disks } = planRecovery([decided, joined], paths, new Set(strangers), isNewer);
    return [
      ...stages.map(({ subject, steps }) => `${subject}: ${secondWords(steps).replaceAll(image, "vda")}`),
      disks.map(({ flag }) => flag).join(" "),
    ];
  };
  const decides = "own image, sync image, link image committing";
  const renamed = "rename vda.autorevert-committing vda.backing_file.1";
  const both = `${renamed}, rename committing 1`;
  const clear = "clear /config/guest.json";
  assertEquals(recovered(() => false), [`vda vdb: ${decides}, ${clear}, ${both}`, "clear clear"]);
  assertEquals(recovered(({ target }) => target === "vda"), [
    `vda vdb: ${decides}, ${clear}, ${both}`,
    "set clear",
  ]);
  assertEquals(recovered(() => true), [`vda vdb: ${decides}, ${both}`, "set set"]);
  assertEquals(recovered(() => false, joined.names.image), [`vda: ${clear}, ${renamed}`, "clear set"]);
});

Deno.test("a commit that was cut short uses up both flags of its session, and leaves another disk's unknown that had one of them", () => {
  const vdd = { startFlag: { target: "vdd", isSet: true } } as const;
  const third = namesOf("/images/third.img");
  const committed = { ...disk, ...set, ...vdd, listing: committing };
  const held = { ...other, ...set, ...vdd, record: { ...other.record!, held: true } };
  const idle = { ...disk, ...set, ...vdd, target: "vdc", names: third, listing: new Map([[third.image, 1]]) };
  const { disks } = planRecovery([committed, held, idle], paths);
  assertEquals(disks.map(({ flag }) => flag), ["clear", "clear", "unreadable"]);
});

Deno.test("a recovery takes steps for what was cut short, and for nothing else", () => {
  const steps = (listing: Listing) =>
    planRecovery([{ ...disk, listing }], paths).stages.map(({ steps }) => words(steps));
  assertEquals(steps(beside(plain, { [names.scratch]: MADE })), ["remove scratch"]);
  assertEquals(steps(plain), []);
});
