/** Whose the images are after a guest that libvirt gave them to has migrated. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { ok, until } from "../libvirt.ts";
import { type Machine, MigratingGuest, one, two } from "./hosts.ts";

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
async function migrated(
  name: string,
  owner: string,
  flag: boolean,
  [from, to] = [one, two],
): Promise<MigratingGuest> {
  const guest = await MigratingGuest.make(name);
  await ok("chown", owner, guest.images[0]!);
  await ok("chmod", "640", guest.images[0]!);
  guest.configure(from, { vda: flag });
  guest.configure(to, { vda: false });
  assertEquals(await guest.start(from), "1");
  await guest.migrate(from, to);
  return guest;
}

interface SavedGuest {
  readonly guest: MigratingGuest;
  readonly host: Machine;
}

/**
 * A guest that has migrated and is saved there. QEMU can't save each one that has come ("Bad address", however often it is asked to): then
 * another one takes the other way.
 */
async function savedThere(name: string, flag: boolean, tries = 6): Promise<SavedGuest> {
  const [from, host] = tries % 2 === 0 ? [one, two] : [two, one];
  const guest = await migrated(`${name}-${tries}`, "0:0", flag, [from, host]);
  assertEquals(await guest.key(host), "2");
  const { code, stderr } = await host.tryVirsh("managedsave", guest.name);
  if (code === 0) return { guest, host };
  if (tries === 1) throw new Error(`no guest can be saved: ${stderr}`);
  assertStringIncludes(stderr, "Bad address");
  await guest.destroy(host);
  return await savedThere(name, flag, tries - 1);
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
    const { guest, host } = await savedThere(`owner-saved-${flag}`, flag);
    await guest.idle(host);
    assertEquals((await guest.tryStart(host)).code, 0);
    assertEquals(await guest.key(host), "3");
    await guest.destroy(host);
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
