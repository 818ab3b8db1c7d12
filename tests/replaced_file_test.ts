/** Files that somebody has put beside an image, on it, or in a session's place. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { bootAgain } from "./boot.ts";
import { namesOf } from "../lib/state/paths.ts";
import { before, Failing, tearing } from "./fault.ts";
import { afterClockTick, DOMAIN, Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { base, committed, session, up } from "./running_guest.ts";
import { snapshot } from "./tree.ts";
import { makeBorn } from "./file_times.ts";

Deno.test("what an external snapshot stood on is kept by the recovery that the manual names, in its order", async () => {
  using fixture = await up(false);
  fixture.sources.set("vda", `${fixture.images}/vda.snap`);
  await fixture.stop();
  // The flag comes first: qemu-img commit writes to the session after that.
  fixture.configure({ vda: true });
  await afterClockTick();
  fixture.write(fixture.vda, "snapshot");
  fixture.sources.set("vda", fixture.vda);
  await fixture.start();
  const both = { ...session, snapshot: "yes" };
  assertEquals(fixture.read(fixture.vda), both);
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [both, false]);
});

Deno.test("a flag that an editor sets after an external snapshot was dropped is for the next session", async () => {
  using fixture = await up(false);
  fixture.sources.set("vda", `${fixture.images}/vda.snap`);
  await fixture.stop();
  fixture.sources.set("vda", fixture.vda);
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
});

Deno.test("a reconnect never fails, since libvirt would kill the guest", async () => {
  using fixture = new Fixture().disks({ vda: true });
  await fixture.start();
  Deno.mkdirSync(`${fixture.config}/${DOMAIN}.starting/in-the-way`, { recursive: true });
  const { code, said } = await fixture.event("reconnect");
  assertEquals([code, said.length], [0, 1]);
});
Deno.test("a merge doesn't begin where the upper layer stands on another disk's file", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  const other = `${fixture.images}/other.img.backing_file`;
  const [lower, upper] = [`${fixture.vda}.backing_file`, `${fixture.vda}.backing_file.1`];
  fixture.save(other, null, base);
  fixture.save(upper, other, { session: "yes" });
  const before = snapshot(fixture.images);
  const { code, said } = await fixture.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: "${upper}" stands on "${other}", should be "${lower}"`,
    "hint: if the layers were copied, moved or renamed together: " +
    `qemu-img rebase -u -f qcow2 -F qcow2 -b ${lower} ${upper}`,
  ]]);
  assertEquals(snapshot(fixture.images), before);
});

Deno.test("recovery commits no file that somebody put in a session's place, nor one that is open or damaged", async () => {
  const strangers: Readonly<Record<string, (fixture: Fixture, vdb: string) => void>> = {
    "another file": (fixture, vdb) => fixture.save(vdb, null, { stranger: "yes" }),
    "no qcow2": (_, vdb) => Deno.writeTextFileSync(vdb, "raw"),
    "in use": (fixture, vdb) => void fixture.busy.add(vdb),
  };
  for (const [what, arrange] of Object.entries(strangers)) {
    for (const next of ["prepare", "release"]) {
      using fixture = new Fixture().disks({ vda: true, vdb: true });
      await fixture.start();
      for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
      // The commit of the first disk is decided, and nothing more.
      await fixture.event("release", "shutdown", { perform: new Failing(4, "dies before").perform });
      assertEquals([fixture.state("vda").kind, fixture.state("vdb").kind], ["committing", "session"]);
      const vdb = fixture.image("vdb");
      arrange(fixture, vdb);
      const inode = Deno.statSync(vdb).ino;
      await fixture.event(next, next === "release" ? "shutdown" : "-", { mergeDies: true });
      // A start is refused before it changes anything.
      const decided = `${fixture.vda}.autorevert-committing`;
      const vda = next === "prepare" ? fixture.read(decided) : fixture.disk("vda");
      assertEquals(vda, { base: "vda", session: "yes" }, what);
      assertEquals(fixture.disk("vdb"), { base: "vdb" }, what);
      assertEquals(
        [Deno.statSync(vdb).ino, fixture.flags()],
        [inode, { vda: next === "prepare", vdb: true }],
        what,
      );
    }
  }
});

Deno.test("an overlay that names its layer by another path is ended as the hint says", async () => {
  for (const end of ["--keep", "--discard"]) {
    using fixture = new Fixture().disks({ vda: false }).define();
    const vda = fixture.vda;
    Deno.symlinkSync(fixture.images, `${fixture.root}/vm`);
    // As the Python hook leaves it after a crash, where the domain's XML names the image by way of a link.
    Deno.renameSync(vda, `${vda}.backing_file`);
    fixture.save(vda, `${fixture.root}/vm/vda.img.backing_file`, { session: "yes" });
    const { printed } = await fixture.type("check guest");
    assertEquals(printed.filter((line) => line.includes(`autorevert recover ${end} ${DOMAIN}`)).length, 1);
    const { code, said } = await fixture.type(`recover ${end} guest --yes`);
    assertEquals([code, said], [0, []]);
    assertEquals(fixture.disk("vda"), end === "--keep" ? session : base);
  }
});

Deno.test("an overlay is made under a name that nothing has: what is there is left alone", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const vda = fixture.vda;
  const scratch = `${vda}.autorevert-new`;
  // Somebody links the disk to that name, just before.
  const perform = before("create", () => Deno.linkSync(vda, scratch));
  const { code } = await fixture.event("prepare", "-", { perform });
  assertEquals(code, 1);
  await fixture.event("release", "failed");
  assertEquals(fixture.read(vda), base);
  await fixture.start();
  assertEquals(fixture.read(vda), base);
});

Deno.test("the name that a look for hard links left behind goes with the next event", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const vda = fixture.vda;
  Deno.linkSync(vda, `${vda}.autorevert-probe`);
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file"]);
});

/** What an administrator moves into the session's place: an image of another time. */
async function putInPlace(fixture: Fixture, vda: string): Promise<void> {
  await afterClockTick();
  const other = `${fixture.images}/new.img`;
  fixture.save(other, null, { golden: "yes" });
  Deno.renameSync(other, vda);
}

