/** Lives of a guest that are not as they should be, on whole sequences of libvirt's calls. */

import { assert, assertEquals } from "@std/assert";
import { Failing } from "./fault.ts";
import { checkSaid } from "./refused.ts";
import { snapshot } from "./tree.ts";
import { base, session, up } from "./up.ts";
import { DOMAIN, LATER, LONG_AGO, World } from "./world.ts";
import { domainXml } from "./xml.ts";

/** After this end the session is still there, and the next start goes on with it. */
async function checkHeld(world: World & { readonly vda: string }, mend: () => void): Promise<void> {
  assertEquals(world.read(world.vda), session);
  mend();
  await world.start();
  assertEquals(world.read(world.vda), session);
  await world.stop();
  assertEquals(world.disk("vda"), session);
  assertEquals(world.files(), ["vda.img"]);
}

Deno.test("a flagged session outlives a configuration that isn't valid at its end", async () => {
  using world = await up(true);
  world.configureText('{"disks": [');
  const { code, said } = await world.event("release", "shutdown");
  assertEquals([code, said.length], [0, 2]);
  await checkHeld(world, () => world.configure({ vda: true }));
});

Deno.test("a flagged session outlives an XML that can't be read at its end", async () => {
  using world = await up(true);
  assertEquals((await world.event("release", "shutdown", { xml: "" })).code, 0);
  await checkHeld(world, () => {});
});

Deno.test("a flagged session outlives an end in which nothing can be written, flag and all", async () => {
  using world = await up(true);
  const { code, said } = await world.event("release", "shutdown", {
    perform: new Failing(0, "dies before").perform,
  });
  assertEquals([code, world.flags()], [0, { vda: true }]);
  assert(said.length > 0);
  await checkHeld(world, () => {});
});

Deno.test("a managed save keeps the session, where libvirt gives no reason", async () => {
  using world = await up(true);
  Deno.writeTextFileSync(`${world.settings.saveFolder}/${DOMAIN}.save`, "");
  await world.stop("-");
  assertEquals([world.state("vda").kind, world.flags().vda], ["session", true]);
  await world.good("restore");
  await world.start();
  assertEquals(world.read(world.vda), session);
});

Deno.test("a session in use elsewhere is left, where libvirt gives no reason", async () => {
  using world = await up(true);
  world.busy.add(world.vda);
  await world.stop("-");
  assertEquals([world.state("vda").kind, world.flags().vda], ["session", true]);
});

Deno.test("a saved guest that is dropped starts clean", async () => {
  using world = await up(false);
  await world.stop("saved");
  await world.start();
  assertEquals(world.read(world.vda), base);
});

Deno.test("nothing is reverted below an external snapshot, and the log tells what to do", async () => {
  for (const reason of ["shutdown", "crashed", "failed", "-"]) {
    using world = await up(true);
    const snapshotFile = `${world.images}/vda.snap`;
    world.save(snapshotFile, world.vda, { snapshot: "yes" });
    world.sources.set("vda", snapshotFile);
    const before = snapshot(world.images);
    const { log } = await world.event("release", reason);
    assertEquals(snapshot(world.images), before, reason);
    assertEquals(log.filter((line) => line.includes("leave to a person")).length, 1);
    assertEquals(log.filter((line) => line.includes(`virsh domblklist --inactive ${DOMAIN}`)).length, 1);
    assertEquals(world.read(snapshotFile), { ...session, snapshot: "yes" });
  }
});

Deno.test("a disk that was detached in the session is reverted at its end", async () => {
  using world = await up(false);
  await world.good("release", "shutdown", { xml: domainXml([]) });
  assertEquals(world.files(), ["vda.img"]);
  assertEquals(world.disk("vda"), base);
});

Deno.test("a disk that was detached and is in use elsewhere is left", async () => {
  using world = await up(false);
  world.busy.add(world.vda);
  await world.good("release", "shutdown", { xml: domainXml([]) });
  assertEquals(world.state("vda").kind, "session");
});

Deno.test("a guest that is migrated away and back goes on with its session", async () => {
  using world = await up(true);
  await world.stop("migrated");
  await world.good("migrate");
  await world.start();
  assertEquals(world.read(world.vda), session);
  await world.stop();
  assertEquals(world.disk("vda"), session);
});

Deno.test("a guest that comes without its session is refused, and nothing is touched", async () => {
  using world = new World();
  world.disks({ vda: false });
  const before = snapshot(world.images);
  await world.good("migrate");
  const { code, said } = await world.event("prepare");
  assertEquals(code, 1);
  checkSaid(
    said,
    `vda: the guest migrates here without the session of "${world.image("vda")}" that it runs on`,
    "migrate on shared storage, between hosts that both have this hook and the guest's configuration",
  );
  await world.event("release", "failed");
  assertEquals(snapshot(world.images), before);
});

Deno.test("a session set aside whose layers are gone is not put back", async () => {
  using world = await up(false);
  await world.stop("-");
  Deno.removeSync(`${world.vda}.backing_file`);
  await world.good("restore");
  const { code, said } = await world.event("prepare");
  assertEquals(code, 1);
  checkSaid(
    said,
    `vda: "${world.vda}.autorevert-ended" is the session the guest was saved on, but its layers are gone`,
    `bring its backing file back, or drop the saved guest and its session: rm ${world.vda}.autorevert-ended`,
  );
});

