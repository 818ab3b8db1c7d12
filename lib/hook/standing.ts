/**
 * Who stands on the layers of a master: by the notes of all guests, and by the images themselves, where a note is lost or another
 * host's.
 */

import type { EventContext } from "./context.ts";
import { guestOf, imagesIn, rawImages, readableDisksIn } from "./definitions.ts";
import { sourceOfTarget } from "./image_path.ts";
import { keptForAnother } from "./kept_commits.ts";
import { isComingUp, isOfAnotherHost, mayRun } from "./seat_guest.ts";
import { UserError } from "../errors.ts";
import * as files from "../host/files.ts";
import { allSeats } from "../host/seat_records.ts";
import {
  belongsTo,
  folderOf,
  guestNames,
  imageOf,
  layerNumber,
  type Names,
  namesOf,
} from "../state/paths.ts";
import { isSameTime } from "../state/seat.ts";
import type { SeatRecord } from "../state/seat_record.ts";
import { type Layers, topOf } from "../state/state.ts";
import { listed, quoted, recoverCommand, shellWord } from "../text.ts";

/** A file that stands on a layer, or is about to. */
export interface Standing {
  /** Undefined if no note tells whose it is. */
  readonly domain: string | undefined;
  /** Of that guest's disks, as far as it is told. */
  readonly target: string | undefined;
  readonly file: string;
  /** Number of the layer; undefined where it can't be told. */
  readonly layer: number | undefined;
  readonly how: How;
  /** Name of the other host that has noted it, if it was one: that may be this one by an earlier name. */
  readonly by?: string | undefined;
}

type How =
  /** Its guest runs on it, or died without a word a short time ago. */
  | "runs"
  | "saved"
  /** Its guest runs on it at another host. */
  | "elsewhere"
  /** Its guest is shut off, and no end of it has told what becomes of the session. */
  | "left"
  /** The same, and it is noted as over: its guest's next start sets it aside. */
  | "over"
  | "set aside"
  /** No note says what it is. */
  | "unknown"
  /** The guest's note can't be read. */
  | "unreadable note"
  /** It is a file or folder that can't be read: it may stand on any layer. */
  | "unreadable file";

/** All who stand on a master's layers, each file once; with what can't be read, since it may do so. */
export function standingOn(names: Names, { host }: Pick<EventContext, "host">): Standing[] {
  const { configFolder } = host.settings;
  const noted = allSeats(configFolder).flatMap(({ domain, records }): Standing[] =>
    records === "unreadable"
      ? [{
        domain,
        target: undefined,
        file: guestNames(configFolder, domain).seats,
        layer: undefined,
        how: "unreadable note",
      }]
      : records.filter((record) => isOn(names, record) && !isOver(record, host)).map((record) => ({
        ...{ domain, target: record.target, file: record.image, layer: record.layer },
        how: howNoted(record, domain, { host }),
        ...isOfAnotherHost(record, { host }) && !record.left && { by: record.host },
      }))
  );
  return [...noted, ...foundOn(names, noted, host)];
}

function howNoted(record: SeatRecord, domain: string, context: Pick<EventContext, "host">): How {
  if (isComingUp(domain, context)) return "runs";
  if (record.waits) {
    return record.left || isWrittenSince(record) ? "elsewhere" : record.beside ? "over" : "saved";
  }
  if (isOfAnotherHost(record, context)) return "elsewhere";
  return mayRun(record, context) ? "runs" : "left";
}

/** Whether a session was written to since its guest was saved: that was restored at another host. */
function isWrittenSince({ image, written }: SeatRecord): boolean {
  return written !== undefined && !isSameTime(files.lstat(image)?.mtime?.getTime(), written);
}

/** Files that stand on a layer, besides those of which is noted just that. */
function foundOn(names: Names, noted: readonly Standing[], host: EventContext["host"]): Standing[] {
  const unread = (file: string): Standing => ({
    ...{ domain: undefined, target: undefined, file, layer: undefined },
    how: "unreadable file",
  });
  const closed = new Set<string>();
  const folders = [...new Set([...host.settings.imageFolders, folderOf(names.image)])];
  const images = [...noted.map(({ file }) => file), ...imagesIn(folders, { host })].map(
    files.inResolvedFolder,
  );
  const own = [...files.listIfThere(names.image).keys()];
  const paths = files.walk(folders, [...own, ...images.flatMap(sessionsOf)], (folder) => closed.add(folder));
  // A folder may be seen by a second path, of a bind mount or a link: no file is another one for that.
  const known = new Map(
    noted.flatMap(({ file }) => sessionsOf(file)).map((path) => [files.identity(path), path]),
  );
  const seen = new Set(own.map(files.identity));
  const found = paths.flatMap((path): Standing[] => {
    if (belongsTo(names.image, path)) return [];
    const layer = layerBelow(names, path, host);
    if (layer === undefined) return [];
    if (layer === "unreadable") return [unread(path)];
    const identity = files.identity(path);
    if (identity === undefined || seen.has(identity)) return [];
    seen.add(identity);
    const file = known.get(identity) ?? path;
    const image = imageOf(file) ?? file;
    const { scratch, ended } = namesOf(image);
    const theirs = noted.filter((one) => one.file === image);
    if (theirs.some((one) => one.layer === layer) && (file === image || file === scratch)) return [];
    const { domain, target } = theirs[0] ?? {};
    return [{ domain, target, file, layer, how: file === ended ? "set aside" : "unknown" }];
  });
  const raw = found.some(({ how }) => how === "unknown") ? rawImages({ host }) : undefined;
  return [...found.filter(({ file }) => !raw?.has(file)), ...[...closed].map(unread)];
}

