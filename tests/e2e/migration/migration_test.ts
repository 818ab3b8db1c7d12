/** Guests that migrate between two hosts, each with a real libvirtd and the compiled hook. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { countOn, IMAGES, ok, until } from "../libvirt.ts";
import { type Machine, MigratingGuest, one, two } from "./hosts.ts";

Deno.test.beforeAll(async () => {
  for (const host of [one, two]) await host.boot();
});
Deno.test.afterAll(async () => {
  for (const host of [one, two]) await host.killLibvirtd();
});

/** Continuous integration has time for one of them. */
const directions = ([[one, two], [two, one]] as const).slice(0, Deno.env.get("SHORT") ? 1 : 2);
const name = (what: string, from: Machine) => `${what}-${from.name}`;

/** Where libvirt gives no reason, an ended session is set aside until the guest is up again. */
async function assertNothingLeft(guest: MigratingGuest, ...hosts: Machine[]): Promise<void> {
  for (const host of hosts) {
    await guest.start(host);
    await guest.destroy(host);
    await host.virsh("undefine", guest.name);
  }
  // A session that is set aside needs one layer to stand on, whatever its number.
  const commits = () =>
    guest.files().filter((file) => file.includes("backing_file")).length - guest.images.length;
  await until("its commits are merged", () => Promise.resolve(commits() <= 0));
  assertEquals(guest.files().filter((file) => /autorevert-(?!ended)/.test(file)), []);
  for (const image of guest.images) await ok("qemu-img", "check", "-q", image);
}

