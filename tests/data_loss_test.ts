/** Sessions and commits that an ordinary day of an administrator must not lose. */

import { assertEquals } from "@std/assert";
import { atEveryStep, dyingAt, Failing } from "./fault.ts";
import { afterClockTick, type Circumstance, DOMAIN, Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { base, committed, session, up } from "./running_guest.ts";
import { stamping } from "./file_times.ts";

Deno.test("a commit that fails is done after the next session, if its flag was set after the last write", async () => {
  for (const fault of ["fails before", "dies before"] as const) {
    for (let step = 0; step < 5; step++) {
      using fixture = await up(false);
      fixture.configure({ vda: true }, LATER);
      await fixture.event("release", "shutdown", { perform: new Failing(step, fault).perform });
      if (fault === "dies before" && step === 0) continue;
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), session, `${fault} ${step}`);
    }
  }
});

Deno.test("a session that goes on is committed by the flag of the target that its disk has now", async () => {
  using fixture = await up(true);
  await fixture.stop("crashed");
  fixture.sources.clear();
  fixture.sources.set("sda", fixture.vda);
  fixture.configure({ sda: true });
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals([fixture.read(fixture.vda), fixture.flags().sda], [session, false]);
});

Deno.test("a guest that starts before its images are mounted finds its session when they are", async () => {
  using fixture = await up(true);
  const away = `${fixture.root}/away`;
  Deno.renameSync(fixture.images, away);
  Deno.mkdirSync(fixture.images);
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.event("release", "failed");
  Deno.removeSync(fixture.images);
  Deno.renameSync(away, fixture.images);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a guest that is up when libvirtd comes back is up: its end is no end of a failed start", async () => {
  using fixture = new Fixture().disks({ vda: true });
  await fixture.good("prepare");
  await fixture.good("start");
  // libvirtd died before it called the hook again.
  await fixture.good("reconnect");
  fixture.write(fixture.vda, "session");
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false]);
});

Deno.test("a power cut keeps a session that was meant, though the file was edited after its last write", async () => {
  using begun = await up(true);
  begun.configure({ vda: true }, LATER);
  await begun.start();
  assertEquals(begun.read(begun.vda), session);

  using running = await up(false);
  running.define();
  running.run();
  assertEquals((await running.type("commit guest")).code, 0);
  running.halt();
  running.configure({ vda: true }, LATER);
  await running.start();
  assertEquals(running.read(running.vda), session);

  using cancelled = await up(true);
  cancelled.define();
  cancelled.run();
  assertEquals((await cancelled.type("commit --cancel guest")).code, 0);
  cancelled.halt();
  cancelled.configure({ vda: true }, LATER);
  await cancelled.start();
  assertEquals(cancelled.disk("vda"), cancelled.read(cancelled.vda));
});

/** What libvirt keeps of a guest that it has saved itself. */
const saveOf = ({ settings }: Fixture) => `${settings.saveFolder}/${DOMAIN}.save`;

for (const when of ["runs", "is saved", "died and goes on"] as const) {
  Deno.test(`commit keeps its word on the session of a guest that ${when}, whatever becomes of it and of the file`, async () => {
    for (const end of ["saved", "-"]) {
      using fixture = await up(when === "died and goes on");
      fixture.define();
      if (when === "runs") fixture.run();
      else {
        if (when === "is saved") Deno.writeTextFileSync(saveOf(fixture), "");
        await fixture.stop(when === "is saved" ? end : "crashed");
      }
      const { code, printed } = await fixture.type("commit guest");
      assertEquals([code, printed.length], [0, 1]);
      if (when === "runs") fixture.halt();
      if (when === "is saved") Deno.removeSync(saveOf(fixture));
      // An editor, a backup or touch.
      fixture.configure({ vda: true }, LATER);
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), session, end);
      await fixture.stop();
      assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false], end);
    }
  });
}

