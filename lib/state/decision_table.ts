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
  readonly end: "none" | "normal" | "destroyed" | "suspended" | "crashed" | "failed" | "unknown";
  /** At an end: how the guest's memory had come to the session, if it wasn't started here. */
  readonly came?: "restore" | "migration" | "not";
  /** After recovery. */
  readonly state: "plain" | "layered" | "session" | "stray" | "missing";
  /**
   * A session that was set aside is there; at a restore, `other`: one that the guest wasn't saved on, or a commit that was undone, and false
   * where the notes tell of it as another guest's alone.
   */
  readonly ended: boolean | "other";
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
  /** At an end: what the session's own start has set aside is still there. */
  readonly stays?: boolean;
  /** At an end: libvirt holds a managed save of the guest. At a start: an end has left the session to a saved guest. */
  readonly saved?: boolean;
  /** A file lies in the session's place that wasn't made when the session began, and isn't what its names say. */
  readonly replaced?: boolean;
  /** Seats stand on the layers. */
  readonly stood?: boolean;
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
  | "refuse: seats"
  | "refuse: not configured"
  | "refuse: another target"
  | "refuse: damaged"
  | "refuse: nothing to resume"
  | "refuse: not its session"
  | "refuse: no session to migrate"
  | "refuse: TPM to migrate";

export function isRefusal(decision: Decision): decision is Refusal {
  return decision.startsWith("refuse: ");
}

/** Whether an end is one of a guest that crashed. */
export function isUnclean(end: Facts["end"]): boolean {
  return unclean.some((one) => one === end);
}

type Condition = { readonly [K in keyof Facts]?: Facts[K] | readonly Facts[K][] };

export interface Row {
  readonly when: Condition;
  readonly decision: Decision;
  readonly reason: string;
}

const idle = ["plain", "layered"] as const;
const resumed = ["resume", "migrate"] as const;
const over = ["normal", "destroyed"] as const;
const unclean = ["crashed", "failed"] as const;

const other = "what is set aside is not the session that the guest was saved on";

type Line = readonly [when: Condition, decision: Decision, reason: string];

function rows(lines: readonly Line[]): readonly Row[] {
  return lines.map(([when, decision, reason]) => ({ when, decision, reason }));
}