for (const [from, to] of directions) {
  const way = `from ${from.name} to ${to.name}`;

  Deno.test(`an unflagged session goes ${way} and is reverted there`, async () => {
    const guest = await MigratingGuest.make(name("plain", from));
    for (const host of [from, to]) guest.configure(host, { vda: false });
    assertEquals(await guest.start(from), "1");
    await guest.migrate(from, to);
    assertEquals(await guest.key(to), "2");
    await guest.destroy(to);
    assertEquals(await countOn(guest.images[0]!), 0);
    await assertNothingLeft(guest, to, from);
  });

  for (const also of [false, true]) {
    Deno.test(`a session flagged at home${also ? " and there" : ""} goes ${way} and is committed once`, async () => {
      const guest = await MigratingGuest.make(name(`flagged-${also}`, from));
      guest.configure(from, { vda: true });
      guest.configure(to, { vda: also });
      assertEquals(await guest.start(from), "1");
      await guest.migrate(from, to);
      assertEquals(guest.flags(from), { vda: false });
      assertMatch(
        await from.autorevert("status", guest.name),
        /its session runs on another host; commit at its end/,
      );
      assertMatch(await to.autorevert("status", guest.name), /running on a session; commit at its end/);
      assertEquals(await guest.key(to), "2");
      await guest.destroy(to);
      await guest.idle(to);
      assertEquals(await countOn(guest.images[0]!), 2);
      assertEquals(guest.flags(to), { vda: false });
      await to.virsh("undefine", guest.name);
      assertEquals(await guest.start(from), "3");
      await guest.destroy(from);
      assertEquals(await countOn(guest.images[0]!), 2);
      await assertNothingLeft(guest, from);
    });
  }

  Deno.test(`a migration ${way} that is aborted leaves the session where it is`, async () => {
    const guest = await MigratingGuest.make(name("aborted", from));
    guest.configure(from, { vda: true });
    guest.configure(to, { vda: false });
    assertEquals(await guest.start(from), "1");
    const { migration } = await guest.beginMigration(from, to);
    await from.virsh("domjobabort", guest.name);
    assertEquals((await migration).code, 1);
    await guest.idle(to);
    assertEquals(await guest.key(from), "2");
    await guest.destroy(from);
    await guest.idle(from);
    assertEquals(await countOn(guest.images[0]!), 2);
    assertEquals(guest.flags(from), { vda: false });
  });

  Deno.test(`several disks go ${way} and back, and each is what its flag says`, async () => {
    const guest = await MigratingGuest.make(name("several", from), { disks: 3 });
    guest.configure(from, { vda: true, vdb: false });
    guest.configure(to, { vda: false, vdb: false });
    assertEquals(await guest.start(from), "1 1 1");
    await guest.migrate(from, to);
    assertEquals(await guest.key(to), "2 2 2");
    await guest.migrate(to, from);
    assertEquals(await guest.key(from), "3 3 3");
    await guest.destroy(from);
    await guest.idle(from);
    assertEquals(await Promise.all([countOn(guest.images[0]!)]), [3]);
    assertEquals(await countOn(guest.images[1]!), 0);
    assertEquals(await countOn(guest.images[2]!), 3);
  });

  Deno.test(`a flag that is set while the guest runs goes with the session ${way}`, async () => {
    const guest = await MigratingGuest.make(name("late", from));
    for (const host of [from, to]) guest.configure(host, { vda: false });
    assertEquals(await guest.start(from), "1");
    guest.configure(from, { vda: true });
    await guest.migrate(from, to);
    assertEquals(await guest.key(to), "2");
    await guest.destroy(to);
    await guest.idle(to);
    assertEquals(await countOn(guest.images[0]!), 2);
    assertEquals(guest.flags(from), { vda: false });
  });

  Deno.test(`a guest goes ${way} where it has no configuration, and its flagged session waits for its return`, async () => {
    const guest = await MigratingGuest.make(name("unlisted", from));
    guest.configure(from, { vda: true });
    assertEquals(await guest.start(from), "1");
    await guest.migrate(from, to);
    assertEquals(await guest.key(to), "2");
    await guest.destroy(to);
    await to.virsh("undefine", guest.name);
    assertEquals(await guest.start(from), "3");
    await guest.destroy(from);
    await guest.idle(from);
    assertEquals(await countOn(guest.images[0]!), 3);
  });

  Deno.test(`a start on ${from.name} is refused while the guest runs on ${to.name}`, async () => {
    const guest = await MigratingGuest.make(name("twice", from));
    guest.configure(from, { vda: true });
    guest.configure(to, { vda: false });
    assertEquals(await guest.start(from), "1");
    await guest.migrate(from, to);
    const { code, stderr } = await guest.tryStart(from);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "is open in another process");
    assertEquals(await guest.key(to), "2");
    await guest.destroy(to);
    await guest.idle(to);
    assertEquals(await countOn(guest.images[0]!), 2);
  });

  Deno.test(`a flagged guest is saved on ${from.name} and restored on ${to.name}`, async () => {
    const guest = await MigratingGuest.make(name("saved", from));
    guest.configure(from, { vda: true });
    guest.configure(to, { vda: false });
    assertEquals(await guest.start(from), "1");
    const save = `${IMAGES}/${guest.name}.save`;
    await from.virsh("save", guest.name, save);
    await guest.idle(from);
    await guest.restore(to, save);
    assertEquals(await guest.key(to), "2");
    await guest.destroy(to);
    await guest.idle(to);
    // Where libvirt doesn't tell a save from a shutdown, the commit was done at the save.
    const tells = guest.flags(from).vda === false && await from.tellsReason();
    assertEquals(await countOn(guest.images[0]!), tells ? 2 : 1);
    assertEquals(guest.flags(from), { vda: false });
  });

  Deno.test(`the libvirtd of ${from.name} is killed in the middle: the flagged session is committed once`, async () => {
    const guest = await MigratingGuest.make(name("killed", from));
    guest.configure(from, { vda: true });
    guest.configure(to, { vda: false });
    assertEquals(await guest.start(from), "1");
    const { migration } = await guest.beginMigration(from, to);
    await from.killLibvirtd();
    await migration;
    await from.startLibvirtd();
    await until("one has it", async () => await guest.isOff(from) !== await guest.isOff(to));
    const host = await guest.isOff(from) ? to : from;
    assertEquals(await guest.key(host), "2");
    await guest.destroy(host);
    await guest.idle(host);
    assertEquals(await countOn(guest.images[0]!), 2);
    assert(!guest.files().some((file) => file.includes("keep")));
  });
}