Deno.test("a second guest on the same image is refused, and the first one's session is safe", async () => {
  using world = await up(true);
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${world.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  const before = snapshot(world.images);
  for (const busy of [true, false]) {
    if (busy) world.busy.add(world.vda);
    else world.busy.clear();
    assertEquals((await world.event("prepare", "-", second)).code, 1);
    assertEquals((await world.event("release", "failed", second)).code, 0);
    assertEquals(snapshot(world.images), before);
  }
  await world.stop();
  assertEquals(world.disk("vda"), session);
});

Deno.test("a disk without an image gets it back from its layer, whether a note tells of it or not", async () => {
  using world = new World();
  world.disks({ vda: false });
  Deno.renameSync(world.image("vda"), `${world.image("vda")}.backing_file`);
  await world.start();
  assertEquals(world.read(world.image("vda")), base);
  await world.stop();
  assertEquals(world.files(), ["vda.img"]);
});

Deno.test("the end of a start that died before its overlay was made leaves one file", async () => {
  using world = new World();
  world.disks({ vda: false });
  const beforeCreate = new Failing(3, "dies before");
  await world.event("prepare", "-", { perform: beforeCreate.perform });
  assertEquals(world.files(), ["vda.img", "vda.img.backing_file"]);
  await world.stop("failed");
  assertEquals(world.files(), ["vda.img"]);
  assertEquals(world.files(world.config).includes(`${DOMAIN}.session`), false);
});

Deno.test("nothing is merged at the end of a start that was refused: another guest may run on the layers", async () => {
  using world = await up(true);
  world.merges = false;
  await world.event("release", "shutdown");
  world.merges = true;
  const layers = snapshot(world.images);
  world.configureText("{");
  assertEquals((await world.event("prepare")).code, 1);
  await world.event("release", "failed");
  assertEquals(snapshot(world.images), layers);
});

Deno.test("a session that was set aside goes at the next start, not before", async () => {
  using world = await up(false);
  await world.stop("-");
  assertEquals(world.read(`${world.vda}.autorevert-ended`), session);
  await world.start();
  assertEquals(world.files(), ["vda.img", "vda.img.backing_file"]);
});

Deno.test("a session that was set aside goes at the start that resumes another, too: it must not outlive a commit", async () => {
  using world = await up(false);
  await world.stop("-");
  world.configure({ vda: true });
  // Power fails when the new session is there, and the old one not gone yet.
  await world.event("prepare", "-", { perform: new Failing(6, "dies before").perform });
  assertEquals(world.files(), ["vda.img", "vda.img.autorevert-ended", "vda.img.backing_file"]);
  await world.start();
  assertEquals(world.files(), ["vda.img", "vda.img.backing_file"]);
  world.write(world.vda, "committed");
  await world.good("release", "shutdown", { mergeDies: true });
  await world.command("keep");
  assertEquals(world.disk("vda"), { ...base, committed: "yes" });
});

Deno.test("a flag that is set while a guest is up is meant for that session, and one set after a crash for the next", async () => {
  using world = await up(false);
  world.configure({ vda: true });
  await world.stop();
  assertEquals([world.disk("vda"), world.flags().vda], [session, false]);

  await world.start();
  world.write(world.vda, "lost");
  await world.stop("crashed");
  world.configure({ vda: true });
  await world.start();
  assertEquals([world.read(world.vda), world.flags().vda], [session, true]);
});

Deno.test("a start asks about each disk once: libvirt waits for it", async () => {
  using world = await up(true);
  world.keys = { "keep-commits": 1 };
  world.configure({ vda: true });
  await world.stop();
  assertEquals(world.state("vda").kind, "layered");
  const { look } = world.qemuImg;
  const asked: string[] = [];
  world.qemuImg = {
    ...world.qemuImg,
    look: (image) => {
      asked.push(image);
      return look.call(world.qemuImg, image);
    },
  };
  await world.start();
  assertEquals(asked, [world.vda]);
});

Deno.test("a power cut in a flagged session: what is edited later doesn't end it, if it began flagged or was held", async () => {
  for (const begins of [true, false]) {
    using world = await up(begins);
    if (!begins) {
      world.configure({ vda: true });
      await world.stop("crashed");
    }
    world.configure({ vda: true }, LATER);
    await world.start();
    assertEquals(world.read(world.vda), session);
  }
});

Deno.test("a power cut in a session whose flag was set while it wrote: it goes on", async () => {
  using world = await up(false);
  world.configure({ vda: true }, LONG_AGO);
  await world.start();
  assertEquals(world.read(world.vda), session);
});

Deno.test("a restore that never came to its start keeps no session of ten minutes later", async () => {
  using world = await up(false);
  await world.good("restore");
  const before = new Date("2025-12-31T23:49:59Z");
  Deno.utimeSync(`${world.config}/${DOMAIN}.starting`, before, before);
  await world.start();
  assertEquals(world.read(world.vda), base);
});

Deno.test("a session that a power cut left flagged goes on after a second one, whatever was edited in between", async () => {
  using world = await up(false);
  world.configure({ vda: true }, LONG_AGO);
  await world.start();
  world.configure({ vda: true }, LATER);
  await world.start();
  assertEquals(world.read(world.vda), session);
});

Deno.test("a flag that came after a power cut is no word about the session that the start cut short left", async () => {
  using world = await up(false);
  world.configure({ vda: true }, LATER);
  // The note is written, and nothing else.
  await world.event("prepare", "-", { perform: new Failing(1, "dies before").perform });
  await world.start();
  assertEquals(world.read(world.vda), base);
});
