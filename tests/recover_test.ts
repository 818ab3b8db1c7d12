/** `recover`: the next event's recovery now, and an end for a session that lies there. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { namesOf } from "../lib/state/paths.ts";
import { atEveryStep, dyingAt, tearing } from "./fault.ts";
import { makeBorn, stamping } from "./file_times.ts";
import { snapshot } from "./tree.ts";
import { Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { committed, session, up } from "./running_guest.ts";
import { checkFails, checkPrints } from "./typed.ts";
import { diskXml, domainXml } from "./xml.ts";

const fixtureOf = (flags: Record<string, boolean> = { vda: false }) => new Fixture().disks(flags).define();

/** As the original Python hook leaves it after a crash: an overlay, and no note. */
function foreign(): Fixture {
  const fixture = fixtureOf();
  const { image, layer } = namesOf(fixture.vda);
  Deno.renameSync(image, layer(0));
  fixture.save(image, layer(0), { session: "yes" });
  return fixture;
}

Deno.test("recover finishes a commit that was cut short", async () => {
  using fixture = fixtureOf({ vda: true });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.event("release", "shutdown", { perform: dyingAt("clear") });
  assertEquals(fixture.state("vda").kind, "committing");
  await checkPrints(fixture, "recover guest", ["guest vda: interrupted event completed"]);
  assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" });
  assertEquals([fixture.flags(), fixture.files()], [{ vda: false }, ["vda.img"]]);
});

Deno.test("recover tells that nothing to recover, and of a session that lies there", async () => {
  using fixture = fixtureOf();
  await checkPrints(fixture, "recover guest", ["guest: nothing to recover"]);
  await fixture.start();
  const before = snapshot(fixture.images);
  await checkPrints(fixture, "recover guest", [
    "guest: nothing to recover",
    "guest vda: it has a session; to end it now: autorevert recover --keep|--discard guest vda",
  ]);
  assertEquals(snapshot(fixture.images), before);
});

Deno.test("recover says what a session that was saved waits for", async () => {
  using fixture = fixtureOf();
  await fixture.start();
  Deno.writeTextFileSync(fixture.managedSave, "");
  await checkPrints(fixture, "recover guest", [
    "guest: nothing to recover",
    "guest: the session waits for the saved guest: virsh start guest",
  ]);
});

for (const [whose, fixture_] of [["the hook's own", fixtureOf], ["the Python hook's", foreign]] as const) {
  const withSession = async () => {
    const fixture = fixture_();
    if (whose === "the hook's own") {
      await fixture.start();
      fixture.write(fixture.vda, "session");
    }
    return fixture;
  };

  Deno.test(`recover --keep makes ${whose} session part of the disk`, async () => {
    using fixture = await withSession();
    await checkPrints(fixture, "recover guest --keep", [
      "guest vda: the session is part of the disk now: the next start begins with it",
    ]);
    assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" });
    assertEquals([fixture.files(), fixture.asked], [["vda.img"], []]);
    await fixture.start();
    await fixture.stop();
    assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" });
  });

  Deno.test(`recover --discard throws ${whose} session away, after asking`, async () => {
    using fixture = await withSession();
    const before = snapshot(fixture.images);
    const { code, said } = await fixture.type("recover guest --discard", false);
    assertEquals([code, said[0]], [
      1,
      "error: guest: nothing was changed: the question was not answered with yes",
    ]);
    assertEquals(fixture.asked.length, 1);
    assertEquals(snapshot(fixture.images), before);
    await checkPrints(fixture, "recover guest vda --discard --yes", [
      "guest vda: the session is thrown away: the next start begins without it",
    ]);
    assertEquals([fixture.disk("vda"), fixture.files()], [{ base: "vda" }, ["vda.img"]]);
    await fixture.start();
  });
}

interface Refused {
  readonly if: string;
  readonly arrange: (fixture: Fixture) => void;
  readonly error: string;
  readonly hint?: string;
}

