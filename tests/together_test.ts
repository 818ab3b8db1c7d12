/** Several disks of a guest: which of them are committed together, and what waits for what. */

import { assert, assertEquals } from "@std/assert";
import { session, up } from "./up.ts";
import { DOMAIN, World } from "./world.ts";

Deno.test("a decided commit that no note tells of is finished at the next start", async () => {
  using world = await up(false);
  Deno.removeSync(`${world.config}/${DOMAIN}.session`);
  Deno.renameSync(world.vda, `${world.vda}.autorevert-committing`);
  await world.start();
  assertEquals(world.read(world.vda), session);
  await world.stop();
  assertEquals(world.disk("vda"), session);
});

Deno.test("of two flagged disks none is committed as long as nobody can tell what stands on the other", async () => {
  using world = new World();
  world.disks({ vda: true, vdb: true });
  await world.start();
  const loop = `${world.root}/loop`;
  Deno.symlinkSync(loop, loop);
  world.sources.set("vdb", loop);
  await world.good("release", "shutdown");
  assertEquals(world.flags(), { vda: true, vdb: true });
  assertEquals(["vda", "vdb"].map((target) => world.state(target).kind), ["session", "session"]);
});

Deno.test("a commit doesn't wait for a disk in use that isn't flagged, or is no longer the guest's", async () => {
  for (const flag of [false, true]) {
    using world = new World();
    world.disks({ vda: true, vdb: flag });
    await world.start();
    world.write(world.image("vda"), "session");
    world.busy.add(world.image("vdb"));
    if (flag) world.sources.delete("vdb");
    await world.good("release", "-");
    assertEquals(world.disk("vda"), { base: "vda", session: "yes" });
    assertEquals(world.flags(), { vda: false, vdb: flag });
    assertEquals(world.state("vdb").kind, "session");
  }
});

Deno.test("of two flagged disks none is committed as long as one can't be", async () => {
  using world = new World();
  world.disks({ vda: true, vdb: true });
  await world.start();
  for (const target of ["vda", "vdb"]) world.write(world.image(target), "session");
  world.busy.add(world.image("vdb"));
  const { log } = await world.event("release", "-");
  assert(log.includes("guest vda: hold: another disk of the guest can't be committed yet"));
  assertEquals(world.flags(), { vda: true, vdb: true });
  assertEquals(["vda", "vdb"].map((target) => world.state(target).kind), ["session", "session"]);

  world.busy.clear();
  await world.start();
  for (const target of ["vda", "vdb"]) {
    assertEquals(world.read(world.image(target)), { base: target, session: "yes" });
  }
  await world.stop();
  assertEquals(world.flags(), { vda: false, vdb: false });
  for (const target of ["vda", "vdb"]) assertEquals(world.disk(target), { base: target, session: "yes" });
});

Deno.test("a decided commit is not finished as long as its flag can't be read: it would be done twice", async () => {
  using world = await up(true);
  Deno.linkSync(world.vda, `${world.vda}.autorevert-committing`);
  world.configureText("{");
  await world.event("release", "shutdown");
  assertEquals(world.state("vda").kind, "committing");
  world.configure({ vda: true });
  await world.good("release", "shutdown");
  assertEquals([world.disk("vda"), world.flags().vda], [session, false]);
});

Deno.test("a session without a flag, or that another file may stand on, doesn't join another disk's commit", async () => {
  using world = new World();
  world.disks({ vda: true, vdb: true, vdc: false });
  await world.start();
  for (const target of ["vda", "vdc"]) world.write(world.image(target), "session");
  Deno.linkSync(world.image("vda"), `${world.image("vda")}.autorevert-committing`);
  world.sources.set("vdb", `${world.images}/snapshot.img`);
  await world.good("release", "shutdown");
  assertEquals(["vda", "vdb", "vdc"].map((target) => world.state(target).kind), [
    "plain",
    "session",
    "plain",
  ]);
  assertEquals(world.disk("vda"), { base: "vda", session: "yes" });
  assertEquals(world.disk("vdc"), { base: "vdc" });
  assertEquals(world.flags(), { vda: false, vdb: true, vdc: false });
});

Deno.test("a commit whose flag was cleared before the power cut is finished without clearing one", async () => {
  using world = await up(true);
  Deno.linkSync(world.vda, `${world.vda}.autorevert-committing`);
  world.configure({ vda: false });
  const { log } = await world.event("prepare");
  assertEquals(log.filter((line) => line.includes("clear ")), []);
  assertEquals(world.read(world.vda), session);
});

Deno.test("somebody's own overlay doesn't join another disk's commit", async () => {
  using world = await up(true);
  Deno.linkSync(world.vda, `${world.vda}.autorevert-committing`);
  const vdb = world.image("vdb");
  world.save(`${vdb}.backing_file`, null, { base: "vdb" });
  world.save(vdb, `${vdb}.backing_file`, { own: "yes" });
  world.sources.set("vdb", vdb);
  world.configure({ vda: true, vdb: true });
  assertEquals((await world.event("prepare")).code, 1);
  assertEquals(world.state("vdb").kind, "session");
  assertEquals(world.flags().vdb, true);
});
