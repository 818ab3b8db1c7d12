/** Migrations that fail, or whose hosts do. */

import { assertEquals } from "@std/assert";
import { countOn, until } from "../libvirt.ts";
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
    const [from, to] = [one, two];
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
