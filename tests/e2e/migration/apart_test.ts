/** Hosts that share less than the folder of the images, or more. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { CONFIG, countOn, IMAGES, ok, runIn, until } from "../libvirt.ts";
import { setTimeout as delay } from "node:timers/promises";
import { MigratingGuest, one, two } from "./hosts.ts";

Deno.test.beforeAll(async () => {
  for (const host of [one, two]) await host.boot();
});
Deno.test.afterAll(async () => {
  for (const host of [one, two]) await host.killLibvirtd();
});

const APART = `${IMAGES}/apart`;

/** A guest with a folder of images that each host has for itself; the second host has an image of the same size there. */
async function guestApart(name: string): Promise<MigratingGuest> {
  await runIn("", "mkdir", "-p", APART);
  await ok("mount", "-t", "tmpfs", "tmpfs", two.at(APART));
  const guest = await MigratingGuest.make(name, { folder: APART });
  const { "virtual-size": size } = JSON.parse(
    await ok("qemu-img", "info", "--output=json", guest.images[0]!),
  );
  await ok("qemu-img", "create", "-q", "-f", "qcow2", two.at(guest.images[0]!), `${size}`);
  return guest;
}

function filesOn(host: typeof one): string[] {
  return [...Deno.readDirSync(host.at(APART))].map(({ name }) => name).sort();
}

Deno.test("a guest isn't copied to a host where its disk is configured, and nothing is left of that", async () => {
  const guest = await guestApart("copied");
  try {
    const image = guest.images[0]!;
    for (const host of [one, two]) guest.configure(host, { vda: true });
    assertEquals(await guest.start(one), "1");
    const { code, stderr } = await guest.tryMigrate(one, two, "--copy-storage-all");
    assertEquals(code, 1);
    assertStringIncludes(stderr, "the guest migrates here without the session");
    await guest.idle(two);
    assertEquals([filesOn(two), guest.notes(two)], [["copied-a.img"], []]);
    assertEquals(await guest.key(one), "2");
    await guest.destroy(one);
    await guest.idle(one);
    assertEquals([await countOn(image), await countOn(two.at(image))], [2, 0]);
    assertEquals([guest.flags(one), guest.flags(two)], [{ vda: false }, { vda: true }]);
    // What is there is no disk that anything could start from.
    assertEquals((await guest.tryStart(two)).code, 0);
    await guest.destroy(two);
    assertEquals(await guest.start(one), "3");
    await guest.destroy(one);
  } finally {
    await ok("umount", "-l", two.at(APART));
  }
});

Deno.test("a guest is copied to a host where its disk isn't configured, as the disk that it saw", async () => {
  const guest = await guestApart("copied-out");
  try {
    const image = guest.images[0]!;
    guest.configure(one, { vda: false });
    assertEquals(await guest.start(one), "1");
    await guest.migrate(one, two, "--copy-storage-all");
    assertEquals(await guest.key(two), "2");
    await guest.destroy(two);
    assertEquals([filesOn(two), await countOn(two.at(image))], [["copied-out-a.img"], 2]);
    assertEquals(await countOn(image), 0);
    assertEquals(await guest.start(one), "1");
    await guest.destroy(one);
    assertEquals(await countOn(image), 0);
  } finally {
    await ok("umount", "-l", two.at(APART));
  }
});

Deno.test("two hosts have one folder of configurations: a flagged session goes there and back, and is committed once", async () => {
  await ok("mount", "--bind", one.at(CONFIG), two.at(CONFIG));
  try {
    const guest = await MigratingGuest.make("shared");
    guest.configure(one, { vda: true });
    assertEquals(await guest.start(one), "1");
    await guest.migrate(one, two);
    assertEquals(await guest.key(two), "2");
    await guest.migrate(two, one);
    assertEquals(await guest.key(one), "3");
    const { migration } = await guest.beginMigration(one, two);
    await one.virsh("domjobabort", guest.name);
    assertEquals((await migration).code, 1);
    await guest.idle(two);
    await guest.migrate(one, two);
    assertEquals(await guest.key(two), "4");
    await guest.destroy(two);
    await guest.idle(two);
    assertEquals(guest.flags(one), { vda: false });
    assertEquals(await countOn(guest.images[0]!), 4);
    assertEquals(await guest.start(one), "5");
    await guest.destroy(one);
    assertEquals(await countOn(guest.images[0]!), 4);
    const isLeft = (file: string) => /merge|committing|keep|new/.test(file);
    await until("nothing is left of its commit", () => Promise.resolve(!guest.files().some(isLeft)));
  } finally {
    await ok("umount", "-l", two.at(CONFIG));
  }
});

/** The files that the guest's QEMU has open, as the kernel names them. */
function openFiles(host: typeof one, guest: MigratingGuest): string[] {
  const folder = `/proc/${host.qemu(guest.name)}/fd`;
  return [...Deno.readDirSync(folder)].flatMap(({ name }) => {
    try {
      return Deno.readLinkSync(`${folder}/${name}`);
    } catch {
      // Closed since.
      return [];
    }
  });
}

Deno.test("two hosts have one folder of configurations: a guest that both start at once runs once, on its session", async () => {
  await ok("mount", "--bind", one.at(CONFIG), two.at(CONFIG));
  try {
    const guest = await MigratingGuest.make("both");
    guest.configure(one, { vda: false });
    const logs = () =>
      [one, two].map((host) => `${host.name}:\n${host.log().split("\n").slice(-30).join("\n")}`).join("\n");
    const rounds = Deno.env.get("SHORT") ? 4 : 24;
    for (let round = 0; round < rounds; round++) {
      const lag = Math.random() * 600;
      const starts = await Promise.all([one, two].map(async (host, index) => {
        await delay(index * lag);
        return await guest.tryStart(host);
      }));
      const up = [one, two].filter((_, index) => starts[index]!.code === 0);
      const said = JSON.stringify(starts);
      assertEquals(up.length, 1, said);
      const opened = openFiles(up[0]!, guest).filter((file) => file.includes("/both-a.img"));
      assertEquals(opened.filter((file) => file.includes("(deleted)")), [], said);
      assertEquals(opened.some((file) => file.endsWith("/both-a.img")), true, said);
      assertEquals(await guest.counted(up[0]!), "1");
      await guest.destroy(up[0]!);
      assertEquals(guest.notes(one).filter((name) => name.endsWith(".starting")), []);
      assertEquals(await countOn(guest.images[0]!), 0, `${said}\n${up[0]!.name} was up\n${logs()}`);
    }
  } finally {
    await ok("umount", "-l", two.at(CONFIG));
  }
});