for (const reason of ["shutdown", "crashed", "-", "failed"]) {
  for (const flag of [false, true]) {
    Deno.test(`an image that is moved into the place of a ${flag ? "flagged " : ""}session stays at an end: ${reason}`, async () => {
      using fixture = new Fixture();
      fixture.now = () => LONG_AGO;
      fixture.disks({ vda: flag });
      const vda = fixture.vda;
      await fixture.good("prepare");
      if (reason !== "failed") await fixture.good("started");
      await putInPlace(fixture, vda);
      await fixture.event("release", reason);
      assertEquals(fixture.read(vda), { golden: "yes" });
      assertEquals(fixture.flags().vda, flag);
      const { code, said } = await fixture.event("prepare");
      assertEquals(
        [code, said.some((line) => line.includes("another file was put in the session's place"))],
        [1, true],
      );
    });
  }
}

/** A file that stands on the image, and the domain names it now. */
function snapshotOn(fixture: Fixture): string {
  const snap = `${fixture.images}/vda.snap`;
  fixture.save(snap, fixture.vda, { snap: "yes" });
  fixture.sources.set("vda", snap);
  fixture.define();
  return snap;
}

Deno.test("undo and keep leave a disk alone that an external snapshot stands on", async () => {
  for (const verb of ["undo", "keep"] as const) {
    using fixture = verb === "undo" ? await committed({ "keep-commits": 1 }) : await up(false);
    if (verb === "keep") await fixture.stop("-");
    const snap = snapshotOn(fixture);
    const before = fixture.read(snap);
    const { code, said } = await fixture.command(verb);
    assertEquals([code, said[0]?.includes("the domain names another file, which may stand on")], [1, true]);
    assertEquals(fixture.read(snap), before);
  }
});

