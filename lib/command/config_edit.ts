/** Changes of a valid configuration's text that leave the rest of it as its author wrote it. Pure. */

import { type Node, parseTree } from "jsonc-parser";
import type { Configuration } from "../input/config_schema.ts";

/** A key of a listed disk that a command sets. */
type DiskKey = Exclude<keyof Configuration["disks"][number], "target">;

/** Lists a disk; no text makes a new configuration. */
export function listDisk(text: string | undefined, target: string): string {
  const entry = `{ "target": ${JSON.stringify(target)}, "one-shot-commit": false }`;
  return text === undefined ? `{\n  "disks": [\n    ${entry}\n  ]\n}\n` : append(text, disksIn(text), entry);
}

/** The same of a seat. */
export function listSeat(text: string | undefined, target: string, master: string): string {
  const entry = `{ "target": ${JSON.stringify(target)}, "master": ${JSON.stringify(master)} }`;
  return text === undefined ? `{\n  "disks": [\n    ${entry}\n  ]\n}\n` : append(text, disksIn(text), entry);
}

/** Takes a disk out, which must not be the only one. */
export function unlistDisk(text: string, target: string): string {
  const disks = disksIn(text).children!;
  const index = disks.findIndex((disk) => valueOf(disk, "target")?.value === target);
  const end = (disk: Node) => disk.offset + disk.length;
  return index === 0
    ? text.slice(0, disks[0]!.offset) + text.slice(disks[1]!.offset)
    : text.slice(0, end(disks[index - 1]!)) + text.slice(end(disks[index]!));
}

/** Gives a key of a listed disk this value. */
export function setKey(text: string, target: string, key: DiskKey, value: boolean | number | string): string {
  const disk = disksIn(text).children!.find((disk) => valueOf(disk, "target")?.value === target)!;
  const old = valueOf(disk, key);
  const json = JSON.stringify(value);
  if (old === undefined) return append(text, disk, `"${key}": ${json}`);
  return text.slice(0, old.offset) + json + text.slice(old.offset + old.length);
}

/** Says whether the firmware belongs to the disks. */
export function setFirmware(text: string, value: boolean): string {
  const root = parseTree(text)!;
  const old = valueOf(root, "firmware");
  if (old === undefined) return append(text, root, `"firmware": ${value}`);
  return text.slice(0, old.offset) + value + text.slice(old.offset + old.length);
}

function disksIn(text: string): Node {
  return valueOf(parseTree(text)!, "disks")!;
}

/** Of a key that is there twice JSON takes the last. */
function valueOf(node: Node, key: string): Node | undefined {
  return node.children?.findLast(({ children }) => children?.[0]?.value === key)?.children?.[1];
}

/** Adds to a list or an object, with the space before it that its last part has. */
function append(text: string, { children }: Node, addition: string): string {
  const last = children!.at(-1)!;
  const space = /\s*$/.exec(text.slice(0, last.offset))![0];
  const end = last.offset + last.length;
  return `${text.slice(0, end)},${space || " "}${addition}${text.slice(end)}`;
}
