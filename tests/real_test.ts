/** Whole lives of a guest with the real `qemu-img` and real images. */

import { assert, assertEquals } from "@std/assert";
import { openInQemu, qemuIo } from "./qemu.ts";
import { find, plain, realFixture, write } from "./real_fixture.ts";
import { snapshot } from "./tree.ts";
import { type Fixture, LONG_AGO } from "./fixture.ts";

Deno.test("a session is forgotten at its end, and the image is the very file it was", async () => {
  using fixture = realFixture(false);
  const { ino } = Deno.statSync(fixture.vda);
  for (let life = 0; life < 2; life++) {
    await fixture.start();
    find(fixture.vda, 1, 0);
    write(fixture.vda, 0, 9);
    write(fixture.vda, 1, 9);
    await fixture.stop();
    assertEquals(fixture.files(), ["vda.img"]);
    assertEquals(Deno.statSync(fixture.vda).ino, ino);
  }
  find(fixture.vda, 1, 0);
});

const clones: readonly (readonly [string, (golden: string) => string])[] = [
  ["relative", () => "golden.img"],
  ["absolute", (golden) => golden],
];

for (const [how, path] of clones) {
  Deno.test(`a linked clone by ${how} path is reverted and committed, and its golden image never touched`, async () => {
    using fixture = realFixture(false, (image) => {
      const golden = image.replace("vda", "golden");
      plain(golden);
      qemuIo(["create", "-f", "qcow2", "-F", "qcow2", "-b", path(golden), image]);
      write(image, 1, 2);
    });
    const golden = fixture.image("golden");
    const before = Deno.readFileSync(golden);
    for (const flag of [false, true]) {
      fixture.configure({ vda: flag });
      await fixture.start();
      find(fixture.vda, 1, 2, 0);
      write(fixture.vda, 2, 3);
      await fixture.stop();
    }
    assertEquals(fixture.files(), ["golden.img", "vda.img"]);
    find(fixture.vda, 1, 2, 3);
    const after = Deno.readFileSync(golden);
    assert(before.length === after.length && before.every((byte, at) => byte === after[at]));
  });
}

const owner = Deno.uid() === 0 ? { uid: 1234, gid: 2345 } : { uid: Deno.uid()!, gid: Deno.gid()! };
const strange = { uid: Deno.uid() === 0 ? 64055 : owner.uid, gid: owner.gid };

for (const flag of [false, true]) {
  Deno.test(`owner, group and mode survive a session that is ${flag ? "committed" : "forgotten"}`, async () => {
    using fixture = realFixture(flag);
    Deno.chownSync(fixture.vda, owner.uid, owner.gid);
    Deno.chmodSync(fixture.vda, 0o640);
    await fixture.start();
    const { uid, gid, mode } = Deno.statSync(fixture.vda);
    assertEquals([uid, gid, mode! & 0o7777], [owner.uid, owner.gid, 0o640]);
    // libvirt gives the whole chain to its QEMU user, and returns only the top.
    for (const name of fixture.files()) {
      Deno.chownSync(`${fixture.images}/${name}`, strange.uid, strange.gid);
      Deno.chmodSync(`${fixture.images}/${name}`, 0o600);
    }
    write(fixture.vda, 1, 2);
    await fixture.stop();
    const after = Deno.statSync(fixture.vda);
    assertEquals([after.uid, after.gid, after.mode! & 0o7777], [owner.uid, owner.gid, 0o640]);
    find(fixture.vda, 1, flag ? 2 : 0);
  });
}

Deno.test("an image that another process writes to loses nothing by a start that QEMU then refuses", async () => {
  using fixture = realFixture(true);
  const { ino } = Deno.statSync(fixture.vda);
  {
    await using _other = await openInQemu(fixture.vda);
    await fixture.event("prepare");
    await fixture.event("release", "failed");
  }
  assertEquals(fixture.files(), ["vda.img"]);
  assertEquals(Deno.statSync(fixture.vda).ino, ino);
  assertEquals(fixture.flags(), { vda: true });
  find(fixture.vda, 1);
});

Deno.test("a session that a guest runs on is never replaced by another, nor ended at a start", async () => {
  using fixture = realFixture(false);
  await fixture.start();
  write(fixture.vda, 1, 2);
  {
    await using _guest = await openInQemu(fixture.vda);
    const { code, said } = await fixture.event("prepare");
    assertEquals([code, said], [1, [
      `error: guest vda: "${fixture.vda}" is open in another process`,
      `hint: find it: fuser -v ${fixture.vda}; if that finds nothing, it is open on another host`,
    ]]);
    await fixture.event("release", "failed");
    await fixture.event("release", "-");
  }
  find(fixture.vda, 1, 2);
});

Deno.test("a session that was flagged but is damaged is refused, not thrown away", async () => {
  using fixture = realFixture(true);
  await fixture.start();
  Deno.writeTextFileSync(fixture.vda, "damaged");
  fixture.configure({ vda: true }, LONG_AGO);
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said], [1, [
    `error: guest vda: "${fixture.vda}" is a session that was to be committed, but no readable qcow2 image any more`,
    `hint: try to mend it: qemu-img check -r all ${fixture.vda}; or give it up: autorevert recover --discard guest vda`,
  ]]);
  assertEquals(Deno.readTextFileSync(fixture.vda), "damaged");
});

