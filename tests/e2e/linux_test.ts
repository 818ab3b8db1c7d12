/** A real Linux writes files on ext4, and its disk is whole after whatever happens. `SHORT=1` tries the first case alone. */

import { assert, assertEquals } from "@std/assert";
import * as libvirt from "./libvirt.ts";
import { ok, run, slowMerges, tellsReason, until, virsh } from "./libvirt.ts";
import { base, LinuxGuest } from "./linux/guest.ts";
import * as host from "./linux/host.ts";

const short = Deno.env.get("SHORT") === "1";
const FILES = short ? 300 : 1000;
const whole = short ? Deno.test.ignore : Deno.test;

Deno.test.beforeAll(host.start);
Deno.test.afterAll(() => libvirt.stopLibvirtd("SIGKILL"));

const pause = (milliseconds: number) => new Promise((wake) => setTimeout(wake, milliseconds));

Deno.test("a flagged session whose host loses its power while it writes goes on with all that was synced, and is committed", async () => {
  const guest = await LinuxGuest.make("cut-flagged");
  guest.configure({ vda: true });
  const cuts = short ? 1 : 4;
  let synced = 0;
  const resumed = (found: Record<string, number>) =>
    assert(found.base === 100 && [synced, synced + 1].includes(found.kept ?? 0), JSON.stringify(found));
  for (let cut = 1; cut <= cuts; cut++) {
    await guest.on({ session: "kept", files: FILES }, resumed);
    await guest.prints(`wrote ${synced + 100}`);
    await pause(Math.random() * 1000);
    await host.powerCut();
    synced = guest.written();
    await guest.holds({ ...base, kept: synced }, { dirty: true, cut: "kept" });
    await guest.holdsLedger(true);
  }
  await guest.on({ session: "kept", files: FILES }, resumed);
  await guest.prints("done");
  await guest.off();
  await guest.isPlain();
  assertEquals(guest.flags(), { vda: false });
  await guest.holds({ ...base, kept: FILES });
  await guest.whole({ session: "gone", files: 10 }, { ...base, kept: FILES });
  await guest.reverted();
  await guest.holds({ ...base, kept: FILES });
  await guest.holdsLedger();
});

whole("a session that is not flagged leaves nothing on its disk, and the other disk keeps all", async () => {
  const guest = await LinuxGuest.make("reverted");
  guest.configure({ vda: false });
  await guest.whole({ session: "one", files: FILES, sync: "no" }, base);
  await guest.whole({ session: "two", files: FILES }, base);
  await guest.on({ session: "three", files: FILES }, base);
  await guest.prints("wrote 200");
  await guest.destroy();
  await guest.on({ session: "four", files: FILES, first: "trim" }, base);
  await guest.prints("wrote 200");
  await guest.killQemu();
  await guest.off();
  await guest.whole({ session: "five", files: 10 }, base);
  await guest.reverted();
  await guest.holds(base);
  await guest.holdsLedger();
});

whole("a session that is not flagged is forgotten after a power cut", async () => {
  const guest = await LinuxGuest.make("cut");
  guest.configure({ vda: false });
  for (const sync of [{}, { sync: "no" }] as const) {
    await guest.on({ session: "gone", files: FILES, ...sync }, base);
    await guest.prints("wrote 200");
    await pause(Math.random() * 1000);
    await host.powerCut();
  }
  await guest.whole({ session: "after", files: 10 }, base);
  await guest.reverted();
  await guest.holds(base);
  await guest.holdsLedger();
});

whole("a session that is committed is on the disk, before and after its merge", async () => {
  const guest = await LinuxGuest.make("committed");
  guest.configure({ vda: true });
  {
    await using _slow = await slowMerges(300);
    await guest.whole({ session: "kept", files: FILES, first: "rm" }, base);
    assert(guest.files().includes("committed-a.img.backing_file.1"), "it is not merged yet");
    await guest.holds({ kept: FILES });
    await guest.on({ session: "gone", files: 100 }, { kept: FILES });
  }
  await guest.prints("done");
  await guest.off();
  await guest.reverted();
  await guest.holds({ kept: FILES });
  guest.configure({ vda: true });
  await guest.on({ session: "more", files: FILES }, { kept: FILES });
  await guest.prints("wrote 200");
  // Its power cord is pulled: the disk is as a computer's would be.
  await guest.destroy();
  const more = guest.written();
  await guest.isPlain();
  await guest.holds({ kept: FILES, more }, { dirty: true, cut: "more" });
  guest.configure({ vda: true });
  await guest.on({ session: "more", files: FILES }, (found) => assert(found.more! >= more));
  await guest.prints("done");
  await guest.off();
  await guest.isPlain();
  await guest.holds({ kept: FILES, more: FILES });
  await guest.holdsLedger();
});