Deno.test("commit --cancel takes its word back, also of a session that an event held", async () => {
  using fixture = await up(true);
  fixture.define();
  await fixture.stop("crashed");
  assertEquals((await fixture.type("commit --cancel guest")).code, 0);
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("a note that tells of a folder that is gone keeps no guest from starting, nor a command from working", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  const moved = `${fixture.root}/moved`;
  Deno.renameSync(fixture.images, moved);
  fixture.settings = { ...fixture.settings, imageFolders: [moved] };
  const vda = `${moved}/vda.img`;
  for (const name of ["vda.img.autorevert-ended", "vda.img.backing_file"]) {
    Deno.removeSync(`${moved}/${name}`);
  }
  fixture.sources.set("vda", vda);
  fixture.define();
  for (
    const words of [["commit", DOMAIN], ["commit", "--cancel", DOMAIN], ["disable", DOMAIN], [
      "enable",
      DOMAIN,
      "vda",
    ]]
  ) {
    assertEquals((await fixture.type(words)).code, 0, words.join(" "));
  }
  await fixture.start();
  fixture.write(vda, "session");
  await fixture.stop();
  assertEquals(fixture.read(vda), base);
});

Deno.test("recover commits nothing as long as the configuration can't be read: its flag would commit the next session, too", async () => {
  using fixture = await up(true);
  fixture.define();
  fixture.configureText("{");
  await fixture.event("release", "shutdown");
  assertEquals((await fixture.type("recover --keep guest")).code, 1);
  assertEquals(fixture.read(fixture.vda), session);
  fixture.configure({ vda: true });
  assertEquals((await fixture.type("recover --keep guest")).code, 0);
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false]);
});

Deno.test("a flagged session goes on under the target that its disk was given meanwhile", async () => {
  using fixture = await up(true);
  const xml = fixture.xml();
  // virsh edit, for the next start.
  fixture.sources.clear();
  fixture.sources.set("sda", fixture.vda);
  fixture.configure({ sda: true });
  await fixture.good("release", "shutdown", { xml });
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags().sda], [session, false]);
});

Deno.test("commit after a commit that was cut short is for the next session", async () => {
  for (const step of [4, 5]) {
    using fixture = await up(true);
    fixture.define();
    await fixture.event("release", "shutdown", { perform: new Failing(step, "dies before").perform });
    assertEquals((await fixture.type("commit guest")).code, 0);
    await fixture.start();
    fixture.write(fixture.vda, "next");
    await fixture.stop();
    assertEquals([fixture.disk("vda"), fixture.flags().vda], [{ ...session, next: "yes" }, false], `${step}`);
  }
});

Deno.test("recover --discard takes the flag with the session that it was meant for", async () => {
  using fixture = await up(true);
  fixture.define();
  await fixture.stop("crashed");
  assertEquals((await fixture.type("recover --discard guest --yes")).code, 0);
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [base, false]);
});

Deno.test("a flag that was set since a commit was cut short keeps the next session", async () => {
  using fixture = await up(true);
  await fixture.event("release", "shutdown", { perform: dyingAt("rename") });
  assertEquals([fixture.state("vda").kind, fixture.flags()], ["committing", { vda: false }]);
  await afterClockTick();
  fixture.configure({ vda: true }, new Date());
  await fixture.start();
  fixture.write(fixture.vda, "next");
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { ...session, next: "yes" });
  assertEquals(fixture.flags(), { vda: false });
});

Deno.test("a start that died before its first step says nothing about the session that lies there", async () => {
  for (const reason of ["failed", "-"]) {
    using fixture = await up(false);
    fixture.configure({ vda: true }, LATER);
    await fixture.event("prepare", "-", { perform: new Failing(0, "dies before").perform });
    await fixture.event("release", reason);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), base);
    await fixture.stop();
    assertEquals(fixture.disk("vda"), base);
  }
});

