import { UserError } from "../errors.ts";
import { quoted, shellWord } from "../text.ts";

/** What `<domain>.session` says of one disk: that its session is ours, and what it was like before. */
export interface SessionRecord {
  readonly target: string;
  /** Absolute path of the image, links resolved. */
  readonly image: string;
  /** It is a file of the guest's firmware, not a disk. */
  readonly firmware?: true;
  /** Start of the session, ISO 8601; later than all that other guests' notes say of the image at that time. */
  readonly started: string;
  /** When the last start went on with it, ISO 8601, if one has. */
  readonly continued?: string;
  /**
   * When files of this session were made, in milliseconds, that were made at another time than its start: the session that it
   * replaces, and its own where the clock of its file system differs from the host's. Where the file system tells no such time:
   * their inode numbers, negative.
   */
  readonly made?: readonly number[];
  /**
   * How far the clock of the session's file system is ahead of the host's, in milliseconds, where that is more than some seconds;
   * negative where it is behind.
   */
  readonly ahead?: number;
  /** When each of the files that are the disk was last written to as the session began, in milliseconds: nothing writes to them since then. */
  readonly below?: readonly number[];
  /** Name of the host that has begun it. */
  readonly host?: string;
  /** The session has ended: another one that lies there isn't ours. */
  readonly idle?: true;
  /** No guest is up on the session: none has come up since it began, or since an end was noted. */
  readonly over?: true;
  /** What the disk gets back when a session ends: libvirt gives the layers to its QEMU user and returns only the top. */
  readonly owner: Owner;
  /** An event held the session back, to be resumed at the next start if its flag is set then. */
  readonly held: boolean;
  /**
   * The session waits for something else than the guest's next end: for a saved guest that may come back, or to be set aside
   * at the next start; `saved` for a guest. Gone as soon as a guest is up on it.
   */
  readonly waits?: true | "saved";
  /** When the session was last written to before its guest's memory was to come back, in milliseconds: since then, it has. */
  readonly resumed?: number;
  /** The session that a guest was saved on is gone: as long as no guest has come up since, its memory must find no other one. */
  readonly lost?: true;
  /** At the last start the domain named another file for its target: that the guest is up says nothing of this session. */
  readonly detached?: true;
  /** The flag was set when the session began, or by a command while it ran: whatever is edited later, it is meant for it. */
  readonly flagged?: true;
  /** Version of the configuration whose flag is used up by a commit that isn't complete: in a later one it is another flag. */
  readonly flagVersion?: string;
  /** How the guest's memory came to the session at its last start: from a save, or from another host. */
  readonly came?: "restore" | "migration";
  /** It came by migration, for the first time or again: if the guest doesn't come, the session is its other host's. */
  readonly visits?: "first" | "again";
  /** The guest has migrated to another host, and its session with it. */
  readonly left?: true;
  /**
   * What becomes of the session that is set aside, once the guest is up: it was there before, this start sets it aside, or
   * it is another guest's. Gone from the note as soon as the guest is up.
   */
  readonly aside?: "forget" | "stay" | "others";
  /**
   * When the file of the session was made that the last start has set aside, as in `made`: as long as it has its place, it is to be.
   * A guest may have been saved on it.
   */
  readonly setsAside?: number;
  /** What the start of the session has set aside outlives the session's end, too: it stays until the next start. */
  readonly stays?: true;
  /** What is set aside is a commit that was undone. */
  readonly undone?: true;
  /** When its layers, and those that were undone, were committed, oldest first; those of one session at the same time. */
  readonly committed?: readonly CommitTime[];
  /** Of firmware: the layers of disks that its own were committed with, oldest first. */
  readonly commits?: readonly FirmwareCommit[];
  /**
   * Number of the layer that an earlier version of the hook was merging into the one below: until that is done, the lower one is
   * torn. A name beside the image says so now.
   */
  readonly merging?: number;
  /** An operation of an administrator, as long as it may not be done. */
  readonly pending?: PendingOperation;
}

/** Whether a guest may have been saved on what its last start has found set aside, or has set aside, and that start never came up. */
export function isAsideAwaited({ aside, setsAside }: SessionRecord): boolean {
  return aside !== undefined && setsAside !== undefined;
}

/** When the start was with which the session began, or has gone on since: that of all disks of one session. ISO 8601. */
export function lastStart(
  { started, continued = started }: Pick<SessionRecord, "started" | "continued">,
): string {
  return continued;
}

/** A layer by its number, when it was committed, and when the last start of the session was, ISO 8601. */
export interface CommitTime {
  readonly layer: number;
  readonly at: string;
  readonly started?: string;
  /** A layer below it was written to since, as by a blockcommit: without the layers above, the disk may not be whole. */
  readonly changed?: true;
}

/** A layer of the firmware by its number, and the paths of the disks' layers that were committed with it. */
export interface FirmwareCommit {
  readonly layer: number;
  readonly disks: readonly string[];
  /** Those of them that an undo has taken back. */
  readonly undone?: readonly string[];
}

/**
 * An order, and the top layer at that time: with another one it is done, or none of this host's any more. What is to be forgotten stands
 * on no certain one; of what is to be published it is the layer that seats are to begin with.
 */