const refusals: readonly Refused[] = [
  {
    if: "a process has it open",
    arrange: (fixture) => void fixture.busy.add(fixture.vda),
    error: ' vda: "IMAGE" is open in another process',
    hint: "find it: fuser -v IMAGE; if that finds nothing, it is open on another host",
  },
  {
    if: "the guest runs on it",
    arrange: (fixture) => fixture.run(),
    error: ' vda: the guest runs on "IMAGE"',
    hint: "end it first: virsh shutdown guest",
  },
  {
    if: "the guest was saved in it",
    arrange: (fixture) => Deno.writeTextFileSync(fixture.managedSave, ""),
    error: ": libvirt holds a managed save of the guest, which expects its session",
  },
  {
    if: "another file is in its place",
    arrange: (fixture) => {
      Deno.removeSync(fixture.vda);
      fixture.save(fixture.vda, null, { other: "file" });
      makeBorn(fixture.vda, LONG_AGO);
    },
    error:
      ' vda: "IMAGE" is no overlay on "IMAGE.backing_file": another file was put in the session\'s place',
  },
];

for (const { if: wrong, arrange, error, hint } of refusals) {
  for (const option of ["--keep", "--discard"]) {
    Deno.test(`recover ${option} is refused if ${wrong}`, async () => {
      using fixture = fixtureOf();
      await fixture.start();
      arrange(fixture);
      const before = snapshot(fixture.images);
      const { code, said } = await fixture.type(`recover guest ${option} --yes`);
      const named = (text: string) => text.replaceAll("IMAGE", fixture.vda);
      assertEquals([code, said[0]], [1, `error: guest${named(error)}`]);
      if (hint !== undefined) assertEquals(said[1], `hint: ${named(hint)}`);
      assertEquals(snapshot(fixture.images), before);
    });
  }
}

Deno.test("recover --keep is refused where there is no session", async () => {
  using fixture = fixtureOf();
  await checkFails(fixture, "recover guest --keep", ["error: guest: there is no session to end"]);
});

Deno.test("recover --keep that was cut short loses nothing: the next start refuses, or begins with the session", async () => {
  for (const [kind, code] of [["link", 1], ["rename", 0], ["note", 1]] as const) {
    using fixture = foreign();
    await fixture.type("commit guest");
    await fixture.type("recover guest --keep", false, { perform: dyingAt(kind) });
    assertEquals((await fixture.event("prepare")).code, code, kind);
    const { image, layer } = namesOf(fixture.vda);
    const kept = code === 1 ? fixture.read(image) : fixture.read(layer(1));
    assertEquals(kept, { base: "vda", session: "yes" }, kind);
  }
});

Deno.test("recover ends no session of a guest that is paused after its migration: it holds no lock", async () => {
  using fixture = (await up(false)).define();
  fixture.run("paused");
  fixture.busy.clear();
  assertEquals((await fixture.type("recover guest --discard", true)).code, 1);
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("recover ends no session of a guest that is being started: libvirt has no file of it yet", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.good("prepare");
  const { ino } = Deno.statSync(fixture.vda);
  await checkFails(fixture, "recover guest --discard", [
    "error: guest: the guest is being started",
    "hint: wait until it is up, or has failed",
  ]);
  assertEquals(Deno.statSync(fixture.vda).ino, ino);
});

for (const layers of [1, 2]) {
  Deno.test(`a guest that was saved to a file finds no other disk than its own after recover: ${layers} layers`, async () => {
    for (const way of ["--discard", "--keep"]) {
      using fixture = fixtureOf();
      const keys = { "keep-commits": layers - 1 };
      if (layers > 1) {
        fixture.keys = keys;
        fixture.configure({ vda: true });
        await fixture.start();
        fixture.write(fixture.vda, "first");
        await fixture.stop();
      }
      const disk = fixture.disk("vda");
      await fixture.start();
      fixture.write(fixture.vda, "session");
      await fixture.stop("saved");
      assertEquals((await fixture.type(`recover ${way} guest --yes`)).code, 0);
      await fixture.good("restore");
      const { code, said } = await fixture.event("prepare");
      if (way === "--keep") {
        assertEquals([code, fixture.read(fixture.vda)], [0, { ...disk, session: "yes" }]);
        continue;
      }
      assertEquals([code, said[0]?.includes("that the guest was saved on is gone")], [1, true]);
      await fixture.event("release", "failed");
      // It is not tried any more.
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), disk);
      await fixture.stop();
      assertEquals(fixture.disk("vda"), disk);
      if (layers > 1) continue;
      assertEquals(fixture.files(), ["vda.img"]);
      assertEquals(fixture.files(fixture.config).filter((name) => name.includes("session")), []);
    }
  });
}

