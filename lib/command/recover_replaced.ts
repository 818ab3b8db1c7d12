/** `recover --discard` of a disk that the guest has no more: the domain names another file for its target, or none, and it is gone. */

import { type Guest, inspectGuest } from "./guest.ts";
import { checkUnchanged, confirm, described, type GuestCommand, namesIn } from "./guest_command.ts";
import { checkGuest, checkLayersFree } from "./recover_checks.ts";
import { flattenIdle } from "../hook/merge_choice.ts";
import { readOwnRecords } from "../host/session_records.ts";
import {
  hasSetAside,
  isAway,
  isSessionAway,
  nameOf,
  type ObservedDisk,
  stateOf,
} from "../state/observed_disk.ts";
import { removeSetAside } from "../state/transitions.ts";
import { quoted } from "../text.ts";

/**
 * Forgets disks that are named by their images, in whose place the domain names other files, and that have no session: what is set aside
 * beside them goes, and their commits stay as they are. The same of disks that are detached, or not configured any more, of which nothing
 * can be seen.
 *
 * After a crash all of them are still known.
 *
 * @returns whether the command is about such disks alone
 * @throws {UserError} if libvirt holds a managed save of the guest, or is starting it, or it has a disk that stands on their layers
 */
export async function forgetReplaced(context: GuestCommand): Promise<boolean> {
  const { run, domain, paths, terminal } = context;
  const asked = replaced(await inspectGuest(context), context);
  if (asked.length === 0 || asked.length < context.targets.length) return false;
  checkGuest(context);
  for (const disk of asked) {
    await checkLayersFree(disk, context);
    const { names: { image, ended } } = disk;
    const lost = hasSetAside(disk)
      ? [
        `the session that is set aside, ${
          described(ended)
        }, goes with that, and a guest that was saved to a file on ` +
        "it can't be restored any more",
      ]
      : isSessionAway(disk)
      ? ["nothing of it can be seen, but its last session has not ended"]
      : [];
    confirm(`${domain}: ${[`forget ${quoted(image)}`, ...lost].join("; ")}?`, context);
  }
  using _guest = await run.locks.guest();
  const images = asked.map(({ names }) => names.image);
  using _folders = await run.locks.folders(images);
  checkUnchanged(namesIn(asked), replaced(await inspectGuest(context), context));
  for (const disk of asked) {
    if (hasSetAside(disk)) await run.take(disk.target, removeSetAside(disk.names));
    await flattenIdle(disk, context);
  }
  const records = readOwnRecords(paths.note).filter(({ image }) => !images.includes(image));
  await run.take("", [{ kind: "note", path: paths.note, records }]);
  for (const image of images) terminal.print(`${domain}: ${quoted(image)} is left alone from now on`);
  return true;
}

/** Those that are meant and that it applies to. */
function replaced({ disks, config, defined, problem }: Guest, { targets }: GuestCommand): ObservedDisk[] {
  const isListed = ({ target }: ObservedDisk) =>
    config === undefined
      ? problem !== undefined && defined !== undefined
      : config.disks.some((disk) => disk.target === target);
  return disks.flatMap(({ disk }) => {
    if (disk === undefined) return [];
    const isMeant = [disk.names.image, nameOf(disk)].some((name) => targets.includes(name));
    const isGone = disk.source === "other" && ["missing", "plain", "layered"].includes(stateOf(disk).kind) ||
      isAway(disk) && (disk.source === "gone" || !isListed(disk));
    return isMeant && isGone ? disk : [];
  });
}
