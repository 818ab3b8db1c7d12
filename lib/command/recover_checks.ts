/** What must be so before a session is ended by an administrator. */

import { described, type GuestCommand, refuseBusy, refuseWhileStarted } from "./guest_command.ts";
import { UserError, withContext } from "../errors.ts";
import { inspectImage, isSaved } from "../hook/decide.ts";
import { disksIn } from "../hook/definitions.ts";
import { checkOwnName } from "../hook/image_path.ts";
import { checkMergeMarks } from "../hook/marks.ts";
import { explain, lostLayer, otherFile } from "../hook/refusal.ts";
import { othersSession } from "../hook/session_owner.ts";
import { layers } from "../hook/ways_out.ts";
import { rebaseToNothing } from "../hook/image_errors.ts";
import * as files from "../host/files.ts";
import type { ObservedDisk } from "../state/observed_disk.ts";
import { cancelCommand, quoted, shellWord } from "../text.ts";

/** What is said of a session that a saved guest, or another host, may need. */
export const onWhichSaved = "on which a guest was saved to a file, or has gone to another host";

/** What is said of the session of a guest that libvirt holds a managed save of. */
export function waitsForSaved(domain: string): string {
  return `${domain}: the session waits for the saved guest: virsh start ${shellWord(domain)}`;
}

/** What is said of a session that is set aside beside one that is dealt with. */
export function goesWithIt(ended: string): string {
  return `the one that is set aside, ${described(ended)}, goes with it`;
}

/** @throws {UserError} if one of these can't be ended: a process or a saved guest needs it, or it is no session */
export async function checkSessions(sessions: readonly ObservedDisk[], context: GuestCommand): Promise<void> {
  if (sessions.length === 0) throw new UserError("there is no session to end");
  checkGuest(context);
  for (const disk of sessions) await checkSession(disk, context);
}

/** @throws {UserError} if libvirt holds a managed save of the guest, or is starting it */
export function checkGuest(context: GuestCommand): void {
  if (isSaved(context)) {
    throw new UserError("libvirt holds a managed save of the guest, which expects its session", {
      hint: `start it, or drop the save: virsh managedsave-remove ${shellWord(context.domain)}`,
    });
  }
  refuseWhileStarted(context);
}

/**
 * A disk in whose place the domain names another file is dealt with where its image is named, and nothing of the domain's stands on it.
 *
 * @throws {UserError} if something does, or the image isn't named
 */
async function checkReplaced(disk: ObservedDisk, context: GuestCommand): Promise<void> {
  const { domain, targets } = context;
  const { image } = disk.names;
  if (!targets.includes(image) || await isInChain(image, context)) throw otherFile(disk, domain);
  await checkLayersFree(disk, context);
}

/**
 * A copy of a session, made by a blockcopy, stands on the layers, and not on the session; after a blockcommit a layer is the disk.
 *
 * @throws {UserError} if a file that the domain names is a layer of the image, or stands on one
 */
export async function checkLayersFree(disk: ObservedDisk, context: GuestCommand): Promise<void> {
  const { names: { image }, target } = disk;
  const others = (await chainsOf(context)).filter(([file]) => !files.sameFile(file, image));
  for (const layer of layers(disk)) {
    const above = others.find((chain) => chain.some((path) => files.sameFile(path, layer)))?.[0];
    if (above === undefined) continue;
    checkOwnName(above, cancelCommand(context.domain, target));
    throw withContext(
      target,
      new UserError(`the domain names ${quoted(above)}, which stands on ${quoted(layer)}`, {
        hint: `to have it stand on nothing, while the guest is shut off: ${rebaseToNothing(above)}`,
      }),
    );
  }
}

/**
 * Whether a disk of the domain, as it runs or is defined, leads to a file.
 *
 * @param isBelow only as what another file stands on
 */
export async function isInChain(
  image: string,
  context: GuestCommand,
  { isBelow = false }: { readonly isBelow?: boolean } = {},
): Promise<boolean> {
  const chains = await chainsOf(context);
  return chains.some((chain) => chain.slice(isBelow ? 1 : 0).some((path) => files.sameFile(path, image)));
}

/** The files of the domain's disks, as it runs or is defined, each with those below it. */
async function chainsOf({ host, domain }: GuestCommand): Promise<[file: string, ...below: string[]][]> {
  const { liveFolder, definedFolder } = host.settings;
  const named = [liveFolder, definedFolder].flatMap((folder) => disksIn(folder, domain) ?? []);
  const chains: [string, ...string[]][] = [];
  for (const { file, firmware } of named) {
    if (firmware || file === undefined) continue;
    const chain: [string, ...string[]] = [file];
    while (true) {
      const look = await host.qemuImg.info(chain.at(-1)!, { unlocked: true });
      const below = look.kind === "free" ? look.backing : undefined;
      if (below === undefined || chain.includes(below)) break;
      chain.push(below);
    }
    chains.push(chain);
  }
  return chains;
}

/** Only a file that stands on the top layer, and that nobody has open, is a session. */
async function checkSession(disk: ObservedDisk, context: GuestCommand): Promise<void> {
  if (disk.source === "other") await checkReplaced(disk, context);
  else if (await isInChain(disk.names.image, context, { isBelow: true })) {
    throw otherFile(disk, context.domain);
  }
  const others = othersSession(disk, context);
  if (others !== undefined) throw withContext(disk.target, others);
  const lost = context.options.has("discard") ? lostLayer(disk, context) : undefined;
  if (lost !== undefined) throw withContext(disk.target, lost);
  checkMergeMarks(disk);
  await refuseBusy(disk, context);
  const look = await inspectImage(disk, context);
  if (look === "moved" || look === "replaced") {
    throw withContext(disk.target, await explain(`refuse: ${look}`, disk, context));
  }
  if (look === "damaged" && context.options.has("keep")) {
    throw withContext(
      disk.target,
      new UserError(`${quoted(disk.names.image)} is no readable qcow2 image any more`, {
        hint: `try to mend it: qemu-img check -r all ${
          shellWord(disk.names.image)
        }; or give it up with --discard`,
      }),
    );
  }
}
