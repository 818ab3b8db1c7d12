/** UEFI variables and TPM state: what happens to the disks happens to them. */

import { assertEquals } from "@std/assert";
import { DOMAIN, exists, LATER } from "./fixture.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";

/** A guest whose firmware has been made, and that is up in a session. */
async function up(flag: boolean): Promise<FirmwareFixture> {
  const fixture = new FirmwareFixture();
  fixture.disks({ vda: true });
  await fixture.start();
  fixture.write(fixture.image("vda"), "installed");
  await fixture.stop();
  fixture.configure({ vda: flag });
  await fixture.start();
  fixture.write(fixture.image("vda"), "session");
  return fixture;
}

const firmware = (fixture: FirmwareFixture) => fixture.files(`${fixture.root}/firmware`);
const idle = ["guest_VARS.fd", "tpm2-00.permall"];

/** What the guest finds at its next start; its firmware has to fit. */
async function found(fixture: FirmwareFixture): Promise<string[]> {
  await fixture.start();
  const content = Object.keys(fixture.read(fixture.image("vda")));
  await fixture.stop();
  return content;
}

Deno.test("firmware is reverted with the disk, and leaves no file", async () => {
  using fixture = await up(false);
  await fixture.stop();
  assertEquals(firmware(fixture), idle);
  assertEquals(await found(fixture), ["base", "installed"]);
});

Deno.test("firmware is committed with the disk, and leaves no file", async () => {
  using fixture = await up(true);
  await fixture.stop();
  assertEquals(firmware(fixture), idle);
  assertEquals(await found(fixture), ["base", "installed", "session"]);
});

Deno.test("firmware stays the same files through a commit, with all that their file system keeps with them", async () => {
  using fixture = await up(true);
  const bases = () =>
    [fixture.variables, fixture.tpm].map((file) =>
      Deno.lstatSync(exists(`${file}.backing_file`) ? `${file}.backing_file` : file).ino
    );
  const before = bases();
  await fixture.stop();
  assertEquals([firmware(fixture), bases()], [idle, before]);
});

Deno.test("firmware that libvirt makes for the first start goes back to what it made", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false });
  await fixture.start();
  fixture.write(fixture.image("vda"), "session");
  await fixture.stop();
  assertEquals(firmware(fixture), idle);
  assertEquals(Deno.statSync(fixture.variables).mode! & 0o777, 0o640);
  assertEquals(await found(fixture), ["base"]);
});

Deno.test("firmware is reverted after a power cut and a crash", async () => {
  for (const reason of [undefined, "crashed"]) {
    using fixture = await up(false);
    if (reason !== undefined) await fixture.stop(reason);
    else fixture.booted = LATER;
    assertEquals(await found(fixture), ["base", "installed"], reason);
    assertEquals(firmware(fixture), idle);
  }
});

Deno.test("firmware goes on with a flagged session after a power cut, and with a saved guest", async () => {
  using dead = await up(true);
  assertEquals(await found(dead), ["base", "installed", "session"]);
  for (const reason of ["saved", "-"]) {
    using saved = await up(false);
    await saved.stop(reason);
    await saved.good("restore");
    await saved.start();
    assertEquals(Object.keys(saved.read(saved.image("vda"))), ["base", "installed", "session"]);
    await saved.stop();
    assertEquals(await found(saved), ["base", "installed"]);
  }
});

Deno.test("firmware is undone and kept with the disk", async () => {
  using fixture = await up(true);
  fixture.keys = { "keep-commits": 2 };
  fixture.configure({ vda: true });
  await fixture.stop();
  fixture.define();
  assertEquals((await fixture.command("undo")).code, 0);
  assertEquals((await fixture.command("keep")).code, 0);
  assertEquals((await fixture.command("undo")).code, 0);
  assertEquals(await found(fixture), ["base", "installed"]);
});

Deno.test("firmware is undone with a disk whose folder was moved since, with a link in its place", async () => {
  using fixture = await up(true);
  fixture.keys = { "keep-commits": 2 };
  fixture.configure({ vda: true });
  await fixture.stop();
  fixture.define();
  const moved = `${fixture.root}/moved`;
  Deno.renameSync(fixture.images, moved);
  Deno.symlinkSync(moved, fixture.images);
  fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, moved] };
  assertEquals((await fixture.command("undo")).code, 0);
  assertEquals(await found(fixture), ["base", "installed"]);
});

Deno.test("a session that is set aside has its firmware with it", async () => {
  using fixture = await up(false);
  fixture.keys = { "keep-session": true };
  fixture.configure({ vda: false });
  await fixture.stop();
  fixture.define();
  assertEquals((await fixture.command("keep")).code, 0);
  assertEquals(await found(fixture), ["base", "installed", "session"]);
});

