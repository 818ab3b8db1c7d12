import { assert, assertEquals } from "@std/assert";
import { formatSeats, parseSeats, type SeatRecord } from "../../lib/state/seat_record.ts";
import { checkUserError } from "./assert_message.ts";
import { several, type Subject } from "./subject.ts";
import type { Random } from "../../tests/random.ts";

const PATH = "/config/seat.seats";

/** Notes of seats: what is read has the types that it should have, and is written and read again the same. */
export const seatNote: Subject = {
  name: "notes of seats",
  share: 0.02,
  mutable: true,
  words: [
    '"image":"/x"',
    '"layer":1',
    '"waits":true',
    '"came":"restore"',
    "[",
    "]",
    "{",
    "}",
    "null",
    "-1",
    '"',
    ",",
  ],
  make: (random) => formatSeats(several(random, 3, () => record(random))),
  check: (text) => {
    let records: SeatRecord[];
    try {
      records = parseSeats(PATH, text);
    } catch (error) {
      checkUserError(error, PATH);
      return "refused";
    }
    for (const { image, master, layer, owner: { uid, gid, mode } } of records) {
      assert([image, master].every((path) => path.startsWith("/")), "both have absolute paths");
      assert(
        [layer, uid, gid].every((number) => Number.isInteger(number) && number >= 0),
        "numbers are numbers",
      );
      assert(Number.isInteger(mode) && mode <= 0o7777, "a mode is one");
    }
    assertEquals(parseSeats(PATH, formatSeats(records)), records);
    return "taken";
  },
};

function record(random: Random): SeatRecord {
  const path = () => random.one(["/os.img", "/a b", "/中", "/../x", "/\\", `/${"a".repeat(300)}`]);
  return {
    target: random.one(["vda", "", "中", '"', "a\nb"]),
    ...{ image: path(), master: path(), layer: random.below(20), started: "2026-01-01T00:00:00.000Z" },
    owner: { uid: random.below(70000), gid: random.below(70000), mode: random.below(0o10000) },
    ...random.chance(0.5) && { host: random.one(["host 1.example", ""]) },
    ...random.chance(0.5) && { made: random.below(1e9) - 1000 },
    ...random.chance(0.3) && { waits: true },
    ...random.chance(0.3) && { written: random.below(1e9) / 7 },
    ...random.chance(0.3) && { came: random.one(["restore", "migration"] as const) },
    ...random.chance(0.3) && { visits: random.one(["first", "again"] as const) },
    ...random.chance(0.3) && { left: true },
    ...random.chance(0.3) && { aside: random.one(["forget", "stay"] as const) },
  };
}
