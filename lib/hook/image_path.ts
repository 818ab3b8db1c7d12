/** Which file a disk's image is, and whether the hook may go there. */

import { UserError } from "../errors.ts";
import { isForbidden, list, lstat, nameForOld, resolve } from "../host/files.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import type { Facts } from "../state/decision_table.ts";
import {
  folderOf,
  imageOf,
  layerNumber,
  LONGEST_IMAGE_NAME,
  LONGEST_PUBLISHED_NAME,
  mergeNumber,
  nameLength,
  namesOf,
} from "../state/paths.ts";
import type { SeatRecord } from "../state/seat_record.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { cancelCommand, listed, quoted, shellWord } from "../text.ts";

/**
 * What the domain names in place of an image now: that one, where any of its targets has it. It is renamed if that is another one
 * than its record says.
 */
export function sourceOf(
  record: Pick<SessionRecord, "target" | "image">,
  disks: readonly DomainDisk[],
): { readonly source: Facts["source"]; readonly renamed: boolean } {
  const { image } = record;
  const source = sourceOfTarget(record, disks);
  const renamed = source !== "same" &&
    disks.some(({ target }) => sourceOfTarget({ target, image }, disks) === "same");
  return { source: renamed ? "same" : source, renamed };
}

/** What it names for that target. */
export function sourceOfTarget(
  { target, image }: Pick<SessionRecord, "target" | "image">,
  disks: readonly DomainDisk[],
): Facts["source"] {
  const disk = disks.find((disk) => disk.target === target);
  if (disk === undefined) return "gone";
  if (disk.file === undefined) return "other";
  try {
    return resolve(disk.file) === image ? "same" : "other";
  } catch (error) {
    return isForbidden(error) ? "other" : "unreadable";
  }
}

/** What is noted of a session, of a disk or of a seat. */
type NotedSession = Pick<SessionRecord, "image" | "target"> | Pick<SeatRecord, "image" | "target" | "master">;

/**
 * The image of a disk, links resolved.
 *
 * @throws {UserError} if the domain has no such disk, or it can't be managed
 */
export function imageAt(
  domain: string,
  target: string,
  disks: readonly DomainDisk[],
  folders: readonly string[],
  records: readonly NotedSession[],
): string {
  const disk = disks.find((disk) => disk.target === target && !disk.firmware);
  if (disk === undefined) {
    const targets = disks.filter(({ firmware }) => !firmware).map(({ target }) => target);
    throw new UserError(`the domain has no disk ${quoted(target)}, it has ${listed(targets)}`, {
      hint: `correct the target in the configuration; if the disk was detached: autorevert disable ${
        shellWord(domain)
      } ${shellWord(target)}`,
    });
  }
  const flag = cancelCommand(domain, target);
  // Before its fitness: after a blockcommit the XML has a <backingStore>, too.
  if (disk.file !== undefined && isIn(disk.file, folders)) checkOwnName(disk.file, flag);
  if (disk.unfit !== undefined) {
    const { file, backing, unfit } = disk;
    const session = records.find(({ image }) => image === backing && image !== file);
    throw new UserError(
      unfit.reason,
      session && file ? { hint: backToSession(file, session, domain) } : unfit,
    );
  }
  const image = permitted(disk.file!, folders);
  checkOwnName(image, flag);
  return image;
}

/**
 * @param cancel the command that clears the disk's flag
 * @throws {UserError} if it is no name for an image: one of those that the program gives
 */
export function checkOwnName(image: string, cancel: string): void {
  checkLength(image);
  const owner = imageOf(image);
  if (owner === undefined) return;
  throw new UserError(
    `the domain's disk is ${quoted(image)}, which has the name of a layer or note of ${quoted(owner)}`,
    {
      hint:
        `after a blockcommit that file is the disk: with the guest shut off${
          list(owner).has(namesOf(owner).master) ? " and the sessions of its seats ended" : ""
        }, ` +
        `${takingPlace(image, owner)}, then name ${
          shellWord(owner)
        } as the source with virsh edit (of a saved guest also with virsh save-image-edit, or managedsave-edit), without <backingStore>${
          list(owner).has(namesOf(owner).mark)
            ? `; its flag would be for the next session then: ${cancel}`
            : ""
        }`,
    },
  );
}

/** @throws {UserError} if there is no room for the name that publishes a version of the disk */
export function checkPublishable(image: string): void {
  checkLength(image, LONGEST_PUBLISHED_NAME);
}

/** @throws {UserError} if there is no room for the names beside it */
export function checkLength(image: string, longest = LONGEST_IMAGE_NAME): void {
  if (nameLength(image) <= longest) return;
  throw new UserError(
    `the name of ${quoted(image)} has ${nameLength(image)} bytes, should have at most ${longest}: ` +
      `names beside it are longer`,
    { hint: "with the guest shut off, give the file a shorter one with mv, and name it with virsh edit" },
  );
}

/** Makes a layer the disk: what lies above it was committed into it. The layers below stay, since it stands on them. */
function takingPlace(file: string, image: string): string {
  const number = layerNumber(image, file);
  if (number === undefined) return `mv ${shellWord(file)} ${shellWord(image)}`;
  const above = [...list(image).keys()].filter((path) =>
    (layerNumber(image, path) ?? mergeNumber(image, path) ?? 0) > number
  );
  const old = shellWord(nameForOld(image));
  const { mark } = namesOf(image);
  return [
    ...above.length > 0 ? [`mkdir ${old}`, `mv ${above.map(shellWord).join(" ")} ${old}`] : [],
    `ln -f ${shellWord(file)} ${shellWord(image)}`,
    // What it marks is in the base now.
    ...list(image).has(mark) ? [`rm ${shellWord(mark)}`] : [],
  ].join(" && ");
}

/** What to do where an external snapshot or a blockcopy has put another file in the session's place. */
export function backToSession(file: string, session: NotedSession, domain: string): string {
  const { image, target } = session;
  const [fileWord, word] = [file, image].map(shellWord);
  // Of a seat nothing is kept.
  const keeping = "master" in session
    ? ""
    : `to keep it, set "one-shot-commit" before, then run qemu-img commit -b ${word} ${fileWord}; `;
  return `to drop what ${fileWord} holds, name ${word} as the source again with virsh edit, without <backingStore>; ${keeping}` +
    `a guest that was saved on it is restored after: autorevert disable ${shellWord(domain)} ${target}`;
}

/** The image behind a path, links resolved, if the hook may go there. */
export function permitted(file: string, folders: readonly string[], isFirmware = false): string {
  const [noun, variable] = isFirmware ? ["file", "FIRMWARE_DIRS"] : ["image", "IMAGE_DIRS"];
  const refuse = (path: string) =>
    new UserError(`${noun} ${quoted(path)} is outside the permitted folders, which are ${listed(folders)}`, {
      hint: `build the hook for it: make install ${variable}=${
        shellWord([...folders, folderOf(path)].join(","))
      }, or for a package make deb (or make rpm) with the same, and install that`,
    });
  if (!file.startsWith("/")) throw refuse(`/${file}`);
  let image: string;
  try {
    // libvirt makes the folder of a TPM's state with it.
    image = isFirmware && lstat(folderOf(file)) === undefined ? file : resolve(file);
  } catch (error) {
    if (isForbidden(error)) throw refuse(file);
    throw error;
  }
  if (!isIn(image, folders)) throw refuse(image);
  return image;
}

function isIn(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path.startsWith(`${folder}/`));
}
