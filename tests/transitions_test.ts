import { assert, assertEquals } from "@std/assert";
import { becomeMaster, holdPublished } from "../lib/state/master_transitions.ts";
import {
  copyToLower,
  dropLowest,
  lostMerges,
  markMerge,
  renameMerged,
  settleMerged,
} from "../lib/state/merge_transitions.ts";
import { namesOf } from "../lib/state/paths.ts";
import { recover } from "../lib/state/recovery.ts";
import type { Owner } from "../lib/state/session_record.ts";
import { type Layers, type Listing, parse, type State, topOf } from "../lib/state/state.ts";
import { after, afterAll, type Step } from "../lib/state/step.ts";
import * as moves from "../lib/state/transitions.ts";
import { wordsOf } from "./step_words.ts";

const names = namesOf("/images/os.img");
const words = wordsOf(names);
const owner: Owner = { uid: 0, gid: 0, mode: 0o600 };

type Of<Kind extends State["kind"]> = Extract<State, { kind: Kind }>;

/** Inodes: the layers from 1 on, a session 100, a session set aside 200. */
const SESSION = 100;
const ENDED = 200;

/** A listing of these layers; the image is the session, or a name of the top layer. */
function listing(count: number, image: "session" | "top" | "none", more: readonly string[] = []): Listing {
  const layers = Array.from({ length: count }, (_, number) => [names.layer(number), number + 1] as const);
  const inode = image === "session" ? SESSION : count;
  return new Map([
    ...layers,
    ...image === "none" ? [] : [[names.image, inode] as const],
    ...more.map((path) => [path, path === names.ended ? ENDED : SESSION] as const),
  ]);
}

function stateOf<Kind extends State["kind"]>(kind: Kind, listing: Listing): Of<Kind> {
  const state = parse(names, listing);
  assert(state.kind === kind, `is ${state.kind}, should be ${kind}`);
  return state as Of<Kind>;
}

/** The inode that is the disk, by the invariant. */
function diskOf(listing: Listing): number | undefined {
  const state = parse(names, listing);
  if ("layers" in state) return listing.get(names.layer(topOf(state.layers)));
  return state.kind === "plain" ? listing.get(names.image) : undefined;
}

/** What the steps leave; after each of them the disk is one of these inodes. */
function check(start: Listing, steps: readonly Step[], ...disks: readonly (number | undefined)[]): Listing {
  let now = start;
  for (const step of steps) {
    now = after(now, step);
    assert(disks.includes(diskOf(now)), `after ${JSON.stringify(step)} the disk is ${diskOf(now)}`);
  }
  return now;
}

const asides = [[], [names.ended]] as const;
const depths = [1, 2, 3];

Deno.test("a session on a plain disk makes that layer 0", () => {
  const plain = new Map([[names.image, 1]]);
  const steps = [...moves.createOverlay(names, stateOf("plain", plain), owner), ...moves.replaceImage(names)];
  const now = check(plain, steps, 1);
  assertEquals(stateOf("session", now).layers, [0]);
  assert(
    steps.every((_, count) => afterAll(plain, steps.slice(0, count)).has(names.image)),
    "never without image",
  );
});

