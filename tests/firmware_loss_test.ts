/**
 * Firmware and disk never come apart, whatever happens when: the guest writes the same keys to both, so they have to hold the
 * same.
 */

import { assertEquals } from "@std/assert";
import { atEveryStep, faults, inContext } from "./fault.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";
import type { Circumstance, Fixture, Result } from "./fixture.ts";
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
