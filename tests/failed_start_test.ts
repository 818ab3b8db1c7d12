/** A start that fails: what it takes back, and what it leaves as it was. */

import { assert, assertEquals } from "@std/assert";
import { readRecords } from "../lib/host/session_records.ts";
import type { Step } from "../lib/state/step.ts";
import { failingAt } from "./fault.ts";
import { stamping } from "./file_times.ts";
import { snapshot } from "./tree.ts";
import { base, session, up } from "./running_guest.ts";
import { Fixture } from "./fixture.ts";
import { diskXml, domainXml } from "./xml.ts";

Deno.test("a start is refused as a whole if one of its disks is", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  const before = snapshot(fixture.images);
  const raw = [diskXml("vda", fixture.vda), diskXml("vdb", fixture.image("vdb"), { format: "raw" })];
  assertEquals((await fixture.event("prepare", "-", { xml: domainXml(raw) })).code, 1);
  assertEquals(snapshot(fixture.images), before);
});

Deno.test("an undo that fails, too, leaves a disk that the next start still knows", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  // After both overlays were swapped in nothing can be renamed or removed any more.
  let renames = 0;
  const perform = failingAt((step) => step.kind === "rename" && ++renames > 1);
  assertEquals((await fixture.event("prepare", "-", { perform })).code, 1);
  await fixture.event("release", "failed");
  await fixture.start();
  for (const target of ["vda", "vdb"]) assertEquals(fixture.read(fixture.image(target)), { base: target });
  await fixture.stop();
  assertEquals(fixture.files(), ["vda.img", "vdb.img"]);
});

Deno.test("a start that follows on one that was refused is a start like any other, also where it fails", async () => {
  using fixture = await up(false);
  await fixture.stop();
  fixture.configureText("{");
  assertEquals((await fixture.event("prepare")).code, 1);
  fixture.configure({ vda: false });
  await fixture.good("prepare");
  await fixture.stop("failed");
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("a restore that fails at its last disk keeps the session that it had put back", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  fixture.save(fixture.image("vdb"), null, { base: "vdb" });
  fixture.sources.set("vdb", fixture.image("vdb"));
  fixture.configure({ vda: false, vdb: false });
  await fixture.good("restore");
  const perform = failingAt((step) => step.kind === "rename" && step.to === fixture.image("vdb"));
  assertEquals((await fixture.event("prepare", "-", { perform })).code, 1);
  await fixture.event("release", "failed");
  await fixture.good("restore");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a start that fails leaves the note as it was, and tells one error", async () => {
  using fixture = new Fixture();
  const note = fixture.note;
  const fail = async (kind: Step["kind"]) => {
    const before = readRecords(note);
    const { code, said } = await fixture.event("prepare", "-", {
      perform: failingAt((step) => step.kind === kind),
    });
    const whom = kind === "create" ? "guest vda" : "guest";
    assertEquals([code, said, readRecords(note)], [1, [`error: ${whom}: EIO`], before]);
    await fixture.event("release", "failed");
    assertEquals(readRecords(note), before);
  };
  fixture.disks({ vda: false });
  for (const kind of ["note", "create"] as const) await fail(kind);
  await fixture.start();
  await fixture.stop("-");
  assertEquals(readRecords(note).length, 1);
  await fail("create");
});

Deno.test("a start that fails leaves each disk as it was, a session of a power cut, too", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.disks({ vdb: false });
  fixture.configure({ vda: false, vdb: false });
  Deno.removeSync(`${fixture.image("vdb")}.backing_file`);
  const before = snapshot(fixture.images);
  for (const target of ["vda", "vdb"]) {
    const { code, log, said } = await fixture.event("prepare", "-", {
      perform: failingAt((step) => step.kind === "create" && step.overlay.startsWith(fixture.image(target))),
    });
    assertEquals([code, said], [1, [`error: guest ${target}: EIO`]]);
    assert(log.includes(`error: guest ${target}: EIO`));
    assertEquals(snapshot(fixture.images), before);
  }
});

Deno.test("a start that fails at its last disk takes the others back at once", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  const before = snapshot(fixture.images);
  const perform = failingAt((step) => step.kind === "rename" && step.to === fixture.image("vdb"));
  await fixture.event("prepare", "-", { perform });
  assertEquals(snapshot(fixture.images), before);
});

const twoMinutesAgo = () => new Date(Date.now() - 120_000);

for (const reason of ["crashed", "daemon", "unknown", "destroyed", "-"]) {
  Deno.test(`a flagged session that ran while libvirtd was away is kept, though nobody told that its guest was up: ${reason}`, async () => {
    using fixture = new Fixture().disks({ vda: true });
    // Without a reason, only that it was written to later than any start takes tells it from one that failed.
    fixture.now = twoMinutesAgo;
    await fixture.good("prepare", "-", stamping(fixture.now));
    await fixture.good("start");
    fixture.now = () => new Date();
    fixture.write(fixture.vda, "session");
    await fixture.event("stopped", reason);
    await fixture.event("release", reason);
    const isHeld = fixture.state("vda").kind === "session";
    assertEquals(isHeld ? fixture.read(fixture.vda) : fixture.disk("vda"), session);
  });
}

Deno.test("nor is one that was saved meanwhile, where libvirt gives no reason", async () => {
  using fixture = new Fixture().disks({ vda: false });
  fixture.now = twoMinutesAgo;
  await fixture.good("prepare", "-", stamping(fixture.now));
  fixture.now = () => new Date();
  fixture.write(fixture.vda, "session");
  await fixture.event("release", "-");
  await fixture.good("restore");
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), session);
});

