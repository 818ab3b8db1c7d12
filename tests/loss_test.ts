/** Sessions and commits that an ordinary day of an administrator must not lose. */

import { assertEquals } from "@std/assert";
import { Failing } from "./fault.ts";
import { snapshot } from "./tree.ts";
import { DOMAIN, exists, LATER, World } from "./world.ts";

const base = { base: "vda" };
const session = { ...base, session: "yes" };

/** A guest that is up and has written. */
async function up(flag: boolean): Promise<World & { readonly vda: string }> {
  const world = Object.assign(new World(), { vda: "" });
  world.vda = world.image("vda");
  world.disks({ vda: flag });
  await world.start();
  world.write(world.vda, "session");
  return world;
}

/** A session that was committed, and is not merged yet. */
async function committed(keys: Readonly<Record<string, unknown>>): Promise<World & { readonly vda: string }> {
  const world = await up(true);
  world.keys = keys;
  world.configure({ vda: true });
  await world.good("release", "shutdown", { mergeDies: true });
  return world;
}

Deno.test("what an external snapshot stood on is kept by the recovery that the manual names, in its order", async () => {
  using world = await up(false);
  world.sources.set("vda", `${world.images}/vda.snap`);
  await world.stop();
  world.sources.set("vda", world.vda);
  // The flag comes last, after qemu-img commit wrote to the session.
  world.configure({ vda: true }, LATER);
  await world.start();
  assertEquals(world.read(world.vda), session);
  await world.stop();
  assertEquals([world.disk("vda"), world.flags().vda], [session, false]);
});

Deno.test("a managed save that is dropped keeps its session, if its flag was set after the last write", async () => {
  for (const reason of ["saved", "-"]) {
    using world = await up(false);
    world.configure({ vda: true }, LATER);
    const save = `${world.settings.saveFolder}/${DOMAIN}.save`;
    Deno.writeTextFileSync(save, "");
    await world.stop(reason);
    Deno.removeSync(save);
    await world.start();
    assertEquals(world.read(world.vda), session, reason);
  }
});

Deno.test("a commit that fails is done after the next session, if its flag was set after the last write", async () => {
  for (const fault of ["fails before", "dies before"] as const) {
    for (let step = 0; step < 5; step++) {
      using world = await up(false);
      world.configure({ vda: true }, LATER);
      await world.event("release", "shutdown", { perform: new Failing(step, fault).perform });
      if (fault === "dies before" && step === 0) continue;
      await world.start();
      assertEquals(world.read(world.vda), session, `${fault} ${step}`);
    }
  }
});

Deno.test("a session that goes on is committed by the flag of the target that its disk has now", async () => {
  using world = await up(true);
  await world.stop("crashed");
  world.sources.clear();
  world.sources.set("sda", world.vda);
  world.configure({ sda: true });
  await world.start();
  assertEquals(world.read(world.vda), session);
  await world.stop();
  assertEquals([world.read(world.vda), world.flags().sda], [session, false]);
});

Deno.test("a guest that starts before its images are mounted finds its session when they are", async () => {
  using world = await up(true);
  const away = `${world.root}/away`;
  Deno.renameSync(world.images, away);
  Deno.mkdirSync(world.images);
  assertEquals((await world.event("prepare")).code, 1);
  await world.event("release", "failed");
  Deno.removeSync(world.images);
  Deno.renameSync(away, world.images);
  await world.start();
  assertEquals(world.read(world.vda), session);
});

Deno.test("a guest that is up when libvirtd comes back is up: its end is no end of a failed start", async () => {
  using world = new World();
  world.disks({ vda: true });
  await world.good("prepare");
  await world.good("start");
  // libvirtd died before it called the hook again.
  await world.good("reconnect");
  world.write(world.image("vda"), "session");
  await world.stop();
  assertEquals([world.disk("vda"), world.flags().vda], [session, false]);
});