export interface PendingOperation {
  /** `forget`: what was undone of this disk goes with what an undo takes of another one. */
  readonly verb: "undo" | "keep" | "forget" | "publish";
  readonly top: number;
  /** Size and time of that layer. */
  readonly topVersion?: string;
  /** Of a keep: size and time of what is to be kept. */
  readonly kept?: string;
  /** Of firmware: the layer that an undo goes back to, where that isn't the next one. */
  readonly to?: number;
}

/** @throws {UserError} if the text is not such a note: it is written by the hook alone, and never in part */
export function parseRecords(path: string, text: string): SessionRecord[] {
  const hint = `restore it, or move it away: mv ${shellWord(path)} ${shellWord(`${path}.unreadable`)}; ` +
    "the next start, or autorevert check, then says what to do with a session that lies there";
  return parseNote(path, text, parseRecord, hint);
}

/** @throws {UserError} if the text is no list, or `parse` throws at one of its entries */
export function parseNote<Entry>(
  path: string,
  text: string,
  parse: (value: unknown) => Entry,
  hint: string,
): Entry[] {
  try {
    const list: unknown = JSON.parse(text);
    if (!Array.isArray(list)) throw new TypeError("is no list");
    return list.map(parse);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(`${quoted(path)} is not a note of this hook: ${what}`, { cause, hint });
  }
}

function parseRecord(value: unknown): SessionRecord {
  const given = Object(value);
  const { target, image, started, made, uid, gid, mode, flagVersion, came, aside, setsAside, merging } =
    given;
  const { topVersion, kept, to } = given;
  const texts = [target, image, started, mode].every((text) => typeof text === "string");
  const numbers = [uid, gid].every((id) => Number.isInteger(id) && id >= 0);
  if (!texts || !numbers || !/^[0-7]{1,4}$/.test(mode) || !image.startsWith("/")) {
    throw new TypeError(`is no disk: ${quoted(value)}`);
  }
  const owner = { uid, gid, mode: Number.parseInt(mode, 8) };
  const verb = verbs.find((verb) => Number.isInteger(given[verb]));
  const pending = verb && {
    ...{ verb, top: given[verb] },
    ...typeof topVersion === "string" && { topVersion },
    ...typeof kept === "string" && { kept },
    ...Number.isInteger(to) && { to },
  };
  return {
    ...{ target, image, started, owner, held: given.held === true },
    ...given.firmware === true && { firmware: true },
    ...typeof given.continued === "string" && { continued: given.continued },
    ...Array.isArray(made) && { made: made.filter(Number.isFinite) },
    ...typeof given.ahead === "number" && { ahead: given.ahead },
    ...Array.isArray(given.below) && given.below.every(Number.isInteger) && { below: given.below },
    ...typeof given.host === "string" && { host: given.host },
    ...given.idle === true && { idle: true },
    ...given.over === true && { over: true },
    ...given.waits !== undefined && { waits: given.waits === "saved" ? "saved" : true },
    ...typeof given.resumed === "number" && { resumed: given.resumed },
    ...given.lost === true && { lost: true },
    ...given.detached === true && { detached: true },
    ...given.flagged === true && { flagged: true },
    ...typeof flagVersion === "string" && { flagVersion },
    ...(came === "restore" || came === "migration") && { came },
    ...given.visits !== undefined && { visits: given.visits === "again" ? "again" : "first" },
    ...given.left === true && { left: true },
    ...(aside === "forget" || aside === "stay" || aside === "others") && { aside },
    ...typeof setsAside === "number" && { setsAside },
    ...given.stays === true && { stays: true },
    ...given.undone === true && { undone: true },
    ...Array.isArray(given.committed) && { committed: given.committed.filter(isCommitTime) },
    ...Array.isArray(given.commits) && { commits: given.commits.filter(isFirmwareCommit) },
    ...Number.isInteger(merging) && { merging },
    ...pending && { pending },
  };
}

const verbs: readonly PendingOperation["verb"][] = ["undo", "keep", "forget", "publish"];

function isCommitTime(value: unknown): value is CommitTime {
  const { layer, at } = Object(value);
  return Number.isInteger(layer) && typeof at === "string";
}

function isFirmwareCommit(value: unknown): value is FirmwareCommit {
  const { layer, disks } = Object(value);
  return Number.isInteger(layer) && Array.isArray(disks) && disks.every((path) => typeof path === "string");
}

/** The text of a note; {@link parseRecords} reads it back. */
export function formatRecords(records: readonly SessionRecord[]): string {
  const list = records.map((
    { target, image, started, owner: { uid, gid, mode }, held, pending, ...rest },
  ) => ({
    ...{ target, image, started, uid, gid, mode: mode.toString(8) },
    ...held && { held },
    ...rest,
    ...pending &&
      {
        [pending.verb]: pending.top,
        ...pending.topVersion !== undefined && { topVersion: pending.topVersion },
        ...pending.kept !== undefined && { kept: pending.kept },
        ...pending.to !== undefined && { to: pending.to },
      },
  }));
  return JSON.stringify(list, keys, 2) + "\n";
}

/** In this order, whichever way a record was made: notes are told apart by their text. */
const keys = (
  "target image firmware started continued uid gid mode made ahead below host idle over held waits flagged flagVersion came " +
  "resumed visits left lost detached aside setsAside stays undone committed commits layer at changed disks merging undo keep forget publish topVersion kept to"
).split(" ");

/** Owner, group and permission bits that a disk has while it is idle. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}
