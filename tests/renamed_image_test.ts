/** Images, folders and targets that an administrator has given other names while commits or sessions lay there. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { bootAgain } from "./boot.ts";
import { Fixture } from "./fixture.ts";
import { base, committed, session, up } from "./running_guest.ts";

Deno.test("an image that is renamed without its layers is refused, keeps what it stands on, and is back by what the message says", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  const renamed = `${fixture.images}/renamed.img`;
  Deno.renameSync(fixture.vda, renamed);
  fixture.sources.set("vda", renamed);
  fixture.define();
  const { code, said } = await fixture.event("prepare");
  await fixture.event("release", "failed");
  assertEquals([code, said.slice(0, 2)], [1, [
    `error: guest vda: "${renamed}" stands on "${fixture.vda}.backing_file": it was renamed from "${fixture.vda}", or copied, without its layers`,
    `hint: if it was renamed, mv -n ${renamed} ${fixture.vda} && virsh edit guest; if it is a copy, have it stand on nothing: ` +
    `qemu-img rebase -f qcow2 -b '' ${renamed}`,
  ]]);
  await fixture.type("merge guest");
  assertEquals(fixture.read(renamed), session);
  assert(new Deno.Command("mv", { args: ["-n", renamed, fixture.vda] }).outputSync().success);
  fixture.sources.set("vda", fixture.vda);
  fixture.define();
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("an image that is renamed over a session that died is refused, and the session is discarded under its own name", async () => {
  using fixture = await up(false);
  await bootAgain(fixture);
  const renamed = `${fixture.images}/renamed.img`;
  Deno.renameSync(fixture.vda, renamed);
  fixture.sources.set("vda", renamed);
  fixture.define();
  for (let start = 0; start < 2; start++) {
    assertEquals((await fixture.event("prepare")).code, 1);
    await fixture.event("release", "failed");
    assertEquals(fixture.read(renamed), session);
  }
  fixture.sources.set("vda", fixture.vda);
  fixture.define();
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("another disk's image that lies in a disk's place is not made to stand on that disk's commits", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: true, vdb: true }).define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), target);
  await fixture.stop();
  Deno.renameSync(fixture.image("vdb"), fixture.image("vda"));
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said.some((line) => line.includes("rebase"))], [1, false]);
  assertStringIncludes(said.join(), `is no overlay on "${fixture.image("vda")}.backing_file.1"`);
});

for (const aside of [false, true]) {
  Deno.test(`a disk whose folder was moved, with a link in its place, and which has another target, is there once, a session set aside: ${aside}`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-session": true };
    fixture.disks({ vda: false }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop();
    if (!aside) Deno.removeSync(`${fixture.vda}.autorevert-ended`);
    const moved = `${fixture.root}/moved`;
    Deno.renameSync(fixture.images, moved);
    Deno.symlinkSync(moved, fixture.images);
    fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, moved] };
    const image = fixture.sources.get("vda")!;
    fixture.sources.delete("vda");
    fixture.sources.set("sda", image);
    fixture.configure({ sda: false });
    fixture.define();
    for (let start = 0; start < 2; start++) {
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), base);
      await fixture.stop();
    }
  });
}

for (const way of ["--keep", "--discard"]) {
  Deno.test(`recover ${way} ends no session that a blockcommit has brought into the layer that is the disk now`, async () => {
    using fixture = await up(false);
    const layer = `${fixture.vda}.backing_file`;
    // virsh blockcommit --active --pivot
    fixture.write(layer, "later");
    fixture.sources.set("vda", layer);
    fixture.define();
    await fixture.stop();
    const { code, said } = await fixture.type(`recover ${way} guest ${fixture.vda} --yes`);
    assertEquals([code, fixture.read(layer)], [1, { ...base, later: "yes" }]);
    assertStringIncludes(said.join(), `ln -f ${layer} ${fixture.vda}`);
  });
}

for (const commits of [0, 1]) {
  Deno.test(`a layer that the domain names after a blockcommit which has deleted the overlay keeps its name, with so many commits: ${commits}`, async () => {
    using fixture = new Fixture().disks({ vda: commits > 0 });
    await fixture.start();
    if (commits > 0) {
      await fixture.event("release", "shutdown", { mergeDies: true });
      await fixture.start({ mergeDies: true });
    }
    const layer = `${fixture.vda}.backing_file`;
    // virsh blockcommit --base LAYER --active --pivot --delete
    Deno.removeSync(fixture.vda);
    fixture.write(layer, "session");
    fixture.sources.set("vda", layer);
    fixture.define();
    await fixture.event("release", "shutdown");
    await fixture.type("merge guest");
    assertEquals(fixture.read(layer), session);
    const { said } = await fixture.event("prepare");
    await fixture.event("release", "failed");
    const [, command] = /shut off, (.*), then name/.exec(said.join("\n"))!;
    assert(new Deno.Command("sh", { args: ["-c", command!] }).outputSync().success);
    fixture.sources.set("vda", fixture.vda);
    fixture.define();
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), session);
  });
}

for (const way of ["--keep", "--discard"]) {
  Deno.test(`recover ${way} ends no session whose layers a blockcopy stands on`, async () => {
    using fixture = await up(false);
    // virsh blockcopy --shallow --pivot
    const copy = `${fixture.images}/copy.img`;
    fixture.save(copy, `${fixture.vda}.backing_file`, { session: "yes" });
    fixture.sources.set("vda", copy);
    fixture.define();
    await fixture.stop();
    const { code, said } = await fixture.type(`recover ${way} guest ${fixture.vda} --yes`);
    assertEquals([code, fixture.read(copy)], [1, session]);
    assertEquals(said, [
      `error: guest vda: the domain names "${copy}", which stands on "${fixture.vda}.backing_file"`,
      `hint: to have it stand on nothing, while the guest is shut off: qemu-img rebase -f qcow2 -b '' ${copy}`,
    ]);
    fixture.save(copy, null, session);
    assertEquals((await fixture.type(`recover ${way} guest ${fixture.vda} --yes`)).code, 0);
    assertEquals(fixture.read(copy), session);
  });
}

Deno.test("no merge takes a layer from under a copy of the image that the domain names now", async () => {
  using fixture = await committed({ "keep-commits": 1 });
  const copy = `${fixture.images}/copy.img`;
  Deno.copyFileSync(fixture.vda, copy);
  fixture.sources.set("vda", copy);
  fixture.define();
  await fixture.type("enable guest --keep-commits 0");
  await fixture.type("merge guest");
  assertEquals(fixture.read(copy), session);
});

Deno.test("commits of an image that the domain names no more are merged where nothing else stands on them", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  const next = `${fixture.images}/next.img`;
  fixture.save(next, null, { next: "yes" });
  fixture.sources.set("vda", next);
  fixture.define();
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(fixture.files(), ["next.img", "vda.img"]);
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("check tells of a disk whose backing file is missing", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const below = `${fixture.images}/below.img`;
  fixture.save(fixture.vda, below, { base: "vda" });
  fixture.define();
  const { printed, said } = await fixture.type("check guest");
  assertStringIncludes(
    [...printed, ...said].join("\n"),
    `"${below}" is missing, which "${fixture.vda}" stands on`,
  );
});
