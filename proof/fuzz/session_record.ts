import { assert, assertEquals } from "@std/assert";
import { formatRecords, parseRecords, type SessionRecord } from "../../lib/state/session_record.ts";
import { checkUserError } from "./assert_message.ts";
import { several, type Subject } from "./subject.ts";
import type { Random } from "../../tests/random.ts";

const PATH = "/config/guest.session";

/** Notes: what is read has the types that it should have, and is written and read again the same. */
export const note: Subject = {
  name: "notes",
  share: 0.06,
  mutable: true,
  words: ['"image":"/x"', '"merging":1', '"held":true', "[", "]", "{", "}", "null", "-1", "1e400", '"', ","],
  make: (random) => formatRecords(several(random, 3, () => record(random))),
  check: (text) => {
    let records: SessionRecord[];
    try {
      records = parseRecords(PATH, text);
    } catch (error) {
      checkUserError(error, PATH);
      return "refused";
    }
    for (const { image, owner: { uid, gid, mode }, merging } of records) {
      assert(image.startsWith("/"), "an image has an absolute path");
      assert([uid, gid, mode, merging ?? 0].every(Number.isInteger) && mode <= 0o7777, "numbers are numbers");
    }
    assertEquals(parseRecords(PATH, formatRecords(records)), records);
    return "taken";
  },
};

function record(random: Random): SessionRecord {
  const known = {
    target: random.one(["vda", "", "中", '"', "a\nb"]),
    image: random.one(["/os.img", "/a b", "/中", "/../x", "/\\", `/${"a".repeat(300)}`]),
    started: "2026-01-01T00:00:00.000Z",
    owner: { uid: random.below(70000), gid: random.below(70000), mode: random.below(0o10000) },
    held: random.chance(0.5),
  };
  return random.chance(0.3) ? { ...known, merging: random.below(20) } : known;
}