Deno.test("a configuration that is edited between a commit and the clearing of its flag keeps what it says", async () => {
  using fixture = await up(true);
  await fixture.event("release", "shutdown", { perform: dyingAt("clear") });
  assertEquals([fixture.state("vda").kind, fixture.flags()], ["committing", { vda: true }]);
  await afterClockTick();
  // A time in the past, as a copy from elsewhere has it: it isn't the file that asked for the commit.
  fixture.configure({ vda: true }, new Date("2010-01-01"));
  await fixture.start();
  fixture.write(fixture.vda, "next");
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { ...session, next: "yes" });
  assertEquals(fixture.flags(), { vda: false });
});

Deno.test("the flag of a commit that was cut short is used up, whatever the clocks say", async () => {
  for (const now of [LONG_AGO, LATER]) {
    using fixture = await up(true);
    fixture.configure({ vda: true }, now);
    await fixture.event("release", "shutdown", { perform: dyingAt("clear") });
    await fixture.start();
    fixture.write(fixture.vda, "junk");
    await fixture.stop();
    assertEquals([fixture.disk("vda"), fixture.flags()], [session, { vda: false }]);
  }
});

Deno.test("a flag that is set after a recover --keep was cut short keeps the next session", async () => {
  let tried = 0;
  for (let step = 1; step < 7; step++) {
    using fixture = (await up(false)).define();
    await fixture.type("recover guest --keep", true, { perform: new Failing(step, "dies before").perform });
    if (fixture.state("vda").kind !== "committing") continue;
    tried++;
    await afterClockTick();
    fixture.configure({ vda: true }, new Date());
    await fixture.start();
    fixture.write(fixture.vda, "next");
    await fixture.stop();
    assertEquals(fixture.disk("vda"), { ...session, next: "yes" });
  }
  assertEquals(tried > 0, true);
});

Deno.test("disable refuses a flagged session that died, whatever else is wrong with its disk", async () => {
  {
    using fixture = (await up(true)).define();
    await fixture.stop("crashed");
    fixture.busy.add(fixture.vda);
    assertEquals((await fixture.type("disable guest")).code, 1);
  }
  using fixture = await up(true);
  await fixture.stop("crashed");
  // Its bus was changed, and its target with it.
  fixture.sources.clear();
  fixture.sources.set("sda", fixture.vda);
  fixture.define();
  assertEquals((await fixture.type("disable guest vda")).code, 1);
});

Deno.test("a command that changes the configuration leaves a flag meant for the session that it was set in", async () => {
  using fixture = (await up(false)).define();
  fixture.configure({ vda: true });
  await afterClockTick();
  fixture.write(fixture.vda, "more");
  assertEquals((await fixture.type("enable guest vda --keep-commits 2")).code, 0);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { ...session, more: "yes" });
});

Deno.test("a target that is renamed for the next start while the guest runs takes flag and commits along", async () => {
  for (const flag of [true, false]) {
    using fixture = await committed({ "keep-commits": 3 });
    fixture.configure({ vda: false });
    await fixture.start();
    fixture.write(fixture.vda, "more");
    const xml = fixture.xml();
    fixture.sources.clear();
    fixture.sources.set("sda", fixture.vda);
    fixture.configure({ sda: flag });
    const { merge } = await fixture.event("release", "shutdown", { xml });
    assertEquals(merge, undefined);
    fixture.configure({ sda: flag });
    await fixture.start();
    await fixture.stop();
    assertEquals(fixture.disk("vda"), { ...session, ...flag && { more: "yes" } });
  }
});

Deno.test("a flagged session outlives a configuration that isn't there for a moment, as an editor saves it", async () => {
  using fixture = await up(true);
  Deno.renameSync(fixture.configFile, `${fixture.configFile}~`);
  await fixture.event("release", "shutdown");
  Deno.renameSync(`${fixture.configFile}~`, fixture.configFile);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a session that begins with its flag set over one that died goes on, whatever is edited", async () => {
  using fixture = await up(false);
  await afterClockTick();
  fixture.configure({ vda: true }, new Date());
  await fixture.start();
  fixture.write(fixture.vda, "flagged");
  await afterClockTick();
  fixture.configure({ vda: true }, new Date());
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { ...base, flagged: "yes" });
});