const prepare = rows([
  // Disks that are only in the note: their entry in the configuration is gone, or the domain names another file.
  [{ listed: false, source: "other" }, "leave to a person", "that file may stand on this session"],
  [{ listed: false, source: "unreadable" }, "leave", "nobody can tell what stands on it"],

  [{ listed: true, state: "missing" }, "refuse: missing", "there is no disk"],
  [{ listed: true, state: "stray" }, "refuse: stray commit", "its layers are gone, and not by the hook"],
  [
    { listed: true, start: "migrate", state: idle },
    "refuse: no session to migrate",
    "a session can only come on shared storage",
  ],
  [{ listed: true, state: idle, look: "busy" }, "refuse: in use", "a process has it open"],
  [{ listed: true, state: idle, look: "damaged" }, "refuse: unreadable", "there is no disk to stand on"],
  [
    { listed: true, state: idle, look: "moved" },
    "refuse: moved",
    "what it stands on lies elsewhere, or is gone",
  ],

  // The guest comes with a memory of its own, and the disk has to be the one that it remembers, listed or not.
  [
    { start: "resume", state: "session", ours: true, unborn: true, ended: "other" },
    "refuse: nothing to resume",
    other,
  ],
  [
    { start: "resume", state: "session", ours: true, unborn: true },
    "put back",
    "it was saved on this session, and no start came up since",
  ],
  [
    { start: "resume", state: "session", ours: true, ended: "other", saved: false },
    "refuse: nothing to resume",
    other,
  ],
  [
    { start: "resume", state: "session", ours: true, ended: true, saved: false },
    "refuse: not its session",
    "the guest was saved on the session that is set aside, or on this one",
  ],
  [
    { start: "resume", state: "session", ours: true, look: "busy" },
    "refuse: in use",
    "its guest runs on it elsewhere",
  ],
  [{ start: "resume", state: "session", ours: true }, "keep", "it was saved on this session"],
  [{ start: "migrate", state: "session" }, "keep", "it runs on this session elsewhere"],
  [
    { start: "resume", state: "layered", ended: true, ours: false },
    "refuse: not its session",
    "another guest's session is set aside",
  ],
  [{ start: "resume", state: "layered", ended: "other" }, "refuse: nothing to resume", other],
  [{ start: "resume", state: "layered", ended: true }, "put back", "this is the session it was saved on"],
  [
    { start: "resume", state: "plain", ended: [true, "other"] },
    "refuse: nothing to resume",
    "its layers are gone",
  ],
  [
    { start: "resume", state: idle, saved: true },
    "refuse: nothing to resume",
    "the session that it was saved on is gone",
  ],
  [
    { listed: false, start: resumed, state: [...idle, "missing", "stray"] },
    "keep",
    "no longer configured, and the guest's memory expects just this",
  ],
  [
    { start: "resume", state: idle, ours: false },
    "new session",
    "nothing is noted of a session that the guest was saved on; if it was saved before its disk was listed, " +
    "`autorevert commit` keeps what it does from now on",
  ],
  [{ start: "resume", state: idle }, "new session", "after a commit, the disk is what the memory expects"],

  [
    { listed: false, state: ["plain", "layered", "session"], source: "same", stood: true },
    "refuse: seats",
    "its guest would write into what they stand on",
  ],
  [
    { listed: false, state: "session", source: "gone" },
    "leave to a person",
    "the disk was detached: another guest may have it, or another file stand on it",
  ],
  [{ listed: false, state: "session", look: "busy" }, "refuse: in use", "it may be another guest's"],
  [{ listed: false, state: "session", look: "replaced" }, "refuse: replaced", "somebody's own file"],
  [{ listed: false, state: "session", look: "moved" }, "refuse: moved", "nobody can tell which disk it is"],
  [
    { listed: false, state: "session", ours: false },
    "refuse: not ours",
    "somebody's own overlay is never thrown away",
  ],
  [
    { listed: false, state: "session", flag: "set" },
    "resume",
    "no longer configured, but to be committed, as its mark says",
  ],
  [
    { listed: false, state: "session", held: true },
    "refuse: not configured",
    "its session is, or may be, to be kept, and nobody can tell any more",
  ],
  [
    { listed: false, state: "session", saved: true },
    "refuse: not configured",
    "a guest may have been saved on it",
  ],
  [{ listed: false, state: "session" }, "discard", "no longer configured: plain from now on"],
  [{ listed: false, ended: true }, "let go", "no longer configured: plain from now on"],
  [{ listed: false, state: "layered" }, "let go", "no longer configured: plain from now on"],
  [{ listed: false }, "nothing", "no longer configured, and idle"],

  // A session at a fresh start: it died without a word, or it isn't ours.
  [{ state: "session", look: "busy" }, "refuse: in use", "a process has it open"],
  [
    { state: "session", look: "replaced" },
    "refuse: replaced",
    "somebody put another file there, or wrote to what it stands on",
  ],
  [
    { state: "session", look: "damaged", replaced: true },
    "refuse: replaced",
    "somebody put another file there",
  ],
  [{ state: "session", look: "moved" }, "refuse: moved", "it stands on another disk's file"],
  [{ state: "session", ours: false }, "refuse: not ours", "somebody's own overlay is never thrown away"],
  [
    { state: "session", flag: "unreadable" },
    "refuse: another target",
    "the flag of its target and that of the target which it had say different things",
  ],
  [{ state: "session", flag: "set", held: true, look: "damaged" }, "refuse: damaged", "it was to be kept"],
  [{ state: "session", flag: "set", held: true }, "resume", "maintenance survives a power cut"],
  [
    { state: "session", saved: true, unborn: false },
    "set aside, new session",
    "a guest was saved on it, or may have been",
  ],
  [
    { state: "session", flag: "set", unborn: false },
    "set aside, new session",
    "the flag may have been meant for this session, or for the next one",
  ],
  [{ state: "session" }, "new session", "a power cut reverts, too"],
  [{ state: idle }, "new session", "every start begins clean"],
]);

