import { type Finding, finding } from "./finding.ts";
import { type Guest, managedGuests } from "./guest.ts";
import { rawImages } from "../hook/definitions.ts";
import { rebaseToNothing } from "../hook/image_errors.ts";
import { restoreMasterMarks } from "../hook/master_mark.ts";
import { isLayerName } from "../hook/seat_observe.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { isMaster, stateOf } from "../state/observed_disk.ts";
import { belongsTo, folderOf, imageOf, type Names, namesOf } from "../state/paths.ts";
import { parse } from "../state/state.ts";
import { listed, quoted, shellWord, size } from "../text.ts";

/** What an empty overlay takes, in bytes: 200 KiB, and more the larger the disk is. */
const OVERLAY = 1024 * 1024;

/** Sessions and commits grow where they lie, and a merge may need as much again. */
export async function spaceFindings(guests: readonly Guest[], host: Host): Promise<Finding[]> {
  const held = new Map<string, number>();
  for (const { disk } of guests.flatMap(({ disks }) => disks)) {
    // A folder that isn't there has nothing in it.
    if (disk === undefined || disk.listing.size === 0) continue;
    const state = stateOf(disk);
    const { image, ended, layer } = disk.names;
    const above = "layers" in state ? state.layers.slice(1).map(layer) : [];
    const paths = [
      ...above,
      ...state.kind === "session" ? [image] : [],
      ...disk.listing.has(ended) ? [ended] : [],
    ];
    const bytes = paths.reduce((sum, path) => sum + (files.lstat(path)?.blocks ?? 0) * 512, 0);
    held.set(folderOf(image), (held.get(folderOf(image)) ?? 0) + bytes);
  }
  const found: Finding[] = [];
  for (const [folder, bytes] of held) {
    const free = await host.freeBytes(folder);
    const left = `${quoted(folder)} has ${size(free)} left`;
    if (free < OVERLAY) {
      found.push(
        finding("error", {
          message: `${left}: no start can make its overlay`,
          hint: `make room for ${size(Math.max(bytes, OVERLAY))}: df -h ${shellWord(folder)}`,
        }),
      );
    } else if (free < bytes) {
      found.push(
        finding("warning", {
          message: `${left}, and its sessions and commits hold ${size(bytes)}: merging could need as much`,
          hint: `make room for ${size(bytes - free)}; a guest that runs out of room is paused by QEMU`,
        }),
      );
    }
  }
  return found;
}

/** File systems on which the program was tried, by what statfs(2) calls them: docs/reliability.md says how. */
const triedStores: Readonly<Record<string, number>> = {
  ext4: 0xef53,
  xfs: 0x58465342,
  btrfs: 0x9123683e,
  tmpfs: 0x01021994,
  nfs: 0x6969,
};

const storeNames: Readonly<Record<number, string>> = {
  0x794c7630: "an overlay file system (it keeps hard links with index=on only)",
  0x65735546: "a FUSE file system (of these GlusterFS was tried, with enable-ino32)",
  0x2fc12fc1: "ZFS",
  0x00c36400: "CephFS",
  0x01161970: "GFS2",
  0x7461636f: "OCFS2",
  0xff534d42: "CIFS",
  0xfe534d42: "SMB",
  0xf2f52010: "F2FS",
  0xca451a4e: "bcachefs",
};

/** Folders of images on file systems of which nobody has seen how they behave. */
export async function untriedStores(guests: readonly Guest[], host: Host): Promise<Finding[]> {
  const found: Finding[] = [];
  const disks = guests.flatMap(({ disks }) => disks).flatMap(({ disk }) => disk ?? []);
  const images = disks.filter(({ listing }) => listing.size > 0).map(({ names }) => names.image);
  for (const folder of new Set(images.map(folderOf))) {
    const type = await host.fileSystem(folder);
    if (Object.values(triedStores).includes(type)) continue;
    const name = storeNames[type] ?? `a file system of type 0x${type.toString(16)}`;
    found.push(
      finding("note", {
        message: `${quoted(folder)} is on ${name}, where this program was not tried`,
        hint: "before you rely on it, see there with a guest that you can lose: a revert, a commit, an undo",
      }),
    );
  }
  return found;
}

