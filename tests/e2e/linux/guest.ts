/** A Linux guest that writes files, and what must lie on its disks afterwards. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import * as libvirt from "../libvirt.ts";
import { at, exists, Guest, IMAGES, ok } from "../libvirt.ts";
import { onHost, SYSTEM } from "./host.ts";

/** What the guest does in one boot; `linux/init` explains it. */
export interface Orders {
  readonly session: string;
  /** So many files are in the folder of the session at its end. */
  readonly files: number;
  readonly sync?: "no";
  readonly first?: "rm" | "trim";
}

/** Names of folders, with so many files each. */
export type Contents = Readonly<Record<string, number>>;

const BASE = 100;
/** The disk as it is made. */
export const base: Contents = { base: BASE };

export function contentOf(session: string, number: number): string {
  const line = `${session} ${number}\n`;
  const size = number * 37 % 9000 + 1;
  return line.repeat(Math.ceil(size / line.length)).slice(0, size);
}

/** A guest with Debian's kernel, ext4 on vda and vdb; only vda is to be listed. */
export class LinuxGuest extends Guest {
  protected override readonly memory = 128;
  protected override readonly driver = " discard='unmap'";
  #orders: Orders = { session: "none", files: 0 };
  /** The sessions of all boots. */
  readonly #boots: string[] = [];

