/** Disks of a guest are of one session, whatever is undone, kept, thrown away or cut short. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { atEveryStep, Failing, tearing } from "./fault.ts";
import { stamping } from "./file_times.ts";
import { Fixture, LATER, LONG_AGO } from "./fixture.ts";

const both = ["vda", "vdb"];

/** A guest that has had these sessions, with the flags of each. */
async function after(
  fixture: Fixture,
  flags: readonly Readonly<Record<string, boolean>>[],
  reason = "shutdown",
): Promise<Fixture> {
  fixture.disks({ vda: false, vdb: false }).define();
  for (const [index, flag] of flags.entries()) {
    fixture.configure(flag);
    await fixture.start();
    for (const target of both) fixture.write(fixture.image(target), `session ${index + 1}`);
    await fixture.stop(reason);
  }
  return fixture;
}

/** Of a guest whose session was cut short by a loss of power. */
async function died(fixture: Fixture, flags: Readonly<Record<string, boolean>>): Promise<void> {
  fixture.disks(flags).define();
  await fixture.start();
  for (const target of both) fixture.write(fixture.image(target), "session");
  fixture.boot();
}

const sessionsIn = (fixture: Fixture, target: string) =>
  Object.keys(fixture.disk(target)).filter((key) => key !== "base");

Deno.test("after two undos keep brings back what the last one took, and not another disk's later commit", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  await after(fixture, [{ vda: true, vdb: false }, { vda: true, vdb: true }]);
  for (const words of ["undo guest --yes", "undo guest --yes", "keep guest --yes"]) {
    assertEquals((await fixture.type(words)).said, []);
  }
  assertEquals(both.map((target) => sessionsIn(fixture, target)), [["session 1"], []]);
});

Deno.test("undo takes the last session's commit back, and not another disk's of a session before", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  await after(fixture, [{ vda: true, vdb: true }, { vda: true, vdb: false }]);
  const { printed } = await fixture.type("undo guest", true);
  assertEquals(printed[0], "guest vdb: has no commit of that session, and stays as it is");
  assertEquals(both.map((target) => sessionsIn(fixture, target)), [["session 1"], ["session 1"]]);
  await fixture.type("undo guest", true);
  assertEquals(both.map((target) => sessionsIn(fixture, target)), [[], []]);
});

Deno.test("undo tells of a disk whose commit of the same session is merged already", async () => {
  using fixture = new Fixture().disks({ vda: true, vdb: true }).define();
  const disks = [{ target: "vda", "one-shot-commit": true, "keep-commits": 1 }, {
    target: "vdb",
    "one-shot-commit": true,
  }];
  fixture.configureText(JSON.stringify({ disks }));
  await fixture.start();
  await fixture.stop();
  const { printed } = await fixture.type("undo guest", true);
  assertEquals(printed[0], "guest vdb: has no commit of that session, and stays as it is");
});

for (const then of ["a start", "a merge", "commit"]) {
  Deno.test(`recover --keep that is cut short keeps both disks' sessions or none: then ${then}`, async () => {
    await atEveryStep("dies before", async (failing) => {
      using fixture = new Fixture();
      await died(fixture, { vda: false, vdb: false });
      // Set since: meant for the next session, as it is told.
      if (then === "commit") await fixture.type("commit guest");
      await fixture.type("recover --keep guest --yes", true, { perform: failing.perform });
      if (then === "commit") await fixture.type("commit guest --cancel");
      if (then === "a merge") await fixture.merge();
      fixture.booted = LONG_AGO;
      await fixture.event("prepare");
      const [vda, vdb] = both.map((target) => "session" in fixture.read(fixture.image(target)));
      assertEquals(vda, vdb);
    });
  });
}

Deno.test("recover --keep of one disk that is cut short leaves the other's flagged session to go on", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = new Fixture();
    await died(fixture, { vda: true, vdb: false });
    await fixture.type("recover --keep guest vdb --yes", true, { perform: failing.perform });
    await fixture.start();
    fixture.booted = LONG_AGO;
    fixture.write(fixture.vda, "next");
    await fixture.stop();
    assertEquals(sessionsIn(fixture, "vda"), ["session", "next"]);
  });
});

