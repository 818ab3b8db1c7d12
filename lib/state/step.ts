import type { GuestNames } from "./paths.ts";
import type { SeatRecord } from "./seat_record.ts";
import type { Owner, SessionRecord } from "./session_record.ts";
import type { Listing } from "./state.ts";
import { quoted } from "../text.ts";

/** One change of something on disk. A plan is a list of these, and nothing else changes anything. */
export type Step =
  | { readonly kind: "link"; readonly from: string; readonly to: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "remove"; readonly path: string }
  /** An empty file: that it is there says all. */
  | { readonly kind: "mark"; readonly path: string }
  | { readonly kind: "own"; readonly path: string; readonly owner: Owner }
  /** Nothing of the file changes, but from now on it is newer than all that was written before. */
  | { readonly kind: "touch"; readonly path: string }
  /** Content of the file to stable storage. */
  | { readonly kind: "sync"; readonly path: string }
  /** A new overlay on `backing`. */
  | { readonly kind: "create"; readonly overlay: string; readonly backing: string }
  /** A copy of a file, under a name that nothing has. */
  | { readonly kind: "copy"; readonly from: string; readonly to: string }
  /** Copy a layer into the one below it; if it `isWhole`, its content replaces that of the other file, which stays the same file. */
  | { readonly kind: "merge"; readonly layer: string; readonly into: string; readonly isWhole?: true }
  /** Free the clusters that a killed merge left allocated and unused, or count anew who uses which. */
  | { readonly kind: "repair"; readonly path: string; readonly what: Repair }
  /** Start a process of its own that merges the guest's disks. */
  | { readonly kind: "background"; readonly domain: string }
  /** Clear the commit flags of these targets. */
  | { readonly kind: "clear"; readonly config: string; readonly targets: readonly string[] }
  /** Change a guest's file as an administrator asked for; no text: remove it. */
  | {
    readonly kind: "configure";
    readonly config: string;
    readonly text: string | undefined;
    readonly change: string;
  }
  | { readonly kind: "note"; readonly path: string; readonly records: readonly SessionRecord[] }
  /** On which layers of their masters the guest's seats stand. */
  | { readonly kind: "seats"; readonly path: string; readonly records: readonly SeatRecord[] }
  | {
    readonly kind: "starting";
    readonly path: string;
    readonly word: StartWord;
    readonly more?: readonly StartMark[];
  };

/** What is repaired of an image: what harms nothing, or whatever can be. */
export type Repair = "leaks" | "all";

/** What kind of start is under way; `refused` where `prepare` failed. */
export type StartWord = "fresh" | "resume" | "migrate" | "refused";

/** What else is noted of a start; any of it asks for more than the removal of the word, once the guest is up. */
export type StartMark =
  /** The note is to be brought up to date, and what is set aside to go. */
  | "update"
  /** `prepare` was called after what libvirt has announced: until then it may come to nothing, and the guest be up. */
  | "prepared"
  /** It is started anew from a snapshot that lies in its session, at once or not at all. */
  | "reverted"
  /** A guest is to come from another host: what is noted of that is void if it doesn't. */
  | "incoming"
  /** libvirt makes firmware files that the guest had none of: they are copied aside before QEMU is started. */
  | "firmware";

const marks = ["update", "prepared", "reverted", "incoming", "firmware"] as const satisfies StartMark[];

/** What `.starting` says. */
export interface Announced {
  readonly word: StartWord;
  readonly more?: readonly StartMark[];
  /** Undefined where an earlier version of the hook has noted it. */
  readonly by?: StartStamp;
}

/** Who has noted a start: two hosts may have one folder of configurations. */
export interface StartStamp {
  /** Name of the host. */
  readonly host: string;
  /** By that host's clock. */
  readonly at: Date;
  /** When that host was booted, to about a second. */
  readonly booted: Date;
}

/** The text of `.starting`: the word and the stamp, and a line for each mark. */
export function formatStart({ word, more = [], by }: Announced): string {
  const stamp = by === undefined ? [] : [by.at.toISOString(), by.booted.toISOString(), by.host];
  return [[word, ...stamp].join(" "), ...more].map((line) => `${line}\n`).join("");
}

