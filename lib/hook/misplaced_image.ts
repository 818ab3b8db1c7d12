/** What is said of an image, or of layers, that lie elsewhere than their names say: they were moved, copied, put back or written to. */

import type { EventContext } from "./context.ts";
import { rebaseReading, rebaseToNothing } from "./image_errors.ts";
import { changedBelow, isTopUnknown } from "./layer_writes.ts";
import { isLowerLayer, missingError, missingLayer, takenFrom } from "./layer_names.ts";
import { discarding, layers, topLayer } from "./ways_out.ts";
import { UserError } from "../errors.ts";
import * as files from "../host/files.ts";
import type { QemuImg } from "../host/qemu_img.ts";
import { isMaster, nameOf, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { mergeMarks } from "../state/state.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** What has a better way out than "moved" or "replaced" says; undefined where nothing has. */
export async function explainMisplaced(
  kind: "refuse: moved" | "refuse: replaced",
  disk: ObservedDisk,
  context: EventContext,
): Promise<UserError | undefined> {
  const { host, domain } = context;
  const { image } = disk.names;
  if (kind === "refuse: replaced" && layersAbove(disk).length > 0) return olderCommit(disk);
  const look = await host.qemuImg.info(image);
  const backing = look.kind === "free" ? look.backing : undefined;
  const state = stateOf(disk);
  const isBelow = kind === "refuse: replaced" && backing !== undefined && "layers" in state &&
    isLowerLayer(backing, disk.names, state.layers);
  if (isBelow && isTopUnknown(disk, host)) return unknownTop(disk, backing);
  const changed = kind === "refuse: replaced" ? changedBelow(disk) : undefined;
  if (changed !== undefined) return writtenBelow(disk, changed, isBelow, domain);
  const owner = kind === "refuse: moved" && layers(disk).length === 0 &&
    takenFrom(image, backing, context);
  if (owner) return withoutLayers(image, owner, backing!, domain);
  const linked = kind === "refuse: moved" && await backingThroughLink(disk, backing, host.qemuImg);
  if (linked) return otherBacking(disk.named!, linked, backing!, image);
  if (isBelow) return copyOfLayer(disk, backing);
  for (const file of [...layers(disk), ...state.kind === "layered" ? [] : [image]]) {
    const look = await host.qemuImg.info(file);
    const missing = missingLayer(disk.names, look.kind === "free" ? look.backing : undefined);
    if (missing === undefined) continue;
    return kind === "refuse: replaced" ? misplaced(disk, file, missing) : missingError(file, missing);
  }
  return undefined;
}

/**
 * QEMU looks for a relative backing file beside the path that it is given. A session gives it the image's own path, so where the
 * XML's path leads through a symbolic link, the disk would stand on another file.
 *
 * @returns what the disk stands on without a session, where that is another file
 */
export async function backingThroughLink(
  { named }: ObservedDisk,
  backing: string | undefined,
  qemuImg: QemuImg,
): Promise<string | undefined> {
  if (named === undefined || backing === undefined) return undefined;
  const look = await qemuImg.info(named);
  const other = look.kind === "free" ? look.backing : undefined;
  return other !== undefined && !files.sameFile(other, backing) ? other : undefined;
}

function otherBacking(named: string, linked: string, backing: string, image: string): UserError {
  return new UserError(
    `the backing file of ${quoted(image)} is relative: through the link ${quoted(named)} it is ${
      quoted(linked)
    }, in a session it would be ${quoted(backing)}`,
    {
      hint: `give it an absolute path: qemu-img rebase -u -b ${shellWord(linked)} -F FORMAT ${
        shellWord(image)
      }`,
    },
  );
}

/** Its layers have the other name still, and that image's commits and merges would take them away from under it. */
function withoutLayers(image: string, owner: string, backing: string, domain: string): UserError {
  const [imageWord, ownerWord] = [image, owner].map(shellWord);
  const isFree = files.lstat(owner) === undefined;
  return new UserError(
    `${quoted(image)} stands on ${quoted(backing)}: it was renamed from ${
      quoted(owner)
    }, or copied, without its layers`,
    {
      hint:
        `if it was renamed, ${isFree ? `mv -n ${imageWord} ${ownerWord} && ` : `name ${ownerWord} again: `}` +
        `virsh edit ${shellWord(domain)}; if it is a copy, have it stand on nothing: ${
          rebaseToNothing(image)
        }`,
    },
  );
}

/**
 * What was written there may be a part of the session, or all of it.
 *
 * @param isBelow after a blockcommit of lower layers that was completed: the session stands on the one that they were committed into
 */
function writtenBelow(disk: ObservedDisk, layer: string, isBelow: boolean, domain: string): UserError {
  const { image } = disk.names;
  const command = (how: "--keep" | "--discard") => recoverCommand(how, domain, nameOf(disk));
  return new UserError(
    `${quoted(layer)} was written to since the session ${
      quoted(image)
    } on it began, as by a blockcommit that was cut short`,
    {
      hint: (isBelow ? `have it stand on all layers: ${rebaseReading(image, topLayer(disk))}; then, ` : "") +
        `with the session the disk is whole: ${
          command("--keep")
        }; if it was written to by hand, or restored, and is whole ` +
        `without it: ${command("--discard")}`,
    },
  );
}

/** The layers above the one that the image is another name of. */
function layersAbove(disk: ObservedDisk): string[] {
  const own = disk.listing.get(disk.names.image);
  const at = layers(disk).findIndex((layer) => disk.listing.get(layer) === own);
  return at < 0 ? [] : layers(disk).slice(at + 1);
}

/** A backup was put back that has fewer commits than there were. */
function olderCommit(disk: ObservedDisk): UserError {
  const { names, listing } = disk;
  const [image, old, top] = [names.image, files.nameForOld(names.image), topLayer(disk)].map(shellWord);
  const above = [...layersAbove(disk), ...mergeMarks(names, listing)].map(shellWord).join(" ");
  // The next commit has the name of the one that they stand on.
  const once = isMaster(disk)
    ? "once the sessions of its seats have ended, also those that are saved or set aside, "
    : "";
  return new UserError(
    `${quoted(names.image)} is not the newest commit that lies here: it may have been put back from a backup`,
    {
      hint: `to have it as the disk, ${once}move the newer ones away: mkdir ${old} && mv ${above} ${old}; ` +
        `to have the newest, if all files are those that it was made on: ln -f ${top} ${image}`,
    },
  );
}

/** Layers that were copied without their hard links: the image is the top one twice. */
function copyOfLayer(disk: ObservedDisk, backing: string): UserError {
  const { image } = disk.names;
  const [top, imageWord] = [topLayer(disk), shellWord(image)];
  return new UserError(
    `${quoted(image)} stands on ${quoted(backing)}, as ${
      quoted(top)
    } should: it may be a copy of that layer, ` +
      "made without its hard link",
    {
      hint: `if it is one: cmp ${imageWord} ${shellWord(top)} && ln -f ${shellWord(top)} ${imageWord}; ` +
        `if it is the session, after a blockpull or a blockcommit: ${
          rebaseReading(image, topLayer(disk))
        }; ` +
        `to throw it away: ${discarding(disk)}; see what it is: qemu-img info --backing-chain ${imageWord}`,
    },
  );
}

/** A file that has come into the folder under a layer's name, or a layer of which the note is lost: nobody may throw anything away. */
function unknownTop(disk: ObservedDisk, backing: string): UserError {
  const { image } = disk.names;
  const top = topLayer(disk);
  const [imageWord, topWord] = [image, top].map(shellWord);
  return new UserError(
    `${quoted(top)} has the name of a layer, but no commit that is noted has made it, and ${
      quoted(image)
    } stands on ${quoted(backing)}`,
    {
      hint: `if somebody has put it there, as a copy: mv -n ${topWord} ${shellWord(`${top}.away`)}; ` +
        `if the image is a copy of it: cmp ${imageWord} ${topWord} && ln -f ${topWord} ${imageWord}; ` +
        `if both belong to the disk, after a blockpull: ${rebaseReading(image, top)}; ` +
        `see what they are: qemu-img info --backing-chain ${topWord}`,
    },
  );
}

/** What lies in the session's place may be the layer that is missing there: nobody may throw it away. */
function misplaced(disk: ObservedDisk, file: string, missing: string): UserError {
  const { image } = disk.names;
  const top = topLayer(disk);
  const [imageWord, missingWord, topWord] = [image, missing, top].map(shellWord);
  return new UserError(
    `${quoted(image)} is no overlay on ${quoted(top)}, and ${quoted(missing)} is missing, which ${
      quoted(file)
    } stands on: ${quoted(image)} may be that file`,
    {
      hint: `see what they are: qemu-img info ${imageWord}; qemu-img info --backing-chain ${topWord}; ` +
        `if ${imageWord} is the missing file: mv -n ${imageWord} ${missingWord} && ln ${topWord} ${imageWord}`,
    },
  );
}