Deno.test("a base that is no qcow2 is refused, and stays as it is", async () => {
  using fixture = realFixture(false, (image) => void qemuIo(["create", "-f", "raw", image, "1M"]));
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  assertEquals(said, [
    `error: guest vda: "${fixture.vda}" is no readable qcow2 image`,
    `hint: see what it is: qemu-img info ${fixture.vda}; and mend it, or correct the domain with virsh edit`,
  ]);
  assertEquals(fixture.files(), ["vda.img"]);
});

/** The guest's disk is the one in a copy of the image folder. */
function copied(fixture: Fixture): string {
  const copy = `${fixture.root}/copy`;
  new Deno.Command("cp", { args: ["-a", fixture.images, copy] }).outputSync();
  fixture.settings = { ...fixture.settings, imageFolders: [copy] };
  Deno.removeSync(fixture.note);
  fixture.sources.set("vda", `${copy}/vda.img`);
  return `${copy}/vda.img`;
}

Deno.test("layers that were copied elsewhere stand on the original: refused, and the hint's commands mend it", async () => {
  for (const state of ["layered", "session"]) {
    using fixture = realFixture(true);
    fixture.keys = { "keep-commits": 1 };
    fixture.configure({ vda: true });
    await fixture.start();
    write(fixture.vda, 1, 2);
    await fixture.stop();
    if (state === "session") {
      await fixture.start();
      write(fixture.vda, 2, 3);
    }
    const copy = copied(fixture);
    const original = snapshot(fixture.images);
    const { code, said } = await fixture.event("prepare");
    assertEquals([code, said[0]], [
      1,
      `error: guest vda: "${copy}" stands on files with another path: its layers were copied, moved or renamed`,
    ]);
    await fixture.good("release", "failed");

    const commands = said[1]!.slice(said[1]!.indexOf("qemu-img"));
    assert(new Deno.Command("sh", { args: ["-c", commands] }).outputSync().success, commands);
    if (state === "session") {
      find(copy, 1, 2, 3);
      Deno.removeSync(copy);
    }
    fixture.keys = { "keep-commits": 0 };
    fixture.configure({ vda: false });
    await fixture.start();
    find(copy, 1, 2, 0);
    await fixture.stop();
    assertEquals(fixture.files(`${fixture.root}/copy`), ["vda.img"]);
    find(copy, 1, 2, 0);
    assertEquals(snapshot(fixture.images), original);
  }
});

Deno.test("a relative backing file that a link leads past is refused, and the hint's command mends it", async () => {
  using fixture = realFixture(false);
  const [golden, linked] = [`${fixture.images}/golden.img`, `${fixture.root}/vm`];
  Deno.renameSync(fixture.vda, golden);
  qemuIo(["create", "-f", "qcow2", "-F", "qcow2", "-b", "golden.img", fixture.vda]);
  // The link's folder has another golden image: without a session, the guest has that one.
  Deno.mkdirSync(linked);
  Deno.symlinkSync(fixture.vda, `${linked}/vda.img`);
  plain(`${linked}/golden.img`);
  write(`${linked}/golden.img`, 0, 7);
  fixture.sources.set("vda", `${linked}/vda.img`);
  fixture.define();
  find(`${linked}/vda.img`, 7);
  const before = snapshot(fixture.images);
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said[0]], [
    1,
    `error: guest vda: the backing file of "${fixture.vda}" is relative: through the link "${linked}/vda.img" it is ` +
    `"${linked}/golden.img", in a session it would be "${golden}"`,
  ]);
  assertEquals(snapshot(fixture.images), before);
  await fixture.good("release", "failed");

  const command = said[1]!.slice(said[1]!.indexOf("qemu-img")).replace("FORMAT", "qcow2");
  assert(new Deno.Command("sh", { args: ["-c", command] }).outputSync().success, command);
  await fixture.start();
  find(fixture.vda, 7);
  write(fixture.vda, 0, 9);
  await fixture.stop();
  find(`${linked}/vda.img`, 7);
});

Deno.test("an external snapshot that has a commit of its own comes back into the disk as the hint says", async () => {
  using fixture = realFixture(true);
  fixture.keys = { "keep-commits": 2 };
  const session = async (image: string, block: number, pattern: number) => {
    fixture.configure({ vda: true });
    await fixture.start();
    write(image, block, pattern);
    await fixture.stop();
  };
  fixture.define();
  await session(fixture.vda, 1, 2);
  // virsh snapshot-create-as guest s1 --disk-only, while it is shut off.
  const snapshot = fixture.image("snapshot");
  qemuIo(["create", "-f", "qcow2", "-F", "qcow2", "-b", fixture.vda, snapshot]);
  fixture.sources.set("vda", snapshot);
  fixture.define();
  await session(snapshot, 2, 3);
  await session(snapshot, 3, 4);
  const { printed } = await fixture.type("check guest");
  const [command] = /qemu-img commit [^;]*/.exec(printed.join("\n").replaceAll(fixture.vda, "VDA"))!;
  const words = command.replace("VDA", fixture.vda).replace("SNAPSHOT", snapshot).split(" ").slice(1);
  qemuIo(words);
  fixture.sources.set("vda", fixture.vda);
  fixture.define();
  await fixture.start();
  find(fixture.vda, 1, 2, 3, 4);
});
