/** Commits, their merges and the commands on them, of a real guest under a real libvirtd. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as libvirt from "./libvirt.ts";
import { at, countOn, Guest, ok, run, slowMerges, virsh } from "./libvirt.ts";

Deno.test.beforeAll(libvirt.startLibvirtd);
Deno.test.afterAll(() => libvirt.stopLibvirtd("SIGKILL"));

const autorevert = (...args: string[]) => run("/etc/libvirt/hooks/qemu", ...args);

/** A session that is committed, with so much written that a slow merge takes its time. */
async function commitMuch(guest: Guest, more: Record<string, unknown> = {}): Promise<string> {
  guest.configure({ vda: true }, more);
  const counted = await guest.startPatiently();
  await guest.write(900);
  await guest.destroy();
  return counted;
}

Deno.test("the end of a guest doesn't wait for the merge, nor does its next start, and the merge finishes later", async () => {
  const guest = await Guest.define("slow", { stay: true });
  {
    await using _slow = await slowMerges(90);
    assertEquals(await commitMuch(guest), "1");
    await virsh("list");
    // The merge goes on for ten seconds from here: the layers are there, and the commit is to be seen.
    const layers = [
      "slow.img",
      "slow.img.autorevert-merge.1",
      "slow.img.backing_file",
      "slow.img.backing_file.1",
    ];
    await libvirt.until("the merge has begun", () => Promise.resolve(guest.files().includes(layers[1]!)));
    assertEquals(guest.files(), layers);
    assertEquals(await guest.start(), "2");
    assertEquals(guest.files(), layers);
    assertStringIncludes(Deno.readTextFileSync(at(libvirt.LOG)), "slow vda: merge interrupted by a start");
  }
  await guest.endsAs(1);
  await ok("qemu-img", "check", "-q", guest.images[0]!);
});

const killed = Deno.env.get("SHORT") ? 6 : 20;

Deno.test(`${killed} merges that are killed at random, theirs or their qemu-img, lose nothing`, async () => {
  const guest = await Guest.define("harried", { stay: true });
  let commits = 0;
  {
    await using _slow = await slowMerges(450);
    while (commits < killed) {
      assertEquals(await commitMuch(guest), `${++commits}`);
      await new Promise((wake) => setTimeout(wake, Math.random() * 1500));
      const victim = Math.random() < 0.5
        ? "hooks/(qemu|autorevert) merge -- harried"
        : "qemu-img.real commit";
      await run("pkill", "-9", "-f", victim);
    }
  }
  guest.configure({ vda: false });
  assertEquals(await guest.startPatiently(), `${commits + 1}`);
  await guest.endsAs(commits);
  await ok("qemu-img", "check", "-q", guest.images[0]!);
});

Deno.test("kept commits can be undone, one after the other", async () => {
  const guest = await Guest.define("undone", { stay: true });
  const image = guest.images[0]!;
  for (const commit of ["1", "2", "3"]) assertEquals(await commitMuch(guest, { "keep-commits": 2 }), commit);
  await libvirt.until(
    "the oldest commit is merged",
    () => Promise.resolve(!guest.files().includes("undone.img.backing_file")),
  );
  assertEquals(guest.files(), [
    "undone.img",
    ...[1, 2, 3].map((number) => `undone.img.backing_file.${number}`),
  ]);

  const { code, stderr } = await autorevert("undo", "undone");
  assertEquals(code, 1, "nobody is there to be asked");
  assertEquals(await countOn(image), 3, stderr);
  assertEquals((await autorevert("undo", "undone", "--yes")).code, 0);
  assertEquals(await countOn(image), 2);
  assertEquals(await guest.start(), "3");
  assertStringIncludes((await autorevert("undo", "undone", "--yes")).stderr, `"${image}" is in a session`);
  await guest.destroy();
  assertEquals((await autorevert("undo", "undone", "vda", "--yes")).code, 0);
  assertEquals(await countOn(image), 1);
  assertStringIncludes((await autorevert("undo", "undone", "--yes")).stderr, "no commit that can be undone");
  await guest.nextStartWithoutConfiguration();
  await guest.isPlain(1);
});

Deno.test("a session that was set aside can be kept after the fact", async () => {
  const guest = await Guest.define("kept", { stay: true });
  guest.configure({ vda: false }, { "keep-session": true });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await guest.destroy();
  assertEquals(guest.files(), ["kept.img", "kept.img.autorevert-ended", "kept.img.backing_file"]);
  assertEquals(await countOn(guest.images[0]!), 0);
  const { code, stdout } = await autorevert("keep", "kept");
  assertEquals([code, stdout], [
    0,
    "kept vda: the last session is part of the disk now: the next start begins with it\n",
  ]);
  await guest.isPlain(2);
  assert((await autorevert("keep", "kept")).stderr.includes("no session was set aside"));
});

Deno.test("a merge that finds no room doesn't begin, and says what is missing", async () => {
  const guest = await Guest.define("full", { stay: true });
  const size = 24;
  await ok("mount", "-t", "tmpfs", "-o", `size=${size}m`, "tmpfs", libvirt.IMAGES);
  try {
    await libvirt.makeImage(guest.images[0]!, true);
    await commitMuch(guest);
    await guest.merged();
    const fill = `${libvirt.IMAGES}/fill`;
    guest.configure({ vda: true });
    await guest.start();
    await guest.write(900);
    const free = Number((await ok("stat", "-f", "-c", "%a", libvirt.IMAGES)).trim()) * 4096;
    await ok("fallocate", "-l", String(free - 200 * 1024), fill);
    await guest.destroy();
    await libvirt.until(
      "the merge has said so",
      () => Promise.resolve(Deno.readTextFileSync(at(libvirt.LOG)).includes("full vda: to merge")),
    );
    assertEquals(guest.files(), ["full.img", "full.img.backing_file", "full.img.backing_file.1"]);
    await ok("rm", fill);
    assertEquals((await autorevert("merge", "full")).code, 0);
    await guest.isPlain(2);
  } finally {
    await ok("umount", libvirt.IMAGES);
  }
});
