import { assert, assertEquals } from "@std/assert";
import { listDisk, listSeat, setFirmware, setKey, unlistDisk } from "../../lib/command/config_edit.ts";
import { type Listed, parseConfig, withoutFlags } from "../../lib/input/config.ts";
import { several, type Subject } from "./subject.ts";
import { checkUserError } from "./assert_message.ts";
import type { Random } from "../../tests/random.ts";

const PATH = "/config/guest.json";

/** Texts of a guest's file: what is valid, by a judge of its own, is read as it stands, and nothing else is. */
export const configuration: Subject = {
  name: "configuration",
  share: 0.4,
  mutable: true,
  words: [
    '"disks"',
    '"target"',
    '"one-shot-commit"',
    '"master":"/m"',
    '"preview"',
    '"publish":"by hand"',
    "true",
    "false",
    "null",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "//",
    "/**/",
    "\\u0074",
  ],
  make: configText,
  check: async (text) => {
    let found: Listed | undefined;
    try {
      found = await parseConfig(PATH, text);
    } catch (error) {
      checkUserError(error, PATH);
    }
    const expected = judge(text);
    assertEquals(found, expected, "the judge and the program differ");
    // A file may become invalid between the decision to commit and the clearing of its flag.
    const targets = expected ? targetsOf(expected) : ["vda"];
    try {
      for (const some of [targets, targets.slice(0, 1)]) await checkCleared(text, some);
    } catch (error) {
      // Nested a thousand times, it is not valid: then its flag stays, and so does the commit that waits for that.
      if (expected !== undefined || !(error instanceof RangeError)) throw error;
    }
    if (found !== undefined) checkEdited(text, found);
    return found ? "taken" : "refused";
  },
};

type Value = Readonly<Record<string, unknown>>;

/** What a file means, by README and schema, or undefined if it is not valid. */
export function judge(text: string): Listed | undefined {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (
    !isObject(file) || !hasOnly(file, ["$schema", "disks", "firmware"]) || !isOr(file.$schema, "string") ||
    !isOr(file.firmware, "boolean")
  ) {
    return undefined;
  }
  const { disks } = file;
  if (!Array.isArray(disks) || disks.length === 0 || !disks.every(isDisk)) return undefined;
  if (new Set(disks.map(({ target }) => target)).size < disks.length) return undefined;
  return {
    disks: disks.filter(({ master }) => master === undefined).map((disk) => ({
      target: disk.target,
      commit: disk["one-shot-commit"] === true,
      keepCommits: disk["keep-commits"] ?? 0,
      keepSession: disk["keep-session"] === true,
      ...disk.publish === "by hand" && { byHand: true as const },
    })),
    seats: disks.filter(({ master }) => master !== undefined).map((disk) => ({
      target: disk.target,
      master: disk.master,
      preview: disk.preview === true,
      keepSession: disk["keep-session"] === true,
    })),
    firmware: file.firmware as boolean | undefined,
  };
}

const targetsOf = ({ disks, seats }: Listed) => [...disks, ...seats].map(({ target }) => target);

function isDisk(disk: unknown): boolean {
  if (!isObject(disk)) return false;
  const { target, "keep-commits": kept = 0 } = disk;
  const isCount = Number.isInteger(kept) && (kept as number) >= 0 && (kept as number) <= 12;
  const { master, publish = "at once" } = disk;
  const isPath = typeof master === "string" && master.startsWith("/") && !master.includes("\0");
  const own = ["target", "keep-session", "one-shot-commit", "keep-commits", "publish"];
  return hasOnly(disk, master === undefined ? own : ["target", "keep-session", "master", "preview"]) &&
    (master === undefined || isPath) && isOr(disk.preview, "boolean") &&
    typeof target === "string" && target !== "" && !/[\s/]/.test(target) &&
    isOr(disk["one-shot-commit"], "boolean") && isOr(disk["keep-session"], "boolean") && isCount &&
    ["by hand", "at once"].includes(publish as string);
}

const isObject = (value: unknown): value is Value =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const hasOnly = (value: Value, keys: readonly string[]) =>
  Object.keys(value).every((key) => keys.includes(key));
const isOr = (value: unknown, type: string) => value === undefined || typeof value === type;

/** Cleared are the flags of these targets and nothing else, in meaning and in bytes; a second time nothing at all. */
async function checkCleared(text: string, targets: readonly string[]): Promise<void> {
  const cleared = await withoutFlags(text, targets);
  let at = 0;
  for (let now = 0; now < cleared.length; now++, at++) {
    if (text[at] === cleared[now]) continue;
    assert(text.startsWith("true", at) && cleared.startsWith("false", now), "only flags change");
    [at, now] = [at + "true".length - 1, now + "false".length - 1];
  }
  assertEquals(at, text.length, "nothing is cut off");
  assertEquals(await withoutFlags(cleared, targets), cleared, "nothing is left to clear");
  const valid = judge(text);
  const expected = valid && {
    ...valid,
    disks: valid.disks.map((disk) => targets.includes(disk.target) ? { ...disk, commit: false } : disk),
  };
  assertEquals(judge(cleared), expected, "cleared are the flags of these targets");
}

