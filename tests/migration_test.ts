/** Guests that migrate between two hosts with one folder of images. */

import { assertEquals } from "@std/assert";
import { TwoHosts } from "./two_hosts.ts";

/** libvirt tells the reason of an end from 10.5 on. */
const told = [true, false];
const said = (tells: boolean, reason: string) => tells ? reason : "-";

for (const tells of told) {
  const libvirt = tells ? "a libvirt that tells why" : "a libvirt that gives no reason";

  Deno.test(`an aborted migration leaves the session to the guest that runs on it, ${libvirt}`, async () => {
    for (const reason of ["failed", "destroyed"]) {
      using hosts = new TwoHosts();
      const { here, there } = hosts;
      hosts.disks({ vda: false });
      await hosts.start(here);
      here.write(here.image("vda"), "mine");
      await hosts.abort(there, said(tells, reason));
      assertEquals(here.state("vda").kind, "session");
      assertEquals(here.read(here.image("vda")), { base: "vda", mine: "yes" });
      await hosts.stop(here, said(tells, "shutdown"));
      assertEquals(here.disk("vda"), { base: "vda" });
    }
  });

  Deno.test(`an unflagged session is reverted where it ends, ${libvirt}`, async () => {
    using hosts = new TwoHosts();
    const { here, there } = hosts;
    hosts.disks({ vda: false });
    await hosts.start(here);
    await hosts.migrate(here, there, said(tells, "migrated"));
    await hosts.migrate(there, here, said(tells, "migrated"));
    await hosts.migrate(here, there, said(tells, "migrated"));
    here.write(here.image("vda"), "junk");
    await hosts.stop(there, said(tells, "shutdown"));
    assertEquals(here.disk("vda"), { base: "vda" });
    await hosts.start(here);
    assertEquals(here.read(here.image("vda")), { base: "vda" });
    await hosts.stop(here);
    assertEquals(here.files(), ["vda.img"]);
  });
}

Deno.test("a restore that fails after the guest was called up keeps its session for the next try", async () => {
  using hosts = new TwoHosts();
  const { here } = hosts;
  hosts.disks({ vda: false });
  await here.start();
  here.write(here.image("vda"), "saved");
  await here.stop("saved");
  await here.good("restore");
  await here.start();
  await here.stop("failed");
  assertEquals(here.read(here.image("vda")), { base: "vda", saved: "yes" });
  await here.good("restore");
  await here.start();
  assertEquals(here.read(here.image("vda")), { base: "vda", saved: "yes" });
  await here.stop("shutdown");
  assertEquals(here.files(), ["vda.img"]);
});