for (const depth of depths) {
  for (const more of asides) {
    const like = `${depth} layer${depth > 1 ? "s" : ""}${more.length > 0 ? " and a session set aside" : ""}`;
    const session = listing(depth, "session", more);
    const layered = listing(depth, "top", more);
    const numbers = stateOf("session", session).layers;

    Deno.test(`a new session keeps ${like}`, () => {
      for (const [kind, before] of [["layered", layered], ["session", session]] as const) {
        const steps = [
          ...moves.createOverlay(names, stateOf(kind, before), owner),
          ...moves.replaceImage(names),
        ];
        const now = check(before, steps, depth);
        assertEquals(stateOf("session", now).layers, numbers);
        assert(now.get(names.image) !== before.get(names.image));
      }
    });

    Deno.test(`an overlay that was begun is removed again on ${like}`, () => {
      const before = stateOf("layered", layered);
      const steps = moves.createOverlay(names, before, owner);
      for (let count = 0; count <= steps.length; count++) {
        const failed = afterAll(layered, steps.slice(0, count));
        assertEquals(
          check(
            failed,
            moves.removeOverlay(names, before, failed, new Set([names.scratch, names.layer(0)])),
            depth,
          ),
          layered,
        );
      }
    });

    Deno.test(`a discard leaves ${like}, without the session`, () => {
      const now = check(session, moves.discard(names, stateOf("session", session), owner), depth);
      const alone = depth === 1 && more.length === 0;
      assertEquals(now, alone ? new Map([[names.image, 1]]) : layered);
    });

    Deno.test(`a commit makes the session a layer on ${like}`, () => {
      const before = stateOf("session", session);
      const decided = check(session, moves.decideCommit(names, before, owner), depth);
      const state = stateOf("committing", decided);
      const now = check(decided, moves.finishCommit(names, state), depth, SESSION);
      assertEquals(stateOf("layered", now).layers, [...numbers, depth] as unknown as Layers);
      assertEquals(diskOf(now), SESSION);
    });

    Deno.test(`setting aside keeps the session beside ${like}`, () => {
      const now = check(session, moves.setAside(names, stateOf("session", session), owner), depth);
      assertEquals(now, new Map([...listing(depth, "top"), [names.ended, SESSION]]));
    });

    Deno.test(`a merge on ${like} ends in a disk that is a name of what was merged`, () => {
      const before = stateOf("layered", layered);
      check(layered, copyToLower(names, before, owner), depth);
      check(layered, settleMerged(names, before, more.length > 0), depth);
      const steps = renameMerged(names, before);
      // The lower layer is the merged one: for two layers it is the disk once it has the upper one's name.
      const now = check(layered, steps, depth, depth === 2 ? 1 : depth);
      const fewer = stateOf(now.size === 1 ? "plain" : "layered", now);
      assertEquals<readonly number[]>(
        "layers" in fewer ? fewer.layers : [],
        expectedLayers(depth, more.length > 0),
      );
      assertEquals(now.get(names.ended), layered.get(names.ended));
    });

    Deno.test(`${like} without the lowest read the same, if that is not the only one`, () => {
      const now = check(layered, dropLowest(names, stateOf("layered", layered)), depth);
      const left = numbers.slice(depth > 1 ? 1 : 0);
      const fewer = stateOf(now.size === 1 ? "plain" : "layered", now);
      assertEquals<readonly number[]>(
        "layers" in fewer ? fewer.layers : [],
        depth === 2 && more.length === 0 ? [] : left,
      );
      assertEquals(now.get(names.ended), layered.get(names.ended));
    });

    Deno.test(`a headless disk of ${like} gets its image back, and scratch goes`, () => {
      const lost = new Map(listing(depth, "none", [...more, names.scratch]));
      assertEquals(check(lost, recover(names, lost), depth), layered);
    });
  }

  Deno.test(`a session set aside is put back on ${depth} of depth`, () => {
    const now = check(listing(depth, "top", [names.ended]), moves.putBack(names), depth);
    assertEquals(now.get(names.image), ENDED);
    assertEquals(stateOf("session", now).ended, false);
  });
}

function expectedLayers(depth: number, ended: boolean): number[] {
  if (depth === 1) return [0];
  // Of two only the upper one's name is left, and even that only as long as something stands on it.
  if (depth === 2) return ended ? [1] : [];
  return [1, 2];
}

Deno.test("a session set aside that never left its place is only a session", () => {
  const before = new Map([...listing(1, "session"), [names.ended, SESSION]]);
  assertEquals(check(before, recover(names, before), 1), listing(1, "session"));
});

Deno.test("one layer that nothing stands on loses its name, and no other does", () => {
  const flat = (listing: Listing) => afterAll(listing, moves.flatten(names, stateOf("layered", listing)));
  assertEquals(flat(listing(1, "top")), new Map([[names.image, 1]]));
  for (const kept of [listing(2, "top"), listing(1, "top", [names.ended])]) assertEquals(flat(kept), kept);
});

Deno.test("a recovery has nothing to do on any whole listing", () => {
  const plain = new Map([[names.image, 1]]);
  for (
    const whole of [
      plain,
      new Map(),
      ...depths.flatMap((depth) => [listing(depth, "top"), listing(depth, "session")]),
    ]
  ) {
    assertEquals(recover(names, whole), []);
  }
});

/** With the mark of a merge of layer 1 into layer 0. */
function marked(before: Listing): Listing {
  return new Map([...before, [names.merge(1), 2]]);
}

