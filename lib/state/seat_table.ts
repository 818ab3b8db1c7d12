/**
 * The state machine of a seat, as `decision_table.ts` is that of a managed disk: read from the top, first match wins.
 *
 * A seat has two states: idle, where its image holds nothing and need not be there, and a session, an overlay on a layer of its
 * master. A session may be set aside in both.
 */

import { type Decision, type Facts, firstMatch } from "./decision_table.ts";

/** What the decision about a seat rests on; as {@link Facts}, where it is of the same name. */
export interface SeatFacts
  extends Pick<Facts, "event" | "start" | "end" | "came" | "ended" | "ours" | "listed"> {
  /** What lies in the image's place: nothing or an empty file, an overlay on a layer of the master, anything else. */
  readonly file: "none" | "session" | "other";
  readonly keeps: boolean | "unreadable";
  /** The session was begun beside one that is set aside, by a start that never came up; at an end only where that has set it aside. */
  readonly unborn: boolean;
  /** The session that lies there is another one than the guest was saved on; at an end: than the note tells of. */
  readonly another: boolean;
  /** At a restore: nothing tells on which of the two sessions the guest was saved, or another one than this may be on the newer. */
  readonly either: boolean;
  /** At an end: what the session's own start has set aside is still there, and outlives the session. */
  readonly stays: boolean;
  readonly source: Facts["source"];
  readonly waits?: boolean;
  readonly saved?: boolean;
  /** Whether another process has the image open. */
  readonly look?: "busy" | "free";
}

/** What happens to a seat. */
export type SeatDecision =
  | Extract<
    Decision,
    | "new session"
    | "keep"
    | "put back"
    | "discard"
    | "set aside, new session"
    | "set aside"
    | "leave"
    | "leave to a person"
    | "nothing"
  >
  | SeatRefusal;

export type SeatRefusal =
  | "refuse: not a seat's"
  | "refuse: no seat any more"
  | "refuse: in use"
  | "refuse: nothing to resume"
  | "refuse: not its session"
  | "refuse: no session to migrate";

export function isSeatRefusal(decision: SeatDecision): decision is SeatRefusal {
  return decision.startsWith("refuse: ");
}

export interface SeatRow {
  readonly when: { readonly [K in keyof SeatFacts]?: SeatFacts[K] | readonly SeatFacts[K][] };
  readonly decision: SeatDecision;
  readonly reason: string;
}

const resumed = ["resume", "migrate"] as const;

type Line = readonly [when: SeatRow["when"], decision: SeatDecision, reason: string];

function rows(lines: readonly Line[]): readonly SeatRow[] {
  return lines.map(([when, decision, reason]) => ({ when, decision, reason }));
}

const prepare = rows([
  // Only in the note: the configuration does not list it as a seat any more, or the domain names another file.
  [{ listed: false, source: "other" }, "leave to a person", "that file may stand on this session"],
  [{ listed: false, source: "unreadable" }, "leave", "nobody can tell what stands on it"],
  [
    { listed: false, start: "resume", file: "other", saved: true },
    "refuse: nothing to resume",
    "another file lies in the place of the session that the guest was saved on",
  ],
  [{ listed: false, file: "other" }, "nothing", "no longer configured, and no session"],
  [{ listed: false, source: "gone" }, "leave", "the disk was detached, and another file may stand on it"],
  [
    { listed: false, start: "fresh", file: "session" },
    "refuse: no seat any more",
    "nobody would throw the next session away",
  ],
  [{ listed: false, start: "fresh" }, "nothing", "no longer configured, and idle"],

  [{ file: "other" }, "refuse: not a seat's", "somebody's own file is never thrown away"],

  // The guest comes with a memory of its own.
  [
    { start: "resume", file: "session", ended: true, unborn: true },
    "put back",
    "it was saved on this session, and no start came up since",
  ],
  [
    { start: "resume", file: "session", another: true, look: "busy" },
    "refuse: in use",
    "a process has it open",
  ],
  [
    { start: "resume", file: "session", another: true, ended: true, either: true },
    "refuse: not its session",
    "another guest may be saved on the one that lies there",
  ],
  [
    { start: "resume", file: "session", another: true, ended: true },
    "put back",
    "the guest was saved on the session that is set aside",
  ],
  [
    { start: "resume", file: "session", another: true },
    "refuse: nothing to resume",
    "another session lies in the place of its own",
  ],
  [
    { start: "resume", file: "session", ended: true, either: true },
    "refuse: not its session",
    "the guest was saved on the session that is set aside, or on this one",
  ],
  [{ start: "resume", file: "session" }, "keep", "it was saved on this session"],
  [{ start: "resume", ended: true }, "put back", "this is the session it was saved on"],
  [{ start: "resume" }, "refuse: nothing to resume", "its session is gone"],
  [{ start: "migrate", file: "session" }, "keep", "it runs on this session elsewhere"],
  [{ start: "migrate" }, "refuse: no session to migrate", "a session can only come on shared storage"],

  [{ file: "session", look: "busy" }, "refuse: in use", "a process has it open"],
  [
    { file: "session", saved: true, unborn: false },
    "set aside, new session",
    "a guest was saved on it, or may have been",
  ],
  [{ file: "session", ours: false }, "set aside, new session", "a guest may be saved on it at another host"],
  [{ file: "session" }, "new session", "its guest never came up"],
  [{}, "new session", "every start begins with the master"],
]);

