/** Whole lives of a guest with the real `qemu-img` and real images. */

import { assert, assertEquals } from "@std/assert";
import { openInQemu, qemuIo } from "./qemu.ts";
import { find, plain, realWorld, write } from "./real.ts";
import { snapshot } from "./tree.ts";
import { LONG_AGO, type World } from "./world.ts";

Deno.test("a session is forgotten at its end, and the image is the very file it was", async () => {
  using world = realWorld(false);
  const { ino } = Deno.statSync(world.vda);
  for (let life = 0; life < 2; life++) {
    await world.start();
    find(world.vda, 1, 0);
    write(world.vda, 0, 9);
    write(world.vda, 1, 9);
    await world.stop();
    assertEquals(world.files(), ["vda.img"]);
    assertEquals(Deno.statSync(world.vda).ino, ino);
  }
  find(world.vda, 1, 0);
});

Deno.test("a commit is done once, and another one after it", async () => {
  using world = realWorld(true);
  await world.start();
  write(world.vda, 1, 2);
  await world.stop();
  assertEquals(world.flags(), { vda: false });
  assertEquals(world.files(), ["vda.img"]);

  await world.start();
  find(world.vda, 1, 2, 0);
  write(world.vda, 1, 9);
  await world.stop();
  find(world.vda, 1, 2, 0);

  world.configure({ vda: true });
  await world.start();
  write(world.vda, 0, 3);
  write(world.vda, 2, 4);
  await world.stop();
  find(world.vda, 3, 2, 4);
});

Deno.test("two commits that could not be merged are merged after the next session", async () => {
  using world = realWorld(true);
  const merging = world.qemuImg;
  world.qemuImg = { ...merging, commit: () => Promise.reject(new Error("no space")) };
  for (const block of [1, 2]) {
    world.configure({ vda: true });
    await world.start();
    write(world.vda, block, block + 1);
    await world.event("release", "shutdown");
  }
  assertEquals(world.files(), [
    "vda.img",
    "vda.img.backing_file",
    "vda.img.backing_file.1",
    "vda.img.backing_file.2",
  ]);
  world.qemuImg = merging;
  await world.start();
  find(world.vda, 1, 2, 3);
  await world.stop();
  assertEquals(world.files(), ["vda.img"]);
  find(world.vda, 1, 2, 3);
});

Deno.test("a guest that was saved without a word goes on with its session", async () => {
  using world = realWorld(false);
  await world.start();
  write(world.vda, 1, 2);
  await world.stop("-");
  find(world.vda, 1, 0);
  await world.good("restore");
  await world.start();
  find(world.vda, 1, 2);
  await world.stop();
  assertEquals(world.files(), ["vda.img"]);
  find(world.vda, 1, 0);
});

Deno.test("maintenance survives a power cut", async () => {
  using world = realWorld(true);
  await world.start();
  write(world.vda, 1, 2);
  await world.start();
  find(world.vda, 1, 2);
  write(world.vda, 2, 3);
  await world.stop();
  assertEquals(world.flags(), { vda: false });
  find(world.vda, 1, 2, 3);
});

Deno.test("a power cut reverts where no flag is set", async () => {
  using world = realWorld(false);
  await world.start();
  write(world.vda, 0, 9);
  await world.start();
  find(world.vda, 1);
  await world.stop();
  assertEquals(world.files(), ["vda.img"]);
});

const clones: readonly (readonly [string, (golden: string) => string])[] = [
  ["relative", () => "golden.img"],
  ["absolute", (golden) => golden],
];

for (const [how, path] of clones) {
  Deno.test(`a linked clone by ${how} path is reverted and committed, and its golden image never touched`, async () => {
    using world = realWorld(false, (image) => {
      const golden = image.replace("vda", "golden");
      plain(golden);
      qemuIo(["create", "-f", "qcow2", "-F", "qcow2", "-b", path(golden), image]);
      write(image, 1, 2);
    });
    const golden = world.image("golden");
    const before = Deno.readFileSync(golden);
    for (const flag of [false, true]) {
      world.configure({ vda: flag });
      await world.start();
      find(world.vda, 1, 2, 0);
      write(world.vda, 2, 3);
      await world.stop();
    }
    assertEquals(world.files(), ["golden.img", "vda.img"]);
    find(world.vda, 1, 2, 3);
    const after = Deno.readFileSync(golden);
    assert(before.length === after.length && before.every((byte, at) => byte === after[at]));
  });
}

const owner = Deno.uid() === 0 ? { uid: 1234, gid: 2345 } : { uid: Deno.uid()!, gid: Deno.gid()! };
const strange = { uid: Deno.uid() === 0 ? 64055 : owner.uid, gid: owner.gid };