/** What the text of `.starting` says; another word than the known ones is taken for `fresh`. */
export function parseStart(text: string): Announced & { readonly more: readonly StartMark[] } {
  const [first = "", ...lines] = text.split("\n").map((line) => line.trim());
  const [word, at = "", booted = "", ...host] = first.split(" ");
  const known = word === "resume" || word === "migrate" || word === "refused" ? word : "fresh";
  const times = [at, booted].map((time) => new Date(time)) as [Date, Date];
  const isStamped = host.length > 0 && times.every((time) => Number.isFinite(time.getTime()));
  return {
    word: known,
    more: marks.filter((mark) => lines.includes(mark)),
    ...isStamped && { by: { host: host.join(" "), at: times[0], booted: times[1] } },
  };
}

/** One line for the log and for a dry run. */
export function describe(step: Step): string {
  switch (step.kind) {
    case "link":
    case "rename":
    case "copy":
      return `${step.kind} ${quoted(step.from)} to ${quoted(step.to)}`;
    case "remove":
    case "mark":
    case "touch":
    case "sync":
    case "repair":
      return `${step.kind} ${quoted(step.path)}`;
    case "background":
      return "start the merge in the background";
    case "own":
      return `own ${quoted(step.path)} by ${step.owner.uid}:${step.owner.gid}, mode ${
        step.owner.mode.toString(8)
      }`;
    case "create":
      return `create overlay ${quoted(step.overlay)} on ${quoted(step.backing)}`;
    case "merge":
      return `merge ${quoted(step.layer)} into ${quoted(step.into)}`;
    case "clear":
      return `clear "one-shot-commit" of ${step.targets.join(", ")} in ${quoted(step.config)}`;
    case "configure":
      return `${step.change} in ${quoted(step.config)}`;
    case "note":
    case "seats":
      return step.records.length === 0
        ? `remove ${quoted(step.path)}`
        : `note ${step.records.map(({ target }) => target).join(", ")} in ${quoted(step.path)}`;
    case "starting":
      return `note a ${step.word} start in ${quoted(step.path)}`;
    default:
      return step satisfies never;
  }
}

/**
 * The listing as it is after a step, with the semantics of link(2), rename(2) and unlink(2). Steps on other images' names
 * change nothing that matters to this one. Pure.
 */
export function after(listing: Listing, step: Step): Listing {
  const next = new Map(listing);
  const from = "from" in step ? next.get(step.from) : undefined;
  switch (step.kind) {
    case "link":
      if (from !== undefined && !next.has(step.to)) next.set(step.to, from);
      return next;
    case "rename":
      // rename(2) between two names of one file does nothing and leaves both.
      if (from === undefined || from === next.get(step.to)) return next;
      next.set(step.to, from);
      next.delete(step.from);
      return next;
    case "remove":
      next.delete(step.path);
      return next;
    case "mark":
      return next.has(step.path) ? next : next.set(step.path, Math.min(0, ...next.values()) - 1);
    case "create":
      return next.set(step.overlay, Math.min(0, ...next.values()) - 1);
    case "copy":
      return next.set(step.to, Math.min(0, ...next.values()) - 1);
    case "own":
    case "touch":
    case "sync":
    case "merge":
    case "repair":
    case "background":
    case "clear":
    case "configure":
    case "note":
    case "seats":
    case "starting":
      return listing;
    default:
      return step satisfies never;
  }
}

/** The listing after several steps. */
export function afterAll(listing: Listing, steps: readonly Step[]): Listing {
  return steps.reduce(after, listing);
}

/** Whether a note tells of what ends when the guest is up: a save would be taken for one of that. */
export function endsWhenUp(
  records: readonly Pick<Partial<SessionRecord>, "aside" | "waits" | "lost" | "over">[],
): boolean {
  return records.some(({ aside, waits, lost, over }) => aside !== undefined || waits || lost || over);
}

/**
 * Notes which kind of start is under way.
 *
 * @param records what the note says from this start on
 * @param marks what else is noted of it
 */
export function startingStep(
  { starting }: GuestNames,
  word: StartWord,
  records: Parameters<typeof endsWhenUp>[0] = [],
  marks: readonly StartMark[] = [],
) {
  const more: StartMark[] = [
    ...endsWhenUp(records) && !marks.includes("update") ? ["update" as const] : [],
    ...marks.filter((mark) => word === "fresh" || mark !== "firmware"),
    ...records.length > 0 && word !== "fresh" ? ["prepared" as const] : [],
  ];
  return { kind: "starting", path: starting, word, ...more.length > 0 && { more } } as const;
}