Deno.test("a disk that is not configured any more has no note of a guest that was saved, once another one is up", async () => {
  using fixture = fixtureOf();
  await fixture.start();
  await fixture.stop("saved");
  assertEquals((await fixture.type("recover --discard guest --yes")).code, 0);
  Deno.removeSync(fixture.configFile);
  await fixture.start();
  assertEquals(fixture.files(fixture.config).filter((name) => /session|starting/.test(name)), []);
});

Deno.test("recover uses up the flag that was meant for the session, and leaves one that was set since", async () => {
  for (const way of ["--discard", "--keep"]) {
    for (const [changed, flag] of [[LONG_AGO, false], [LATER, true]] as const) {
      using fixture = await up(false);
      fixture.define();
      // Before the guest's last write, or after the power cut.
      fixture.configure({ vda: true }, changed);
      const { code, printed } = await fixture.type(`recover ${way} guest --yes`);
      assertEquals([code, fixture.flags().vda, printed[0]?.includes("the flag stays")], [0, flag, flag], way);
    }
  }
});

Deno.test("a session of a guest that was renamed without its note is kept as the message says, or goes on with it", async () => {
  for (const isMoved of [true, false]) {
    using fixture = (await up(true)).define();
    fixture.booted = new Date(fixture.booted.getTime() + 60_000);
    Deno.removeSync(`${fixture.settings.definedFolder}/guest.xml`);
    fixture.define("win11");
    Deno.renameSync(fixture.configFile, `${fixture.config}/win11.json`);
    const { code, said } = await fixture.event("prepare", "-", { domain: "win11" });
    assertEquals([code, said[1]], [
      1,
      `hint: if it was renamed to "win11": mv -n ${fixture.note} ${fixture.config}/win11.session; ` +
      "or: autorevert recover --keep|--discard guest vda",
    ]);
    await fixture.event("release", "failed", { domain: "win11" });
    if (isMoved) {
      Deno.renameSync(fixture.note, `${fixture.config}/win11.session`);
      await fixture.good("prepare", "-", { domain: "win11" });
      assertEquals(fixture.read(fixture.vda), session);
    } else {
      assertEquals((await fixture.type("recover --keep guest vda")).said, []);
      assertEquals(fixture.disk("vda"), session);
    }
  }
});

Deno.test("a session that is to be kept is not handed on by its note to a guest whose own flag is clear", async () => {
  using fixture = (await up(true)).define();
  fixture.boot();
  Deno.removeSync(`${fixture.settings.definedFolder}/guest.xml`);
  fixture.define("win11");
  Deno.writeTextFileSync(`${fixture.config}/win11.json`, '{"disks": [{"target": "vda"}]}');
  const { code, said } = await fixture.event("prepare", "-", { domain: "win11" });
  assertEquals([code, said[1]], [1, "hint: end it: autorevert recover --keep|--discard guest vda"]);
});

Deno.test("a damaged session whose mark says that it is to be kept can be given up as the message says", async () => {
  using fixture = (await up(true)).define();
  await fixture.stop("saved");
  Deno.writeTextFileSync(fixture.vda, "QFI broken");
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said[1]?.includes("give it up: autorevert recover --discard guest vda")], [1, true]);
  await fixture.event("release", "failed");
  await fixture.type("recover --discard guest vda", true);
  await fixture.start();
});

Deno.test("the first message about a disk that is half written is the one that brings its commit back", async () => {
  for (const command of ["", "recover --discard guest --yes", "recover --keep guest"]) {
    using fixture = await committed({ "keep-commits": 0 });
    fixture.define();
    await fixture.merge({ perform: tearing(fixture) });
    Deno.removeSync(`${fixture.vda}.backing_file.1`);
    const { code, said } = command === "" ? await fixture.event("prepare") : await fixture.type(command);
    assertEquals([code, said.join().includes("to bring it back")], [1, true], said.join("\n"));
  }
});

