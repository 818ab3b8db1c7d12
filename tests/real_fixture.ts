/** A fixture with the real `qemu-img` and a real image. */

import { backingOf } from "../lib/host/qcow2.ts";
import { qemuImg } from "../lib/host/qemu_img.ts";
import { defaults } from "../lib/settings.ts";
import { type Content, Fixture } from "./fixture.ts";
import { qemuIo } from "./qemu.ts";

/** The guest writes, or finds, a pattern in its n-th block. */
export const write = (image: string, block: number, pattern: number) =>
  void qemuIo(["write", "-P", `${pattern}`, `${block * 64}k`, "64k"], image);
export const find = (image: string, ...patterns: number[]) =>
  patterns.forEach((pattern, block) => qemuIo(["read", "-P", `${pattern}`, `${block * 64}k`, "64k"], image));

/** A fixture with one real disk, whose first block has the pattern 1. */
export function realFixture(flag: boolean, create: (image: string) => void = plain): Fixture {
  const fixture = new Fixture();
  fixture.qemuImg = qemuImg(defaults.qemuImg);
  create(fixture.vda);
  fixture.sources.set("vda", fixture.vda);
  fixture.configure({ vda: flag });
  return fixture;
}

export function plain(image: string): void {
  qemuIo(["create", "-f", "qcow2", image, "1M"]);
  write(image, 0, 1);
}

/** So many blocks of a disk are looked at. */
export const blocks = 4;

/** A fixture whose disk is a real image, read and written block by block. */
export class RealFixture extends Fixture {
  constructor(root?: string) {
    super(root);
    this.qemuImg = qemuImg(defaults.qemuImg);
    plain(this.vda);
  }

  override read(image: string): Content {
    const commands = Array.from({ length: blocks }, (_, block) => ["-c", `read -v ${block * 65536} 16`])
      .flat();
    const { stdout } = new Deno.Command("qemu-io", { args: ["-r", "-U", "-f", "qcow2", ...commands, image] })
      .outputSync();
    const bytes = [...new TextDecoder().decode(stdout).matchAll(/^[0-9a-f]{8}:\s+([0-9a-f]{2}) /gm)];
    if (bytes.length !== blocks) throw new Error(`${image} can't be read`);
    return Object.fromEntries(bytes.map(([, byte], block) => [`${block}`, `${parseInt(byte!, 16)}`]));
  }

  override backingOf(image: string): string | undefined {
    return backingOf(image);
  }

  override write(image: string, block: string, pattern = "1"): void {
    write(image, Number(block), Number(pattern));
  }

  override copyHalf({ layer, into }: { layer: string; into: string }): void {
    const [upper, lower] = [this.read(layer), this.read(into)];
    const differing = Object.keys(upper).filter((block) => upper[block] !== lower[block]);
    for (const block of differing.slice(0, Math.ceil(differing.length / 2))) {
      this.write(into, block, upper[block]!);
    }
  }
}
