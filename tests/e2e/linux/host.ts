/** A host whose images and configurations lie on an ext4 of their own, which loses what was not synced in a power cut. */

import { assertEquals } from "@std/assert";
import * as libvirt from "../libvirt.ts";
import { at, runIn } from "../libvirt.ts";

/** Where the guest's kernel and its initramfs are. */
export const SYSTEM = "/run/linux";
const disk = at("/run/store.disk");
const store = at("/run/store");
/** Folders of the file system, and where they are seen. */
const folders = { images: at(libvirt.IMAGES), config: at(libvirt.CONFIG) };

/** Runs a command of the machine that runs the tests, whichever system is tested. */
export async function onHost(...command: string[]): Promise<string> {
  const { code, stdout, stderr } = await runIn("", ...command);
  assertEquals(code, 0, `${command.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** Makes the file system and the guest's kernel and initramfs, and starts libvirtd. */
export async function start(): Promise<void> {
  const parts = Deno.env.get("LINUX");
  if (parts === undefined) throw new Error("no kernel for the guest: sudo make e2e");
  const init = new URL("init", import.meta.url).pathname;
  await onHost(
    "sh",
    "-euc",
    `mkdir -p ${at(SYSTEM)}; cd ${at(SYSTEM)}; cp -r ${parts}/kernel ${parts}/root .; cp ${init} root/init
     cd root; mkdir dev proc vda vdb; find . | bin/busybox cpio --create --format=newc > ../initrd`,
  );
  await onHost("truncate", "--size=2G", disk);
  await onHost("mkfs.ext4", "-q", disk);
  await mount();
  await libvirt.startLibvirtd();
}

async function mount(): Promise<void> {
  await onHost("mkdir", "-p", store);
  await onHost("mount", "-o", "loop", disk, store);
  for (const [name, folder] of Object.entries(folders)) {
    await onHost("mkdir", "-p", "-m", "755", `${store}/${name}`, folder);
    await onHost("mount", "--bind", `${store}/${name}`, folder);
  }
}

/** The host loses its power, and comes up again. */
export async function powerCut(): Promise<void> {
  // From here on nothing reaches the disk any more, not even the journal that is in memory.
  await onHost("xfs_io", "-x", "-c", "shutdown", store);
  await libvirt.powerCut(async () => {
    for (const folder of [...Object.values(folders), store]) await onHost("umount", folder);
    await mount();
  });
}