for (const reason of ["failed", "-"]) {
  Deno.test(`a flagged session of a power cut is not committed by a start that is refused where nothing can be written to the configuration's folder: ${reason}`, async () => {
    using fixture = await up(true);
    fixture.define();
    const perform = failingAt((step) => ["note", "starting", "clear"].includes(step.kind));
    // What isn't a step is written there, too.
    const full = `${fixture.config}/guest.starting.autorevert-new`;
    Deno.mkdirSync(full);
    assertEquals((await fixture.event("prepare", "-", { perform })).code, 1);
    await fixture.event("stopped", reason, { perform });
    await fixture.event("release", reason, { perform });
    Deno.removeSync(full);
    assertEquals([fixture.state("vda").kind, fixture.flags()], ["session", { vda: true }]);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), { ...base, ...session });
  });
}

Deno.test("a session that a guest was saved on outlives a start that is refused since the disk of the notes is full", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  // No room for a new file in the folder of configurations.
  const beside = [`${fixture.note}.autorevert-new`, `${fixture.config}/guest.starting.autorevert-new`];
  for (const path of beside) Deno.mkdirSync(path);
  await fixture.event("stopped", "saved");
  await fixture.event("release", "saved");
  const { code } = await fixture.event("prepare");
  assertEquals(code, 1);
  await fixture.event("release", "failed");
  for (const path of beside) Deno.removeSync(path);
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), { base: "vda", session: "yes" });
  assertEquals((await fixture.event("restore")).code, 0);
  assertEquals((await fixture.event("prepare")).code, 0);
  assertEquals(fixture.read(fixture.vda), { base: "vda", session: "yes" });
});

Deno.test("a session that is set aside outlives a start that was cut short with libvirtd before its guest wrote anything", async () => {
  for (const what of ["a session", "an undone commit"]) {
    using fixture = new Fixture();
    fixture.keys = what === "a session" ? { "keep-session": true } : { "keep-commits": 1 };
    fixture.disks({ vda: what !== "a session" }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop();
    if (what !== "a session") await fixture.type("undo guest --yes");
    await fixture.event("prepare");
    // libvirtd dies, and ends at its restart what it had begun.
    await fixture.event("stopped", "daemon");
    await fixture.event("release", "daemon");
    const { said } = await fixture.type("keep guest --yes");
    assertEquals([said, fixture.disk("vda")], [[], { base: "vda", session: "yes" }], what);
  }
});

Deno.test("a flag that an editor clears after a start that failed keeps no session", async () => {
  for (const isFailed of [false, true]) {
    using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
    await fixture.start();
    // The flag is set with an editor while the guest runs; then the power fails.
    fixture.configure({ vda: true, vdb: false });
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
    fixture.boot();
    if (isFailed) {
      const perform = failingAt((step) => step.kind === "rename" && step.to === fixture.image("vdb"));
      assertEquals((await fixture.event("prepare", "-", { perform })).code, 1);
      await fixture.event("release", "failed");
    }
    // The administrator has changed his mind.
    fixture.configure({ vda: false, vdb: false });
    await fixture.start();
    await fixture.stop();
    assertEquals(fixture.disk("vda"), { base: "vda" }, `${isFailed}`);
  }
});

for (const reason of ["destroyed", "unknown"]) {
  Deno.test(`a start that is over before the guest is up uses up no flag: ${reason}`, async () => {
    using fixture = new Fixture().disks({ vda: true });
    await fixture.good("prepare");
    await fixture.good("start");
    await fixture.event("stopped", reason);
    await fixture.event("release", reason);
    assertEquals(fixture.flags(), { vda: true });
  });

  for (const what of ["commit that was undone", "session"]) {
    Deno.test(`a ${what} that is set aside outlives a start that is over before the guest is up: ${reason}`, async () => {
      using fixture = new Fixture();
      fixture.keys = { "keep-commits": 2, "keep-session": what === "session" };
      fixture.disks({ vda: what !== "session" }).define();
      await fixture.start();
      fixture.write(fixture.vda, "session");
      await fixture.stop();
      if (what !== "session") await fixture.type("undo guest --yes");
      await fixture.good("prepare");
      await fixture.good("start");
      await fixture.event("stopped", reason);
      await fixture.event("release", reason);
      assertEquals((await fixture.type("keep guest --yes")).said, []);
      assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" });
    });
  }
}

for (const second of ["listed since the save", "kept since the save"]) {
  for (const reason of ["crashed", "daemon", "destroyed"]) {
    Deno.test(`a restore whose memory did not come can be done again, also with a disk that was ${second}: ${reason}`, async () => {
      const isKept = second === "kept since the save";
      using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
      if (!isKept) fixture.configure({ vda: false });
      await fixture.start();
      fixture.write(fixture.vda, "session");
      await fixture.stop("saved");
      if (isKept) await fixture.type("recover guest vdb --keep --yes");
      else fixture.configure({ vda: false, vdb: false });
      for (let time = 0; time < 2; time++) {
        await fixture.good("restore");
        await fixture.start();
        await fixture.event("release", reason);
      }
      await fixture.good("restore");
      await fixture.good("prepare");
      assertEquals(fixture.read(fixture.vda), { base: "vda", session: "yes" });
    });
  }
}
