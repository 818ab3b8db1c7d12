/** Guests with UEFI variables and a TPM that migrate between two hosts. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { runIn, until } from "../libvirt.ts";
import { MigratingGuest, NVRAM, one, two } from "./hosts.ts";

const SWTPM = "/var/lib/libvirt/swtpm";

/** Continuous integration has no time for them, but for firmware on one host. */
const whole = Deno.env.get("SHORT") ? Deno.test.ignore : Deno.test;

Deno.test.beforeAll(async () => {
  for (const host of [one, two]) await host.boot();
});
Deno.test.afterAll(async () => {
  for (const host of [one, two]) await host.killLibvirtd();
});

async function machine(...command: string[]): Promise<void> {
  const { code, stderr } = await runIn("", ...command);
  assertEquals(code, 0, `${command.join(" ")}: ${stderr}`);
}

/** What lies beside the guest's variables at the first host, where an end without a reason has not set them aside. */
async function beside(guest: MigratingGuest): Promise<string[]> {
  if (!await one.tellsReason() || !await two.tellsReason()) return [];
  return [...Deno.readDirSync(one.at(NVRAM))].map(({ name }) => name)
    .filter((name) => name.startsWith(`${guest.name}_VARS.fd.`)).sort();
}

/** Both hosts have these folders in common. */
async function share(...folders: string[]): Promise<AsyncDisposable> {
  for (const folder of folders) {
    await machine("mkdir", "-p", one.at(folder), two.at(folder));
    await machine("mount", "--bind", one.at(folder), two.at(folder));
  }
  return {
    [Symbol.asyncDispose]: async () => {
      for (const folder of folders) await machine("umount", "-l", two.at(folder));
    },
  };
}

whole(
  "variables on shared storage go there and back, and are reverted and committed with the disk",
  async () => {
    await using _shared = await share(NVRAM);
    const guest = await MigratingGuest.make("variables", { firmware: { tpm: false } });
    for (const host of [one, two]) guest.configure(host, { vda: false });
    assertEquals(await guest.start(one), "1, disk 0");
    const made = await guest.firmware(one, ".backing_file");
    await guest.migrate(one, two);
    assertEquals(await guest.reset(two), "2, disk 1");
    await guest.migrate(two, one);
    const { migration } = await guest.beginMigration(one, two);
    await one.virsh("domjobabort", guest.name);
    assertEquals((await migration).code, 1);
    await guest.idle(two);
    assertEquals(await guest.reset(one), "3, disk 2");
    await guest.migrate(one, two);
    await guest.destroy(two);
    assertEquals([await guest.firmware(two), await beside(guest)], [made, []]);

    guest.configure(two, { vda: true });
    assertEquals(await guest.start(two), "1, disk 0");
    await guest.migrate(two, one);
    assertEquals(await guest.reset(one), "2, disk 1");
    const kept = await guest.firmware(one);
    await guest.destroy(one);
    await guest.idle(one);
    assertEquals(guest.flags(two), { vda: false });
    assertEquals(await guest.firmware(two), kept);
    await until("it is merged", () => Promise.resolve(guest.files().join() === "a.img"));
    for (const host of [two, one]) {
      assertEquals(await guest.start(host), "3, disk 2");
      await guest.destroy(host);
    }
    assertEquals([await guest.firmware(two), await beside(guest)], [kept, []]);
  },
);

for (const isShared of [false, true]) {
  const how = isShared ? "with its TPM on shared storage" : "without shared storage";
  whole(`${how} a guest is not let in, goes on, and is committed with its firmware`, async () => {
    await using shared = isShared ? await share(NVRAM, SWTPM) : undefined;
    const guest = await MigratingGuest.make(`apart-${shared !== undefined}`, { firmware: { tpm: true } });
    guest.configure(one, { vda: true });
    guest.configure(two, { vda: false });
    assertEquals(await guest.start(one), "1, disk 0");
    const { code, stderr } = await guest.tryMigrate(one, two);
    assertEquals(code, 1);
    assertStringIncludes(
      stderr,
      isShared ? "where a migration fails" : "the guest migrates here without the session",
    );
    await guest.idle(two);
    assertEquals(guest.notes(two), []);
    assertEquals(await guest.reset(one), "2, disk 1");
    const kept = await guest.firmware(one);
    await guest.destroy(one);
    await guest.idle(one);
    assertEquals(await guest.firmware(one), kept);
    assertEquals(await guest.start(one), "3, disk 2");
    await guest.destroy(one);
  });
}

whole(
  "where the target's file says nothing of the variables, they stay at home, and go back there",
  async () => {
    const guest = await MigratingGuest.make("unlisted", { firmware: { tpm: false } });
    guest.configure(one, { vda: false });
    guest.configure(two, { vda: false }, {}, false);
    assertEquals(await guest.start(one), "1, disk 0");
    const made = await guest.firmware(one, ".backing_file");
    await guest.migrate(one, two);
    assertEquals(await guest.reset(two), "2, disk 1");
    await guest.destroy(two);
    assertEquals(await guest.start(one), "1, disk 0");
    await guest.destroy(one);
    assertEquals([await guest.firmware(one), await beside(guest)], [made, []]);
  },
);