const release = rows([
  [{ ours: false }, "nothing", "not ours to touch"],
  [{ start: "refused" }, "leave", "it may be another guest's, and live"],
  [{ start: resumed }, "leave", "the saved guest is still to be resumed"],
  [{ source: "other" }, "leave to a person", "that file may stand on this session"],
  [{ waits: true }, "leave", "it waits for a saved guest, or to be set aside"],
  [{ source: "unreadable" }, "leave", "nobody can tell what stands on it"],
  [
    { start: "fresh", file: "none", stays: true },
    "put back",
    "cut short, the start had set it aside, and none was begun in its place",
  ],
  [{ file: "none" }, "discard", "no session is left"],
  [{ file: "other" }, "leave", "another file was put in the session's place"],
  [{ another: true }, "leave", "another host has begun a session in its place"],
  [{ source: "gone" }, "leave", "the disk was detached, and another file may stand on it"],
  // libvirt tells of a guest that is up before its memory has come.
  [
    { came: ["restore", "migration"], end: "failed" },
    "leave",
    "its memory did not come, and the session goes on where that is",
  ],
  [{ start: "fresh", look: "busy" }, "leave", "a process has it open: a guest runs on it elsewhere"],
  [
    { start: "fresh", unborn: true },
    "put back",
    "the guest never came up: it may be saved on what this start has set aside",
  ],
  [{ start: "fresh" }, "discard", "the guest never came up"],
  [{ end: "suspended" }, "leave", "saved or migrated: it goes on"],
  [{ came: "migration", look: "busy" }, "leave", "a process has it open: the guest runs on it elsewhere"],
  [
    { end: ["crashed", "failed", "destroyed"], look: "busy" },
    "leave",
    "a process has it open: the guest runs on it elsewhere",
  ],
  // libvirtd and QEMU may have died just when the save was complete.
  [{ end: ["crashed", "failed"], saved: true }, "leave", "libvirt holds a managed save"],
  [
    { keeps: "unreadable", stays: true },
    "leave",
    "nobody can tell whether it is to be kept, and what is set aside stays until the next start",
  ],
  [{ keeps: "unreadable" }, "set aside", "nobody can tell whether it is to be kept"],
  [
    { end: ["crashed", "failed", "normal", "destroyed"], keeps: true, stays: true },
    "leave",
    "keep-session is set, and what is set aside stays until the next start",
  ],
  [{ end: ["crashed", "failed", "normal", "destroyed"], keeps: true }, "set aside", "keep-session is set"],
  [{ end: ["crashed", "failed"] }, "discard", "a crash reverts, too"],
  [{ end: ["normal", "destroyed"] }, "discard", "every session is forgotten"],
  // libvirt before 10.5 gives no reason, and a save looks like a shutdown.
  [{ saved: true }, "leave", "libvirt holds a managed save"],
  [{ look: "busy" }, "leave", "a process has it open: it goes on there"],
  [
    { stays: true },
    "leave",
    "it may have been saved to a file, and what is set aside stays until the next start",
  ],
  // Without a configuration nothing would end what is set aside.
  [{ listed: false }, "leave", "it may have been saved to a file, and is no seat any more"],
  [{}, "set aside", "it may have been saved to a file"],
]);

export const seatTable: Readonly<Record<SeatFacts["event"], readonly SeatRow[]>> = { prepare, release };

/** A fact that is looked up only where a row asks for it. */
export type SeatLookUp = "saved" | "look";

/** Finds the row for these facts, or the fact that has to be looked up first. Pure. */
export function decideSeat(facts: SeatFacts): { readonly row: SeatRow } | { readonly lookUp: SeatLookUp } {
  const found = firstMatch(seatTable[facts.event], facts);
  return "row" in found ? found : { lookUp: found.lookUp as SeatLookUp };
}