Deno.test("recover --keep of what an end that was cut short has left asks, where the other disk's session is gone", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = await after(new Fixture(), []);
    await fixture.start();
    for (const target of both) fixture.write(fixture.image(target), "session");
    await fixture.event("release", "shutdown", { perform: failing.perform });
    fixture.boot();
    await fixture.type("recover --keep guest", false);
    const [vda, vdb] = both.map((target) => sessionsIn(fixture, target).length);
    assertEquals(vda, vdb);
  });
});

Deno.test("recover --discard of sessions that never came up takes the flags of both disks along, or of none", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = new Fixture().disks({ vda: true, vdb: true }).define();
    await fixture.event("prepare", "-", { perform: failing.perform });
    fixture.boot();
    await fixture.type("recover --discard guest --yes", true);
    const { vda, vdb } = fixture.flags();
    assertEquals(vda, vdb);
  });
});

for (const words of ["recover --discard guest --yes", "commit guest --cancel"]) {
  Deno.test(`${words}, cut short, takes the word for a saved session back for both disks or for none`, async () => {
    await atEveryStep("dies before", async (failing) => {
      using fixture = new Fixture().disks({ vda: true, vdb: true }).define();
      await fixture.start();
      for (const target of both) fixture.write(fixture.image(target), "session");
      await fixture.good("release", "saved");
      await fixture.type(words, true, { perform: failing.perform });
      if (words.startsWith("commit")) await fixture.good("restore");
      await fixture.start();
      await fixture.stop();
      const [vda, vdb] = both.map((target) => sessionsIn(fixture, target).length);
      assertEquals(vda, vdb);
    });
  });
}

Deno.test("a restore is refused where a session that ran lies there, and another one is set aside of one disk", async () => {
  using fixture = await after(new Fixture(), []);
  fixture.configureText(
    JSON.stringify({ disks: [{ target: "vda", "keep-session": true }, { target: "vdb" }] }),
  );
  await fixture.start();
  await fixture.stop("saved");
  await fixture.start();
  for (const target of both) fixture.write(fixture.image(target), "second");
  await fixture.stop("destroyed");
  await fixture.event("restore");
  assertEquals((await fixture.event("prepare")).code, 1);
});

for (const words of ["enable guest vda --keep-session", "commit guest vda"]) {
  Deno.test(`keep takes no older session of one disk beside a newer one of the other: ${words}`, async () => {
    using fixture = await after(new Fixture(), []);
    await fixture.start();
    for (const target of both) fixture.write(fixture.image(target), "first");
    await fixture.stop("saved");
    await fixture.start();
    fixture.run();
    for (const target of both) fixture.write(fixture.image(target), "second");
    await fixture.type(words);
    fixture.halt();
    await fixture.stop();
    await fixture.type("keep guest", true);
    assertEquals(both.map((target) => sessionsIn(fixture, target)), [["second"], []]);
  });
}

Deno.test("an end that leaves one disk's session to be set aside leaves the others' with it", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-session": true };
  fixture.disks({ vda: false, vdb: false }).define();
  await fixture.start();
  for (const target of both) fixture.write(fixture.image(target), "first");
  fixture.boot();
  fixture.configure({ vda: false, vdb: true }, LATER);
  await fixture.start();
  for (const target of both) fixture.write(fixture.image(target), "second");
  await fixture.type("commit guest vdb --cancel");
  await fixture.stop();
  assertEquals(both.map((target) => fixture.state(target).kind), ["session", "session"]);
  await fixture.start();
  await fixture.stop();
  assertEquals((await fixture.type("keep guest", true)).code, 0);
  assertEquals(sessionsIn(fixture, "vda"), sessionsIn(fixture, "vdb"));
});

Deno.test("an undo that was cut short anywhere is completed by the same command, which takes no further commit back", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 3 };
    const flags = { vda: true, vdb: true };
    await after(fixture, [flags, flags]);
    await fixture.type("undo guest --yes", true, { perform: failing.perform });
    if (!Deno.readTextFileSync(`${fixture.config}/guest.session`).includes('"undo"')) return;
    await fixture.type("undo guest --yes");
    assertEquals(both.map((target) => sessionsIn(fixture, target)), [["session 1"], ["session 1"]]);
  });
});

