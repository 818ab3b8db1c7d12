import { assert, assertEquals } from "@std/assert";
import { listDisk, setKey, unlistDisk } from "../../lib/command/config_edit.ts";
import { type ConfiguredDisk, parseConfig, withoutFlags } from "../../lib/input/config.ts";
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
    let disks: ConfiguredDisk[] | undefined;
    try {
      disks = [...(await parseConfig(PATH, text)).disks];
    } catch (error) {
      checkUserError(error, PATH);
    }
    const expected = judge(text);
    assertEquals(disks, expected, "the judge and the program differ");
    // A file may become invalid between the decision to commit and the clearing of its flag.
    const targets = expected?.map(({ target }) => target) ?? ["vda"];
    try {
      for (const some of [targets, targets.slice(0, 1)]) await checkCleared(text, some);
    } catch (error) {
      // Nested a thousand times, it is not valid: then its flag stays, and so does the commit that waits for that.
      if (expected !== undefined || !(error instanceof RangeError)) throw error;
    }
    if (disks !== undefined) checkEdited(text, disks);
    return disks ? "taken" : "refused";
  },
};

type Value = Readonly<Record<string, unknown>>;

/** What a file means, by README and schema, or undefined if it is not valid. */
export function judge(text: string): ConfiguredDisk[] | undefined {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(file) || !hasOnly(file, ["$schema", "disks"]) || !isOr(file.$schema, "string")) {
    return undefined;
  }
  const { disks } = file;
  if (!Array.isArray(disks) || disks.length === 0 || !disks.every(isDisk)) return undefined;
  if (new Set(disks.map(({ target }) => target)).size < disks.length) return undefined;
  return disks.map((disk) => ({
    target: disk.target,
    commit: disk["one-shot-commit"] === true,
    keepCommits: disk["keep-commits"] ?? 0,
    keepSession: disk["keep-session"] === true,
  }));
}

function isDisk(disk: unknown): boolean {
  if (!isObject(disk)) return false;
  const { target, "keep-commits": kept = 0 } = disk;
  const isCount = Number.isInteger(kept) && (kept as number) >= 0 && (kept as number) <= 12;
  return hasOnly(disk, ["target", "one-shot-commit", "keep-commits", "keep-session"]) &&
    typeof target === "string" && target !== "" && !/[\s/]/.test(target) &&
    isOr(disk["one-shot-commit"], "boolean") && isOr(disk["keep-session"], "boolean") && isCount;
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
  const expected = judge(text)?.map((disk) =>
    targets.includes(disk.target) ? { ...disk, commit: false } : disk
  );
  assertEquals(judge(cleared), expected, "cleared are the flags of these targets");
}

/** What an administrator's command changes in a valid file is what it says, and no other disk. */
function checkEdited(text: string, disks: readonly ConfiguredDisk[]): void {
  const [{ target }] = disks as [ConfiguredDisk];
  for (const commit of [true, false]) {
    const expected = disks.map((disk) => disk.target === target ? { ...disk, commit } : disk);
    assertEquals(judge(setKey(text, target, "one-shot-commit", commit)), expected, "its flag is set");
  }
  const added = { target: "new", commit: false, keepCommits: 0, keepSession: false };
  assertEquals(judge(listDisk(text, "new")), [...disks, added], "one more is listed");
  if (disks.length > 1) assertEquals(judge(unlistDisk(text, target)), disks.slice(1), "it is listed no more");
}

const usual = ["vda", "vdb", "vdc", "sda", "hdc", "nvme0n1", "__proto__", "中", "a".repeat(300)];
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
    if (random.chance(0.6)) pairs.push(["one-shot-commit", value(random.chance(0.5))]);
    if (random.chance(0.3)) pairs.push(["keep-commits", value(random.below(13))]);
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
