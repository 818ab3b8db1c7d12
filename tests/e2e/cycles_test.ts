/** Whole life cycles of a real guest under a real libvirtd, with the compiled hook. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import * as libvirt from "./libvirt.ts";
import { at, CONFIG, countOn, exists, Guest, IMAGES, ok, powerCut, refused, virsh } from "./libvirt.ts";

Deno.test.beforeAll(libvirt.startLibvirtd);
Deno.test.afterAll(() => libvirt.stopLibvirtd("SIGKILL"));

Deno.test("a guest without a configuration is left alone", async () => {
  const guest = await Guest.define("plain");
  assertEquals([await guest.boot(), await guest.boot()], ["1", "2"]);
  assertEquals(guest.files(), ["plain.img"]);
});

Deno.test("every start begins clean", async () => {
  const guest = await Guest.define("clean", { flags: { vda: false } });
  assertEquals([await guest.boot(), await guest.boot(), await guest.boot()], ["1", "1", "1"]);
  await guest.reverted(0);
});

Deno.test("while it runs, the domain's XML shows the backing file", async () => {
  const guest = await Guest.define("shown", { stay: true, flags: { vda: false } });
  assertEquals(await guest.start(), "1");
  await guest.showsBackingFile();
  assertEquals(guest.files(), ["shown.img", "shown.img.backing_file"]);
  await guest.endsAs(0);
});

Deno.test("a one-shot commit keeps one session, and clears itself", async () => {
  const guest = await Guest.define("commit", { flags: { vda: true } });
  assertEquals(await guest.boot(), "1");
  assertEquals(guest.flags(), { vda: false });
  await guest.isPlain(1);
  assertEquals([await guest.boot(), await guest.boot()], ["2", "2"]);
  await guest.reverted(1);
});

Deno.test("the flag can be set while the guest runs", async () => {
  const guest = await Guest.define("late", { stay: true, flags: { vda: false } });
  await guest.start();
  guest.configure({ vda: true });
  await guest.destroy();
  await guest.isPlain(1);
  assertEquals(guest.flags(), { vda: false });
});

Deno.test("a commit keeps the file's other bytes, its owner and its mode", async () => {
  const guest = await Guest.define("bytes");
  const file = at(`${CONFIG}/bytes.json`);
  const text = `{\n\t"$schema": "x",\n\t"disks" : [ {"one-shot-commit" :true,   "target":"vda"} ]}\n\n`;
  Deno.writeTextFileSync(file, text, { mode: 0o600 });
  Deno.chmodSync(file, 0o600);
  await guest.boot();
  assertEquals(Deno.readTextFileSync(file), text.replace("true", "false"));
  assertEquals(Deno.statSync(file).mode! & 0o7777, 0o600);
});

Deno.test("the image keeps its owner and mode through revert and commit", async () => {
  const guest = await Guest.define("owned");
  await ok("chown", "daemon:daemon", guest.images[0]!);
  await ok("chmod", "0640", guest.images[0]!);
  for (const flag of [false, true]) {
    guest.configure({ vda: flag });
    await guest.boot();
    await guest.nextStartWithoutConfiguration();
    assertEquals(await ok("stat", "-c", "%U:%G %a", guest.images[0]!), "daemon:daemon 640\n");
  }
});

Deno.test("of several disks, the listed ones revert, the flagged ones commit, the others are as ever", async () => {
  const guest = await Guest.define("several", {
    images: ["several-a.img", "several-b.img", "several-c.img"],
  });
  guest.configure({ vda: false, vdb: true });
  assertEquals(await guest.boot(), "1 1 1");
  assertEquals(guest.flags(), { vda: false, vdb: false });
  assertEquals(await guest.boot(), "1 2 2");
  await guest.reverted(0, 1, 2);
});

Deno.test("a managed save is resumed on its session, and then reverted", async () => {
  const guest = await Guest.define("managed", { stay: true, flags: { vda: false } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await virsh("managedsave", "managed");
  assertEquals(guest.files(), ["managed.img", "managed.img.backing_file"]);
  await virsh("start", "managed");
  assertEquals(await guest.key(), "3");
  await guest.endsAs(0);
});

Deno.test("a save to a file is resumed on its session, and then reverted", async () => {
  const guest = await Guest.define("saved", { stay: true, flags: { vda: false } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await virsh("save", "saved", "/run/saved.state");
  await guest.idle();
  await virsh("restore", "/run/saved.state");
  assertEquals(await guest.key(), "3");
  await guest.endsAs(0);
});

Deno.test("a save with the flag set loses nothing either", async () => {
  const guest = await Guest.define("saved-flagged", { stay: true, flags: { vda: true } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await virsh("save", "saved-flagged", "/run/saved-flagged.state");
  await guest.idle();
  await virsh("restore", "/run/saved-flagged.state");
  assertEquals(await guest.key(), "3");
  await guest.destroy();
  // Where libvirt doesn't tell a save from a shutdown, the commit was done at the save.
  await guest.reverted(await libvirt.tellsReason() ? 3 : 2);
  assertEquals(guest.flags(), { vda: false });
});

Deno.test("a guest goes back to a snapshot in its session, and is then reverted", async () => {
  // Before 10.5 libvirt tells an end, and not which: the session is over.
  if (!await libvirt.tellsReason()) return;
  const guest = await Guest.define("snapshot", { stay: true, flags: { vda: false } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await virsh("snapshot-create-as", "snapshot", "two");
  assertEquals(await guest.key(), "3");
  await virsh("snapshot-revert", "snapshot", "two");
  assertEquals(await guest.key(), "3");
  await guest.endsAs(0);
  await virsh("snapshot-delete", "snapshot", "two", "--metadata");
});

Deno.test("a guest goes back to a snapshot of its disk, which was made while it was off", async () => {
  const guest = await Guest.define("off", { stay: true, flags: { vda: false } });
  await virsh("snapshot-create-as", "off", "clean");
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await virsh("snapshot-revert", "off", "clean");
  await guest.reverted(0);
  assertEquals(await guest.start(), "1");
  await guest.endsAs(0);
  await virsh("snapshot-delete", "off", "clean");
});

Deno.test("a guest whose saved state is dropped starts clean", async () => {
  const guest = await Guest.define("dropped", { stay: true, flags: { vda: false } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await virsh("managedsave", "dropped");
  await virsh("managedsave-remove", "dropped");
  assertEquals(await guest.start(), "1");
  assertEquals(await countOn(`${guest.images[0]!}.autorevert-ended`), 2, "it may still come back");
  await guest.destroy();
  assertEquals(await guest.start(), "1");
  await guest.endsAs(0);
});

Deno.test("a start that fails after prepare leaves no session, and the flag", async () => {
  const guest = await Guest.define("failing", { broken: true, flags: { vda: true } });
  await refused("start", "failing");
  await guest.idle();
  await guest.isPlain(0);
  assertEquals(guest.flags(), { vda: true });
});

Deno.test("a restore that fails keeps the session for the next try", async () => {
  const guest = await Guest.define("unrestored", { stay: true, flags: { vda: false } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await virsh("save", "unrestored", "/run/unrestored.state");
  await guest.idle();
  await ok("mv", "/usr/bin/qemu-system-x86_64", "/usr/bin/qemu-system-x86_64.away");
  try {
    await refused("restore", "/run/unrestored.state");
  } finally {
    await ok("mv", "/usr/bin/qemu-system-x86_64.away", "/usr/bin/qemu-system-x86_64");
  }
  await guest.idle();
  await virsh("restore", "/run/unrestored.state");
  assertEquals(await guest.key(), "3");
  await guest.endsAs(0);
});

Deno.test("a guest whose QEMU is killed reverts", async () => {
  const guest = await Guest.define("killed", { stay: true, flags: { vda: false } });
  await guest.start();
  await guest.killQemu();
  await guest.off();
  await guest.reverted(0);
});

Deno.test("a flagged session whose QEMU is killed goes on, and is committed at its end", async () => {
  const guest = await Guest.define("killed-flagged", { stay: true, flags: { vda: true } });
  await guest.start();
  await guest.killQemu();
  await guest.off();
  assertEquals(await guest.start(), "2");
  await guest.destroy();
  // Where libvirt doesn't tell a crash from a shutdown, the commit was done at the crash.
  await guest.reverted(await libvirt.tellsReason() ? 2 : 1);
  assertEquals(guest.flags(), { vda: false });
});

Deno.test("libvirtd may be restarted while a guest runs", async () => {
  const guest = await Guest.define("restarted", { stay: true, flags: { vda: true } });
  assertEquals(await guest.start(), "1");
  await libvirt.stopLibvirtd();
  await libvirt.startLibvirtd();
  assertEquals(await guest.key(), "2");
  await guest.destroy();
  await guest.isPlain(2);
});

Deno.test("libvirtd may be killed while a guest runs", async () => {
  const guest = await Guest.define("bereft", { stay: true, flags: { vda: false } });
  assertEquals(await guest.start(), "1");
  await libvirt.stopLibvirtd("SIGKILL");
  // As if that had come before it told the hook that the guest is up.
  Deno.writeTextFileSync(at(`${CONFIG}/bereft.starting`), "resume\n");
  await libvirt.startLibvirtd();
  assertEquals(await guest.key(), "2");
  await guest.endsAs(0);
});

Deno.test("after a power cut a guest starts clean", async () => {
  const guest = await Guest.define("cut", { stay: true, flags: { vda: false } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await powerCut();
  assertEquals(await guest.start(), "1");
  await guest.endsAs(0);
});

Deno.test("a power cut at rest changes nothing", async () => {
  const guest = await Guest.define("resting", { flags: { vda: true } });
  await guest.boot();
  await powerCut();
  assertEquals(await guest.boot(), "2");
  await guest.reverted(1);
});

Deno.test("a flagged session survives a power cut, and is committed at its end", async () => {
  const guest = await Guest.define("cut-flagged", { stay: true, flags: { vda: true } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await powerCut();
  assertEquals(await guest.start(), "3");
  await guest.endsAs(3);
  assertEquals(guest.flags(), { vda: false });
});

Deno.test("a flag that is set after a power cut is for the next session", async () => {
  const guest = await Guest.define("cut-late", { stay: true, flags: { vda: false } });
  assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
  await powerCut();
  guest.configure({ vda: true });
  assertEquals(await guest.start(), "1");
  await guest.endsAs(1);
});

Deno.test("an external snapshot in a session: nothing is reverted under it, and the way back works", async () => {
  const guest = await Guest.define("snapped", { stay: true, flags: { vda: false } });
  await guest.start();
  await virsh("snapshot-create-as", "snapped", "one", "--disk-only", "--no-metadata");
  assertEquals(await guest.key(), "2");
  await guest.destroy();
  assertEquals(await countOn(`${IMAGES}/snapped.one`), 2);
  assertStringIncludes(
    Deno.readTextFileSync(at(libvirt.LOG)),
    "snapped vda: leave to a person: that file may stand on this session",
  );
  const said = await refused("start", "snapped");
  assertStringIncludes(said, "snapped vda: its XML has an explicit <backingStore>");
  assertStringIncludes(
    said,
    `to keep it, set "one-shot-commit" before, then run qemu-img commit -b ${IMAGES}/snapped.img ${IMAGES}/snapped.one; ` +
      "a guest that was saved on it is restored after: autorevert disable snapped vda",
  );

  guest.configure({ vda: true });
  await ok("qemu-img", "commit", "-q", "-b", `${IMAGES}/snapped.img`, `${IMAGES}/snapped.one`);
  await guest.redefine();
  assertEquals(await guest.start(), "3");
  await guest.endsAs(3);
});

Deno.test("an active blockcommit in a session: the start is refused, and the way back works", async () => {
  const guest = await Guest.define("committed", { stay: true, flags: { vda: false } });
  await guest.start();
  await virsh("blockcommit", "committed", "vda", "--active", "--pivot", "--wait");
  assertEquals(await guest.key(), "2");
  await guest.destroy();
  const image = guest.images[0]!;
  assertEquals(await countOn(`${image}.backing_file`), 2);
  const said = await refused("start", "committed");
  assertStringIncludes(
    said,
    `committed vda: the domain's disk is "${image}.backing_file", which has the name of a layer`,
  );
  assertStringIncludes(said, `ln -f ${image}.backing_file ${image}`);

  await ok("ln", "-f", `${image}.backing_file`, image);
  await guest.redefine();
  assertEquals(await guest.start(), "3");
  await guest.endsAs(2);
});

Deno.test("a linked clone reverts and commits, and its golden image never changes", async () => {
  const golden = `${IMAGES}/golden.qcow2`;
  await libvirt.makeImage(golden, false);
  const before = await ok("sha256sum", golden);
  const create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"];
  await ok(...create, "golden.qcow2", `${IMAGES}/clone.img`);
  const guest = await Guest.define("clone", { made: true, flags: { vda: false } });
  assertEquals([await guest.boot(), await guest.boot()], ["1", "1"]);
  guest.configure({ vda: true });
  assertEquals([await guest.boot(), await guest.boot()], ["1", "2"]);
  await guest.reverted(1);
  assertEquals(await ok("sha256sum", golden), before);
});

Deno.test("of two guests on one image the second is refused, and the first loses nothing", async () => {
  const first = await Guest.define("first", { stay: true, images: ["shared.img"] });
  const second = await Guest.define("second", { stay: true, images: ["shared.img"], made: true });
  first.configure({ vda: true });
  second.configure({ vda: false });
  assertEquals(await first.start(), "1");
  assertStringIncludes(
    await refused("start", "second"),
    `second vda: "${first.images[0]}" is open in another process`,
  );
  await second.idle();
  assertEquals(await first.key(), "2");
  await first.destroy();
  await first.isPlain(2);
  assertEquals(await second.start(), "3");
  await second.endsAs(2);
});

Deno.test("a disk that is taken out of the configuration while it runs is reverted, and plain from then on", async () => {
  const guest = await Guest.define("unlisted", { stay: true, flags: { vda: false } });
  await guest.start();
  guest.unconfigure();
  await guest.destroy();
  assertEquals(await guest.start(), "1");
  await guest.destroy();
  assertEquals(await guest.start(), "2");
  await guest.destroy();
  await guest.isPlain(2);
});

Deno.test("an overlay that is somebody else's is refused, and both ways out work", async () => {
  for (const [way, count] of [["throw", 0], ["keep", 1]] as const) {
    const guest = await Guest.define(`foreign-${way}`);
    const image = guest.images[0]!;
    await ok("mv", image, `${image}.backing_file`);
    await ok("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", `${image}.backing_file`, image);
    assertEquals(await guest.boot(), "1");
    guest.configure({ vda: false });
    const said = await refused("start", guest.name);
    await guest.idle();
    assertStringIncludes(said, "but no session of this guest was begun by this hook, unless on another host");
    const hint = /hint: to throw \S+ away: (?<throw>.+?); to keep it as part of the disk: (?<keep>.+)/.exec(
      said,
    )!.groups!;
    await ok("sh", "-c", hint[way]!);
    assertEquals([await guest.boot(), await guest.boot()], [`${count + 1}`, `${count + 1}`]);
    await guest.reverted(count);
  }
});

Deno.test("an invalid configuration keeps the guest from starting, and virsh says why", async () => {
  const guest = await Guest.define("invalid");
  Deno.writeTextFileSync(
    at(`${CONFIG}/invalid.json`),
    `{"disks": [{"target": "vda", "one-shot-comit": true}]}`,
  );
  const said = await refused("start", "invalid");
  await guest.idle();
  assertStringIncludes(
    said,
    `error: invalid: "${CONFIG}/invalid.json" at disks[0]: unknown key "one-shot-comit", did you mean "one-shot-commit"?`,
  );
  assertStringIncludes(
    said,
    `hint: correct ${CONFIG}/invalid.json, or remove it while the guest is shut off, to leave it alone`,
  );
  await guest.isPlain(0);
});

Deno.test("a configuration that breaks while the guest runs loses nothing", async () => {
  const guest = await Guest.define("broken", { stay: true, flags: { vda: true } });
  assertEquals(await guest.start(), "1");
  Deno.writeTextFileSync(at(`${CONFIG}/broken.json`), `{"disks": [`);
  await guest.destroy();
  await refused("start", "broken");
  guest.configure({ vda: true });
  assertEquals(await guest.start(), "2");
  await guest.endsAs(2);
});

const names = [
  "a b.img",
  `q"u'o.img`,
  "a,b.img",
  "a:b.img",
  "-dash.img",
  "100%.img",
  "磁盘.img",
  "trailing .img ",
];
for (const name of names) {
  Deno.test(`an image named ${JSON.stringify(name)} reverts and commits`, async () => {
    const guest = await Guest.define(`named-${name.codePointAt(1)}`, { images: [name] });
    guest.configure({ vda: true });
    assertEquals([await guest.boot(), await guest.boot(), await guest.boot()], ["1", "2", "2"]);
    await guest.reverted(1);
  });
}

Deno.test("a guest reboot keeps the session", async () => {
  const guest = await Guest.define("rebooted", { stay: true, flags: { vda: false } });
  assertEquals(await guest.start(), "1");
  await virsh("reset", "rebooted");
  assertEquals(await guest.counted(/1 ?\n2 ?\n$/), "1 \n2");
  await guest.endsAs(0);
});

Deno.test("no event prints on standard output, and the log tells what was done", async () => {
  const log = Deno.readTextFileSync(at(libvirt.LOG));
  assertMatch(
    log,
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: clean vda: new session: every start begins clean$/m,
  );
  assertMatch(log, /: commit vda: rename "[^"]*autorevert-committing" to "[^"]*backing_file\.1"$/m);
  assert(!exists("/var/lib/libvirt/images/clean.img.backing_file"));
  await Promise.resolve();
});
