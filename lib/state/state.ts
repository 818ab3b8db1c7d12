import { layerNumber, mergeNumber, type Names, publishedNumber } from "./paths.ts";

/** Files of one image by path, each with its inode: two names of one file have the same number. */
export type Listing = ReadonlyMap<string, number>;

/** Numbers of the layers, lowest first; each stands on the one before it. */
export type Layers = readonly [number, ...number[]];

/** What the names say of those who stand on the layers from elsewhere. */
interface Master {
  /** Seats may stand on the layers: one of them alone stays a layer, too. */
  readonly master?: true;
  /** Number of the layer that seats stand on, where that is not the newest one. */
  readonly published?: number;
}

/**
 * What the names on disk say. Where there are layers, they are the disk, and the image is disposable. Where these are `torn`, a
 * merge of the two lowest was begun and isn't done: the lower one is half written, and only the view through the upper one is right.
 */
export type State =
  /** Idle; the image is the disk. */
  | { readonly kind: "plain"; readonly ended: boolean }
  /** Idle; image and top layer are one file. */
  | {
    readonly kind: "layered";
    readonly layers: Layers;
    readonly ended: boolean;
    readonly torn?: true;
  } & Master
  /**
   * The image is a session: running, or died without a word; `marked` if it is to be committed, wherever it ends. Or it is what somebody
   * has put there, as a lower layer is.
   */
  | {
    readonly kind: "session";
    readonly layers: Layers;
    readonly ended: boolean;
    readonly marked?: true;
    readonly torn?: true;
  } & Master
  /** A commit was decided and not finished. */
  | {
    readonly kind: "committing";
    readonly layers: Layers;
    readonly ended: boolean;
    readonly marked?: true;
    readonly torn?: true;
  } & Master
  /** Layers without an image that stands for them. */
  | { readonly kind: "headless"; readonly layers: Layers; readonly ended: boolean; readonly torn?: true }
    & Master
  /** A decided commit, but no layer that it could stand on: not the hook's doing. */
  | { readonly kind: "stray" }
  /** Neither image nor layer. */
  | { readonly kind: "missing" };

/** Reads the state off the names. Pure; every listing has exactly one state. */
export function parse(names: Names, listing: Listing): State {
  const image = listing.get(names.image);
  const ended = listing.has(names.ended);
  const [lowest, ...higher] = [...listing.keys()]
    .map((path) => layerNumber(names.image, path))
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);

  if (lowest === undefined) {
    if (listing.has(names.committing)) return { kind: "stray" };
    return image === undefined ? { kind: "missing" } : { kind: "plain", ended };
  }
  const layers: Layers = [lowest, ...higher];
  const isTorn = higher[0] !== undefined && listing.has(names.merge(higher[0]));
  const published = publishedOf(names, listing);
  const isMaster = listing.has(names.master) || published !== undefined;
  const has = {
    layers,
    ended,
    ...isTorn && { torn: true } as const,
    ...isMaster && { master: true } as const,
    ...published !== undefined && { published },
  };
  const mark = listing.get(names.mark);
  const marked = (path: string) =>
    mark !== undefined && mark === listing.get(path) && { marked: true } as const;
  if (listing.has(names.committing)) return { kind: "committing", ...has, ...marked(names.committing) };
  if (image === undefined) return { kind: "headless", ...has };
  if (image === listing.get(names.layer(topOf(layers)))) return { kind: "layered", ...has };
  return { kind: "session", ...has, ...marked(names.image) };
}

/** Number of the layer that is published; of several, which a backup that is put back may leave, the lowest. */
export function publishedOf(names: Names, listing: Listing): number | undefined {
  return allPublished(names, listing)[0];
}

/** The numbers of all that are named as published, lowest first. */
export function allPublished({ image }: Names, listing: Listing): number[] {
  return [...listing.keys()].map((path) => publishedNumber(image, path))
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
}

/** The names of merges, done or not. */
export function mergeMarks({ image }: Names, listing: Listing): string[] {
  return [...listing.keys()].filter((path) => mergeNumber(image, path) !== undefined);
}

/** Whether a session, or a commit that was undone, is set aside. */
export function hasEnded(state: State): boolean {
  return "ended" in state && state.ended;
}

export function topOf(layers: Layers): number {
  return layers.at(-1)!;
}
