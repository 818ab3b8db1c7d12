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
  readonly end: "none" | "normal" | "suspended" | "crashed" | "failed" | "unknown";
  /** At an end: how the guest's memory had come to the session, if it wasn't started here. */
  readonly came?: "restore" | "migration" | "not";
  /** After recovery. */
  readonly state: "plain" | "layered" | "session" | "stray" | "missing";
  /** A session that was set aside is there. */
  readonly ended: boolean;
  /** The note says that the session is this guest's. */
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
  /** At an end: the session waits for something else, and isn't the one that has ended. */
  readonly waits?: boolean;
  /** At an end: libvirt holds a managed save of the guest. At a start: an end has left the session to a saved guest. */
  readonly saved?: boolean;
  /** A file lies in the session's place that wasn't made when the session began, and isn't what its names say. */
  readonly replaced?: boolean;
  /**
   * What the image is at a closer look: open in a process, as its names say, an overlay on layers that lie elsewhere,
   * something else, not readable.
   */
  readonly look?: "busy" | "sound" | "moved" | "replaced" | "damaged";
}

/** What happens to the disk. */
export type Decision =
  /** A new session. */
  | "new session"
  /** The session that lies there goes on. */
  | "keep"
  /** The same, because its flag asks for it. */
  | "resume"
  /** The session that was set aside goes on. */
  | "put back"
  | "discard"
  /** The session that lies there is set aside, and a new one begins. */
  | "set aside, new session"
  /** What is left beside an idle disk goes, as far as it is not the disk. */
  | "let go"
  | "commit"
  | "set aside"
  /** It stays as it is. */
  | "leave"
  /** It goes on elsewhere, and takes its flag with it. */
  | "pass on"
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
  | "refuse: not its session"
  | "refuse: no session to migrate";

export function isRefusal(decision: Decision): decision is Refusal {
  return decision.startsWith("refuse: ");
}

type Condition = { readonly [K in keyof Facts]?: Facts[K] | readonly Facts[K][] };

export interface Row {
  readonly when: Condition;
  readonly decision: Decision;
  readonly reason: string;
}

const idle = ["plain", "layered"] as const;
const resumed = ["resume", "migrate"] as const;