for (const flag of [false, true]) {
  Deno.test(`owner, group and mode survive a session that is ${flag ? "committed" : "forgotten"}`, async () => {
    using world = realWorld(flag);
    Deno.chownSync(world.vda, owner.uid, owner.gid);
    Deno.chmodSync(world.vda, 0o640);
    await world.start();
    const { uid, gid, mode } = Deno.statSync(world.vda);
    assertEquals([uid, gid, mode! & 0o7777], [owner.uid, owner.gid, 0o640]);
    // libvirt gives the whole chain to its QEMU user, and returns only the top.
    for (const name of world.files()) {
      Deno.chownSync(`${world.images}/${name}`, strange.uid, strange.gid);
      Deno.chmodSync(`${world.images}/${name}`, 0o600);
    }
    write(world.vda, 1, 2);
    await world.stop();
    const after = Deno.statSync(world.vda);
    assertEquals([after.uid, after.gid, after.mode! & 0o7777], [owner.uid, owner.gid, 0o640]);
    find(world.vda, 1, flag ? 2 : 0);
  });
}

Deno.test("an image that another process writes to loses nothing by a start that QEMU then refuses", async () => {
  using world = realWorld(true);
  const { ino } = Deno.statSync(world.vda);
  {
    await using _other = await openInQemu(world.vda);
    await world.event("prepare");
    await world.event("release", "failed");
  }
  assertEquals(world.files(), ["vda.img"]);
  assertEquals(Deno.statSync(world.vda).ino, ino);
  assertEquals(world.flags(), { vda: true });
  find(world.vda, 1);
});

Deno.test("a session that a guest runs on is never frozen anew, nor ended without a word", async () => {
  using world = realWorld(false);
  await world.start();
  write(world.vda, 1, 2);
  {
    await using _guest = await openInQemu(world.vda);
    const { code, said } = await world.event("prepare");
    assertEquals([code, said], [1, [
      `error: guest vda: "${world.vda}" is open in another process`,
      `hint: find it: fuser -v ${world.vda}`,
    ]]);
    await world.event("release", "failed");
    await world.event("release", "-");
  }
  find(world.vda, 1, 2);
});

Deno.test("a session that was flagged but is damaged is refused, not thrown away", async () => {
  using world = realWorld(true);
  await world.start();
  Deno.writeTextFileSync(world.vda, "damaged");
  world.configure({ vda: true }, LONG_AGO);
  const { code, said } = await world.event("prepare");
  assertEquals([code, said], [1, [
    `error: guest vda: "${world.vda}" is a session that was to be committed, but no readable qcow2 image any more`,
    `hint: try to mend it: qemu-img check -r all ${world.vda}; or give it up: take the flag out of the configuration`,
  ]]);
  assertEquals(Deno.readTextFileSync(world.vda), "damaged");
});

Deno.test("a base that is no qcow2 is refused, and stays as it is", async () => {
  using world = realWorld(false, (image) => void qemuIo(["create", "-f", "raw", image, "1M"]));
  const { code, said } = await world.event("prepare");
  assertEquals(code, 1);
  assertEquals(said, [
    `error: guest vda: "${world.vda}" is no readable qcow2 image`,
    `hint: see what it is: qemu-img info ${world.vda}; and mend it, or correct the domain with virsh edit`,
  ]);
  assertEquals(world.files(), ["vda.img"]);
});

/** The guest's disk is the one in a copy of the image folder. */
function copied(world: World): string {
  const copy = `${world.root}/copy`;
  new Deno.Command("cp", { args: ["-a", world.images, copy] }).outputSync();
  world.settings = { ...world.settings, imageFolders: [copy] };
  Deno.removeSync(`${world.config}/guest.session`);
  world.sources.set("vda", `${copy}/vda.img`);
  return `${copy}/vda.img`;
}

Deno.test("layers that were copied elsewhere stand on the original: refused, and the hint's commands mend it", async () => {
  for (const state of ["layered", "session"]) {
    using world = realWorld(true);
    world.keys = { "keep-commits": 1 };
    world.configure({ vda: true });
    await world.start();
    write(world.vda, 1, 2);
    await world.stop();
    if (state === "session") {
      await world.start();
      write(world.vda, 2, 3);
    }
    const copy = copied(world);
    const original = snapshot(world.images);
    const { code, said } = await world.event("prepare");
    assertEquals([code, said[0]], [
      1,
      `error: guest vda: "${copy}" stands on files with another path: its layers were copied, moved or renamed`,
    ]);
    await world.good("release", "failed");

    const commands = said[1]!.slice(said[1]!.indexOf("qemu-img"));
    assert(new Deno.Command("sh", { args: ["-c", commands] }).outputSync().success, commands);
    if (state === "session") {
      find(copy, 1, 2, 3);
      Deno.removeSync(copy);
    }
    world.keys = { "keep-commits": 0 };
    world.configure({ vda: false });
    await world.start();
    find(copy, 1, 2, 0);
    await world.stop();
    assertEquals(world.files(`${world.root}/copy`), ["vda.img"]);
    find(copy, 1, 2, 0);
    assertEquals(snapshot(world.images), original);
  }
});
