/** A guest with UEFI and a TPM, which counts its boots in a UEFI variable and in a file on its disk. */

import { assertEquals } from "@std/assert";
import { type Counts, countsIn, startupScript } from "../../../demo/uefi.ts";
import { at, CONFIG, Guest, IMAGES, ok, run, until, virsh } from "../libvirt.ts";

/** What a guest's files of firmware hold, or are. */
export interface Firmware {
  readonly variables: string;
  readonly tpm: string;
}

/** A qcow2 image from which UEFI's shell runs the script that counts. */
export async function makeFatImage(image: string, how: { readonly stays: boolean }): Promise<void> {
  const [raw, nsh] = ["/run/efi.raw", "/run/startup.nsh"];
  Deno.writeTextFileSync(at(nsh), startupScript(how));
  await ok("rm", "-f", raw);
  await ok("truncate", "-s", "16M", raw);
  await ok("mkfs.vfat", raw);
  await ok("mcopy", "-i", raw, nsh, "::startup.nsh");
  await ok("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image);
}

export class FirmwareGuest extends Guest {
  protected override readonly memory = 128;
  protected override readonly devices = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>";
  /** The variables as the domain's XML has them. */
  nvram = "<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>";
  protected override get kernel(): string {
    return `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>${this.nvram}`;
  }

  /** Powers off by itself, unless it is to stay. */
  static async make(name: string, { stays = false } = {}): Promise<FirmwareGuest> {
    const guest = new FirmwareGuest(name, {});
    await makeFatImage(`${IMAGES}/${name}.img`, { stays });
    await guest.redefine();
    return guest;
  }

  /** Writes the guest's configuration, by which its firmware goes with its disk, unless it is to say nothing of that. */
  override configure(
    flags: Record<string, boolean>,
    more: Record<string, unknown> = {},
    firmware = true,
  ): void {
    super.configure(flags, more);
    const path = at(`${CONFIG}/${this.name}.json`);
    const file = JSON.parse(Deno.readTextFileSync(path));
    Deno.writeTextFileSync(path, JSON.stringify({ ...file, ...firmware && { firmware } }));
  }

  /** A boot that has come to the end of the script. */
  async up(...how: string[]): Promise<Counts> {
    await this.powerOn(...how);
    return countsIn(await this.counted(/counted \d/, 60));
  }

  /** Another boot of a guest that is up, after which it has counted so many. */
  async reset(count: number): Promise<void> {
    await virsh("reset", this.name);
    await this.counted(new RegExp(`counted ${count}`), 60);
  }

  /** A whole session of a domain that libvirt forgets when it ends. */
  async transientSession(): Promise<Counts> {
    const xml = await virsh("dumpxml", "--inactive", this.name);
    Deno.writeTextFileSync(at("/run/transient.xml"), xml);
    await virsh("undefine", "--keep-nvram", "--keep-tpm", this.name);
    await this.forgetCounts();
    await virsh("create", "/run/transient.xml");
    const counts = countsIn(await this.counted(/counted \d/, 60));
    await until(
      "the guest is gone",
      async () => (await run("virsh", "-q", "domstate", this.name)).code !== 0,
    );
    await this.idle();
    await virsh("define", "/run/transient.xml");
    return counts;
  }

  /** A whole session of a guest that powers off by itself. */
  async session(...how: string[]): Promise<Counts> {
    const counts = await this.up(...how);
    await this.off();
    return counts;
  }

  /** Hashes of the files, or of those beside them. */
  firmware(suffix = ""): Promise<Firmware> {
    return this.#ofEach((path) => ok("sha256sum", path + suffix));
  }

  /** Which files they are, whatever they hold. */
  inodes(): Promise<Firmware> {
    return this.#ofEach((path) => ok("stat", "-c", "%i", path));
  }

  async #ofEach(look: (path: string) => Promise<string>): Promise<Firmware> {
    const uuid = (await virsh("domuuid", this.name)).trim();
    const word = async (path: string) => (await look(path)).split(/\s/)[0]!;
    return {
      variables: await word(`/var/lib/libvirt/qemu/nvram/${this.name}_VARS.fd`),
      tpm: await word(`/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`),
    };
  }

  /** {@link reverted}, and beside the files of the firmware there is nothing of ours. */
  async isPlainAgain(): Promise<void> {
    await this.reverted();
    const uuid = (await virsh("domuuid", this.name)).trim();
    const ours = ["-name", "*.backing_file*", "-o", "-name", "*.autorevert-*"];
    assertEquals(await ok("find", `/var/lib/libvirt/swtpm/${uuid}`, ...ours), "");
    const beside = ["-name", `${this.name}_VARS.fd.*`];
    assertEquals(await ok("find", "/var/lib/libvirt/qemu/nvram", ...beside), "");
  }
}
