import { type Finding, finding } from "./finding.ts";
import { domains, type Guest, managedGuests } from "./guest.ts";
import { type InspectedDisk, probeLinks } from "./inspect.ts";
import { asUserError, UserError } from "../errors.ts";
import type { EventContext } from "../hook/context.ts";
import { disksIn } from "../hook/definitions.ts";
import { isPending } from "../hook/merge_choice.ts";
import { checkBase, wayToMerge } from "../hook/merge_checks.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import type { Settings } from "../settings.ts";
import { isTorn, nameOf, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { folderOf, imageOf, namesOf } from "../state/paths.ts";
import { parse } from "../state/state.ts";
import { listed, nearest, quoted, recoverCommand, shellWord, size } from "../text.ts";

/** What is wrong with a guest and its disks. */
export async function guestFindings(guest: Guest, context: EventContext): Promise<Finding[]> {
  const { domain } = guest;
  const found: Finding[] = [];
  if (guest.defined === undefined) return [finding("error", unknownDomain(guest, context), domain)];
  if (guest.problem) found.push(finding("error", guest.problem, domain));
  for (const view of guest.disks) {
    const problem = conditionProblem(view, domain) ?? await whileIdle(view, guest, context, checkLinks);
    if (problem) found.push(finding(isError(view) ? "error" : "warning", problem, domain, view.target));
    const waits = problem
      ? undefined
      : await whileIdle(view, guest, context, checkMerge) ?? await baseProblem(view, context);
    if (waits) found.push(finding("warning", waits, domain, view.target));
  }
  return found;
}

function isError({ condition }: InspectedDisk): boolean {
  return condition !== "unprotected" && condition !== "cut short";
}

function conditionProblem(
  { target, disk, condition, problem, decision }: InspectedDisk,
  domain: string,
): UserError | undefined {
  const guest = shellWord(domain);
  if (decision === "refuse: not ours") {
    const name = disk ? nameOf(disk) : target;
    return new UserError(problem!.message, {
      hint: `to throw it away: ${recoverCommand("--discard", domain, name)}; ` +
        `to keep it as part of the disk: ${recoverCommand("--keep", domain, name)}`,
    });
  }
  if (condition === "unprotected") {
    return new UserError(
      "the guest writes to the disk itself: it was started before the disk was listed, or libvirt didn't call the hook",
      { hint: `shut it down and start it again: virsh shutdown ${guest}` },
    );
  }
  if (condition === "cut short") {
    return new UserError("an event was interrupted; the next start or stop completes it", {
      hint: `now: ${recoverCommand("complete", domain)}`,
    });
  }
  return problem;
}

/** What a check throws for a disk that nobody uses, while nobody else can change it. */
async function whileIdle(
  { disk, condition }: InspectedDisk,
  { isLive }: Guest,
  context: EventContext,
  check: (disk: ObservedDisk, context: EventContext) => Promise<void>,
): Promise<UserError | undefined> {
  if (disk === undefined || condition !== "clean" || isLive) return undefined;
  const { run } = context;
  try {
    using _guest = await run.locks.guest();
    using _folder = await run.locks.folders([disk.names.image]);
    await check({ ...disk, listing: files.list(disk.names.image) }, context);
    return undefined;
  } catch (error) {
    return asUserError(error);
  }
}

/** Why no commit could be merged with the disk, whether it is in use or not. */
async function baseProblem({ disk }: InspectedDisk, context: EventContext): Promise<UserError | undefined> {
  try {
    if (disk !== undefined) await checkBase(disk, context);
    return undefined;
  } catch (error) {
    return asUserError(error);
  }
}

async function checkLinks(disk: ObservedDisk, context: EventContext): Promise<void> {
  if (stateOf(disk).kind === "plain") await probeLinks(disk, context);
}

/** Whether the commits that wait for a merge can be merged. */
async function checkMerge(disk: ObservedDisk, context: EventContext): Promise<void> {
  const state = stateOf(disk);
  if (!isPending(disk, state)) return;
  const again = isTorn(state, disk.record ? [disk.record] : []);
  await wayToMerge({ disk, state, again }, context);
}

/** A guest's configuration goes by its name: after a `virsh domrename` it is left behind. */
function unknownDomain({ domain, records }: Guest, { host: { settings } }: EventContext): UserError {
  const known = domains(settings);
  const images = new Set(records.map(({ image }) => image));
  const free = known.filter((name) => !managedGuests(settings).includes(name));
  const move = (to: string) =>
    ["json", "session", "seats"].map((suffix) => `${settings.configFolder}/${domain}.${suffix}`)
      .map((path) => [path, path.replace(`/${domain}.`, `/${to}.`)] as const)
      .filter(([from, to]) => files.lstat(from) !== undefined && files.lstat(to) === undefined)
      .map(([from, to]) => `mv ${shellWord(from)} ${shellWord(to)}`).join(" && ");
  // Its configuration may have been renamed alone.
  const renamed = known.find((name) =>
    move(name) !== "" && sources(name, settings).some((file) => images.has(file))
  );
  const meant = renamed ?? nearest(domain, free);
  return new UserError(`libvirt knows no such domain; without a configuration are ${listed(free)}`, {
    hint: meant === undefined
      ? `if it was renamed, rename ${
        shellWord(`${settings.configFolder}/${domain}.json`)
      } with it; if it is gone, remove that`
      : `if it is called ${quoted(meant)} now: ${move(meant)}`,
  });
}

function sources(domain: string, { definedFolder, liveFolder }: Settings): string[] {
  try {
    return (disksIn(definedFolder, domain) ?? disksIn(liveFolder, domain) ?? []).flatMap(({ file }) =>
      file ?? []
    );
  } catch {
    // Another domain's broken definition is not this one's matter.
    return [];
  }
}

/** Images that a second disk has, too: each disk would write, or stand on, what is the other's. */
export function sharedImages(guests: readonly Guest[], settings: Settings): Finding[] {
  const users = domains(settings).map((domain) => ({
    domain,
    images: sources(domain, settings).map(realPath),
  }));
  const managed = managedGuests(settings);
  const known = new Set<string>();
  return guests.flatMap(({ domain, disks }) =>
    disks.flatMap(({ target, disk }) => {
      const image = disk?.listed ? disk.names.image : undefined;
      if (image === undefined || known.has(image)) return [];
      known.add(image);
      const others = users.filter((user) => user.domain !== domain && user.images.includes(image))
        .map((user) => user.domain);
      const [other] = others;
      if (other === undefined) return [];
      const shared = `${quoted(image)} is a disk of ${listed(others)}, too`;
      const hint = `give each its own image: virsh edit ${shellWord(other)}`;
      const problem = managed.includes(other)
        ? {
          message: `${shared}: only one guest can run at a time, and each finds what another one commits`,
          hint,
        }
        : {
          message: `${shared}, which would write to it without the hook`,
          hint: `${hint}; or: autorevert enable ${shellWord(other)}`,
        };
      return [finding("warning", problem, domain, target)];
    })
  );
}

/** The file behind a path, links resolved, as far as the program may look. */
function realPath(path: string): string {
  try {
    return files.resolve(path);
  } catch {
    return path;
  }
}

/** What an empty overlay takes, in bytes: 200 KiB, and more the larger the disk is. */
const OVERLAY = 1024 * 1024;

/** Sessions and commits grow where they lie, and a merge may need as much again. */
export async function spaceFindings(guests: readonly Guest[], host: Host): Promise<Finding[]> {
  const held = new Map<string, number>();
  for (const { disk } of guests.flatMap(({ disks }) => disks)) {
    if (disk === undefined) continue;
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
  const images = guests.flatMap(({ disks }) => disks).flatMap(({ disk }) => disk?.names.image ?? []);
  const found: Finding[] = [];
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

/** Names of ours that no configured disk accounts for. */
export function leftovers(guests: readonly Guest[], settings: Settings): Finding[] {
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
    image === undefined || known.has(image) ? [] : [strayFiles(image)]
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

function strayFiles(image: string): Parameters<typeof finding>[1] {
  const names = namesOf(image);
  const listing = files.list(image);
  const paths = [...listing.keys()].filter((path) => path !== image).sort();
  const state = parse(names, listing);
  const message = `${listed(paths)} belong${paths.length === 1 ? "s" : ""} to no configured disk`;
  if (
    state.kind === "plain" || state.kind === "missing" ||
    (state.kind === "layered" && state.layers.length === 1)
  ) {
    // The only name of a disk, or of a session that was to be kept, may be among them a moment later: another host may use it.
    return {
      message,
      hint: `if a guest of another host uses it, look there: autorevert status; ` +
        `else enable it for its guest, whose next start removes what nothing needs`,
    };
  }
  const top = shellWord("layers" in state ? names.layer(state.layers.at(-1)!) : names.committing);
  const look = `look at them yourself: qemu-img info --backing-chain ${top}`;
  return { message, hint: `they are the disk: enable it for its guest again, or ${look}` };
}