Deno.test("a recovery removes the mark of a merge that is done, and no other", () => {
  for (const depth of [2, 3]) {
    for (const image of ["top", "session"] as const) {
      const torn = marked(listing(depth, image));
      assertEquals([recover(names, torn), lostMerges(names, torn)], [[], []]);
      assertEquals(stateOf(image === "top" ? "layered" : "session", torn).torn, true);
      const merged = after(torn, { kind: "rename", from: names.layer(0), to: names.layer(1) });
      assertEquals(lostMerges(names, merged), []);
      assertEquals(check(merged, recover(names, merged), diskOf(merged)).has(names.merge(1)), false);
    }
  }
  // The lower layer was moved away.
  const alone = after(marked(listing(2, "top")), { kind: "remove", path: names.layer(0) });
  assertEquals([recover(names, alone), lostMerges(names, alone)], [[], []]);
  const flat = after(alone, { kind: "remove", path: names.layer(1) });
  assertEquals(afterAll(flat, recover(names, flat)), new Map([[names.image, 2]]));
  for (const lost of [marked(listing(1, "top")), marked(new Map([[names.image, 1]]))]) {
    assertEquals([recover(names, lost), lostMerges(names, lost)], [[], [names.merge(1)]]);
  }
});

const twoLayers = stateOf("layered", listing(2, "top"));
const torn = stateOf("layered", marked(listing(2, "top")));
const aside = stateOf("layered", listing(2, "top", [names.ended]));
const overAside = stateOf("session", listing(2, "session", [names.ended]));
const overScratch = listing(2, "none", [names.scratch]);
const onlyAside = stateOf("layered", listing(1, "top", [names.ended]));
const markedSession = stateOf("session", listing(2, "session", [names.mark]));
const markedCommit = stateOf("committing", listing(2, "session", [names.mark, names.committing]));
const underSeats = stateOf("session", listing(2, "session", [names.master]));
/** What lies there after a start has set a session aside, and before. */
const replaced = new Map([...listing(2, "session"), [names.image, 300], [names.ended, SESSION]]);
const beforeAside = listing(2, "session");
const withAside = (inode: number) => new Map([...beforeAside, [names.ended, inode]]);
/** With the mark as another name of one of the files. */
const markOf = (before: Listing, inode: number) => new Map([...before, [names.mark, inode]]);