/** Where sessions of an image may lie. */
function sessionsOf(image: string): string[] {
  const { scratch, ended } = namesOf(image);
  return [image, scratch, ended];
}

/** The number of the layer that a file stands on; undefined where it stands on none. */
function layerBelow(
  names: Names,
  file: string,
  { backingOf }: EventContext["host"],
): number | "unreadable" | undefined {
  let backing: string | undefined;
  try {
    backing = backingOf(file);
  } catch {
    return "unreadable";
  }
  return layerStoodOn(names, backing);
}

/**
 * Whether the session that waits is there no more: it has ended elsewhere, and then there is no file. Where its folder may be
 * missing, nobody can tell.
 */
function isOver({ image, master, layer, left, waits }: SeatRecord, host: EventContext["host"]): boolean {
  if (!waits || !left && folderOf(image) !== folderOf(master)) return false;
  const own = [image, namesOf(image).ended];
  // What can't be read, or is a link to where a file was moved, stands in the way by itself.
  if (own.some((path) => files.lstat(path)?.isSymlink)) return false;
  return !own.some((path) => files.lstat(path)?.isFile && layerBelow(namesOf(master), path, host) === layer);
}

/** Whether a record is of a seat of this master. */
export function isOn({ image }: Names, { master }: SeatRecord): boolean {
  const name = (path: string) => path.slice(path.lastIndexOf("/"));
  return image === master ||
    name(image) === name(master) &&
      (!files.isSeen(master) || files.sameFile(folderOf(image), folderOf(master)));
}

/** The number of the image's layer that a backing file's name leads to; of QEMU's `json:` any name in it may be one. */
export function layerStoodOn({ image }: Names, backing: string | undefined): number | undefined {
  if (backing === undefined) return undefined;
  const isJson = backing.startsWith("json:");
  const numberOf = (path: string): number | undefined => {
    const own = image.slice(image.lastIndexOf("/"));
    const number = layerNumber(own, path.slice(path.lastIndexOf("/")));
    if (number === undefined) return undefined;
    const folder = folderOf(path);
    // Another host may have the folder at another place, where this one has nothing, or something else.
    const isElsewhere = folder.startsWith("/") && !files.isSeen(path);
    return isJson || isElsewhere || folder === folderOf(image) || files.sameFile(folder, folderOf(image))
      ? number
      : undefined;
  };
  for (const path of isJson ? backing.split('"') : [backing]) {
    // A name of its own may be a symbolic link to a layer.
    const number = numberOf(path) ?? numberOf(files.resolveIfThere(path) ?? path);
    if (number !== undefined) return number;
  }
  return undefined;
}

/**
 * Those that keep the lowest two layers from becoming one: who stands on the lower one would see it change. A guest that runs has
 * all layers below its own open, too.
 */
export function inTheWay(
  standing: readonly Standing[],
  { layers: [lower] }: { readonly layers: Layers },
): Standing[] {
  const idle: readonly How[] = ["saved", "over", "set aside"];
  return standing.filter(({ layer, how }) => layer === lower || !idle.includes(how));
}

/** Those that keep the newest commit from being taken back. */
function onTop(standing: readonly Standing[], { layers }: { readonly layers: Layers }): Standing[] {
  return standing.filter(({ layer }) => layer === undefined || layer === topOf(layers));
}

const ways: Readonly<Record<How, string>> = {
  runs: "runs",
  saved: "is saved",
  elsewhere: "runs on another host",
  left: "has left a session behind",
  over: "has left a session behind",
  "set aside": "has a session set aside",
  unknown: "stands there, and no note tells of it",
  "unreadable note": "has a note of its seats that can't be read",
  "unreadable file": "can't be read",
};

/** Who it is and how, for a message. */
export function tellStanding(standing: readonly Standing[]): string {
  const told = standing.map(({ domain, file, how }) =>
    domain === undefined || how === "unknown"
      ? `${quoted(file)} ${ways[how]}`
      : `${quoted(domain)} ${ways[how]}`
  );
  const most = 5;
  const unique = [...new Set(told)];
  return unique.length > most
    ? `${unique.slice(0, most).join(", ")} and ${unique.length - most} more`
    : unique.join(", ");
}