/** What an administrator's command changes in a valid file is what it says, and no other disk. */
function checkEdited(text: string, { disks, seats, firmware }: Listed): void {
  const [disk, seat] = [disks[0], seats[0]];
  for (const is of [true, false]) {
    assertEquals(
      judge(setFirmware(text, is)),
      { disks, seats, firmware: is },
      "firmware goes with the disks",
    );
    if (disk) {
      const expected = { firmware, seats, disks: [{ ...disk, commit: is }, ...disks.slice(1)] };
      assertEquals(judge(setKey(text, disk.target, "one-shot-commit", is)), expected, "its flag is set");
    }
    if (seat) {
      const expected = { firmware, disks, seats: [{ ...seat, preview: is }, ...seats.slice(1)] };
      assertEquals(judge(setKey(text, seat.target, "preview", is)), expected, "it takes each commit");
    }
  }
  const added = { target: "new", commit: false, keepCommits: 0, keepSession: false };
  assertEquals(
    judge(listDisk(text, "new")),
    { firmware, seats, disks: [...disks, added] },
    "one more is listed",
  );
  const addedSeat = { target: "new", master: '/a "b', preview: false, keepSession: false };
  const withSeat = { firmware, disks, seats: [...seats, addedSeat] };
  assertEquals(judge(listSeat(text, "new", addedSeat.master)), withSeat, "one more seat is listed");
  if (disks.length + seats.length === 1) return;
  for (const one of [disk, seat]) {
    if (one === undefined) continue;
    const others = <One extends { target: string }>(all: readonly One[]) =>
      all.filter(({ target }) => target !== one.target);
    const left = { firmware, disks: others(disks), seats: others(seats) };
    assertEquals(judge(unlistDisk(text, one.target)), left, "it is listed no more");
  }
}

const usual = ["vda", "vdb", "vdc", "sda", "hdc", "nvme0n1", "__proto__", "中", "a".repeat(300)];
const masters = ["/images/lab.img", "/a b", "/中", "/", "/../x", "//", "/a\nb", `/${"a".repeat(300)}`];
const strange = [
  ...["", "/dev/vda", "v d", "vda ", "\u2028", "vda", "true", "yes"],
  ...[null, 0, -1, 1, 13, 12, 1.5, 1e300, [], {}, [[]], { a: 1 }],
];

/** A file as an administrator may write it, right or wrong. */
export function configText(random: Random): string {
  const rarely = () => random.chance(0.02);
  const value = (right: unknown) => rarely() ? random.one(strange) : right;
  const disk = () => {
    const pairs: [string, unknown][] = [["target", value(random.one(usual))]];
    const isSeat = random.chance(0.25);
    // What is for one kind of disk alone is wrong on the other.
    const push = (chance: number, seats: boolean, key: string, right: unknown) => {
      if (random.chance(seats === isSeat ? chance : 0.01)) pairs.push([key, value(right)]);
    };
    push(1, true, "master", random.one(masters));
    push(0.4, true, "preview", random.chance(0.5));
    push(0.6, false, "one-shot-commit", random.chance(0.5));
    push(0.3, false, "keep-commits", random.below(13));
    push(0.2, false, "publish", random.one(["by hand", "at once"]));
    if (random.chance(0.3)) pairs.push(["keep-session", value(random.chance(0.5))]);
    if (rarely()) {
      pairs.push([random.one(["one-shot-comit", "__proto__", "constructor", "toString", ""]), true]);
    }
    if (rarely()) pairs.push(random.one(pairs));
    if (rarely()) pairs.shift();
    return new Pairs(shuffled(random, pairs));
  };
  const pairs: [string, unknown][] = [["disks", value([disk(), ...several(random, 3, disk)])]];
  if (random.chance(0.2)) pairs.push(["$schema", value("./config.schema.json")]);
  if (random.chance(0.2)) pairs.push(["firmware", value(random.chance(0.5))]);
  if (rarely()) pairs.push([random.one(["disk", "__proto__", "one-shot-commit"]), disk()]);
  if (rarely()) pairs.push(["disks", [disk()]]);
  const text = written(random, new Pairs(shuffled(random, pairs)));
  if (rarely()) return random.one(["\ufeff", "//c\n", " ", "[", "\0"]) + text;
  if (rarely()) return text + random.one([",", "}", " // c", "\r\n", "\0"]);
  return rarely() ? text.slice(0, random.below(text.length)) : text;
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  return items.map((item) => [random.below(1000), item] as const).toSorted(([a], [b]) => a - b).map((
    [, item],
  ) => item);
}

/** An object of JSON, in which a key may be there twice. */
class Pairs {
  constructor(readonly list: readonly (readonly [string, unknown])[]) {}
}

/** JSON in one of its many spellings. */
function written(random: Random, value: unknown): string {
  const gap = () => random.chance(0.2) ? random.one(["\n", "  ", "\t", "\r\n"]) : "";
  const items = (open: string, all: string[], close: string) =>
    open + gap() + all.join(`${gap()},${gap()}`) + (random.chance(0.005) ? "," : "") + gap() + close;
  if (value instanceof Pairs) {
    const pairs = value.list.map(([key, inner]) =>
      `${spelt(random, key)}${gap()}:${gap()}${written(random, inner)}`
    );
    return items("{", pairs, "}");
  }
  if (Array.isArray(value)) return items("[", value.map((inner) => written(random, inner)), "]");
  if (typeof value === "string") return spelt(random, value);
  if (typeof value === "number" && random.chance(0.1)) {
    return random.one([`${value}.0`, `${value}e0`, `${value}00e-2`, `+${value}`, `0${value}`]);
  }
  return JSON.stringify(value);
}

function spelt(random: Random, text: string): string {
  if (text === "" || !random.chance(0.05)) return JSON.stringify(text);
  const at = random.below(text.length);
  const escape = `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`;
  return `"${text.slice(0, at)}${escape}${text.slice(at + 1)}"`;
}