const release = rows([
  [{ state: ["plain", "layered", "stray", "missing"] }, "nothing", "no session"],
  [{ ours: false }, "nothing", "not ours to touch"],
  [{ start: "refused" }, "leave", "it may be another guest's, and live"],
  [{ start: resumed }, "leave", "the saved guest is still to be resumed"],
  [{ source: "other" }, "leave to a person", "that file may stand on this session"],
  [{ waits: true }, "leave", "it waits for a saved guest, or to be set aside"],
  [{ source: "unreadable" }, "hold", "nobody can tell what stands on it"],
  [
    { replaced: true },
    "hold",
    "another file was put in the session's place, or what it stands on was written to",
  ],
  // libvirt tells of a guest that is up before its memory has come.
  [{ came: "restore", saved: true }, "leave", "libvirt holds its managed save still"],
  [
    { came: ["restore", "migration"], end: "failed" },
    "leave",
    "its memory did not come, and the session goes on where that is",
  ],
  [
    { start: "fresh", held: true },
    "leave",
    "it is the work of an earlier session that is, or may be, to be kept",
  ],
  [{ source: "gone", look: "busy" }, "leave", "the disk was detached and is used elsewhere"],
  [{ start: "fresh", look: "busy" }, "leave", "a process has it open: a guest runs on it elsewhere"],
  [{ start: "fresh" }, "discard", "the guest never came up; the flag stays"],
  [
    { source: "gone", flag: ["clear", "unreadable"] },
    "hold",
    "the disk was detached, and another file may stand on it",
  ],
  [{ end: "suspended", flag: "set", saved: true }, "hold", "libvirt holds a managed save: it goes on here"],
  [{ end: "suspended", flag: "set" }, "pass on", "saved or migrated: it goes on, perhaps on another host"],
  [{ end: "suspended" }, "leave", "saved or migrated: it goes on"],
  [{ came: "migration", look: "busy" }, "leave", "a process has it open: the guest runs on it elsewhere"],
  // The source of a migration may end in any of these ways after its guest has gone on elsewhere.
  [
    { end: ["crashed", "failed", "destroyed"], look: "busy", flag: "set" },
    "pass on",
    "a process has it open: the guest runs on it elsewhere",
  ],
  [
    { end: ["crashed", "failed", "destroyed"], look: "busy" },
    "leave",
    "a process has it open: the guest runs on it elsewhere",
  ],
  [{ flag: "unreadable" }, "hold", "nobody can tell whether it is to be kept"],
  [{ end: unclean, flag: "set" }, "hold", "maintenance survives a crash"],
  // libvirtd and QEMU may have died just when the save was complete.
  [{ end: unclean, saved: true }, "leave", "libvirt holds a managed save"],
  [
    { end: [...over, ...unclean], flag: "clear", keeps: true, stays: true },
    "leave",
    "keep-session is set, and what is set aside stays until the next start",
  ],
  [{ end: [...over, ...unclean], flag: "clear", keeps: true }, "set aside", "keep-session is set"],
  [{ end: unclean }, "discard", "a crash reverts, too"],
  [{ end: over, flag: "set" }, "commit", "asked for"],
  [{ end: over }, "discard", "every session is forgotten"],
  // libvirt before 10.5 gives no reason, and a save looks like a shutdown.
  [{ saved: true, flag: "set" }, "hold", "libvirt holds a managed save"],
  [{ saved: true }, "leave", "libvirt holds a managed save"],
  [{ look: "busy", flag: "set" }, "pass on", "a process has it open: it goes on there"],
  [{ look: "busy" }, "leave", "a process has it open: it goes on there"],
  [{ flag: "set" }, "commit", "asked for; were the guest only saved, it would expect just this"],
  [
    { stays: true },
    "leave",
    "it may have been saved to a file, and what is set aside stays until the next start",
  ],
  [{}, "set aside", "it may have been saved to a file"],
]);

export const table: Readonly<Record<Facts["event"], readonly Row[]>> = { prepare, release };

/** A fact that is looked up only where a row asks for it. */
export type LookUp = "saved" | "look" | "replaced" | "stood";

/** The row that decides, or the fact that has to be looked up first. */
export type Verdict = { readonly row: Row } | { readonly lookUp: LookUp };

/** Finds the row for these facts. Pure. */
export function decide(facts: Facts): Verdict {
  const found = firstMatch(table[facts.event], facts);
  return "row" in found ? found : { lookUp: found.lookUp as LookUp };
}

/** The first of these rows whose conditions the facts meet, or the fact without which nobody can tell. Pure. */
export function firstMatch<R extends { readonly when: object }, F extends object>(
  rows: readonly R[],
  facts: F,
): { readonly row: R } | { readonly lookUp: keyof F } {
  for (const row of rows) {
    const match = matches(row.when as Partial<Record<keyof F, unknown>>, facts);
    if (match === true) return { row };
    if (match !== false) return { lookUp: match };
  }
  throw new Error(`no row for ${JSON.stringify(facts)}`);
}

/** Known facts first: what is not known is asked for only where all else fits. */
function matches<F extends object>(when: Partial<Record<keyof F, unknown>>, facts: F): boolean | keyof F {
  let unknown: keyof F | undefined;
  for (const key of Object.keys(when) as (keyof F)[]) {
    const wanted = when[key];
    const fact = facts[key];
    if (fact === undefined) unknown = key;
    else if (!(Array.isArray(wanted) ? wanted.includes(fact) : wanted === fact)) return false;
  }
  return unknown ?? true;
}
