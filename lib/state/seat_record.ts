import { type Owner, parseNote } from "./session_record.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * What `<domain>.seats` says of one disk: on which layer of its master a session of it stands. As long as it says so, that layer
 * neither changes nor loses its name.
 */
export interface SeatRecord {
  readonly target: string;
  /** Absolute path of the seat's own image, links resolved. */
  readonly image: string;
  /** Absolute path of the master's image, links resolved. */
  readonly master: string;
  /** Number of the master's layer. */
  readonly layer: number;
  /** Start of the session, ISO 8601. */
  readonly started: string;
  /** When the last start went on with it, ISO 8601, if one has. */
  readonly continued?: string;
  /** Name of the host of its last start: two may have one folder of configurations. */
  readonly host?: string;
  /** What the overlay of the next session belongs to. */
  readonly owner: Owner;
  /** When the session's file was made, or its inode's number, as of a disk's. Undefined until the image has its name. */
  readonly made?: number;
  /** The session waits for a saved guest, or for one that has gone to another host. */
  readonly waits?: true;
  /** At the last start the domain named another file for its target, or none: that the guest is up says nothing of this session. */
  readonly detached?: true;
  /** Of the session of a guest that was saved here: its last write, in milliseconds, by which it is told from another one. */
  readonly written?: number;
  /** When the session was last written to before its guest's memory was to come back, in milliseconds: since then, it has. */
  readonly resumed?: number;
  /** How the guest's memory came to the session at its last start. */
  readonly came?: "restore" | "migration";
  /** It came by migration, for the first time or again: if the guest doesn't come, the session is its other host's. */
  readonly visits?: "first" | "again";
  /** The guest runs on it at another host, or has ended there. */
  readonly left?: true;
  /**
   * What becomes of the session that is set aside, once the guest is up: it was there before, or this start sets it aside. Gone
   * from the record as soon as the guest is up.
   */
  readonly aside?: "forget" | "stay";
  /** Of the session that its start has set aside: its last write, in milliseconds; once the guest is up only where that stays. */
  readonly setsAside?: number;
  /** That outlives the session's end: a guest is saved on it, or may be, here or at another host. */
  readonly stays?: true;
  /**
   * It waits to be set aside by the next start: its end was no save, or nobody can tell whether it was one, and has left it in place
   * beside what its start has set aside; or its guest died without a word.
   */
  readonly beside?: "ended" | "unknown" | "died";
}

/** @throws {UserError} if the text is not such a note: it is written by the hook alone, and never in part */
export function parseSeats(path: string, text: string): SeatRecord[] {
  const hint = `restore it, or with the guest shut off and not saved: rm ${shellWord(path)}`;
  return parseNote(path, text, parseSeat, hint);
}

function parseSeat(value: unknown): SeatRecord {
  const {
    target,
    image,
    master,
    layer,
    started,
    continued,
    uid,
    gid,
    mode,
    host,
    made,
    waits,
    detached,
    resumed,
    written,
    came,
    visits,
    left,
    aside,
    setsAside,
    stays,
    beside,
  } = Object(
    value,
  );
  const texts = [target, image, master, started, mode].every((text) => typeof text === "string");
  const numbers = [layer, uid, gid].every((id) => Number.isInteger(id) && id >= 0);
  if (!texts || !numbers || !/^[0-7]{1,4}$/.test(mode) || !image.startsWith("/") || !master.startsWith("/")) {
    throw new TypeError(`is no seat: ${quoted(value)}`);
  }
  return {
    ...{ target, image, master, layer, started, owner: { uid, gid, mode: Number.parseInt(mode, 8) } },
    ...typeof continued === "string" && { continued },
    ...typeof host === "string" && { host },
    ...typeof made === "number" && { made },
    ...waits === true && { waits },
    ...detached === true && { detached },
    ...typeof resumed === "number" && { resumed },
    ...typeof written === "number" && { written },
    ...(came === "restore" || came === "migration") && { came },
    ...visits !== undefined && { visits: visits === "again" ? "again" : "first" },
    ...left === true && { left },
    ...(aside === "forget" || aside === "stay") && { aside },
    ...typeof setsAside === "number" && { setsAside },
    ...stays === true && { stays },
    ...(beside === "ended" || beside === "unknown" || beside === "died") && { beside },
  };
}

/** The text of a note; {@link parseSeats} reads it back. */
export function formatSeats(records: readonly SeatRecord[]): string {
  const list = records.map((
    { target, image, master, layer, started, owner: { uid, gid, mode }, ...rest },
  ) => ({
    ...{ target, image, master, layer, started, uid, gid, mode: mode.toString(8) },
    ...rest,
  }));
  return JSON.stringify(list, undefined, 2) + "\n";
}