Deno.test("recover neither proposes nor ends a session that an external snapshot stands on", async () => {
  using fixture = await up(false);
  const snap = snapshotOn(fixture);
  await fixture.stop();
  const before = fixture.read(snap);
  assertEquals((await fixture.type("recover guest")).printed, [`${DOMAIN}: nothing to recover`]);
  for (const way of ["--keep", "--discard"]) {
    assertEquals((await fixture.type(`recover ${way} guest --yes`)).code, 1);
  }
  assertEquals(fixture.read(snap), before);
});

Deno.test("somebody's own overlay on an idle disk with layers is never thrown away", async () => {
  for (const listed of [true, false]) {
    using fixture = await committed({ "keep-commits": 3 });
    const { image, layer } = namesOf(fixture.vda);
    Deno.removeSync(image);
    fixture.save(image, layer(1), { own: "yes" });
    fixture.configureText(
      listed ? Deno.readTextFileSync(fixture.configFile) : '{"disks": [{"target": "vdb"}]}',
    );
    if (!listed) fixture.save(fixture.image("vdb"), null, {});
    fixture.sources.set("vdb", fixture.image("vdb"));
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    assertEquals(
      said[0]!.endsWith("but no session of this guest was begun by this hook, unless on another host"),
      true,
    );
    assertEquals(fixture.read(image), { ...session, own: "yes" });
  }
});

Deno.test("somebody's own overlay on an idle disk outlives a second start, and a merge", async () => {
  for (const between of ["a start", "a merge"]) {
    using fixture = await committed({ "keep-commits": 3 });
    const { image, layer } = namesOf(fixture.vda);
    Deno.removeSync(image);
    fixture.save(image, layer(1), { own: "yes" });
    fixture.configure({ vda: false });
    if (between === "a merge") await fixture.merge();
    else {
      assertEquals((await fixture.event("prepare")).code, 1);
      await fixture.event("release", "failed");
    }
    assertEquals((await fixture.event("prepare")).code, 1);
    assertEquals(fixture.read(image), { ...session, own: "yes" });
  }
});

Deno.test("a flagged session under an external snapshot is kept, though the snapshot's own session was committed", async () => {
  using fixture = await up(true);
  const snap = `${fixture.images}/snap.img`;
  fixture.save(snap, fixture.vda, { snap: "yes" });
  fixture.sources.set("vda", snap);
  await fixture.stop();
  await fixture.start();
  fixture.write(snap, "second");
  await fixture.stop();
  // A blockcommit of the snapshot into the session, and back to it in the XML.
  fixture.save(fixture.vda, `${fixture.vda}.backing_file`, fixture.read(snap));
  fixture.sources.set("vda", fixture.vda);
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), { ...session, snap: "yes", second: "yes" });
});

Deno.test("a session that a blockpull has given another backing file is refused after a power cut, and the message says so", async () => {
  using fixture = await up(true);
  // Into the session's own file.
  fixture.save(fixture.vda, null, session);
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said[0]!.endsWith("or a blockpull has changed what it stands on")], [1, true], said[0]);
  const { vda } = fixture;
  const [, command] = /; to make it the disk, move the layers away: (.*)$/.exec(said[1]!)!;
  new Deno.Command("sh", { args: ["-c", command!] }).outputSync();
  await fixture.event("release", "failed");
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(fixture.read(vda), session);
});

Deno.test("a session on an external snapshot that was brought back, and whose files are gone, can be ended as check says", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  const snapshot = `${fixture.images}/snap.img`;
  fixture.save(snapshot, fixture.vda, {});
  fixture.sources.set("vda", snapshot);
  fixture.define();
  await fixture.event("release", "shutdown");
  // A session of its own begins on the snapshot.
  await fixture.start();
  fixture.write(snapshot, "session");
  // As the hint says: virsh blockcommit guest vda --base vda.img --top snap.img --active --pivot. What is left of it is removed.
  fixture.save(fixture.vda, JSON.parse(Deno.readTextFileSync(fixture.vda)).backing, fixture.read(snapshot));
  fixture.sources.set("vda", fixture.vda);
  fixture.define();
  for (const name of fixture.files()) {
    if (name.startsWith("snap")) Deno.removeSync(`${fixture.images}/${name}`);
  }
  await fixture.event("release", "shutdown");
  const problems = async () =>
    (await fixture.type("check guest")).printed.filter((line) => line.includes("snap.img"));
  if ((await problems()).length > 0) {
    assertEquals((await fixture.type(`recover --discard guest ${snapshot} --yes`)).said, []);
  }
  assertEquals(await problems(), []);
});

