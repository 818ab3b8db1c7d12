/** Migrations that fail, or whose hosts do. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { exists } from "../../fixture.ts";
import { countOn, ok, runIn, until } from "../libvirt.ts";
import { MigratingGuest, one, two } from "./hosts.ts";

Deno.test.beforeAll(async () => {
  for (const host of [one, two]) await host.boot();
});
Deno.test.afterAll(async () => {
  for (const host of [one, two]) await host.killLibvirtd();
});

for (const flag of [true, false]) {
  const what = flag ? "a flagged guest" : "a guest";
  Deno.test(`${what} goes on where it was when its migration fails after its images were given up`, async () => {
    // Of both it is Debian 12's libvirt that gives no reason at an end.
    const [from, to] = [two, one];
    const guest = await MigratingGuest.make(`late-failure-${flag}`);
    guest.configure(from, { vda: flag });
    guest.configure(to, { vda: false });
    assertEquals(await guest.start(from), "1");
    const { migration } = await guest.beginMigration(from, to);
    await guest.isUnderWay(from);
    // The target's QEMU gets all of it and dies before the guest goes on there: until libvirtd says so the source waits.
    Deno.kill(to.libvirtd, "SIGSTOP");
    try {
      await until(
        "all has gone over",
        async () => (await from.tryVirsh("domstate", guest.name)).stdout.includes("paused"),
      );
      await new Promise((wake) => setTimeout(wake, 500));
      Deno.kill(to.qemu(guest.name), "SIGKILL");
    } finally {
      Deno.kill(to.libvirtd, "SIGCONT");
    }
    assertEquals((await migration).code, 1);
    // Its libvirtd may have missed that, which was stopped.
    await to.tryVirsh("destroy", guest.name);
    await until("its end is over", () => Promise.resolve(guest.notes(to).length === 0));
    await guest.idle(to);
    assertEquals(await guest.key(from), "2");
    await guest.destroy(from);
    await guest.idle(from);
    assertEquals(await countOn(guest.images[0]!), flag ? 2 : 0);
    assertEquals(guest.flags(from), { vda: false });
    assertEquals(await guest.start(from), flag ? "3" : "1");
    await guest.destroy(from);
    assertEquals(await countOn(guest.images[0]!), flag ? 2 : 0);
  });
}

Deno.test("a flagged guest goes on at its target while its memory still comes, and is committed once", async () => {
  const guest = await MigratingGuest.make("post-copy", { isRoot: true });
  guest.configure(one, { vda: true });
  guest.configure(two, { vda: false });
  assertEquals(await guest.start(one), "1");
  const { migration } = await guest.beginMigration(one, two, "--postcopy");
  await guest.startPostCopy(one);
  assertEquals((await migration).code, 0);
  await guest.idle(one);
  assertEquals(guest.flags(one), { vda: false });
  assertEquals(await guest.key(two), "2");
  await guest.destroy(two);
  await guest.idle(two);
  assertEquals(await countOn(guest.images[0]!), 2);
  assertEquals(await guest.start(one), "3");
  await guest.destroy(one);
  assertEquals(await countOn(guest.images[0]!), 2);
});

Deno.test("a flagged guest that dies at its target while its memory still comes is kept, and its flag is spent", async () => {
  const guest = await MigratingGuest.make("post-copy-lost", { isRoot: true });
  guest.configure(one, { vda: true });
  guest.configure(two, { vda: false });
  assertEquals(await guest.start(one), "1");
  await one.virsh("migrate-setspeed", guest.name, "1", "--postcopy");
  const { migration } = await guest.beginMigration(one, two, "--postcopy");
  await guest.startPostCopy(one);
  await until(
    "it goes on there",
    async () => (await two.tryVirsh("domstate", guest.name)).stdout.includes("running"),
  );
  // Under load all of its memory may be there by now.
  Deno.kill(two.qemu(guest.name), "SIGKILL");
  await migration;
  await until("its end is over", () => guest.isOff(two));
  await guest.idle(two);
  await one.tryVirsh("destroy", guest.name);
  await guest.idle(one);
  assertEquals(await countOn(guest.images[0]!), 1);
  assertEquals(guest.flags(one), { vda: false });
  assertEquals(await guest.start(one), "2");
  await guest.destroy(one);
});

Deno.test("a flagged guest goes on where it was when the libvirtd of its target is killed", async () => {
  const guest = await MigratingGuest.make("target-killed");
  guest.configure(one, { vda: true });
  guest.configure(two, { vda: false });
  assertEquals(await guest.start(one), "1");
  const { migration } = await guest.beginMigration(one, two);
  await guest.isUnderWay(one);
  await two.killLibvirtd();
  assertEquals((await migration).code, 1);
  await two.startLibvirtd();
  await until("the target has let it go", () => guest.isOff(two));
  await until("its end is over", () => Promise.resolve(guest.notes(two).length === 0));
  assertEquals(await guest.key(one), "2");
  await guest.destroy(one);
  await guest.idle(one);
  assertEquals(await countOn(guest.images[0]!), 2);
  assertEquals(guest.flags(one), { vda: false });
});

Deno.test("a merge that is killed on one host can't be undone on the other, which completes it", async () => {
  const guest = await MigratingGuest.make("torn");
  guest.configure(one, { vda: true });
  guest.configure(two, { vda: false });
  assertEquals(await guest.start(one), "1");
  await guest.migrate(one, two);
  assertEquals(await guest.key(two), "2");
  // All is copied, and the merge dies before it knows.
  const [program, copied] = [two.at("/usr/bin/qemu-img"), two.at("/run/copied")];
  await runIn("", "mv", program, `${program}.real`);
  const slow =
    `#!/bin/sh\n$0.real "$@" || exit\n[ "$1" != commit ] || { touch /run/copied; exec sleep 20; }\n`;
  Deno.writeTextFileSync(program, slow, { mode: 0o755 });
  try {
    await two.virsh("destroy", guest.name);
    await until("it has copied", () => Promise.resolve(exists(copied)));
    await ok("pkill", "-9", "-f", `autorevert merge -- ${guest.name}$`);
  } finally {
    await runIn("", "mv", `${program}.real`, program);
  }
  assert(guest.files().includes("a.img.autorevert-merge.1"), guest.files().join());
  const { code, stderr } = await one.run("/etc/libvirt/hooks/autorevert", "undo", guest.name, "--yes");
  assertEquals(code, 1);
  assertStringIncludes(stderr, "is already being merged");
  assertEquals(await guest.start(one), "3");
  await guest.destroy(one);
  await until("it is merged", () => Promise.resolve(!guest.files().some((file) => file.includes("merge"))));
  await guest.idle(one);
  assertEquals(await countOn(guest.images[0]!), 2);
  await ok("qemu-img", "check", "-q", guest.images[0]!);
});