Deno.test("a reconnect never fails, since libvirt would kill the guest", async () => {
  using world = new World();
  world.disks({ vda: true });
  await world.start();
  Deno.mkdirSync(`${world.config}/${DOMAIN}.starting/in-the-way`, { recursive: true });
  const { code, said } = await world.event("reconnect");
  assertEquals([code, said.length], [0, 1]);
});
Deno.test("a merge doesn't begin where the upper layer stands on another disk's file", async () => {
  using world = await committed({ "keep-commits": 0 });
  const other = `${world.images}/other.img.backing_file`;
  const [lower, upper] = [`${world.vda}.backing_file`, `${world.vda}.backing_file.1`];
  world.save(other, null, base);
  world.save(upper, other, { session: "yes" });
  const before = snapshot(world.images);
  const { code, said } = await world.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: "${upper}" stands on "${other}", should be "${lower}"`,
    "hint: if the layers were copied, moved or renamed together: " +
    `qemu-img rebase -u -f qcow2 -F qcow2 -b ${lower} ${upper}`,
  ]]);
  assertEquals(snapshot(world.images), before);
});

Deno.test("a guest doesn't take another one's session on the same image for its own of long ago", async () => {
  using world = new World();
  world.disks({ vda: false });
  const vda = world.image("vda");
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${world.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  for (const operation of ["prepare", "started", "release"]) await world.event(operation, "-", second);
  assertEquals(exists(`${vda}.autorevert-ended`), true);
  world.configure({ vda: true });
  await world.start();
  world.write(vda, "session");
  assertEquals((await world.event("prepare", "-", second)).code, 1);
  await world.event("release", "failed", second);
  await world.start();
  assertEquals(world.read(vda), session);
  await world.stop();
  assertEquals(world.disk("vda"), session);
});

Deno.test("a guest leaves an image alone that it had long ago and another one has now", async () => {
  for (const end of ["saved", "-"]) {
    using world = await up(false);
    await world.stop("-");
    const note = `${world.config}/${DOMAIN}.session`;
    Deno.removeSync(world.configFile);
    const second = { domain: "second" };
    Deno.writeTextFileSync(`${world.config}/second.json`, '{"disks": [{"target": "vda"}]}');
    for (const operation of ["prepare", "started"]) await world.event(operation, "-", second);
    world.write(world.vda, "session", "second's");

    world.sources.clear();
    await world.good("prepare");
    await world.good("started");
    await world.stop(end);
    assertEquals(world.read(world.vda), { ...base, session: "second's" });
    assertEquals(exists(note), false);
  }
});

Deno.test("undo of one guest knows that another's merge has torn the layer below", async () => {
  using world = await committed({ "keep-commits": 0 });
  const { tearing } = await import("./fault.ts");
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${world.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  await world.merge({ perform: tearing(world) });
  await world.event("prepare", "-", second);
  await world.event("started", "-", second);
  await world.event("release", "shutdown", { ...second, mergeDies: true });
  const { code } = await world.command("undo", second);
  assertEquals([code, world.disk("vda")], [1, session]);
});

Deno.test("a power cut keeps a session that was meant, though the file was edited after its last write", async () => {
  using begun = await up(true);
  begun.configure({ vda: true }, LATER);
  await begun.start();
  assertEquals(begun.read(begun.vda), session);

  using running = await up(false);
  running.define();
  running.run();
  assertEquals((await running.type(["commit", DOMAIN])).code, 0);
  running.halt();
  running.configure({ vda: true }, LATER);
  await running.start();
  assertEquals(running.read(running.vda), session);

  using cancelled = await up(true);
  cancelled.define();
  cancelled.run();
  assertEquals((await cancelled.type(["commit", "--cancel", DOMAIN])).code, 0);
  cancelled.halt();
  cancelled.configure({ vda: true }, LATER);
  await cancelled.start();
  assertEquals(cancelled.disk("vda"), cancelled.read(cancelled.vda));
});
