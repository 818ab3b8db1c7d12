/**
 * UEFI variables and the state of a TPM are as the disk is, whatever ends a session. `SHORT=1` tries the first case alone, and with
 * libvirt 11.3 only.
 */

import { assert, assertEquals } from "@std/assert";
import { FirmwareGuest } from "./firmware/guest.ts";
import * as libvirt from "./libvirt.ts";
import { ok, virsh } from "./libvirt.ts";

const isShort = Deno.env.get("SHORT") === "1";
// The machine's own libvirt, 9.0, lies in no folder.
const isOwn = Deno.env.get("ROOT") === "";
const whole = isShort ? Deno.test.ignore : Deno.test;
const sample = isShort && isOwn ? Deno.test.ignore : Deno.test;

Deno.test.beforeAll(libvirt.startLibvirtd);
Deno.test.afterAll(() => libvirt.stopLibvirtd("SIGKILL"));

sample("UEFI variables and a TPM are reverted with the disk, and committed with it", async () => {
  const guest = await FirmwareGuest.make("uefi");
  guest.configure({ vda: false });
  assertEquals(await guest.session(), { counted: 1, disk: 0 });
  const made = await guest.firmware();
  const files = await guest.inodes();
  guest.configure({ vda: true });
  assertEquals(await guest.session(), { counted: 1, disk: 0 });
  const kept = await guest.firmware();
  assert(kept.variables !== made.variables && kept.tpm !== made.tpm);
  await guest.merged();
  assertEquals(await guest.session(), { counted: 2, disk: 1 });
  await guest.isPlainAgain();
  // The same files, with the extended attributes and access lists that they have.
  assertEquals([await guest.firmware(), await guest.inodes()], [kept, files]);
});

whole("a commit of the firmware is undone and brought back with the disk's", async () => {
  const guest = await FirmwareGuest.make("undone");
  guest.configure({ vda: true }, { "keep-commits": 1 });
  assertEquals(await guest.session(), { counted: 1, disk: 0 });
  await ok("autorevert", "undo", "--yes", "undone");
  assertEquals(await guest.session(), { counted: 1, disk: 0 });
  guest.configure({ vda: true }, { "keep-commits": 1 });
  assertEquals(await guest.session(), { counted: 1, disk: 0 });
  const kept = await guest.firmware();
  await ok("autorevert", "undo", "--yes", "undone");
  await ok("autorevert", "keep", "undone");
  assertEquals(await guest.firmware(), kept);
  assertEquals(await guest.session(), { counted: 2, disk: 1 });
});

whole("a saved guest finds its firmware, and its end reverts both", async () => {
  const guest = await FirmwareGuest.make("saved", { stays: true });
  guest.configure({ vda: false });
  assertEquals(await guest.up(), { counted: 1, disk: 0 });
  const made = await guest.firmware(".backing_file");
  const session = await guest.firmware();
  assert(session.variables !== made.variables);
  await virsh("managedsave", "saved");
  await guest.off();
  assertEquals((await guest.firmware()).variables, session.variables);
  await virsh("start", "saved");
  assertEquals((await guest.firmware()).variables, session.variables);
  // Until it writes, its memory may not have come.
  await guest.reset(2);
  await guest.destroy();
  await guest.isPlainAgain();
  assertEquals(await guest.firmware(), made);
});

whole(
  "after a power cut a flagged session goes on with its firmware, another one is forgotten with it",
  async () => {
    const guest = await FirmwareGuest.make("cut", { stays: true });
    guest.configure({ vda: false });
    for (const flag of [false, true]) {
      guest.configure({ vda: flag });
      assertEquals(await guest.up(), { counted: 1, disk: 0 });
      await libvirt.powerCut();
    }
    assertEquals(await guest.up(), { counted: 2, disk: 1 });
    await guest.destroy();
    guest.configure({ vda: false });
    assertEquals(await guest.up(), { counted: 3, disk: 2 });
    await guest.destroy();
    await guest.reverted();
    await guest.isPlainAgain();
  },
);

whole(
  "a guest whose variables are reset, or removed, begins its session without them, and goes back to the committed ones",
  async () => {
    const guest = await FirmwareGuest.make("reset");
    guest.configure({ vda: true });
    assertEquals(await guest.session(), { counted: 1, disk: 0 });
    const kept = await guest.firmware();
    assertEquals(await guest.session("--reset-nvram"), { counted: 1, disk: 1 });
    assertEquals((await guest.firmware()).variables, kept.variables);
    await guest.isPlainAgain();
    // What is removed with the definition is gone: libvirt makes both anew.
    await virsh("undefine", "--nvram", "reset");
    await guest.redefine();
    assertEquals(await guest.session(), { counted: 1, disk: 1 });
    await guest.isPlainAgain();
  },
);

whole(
  "a domain that libvirt forgets, and one that comes back with another UUID, find their variables",
  async () => {
    const guest = await FirmwareGuest.make("reborn");
    guest.configure({ vda: true });
    assertEquals(await guest.session(), { counted: 1, disk: 0 });
    for (const [flag, counts] of [[false, 2], [true, 2], [false, 3]] as const) {
      guest.configure({ vda: flag });
      assertEquals(await guest.transientSession(), { counted: counts, disk: counts - 1 });
    }
    await virsh("undefine", "--keep-nvram", "--keep-tpm", "reborn");
    await guest.redefine();
    assertEquals(await guest.session(), { counted: 3, disk: 2 });
    await guest.isPlainAgain();
  },
);

// Libvirt 9.0 knows no other format than raw.
const withFormats = isOwn ? Deno.test.ignore : whole;

withFormats("variables that are a qcow2 file go back as well", async () => {
  const guest = await FirmwareGuest.make("qcow2");
  const variables = "/var/lib/libvirt/qemu/nvram/qcow2_VARS.fd";
  await ok("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "/usr/share/OVMF/OVMF_VARS_4M.fd", variables);
  guest.nvram = `<nvram format='qcow2'>${variables}</nvram>`;
  await guest.redefine();
  guest.configure({ vda: true });
  assertEquals(await guest.session(), { counted: 1, disk: 0 });
  for (const _ of [1, 2]) assertEquals(await guest.session(), { counted: 2, disk: 1 });
  await guest.isPlainAgain();
});

whole("without a word in the guest's file firmware stays as each session leaves it", async () => {
  const guest = await FirmwareGuest.make("stays");
  guest.configure({ vda: false }, {}, false);
  assertEquals(await guest.session(), { counted: 1, disk: 0 });
  assertEquals(await guest.session(), { counted: 2, disk: 0 });
  const warning = "its UEFI variables and TPM state stay as each session leaves them";
  assert((await libvirt.run("autorevert", "check", "stays")).stdout.includes(warning));
  await ok("autorevert", "enable", "stays", "--firmware");
  assertEquals(await guest.session(), { counted: 3, disk: 0 });
  assertEquals(await guest.session(), { counted: 3, disk: 0 });
  await guest.isPlainAgain();
});