for (const flag of [true, false]) {
  Deno.test(`what brings a lost commit back leaves the session that stands on it; to be kept: ${flag}`, async () => {
    using fixture = await committed({ "keep-commits": 0 });
    await fixture.merge({ perform: tearing(fixture) });
    fixture.configure({ vda: flag });
    await fixture.start();
    fixture.write(fixture.vda, "more");
    if (flag) fixture.booted = LATER;
    else await fixture.event("release", "saved");
    Deno.removeSync(`${fixture.vda}.backing_file.1`);
    const { said } = await fixture.event("prepare");
    await fixture.event("release", "failed");
    const [, command] = /to bring it back: ([^;]*)/.exec(said.join())!;
    assertEquals(new Deno.Command("sh", { args: ["-c", command!] }).outputSync().success, true);
    if (!flag) await fixture.good("restore");
    await fixture.good("prepare");
    assertEquals(fixture.read(fixture.vda), { ...session, more: "yes" });
  });
}

for (const how of ["--discard", "--keep"]) {
  Deno.test(`a session in whose place the domain names another image is ended where its own is named: ${how}`, async () => {
    using fixture = new Fixture().disks({ vda: false });
    const other = `${fixture.images}/other.img`;
    fixture.save(other, null, { base: "other" });
    await fixture.start();
    fixture.write(fixture.vda, "session");
    fixture.sources.set("vda", other); // virsh edit
    fixture.define();
    const xml = domainXml([diskXml("vda", fixture.vda)]);
    Deno.writeTextFileSync(`${fixture.config}/second.json`, '{"disks":[{"target":"vda"}]}');
    const { said } = await fixture.event("prepare", "-", { domain: "second", xml });
    const advice = "hint: that guest has another image now: autorevert recover --keep|--discard guest";
    assertEquals(said[1], `${advice} ${fixture.vda}`);
    const { printed } = await fixture.type("check guest");
    assert(
      printed.some((line) => line.endsWith(`recover --keep|--discard guest ${fixture.vda}`)),
      printed.join(),
    );
    assertEquals((await fixture.type(`recover ${how} guest ${fixture.vda} --yes`)).said, []);
    assertEquals((await fixture.event("prepare", "-", { domain: "second", xml })).code, 0);
    assertEquals(fixture.read(fixture.vda).session, how === "--keep" ? "yes" : undefined);
  });
}

Deno.test("a session is not ended that a file of the domain stands on, whichever name it is given", async () => {
  using fixture = new Fixture().disks({ vda: false });
  await fixture.start();
  const snapshot = `${fixture.images}/snapshot.img`;
  fixture.save(snapshot, fixture.vda, {});
  fixture.sources.set("vda", snapshot); // virsh snapshot-create --disk-only
  fixture.define();
  const { said } = await fixture.type(`recover --discard guest ${fixture.vda} --yes`);
  assertEquals(
    said[0],
    `error: guest vda: the domain names another file, which may stand on "${fixture.vda}"`,
  );
});

Deno.test("a guest whose session has gone with a recover --keep of a later one is not restored onto that", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 2 };
  let now = Date.parse("2026-06-01");
  fixture.now = () => new Date(now);
  const how = stamping(() => new Date(now));
  fixture.disks({ vda: false }).define();
  await fixture.start(how);
  fixture.write(fixture.vda, "saved on");
  await fixture.stop("saved");
  now += 3_600_000;
  // A start by mistake, and a loss of power.
  await fixture.start(how);
  fixture.write(fixture.vda, "later");
  fixture.booted = new Date(now + 3_600_000);
  now += 7_200_000;
  await fixture.event("restore", "-", how);
  const first = await fixture.event("prepare", "-", how);
  assertEquals(first.code, 1);
  await fixture.event("release", "failed", how);
  assertStringIncludes(first.said.join("\n"), "recover --keep|--discard guest vda");
  const { said, printed } = await fixture.type("recover --keep guest vda", true);
  assertEquals(said, []);
  await fixture.event("restore", "-", how);
  const { code } = await fixture.event("prepare", "-", how);
  assertEquals(code, 1, JSON.stringify([fixture.asked, printed, fixture.read(fixture.vda)]));
});