/** Why a merge has to wait, if it has. */
export function mergeBlock(
  names: Names,
  state: {
    readonly layers: Layers;
    readonly master?: true;
    readonly published?: number;
    readonly torn?: true;
  },
  context: Pick<EventContext, "host" | "domain">,
): UserError | undefined {
  const kept = state.torn ? undefined : keptForAnother(names, state, context);
  if (kept !== undefined) return kept;
  if (!state.master) return undefined;
  const [lower] = state.layers;
  if (state.published === lower) {
    return new UserError(`the merge waits: ${quoted(names.layer(lower))} is published`, {
      hint: "publish a later version: autorevert publish DOMAIN",
      healedBy: "event",
    });
  }
  const blocking = inTheWay(standingOn(names, context), state);
  if (blocking.length === 0) return undefined;
  const ways = [
    wayOut(blocking, context),
    blocking.some(({ how }) => how === "elsewhere")
      ? "an end at another host starts no merge here: after it, autorevert merge DOMAIN"
      : undefined,
  ].filter((way) => way !== undefined);
  return new UserError(
    `the merge waits for the end of those who stand on the layers: ${tellStanding(blocking)}`,
    { healedBy: "event", hint: ways.length > 0 ? ways.join("; ") : undefined },
  );
}

/** Why the newest commit can't be taken back, if sessions stand on it. */
export function topBlock(
  names: Names,
  state: { readonly layers: Layers },
  context: Pick<EventContext, "host">,
): UserError | undefined {
  const standing = onTop(standingOn(names, context), state);
  if (standing.length === 0) return undefined;
  const owners = standing.map((one) =>
    // What no note tells of may be another host's.
    one.how === "unreadable note" || one.how === "unknown" ? undefined : seatOf(one, context)
  );
  const seats = [...new Set(owners.flatMap((seat) => seat?.map(shellWord).join(" ") ?? []))].join(", ");
  // What is set aside and no guest's is as unknown as all else that nobody tells of.
  const others = standing.filter((_, index) => owners[index] === undefined)
    .map((one) => one.how === "set aside" ? { ...one, how: "unknown" as const } : one);
  const ways = [
    seats && `end them first: virsh shutdown GUEST; a session that was saved, set aside or died: ` +
      `autorevert recover --discard GUEST TARGET; they are ${seats}`,
    wayOut(others, context),
  ];
  return new UserError(`sessions stand on the commit: ${tellStanding(standing)}`, {
    hint: ways.filter(Boolean).join("; "),
  });
}

/** The guest and the target of what stands there, where no note tells of it by the guest's definition. */
function seatOf(
  { domain, target, file }: Standing,
  context: Pick<EventContext, "host">,
): readonly string[] | undefined {
  if (domain !== undefined && target !== undefined) {
    return [domain, seatName({ domain, target, file }, context)];
  }
  const image = imageOf(file) ?? file;
  const guest = domain ?? guestOf(image, context);
  if (guest === undefined) return undefined;
  const disk = (readableDisksIn(context.host.settings.definedFolder, guest) ?? [])
    .find(({ file }) => file !== undefined && files.sameFile(files.resolveIfThere(file) ?? file, image));
  return [guest, ...disk ? [disk.target] : []];
}

/** What a command names to mean a session: its target, or its image where the domain has another one for that. */
export function seatName(
  { domain, target, file }: { readonly domain: string; readonly target: string; readonly file: string },
  { host: { settings } }: Pick<EventContext, "host">,
): string {
  const image = imageOf(file) ?? file;
  const disks = readableDisksIn(settings.definedFolder, domain) ?? [];
  return sourceOfTarget({ target, image }, disks) === "same" ? target : image;
}

/** What an administrator can do about those that nothing ends by itself; undefined where there is none. */
export function wayOut(
  blocking: readonly Standing[],
  context: Pick<EventContext, "host">,
): string | undefined {
  const which = (how: How) => blocking.filter((one) => one.how === how);
  const names = (how: How) => listed([...new Set(which(how).map(({ file }) => file))]);
  const ends = [...which("left"), ...which("over")].map(({ domain, target, file }) =>
    recoverCommand("--discard", domain!, seatName({ domain: domain!, target: target!, file }, context))
  );
  const ways = [
    ...[...new Set(ends)].map((end) => `unless its guest was saved, end the session: ${end}`),
    ...which("elsewhere").flatMap(({ domain, target, file, by }) =>
      by === undefined ? [] : [
        `unless ${quoted(domain!)} runs or was saved at the host ${quoted(by)}, end the session: ${
          recoverCommand("--discard", domain!, seatName({ domain: domain!, target: target!, file }, context))
        }`,
      ]
    ),
    ...which("unreadable note").map(({ domain }) =>
      `see what is wrong with the note: autorevert check ${shellWord(domain!)}`
    ),
    ...which("unreadable file").length > 0
      ? [`nobody can tell what ${names("unreadable file")} stands on: see why it can't be read`]
      : [],
    ...which("unknown").length > 0
      ? [
        `no note here tells whose ${
          names("unknown")
        } is: a session of another host goes with its guest's end; ` +
        "a copy of one is in the way until it is moved out of the image folders, is removed, " +
        "or stands on nothing (qemu-img rebase -f qcow2 -b '' FILE)",
      ]
      : [],
  ];
  return ways.length > 0 ? ways.join("; ") : undefined;
}