/** Images that stand on a managed one, which are not seats: a commit changes what they stand on. */
export function clonesOn(guests: readonly Guest[], host: Host): Finding[] {
  const { settings, backingOf } = host;
  const managed = guests.flatMap(({ domain, disks }) =>
    disks.flatMap(({ target, disk }) => disk?.listed && !isMaster(disk) ? { domain, target, disk } : [])
  );
  if (managed.length === 0) return [];
  const raw = rawImages({ host });
  const lost = new Set(
    managed.map(({ disk }) => disk).filter((disk) => restoreMasterMarks([disk], { host }).stages.length > 0),
  );
  return files.walk(settings.imageFolders, [], () => {}).flatMap(
    (file) => {
      const backing = backingOrNone(file, backingOf);
      if (backing === undefined || raw.has(file)) return [];
      return managed.filter(({ disk: { names, listing } }) =>
        !belongsTo(names.image, file) && [...listing.keys()].some((path) => files.sameFile(path, backing))
      ).map(({ domain, target, disk }) => {
        const { image, master } = disk.names;
        // Whoever clones a disk by hand names the image.
        if (lost.has(disk) && isLayerName(backing)) {
          const message = `${quoted(file)}, a session of a seat, stands on ${
            quoted(image)
          }, which has lost its mark of a master: a merge would take from under it what it stands on`;
          return finding("error", { message, hint: `touch ${shellWord(master)}` }, domain, target);
        }
        const message = `${quoted(file)} stands on ${
          quoted(image)
        }: a commit would change the disk that it is a part of`;
        const isInSession = stateOf(disk).kind === "session" && files.sameFile(image, backing);
        const hint =
          `${
            isInSession ? `once the session of ${domain} has ended, ` : ""
          }with its guest shut off, have it stand on nothing: ${rebaseToNothing(file)}; ` +
          "or make it a seat: docs/classroom.md";
        return finding("warning", { message, hint }, domain, target);
      });
    },
  );
}

/** What can't be read stands on nothing that is known. */
function backingOrNone(file: string, backingOf: Host["backingOf"]): string | undefined {
  try {
    return backingOf(file);
  } catch {
    return undefined;
  }
}

/** Names of ours that no configured disk accounts for. */
export function leftovers(guests: readonly Guest[], host: Host): Finding[] {
  const { settings } = host;
  const disks = managedGuests(settings).length === guests.length
    ? guests.flatMap(({ disks }) => disks)
    : undefined;
  // Of guests that nobody asked for nothing is known.
  if (disks === undefined || disks.some(({ disk }) => disk === undefined)) return [];
  const seats = guests.flatMap(({ seats }) => seats);
  if (seats.some(({ seat }) => seat === undefined)) return [];
  const known = new Set([
    ...disks.map(({ disk }) => disk!.names.image),
    ...guests.flatMap(({ firmware }) => firmware.map(({ names }) => names.image)),
    ...seats.flatMap(({ seat, master }) => [seat!.names.image, master]),
  ]);
  const folders = new Set([...settings.imageFolders, ...[...known].map(folderOf)]);
  const owners = [...folders].flatMap((folder) =>
    files.listNames(folder).map((name) => imageOf(`${folder}/${name}`))
  );
  const found = [...new Set(owners)].flatMap((image) =>
    image === undefined || known.has(image) ? [] : [strayFiles(image, host)]
  );
  const torn = files.listNames(settings.configFolder).filter((name) => name.endsWith(".autorevert-new"));
  return [
    ...found.map((problem) => finding("warning", problem)),
    ...torn.map((name) => {
      const path = `${settings.configFolder}/${name}`;
      const message = `${quoted(path)} was left by a write that was cut short`;
      return finding("warning", { message, hint: `rm ${shellWord(path)}` });
    }),
  ];
}

function strayFiles(image: string, host: Host): Parameters<typeof finding>[1] {
  const names = namesOf(image);
  const listing = files.list(image);
  const paths = [...listing.keys()].filter((path) => path !== image).sort();
  const state = parse(names, listing);
  const message = `${listed(paths)} belong${paths.length === 1 ? "s" : ""} to no configured disk`;
  if (
    state.kind === "plain" || state.kind === "missing" ||
    (state.kind === "layered" && state.layers.length === 1)
  ) {
    const isSeats = paths.length === 1 && listing.has(names.ended) && standsOnAnother(names, host);
    // The only name of a disk, or of a session that was to be kept, may be among them a moment later: another host may use it.
    return {
      message,
      hint: `if a guest of another host uses it, look there: autorevert status; ` +
        (isSeats
          ? `else, unless a guest was saved on it, remove it: rm ${shellWord(names.ended)}`
          : `else enable it for its guest, whose next start removes what nothing needs`),
    };
  }
  const top = shellWord("layers" in state ? names.layer(state.layers.at(-1)!) : names.committing);
  const look = `look at them yourself: qemu-img info --backing-chain ${top}`;
  return { message, hint: `they are the disk: enable it for its guest again, or ${look}` };
}

/** Whether what is set aside stands on a layer of another image: it was a seat's. */
function standsOnAnother({ image, ended }: Names, { backingOf }: Host): boolean {
  try {
    const master = imageOf(backingOf(ended) ?? "");
    return master !== undefined && master !== image;
  } catch {
    return false;
  }
}