Deno.test("a saved guest finds its session that is set aside, once the later one is discarded as the message says", async () => {
  for (const isBooted of [true, false]) {
    using fixture = new Fixture();
    let now = Date.parse("2026-06-01");
    fixture.now = () => new Date(now);
    const how = stamping(() => new Date(now));
    fixture.booted = new Date(now - 3_600_000);
    fixture.disks({ vda: false }).define();
    await fixture.start(how);
    fixture.write(fixture.vda, "saved on");
    await fixture.stop("saved");
    now += 3_600_000;
    // A start by mistake; then libvirtd and QEMU die together, or the host.
    await fixture.start(how);
    fixture.write(fixture.vda, "later");
    now += 3_600_000;
    if (isBooted) fixture.booted = new Date(now - 60_000);
    await fixture.event("restore", "-", how);
    const first = await fixture.event("prepare", "-", how);
    assertEquals(first.code, 1);
    await fixture.event("release", "failed", how);
    assertStringIncludes(first.said.join("\n"), "recover --keep|--discard guest vda");
    assertEquals((await fixture.type("recover --discard guest vda", true)).said, []);
    await fixture.event("restore", "-", how);
    const { code, said } = await fixture.event("prepare", "-", how);
    assertEquals([code, isBooted], [0, isBooted], [...fixture.asked, ...said].join("\n"));
    assertEquals(fixture.read(fixture.vda), { base: "vda", "saved on": "yes" });
  }
});

Deno.test("recover that forgets an image asks about the session that is set aside there, and about the guest that was saved on it", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  // Before libvirt 10.5: a save to a file.
  await fixture.stop("-");
  fixture.save(fixture.image("new"), null, { base: "new" });
  fixture.sources.set("vda", fixture.image("new"));
  fixture.define();
  await fixture.type(["recover", "--discard", "guest", fixture.vda], true);
  assertStringIncludes(
    fixture.asked.join(),
    "a guest that was saved to a file on it can't be restored any more",
  );
});

Deno.test("recover says why it can't complete a commit that was cut short, where the configuration can't be read", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.event("release", "shutdown", { perform: dyingAt("clear") });
  assertEquals(fixture.state("vda").kind, "committing");
  fixture.configureText('{"disks": [{"target": "vda", "one-shot-commit": true}');
  // Another guest of the image is told: "being finished … by hand: autorevert recover guest".
  const { code, said, printed } = await fixture.type("recover guest");
  assertEquals([code, said.join().includes("is not JSON")], [1, true], printed.join());
});

Deno.test("recover asks about what may stand on the session of a guest that libvirt has no definition of", async () => {
  using fixture = await up(false);
  fixture.sources.set("vda", `${fixture.images}/vda.snap`);
  await fixture.stop();
  await fixture.type("recover --discard guest vda", false);
  assertStringIncludes(
    fixture.asked.join(),
    "after an external snapshot or a blockcopy a file may stand on it",
  );
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("recover ends no session on which an external snapshot stands that has another target since", async () => {
  using fixture = await up(false);
  const snap = `${fixture.images}/vda.snap`;
  fixture.save(snap, fixture.vda, { later: "yes" });
  fixture.sources.set("vda", snap);
  fixture.define();
  await fixture.stop();
  fixture.sources.delete("vda");
  fixture.sources.set("sda", snap);
  fixture.configure({ sda: false });
  fixture.define();
  for (const way of ["--keep", "--discard"]) {
    assertEquals((await fixture.type(`recover ${way} guest ${fixture.vda} --yes`)).code, 1);
  }
  assertEquals(fixture.read(snap), { ...session, later: "yes" });
});

Deno.test("recover asks about a session whose image is by now a disk of a guest that isn't configured", async () => {
  using fixture = (await up(false)).define("other");
  fixture.boot();
  fixture.write(fixture.vda, "other");
  fixture.define();
  await fixture.type("recover --discard guest vda", false);
  assertStringIncludes(
    fixture.asked.join(),
    `it is a disk of "other", too, and may have been written to there`,
  );
  assertEquals(fixture.read(fixture.vda), { ...session, other: "yes" });
});

Deno.test("recover --discard says that the flag of the session is cleared with it", async () => {
  using fixture = await up(true);
  fixture.define();
  fixture.boot();
  await checkPrints(fixture, "recover guest --discard --yes", [
    "guest vda: the session is thrown away: the next start begins without it; its flag is cleared with it",
  ]);
  assertEquals(fixture.flags().vda, false);
});

Deno.test("a session that recover --keep was to keep is there after the next start, wherever the command was cut short", async () => {
  await atEveryStep("dies after", async (failing) => {
    using fixture = await up(false);
    fixture.define();
    fixture.boot();
    await fixture.type("recover --keep guest", true, { perform: failing.perform });
    await fixture.good("prepare");
    const left = fixture.files().map((name) => fixture.read(`${fixture.images}/${name}`));
    assert(left.some((content) => "session" in content));
  });
});