for (
  const [what, reason] of [["a commit", "shutdown"], [
    "a session set aside, as after every end before libvirt 10.5",
    "-",
  ]] as const
) {
  Deno.test(`a guest that has another image now needs no attention once the command that check names has forgotten the old one: ${what}`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": reason === "-" ? 0 : 1 };
    fixture.disks({ vda: reason !== "-" }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop(reason);
    const other = `${fixture.images}/new.img`;
    fixture.save(other, null, { new: "yes" });
    fixture.sources.set("vda", other);
    fixture.define();
    await fixture.start();
    await fixture.stop(reason);
    const problems = async () =>
      (await fixture.type("check guest")).printed.filter((line) => /^error.*vda.img/.test(line));
    if ((await problems()).length > 0) {
      assertEquals((await fixture.type(`recover --discard guest ${fixture.vda} --yes`)).said, []);
    }
    assertEquals(await problems(), []);
  });
}

Deno.test("keep tells nothing of a session that is set aside beside an image which the guest has no more", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  await fixture.stop("-");
  const other = `${fixture.images}/new.img`;
  fixture.save(other, null, { new: "yes" });
  fixture.sources.set("vda", other);
  fixture.define();
  await fixture.start();
  await fixture.stop("-");
  const { printed } = await fixture.type("keep guest");
  assertEquals(printed, [
    "guest vda: the last session is part of the disk now: the next start begins with it",
  ]);
});

Deno.test("somebody's own overlay in a dead session's place is not taken for that session after the guest had another image", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.boot();
  // Another file is put there: a start would be refused.
  Deno.removeSync(fixture.vda);
  fixture.save(fixture.vda, `${fixture.vda}.backing_file`, { own: "yes" });
  makeBorn(fixture.vda, new Date("2098-01-01"));
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.event("release", "failed");
  // The guest has another image for a while.
  const old = fixture.vda;
  fixture.save(fixture.image("new"), null, { base: "new" });
  fixture.sources.set("vda", fixture.image("new"));
  fixture.define();
  await fixture.start();
  await fixture.stop();
  fixture.sources.set("vda", old);
  fixture.define();
  const { code } = await fixture.event("prepare");
  assertEquals([code, fixture.read(old)], [1, { base: "vda", own: "yes" }]);
});

for (const way of ["backup", "newest"]) {
  Deno.test(`a backup with fewer commits that is put back over more is refused, and either is the disk by what the message says: ${way}`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 3 };
    fixture.disks({ vda: true }).define();
    for (const key of ["one", "two", "three"]) {
      fixture.configure({ vda: true });
      await fixture.start();
      fixture.write(fixture.vda, key);
      await fixture.stop();
    }
    // tar and rsync -H keep hard links.
    Deno.removeSync(fixture.vda);
    Deno.linkSync(`${fixture.vda}.backing_file.1`, fixture.vda);
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    await fixture.event("release", "failed");
    const [, backup, newest] = /as the disk, [^:]*: (mkdir [^;]*); to have the newest, [^:]*: (ln .*)$/.exec(
      said.join("\n"),
    )!;
    const command = way === "backup" ? backup! : newest!;
    assert(new Deno.Command("sh", { args: ["-c", command] }).outputSync().success);
    await fixture.start();
    const disk = { ...base, one: "yes" };
    assertEquals(fixture.read(fixture.vda), way === "backup" ? disk : { ...disk, two: "yes", three: "yes" });
  });
}

