/**
 * Firmware and disk never come apart, whatever happens when: the guest writes the same keys to both, so they have to hold the
 * same.
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { read } from "../lib/host/files.ts";
import { atEveryStep, faults, inContext } from "./fault.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";
import { type Circumstance, DOMAIN, type Fixture, type Result } from "./fixture.ts";
import { Tree } from "./tree.ts";

/** A guest with firmware and these disks that is up, and has written to them since. */
async function up(flag: boolean, { keys = {}, targets = ["vda"] } = {}): Promise<FirmwareFixture> {
  const fixture = new FirmwareFixture();
  const all = (flag: boolean) => Object.fromEntries(targets.map((target) => [target, flag]));
  fixture.keys = keys;
  fixture.disks(all(true));
  await fixture.start();
  for (const target of targets) fixture.write(fixture.image(target), "installed");
  await fixture.stop();
  fixture.configure(all(flag));
  await fixture.start();
  for (const target of targets) fixture.write(fixture.image(target), "session");
  return fixture;
}

const keysOf = (file: string) => Object.keys(JSON.parse(read(file)!));
const firmware = (fixture: FirmwareFixture) => fixture.files(`${fixture.root}/firmware`);

/** What the guest finds from here on its first disk; its firmware has to fit. */
async function found(fixture: FirmwareFixture, ...before: string[]): Promise<string[]> {
  for (const operation of before) assertEquals((await fixture.event(operation)).code, 0);
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said], [0, []]);
  await fixture.event("started");
  return Object.keys(fixture.read(fixture.vda));
}

/** Something is cut short at each of its steps; `then` happens after each. */
async function cutShort(
  fixture: Fixture,
  what: (how: Circumstance) => Promise<Result>,
  then: () => Promise<void>,
): Promise<void> {
  const before = new Tree(fixture.root);
  const seen = new Set<string>();
  const { booted } = fixture;
  for (const fault of faults) {
    await atEveryStep(fault, async (failing) => {
      before.restore();
      await what({ perform: failing.perform, mergeDies: true });
      const { key } = new Tree(fixture.root);
      if (seen.has(key)) return;
      seen.add(key);
      // The host has died with it.
      fixture.booted = new Date(booted.getTime() + 60_000);
      await then();
      fixture.booted = booted;
    });
  }
}

Deno.test("a start that sets a session aside in place of another is cut short: the saved guest finds firmware that fits", async () => {
  using fixture = await up(false);
  await fixture.stop("saved");
  await fixture.start();
  fixture.write(fixture.vda, "second");
  await fixture.stop("saved");
  await cutShort(fixture, (how) => fixture.event("prepare", "-", how), async () => {
    const now = new Tree(fixture.root);
    for (const before of [[], ["prepare"]]) {
      for (const isTold of [false, true]) {
        now.restore();
        await inContext([before, isTold], async () => {
          for (const operation of before) await fixture.event(operation);
          if (isTold) await fixture.event("release", "failed");
          await found(fixture, "restore");
        });
      }
    }
  });
});

Deno.test("disks that are not there at an end take their firmware nowhere", async () => {
  for (const [flag, reason, before] of [[true, "shutdown", []], [false, "-", ["restore"]]] as const) {
    using fixture = await up(flag);
    Deno.renameSync(fixture.images, `${fixture.images}.away`);
    await fixture.event("release", reason);
    Deno.renameSync(`${fixture.images}.away`, fixture.images);
    assertEquals(await found(fixture, ...before), ["base", "installed", "session"]);
  }
});

Deno.test("a disk that was detached keeps the firmware from nothing", async () => {
  using fixture = await up(false, { keys: { "keep-session": true }, targets: ["vda", "vdb"] });
  fixture.sources.delete("vdb");
  fixture.define();
  await fixture.stop();
  assertEquals((await fixture.command("keep", { target: "vda" })).code, 0);
  fixture.configure({ vda: false });
  assertEquals(await found(fixture), ["base", "installed", "session"]);
});

Deno.test("firmware that is no longer listed stays as the guest leaves it, whatever commits it had", async () => {
  using fixture = await up(true, { keys: { "keep-commits": 3 } });
  await fixture.stop();
  fixture.isListed = false;
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(firmware(fixture), ["guest_VARS.fd", "tpm2-00.permall"]);
  fixture.write(fixture.vda, "later");
  await fixture.stop();
  const all = ["installed", "session", "later"];
  assertEquals([keysOf(fixture.variables), keysOf(fixture.tpm)], [all, all]);
});

Deno.test("a file of somebody's own in the place of idle firmware is not thrown away unasked", async () => {
  for (const [way, left] of [["--keep", ["mine"]], ["--discard", ["installed", "session"]]] as const) {
    using fixture = await up(true, { keys: { "keep-commits": 3 } });
    await fixture.stop();
    fixture.define();
    Deno.writeTextFileSync(`${fixture.root}/own`, `{"mine":"yes"}`);
    Deno.renameSync(`${fixture.root}/own`, fixture.variables);
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    assertStringIncludes(said.join("\n"), "has versions beside it, but no session of this guest has made it");
    assertStringIncludes(said.join("\n"), "autorevert recover --keep|--discard guest");
    await fixture.event("release", "failed");
    assertEquals(keysOf(fixture.variables), ["mine"]);
    assertEquals((await fixture.type(["recover", way, DOMAIN], true)).code, 0);
    if (way === "--discard") assertStringIncludes(fixture.asked.join(), "guest nvram: throw the session");
    assertEquals((await fixture.event("prepare")).code, 0);
    assertEquals(keysOf(fixture.variables), [...left]);
  }
});

Deno.test("firmware whose folder was away at the end can be ended by a command", async () => {
  using fixture = await up(false);
  const folder = `${fixture.root}/firmware`;
  Deno.renameSync(folder, `${folder}.away`);
  await fixture.event("release", "shutdown");
  Deno.renameSync(`${folder}.away`, folder);
  fixture.define();
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.event("release", "failed");
  assertEquals((await fixture.type(["recover", "--discard", DOMAIN, "--yes"])).code, 0);
  assertEquals(await found(fixture), ["base", "installed"]);
});

Deno.test("recover of one of two disks leaves the firmware to the other", async () => {
  using fixture = await up(false, { targets: ["vda", "vdb"] });
  fixture.define();
  assertEquals((await fixture.type(["recover", "--discard", DOMAIN, "vdb", "--yes"])).code, 0);
  assertEquals((await fixture.type(["recover", "--keep", DOMAIN, "vda", "--yes"])).code, 0);
  assertEquals(await found(fixture), ["base", "installed", "session"]);
});
