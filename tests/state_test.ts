import { assertEquals } from "@std/assert";
import { belongsTo, imageOf, layerNumber, mergeNumber, namesOf } from "../lib/state/paths.ts";
import { type Listing, parse, type State } from "../lib/state/state.ts";
import { after, type Step } from "../lib/state/step.ts";

const image = "/images/os.img";
const names = namesOf(image);

/** Files by the end of their name, with their inode. */
function stateOf(files: Readonly<Record<string, number>>): State {
  return parse(names, new Map(Object.entries(files).map(([end, inode]) => [image + end, inode])));
}

/** A state by its kind, its layers and what else is there. */
const is = (kind: State["kind"], layers?: number[], ended = false) =>
  ({ kind, ...layers && { layers }, ...["missing", "stray"].includes(kind) ? {} : { ended } }) as State;

const states: readonly (readonly [what: string, files: Record<string, number>, state: State])[] = [
  ["an image alone is plain", { "": 1 }, is("plain")],
  ["nothing is missing", {}, is("missing")],
  ["an image that is the top layer is layered", { "": 1, ".backing_file": 1 }, is("layered", [0])],
  [
    "layers are sorted by number, not by text",
    { "": 10, ".backing_file.10": 10, ".backing_file.9": 9, ".backing_file": 1 },
    is("layered", [0, 9, 10]),
  ],
  [
    "another image over layers is a session",
    { "": 3, ".backing_file": 1, ".backing_file.1": 2 },
    is("session", [0, 1]),
  ],
  ["layers without an image are headless", { ".backing_file": 1 }, is("headless", [0])],
  [
    "an image that is a lower layer is what somebody has put there",
    { "": 1, ".backing_file": 1, ".backing_file.1": 2 },
    is("session", [0, 1]),
  ],
  [
    "a decided commit comes before all else",
    { "": 2, ".autorevert-committing": 2, ".backing_file": 1 },
    is("committing", [0]),
  ],
  ["a decided commit without layers is stray", { "": 2, ".autorevert-committing": 2 }, is("stray")],
  [
    "a session set aside is seen",
    { "": 1, ".backing_file": 1, ".autorevert-ended": 3 },
    is("layered", [0], true),
  ],
  ["scratch means nothing", { "": 1, ".autorevert-new": 2 }, is("plain")],
  ["somebody's own names mean nothing", {
    ...{ "": 1, ".new": 2, ".committing": 3, ".ended": 4 },
    ...{ ".backing_file.01": 5, ".backing_file.old": 6, ".backing_file.0": 7 },
  }, is("plain")],
];

for (const [what, files, state] of states) {
  Deno.test(what, () => assertEquals(stateOf(files), state));
}

Deno.test("a layer's name tells its number, and back", () => {
  for (const number of [0, 1, 2, 10, 999_999_999]) {
    assertEquals(layerNumber(image, names.layer(number)), number);
    assertEquals(imageOf(names.layer(number)), image);
  }
  for (const path of [names.committing, names.ended, names.mark, names.merge(12), names.scratch]) {
    assertEquals([imageOf(path), belongsTo(image, path)], [image, true]);
  }
  assertEquals(mergeNumber(image, names.merge(12)), 12);
  for (const path of [`${image}.autorevert-merge`, `${image}.autorevert-merge.0`]) {
    assertEquals([imageOf(path), mergeNumber(image, path), belongsTo(image, path)], [
      undefined,
      undefined,
      false,
    ]);
  }
  assertEquals(layerNumber(image, `${image}.backing_file.1234567890`), undefined);
  assertEquals(layerNumber(image, "/images/os.img2.backing_file"), undefined);
  assertEquals(imageOf(image), undefined);
});

Deno.test("steps change a listing as the system's calls do", () => {
  const start: Listing = new Map([["a", 1], ["b", 2], ["c", 1]]);
  const result = (step: Step) => Object.fromEntries(after(start, step));
  assertEquals(result({ kind: "link", from: "a", to: "d" }), { a: 1, b: 2, c: 1, d: 1 });
  assertEquals(result({ kind: "link", from: "a", to: "b" }), { a: 1, b: 2, c: 1 });
  assertEquals(result({ kind: "rename", from: "a", to: "b" }), { b: 1, c: 1 });
  assertEquals(result({ kind: "rename", from: "a", to: "c" }), { a: 1, b: 2, c: 1 });
  assertEquals(result({ kind: "remove", path: "a" }), { b: 2, c: 1 });
  assertEquals(new Set(Object.values(result({ kind: "create", overlay: "d", backing: "b" }))).size, 3);
  assertEquals(start.size, 3);
});
