import { assert, assertEquals } from "@std/assert";
import { type Entry, formatNote, parseNote } from "../../lib/state/session_record.ts";
import { several, type Subject } from "./subject.ts";
import { checkTrouble } from "./told.ts";
import type { Random } from "../../tests/random.ts";

const PATH = "/config/guest.session";

/** Notes: what is read has the types that it should have, and is written and read again the same. */
export const note: Subject = {
  name: "notes",
  share: 0.08,
  mutable: true,
  words: ['"image":"/x"', '"merging":1', '"held":true', "[", "]", "{", "}", "null", "-1", "1e400", '"', ","],
  make: (random) => formatNote(several(random, 3, () => entry(random))),
  check: (text) => {
    let entries: Entry[];
    try {
      entries = parseNote(PATH, text);
    } catch (error) {
      checkTrouble(error, PATH);
      return "refused";
    }
    for (const { image, owner: { uid, gid, mode }, merging } of entries) {
      assert(image.startsWith("/"), "an image has an absolute path");
      assert([uid, gid, mode, merging ?? 0].every(Number.isInteger) && mode <= 0o7777, "numbers are numbers");
    }
    assertEquals(parseNote(PATH, formatNote(entries)), entries);
    return "taken";
  },
};

function entry(random: Random): Entry {
  const known = {
    target: random.one(["vda", "", "中", '"', "a\nb"]),
    image: random.one(["/os.img", "/a b", "/中", "/../x", "/\\", `/${"a".repeat(300)}`]),
    started: "2026-01-01T00:00:00.000Z",
    owner: { uid: random.below(70000), gid: random.below(70000), mode: random.below(0o10000) },
    held: random.chance(0.5),
  };
  return random.chance(0.3) ? { ...known, merging: random.below(20) } : known;
}
