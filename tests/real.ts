/** A world with the real `qemu-img` and a real image. */

import { qemuImg } from "../lib/qemu_img.ts";
import { defaults } from "../lib/settings.ts";
import { qemuIo } from "./qemu.ts";
import { World } from "./world.ts";

/** The guest writes, or finds, a pattern in its n-th block. */
export const write = (image: string, block: number, pattern: number) =>
  void qemuIo(["write", "-P", `${pattern}`, `${block * 64}k`, "64k"], image);
export const find = (image: string, ...patterns: number[]) =>
  patterns.forEach((pattern, block) => qemuIo(["read", "-P", `${pattern}`, `${block * 64}k`, "64k"], image));

/** A world with one real disk, whose first block has the pattern 1. */
export function realWorld(
  flag: boolean,
  create: (image: string) => void = plain,
): World & { readonly vda: string } {
  const world = Object.assign(new World(), { vda: "" });
  world.vda = world.image("vda");
  world.qemuImg = qemuImg(defaults.qemuImg);
  create(world.vda);
  world.sources.set("vda", world.vda);
  world.configure({ vda: flag });
  return world;
}

export function plain(image: string): void {
  qemuIo(["create", "-f", "qcow2", image, "1M"]);
  write(image, 0, 1);
}
