/** Several disks of a guest: which of them are committed together, and what waits for what. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { atEveryStep, dyingAt, Failing } from "./fault.ts";
import { afterClockTick, type Circumstance, Fixture, LATER } from "./fixture.ts";
import { session, up } from "./running_guest.ts";
import { diskXml, domainXml } from "./xml.ts";

Deno.test("a decided commit that no note tells of is finished at the next start", async () => {
  using fixture = await up(false);
  Deno.removeSync(fixture.note);
  Deno.renameSync(fixture.vda, `${fixture.vda}.autorevert-committing`);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals(fixture.disk("vda"), session);
});

Deno.test("of two flagged disks none is committed as long as nobody can tell what stands on the other", async () => {
  using fixture = new Fixture().disks({ vda: true, vdb: true });
  await fixture.start();
  const loop = `${fixture.root}/loop`;
  Deno.symlinkSync(loop, loop);
  fixture.sources.set("vdb", loop);
  await fixture.good("release", "shutdown");
  assertEquals(fixture.flags(), { vda: true, vdb: true });
  assertEquals(["vda", "vdb"].map((target) => fixture.state(target).kind), ["session", "session"]);
});

Deno.test("a commit doesn't wait for a disk in use that isn't flagged, or is no longer the guest's", async () => {
  for (const flag of [false, true]) {
    using fixture = new Fixture().disks({ vda: true, vdb: flag });
    await fixture.start();
    fixture.write(fixture.vda, "session");
    fixture.busy.add(fixture.image("vdb"));
    if (flag) fixture.sources.delete("vdb");
    await fixture.good("release", "-");
    assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" });
    assertEquals(fixture.flags(), { vda: false, vdb: flag });
    assertEquals(fixture.state("vdb").kind, "session");
  }
});

Deno.test("of two flagged disks none is committed as long as one can't be", async () => {
  using fixture = new Fixture().disks({ vda: true, vdb: true });
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
  fixture.busy.add(fixture.image("vdb"));
  const { log } = await fixture.event("release", "-");
  assert(log.includes("guest vda: hold: another disk of the guest can't be committed yet"));
  // The one that is open elsewhere has its flag with it.
  assertEquals(fixture.flags(), { vda: true, vdb: false });
  assertEquals(["vda", "vdb"].map((target) => fixture.state(target).kind), ["session", "session"]);

  fixture.busy.clear();
  await fixture.start();
  for (const target of ["vda", "vdb"]) {
    assertEquals(fixture.read(fixture.image(target)), { base: target, session: "yes" });
  }
  await fixture.stop();
  assertEquals(fixture.flags(), { vda: false, vdb: false });
  for (const target of ["vda", "vdb"]) assertEquals(fixture.disk(target), { base: target, session: "yes" });
});

Deno.test("of two flagged disks none is committed as long as another file may stand on one", async () => {
  using fixture = new Fixture().disks({ vda: true, vdb: true });
  await fixture.start();
  fixture.sources.set("vdb", `${fixture.images}/snapshot.img`);
  await fixture.good("release", "shutdown");
  assertEquals(fixture.flags(), { vda: true, vdb: true });
  assertEquals(["vda", "vdb"].map((target) => fixture.state(target).kind), ["session", "session"]);
});

Deno.test("a decided commit is not finished as long as its flag can't be read: it would be done twice", async () => {
  using fixture = await up(true);
  Deno.linkSync(fixture.vda, `${fixture.vda}.autorevert-committing`);
  fixture.configureText("{");
  await fixture.event("release", "shutdown");
  assertEquals(fixture.state("vda").kind, "committing");
  fixture.configure({ vda: true });
  await fixture.good("release", "shutdown");
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false]);
});

Deno.test("a session without a flag, or that another file may stand on, doesn't join another disk's commit", async () => {
  using fixture = new Fixture().disks({ vda: true, vdb: true, vdc: false });
  await fixture.start();
  for (const target of ["vda", "vdc"]) fixture.write(fixture.image(target), "session");
  Deno.linkSync(fixture.vda, `${fixture.vda}.autorevert-committing`);
  fixture.sources.set("vdb", `${fixture.images}/snapshot.img`);
  await fixture.good("release", "shutdown");
  assertEquals(["vda", "vdb", "vdc"].map((target) => fixture.state(target).kind), [
    "plain",
    "session",
    "plain",
  ]);
  assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" });
  assertEquals(fixture.disk("vdc"), { base: "vdc" });
  assertEquals(fixture.flags(), { vda: false, vdb: true, vdc: false });
});

Deno.test("a commit whose flag was cleared before the power cut is finished without clearing one", async () => {
  using fixture = await up(true);
  Deno.linkSync(fixture.vda, `${fixture.vda}.autorevert-committing`);
  fixture.configure({ vda: false });
  const { log } = await fixture.event("prepare");
  assertEquals(log.filter((line) => line.includes("clear ")), []);
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("somebody's own overlay doesn't join another disk's commit", async () => {
  using fixture = await up(true);
  Deno.linkSync(fixture.vda, `${fixture.vda}.autorevert-committing`);
  const vdb = fixture.image("vdb");
  fixture.save(`${vdb}.backing_file`, null, { base: "vdb" });
  fixture.save(vdb, `${vdb}.backing_file`, { own: "yes" });
  fixture.sources.set("vdb", vdb);
  fixture.configure({ vda: true, vdb: true });
  assertEquals((await fixture.event("prepare")).code, 1);
  assertEquals(fixture.state("vdb").kind, "session");
  assertEquals(fixture.flags().vdb, true);
});

Deno.test("a flag that was set before the guest's last write is for all of its sessions", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
  Deno.utimeSync(fixture.image("vdb"), new Date(1), new Date(1));
  fixture.configure({ vda: true, vdb: true }, new Date(2));
  await fixture.start();
  await fixture.stop();
  for (const target of ["vda", "vdb"]) assertEquals(fixture.disk(target), { base: target, session: "yes" });
});

Deno.test("a flag that was set since another disk's commit was cut short is for the next session", async () => {
  using fixture = new Fixture().disks({ vda: true, vdb: false });
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
  Deno.linkSync(fixture.vda, `${fixture.vda}.autorevert-committing`);
  await afterClockTick();
  fixture.configure({ vda: false, vdb: true }, new Date());
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { base: "vda", session: "yes" });
  assertEquals(fixture.read(fixture.image("vdb")), { base: "vdb" });
  fixture.write(fixture.image("vdb"), "next");
  await fixture.stop();
  assertEquals(fixture.disk("vdb"), { base: "vdb", next: "yes" });
});

Deno.test("sessions that a start was about to set aside are set aside again, whatever that start has made before it was cut short", async () => {
  for (const flags of [{ vda: true, vdb: true }, { vdb: false, vda: true }]) {
    using fixture = new Fixture().disks(
      Object.fromEntries(Object.keys(flags).map((target) => [target, false])),
    );
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
    await afterClockTick();
    fixture.configure(flags, new Date());
    await afterClockTick();
    // Between the two disks.
    let renames = 0;
    await fixture.event("prepare", "-", {
      perform: dyingAt((step) => step.kind === "rename" && ++renames > 1),
    });
    await fixture.start();
    await fixture.stop();
    for (const target of ["vda", "vdb"]) assertEquals(fixture.disk(target), { base: target });
  }
});

Deno.test("a disk whose folder is not mounted at the end is committed with the others when it is", async () => {
  using fixture = new Fixture().disks({ vda: true });
  const other = `${fixture.images}/other`;
  const away = `${fixture.images}/away`;
  Deno.mkdirSync(other);
  fixture.save(`${other}/vdb.img`, null, { base: "vdb" });
  fixture.sources.set("vdb", `${other}/vdb.img`);
  fixture.configure({ vda: true, vdb: true });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.write(`${other}/vdb.img`, "session");
  Deno.renameSync(other, away);
  Deno.mkdirSync(other);
  await fixture.stop();
  assertEquals([fixture.state("vda").kind, fixture.flags()], ["session", { vda: true, vdb: true }]);
  Deno.removeSync(other);
  Deno.renameSync(away, other);
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.flags(), { vda: false, vdb: false });
  assertEquals([fixture.disk("vda").session, fixture.read(`${other}/vdb.img`).session], ["yes", "yes"]);
});

for (const isTouched of [false, true]) {
  Deno.test(`two flagged disks, one of them by an editor, go on together after a power cut${isTouched ? ", though the configuration was edited since" : ""}`, async () => {
    using fixture = new Fixture().disks({ vda: true, vdb: false });
    fixture.define();
    await fixture.start();
    fixture.configure({ vda: true, vdb: true }, new Date());
    await afterClockTick();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
    fixture.booted = new Date();
    await afterClockTick();
    if (isTouched) fixture.configure({ vda: true, vdb: true }, new Date());
    await fixture.start();
    await fixture.stop();
    for (const target of ["vda", "vdb"]) {
      assertEquals(fixture.disk(target), { base: target, session: "yes" });
    }
  });
}

for (const reason of ["shutdown", "-"]) {
  for (const sessions of [0, 1]) {
    for (const isNamed of [false, true]) {
      Deno.test(`keep restores the commit that undo took back, and keeps no other disk's session that is set aside${isNamed ? " unless it is named" : ""}: ${reason}, ${sessions} sessions since`, async () => {
        using fixture = new Fixture().disks({ vda: true, vdb: false });
        const list = (flag: boolean) =>
          fixture.configureText(JSON.stringify({
            disks: [
              { target: "vda", "one-shot-commit": flag, "keep-commits": 1 },
              { target: "vdb", "one-shot-commit": false, "keep-session": true },
            ],
          }));
        list(true);
        fixture.define();
        for (const key of ["one", "two"].slice(0, 1 + sessions)) {
          await fixture.start();
          for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), key);
          await fixture.stop(reason);
        }
        assertEquals((await fixture.type("undo guest --yes")).said, []);
        // It outlives a start that fails.
        await fixture.good("prepare");
        await fixture.stop("failed");
        const { said, printed } = await fixture.type("keep guest --yes");
        assertEquals(said, []);
        assertEquals(printed.at(-1)?.endsWith("to keep it, too: autorevert keep guest vdb"), true);
        if (isNamed) assertEquals((await fixture.type("keep guest vdb --yes")).said, []);
        const kept = sessions === 0 ? "one" : "two";
        assertEquals([fixture.disk("vda"), fixture.disk("vdb")], [
          { base: "vda", one: "yes" },
          { base: "vdb", ...isNamed && { [kept]: "yes" } },
        ]);
      });
    }
  }
}

for (const isTyped of [false, true]) {
  Deno.test(`two disks are committed together or not at all where flags are cleared ${isTyped ? "by the command" : "with an editor"} after an end that was cut short`, async () => {
    await atEveryStep("dies before", async (failing) => {
      using fixture = new Fixture().disks({ vda: true, vdb: true });
      fixture.define();
      await fixture.start();
      for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
      await fixture.event("stopped", "shutdown");
      await fixture.event("release", "shutdown", { perform: failing.perform });
      await afterClockTick(20);
      if (isTyped) await fixture.type("commit guest --cancel");
      else fixture.configure({ vda: false, vdb: false }, new Date());
      await fixture.start();
      await fixture.stop();
      const [first, second] = ["vda", "vdb"].map((target) => "session" in fixture.disk(target));
      assertEquals(first, second);
    });
  });
}

for (const hasConfig of [true, false]) {
  Deno.test(`status and commit --cancel tell that a commit which was cut short takes the other disk along${hasConfig ? "" : ", also without a configuration"}`, async () => {
    using fixture = new Fixture().disks({ vda: true, vdb: true });
    fixture.define();
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
    await fixture.event("release", "shutdown", {
      perform: dyingAt((step) => step.kind === "own" && step.path.includes("vdb")),
    });
    if (!hasConfig) Deno.removeSync(fixture.configFile);
    const { guests } = JSON.parse((await fixture.type("status --json")).printed.join("\n"));
    const [first, second] = guests[0].disks.map(({ state }: { state: string }) => state);
    assertEquals(second, first);
    if (hasConfig) {
      const { printed } = await fixture.type("commit --cancel guest");
      assertStringIncludes(printed.join(), "interrupted event completed");
    } else await fixture.good("prepare");
    assertEquals(["vda", "vdb"].map((target) => "session" in fixture.disk(target)), [true, true]);
  });
}

Deno.test("two flagged disks are committed together where the start after a cut-short end is cut short, too", async () => {
  for (let end = 0; end < 12; end++) {
    await atEveryStep("dies after", async (failing) => {
      using fixture = new Fixture().disks({ vda: true, vdb: true }).define();
      await fixture.start();
      for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
      // The power fails, and comes back; the hook of the start is killed, and libvirt tells of its end.
      await fixture.event("release", "shutdown", { perform: new Failing(end, "dies after").perform });
      fixture.boot();
      await fixture.event("prepare", "-", { perform: failing.perform });
      await fixture.event("release", "failed");
      await fixture.start();
      await fixture.stop();
      const kept = ["vda", "vdb"].map((target) => "session" in fixture.disk(target));
      assertEquals(kept, [true, true], `the end cut short at ${end}`);
    });
  }
});

Deno.test("undo takes one commit back, also of one that was decided with an error, and completed later", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 5 };
  fixture.disks({ vda: false, vdb: false }).define();
  const commit = async (flags: Readonly<Record<string, boolean>>, value: string, how: Circumstance = {}) => {
    fixture.configure(flags);
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "version", value);
    await fixture.event("release", "shutdown", how);
  };
  await commit({ vda: true, vdb: true }, "one");
  await commit({ vda: true, vdb: false }, "two", {
    perform: (inner) => async (step, control) => {
      await inner(step, control);
      if (step.kind === "link" && step.to.endsWith("committing")) throw new Error("EIO");
    },
  });
  assertEquals((await fixture.type("recover guest")).said, []);
  assertEquals(fixture.disk("vda")["version"], "two");
  assertEquals((await fixture.type("undo guest", true)).said, []);
  assertEquals([fixture.disk("vda")["version"], fixture.disk("vdb")["version"]], ["one", "one"]);
});

/** A disk was detached in a session, which lies there still, and is neither defined nor configured any more. */
async function detachedBefore(flag: boolean): Promise<Fixture> {
  const fixture = new Fixture().disks({ vda: false, vdb: flag }).define();
  await fixture.start();
  fixture.write(fixture.image("vdb"), "old");
  fixture.configure({ vda: false, vdb: false });
  await fixture.event("release", "shutdown", { xml: domainXml([diskXml("vda", fixture.vda)]) });
  fixture.sources.delete("vdb");
  fixture.configure({ vda: false });
  await fixture.define().start();
  return fixture;
}

for (const flag of [false, true]) {
  Deno.test(`the session of a disk that was detached is no matter of a later session's end, though its flag ${flag ? "was set, and cleared" : "is set by then"}`, async () => {
    using fixture = await detachedBefore(flag);
    if (!flag) fixture.configure({ vda: false, vdb: true }, LATER);
    await fixture.stop();
    assertEquals([fixture.disk("vdb"), fixture.flags().vdb], [{ base: "vdb" }, flag ? undefined : true]);
  });
}

Deno.test("what a guest writes to a disk that is not configured any more, and is attached while it runs, stays", async () => {
  using fixture = await detachedBefore(false);
  const image = fixture.vda.replace("vda", "vdb");
  fixture.sources.set("vdb", image);
  fixture.write(image, "data");
  await fixture.stop();
  assertEquals(fixture.read(image).data, "yes");
});
