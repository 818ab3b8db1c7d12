/** Whose the images are after a guest that libvirt gave them to has migrated. */

import { assertEquals } from "@std/assert";
import { ok, until } from "../libvirt.ts";
import { MigratingGuest, one, two } from "./hosts.ts";

Deno.test.beforeAll(async () => {
  for (const host of [one, two]) await host.boot();
});
Deno.test.afterAll(async () => {
  for (const host of [one, two]) await host.killLibvirtd();
});

/** Owner, group and mode of the image and its layers. */
async function owners(guest: MigratingGuest): Promise<string[]> {
  const names = guest.files().filter((file) => /^a\.img(\.backing_file.*)?$/.test(file));
  const paths = names.map((name) => guest.images[0]!.replace("a.img", name));
  return [...new Set((await ok("stat", "-c", "%u:%g %a", ...paths)).trim().split("\n"))];
}

/** A guest of these images that has migrated. */
async function migrated(name: string, owner: string, flag: boolean): Promise<MigratingGuest> {
  const guest = await MigratingGuest.make(name);
  await ok("chown", owner, guest.images[0]!);
  await ok("chmod", "640", guest.images[0]!);
  guest.configure(one, { vda: flag });
  guest.configure(two, { vda: false });
  assertEquals(await guest.start(one), "1");
  await guest.migrate(one, two);
  return guest;
}

for (const flag of [false, true]) {
  const what = flag ? "a flagged guest" : "a guest";

  Deno.test(`the images of ${what} that has migrated and ends there are root's again`, async () => {
    const guest = await migrated(`owner-there-${flag}`, "0:0", flag);
    await guest.destroy(two);
    await until(
      "it is merged",
      () => Promise.resolve(!guest.files().some((file) => /merge|file\.1/.test(file))),
    );
    assertEquals(await owners(guest), ["0:0 640"]);
  });

  Deno.test(`the images of ${what} that has migrated, is saved there and ends later are root's again`, async () => {
    const guest = await migrated(`owner-saved-${flag}`, "0:0", flag);
    assertEquals(await guest.key(two), "2");
    await two.virsh("managedsave", guest.name);
    await guest.idle(two);
    assertEquals((await guest.tryStart(two)).code, 0);
    assertEquals(await guest.key(two), "3");
    await guest.destroy(two);
    await until(
      "it is merged",
      () => Promise.resolve(!guest.files().some((file) => /merge|file\.1/.test(file))),
    );
    assertEquals(await owners(guest), ["0:0 640"]);
  });

  Deno.test(`the images of ${what} that comes home are whose they were`, async () => {
    const guest = await migrated(`owner-home-${flag}`, "1234:2345", flag);
    await guest.migrate(two, one);
    await guest.destroy(one);
    await until(
      "it is merged",
      () => Promise.resolve(!guest.files().some((file) => /merge|file\.1/.test(file))),
    );
    assertEquals(await owners(guest), ["1234:2345 640"]);
  });
}