for (const way of ["session", "thrown away"]) {
  Deno.test(`a session that a blockpull has shortened goes on, or is thrown away, by what the message says: ${way}`, async () => {
    using fixture = await committed({ "keep-commits": 1 });
    fixture.configure({ vda: true });
    fixture.define();
    await fixture.start();
    // virsh blockpull --base vda.img.backing_file
    fixture.save(fixture.vda, `${fixture.vda}.backing_file`, { session: "yes", later: "yes" });
    await bootAgain(fixture);
    const { said } = await fixture.event("prepare");
    await fixture.event("release", "failed");
    const [, rebase, discard] = /after a blockpull[^:]*: (qemu-img [^;]*); to throw it away: ([^;]*);/.exec(
      said.join("\n"),
    )!;
    if (way === "session") {
      assertEquals(
        rebase,
        `qemu-img rebase -f qcow2 -F qcow2 -b ${fixture.vda}.backing_file.1 ${fixture.vda}`,
      );
      fixture.save(fixture.vda, `${fixture.vda}.backing_file.1`, { session: "yes", later: "yes" });
    } else assert(new Deno.Command("sh", { args: ["-c", discard!] }).outputSync().success);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), way === "session" ? { ...session, later: "yes" } : session);
  });
}

Deno.test("an older session that comes with a snapshot of the storage is not taken for the flagged one that is noted", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "wanted");
  await bootAgain(fixture);
  const layer = `${fixture.vda}.backing_file`;
  for (const name of fixture.files()) {
    if (![fixture.vda, layer].includes(`${fixture.images}/${name}`)) {
      Deno.removeSync(`${fixture.images}/${name}`);
    }
  }
  Deno.removeSync(fixture.vda);
  fixture.save(fixture.vda, layer, { older: "yes" });
  makeBorn(fixture.vda, LONG_AGO);
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  assertStringIncludes(said.join(), "it was not made with the one that is noted");
});

for (const end of ["shutdown", "destroyed", "-", "power cut"]) {
  for (const way of ["--keep", "--discard"]) {
    Deno.test(`a session into whose base a blockcommit has written in part is kept until somebody says how it ends: ${end}, ${way}`, async () => {
      using fixture = await up(false);
      const layer = `${fixture.vda}.backing_file`;
      // virsh blockcommit --active, before it is done
      fixture.write(layer, "half of it");
      Deno.utimeSync(layer, LATER, LATER);
      fixture.define();
      if (end === "power cut") await bootAgain(fixture);
      else await fixture.stop(end);
      const { code, said } = await fixture.event("prepare");
      await fixture.event("release", "failed");
      assertEquals([code, fixture.read(fixture.vda).session], [1, "yes"]);
      assertStringIncludes(said.join(), "as by a blockcommit that was cut short");
      assertStringIncludes(said.join(), `autorevert recover ${way} guest vda`);
      assertEquals((await fixture.type(`recover ${way} guest vda --yes`)).said, []);
      await fixture.start();
      const disk = { ...base, "half of it": "yes" };
      assertEquals(fixture.read(fixture.vda), way === "--keep" ? { ...disk, session: "yes" } : disk);
    });
  }
}

for (const way of ["commit guest", "an editor"]) {
  Deno.test(`no session begins over what a blockcommit has left, though a flag was set for the next one: ${way}`, async () => {
    using fixture = await up(false);
    fixture.define();
    await afterClockTick(20);
    fixture.write(`${fixture.vda}.backing_file`, "half of it");
    await bootAgain(fixture);
    if (way === "an editor") fixture.configure({ vda: true }, LATER);
    else await fixture.type(way);
    const { code, said } = await fixture.event("prepare");
    assertEquals([code, fixture.read(fixture.vda).session], [1, "yes"]);
    assertStringIncludes(said.join(), "as by a blockcommit that was cut short");
  });
}

for (const like of ["torn by a merge before", "with a time that lies ahead"]) {
  Deno.test(`a blockcommit into a base ${like} is seen, and asked about`, async () => {
    using fixture = await committed({});
    const layer = `${fixture.vda}.backing_file`;
    if (like === "with a time that lies ahead") Deno.utimeSync(layer, LATER, LATER);
    fixture.define();
    fixture.configure({ vda: false });
    await fixture.start({ mergeDies: true });
    fixture.write(fixture.vda, "third");
    await afterClockTick(20);
    fixture.write(layer, "half of it");
    await fixture.stop("shutdown", { mergeDies: true });
    assertEquals(fixture.read(fixture.vda).third, "yes");
    await fixture.type("recover --discard guest");
    assertStringIncludes(fixture.asked.join(), "without it the disk may not be whole");
  });
}