Deno.test("a commit that fails half-way leaves a flag that is set since to the next session", async () => {
  await atEveryStep("fails before", async (failing) => {
    using fixture = await up(true);
    await fixture.event("release", "shutdown", { perform: failing.perform });
    if (fixture.state("vda").kind !== "committing") return;
    await afterClockTick();
    fixture.configure({ vda: true }, new Date());
    await fixture.start();
    fixture.write(fixture.vda, "next");
    await fixture.stop();
    assertEquals(fixture.disk("vda"), { ...session, next: "yes" });
  });
});

Deno.test("a commit that failed before it was decided is given up with its flag, by an editor", async () => {
  await atEveryStep("fails before", async (failing) => {
    using fixture = await up(true);
    await fixture.event("release", "shutdown", { perform: failing.perform });
    if (fixture.state("vda").kind !== "session") return;
    fixture.configure({ vda: false }, LATER);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), base);
  });
});

for (const kind of ["own", "sync", "link"] as const) {
  Deno.test(`a start whose recovery fails each time with the second disk throws away no session: ${kind}`, async () => {
    using fixture = new Fixture().disks({ vda: true, vdb: true });
    const vdb = fixture.image("vdb");
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "mine");
    const broken: Circumstance = {
      perform: (inner) => async (step, control) => {
        const paths: unknown[] = Object.values(step);
        if (step.kind === kind && paths.includes(vdb)) throw new Error("Input/output error");
        await inner(step, control);
      },
    };
    await fixture.event("release", "shutdown", broken);
    assertEquals((await fixture.event("prepare", "-", broken)).code, 1);
    await fixture.event("release", "failed", broken);
    await fixture.start();
    for (const target of ["vda", "vdb"]) {
      assertEquals(fixture.read(fixture.image(target)), { base: target, mine: "yes" });
    }
  });
}

Deno.test("a session is committed, though one lies on the file that the guest had before a blockcopy", async () => {
  using fixture = await up(false);
  const copy = `${fixture.images}/copy.img`;
  fixture.save(copy, null, session);
  fixture.sources.set("vda", copy);
  await fixture.stop();
  fixture.configure({ vda: true });
  await fixture.start();
  fixture.write(copy, "work");
  await fixture.stop();
  assertEquals([fixture.read(copy), fixture.flags()], [{ ...session, work: "yes" }, { vda: false }]);
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("recover --keep of a session that died leaves a flag that was set since to the next one", async () => {
  using fixture = (await up(false)).define();
  await afterClockTick();
  fixture.configure({ vda: true }, new Date());
  const { printed } = await fixture.type("recover guest --keep");
  assertEquals(printed, [
    "guest vda: the session is part of the disk now: the next start begins with it; the flag stays, and the next session will be kept",
  ]);
  await fixture.start();
  fixture.write(fixture.vda, "next");
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags()], [{ ...session, next: "yes" }, { vda: false }]);
});

Deno.test("recover --keep that is cut short leaves a flag that was set since the session died to the next one", async () => {
  using fixture = (await up(false)).define();
  await afterClockTick();
  fixture.configure({ vda: true }, new Date());
  await fixture.type("recover guest --keep", false, { perform: dyingAt("rename") });
  assertEquals(fixture.state("vda").kind, "committing");
  await fixture.start();
  fixture.write(fixture.vda, "next");
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags()], [{ ...session, next: "yes" }, { vda: false }]);
});

Deno.test("a guest of which nobody has told that it is up was up, if it shuts down", async () => {
  using fixture = new Fixture().disks({ vda: true });
  await fixture.good("prepare");
  fixture.write(fixture.vda, "session");
  await fixture.stop("shutdown");
  assertEquals([fixture.disk("vda"), fixture.flags()], [session, { vda: false }]);
});