Deno.test("undo takes the last commit back, whatever the clock said", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  await after(fixture, [{ vda: false, vdb: true }]);
  fixture.now = () => new Date(Date.now() - 86_400_000);
  fixture.configure({ vda: true, vdb: false });
  await fixture.start();
  await fixture.stop();
  fixture.now = () => new Date();
  const { printed } = await fixture.type("undo guest", true);
  assertEquals(printed[0], "guest vdb: has no commit of that session, and stays as it is");
});

Deno.test("undo takes the last commit back of each disk, also where an earlier one of a disk had been undone", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  await after(fixture, [{ vda: true, vdb: false }]);
  await fixture.type("undo guest", true);
  fixture.configure({ vda: true, vdb: true });
  await fixture.start();
  for (const target of both) fixture.write(fixture.image(target), "session 2");
  await fixture.stop();
  await fixture.type("undo guest", true);
  assertEquals(both.map((target) => sessionsIn(fixture, target)), [[], []]);
});

Deno.test("a second undo asks before what the first one took back of another disk goes with its own", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  await after(fixture, [{ vda: true, vdb: false }, { vda: true, vdb: true }]);
  await fixture.type("undo guest", true);
  await fixture.type("undo guest", true);
  assertStringIncludes(fixture.asked.at(-1)!, 'so does what was undone of "vdb"');
  const { printed } = await fixture.type("keep guest", true);
  assertEquals(printed, [
    "guest vdb: has nothing of that session set aside, and stays as it is",
    "guest vda: the last session is part of the disk now: the next start begins with it",
  ]);
});

Deno.test("a second undo leaves nothing of another session to be kept, wherever it is cut short", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 3 };
    await after(fixture, [{ vda: true, vdb: false }, { vda: true, vdb: true }]);
    await fixture.type("undo guest", true);
    await fixture.type("undo guest", true, { perform: failing.perform });
    await fixture.type("keep guest vdb", true);
    const [vda, vdb] = both.map((target) => sessionsIn(fixture, target));
    assertEquals(vdb, vda!.length > 0 ? ["session 2"] : []);
  });
});

Deno.test("recover --keep of one disk tells of the other one's session", async () => {
  using fixture = new Fixture();
  await died(fixture, { vda: false, vdb: false });
  const { printed } = await fixture.type("recover guest --keep vda");
  assertEquals(printed, [
    "guest vda: the session is part of the disk now: the next start begins with it",
    "guest vdb: its session lies there still; to end it, too: autorevert recover --keep guest vdb",
  ]);
});

Deno.test("a guest whose saved session was undone for good is not restored on an older commit that keep has brought back", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  fixture.disks({ vda: true }).define();
  let now = Date.parse("2026-06-01");
  fixture.now = () => new Date(now);
  const how = stamping(() => new Date(now));
  for (const session of ["older", "saved on"]) {
    now += 3_600_000;
    fixture.configure({ vda: true });
    await fixture.start(how);
    fixture.write(fixture.vda, session);
    // Before libvirt 10.5; the second one is a save to a file, which commits it.
    await fixture.stop("-");
  }
  now += 3_600_000;
  for (const words of ["undo guest --yes", "undo guest --yes", "keep guest --yes"]) await fixture.type(words);
  await fixture.event("restore");
  assertEquals((await fixture.event("prepare", "-", how)).code, 1);
});

Deno.test("an undo that fails says that it is completed all the same, and status that it was cut short", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 1 };
  await after(fixture, [{ vda: true, vdb: true }]);
  const failing = new Failing(2, "fails before");
  const { code, said } = await fixture.type("undo guest --yes", true, { perform: failing.perform });
  assertEquals(code, 1);
  assertStringIncludes(said.at(-1)!, "to have the commit back after that: autorevert keep guest");
  assertStringIncludes(
    (await fixture.type("status guest")).printed.join(),
    "interrupted; completes at the next start",
  );
});

