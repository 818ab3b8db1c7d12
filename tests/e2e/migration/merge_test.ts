/** Guests that come to run on one host while a merge of the other one, or of the same, copies. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { countOn, IMAGES, ok, slowMerges, until } from "../libvirt.ts";
import { type Machine, MigratingGuest, one, two } from "./hosts.ts";

Deno.test.beforeAll(async () => {
  for (const host of [one, two]) await host.boot();
});
Deno.test.afterAll(async () => {
  for (const host of [one, two]) await host.killLibvirtd();
});

/** Kilobytes a second, and of a session that is committed: its merge copies for ten seconds. */
const [RATE, MUCH] = [90, 900];

const KEEPS = { "keep-commits": 1 };

const isCopying = (guest: MigratingGuest) => guest.files().includes("a.img.autorevert-merge.1");

async function copies(guest: MigratingGuest): Promise<void> {
  await until("the merge copies", () => Promise.resolve(isCopying(guest)));
}

/** A guest whose first session was committed on a host. */
async function committed(
  name: string,
  host: Machine,
  keys?: Record<string, unknown>,
): Promise<MigratingGuest> {
  const guest = await MigratingGuest.make(name);
  for (const each of [one, two]) guest.configure(each, { vda: each === host }, keys);
  assertEquals(await guest.start(host), "1");
  await guest.write(host, MUCH);
  await host.virsh("destroy", guest.name);
  return guest;
}

/** The merge has gone on by itself, and the disk is what was committed. */
async function endsAs(guest: MigratingGuest, count: number): Promise<void> {
  // Below a session that is set aside one layer stays.
  const layers = () => guest.files().filter((file) => file.includes("backing_file"));
  await until("it is merged", () => Promise.resolve(!isCopying(guest) && layers().length <= 1), 30);
  assertEquals(await countOn(guest.images[0]!), count);
  await ok("qemu-img", "check", "-q", guest.images[0]!);
}

/** Continuous integration has time for one of them, and for one of the saved guests. */
const isShort = Deno.env.get("SHORT") !== undefined;
const directions = ([[one, two], [two, one]] as const).slice(0, isShort ? 1 : 2);

for (const [from, to] of directions) {
  Deno.test(`a guest comes to ${to.name} when the merge of ${from.name} is done, and goes back`, async () => {
    await using _slow = await slowMerges(RATE, from.root);
    const guest = await committed(`done-${from.name}`, from);
    await copies(guest);
    const { code, stderr } = await guest.tryStart(to);
    assertEquals(code, 1);
    assertMatch(stderr, /is open in another process|is still written by the qemu-img of a merge/);
    assert(isCopying(guest), guest.files().join());
    assertEquals(await guest.start(to), "2");
    await guest.migrate(to, from);
    assertEquals(await guest.key(from), "3");
    await guest.destroy(from);
    await endsAs(guest, 1);
  });

  // Where libvirt tells of a save, no layer is merged below the session.
  const cases = await from.tellsReason() ? [] : [
    { what: `from which it comes, ${from.name}`, merging: from, flag: false },
    { what: `from which it comes, ${from.name}, where it was flagged`, merging: from, flag: true },
    { what: `to which it comes, ${to.name}`, merging: to, flag: false },
  ];
  for (const [index, { what, merging, flag }] of cases.slice(0, isShort ? 1 : 3).entries()) {
    Deno.test(`a saved guest is restored on ${to.name} while a merge copies on the host ${what}`, async () => {
      await using _slow = await slowMerges(RATE, merging.root);
      const guest = await committed(`saved-${index}-${from.name}`, to, KEEPS);
      guest.configure(from, { vda: flag }, merging === from ? {} : KEEPS);
      assertEquals(await guest.start(from), "2");
      const save = `${IMAGES}/${guest.name}.save`;
      await from.virsh("save", guest.name, save);
      guest.configure(to, { vda: false });
      const merge = merging === to && to.run("/etc/libvirt/hooks/autorevert", "merge", guest.name);
      await copies(guest);
      await guest.restore(to, save);
      await merge;
      if (merging === to) assertStringIncludes(to.log(), `${guest.name} vda: merge interrupted by a start`);
      assertEquals(await guest.key(to), "3");
      await guest.destroy(to);
      await endsAs(guest, flag ? 2 : 1);
    });
  }
}