Deno.test("where the note can't be read, its message leads to the session that lies there", async () => {
  for (const way of ["--keep", "--discard"]) {
    using fixture = (await up(true)).define();
    fixture.booted = LATER;
    Deno.writeTextFileSync(fixture.note, "");
    const { code, said } = await fixture.event("prepare");
    const move = `mv ${fixture.note} ${fixture.note}.unreadable`;
    assertEquals([code, said[1]?.includes(`move it away: ${move};`)], [1, true]);
    await fixture.event("release", "failed");
    Deno.renameSync(fixture.note, `${fixture.note}.unreadable`);
    assertEquals((await fixture.event("prepare")).code, 1);
    await fixture.event("release", "failed");
    assertEquals((await fixture.type(`recover ${way} guest vda`, true)).said, []);
    assertEquals(fixture.disk("vda"), way === "--keep" ? session : base);
    await fixture.start();
  }
});

Deno.test("a session that is to be kept is there as long as its mark is, whoever has removed the image", async () => {
  for (const reason of ["shutdown", "power cut"]) {
    using fixture = (await up(true)).define();
    Deno.removeSync(fixture.vda);
    if (reason === "shutdown") {
      await fixture.stop(reason);
      assertEquals(fixture.disk("vda"), session);
    } else {
      fixture.booted = LATER;
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), session);
    }
  }
});

for (const how of ["its flag was set before its start", "an editor has set its flag"]) {
  for (const end of ["power cut", "crashed", "failed"]) {
    Deno.test(`a session that is to be kept outlives a start without the configuration: ${how}, ${end}`, async () => {
      for (const way of ["back", "--keep", "--discard"]) {
        using fixture = (await up(!how.includes("editor"))).define();
        fixture.configure({ vda: true });
        fixture.write(fixture.vda, "more");
        if (end === "power cut") fixture.booted = LATER;
        else await fixture.event("release", end);
        const isKnown = end !== "power cut" || !how.includes("editor");
        Deno.removeSync(fixture.configFile);
        const { code, said } = await fixture.event("prepare");
        assertEquals(
          [code, said.join().includes("recover --keep|--discard")],
          isKnown ? [1, true] : [0, false],
        );
        // Nothing but the time of the file has told that its flag was meant for the session.
        if (!isKnown) continue;
        await fixture.event("release", "failed");
        if (way === "back") {
          fixture.configure({ vda: true });
          await fixture.start();
          assertEquals(fixture.read(fixture.vda), { ...session, more: "yes" });
          continue;
        }
        assertEquals((await fixture.type(`recover ${way} guest vda`, true)).said, []);
        await fixture.start();
        assertEquals(fixture.disk("vda").more, way === "--keep" ? "yes" : undefined);
      }
    });
  }
}

for (const mended of [false, true]) {
  Deno.test(`a flag that an editor clears after a power cut keeps no session, ${mended ? "" : "not "}mended by hand before`, async () => {
    using fixture = await up(true);
    const at = (path: string, seconds: number) => {
      const time = new Date(Date.now() + seconds * 1000);
      Deno.utimeSync(path, time, time);
    };
    at(fixture.note, -600);
    at(fixture.vda, -500);
    fixture.booted = new Date(Date.now() - 300_000);
    if (mended) at(fixture.vda, 0); // qemu-img check -r all
    fixture.configure({ vda: false }, new Date(Date.now() + 1000));
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), base);
    if (mended) assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
  });
}

Deno.test("a session whose flag an editor has cleared is not committed after a start that was cut short", async () => {
  await atEveryStep("dies after", async (failing) => {
    using fixture = new Fixture().disks({ vda: true }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    fixture.configure({ vda: false });
    fixture.boot();
    await fixture.event("prepare", "-", { perform: failing.perform });
    fixture.boot();
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), { base: "vda" });
    await fixture.stop();
    assertEquals(fixture.disk("vda"), { base: "vda" });
  });
});