for (const way of ["--keep", "--discard"]) {
  Deno.test(`recover ${way} of one disk leaves another's flagged session to go on, also where an editor has set the flags`, async () => {
    using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
    // Before the guest's last write, for all that the times say.
    fixture.configure({ vda: true, vdb: true });
    fixture.boot();
    const states = async () =>
      (await fixture.type("status guest")).printed.filter((line) => line.includes("vdb"));
    const before = await states();
    assertEquals((await fixture.type(`recover ${way} guest vda --yes`)).said, []);
    assertEquals(await states(), before);
    await fixture.start();
    assertEquals(fixture.read(fixture.image("vdb")), { base: "vdb", session: "yes" });
  });
}

for (const verb of ["keep", "recover --keep"]) {
  Deno.test(`undo takes back all disks of a session that was kept disk by disk, as the hints say: ${verb}`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 3, "keep-session": true };
    fixture.disks({ vda: false, vdb: false }).define();
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
    if (verb === "keep") await fixture.stop();
    else fixture.boot();
    for (const target of ["vda", "vdb"]) {
      assertEquals((await fixture.type(`${verb} guest ${target} --yes`)).said, []);
    }
    const { printed } = await fixture.type("undo guest --yes");
    assertEquals(
      [fixture.disk("vda"), fixture.disk("vdb")],
      [{ base: "vda" }, { base: "vdb" }],
      printed.join("\n"),
    );
  });
}

Deno.test("an undo that is refused since one disk's commit is being merged says which disk that is", async () => {
  using fixture = new Fixture().disks({ vda: true, vdb: true }).define();
  const disks = both.map((target) => ({
    target,
    "one-shot-commit": true,
    "keep-commits": target === "vdb" ? 1 : 0,
  }));
  fixture.configureText(JSON.stringify({ disks }));
  await fixture.start();
  for (const target of both) for (const key of ["a", "b"]) fixture.write(fixture.image(target), key);
  await fixture.event("release", "shutdown", { mergeDies: true });
  await fixture.merge({ perform: tearing(fixture) });
  const { said } = await fixture.command("undo", { mergeDies: true });
  assertStringIncludes(said[0]!, "error: guest vda: the commit is already being merged into the disk");
});

Deno.test("undo takes back all disks that were committed at one end, also where one of them had gone on with an older session", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  fixture.disks({ vda: true, vdb: true }).define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "first");
  fixture.boot();
  const { said } = await fixture.type("recover --keep guest vda --yes");
  assertEquals(said, []);
  await fixture.start();
  assertEquals(fixture.read(fixture.image("vdb")), { base: "vdb", first: "yes" });
  fixture.run();
  await fixture.type("commit guest");
  fixture.halt();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "second");
  await fixture.stop();
  for (const target of ["vda", "vdb"]) {
    assertEquals(fixture.disk(target), { base: target, first: "yes", second: "yes" });
  }
  const { printed } = await fixture.type("undo guest --yes");
  const has = ["vda", "vdb"].map((target) => "second" in fixture.disk(target));
  assertEquals(has, [false, false], printed.join("\n"));
});

/** The first disk's flagged session has gone on since a crash, and the second one's began then. */
async function goneOnBeside(fixture: Fixture): Promise<void> {
  fixture.disks({ vda: true, vdb: false }).define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "first");
  await fixture.stop("crashed");
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "second");
}

const secondOf = (fixture: Fixture) =>
  ["vda", "vdb"].map((target) => fixture.read(fixture.image(target)).second);

Deno.test("disks that are flagged go on together after a power cut, also where one has gone on since a crash", async () => {
  using fixture = new Fixture();
  await goneOnBeside(fixture);
  fixture.configure({ vda: true, vdb: true }, LATER);
  fixture.boot();
  await fixture.start();
  assertEquals(secondOf(fixture), ["yes", "yes"]);
});

for (const order of [["vda", "vdb"], ["vdb", "vda"]]) {
  Deno.test(`what is kept disk by disk is undone together, also where one has gone on since a crash: ${order}`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 3 };
    await goneOnBeside(fixture);
    fixture.boot();
    for (const target of order) {
      assertEquals((await fixture.type(`recover guest ${target} --keep --yes`)).code, 0);
    }
    assertEquals(secondOf(fixture), ["yes", "yes"]);
    await fixture.type("undo guest --yes");
    assertEquals(secondOf(fixture), [undefined, undefined]);
  });
}