Deno.test("recover ends the firmware's session with the disk's", async () => {
  for (const [how, left] of [["--keep", ["session"]], ["--discard", []]] as const) {
    using fixture = await up(false);
    fixture.define();
    assertEquals((await fixture.type(["recover", how, DOMAIN, "--yes"])).code, 0);
    assertEquals(await found(fixture), ["base", "installed", ...left]);
  }
});

Deno.test("without a word in the guest's file firmware is not touched", async () => {
  using fixture = new FirmwareFixture();
  fixture.isListed = false;
  fixture.disks({ vda: false });
  await fixture.start();
  assertEquals(firmware(fixture), idle);
  await fixture.stop();
  assertEquals(firmware(fixture), idle);
});

Deno.test("firmware that is no longer listed goes back once more, and is left alone from then on", async () => {
  using fixture = await up(false);
  fixture.boot();
  fixture.isListed = false;
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(firmware(fixture), idle);
  assertEquals(exists(`${fixture.variables}.backing_file`), false);
});

/** A life of a guest of two disks in which all of them write this, and the flagged ones are committed. */
async function life(fixture: FirmwareFixture, flags: Readonly<Record<string, boolean>>, key: string) {
  fixture.configure(flags, new Date());
  await fixture.start();
  for (const target of Object.keys(flags)) fixture.write(fixture.image(target), key);
  await fixture.stop();
}

Deno.test("firmware goes back with the disk that it was committed with, however few commits are kept", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 1 };
  fixture.disks({ vda: false, vdb: false });
  fixture.define();
  const variables = () => JSON.parse(Deno.readTextFileSync(fixture.variables));
  await life(fixture, { vda: true, vdb: false }, "one");
  await life(fixture, { vda: false, vdb: true }, "two");
  assertEquals(variables(), { one: "yes", two: "yes" });
  await fixture.type("undo guest vda --yes");
  assertEquals(variables(), { one: "yes", two: "yes" });
  await fixture.type("keep guest vda");
  assertEquals(variables(), { one: "yes", two: "yes" });
  await fixture.type("undo guest vdb --yes");
  assertEquals(variables(), { one: "yes" });
  await fixture.type("undo guest vda --yes");
  assertEquals(variables(), {});
  assertEquals([fixture.disk("vda"), fixture.disk("vdb")], [{ base: "vda" }, { base: "vdb" }]);
});

Deno.test("firmware goes back to before all commits that are undone, also the oldest first", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: false, vdb: false });
  fixture.define();
  await life(fixture, { vda: true, vdb: false }, "one");
  await life(fixture, { vda: false, vdb: true }, "two");
  for (const target of ["vda", "vdb"]) await fixture.type(`undo guest ${target} --yes`);
  assertEquals(JSON.parse(Deno.readTextFileSync(fixture.variables)), {});
  await fixture.type("keep guest vdb");
  assertEquals(JSON.parse(Deno.readTextFileSync(fixture.variables)), { one: "yes", two: "yes" });
});

Deno.test("firmware goes back once where two disks of one commit are undone one by one", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: false, vdb: false });
  fixture.define();
  for (const key of ["one", "two"]) await life(fixture, { vda: true, vdb: true }, key);
  for (const target of ["vda", "vdb"]) {
    await fixture.type(`undo guest ${target} --yes`);
    assertEquals(JSON.parse(Deno.readTextFileSync(fixture.variables)), { one: "yes" });
  }
  await fixture.type("keep guest");
  assertEquals(JSON.parse(Deno.readTextFileSync(fixture.variables)), { one: "yes", two: "yes" });
});

Deno.test("an undo takes firmware back past no commit that was merged into another disk since", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false, vdb: false });
  fixture.define();
  const commits = { vda: 0, vdb: 2 };
  for (const [target, key] of [["vdb", "one"], ["vda", "two"], ["vdb", "three"]] as const) {
    const disks = (["vda", "vdb"] as const).map((one) => ({
      target: one,
      "one-shot-commit": one === target,
      "keep-commits": commits[one],
    }));
    fixture.configureText(JSON.stringify({ firmware: true, disks }));
    await fixture.start();
    for (const one of ["vda", "vdb"]) fixture.write(fixture.image(one), key);
    await fixture.stop();
  }
  await fixture.type("undo guest --yes");
  assertEquals([fixture.disk("vda"), fixture.disk("vdb")], [{ base: "vda", two: "yes" }, {
    base: "vdb",
    one: "yes",
  }]);
  assertEquals(JSON.parse(Deno.readTextFileSync(fixture.variables)), { one: "yes", two: "yes" });
});
