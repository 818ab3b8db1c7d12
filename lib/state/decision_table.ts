/**
 * The state machine: what happens to one disk at one event.
 *
 * One table, read from the top, first match wins. A row without a word about some fact doesn't care about it. A row
 * that asks for a fact nobody has looked up yet stops the search: looking costs a process, so it is done only then.
 */

/** What the decision rests on. */
export interface Facts {
  readonly event: "prepare" | "release";
  /** The kind of start: from `.starting`; `up` at the end of a guest that did come up. */
  readonly start: "fresh" | "resume" | "migrate" | "refused" | "up";
  /** The shutoff reason, as far as it matters; `none` at prepare. */
  readonly end: "none" | "over" | "away" | "died" | "unsaid";
  /** After recovery. */
  readonly state: "plain" | "layered" | "session" | "stray" | "missing";
  /** A session that was set aside is there. */
  readonly ended: boolean;
  /** The note says that we froze it. */
  readonly ours: boolean;
  /** The configuration lists it. */
  readonly listed: boolean;
  readonly flag: "set" | "clear" | "unreadable";
  /** Every ended session of the disk is to be set aside. */
  readonly keeps: boolean;
  /** The flag was meant for the session that lies there: an event held it for that, or it was set before the last write. */
  readonly held: boolean;
  /** The session was made beside one that was set aside, by a start that never came up. */
  readonly unborn: boolean;
  /** What the domain names for the target now: this image, another file, nothing, or it could not be read. */
  readonly source: "same" | "other" | "gone" | "unreadable";
  /** libvirt holds a managed save of the guest. */
  readonly saved?: boolean;
  /**
   * What the image is at a closer look: open in a process, as its names say, an overlay on layers that lie elsewhere,
   * something else, not readable.
   */
  readonly look?: "busy" | "sound" | "moved" | "replaced" | "damaged";
}

/** What happens to the disk. */
export type Fate =
  /** A new session. */
  | "freeze"
  /** The session that lies there goes on. */
  | "keep"
  /** The same, because its flag asks for it. */
  | "resume"
  /** The session that was set aside goes on. */
  | "put back"
  | "discard"
  /** The session that lies there is set aside, and a new one begins. */
  | "set aside, freeze"
  /** What is left beside an idle disk goes, as far as it is not the disk. */
  | "let go"
  | "commit"
  | "set aside"
  /** It stays as it is. */
  | "leave"
  /** It stays, and is resumed at the next start if its flag is set then. */
  | "hold"
  /** It stays, since something may stand on it: a person is told. */
  | "leave to a person"
  /** Nothing to do. */
  | "nothing"
  | Refusal;

/** The start is refused, and why. */
export type Refusal =
  | "refuse: missing"
  | "refuse: unreadable"
  | "refuse: stray commit"
  | "refuse: in use"
  | "refuse: not ours"
  | "refuse: replaced"
  | "refuse: moved"
  | "refuse: damaged"
  | "refuse: nothing to resume"
  | "refuse: no session to migrate";

export function refuses(fate: Fate): fate is Refusal {
  return fate.startsWith("refuse: ");
}

type Condition = { readonly [K in keyof Facts]?: Facts[K] | readonly Facts[K][] };

export interface Row {
  readonly when: Condition;
  readonly fate: Fate;
  readonly because: string;
}

const idle = ["plain", "layered"] as const;
const resumed = ["resume", "migrate"] as const;

const prepare: readonly Row[] = [
  // Disks that are only in the note: their entry in the configuration is gone, or the domain names another file.
  {
    when: { listed: false, source: "other" },
    fate: "leave to a person",
    because: "that file may stand on this session",
  },
  {
    when: { listed: false, source: "unreadable" },
    fate: "leave",
    because: "nobody can tell what stands on it",
  },
  { when: { listed: false, start: resumed }, fate: "keep", because: "the guest's memory expects it" },
  {
    when: { listed: false, state: "session", look: "busy" },
    fate: "refuse: in use",
    because: "it may be another guest's",
  },
  {
    when: { listed: false, state: "session", look: "replaced" },
    fate: "refuse: replaced",
    because: "somebody's own file",
  },
  {
    when: { listed: false, state: "session", look: "moved" },
    fate: "refuse: moved",
    because: "nobody can tell which disk it is",
  },
  {
    when: { listed: false, state: "session" },
    fate: "discard",
    because: "no longer configured: plain from now on",
  },
  {
    when: { listed: false, ended: true },
    fate: "let go",
    because: "no longer configured: plain from now on",
  },
  {
    when: { listed: false, state: "layered" },
    fate: "let go",
    because: "no longer configured: plain from now on",
  },
  { when: { listed: false }, fate: "nothing", because: "no longer configured, and idle" },

  { when: { state: "missing" }, fate: "refuse: missing", because: "there is no disk" },
  {
    when: { state: "stray" },
    fate: "refuse: stray commit",
    because: "its layers are gone, and not by the hook",
  },

  { when: { state: idle, look: "busy" }, fate: "refuse: in use", because: "a process has it open" },
  {
    when: { state: idle, look: "damaged" },
    fate: "refuse: unreadable",
    because: "there is no disk to stand on",
  },
  {
    when: { state: idle, look: "moved" },
    fate: "refuse: moved",
    because: "what it stands on lies elsewhere, or is gone",
  },

  // The guest comes with a memory of its own, and the disk has to be the one that it remembers.
  {
    when: { start: "resume", state: "session", ours: true, unborn: true },
    fate: "put back",
    because: "it was saved on this session, and no start came up since",
  },
  {
    when: { start: "resume", state: "session", ours: true },
    fate: "keep",
    because: "it was saved on this session",
  },
  {
    when: { start: "migrate", state: "session" },
    fate: "keep",
    because: "it runs on this session elsewhere",
  },
  {
    when: { start: "migrate" },
    fate: "refuse: no session to migrate",
    because: "a session can only come on shared storage",
  },
  {
    when: { start: "resume", state: "layered", ended: true },
    fate: "put back",
    because: "this is the session it was saved on",
  },
  {
    when: { start: "resume", state: "plain", ended: true },
    fate: "refuse: nothing to resume",
    because: "its layers are gone",
  },
  {
    when: { start: "resume", state: idle },
    fate: "freeze",
    because: "after a commit, the disk is what the memory expects",
  },

  // A session at a fresh start: it died without a word, or it isn't ours.
  { when: { state: "session", look: "busy" }, fate: "refuse: in use", because: "a process has it open" },
  {
    when: { state: "session", look: "replaced" },
    fate: "refuse: replaced",
    because: "somebody put another file there",
  },
  {
    when: { state: "session", look: "moved" },
    fate: "refuse: moved",
    because: "it stands on another disk's file",
  },
  {
    when: { state: "session", ours: false },
    fate: "refuse: not ours",
    because: "somebody's own overlay is never thrown away",
  },
  {
    when: { state: "session", flag: "set", held: true, look: "damaged" },
    fate: "refuse: damaged",
    because: "it was to be kept",
  },
  {
    when: { state: "session", flag: "set", held: true },
    fate: "resume",
    because: "maintenance survives a power cut",
  },
  {
    when: { state: "session", flag: "set", unborn: false },
    fate: "set aside, freeze",
    because: "the flag may have been meant for this session, or for the next one",
  },
  { when: { state: "session" }, fate: "freeze", because: "a power cut reverts, too" },
  { when: { state: idle }, fate: "freeze", because: "every start begins clean" },
];