whole(
  "a flagged session whose host loses its power while it is committed is on the disk, whatever was done by then",
  async () => {
    const guest = await LinuxGuest.make("cut-end");
    const expected: Record<string, number> = { ...base };
    for (const session of ["one", "two", "three", "four", "five"]) {
      guest.configure({ vda: true });
      await guest.on({ session, files: 20 }, { ...expected });
      await guest.prints("done");
      await until(
        "QEMU has ended",
        async () => (await run("pgrep", "-f", `guest=${guest.name},`)).code !== 0,
      );
      await pause(Math.random() * 800);
      await host.powerCut();
      expected[session] = 20;
      await guest.holds(expected);
    }
    // The last of them may be resumed.
    const last = guest.flags().vda ? { last: 1 } : {};
    await guest.whole({ session: "last", files: 1 }, expected);
    await guest.reverted();
    await guest.holds({ ...expected, ...last });
    await guest.holdsLedger();
  },
);

whole("a session that is saved twice while it writes, and committed, lacks nothing", async () => {
  const guest = await LinuxGuest.make("saved");
  guest.configure({ vda: false });
  await guest.on({ session: "kept", files: FILES }, base);
  await guest.prints("wrote 200");
  await virsh("managedsave", guest.name);
  await guest.holds({ ...base, kept: guest.written() }, { dirty: true, cut: "kept" });
  await virsh("start", guest.name);
  await guest.prints("wrote 500");
  await virsh("save", guest.name, "/run/saved.state");
  await guest.idle();
  await virsh("restore", "/run/saved.state");
  await guest.prints("wrote 800");
  await ok("autorevert", "commit", guest.name);
  await guest.prints("done");
  await guest.off();
  await guest.isPlain();
  assertEquals(guest.flags(), { vda: false });
  await guest.holds({ ...base, kept: FILES });
  await guest.holdsLedger();
});

whole("a flagged session that is saved while it writes loses nothing that was synced", async () => {
  const guest = await LinuxGuest.make("saved-flagged");
  guest.configure({ vda: true });
  await guest.on({ session: "kept", files: FILES }, base);
  await guest.prints("wrote 200");
  await virsh("managedsave", guest.name);
  await virsh("start", guest.name);
  await guest.prints("wrote 500");
  await virsh("save", guest.name, "/run/saved-flagged.state");
  await guest.idle();
  const written = guest.written();
  await guest.holds({ ...base, kept: written }, { dirty: true, cut: "kept" });
  await virsh("restore", "/run/saved-flagged.state");
  await guest.prints("done");
  await guest.off();
  await guest.reverted();
  assertEquals(guest.flags(), { vda: false });
  // Where libvirt doesn't tell a save from a shutdown, the commit was done at the save.
  if (await tellsReason()) await guest.holds({ ...base, kept: FILES });
  else await guest.holds({ ...base, kept: written }, { dirty: true, cut: "kept" });
  await guest.holdsLedger();
});

whole("a merge that is killed again and again, by a power cut at last, loses no file", async () => {
  const guest = await LinuxGuest.make("merged");
  guest.configure({ vda: true });
  const copying = () =>
    until("a merge copies", async () => (await run("pgrep", "-f", "qemu-img.real commit")).code === 0);
  const orphans = () => run("pkill", "-9", "-f", "qemu-img.real commit");
  {
    await using _slow = await slowMerges(250);
    await guest.whole({ session: "kept", files: FILES, first: "trim" }, base);
    for (let kills = 0; kills < 9; kills++) {
      const merge = run("autorevert", "merge", guest.name);
      await copying();
      await pause(Math.random() * 4000);
      // Its qemu-img is killed, then the merge, which leaves its qemu-img running, then both.
      if (kills % 3 !== 0) await run("pkill", "-9", "-f", "(qemu|autorevert) merge");
      if (kills % 3 !== 1) await orphans();
      if (kills % 3 !== 0) await merge;
      await guest.holds({ kept: FILES });
    }
    assert(guest.files().includes("merged-a.img.backing_file.1"), "no merge came to its end");
    await orphans();
    await guest.whole({ session: "gone", files: 100 }, { kept: FILES });
    const merge = run("autorevert", "merge", guest.name);
    await copying();
    await pause(Math.random() * 4000);
    await host.powerCut();
    await merge;
    await guest.holds({ kept: FILES });
  }
  await guest.whole({ session: "gone", files: 100 }, { kept: FILES });
  assertEquals((await run("autorevert", "merge", guest.name)).code, 0);
  await guest.reverted();
  await guest.holds({ kept: FILES });
  await guest.holdsLedger();
});