const prepare: readonly Row[] = [
  // Disks that are only in the note: their entry in the configuration is gone, or the domain names another file.
  {
    when: { listed: false, source: "other" },
    decision: "leave to a person",
    reason: "that file may stand on this session",
  },
  {
    when: { listed: false, source: "unreadable" },
    decision: "leave",
    reason: "nobody can tell what stands on it",
  },
  {
    when: { listed: false, start: "resume", state: "session", ours: true, unborn: true },
    decision: "put back",
    reason: "it was saved on this session, and no start came up since",
  },
  {
    when: { listed: false, start: "resume", state: "layered", ended: true },
    decision: "put back",
    reason: "this is the session it was saved on",
  },
  { when: { listed: false, start: resumed }, decision: "keep", reason: "the guest's memory expects it" },
  {
    when: { listed: false, state: "session", source: "gone", look: "busy" },
    decision: "leave",
    reason: "the disk was detached and is used elsewhere",
  },
  {
    when: { listed: false, state: "session", source: "gone", held: true },
    decision: "leave to a person",
    reason: "another file may stand on it, or it was to be kept",
  },
  {
    when: { listed: false, state: "session", look: "busy" },
    decision: "refuse: in use",
    reason: "it may be another guest's",
  },
  {
    when: { listed: false, state: "session", look: "replaced" },
    decision: "refuse: replaced",
    reason: "somebody's own file",
  },
  {
    when: { listed: false, state: "session", look: "moved" },
    decision: "refuse: moved",
    reason: "nobody can tell which disk it is",
  },
  {
    when: { listed: false, state: "session", ours: false },
    decision: "refuse: not ours",
    reason: "somebody's own overlay is never thrown away",
  },
  {
    when: { listed: false, state: "session" },
    decision: "discard",
    reason: "no longer configured: plain from now on",
  },
  {
    when: { listed: false, ended: true },
    decision: "let go",
    reason: "no longer configured: plain from now on",
  },
  {
    when: { listed: false, state: "layered" },
    decision: "let go",
    reason: "no longer configured: plain from now on",
  },
  { when: { listed: false }, decision: "nothing", reason: "no longer configured, and idle" },

  { when: { state: "missing" }, decision: "refuse: missing", reason: "there is no disk" },
  {
    when: { state: "stray" },
    decision: "refuse: stray commit",
    reason: "its layers are gone, and not by the hook",
  },

  { when: { state: idle, look: "busy" }, decision: "refuse: in use", reason: "a process has it open" },
  {
    when: { state: idle, look: "damaged" },
    decision: "refuse: unreadable",
    reason: "there is no disk to stand on",
  },
  {
    when: { state: idle, look: "moved" },
    decision: "refuse: moved",
    reason: "what it stands on lies elsewhere, or is gone",
  },

  // The guest comes with a memory of its own, and the disk has to be the one that it remembers.
  {
    when: { start: "resume", state: "session", ours: true, unborn: true },
    decision: "put back",
    reason: "it was saved on this session, and no start came up since",
  },
  {
    when: { start: "resume", state: "session", ours: true, ended: true, saved: false, flag: "set" },
    decision: "refuse: not its session",
    reason: "the guest was saved on the session that is set aside",
  },
  {
    when: { start: "resume", state: "session", ours: true, ended: true, saved: false },
    decision: "put back",
    reason: "the guest was saved on the session that is set aside",
  },
  {
    when: { start: "resume", state: "session", ours: true },
    decision: "keep",
    reason: "it was saved on this session",
  },
  {
    when: { start: "migrate", state: "session" },
    decision: "keep",
    reason: "it runs on this session elsewhere",
  },
  {
    when: { start: "migrate" },
    decision: "refuse: no session to migrate",
    reason: "a session can only come on shared storage",
  },
  {
    when: { start: "resume", state: "layered", ended: true, ours: false },
    decision: "refuse: not its session",
    reason: "another guest's session is set aside",
  },
  {
    when: { start: "resume", state: "layered", ended: true },
    decision: "put back",
    reason: "this is the session it was saved on",
  },
  {
    when: { start: "resume", state: "plain", ended: true },
    decision: "refuse: nothing to resume",
    reason: "its layers are gone",
  },
  {
    when: { start: "resume", state: idle },
    decision: "new session",
    reason: "after a commit, the disk is what the memory expects",
  },

  // A session at a fresh start: it died without a word, or it isn't ours.
  { when: { state: "session", look: "busy" }, decision: "refuse: in use", reason: "a process has it open" },
  {
    when: { state: "session", look: "replaced" },
    decision: "refuse: replaced",
    reason: "somebody put another file there",
  },
  {
    when: { state: "session", look: "damaged", replaced: true },
    decision: "refuse: replaced",
    reason: "somebody put another file there",
  },
  {
    when: { state: "session", look: "moved" },
    decision: "refuse: moved",
    reason: "it stands on another disk's file",
  },
  {
    when: { state: "session", ours: false },
    decision: "refuse: not ours",
    reason: "somebody's own overlay is never thrown away",
  },
  {
    when: { state: "session", flag: "set", held: true, look: "damaged" },
    decision: "refuse: damaged",
    reason: "it was to be kept",
  },
  {
    when: { state: "session", flag: "set", held: true },
    decision: "resume",
    reason: "maintenance survives a power cut",
  },
  {
    when: { state: "session", saved: true, unborn: false },
    decision: "set aside, new session",
    reason: "a guest was saved on it",
  },
  {
    when: { state: "session", flag: "set", unborn: false },
    decision: "set aside, new session",
    reason: "the flag may have been meant for this session, or for the next one",
  },
  { when: { state: "session" }, decision: "new session", reason: "a power cut reverts, too" },
  { when: { state: idle }, decision: "new session", reason: "every start begins clean" },
];