/** A file has its owner, and its content is on stable storage, before it takes a name that counts. */
const orders: readonly (readonly [move: string, steps: readonly Step[], words: string])[] = [
  ["an overlay", moves.createOverlay(names, twoLayers, owner), "create scratch 1, own scratch, sync scratch"],
  [
    "the removal of an overlay",
    moves.removeOverlay(
      names,
      { kind: "plain", ended: false },
      new Map([...listing(1, "top"), [names.scratch, SESSION]]),
      new Set([names.scratch, names.layer(0)]),
    ),
    "remove scratch, remove 0",
  ],
  ["a discard", moves.discard(names, overAside, owner), "own 1, link 1 scratch, rename scratch image"],
  [
    "a commit",
    moves.decideCommit(names, overAside, owner),
    "remove ended, own image, sync image, link image committing",
  ],
  [
    "setting aside",
    moves.setAside(names, overAside, owner),
    "remove ended, link image ended, own 1, link 1 scratch, rename scratch image",
  ],
  [
    "an undo",
    moves.undo(names, aside, owner),
    "own 0, remove image, rename 1 ended, link 0 scratch, rename scratch image",
  ],
  [
    "a keep",
    moves.keep(names, aside, owner),
    "own ended, sync ended, remove image, rename ended 2, link 2 scratch, rename scratch image",
  ],
  [
    "an undo of what has no commit, beside a session set aside",
    moves.undo(names, onlyAside, owner),
    "remove ended, remove 0",
  ],
  ["an undo of what has no commit", moves.undo(names, stateOf("layered", listing(1, "top")), owner), ""],
  [
    "a discard of a marked session",
    moves.discard(names, markedSession, owner),
    "remove mark, own 1, link 1 scratch, rename scratch image",
  ],
  [
    "a discard on layers that a seat may be about to open",
    moves.discard(names, underSeats, owner),
    "link 1 scratch, rename scratch image",
  ],
  [
    "the last names of a marked commit",
    moves.finishCommit(names, markedCommit),
    "remove mark, rename committing 2",
  ],
  [
    "setting a marked session aside",
    moves.setAside(names, markedSession, owner),
    "remove mark, link image ended, own 1, link 1 scratch, rename scratch image",
  ],
  [
    "taking back a start that has set a session aside",
    moves.takeBackAside(names, beforeAside, replaced),
    "rename ended image",
  ],
  [
    "taking it back where the new session hasn't its name yet",
    moves.takeBackAside(names, beforeAside, withAside(SESSION)),
    "remove ended",
  ],
  [
    "taking it back where nothing was set aside yet, but before",
    moves.takeBackAside(names, beforeAside, withAside(ENDED)),
    "",
  ],
  [
    "a look for hard links after one that was cut short",
    moves.probe(names, new Map([...listing(1, "top"), [names.probe, 1]])),
    "remove probe, link image probe, remove probe",
  ],
  [
    "the first seat's start",
    becomeMaster(names, { kind: "plain", ended: false }, new Map([[names.image, 1]])),
    "mark master, link image 0",
  ],
  ["the next seat's start", becomeMaster(names, underSeats, listing(2, "session", [names.master])), ""],
  [
    "publishing by hand of a disk without layers",
    holdPublished(names, new Map([[names.image, 1]]), true),
    "",
  ],
  ["a merge's mark", markMerge(names, twoLayers), "link 1 merge.1"],
  ["a merge's mark on an only layer", markMerge(names, onlyAside), ""],
  ["a second merge's mark", markMerge(names, torn), ""],
  [
    "a merge's last names",
    renameMerged(names, torn),
    "remove image, rename 0 1, remove merge.1, rename 1 image",
  ],
  [
    "a merge's last names below a session set aside",
    renameMerged(names, aside),
    "remove image, rename 0 1, link 1 scratch, rename scratch image, touch ended",
  ],
  [
    "a merge's last names below a session set aside, of a disk that was written to since",
    renameMerged(names, aside, true),
    "remove image, rename 0 1, link 1 scratch, rename scratch image",
  ],
  [
    "a merge's last names below another layer",
    renameMerged(names, stateOf("layered", marked(listing(3, "top")))),
    "rename 0 1, remove merge.1",
  ],
  ["letting a torn layer go", dropLowest(names, torn), "remove 0, remove merge.1, remove 1"],
  ["a merge's copying", copyToLower(names, twoLayers, owner), "own 0, merge 1 0"],
  [
    "a merge's copying of a whole file",
    copyToLower(names, twoLayers, owner, { isWhole: true }),
    "own 0, merge 1 0",
  ],
  ["what follows a merge's copying", settleMerged(names, twoLayers, false), "sync 0"],
  ["what follows it over a torn layer", settleMerged(names, twoLayers, true), "repair 0 leaks, sync 0"],
  ["letting the lowest layer go", dropLowest(names, twoLayers), "remove 0, remove 1"],
  ["letting it go below a session set aside", dropLowest(names, aside), "remove 0"],
  [
    "a recovery without an image",
    recover(names, overScratch),
    "remove scratch, link 1 scratch, rename scratch image",
  ],
  [
    "a recovery after a look for hard links that was cut short",
    recover(names, new Map([[names.image, 1], [names.probe, 1]])),
    "remove probe",
  ],
  [
    "a recovery where the mark of an older merge was left",
    recover(names, new Map([[names.layer(2), 3], [names.image, 3], [names.merge(1), 1]])),
    "remove merge.1",
  ],
  [
    "a recovery where a marked session's image was removed",
    recover(names, markOf(listing(2, "none"), SESSION)),
    "link mark scratch, rename scratch image",
  ],
  [
    "a recovery without an image, where what was marked has become a lower layer",
    recover(names, markOf(listing(2, "none"), 1)),
    "remove mark, link 1 scratch, rename scratch image",
  ],
  [
    "a recovery where what was marked has become the disk itself",
    recover(names, markOf(new Map([[names.image, 1]]), 1)),
    "remove mark",
  ],
  [
    "a recovery of a plain disk whose marked session was lost",
    recover(names, markOf(new Map([[names.image, 1]]), SESSION)),
    "",
  ],
  ["a recovery of a marked session", recover(names, markOf(listing(2, "session"), SESSION)), ""],
];

for (const [move, steps, expected] of orders) {
  Deno.test(`the steps of ${move}, in order`, () => assertEquals(words(steps), expected));
}