const release: readonly Row[] = [
  { when: { state: ["plain", "layered", "stray", "missing"] }, fate: "nothing", because: "no session" },
  { when: { ours: false }, fate: "nothing", because: "not ours to touch" },
  { when: { start: "refused" }, fate: "leave", because: "it may be another guest's, and live" },
  { when: { start: resumed }, fate: "leave", because: "the saved guest is still to be resumed" },
  { when: { source: "other" }, fate: "leave to a person", because: "that file may stand on this session" },
  { when: { source: "unreadable" }, fate: "hold", because: "nobody can tell what stands on it" },
  {
    when: { start: "fresh", held: true },
    fate: "leave",
    because: "it is the work of an earlier session that is, or may be, to be kept",
  },
  {
    when: { source: "gone", look: "busy" },
    fate: "leave",
    because: "the disk was detached and is used elsewhere",
  },
  { when: { start: "fresh" }, fate: "discard", because: "the guest never came up; the flag stays" },
  {
    when: { end: "away", flag: "set" },
    fate: "hold",
    because: "saved or migrated: it goes on, without its memory, too",
  },
  { when: { end: "away" }, fate: "leave", because: "saved or migrated: it goes on" },
  { when: { flag: "unreadable" }, fate: "hold", because: "nobody can tell whether it is to be kept" },
  { when: { end: "died", flag: "set" }, fate: "hold", because: "maintenance survives a crash" },
  {
    when: { end: ["died", "over"], flag: "clear", keeps: true },
    fate: "set aside",
    because: "keep-session is set",
  },
  { when: { end: "died" }, fate: "discard", because: "a crash reverts, too" },
  { when: { end: "over", flag: "set" }, fate: "commit", because: "asked for" },
  { when: { end: "over" }, fate: "discard", because: "every session is forgotten" },
  // libvirt before 10.5 gives no reason, and a save looks like a shutdown.
  { when: { saved: true, flag: "set" }, fate: "hold", because: "libvirt holds a managed save" },
  { when: { saved: true }, fate: "leave", because: "libvirt holds a managed save" },
  { when: { look: "busy" }, fate: "leave", because: "a process has it open: it goes on there" },
  {
    when: { flag: "set" },
    fate: "commit",
    because: "asked for; were the guest only saved, it would expect just this",
  },
  { when: {}, fate: "set aside", because: "it may have been saved to a file" },
];

export const table: Readonly<Record<Facts["event"], readonly Row[]>> = { prepare, release };

/** The row that decides, or the fact that has to be looked up first. */
export type Verdict = { readonly row: Row } | { readonly lookUp: "saved" | "look" };

/** Finds the row for these facts. Pure. */
export function decide(facts: Facts): Verdict {
  for (const row of table[facts.event]) {
    const match = matches(row.when, facts);
    if (match === true) return { row };
    if (match !== false) return { lookUp: match };
  }
  throw new Error(`no row for ${JSON.stringify(facts)}`);
}

/** Known facts first: what is not known is asked for only where all else fits. */
function matches(when: Condition, facts: Facts): boolean | "saved" | "look" {
  let unknown: "saved" | "look" | undefined;
  for (const key of Object.keys(when) as (keyof Facts)[]) {
    const wanted = when[key];
    const fact = facts[key];
    if (fact === undefined) unknown = key as "saved" | "look";
    else if (!(Array.isArray(wanted) ? wanted.includes(fact) : wanted === fact)) return false;
  }
  return unknown ?? true;
}
