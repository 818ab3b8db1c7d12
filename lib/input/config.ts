import { UserError } from "../errors.ts";
import type { Configuration } from "./config_schema.ts";
import { nearest, quoted, shellWord } from "../text.ts";

/** A disk that the guest's file lists. */
export interface ConfiguredDisk {
  readonly target: string;
  readonly commit: boolean;
  /** Number of newest commits kept unmerged. */
  readonly keepCommits: number;
  /** Every ended session is set aside until the guest is up again. */
  readonly keepSession: boolean;
  /** Seats that stand on it take a commit only when it is published. */
  readonly byHand?: true;
}

/** A disk whose sessions stand on another guest's disk, its master. */
export interface ConfiguredSeat {
  readonly target: string;
  /** Absolute path of the master's image. */
  readonly master: string;
  /** It takes each commit of the master, whatever is published. */
  readonly preview: boolean;
  readonly keepSession: boolean;
}

/** What a configuration file lists. */
export interface Listed {
  /** Disks that are managed for themselves. */
  readonly disks: readonly ConfiguredDisk[];
  readonly seats: readonly ConfiguredSeat[];
  /** UEFI variables and TPM state belong to the disks; undefined where the file doesn't say. */
  readonly firmware: boolean | undefined;
}

/** The disks that a text lists, valid or not; undefined where nobody can tell. */
export function peekDisks(
  text: string,
):
  | readonly { readonly target?: unknown; readonly master?: unknown; readonly "keep-commits"?: unknown }[]
  | undefined {
  try {
    const { disks } = JSON.parse(text);
    return Array.isArray(disks)
      ? disks.filter((disk) => typeof disk === "object" && disk !== null)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A valid configuration file. */
export interface Config extends Listed {
  /** When the file was last changed, in milliseconds. */
  readonly changed: number;
  /** Differs from that of every other content that the file has had: by size and time. */
  readonly version: string;
}

/**
 * Checks a configuration's text.
 *
 * @throws {UserError} that names the file, the place in it, what stands there and what should
 */
export async function parseConfig(path: string, text: string): Promise<Listed> {
  const invalid = (
    place: string,
    what: string,
    hint = `correct ${shellWord(path)}, or remove it while the guest is shut off, to leave it alone`,
  ) => new UserError(`${quoted(path)}${place && ` at ${place}`}: ${what}`, { hint });

  if (text.startsWith("\ufeff")) {
    throw invalid(
      "",
      "begins with a byte order mark, should begin with {",
      `sed -i '1s/^\\xEF\\xBB\\xBF//' ${shellWord(path)}`,
    );
  }
  if (text.trim() === "") throw invalid("", 'is empty, should be {"disks": [{"target": "vda"}]}');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw invalid("", `is not JSON: ${(error as Error).message}`);
  }

  const { disks, firmware } = plainFile(json) ?? await validFile(json, invalid);
  const targets = disks.map(({ target }) => target);
  const twice = targets.findIndex((target, index) => targets.indexOf(target) !== index);
  if (twice !== -1) {
    throw invalid(`disks[${twice}].target`, `${quoted(targets[twice])} is there twice, should be once`);
  }
  for (const [index, disk] of disks.entries()) checkSeat(disk, `disks[${index}]`, invalid);
  const keepsSession = (disk: Disks[number]) => disk["keep-session"] ?? false;
  return {
    disks: disks.filter(({ master }) => master === undefined).map((disk) => ({
      target: disk.target,
      commit: disk["one-shot-commit"] ?? false,
      keepCommits: disk["keep-commits"] ?? 0,
      keepSession: keepsSession(disk),
      ...disk.publish === "by hand" && { byHand: true },
    })),
    seats: disks.flatMap((disk) =>
      disk.master === undefined ? [] : [{
        target: disk.target,
        master: disk.master,
        preview: disk.preview ?? false,
        keepSession: keepsSession(disk),
      }]
    ),
    firmware,
  };
}

/** @throws {UserError} that `invalid` makes, for a key that means nothing on a seat, or only there */
function checkSeat(
  disk: Disks[number],
  place: string,
  invalid: (place: string, what: string, hint?: string) => UserError,
): void {
  if (disk.master === undefined) {
    if (disk.preview === undefined) return;
    throw invalid(`${place}.preview`, 'is for a seat, a disk with "master"');
  }
  const key = (["one-shot-commit", "keep-commits", "publish"] as const).find((key) =>
    disk[key] !== undefined
  );
  if (key === undefined) return;
  throw invalid(
    `${place}.${key}`,
    `is not for a seat: what is kept of ${quoted(disk.master)} is committed by its own guest`,
    `take the key out, and set it for the guest that ${shellWord(disk.master)} is the disk of`,
  );
}

type Disks = Configuration["disks"];
type File = Pick<Configuration, "disks" | "firmware">;

/**
 * A file as nearly all are; undefined where the schema has to be asked, whose loading takes as long as half of
 * what an end does.
 */
function plainFile(json: unknown): File | undefined {
  const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
  const plain: Record<keyof Disks[number], (value: unknown) => boolean> = {
    target: (value) => typeof value === "string" && /^[a-z0-9]+$/.test(value),
    "one-shot-commit": (value) => typeof value === "boolean",
    "keep-commits": (value) => /^[0-9]$/.test(JSON.stringify(value)),
    "keep-session": (value) => typeof value === "boolean",
    master: (value) => typeof value === "string" && /^\/[\w./-]+$/.test(value),
    preview: (value) => typeof value === "boolean",
    publish: (value) => value === "by hand" || value === "at once",
  };
  const isDisk = (disk: object) =>
    isObject(disk) && "target" in disk &&
    Object.entries(disk).every(([key, value]) =>
      Object.hasOwn(plain, key) && plain[key as keyof typeof plain](value)
    );
  if (!isObject(json) || !["disks", "disks,firmware"].includes(Object.keys(json as object).join())) {
    return undefined;
  }
  const { disks, firmware } = json as { disks: unknown; firmware?: unknown };
  const isPlain = Array.isArray(disks) && disks.length > 0 && disks.every(isDisk);
  if (!isPlain) return undefined;
  return firmware === undefined ? { disks } : typeof firmware === "boolean" ? { disks, firmware } : undefined;
}

/** @throws {UserError} that `invalid` makes, where the schema says no */
async function validFile(
  json: unknown,
  invalid: (place: string, what: string) => UserError,
): Promise<File> {
  const { schema } = await import("./config_schema.ts");
  const { success, data, error } = schema.safeParse(json, { reportInput: true });
  if (success) return data as File;
  // A slip in a key is the cause of the other key's absence.
  const issue = error.issues.find(({ code }) => code === "unrecognized_keys") ?? error.issues[0]!;
  throw invalid(placeOf(issue.path), problem(issue));
}

/** What zod found, worded as all messages are: what is, then what should be. */
interface Issue {
  readonly code?: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly input?: unknown;
  readonly expected?: string;
  readonly keys?: readonly string[];
}

const keysOf = {
  top: ["$schema", "disks", "firmware"] satisfies (keyof Configuration)[],
  disk: [
    "target",
    "one-shot-commit",
    "keep-commits",
    "keep-session",
    "master",
    "preview",
    "publish",
  ] satisfies (keyof Configuration["disks"][number])[],
};

const named: Readonly<Record<string, string>> = {
  object: "an object {…}",
  array: "a list […]",
  string: "a text",
  boolean: "true or false",
  number: "a whole number",
  int: "a whole number",
};

function problem({ code, path, message, input, expected, keys }: Issue): string {
  if (code === "unrecognized_keys") {
    const known = path.length === 0 ? keysOf.top : keysOf.disk;
    const suggestion = nearest(keys![0]!, known);
    return `unknown key ${quoted(keys![0])}, ` +
      (suggestion ? `did you mean ${quoted(suggestion)}?` : `known are ${known.map(quoted).join(", ")}`);
  }
  if (code === "invalid_type") {
    const is = input === undefined ? "is missing" : `is ${quoted(input)}`;
    return `${is}, should be ${named[expected ?? ""] ?? expected}`;
  }
  return `is ${quoted(input)}, should be ${message}`;
}

function placeOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((place, key) => {
    if (typeof key === "number") return `${place}[${key}]`;
    return place === "" ? String(key) : `${place}.${String(key)}`;
  }, "");
}

/** The text with the flags of these targets cleared; pure but for loading the parser. */
export async function withoutFlags(text: string, targets: readonly string[]): Promise<string> {
  const { parseTree } = await import("jsonc-parser");
  type Tree = ReturnType<typeof parseTree>;
  const valuesOf = (node: Tree, key: string) =>
    (node?.children ?? []).filter(({ children }) => children?.[0]?.value === key).map(({ children }) =>
      children?.[1]
    );

  const spots: number[] = [];
  for (const disk of valuesOf(parseTree(text), "disks").flatMap((disks) => disks?.children ?? [])) {
    // Of a key that is there twice JSON takes the last; cleared are all.
    if (!targets.includes(valuesOf(disk, "target").at(-1)?.value)) continue;
    for (const flag of valuesOf(disk, "one-shot-commit")) if (flag?.value === true) spots.push(flag.offset);
  }
  return spots.toSorted((a, b) => b - a)
    .reduce((rest, at) => `${rest.slice(0, at)}false${rest.slice(at + "true".length)}`, text);
}