Deno.test("a guest whose session was thrown away by hand is not restored, also after an undo that was taken back", async () => {
  for (const commands of [["undo guest --yes", "keep guest --yes"], []]) {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 2 };
    let now = Date.parse("2026-06-01");
    fixture.now = () => new Date(now);
    const how = stamping(() => new Date(now));
    fixture.disks({ vda: true }).define();
    await fixture.start(how);
    fixture.write(fixture.vda, "commit");
    await fixture.stop();
    now += 3_600_000;
    await fixture.start(how);
    fixture.write(fixture.vda, "saved on");
    await fixture.stop("saved");
    now += 3_600_000;
    // As the messages say: the session is thrown away by hand.
    Deno.removeSync(fixture.vda);
    Deno.linkSync(`${fixture.vda}.backing_file.1`, fixture.vda);
    for (const words of commands) assertEquals((await fixture.type(words)).said, []);
    await fixture.event("restore", "-", how);
    const { code } = await fixture.event("prepare", "-", how);
    assertEquals(code, 1, JSON.stringify([commands, fixture.read(fixture.vda)]));
  }
});

Deno.test("a dead session that a guest has gone on with while the hook wasn't called is not thrown away without a word", async () => {
  using fixture = new Fixture();
  let now = Date.now() - 7 * 86_400_000;
  fixture.now = () => new Date(now);
  const how = stamping(() => new Date(now));
  fixture.disks({ vda: false }).define();
  await fixture.start(how);
  fixture.write(fixture.vda, "session");
  Deno.utimeSync(fixture.note, new Date(now), new Date(now));
  Deno.utimeSync(fixture.vda, new Date(now), new Date(now));
  // A loss of power, then a virsh domrename: the guest is started without the hook, and works for some days.
  fixture.booted = new Date(now + 3_600_000);
  now = Date.now();
  fixture.write(fixture.vda, "days of work");
  // Then check says that configuration and note are to be renamed, too.
  await fixture.start(how);
  const aside = `${fixture.vda}.autorevert-ended`;
  const found = fixture.files().includes("vda.img.autorevert-ended")
    ? fixture.read(aside)
    : fixture.read(fixture.vda);
  assertEquals("days of work" in found, true, fixture.files().join());
});

Deno.test("a restored guest that has written nothing yet keeps its session, also where the note tells of a disk that it doesn't run on", async () => {
  for (const isOther of [false, true]) {
    using fixture = new Fixture();
    fixture.disks({ vda: false, vdb: true }).define();
    if (isOther) {
      await fixture.start();
      for (const key of ["a", "b"]) fixture.write(fixture.image("vdb"), key);
      await fixture.event("release", "shutdown", { mergeDies: true });
    }
    // Its commits are not merged yet: a backup has it open, say.
    fixture.merges = false;
    fixture.configure({ vda: false });
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.event("release", "saved", { mergeDies: true });
    await fixture.event("restore");
    await fixture.start();
    // libvirtd died before the memory had come, and ends the guest that it finds.
    await fixture.event("reconnect");
    await fixture.event("stopped", "crashed");
    await fixture.event("release", "crashed", { mergeDies: true });
    await fixture.event("restore");
    const { code, said } = await fixture.event("prepare");
    assertEquals(
      [code, fixture.read(fixture.vda)],
      [0, { base: "vda", session: "yes" }],
      JSON.stringify([isOther, said]),
    );
  }
});

for (const cut of ["QEMU and libvirtd", "the host"]) {
  Deno.test(`a flag beside a session that died with ${cut} has no saved guest restored on that`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    fixture.write(fixture.vda, "older");
    await fixture.stop("saved");
    await fixture.start();
    fixture.write(fixture.vda, "newer");
    if (cut === "the host") fixture.boot();
    await afterClockTick();
    assertEquals((await fixture.type("commit guest")).said, []);
    await fixture.event("restore");
    const { code, said } = await fixture.event("prepare");
    assertEquals([code, said[0]?.includes("is set aside beside")], [1, true], said.join());
  });
}
