/** Every name the hook gives a file. Nothing else in the program puts a file name together. */

/** The names around one image. All lie in the image's own folder, since a hard link can't leave its file system. */
export interface Names {
  readonly image: string;
  /** A commit is decided: this inode becomes the next layer. */
  readonly committing: string;
  /** The last session, set aside until the guest is up again. */
  readonly ended: string;
  /** The mark: another name of the session's overlay, which says on every host that this session is to be committed. */
  readonly mark: string;
  /** Scratch; whoever finds it deletes it. */
  readonly scratch: string;
  /** Another name of the image, made to see whether its folder has hard links; whoever finds it deletes it. */
  readonly probe: string;
  /** An empty file: seats may stand on the layers, so the disk does not become plain. */
  readonly master: string;
  /** An empty file: seats stand on layer `number`, not on the newest one. */
  published(number: number): string;
  /** Layer `number`; 0 is the base. */
  layer(number: number): string;
  /** Another name of layer `number`, as long as it is being merged into the one below, which is half written meanwhile. */
  merge(number: number): string;
}

/** Longest name of a file, in bytes: NAME_MAX of Linux. */
const NAME_MAX = 255;
const LAYER = ".backing_file";
const COMMITTING = ".autorevert-committing";
const ENDED = ".autorevert-ended";
const MARK = ".autorevert-keep";
const MERGE = ".autorevert-merge";
const SCRATCH = ".autorevert-new";
const PROBE = ".autorevert-probe";
const MASTER = ".autorevert-master";
const PUBLISHED = ".autorevert-published.";

/** @param image absolute path, links resolved */
export function namesOf(image: string): Names {
  return {
    image,
    committing: image + COMMITTING,
    ended: image + ENDED,
    mark: image + MARK,
    scratch: image + SCRATCH,
    probe: image + PROBE,
    master: image + MASTER,
    published: (number) => `${image}${PUBLISHED}${number}`,
    layer: (number) => number === 0 ? image + LAYER : `${image}${LAYER}.${number}`,
    merge: (number) => `${image}${MERGE}.${number}`,
  };
}

/** The longest name, in bytes, that leaves room for the names beside it: of these the one of a decided commit is the longest. */
export const LONGEST_IMAGE_NAME = NAME_MAX - COMMITTING.length;

/** The same of a master, one of whose versions is published by its number. */
export const LONGEST_PUBLISHED_NAME = NAME_MAX - PUBLISHED.length - "999999999".length;

/** Length of a path's last part, in bytes. */
export function nameLength(path: string): number {
  return new TextEncoder().encode(path.slice(path.lastIndexOf("/") + 1)).length;
}

/** The number of the layer of `image` that `path` is, if it is one. */
export function layerNumber(image: string, path: string): number | undefined {
  return path === image + LAYER ? 0 : numberAfter(image + LAYER, path);
}

/** The number of the layer of `image` that is being merged, if `path` says so. */
export function mergeNumber(image: string, path: string): number | undefined {
  return numberAfter(image + MERGE, path);
}

function numberAfter(start: string, path: string): number | undefined {
  if (!path.startsWith(start)) return undefined;
  const rest = path.slice(start.length);
  return /^\.[1-9]\d{0,8}$/.test(rest) ? Number(rest.slice(1)) : undefined;
}

/** The number of the layer of `image` that a file publishes, if it is such a file. */
export function publishedNumber(image: string, path: string): number | undefined {
  if (!path.startsWith(image + PUBLISHED)) return undefined;
  const rest = path.slice(image.length + PUBLISHED.length);
  return /^(?:0|[1-9]\d{0,8})$/.test(rest) ? Number(rest) : undefined;
}

/** Whether a file belongs to `image`: the image itself, a layer, or one of the names beside them. */
export function belongsTo(image: string, path: string): boolean {
  const { committing, ended, mark, scratch, probe, master } = namesOf(image);
  return [image, committing, ended, mark, scratch, probe, master].includes(path) ||
    layerNumber(image, path) !== undefined || publishedNumber(image, path) !== undefined ||
    mergeNumber(image, path) !== undefined;
}

/** Of the names that belong to an image those that are there in some state, beside these: layers are numbered in a row. */
export function expectedNames(image: string, found: readonly string[]): string[] {
  const { layer, merge, published, committing, ended, mark, master } = namesOf(image);
  const numbers = found.map((path) => layerNumber(image, path)).filter((number) => number !== undefined);
  const neighbours = numbers.flatMap((number) => [Math.max(0, number - 1), number + 1]);
  // One publishes a layer that is there.
  const publishing = found.includes(master) ? numbers.map(published) : [];
  return [
    image,
    committing,
    ended,
    mark,
    master,
    ...publishing,
    ...[0, ...neighbours].map(layer),
    ...numbers.map(merge),
  ];
}

/** The image that a file with such a name was made for, or undefined for an ordinary name. */
export function imageOf(path: string): string | undefined {
  const number = "\\.[1-9]\\d{0,8}";
  const endings =
    `backing_file(?:${number})?|autorevert-(?:committing|ended|keep|merge${number}|new|probe|master|published\\.\\d+)`;
  return new RegExp(`^(.+)\\.(?:${endings})$`, "s").exec(path)?.[1];
}

/** The files that the configuration folder holds for one guest. */
export interface GuestNames {
  readonly config: string;
  /** The disks that have, or had, a session. */
  readonly note: string;
  /** The seats that stand, or may stand, on a layer of their master. */
  readonly seats: string;
  /** What kind of start is under way. */
  readonly starting: string;
  /** Hosts whose start was refused since another host was starting the guest. */
  readonly turnedAway: string;
  readonly lock: string;
  /** The lock of a merge. */
  readonly merging: string;
  /** Asks a merge to stop. */
  readonly stop: string;
}

/** The guest whose note a file of the configuration folder is, if it is one. */
export function guestOfNote(path: string): string | undefined {
  return /([^/]+)\.session$/s.exec(path)?.[1];
}

/** The guest whose seats a file of the configuration folder notes, if it is such a file. */
export function guestOfSeats(path: string): string | undefined {
  return /([^/]+)\.seats$/s.exec(path)?.[1];
}

export function guestNames(folder: string, domain: string): GuestNames {
  const path = (suffix: string) => `${folder}/${domain}.${suffix}`;
  return {
    config: path("json"),
    note: path("session"),
    seats: path("seats"),
    starting: path("starting"),
    turnedAway: path("turned-away"),
    lock: path("lock"),
    merging: path("merging"),
    stop: path("stop-merging"),
  };
}

/**
 * The lock of an image folder. It lies beside the configuration, because flock(2) on a folder of an NFS mount fails. Hosts that
 * share the configuration give one folder different device numbers; two with one inode number have one lock, which harms nobody.
 */
export function folderLock(configFolder: string, { ino }: { ino: number | null }): string {
  return `${configFolder}/${ino}.folder-lock`;
}

/** Where a text file is written before it takes its name. */
export function temporaryName(path: string): string {
  return path + SCRATCH;
}

/** Folder of an absolute path. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