Deno.test("a flagged session into whose base a blockcommit has written in part is committed, which makes the disk whole", async () => {
  using fixture = await up(true);
  const layer = `${fixture.vda}.backing_file`;
  fixture.write(layer, "half of it");
  Deno.utimeSync(layer, LATER, LATER);
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { ...session, "half of it": "yes" });
});

Deno.test("each undo that goes back past a session in which a blockcommit has written to a layer asks, and says so", async () => {
  using fixture = await committed({ "keep-commits": 5 });
  fixture.define();
  for (const name of ["second", "third"]) {
    fixture.configure({ vda: true });
    await fixture.start();
    fixture.write(fixture.vda, name);
    if (name === "second") await fixture.stop();
  }
  // virsh blockcommit --base .backing_file.1 --top .backing_file.2
  const layer = `${fixture.vda}.backing_file.1`;
  fixture.write(layer, "second");
  Deno.utimeSync(layer, LATER, LATER);
  await fixture.stop();
  for (let commit = 3; commit > 0; commit--) await fixture.type("undo guest", true);
  const asked = fixture.asked.map((question) => question.includes("as by a blockcommit"));
  assertEquals(asked, [true, true, false]);
});

Deno.test("a base whose time lies ahead, and one into which commits were merged while a guest was saved, were not written to in a session", async () => {
  using ahead = new Fixture().disks({ vda: false });
  Deno.utimeSync(ahead.vda, LATER, LATER);
  await ahead.start();
  ahead.write(ahead.vda, "session");
  await ahead.stop();
  assertEquals(ahead.disk("vda"), base);

  using merged = await committed({});
  merged.configure({ vda: false });
  await merged.start({ mergeDies: true });
  await merged.stop("saved", { mergeDies: true });
  await merged.good("prepare", "-", { mergeDies: true });
  await merged.event("release", "failed", { mergeDies: true });
  await merged.merge();
  const layer = `${merged.vda}.backing_file.1`;
  Deno.utimeSync(layer, LATER, LATER);
  await merged.good("restore");
  await merged.good("prepare");
  await merged.good("started");
  await merged.stop();
  assertEquals(merged.disk("vda"), session);
  await merged.start();
});

Deno.test("a flagged session is not resumed over a file that was put in the place of its base", async () => {
  using fixture = await up(true);
  fixture.define();
  await bootAgain(fixture);
  await afterClockTick(20);
  fixture.save(`${fixture.root}/backup`, null, { base: "of last year" });
  Deno.renameSync(`${fixture.root}/backup`, `${fixture.vda}.backing_file`);
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  assertStringIncludes(said.join(), "was written to since the session");
});

Deno.test("a backup that is put back after a commit which failed doesn't use up the flag", async () => {
  using fixture = await up(true);
  await fixture.event("release", "shutdown", { perform: new Failing(2, "fails before").perform });
  assertEquals(fixture.flags().vda, true);
  for (const name of fixture.files()) Deno.removeSync(`${fixture.images}/${name}`);
  fixture.save(fixture.vda, null, base);
  makeBorn(fixture.vda, LATER);
  await fixture.start();
  fixture.write(fixture.vda, "maintenance");
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { ...base, maintenance: "yes" });
});

Deno.test("what a power cut takes back of an interrupted merge, with its time, is taken for no blockcommit", async () => {
  using fixture = await committed({});
  const lower = `${fixture.vda}.backing_file`;
  const synced = Deno.lstatSync(lower).mtime!;
  await afterClockTick(20);
  await fixture.merge({ perform: tearing(fixture) });
  fixture.configure({ vda: false });
  await fixture.start({ mergeDies: true });
  fixture.write(fixture.vda, "junk");
  Deno.utimeSync(lower, synced, synced);
  fixture.boot();
  await fixture.start({ mergeDies: true });
  assertEquals(fixture.read(fixture.vda), session);
});