  static async make(name: string): Promise<LinuxGuest> {
    const guest = new LinuxGuest(name, { images: [`${name}-a.img`, `${name}-b.img`] });
    const [raw, files] = [at("/run/made.raw"), at("/run/files")];
    Deno.mkdirSync(`${files}/base`, { recursive: true });
    for (let number = 1; number <= BASE; number++) {
      Deno.writeTextFileSync(`${files}/base/${number}`, contentOf("base", number));
    }
    for (const [index, image] of guest.images.entries()) {
      await onHost("truncate", "--size=128M", raw);
      await onHost("mkfs.ext4", "-q", "-F", ...(index === 0 ? ["-d", files] : []), raw);
      await ok("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "/run/made.raw", image);
      Deno.removeSync(raw);
    }
    Deno.removeSync(files, { recursive: true });
    // qemu-img leaves it to the system when an image reaches the disk; a power cut would take the base away.
    await onHost("sync", "-f", at(IMAGES));
    await guest.redefine();
    return guest;
  }

  override configure(flags: Record<string, boolean>, more: Record<string, unknown> = {}): void {
    super.configure(flags, more);
    using file = Deno.openSync(at(`${libvirt.CONFIG}/${this.name}.json`), { write: true });
    file.syncSync();
  }

  protected override get kernel(): string {
    // Where the machine is busy, QEMU's timer is too late for the kernel's check of it.
    const orders = Object.entries(this.#orders).map(([name, value]) => `${name}=${value}`).join(" ");
    return `<kernel>${SYSTEM}/kernel</kernel><initrd>${SYSTEM}/initrd</initrd>` +
      `<cmdline>console=ttyS0 quiet panic=-1 no_timer_check ${orders}</cmdline>`;
  }

  /** Starts it, and waits until it is up; its disk must show just these files then. */
  async on(orders: Orders, expected: Contents | ((found: Contents) => void)): Promise<void> {
    this.#orders = orders;
    this.#boots.push(orders.session);
    await this.redefine();
    await this.powerOn();
    await this.prints("up");
    const found = Object.fromEntries(
      this.lines().filter((line) => line.startsWith("has "))
        .map((line) => line.split(" ")).map(([, name, count]) => [name!, Number(count)]),
    );
    if (typeof expected === "function") expected(found);
    else assertEquals(found, expected, "what the guest finds");
  }

  /** A boot that does all it is to do, and powers off. */
  async whole(orders: Orders, expected: Contents): Promise<void> {
    await this.on(orders, expected);
    await this.prints("done");
    await this.off();
  }

  /** Waits for a line on its console. */
  async prints(line: string): Promise<void> {
    let lines: string[] = [];
    await libvirt.until(`${this.name} prints ${line}`, () => {
      lines = this.lines();
      const wrong = lines.find((line) => /error|corrupt|panic/i.test(line));
      if (wrong !== undefined) throw new Error(`${this.name} prints: ${wrong}\n${lines.join("\n")}`);
      return Promise.resolve(lines.includes(line));
    }, 240);
  }

  /** The last file of which it has said that it is written. */
  written(): number {
    return Number(
      this.lines().filter((line) => line.startsWith("wrote ")).at(-1)?.slice("wrote ".length) ?? 0,
    );
  }

  /**
   * Asserts that vda holds these files, whole, and nothing else, and that no fsck finds anything on it.
   *
   * @param dirty the guest did not unmount it, so that its journal is replayed first
   * @param cut a folder that was being written, where more files may be there, the last of them in part
   */
  async holds(
    expected: Contents,
    { dirty = false, cut }: { dirty?: boolean; cut?: string } = {},
  ): Promise<void> {
    const image = this.#disk();
    const found = await filesOn(image, dirty);
    const folders = new Map<string, number>();
    for (const [path, content] of found) {
      const [folder, name] = path.split("/") as [string, string];
      folders.set(folder, (folders.get(folder) ?? 0) + 1);
      const whole = contentOf(folder, Number(name));
      const certain = Number(name) <= (expected[folder] ?? 0);
      assert(
        content === whole || folder === cut && !certain && whole.startsWith(content),
        `${path} on ${image} has ${content.length} bytes of ${whole.length}, or others`,
      );
    }
    for (const [folder, count] of Object.entries(expected)) {
      for (let number = 1; number <= count; number++) {
        assert(found.has(`${folder}/${number}`), `${folder}/${number} is not on ${image}`);
      }
      if (folder !== cut) assertEquals(folders.get(folder) ?? 0, count, `files in ${folder} on ${image}`);
    }
    assertEquals([...folders.keys()].filter((folder) => !(folder in expected)), [], `folders on ${image}`);
  }

  /** The file that shows what lies on vda: where a merge was cut short between two names, the top layer. */
  #disk(): string {
    const image = this.images[0]!;
    if (exists(image)) return image;
    return `${image}.backing_file${exists(`${image}.backing_file.1`) ? ".1" : ""}`;
  }

  /** Asserts that vdb, which no configuration names, has all boots in its ledger and was never in a session. */
  async holdsLedger(dirty = false): Promise<void> {
    const files = await filesOn(this.images[1]!, dirty);
    assertEquals([...files.keys()], ["ledger"]);
    assertEquals(files.get("ledger")!.trimEnd().split("\n"), this.#boots);
    assertEquals(this.files().filter((name) => name.startsWith(`${this.name}-b.img`)), [
      `${this.name}-b.img`,
    ]);
  }
}

/** All regular files of the ext4 on an image, as its layers show it, after a fsck that finds nothing. */
async function filesOn(image: string, dirty: boolean): Promise<Map<string, string>> {
  const [raw, folder] = [at("/run/seen.raw"), at("/run/seen")];
  await ok("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", image, "/run/seen.raw");
  const replays = (await onHost("dumpe2fs", "-h", raw)).includes("needs_recovery");
  assertEquals(replays, dirty, `the journal of ${image} needs a replay`);
  if (dirty) await onHost("e2fsck", "-p", "-E", "journal_only", raw);
  assertMatch(await onHost("e2fsck", "-f", "-n", raw), /Pass 5[^]*files/);
  Deno.mkdirSync(folder);
  await onHost("debugfs", "-R", `rdump / ${folder}`, raw);
  const files = new Map<string, string>();
  const read = (below: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(`${folder}/${below}`)) {
      if (isDirectory) read(`${below}${name}/`);
      else files.set(`${below}${name}`, Deno.readTextFileSync(`${folder}/${below}${name}`));
    }
  };
  read("");
  await onHost("rm", "-r", folder, raw);
  return files;
}
