/**
 * Who stands on the layers of a master: by the notes of all guests, and by the images themselves, where a note is lost or another
 * host's.
 */

import type { EventContext } from "./context.ts";
import { mayBeStarting } from "./seat_guest.ts";
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
import type { SeatRecord } from "../state/seat_record.ts";
import { type Layers, topOf } from "../state/state.ts";
import { listed, quoted } from "../text.ts";

/** A file that stands on a layer, or is about to. */
export interface Standing {
  /** Undefined if no note tells whose it is. */
  readonly domain: string | undefined;
  readonly file: string;
  /** Number of the layer; undefined where it can't be told. */
  readonly layer: number | undefined;
  readonly how: How;
}

type How =
  /** Its guest runs on it, or died without a word. */
  | "runs"
  | "saved"
  /** Its guest runs on it at another host. */
  | "elsewhere"
  | "set aside"
  /** No note says what it is. */
  | "unknown"
  /** The guest's note can't be read. */
  | "unreadable";

/** @throws {UserError} if not all images can be looked at: then nobody can tell */
export function standingOn(names: Names, { host }: Pick<EventContext, "host">): Standing[] {
  const { imageFolders, configFolder } = host.settings;
  const noted = allSeats(configFolder).flatMap(({ domain, records }): Standing[] => {
    if (records === "unreadable") {
      return [{ domain, file: guestNames(configFolder, domain).seats, layer: undefined, how: records }];
    }
    return records.filter((record) => isOn(names, record)).flatMap((record) => {
      // What has left ends elsewhere, and then there is no file.
      const isOver = record.waits && isGone(record, host);
      const isSaved = record.waits && !mayBeStarting(domain, { host });
      const how = record.left && isSaved ? "elsewhere" : isSaved ? "saved" : "runs";
      return isOver ? [] : [{ domain, file: record.image, layer: record.layer, how }];
    });
  });
  const folders = [...new Set([...imageFolders, folderOf(names.image)])]
    .filter((folder, _, all) => !all.some((other) => folder.startsWith(`${other}/`)));
  const found = folders.flatMap(files.walk).flatMap((file): Standing[] => {
    if (belongsTo(names.image, file)) return [];
    const layer = layerStoodOn(names, host.backingOf(file));
    if (layer === undefined) return [];
    const image = imageOf(file) ?? file;
    const theirs = noted.filter((one) => one.file === image);
    if (theirs.some((one) => one.layer === layer && (file === image || file === namesOf(image).scratch))) {
      return [];
    }
    const how = file === namesOf(image).ended ? "set aside" : "unknown";
    return [{ domain: theirs[0]?.domain, file, layer, how }];
  });
  return [...noted, ...found];
}

/** Whether the session that waits is there no more: it has ended elsewhere. Where its folder may be missing, nobody can tell. */
function isGone({ image, master, layer, left }: SeatRecord, { backingOf }: EventContext["host"]): boolean {
  const { ended } = namesOf(image);
  const listing = files.listIfThere(image);
  const stands = (path: string) =>
    listing.has(path) && layerStoodOn(namesOf(master), backingOf(path)) === layer;
  return (left === true || folderOf(image) === folderOf(master)) && !stands(image) && !stands(ended);
}

/** Whether a record is of a seat of this master. */
export function isOn({ image }: Names, { master }: SeatRecord): boolean {
  const name = (path: string) => path.slice(path.lastIndexOf("/"));
  return image === master ||
    name(image) === name(master) && files.sameFile(folderOf(image), folderOf(master));
}

/** The number of the image's layer that a backing file's name leads to; of QEMU's `json:` any name in it may be one. */
export function layerStoodOn({ image }: Names, backing: string | undefined): number | undefined {
  if (backing === undefined) return undefined;
  const isJson = backing.startsWith("json:");
  for (const path of isJson ? backing.split('"') : [backing]) {
    const at = path.lastIndexOf("/");
    const own = image.slice(image.lastIndexOf("/"));
    const number = layerNumber(own, `/${path.slice(at + 1)}`);
    if (number === undefined) continue;
    const folder = folderOf(path);
    if (isJson || folder === folderOf(image) || files.sameFile(folder, folderOf(image))) return number;
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
  return standing.filter(({ layer, how }) => layer === lower || how !== "saved" && how !== "set aside");
}

/** Those that keep the newest commit from being taken back. */
export function onTop(standing: readonly Standing[], { layers }: { readonly layers: Layers }): Standing[] {
  return standing.filter(({ layer }) => layer === undefined || layer === topOf(layers));
}

const ways: Readonly<Record<How, string>> = {
  runs: "runs",
  saved: "is saved",
  elsewhere: "runs on another host",
  "set aside": "has a session set aside",
  unknown: "stands there, and no note tells of it",
  unreadable: "has a note of its seats that can't be read",
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
  state: { readonly layers: Layers; readonly master?: true; readonly published?: number },
  context: Pick<EventContext, "host">,
): UserError | undefined {
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
  const files = [...new Set(blocking.filter(({ how }) => how === "unknown").map(({ file }) => file))];
  return new UserError(
    `the merge waits for the end of those who stand on the layers: ${tellStanding(blocking)}`,
    {
      healedBy: "event",
      ...files.length > 0 &&
        { hint: `nobody knows of ${listed(files)}: end what has them open, and remove them` },
    },
  );
}