const release: readonly Row[] = [
  { when: { state: ["plain", "layered", "stray", "missing"] }, decision: "nothing", reason: "no session" },
  { when: { ours: false }, decision: "nothing", reason: "not ours to touch" },
  { when: { start: "refused" }, decision: "leave", reason: "it may be another guest's, and live" },
  { when: { start: resumed }, decision: "leave", reason: "the saved guest is still to be resumed" },
  { when: { waits: true }, decision: "leave", reason: "it waits for a saved guest, or to be set aside" },
  { when: { source: "other" }, decision: "leave to a person", reason: "that file may stand on this session" },
  { when: { source: "unreadable" }, decision: "hold", reason: "nobody can tell what stands on it" },
  { when: { replaced: true }, decision: "hold", reason: "another file was put in the session's place" },
  // libvirt tells of a guest that is up before its memory has come.
  {
    when: { came: ["restore", "migration"], end: "failed" },
    decision: "leave",
    reason: "its memory did not come, and the session goes on where that is",
  },
  {
    when: { start: "fresh", held: true },
    decision: "leave",
    reason: "it is the work of an earlier session that is, or may be, to be kept",
  },
  {
    when: { source: "gone", look: "busy" },
    decision: "leave",
    reason: "the disk was detached and is used elsewhere",
  },
  { when: { start: "fresh" }, decision: "discard", reason: "the guest never came up; the flag stays" },
  {
    when: { source: "gone", flag: ["clear", "unreadable"] },
    decision: "hold",
    reason: "the disk was detached, and another file may stand on it",
  },
  {
    when: { end: "suspended", flag: "set", saved: true },
    decision: "hold",
    reason: "libvirt holds a managed save: it goes on here",
  },
  {
    when: { end: "suspended", flag: "set" },
    decision: "pass on",
    reason: "saved or migrated: it goes on, perhaps on another host",
  },
  { when: { end: "suspended" }, decision: "leave", reason: "saved or migrated: it goes on" },
  {
    when: { came: "migration", look: "busy" },
    decision: "leave",
    reason: "a process has it open: the guest runs on it elsewhere",
  },
  { when: { flag: "unreadable" }, decision: "hold", reason: "nobody can tell whether it is to be kept" },
  {
    when: { end: ["crashed", "failed"], flag: "set" },
    decision: "hold",
    reason: "maintenance survives a crash",
  },
  {
    when: { end: ["crashed", "failed", "normal"], flag: "clear", keeps: true },
    decision: "set aside",
    reason: "keep-session is set",
  },
  { when: { end: ["crashed", "failed"] }, decision: "discard", reason: "a crash reverts, too" },
  { when: { end: "normal", flag: "set" }, decision: "commit", reason: "asked for" },
  { when: { end: "normal" }, decision: "discard", reason: "every session is forgotten" },
  // libvirt before 10.5 gives no reason, and a save looks like a shutdown.
  { when: { saved: true, flag: "set" }, decision: "hold", reason: "libvirt holds a managed save" },
  { when: { saved: true }, decision: "leave", reason: "libvirt holds a managed save" },
  {
    when: { look: "busy", flag: "set" },
    decision: "pass on",
    reason: "a process has it open: it goes on there",
  },
  { when: { look: "busy" }, decision: "leave", reason: "a process has it open: it goes on there" },
  {
    when: { flag: "set" },
    decision: "commit",
    reason: "asked for; were the guest only saved, it would expect just this",
  },
  { when: {}, decision: "set aside", reason: "it may have been saved to a file" },
];

export const table: Readonly<Record<Facts["event"], readonly Row[]>> = { prepare, release };

/** A fact that is looked up only where a row asks for it. */
export type LookUp = "saved" | "look" | "replaced";

/** The row that decides, or the fact that has to be looked up first. */
export type Verdict = { readonly row: Row } | { readonly lookUp: LookUp };

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
function matches(when: Condition, facts: Facts): boolean | LookUp {
  let unknown: LookUp | undefined;
  for (const key of Object.keys(when) as (keyof Facts)[]) {
    const wanted = when[key];
    const fact = facts[key];
    if (fact === undefined) unknown = key as LookUp;
    else if (!(Array.isArray(wanted) ? wanted.includes(fact) : wanted === fact)) return false;
  }
  return unknown ?? true;
}
