/** Firmware of a guest with a seat begins as the master's is, of the version that the seat stands on. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { beforeFirst, dyingAt } from "./fault.ts";
import { FirmwareFixture, FirmwarePool } from "./firmware_fixture.ts";
import { type Circumstance, Fixture } from "./fixture.ts";
import { diskXml, domainXml } from "./xml.ts";

function pool(fixture: FirmwareFixture, own: unknown = { own: "yes" }): FirmwarePool {
  const pool = new FirmwarePool(fixture, ["seat1"]);
  if (own !== null) Deno.writeTextFileSync(pool.variables("seat1"), JSON.stringify(own));
  return pool;
}

Deno.test("a seat's variables begin as the master's newest commit at each start, and go back to their own", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  await seats.commit("one");
  for (const version of ["one", "two"]) {
    await seats.start("seat1");
    assertEquals(seats.content("seat1"), { version });
    Deno.writeTextFileSync(seats.variables("seat1"), "{}");
    // The seat stands on what it began with.
    if (version === "one") await seats.commit("two");
    await seats.stop("seat1");
    assertEquals(seats.content("seat1"), { own: "yes" });
    assertEquals(seats.files("seat1"), ["seat1_VARS.fd"]);
  }
});

Deno.test("a seat that stands on an earlier version has the variables of that", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  fixture.keys = { "keep-commits": 3, publish: "by hand" };
  await seats.commit("one");
  assertEquals((await fixture.command("publish")).code, 0);
  await seats.commit("two");
  await seats.start("seat1");
  assertEquals([seats.version("seat1"), seats.content("seat1")], ["one", { version: "one" }]);
  await seats.stop("seat1");
  assertEquals((await fixture.command("publish")).code, 0);
  await seats.start("seat1");
  assertEquals([seats.version("seat1"), seats.content("seat1")], ["two", { version: "two" }]);
});

/** The master's files are moved, with all that belongs to them, and its layers are told where they stand now. */
function moveMaster(fixture: FirmwareFixture, to: string): void {
  for (const name of fixture.files().filter((name) => name.startsWith("vda.img"))) {
    Deno.renameSync(`${fixture.images}/${name}`, to + name.slice("vda.img".length));
  }
  for (const number of [1, 2]) {
    const path = `${to}.backing_file.${number}`;
    Deno.writeTextFileSync(path, Deno.readTextFileSync(path).replaceAll(fixture.image("vda"), to));
  }
  fixture.sources.set("vda", to);
  fixture.define();
}

for (const to of ["there/vda.img", "images/lab.img"]) {
  Deno.test(`so has one whose master was moved since, with its layers, to ${to}, also after a merge`, async () => {
    using fixture = new FirmwareFixture();
    const seats = pool(fixture);
    fixture.keys = { "keep-commits": 3, publish: "by hand" };
    await seats.commit("one");
    assertEquals((await fixture.command("publish")).code, 0);
    await seats.commit("two");
    Deno.mkdirSync(`${fixture.root}/there`);
    fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, `${fixture.root}/there`] };
    const master = `${fixture.root}/${to}`;
    moveMaster(fixture, master);
    seats.configure("seat1", { master });
    const begins = async () => {
      await seats.start("seat1");
      assertEquals([seats.version("seat1"), seats.content("seat1")], ["one", { version: "one" }]);
      await seats.stop("seat1");
    };
    fixture.configure({ vda: false });
    await fixture.merge();
    await begins();
    await fixture.start();
    await fixture.stop();
    assertEquals((await fixture.merge()).said, []);
    await begins();
  });
}

/** As a bind mount does, a folder's path leads to the image folder, and is none that could be resolved further. */
function withBindMount(fixture: FirmwareFixture): Disposable & { readonly folder: string } {
  const folder = `${fixture.root}/bind`;
  Deno.symlinkSync(fixture.images, folder);
  fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, folder] };
  const { realPathSync } = Deno;
  Object.assign(Deno, {
    realPathSync: (path: string) => {
      const real = realPathSync(path);
      return path.startsWith(folder) ? real.replace(fixture.images, folder) : real;
    },
  });
  return { folder, [Symbol.dispose]: () => void Object.assign(Deno, { realPathSync }) };
}

Deno.test("so has one that has its master by a bind mount", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  using bind = withBindMount(fixture);
  seats.configure("seat1", { master: `${bind.folder}/vda.img` });
  fixture.keys = { "keep-commits": 3, publish: "by hand" };
  await seats.commit("one");
  assertEquals((await fixture.command("publish")).code, 0);
  await seats.commit("two");
  await seats.start("seat1");
  assertEquals([seats.version("seat1"), seats.content("seat1")], ["one", { version: "one" }]);
});

Deno.test("of two guests it is the one that has committed the layer also by a bind mount", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  using bind = withBindMount(fixture);
  seats.configure("seat1", { master: `${bind.folder}/vda.img` });
  fixture.keys = { "keep-commits": 3 };
  await seats.commit("one");
  await withRescue(fixture, true);
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { version: "one" });
});

Deno.test("nor does one that has its master by a bind mount begin with a session of its guest's", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  using bind = withBindMount(fixture);
  seats.configure("seat1", { master: `${bind.folder}/vda.img` });
  fixture.isListed = false;
  fixture.configure({ vda: false });
  await fixture.start();
  fixture.isListed = true;
  fixture.configure({ vda: false });
  fixture.write(fixture.vda, "session");
  const { said } = await seats.event("seat1", "prepare");
  assertStringIncludes(said.join(), "goes with its disk from its next session on");
});

Deno.test("a saved seat finds its variables, and a seat after a power cut the master's", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  await seats.commit("one");
  await seats.start("seat1");
  Deno.writeTextFileSync(seats.variables("seat1"), `{"session":"yes"}`);
  for (const reason of ["saved", "-"]) {
    await seats.stop("seat1", reason);
    await seats.restore("seat1");
    assertEquals(seats.content("seat1"), { session: "yes" }, reason);
  }
  seats.powerCut();
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { version: "one" });
  await seats.stop("seat1");
  assertEquals(seats.content("seat1"), { own: "yes" });
});

Deno.test("the first start of a seat begins with the master's variables, and goes back to those that libvirt has made", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture, null);
  await seats.commit("one");
  const event = (operation: string) =>
    Fixture.prototype.event.call(fixture, operation, "-", { xml: seats.xml("seat1"), domain: "seat1" });
  assertEquals((await event("prepare")).code, 0);
  Deno.writeTextFileSync(seats.variables("seat1"), `{"made":"yes"}`);
  assertEquals((await event("start")).code, 0);
  assertEquals(seats.content("seat1"), { version: "one" });
  assertEquals((await event("started")).code, 0);
  await seats.stop("seat1");
  assertEquals(seats.content("seat1"), { made: "yes" });
  assertEquals(seats.files("seat1"), ["seat1_VARS.fd"]);
});

Deno.test("a seat's start is refused where the master's firmware has no versions, and nothing has changed", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  fixture.isListed = false;
  fixture.configure({ vda: false });
  await fixture.start();
  const { code, said } = await seats.event("seat1", "prepare");
  assertEquals(code, 1);
  assertStringIncludes(
    said.join("\n"),
    `the firmware of "guest", whose disk is the master, doesn't go with its disk`,
  );
  assertEquals(seats.files("seat1"), ["seat1_VARS.fd"]);
});

Deno.test("a seat's start is refused as long as its master's guest is in the session in which firmware was switched on", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  fixture.isListed = false;
  fixture.configure({ vda: true });
  fixture.define();
  await fixture.start();
  fixture.write(fixture.vda, "version", "one");
  assertEquals((await fixture.type("enable guest --firmware")).code, 0);
  const { code, said } = await seats.event("seat1", "prepare");
  assertEquals([code, said], [1, [
    `error: seat1 nvram: the firmware of "guest", whose disk is the master, goes with its disk from its next session on`,
    "hint: end this one first: virsh shutdown guest; where it died: autorevert recover --keep|--discard guest",
  ]]);
  assertEquals(seats.files("seat1"), ["seat1_VARS.fd"]);
  await seats.event("seat1", "release", "failed");
  await fixture.stop();
  await seats.start("seat1");
  assertEquals([seats.version("seat1"), seats.content("seat1")], ["one", { version: "one" }]);
});

Deno.test("a seat on an older version has the firmware of that, though another disk of the master's guest was committed since", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  fixture.save(fixture.image("vdb"), null, { base: "vdb" });
  fixture.sources.set("vdb", fixture.image("vdb"));
  fixture.define();
  fixture.keys = { "keep-commits": 3, publish: "by hand" };
  const commit = async (target: string, value: string) => {
    fixture.configure({ vda: target === "vda", vdb: target === "vdb" });
    await fixture.start();
    for (const one of ["vda", "vdb"]) fixture.write(fixture.image(one), "version", value);
    await fixture.good("release", "shutdown", { mergeDies: true });
  };
  await commit("vda", "one");
  assertEquals((await fixture.type("publish guest vda")).code, 0);
  await commit("vda", "two");
  for (const again of [false, true]) {
    if (again) await commit("vdb", "three");
    await seats.start("seat1");
    assertEquals([seats.version("seat1"), seats.content("seat1")], ["one", { version: "one" }]);
    await seats.stop("seat1");
  }
});

for (const isMerged of [false, true]) {
  Deno.test(`a seat's variables begin as the master's, though its guest ${isMerged ? "has its commit merged" : "was not started since it was listed"}`, async () => {
    using fixture = new FirmwareFixture();
    const seats = pool(fixture);
    if (isMerged) await seats.commit("one", {});
    else Deno.writeTextFileSync(fixture.variables, `{"version":"one"}`);
    await seats.start("seat1");
    assertEquals(seats.content("seat1"), { version: "one" });
  });
}

Deno.test("of two domains with the master's image the configured one is that of its firmware", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  Deno.writeTextFileSync(fixture.variables, `{"version":"one"}`);
  const other = fixture.xml().replaceAll("guest_VARS", "a-rescue_VARS");
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/a-rescue.xml`, other);
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { version: "one" });
});

/** Another guest with the master's image and variables of its own, which has run on it once. */
async function withRescue(fixture: FirmwareFixture, hasFirmware: boolean): Promise<void> {
  const xml = fixture.xml().replaceAll("guest_VARS", "a-rescue_VARS");
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/a-rescue.xml`, xml);
  const disks = [{ target: "vda", "keep-commits": 3 }];
  Deno.writeTextFileSync(`${fixture.config}/a-rescue.json`, JSON.stringify({ disks, firmware: hasFirmware }));
  Deno.writeTextFileSync(`${fixture.root}/firmware/a-rescue_VARS.fd`, `{"rescue":"yes"}`);
  for (const [operation, extra] of [["prepare", "-"], ["started", "-"], ["release", "shutdown"]] as const) {
    assertEquals((await fixture.event(operation, extra, { domain: "a-rescue", xml })).code, 0);
  }
}

Deno.test("a seat's variables begin as those of the master's guest, though one without firmware was started on its image", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  await seats.commit("one", {});
  await seats.start("seat1");
  await seats.stop("seat1");
  await withRescue(fixture, false);
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { version: "one" });
});

Deno.test("of two guests with firmware and the master's image the one that has committed the layer is that of a seat's", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  fixture.keys = { "keep-commits": 3 };
  await seats.commit("one");
  await withRescue(fixture, true);
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { version: "one" });
});

Deno.test("a seat's start is refused where nothing tells which of two guests' firmware is the master's", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  await seats.commit("one", {});
  await withRescue(fixture, true);
  const { code, said } = await seats.event("seat1", "prepare");
  assertEquals([code, said], [1, [
    `error: seat1: "${fixture.vda}" is a disk of "a-rescue", "guest", and firmware of each goes with it: nothing tells whose the seat's begins with`,
    "hint: have only that of one go with its disks; for the others: autorevert enable GUEST --no-firmware",
  ]]);
  assertEquals((await fixture.type("enable a-rescue --no-firmware")).code, 0);
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { version: "one" });
});

Deno.test("a guest that doesn't list the master's image says nothing of its firmware", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  await seats.commit("one", {});
  await withRescue(fixture, true);
  const disks = [{ target: "vdb" }];
  Deno.writeTextFileSync(`${fixture.config}/a-rescue.json`, JSON.stringify({ disks, firmware: true }));
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { version: "one" });
});

Deno.test("a note that a guest has left of the master's image under another name does not hide that guest's firmware", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  fixture.keys = { "keep-commits": 3 };
  await seats.commit("one");
  Deno.copyFileSync(fixture.note, `${fixture.config}/a-lab.session`);
  await seats.commit("two");
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { version: "two" });
});

Deno.test("a seat has the firmware of its layer, though the master's disk was plain since that was committed", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  fixture.disks({ vda: false, vdb: false });
  fixture.define();
  const disks = [{ target: "vda" }, { target: "vdb", "keep-commits": 2 }];
  const flagged = disks.map((disk) => ({ ...disk, "one-shot-commit": true }));
  fixture.configureText(JSON.stringify({ firmware: true, disks: flagged }));
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "version", "one");
  await fixture.stop();
  await seats.start("seat1");
  assertEquals([seats.version("seat1"), seats.content("seat1")], ["one", { version: "one" }]);
});

Deno.test("a seat has the firmware of its layer, though the master had no seats for a while, and its layers are numbered anew", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  fixture.disks({ vda: false, vdb: false });
  fixture.define();
  await seats.start("seat1");
  await seats.stop("seat1");
  const disks = [{ target: "vda" }, { target: "vdb", "keep-commits": 2 }];
  const flagged = disks.map((disk) => ({ ...disk, "one-shot-commit": true }));
  fixture.configureText(JSON.stringify({ firmware: true, disks: flagged }));
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "version", "one");
  await fixture.stop();
  assertEquals((await fixture.type("disable seat1")).code, 0);
  assertEquals(fixture.state("vda").kind, "plain");
  seats.configure("seat1");
  await seats.start("seat1");
  assertEquals([seats.version("seat1"), seats.content("seat1")], ["one", { version: "one" }]);
});

for (const isMade of [true, false]) {
  const whose = isMade ? "its own file" : "a file that libvirt makes";
  Deno.test(`no seat begins with a session of its master's guest that begins while the firmware is copied, over ${whose}`, async () => {
    using fixture = new FirmwareFixture();
    const seats = new FirmwarePool(fixture, ["seat1"]);
    // Neither guest's event waits for the other's lock of a folder.
    const folder = `${fixture.root}/firmware/seats`;
    Deno.mkdirSync(folder);
    seats.variables = (seat) => `${folder}/${seat}_VARS.fd`;
    seats.configure("seat1");
    const make = () => Deno.writeTextFileSync(seats.variables("seat1"), `{"own":"yes"}`);
    const event = (operation: string, extra = "-", how: Circumstance = {}) =>
      Fixture.prototype.event.call(fixture, operation, extra, {
        ...how,
        xml: seats.xml("seat1"),
        domain: "seat1",
      });
    await seats.commit("one", {});
    // The master becomes one: nothing of it changes at the next start.
    await event("prepare");
    await event("release", "failed");
    const begins = beforeFirst("copy", async () => {
      await fixture.start();
      fixture.write(fixture.vda, "version", "two");
    });
    if (isMade) make();
    else {
      await event("prepare");
      make();
    }
    const { code, said } = await event(isMade ? "prepare" : "start", "-", { perform: begins });
    assertEquals(code, 1);
    assertStringIncludes(said[0]!, `"${fixture.variables}" was changed by its guest's start or end`);
    await event("release", "failed");
    assertEquals([seats.content("seat1"), fixture.files(folder)], [{ own: "yes" }, ["seat1_VARS.fd"]]);
  });
}

for (const next of ["a start that failed", "no start"]) {
  Deno.test(`after a power cut, a merge and ${next}, a saved seat finds its session with its variables`, async () => {
    using fixture = new FirmwareFixture();
    const seats = new FirmwarePool(fixture, ["seat1"]);
    Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ own: "yes" }));
    await seats.commit("one");
    await seats.start("seat1");
    Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ session: "yes" }));
    await seats.commit("two");
    seats.powerCut();
    await seats.merge();
    if (next === "a start that failed") {
      assertEquals((await seats.event("seat1", "prepare")).said, []);
      await seats.event("seat1", "release", "failed");
    }
    await seats.restore("seat1");
    assertEquals([seats.version("seat1"), seats.content("seat1")], ["one", { session: "yes" }]);
    await seats.stop("seat1");
    for (let times = 0; times < 2; times++) {
      await seats.start("seat1");
      await seats.stop("seat1");
    }
    assertEquals(seats.content("seat1"), { own: "yes" });
    assertEquals([seats.isIdle("seat1"), seats.files("seat1").length], [true, 1]);
  });
}

Deno.test("a seat with firmware that died with its host keeps no merge waiting above what it stands on", async () => {
  using fixture = new FirmwareFixture();
  const seats = new FirmwarePool(fixture, ["seat1"]);
  Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ own: "yes" }));
  await seats.commit("one");
  await seats.commit("two");
  await seats.start("seat1");
  await seats.commit("three");
  seats.powerCut();
  await seats.merge();
  assertEquals(seats.layers, [2, 3]);
  for (let times = 0; times < 3; times++) {
    await seats.start("seat1");
    await seats.stop("seat1");
  }
  await seats.merge();
  assertEquals(seats.layers.length, 1);
  assertEquals([seats.isIdle("seat1"), seats.files("seat1").length], [true, 1]);
});

for (const on of ["older", "newer"]) {
  Deno.test(`a guest that was saved on one of two sessions is refused, and the way out to the ${on} one brings its variables along`, async () => {
    using fixture = new FirmwareFixture();
    const seats = pool(fixture);
    await seats.commit("one");
    const image = seats.image("seat1");
    for (const session of ["older", "newer"]) {
      await seats.start("seat1");
      fixture.write(image, "session", session);
      Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ session }));
      if (session === "older") await seats.stop("seat1", "saved");
      else seats.powerCut();
    }
    await seats.event("seat1", "restore");
    const { said } = await seats.event("seat1", "prepare");
    await seats.event("seat1", "release", "failed");
    const [, way] = (on === "older" ? /second, (mv .*?);/ : /first, (mv .*?);/).exec(said.join("\n"))!;
    assert(new Deno.Command("sh", { args: ["-c", way!] }).outputSync().success);
    await seats.restore("seat1");
    assertEquals([fixture.read(image)["session"], seats.content("seat1")], [on, { session: on }]);
  });
}

for (const reason of ["shutdown", "-"]) {
  Deno.test(`a seat that is saved at one host is started at another, and finds its variables at the first again: ${reason}`, async () => {
    using fixture = new FirmwareFixture();
    using other = new Fixture(undefined, fixture.images);
    Object.assign(other, { name: "there", busy: fixture.busy });
    other.settings = { ...other.settings, firmwareFolders: [`${fixture.root}/firmware`] };
    const here = pool(fixture);
    const there = new FirmwarePool(other as FirmwareFixture, []);
    there.variables = (seat) => here.variables(seat);
    there.configure("seat1");
    Deno.removeSync(other.configFile);
    await here.commit("one");
    const write = (session: string) => {
      fixture.write(here.image("seat1"), "session", session);
      Deno.writeTextFileSync(here.variables("seat1"), JSON.stringify({ session }));
    };
    await here.start("seat1");
    write("saved");
    await here.stop("seat1", "saved");
    assertEquals(
      (await other.type("status seat1")).printed.join().includes("no session of this guest"),
      false,
    );
    await there.start("seat1");
    write("other");
    await there.stop("seat1", reason);
    if (reason === "shutdown") {
      await here.restore("seat1");
      assertEquals([fixture.read(here.image("seat1"))["session"], here.content("seat1")], [
        "saved",
        { session: "saved" },
      ]);
      await here.stop("seat1");
    } else {
      await here.event("seat1", "restore");
      const { code, said } = await here.event("seat1", "prepare");
      assertEquals([code, said[0]?.includes("nobody can tell on which session")], [1, true]);
    }
  });
}

for (const step of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
  Deno.test(`a start in place of a saved guest that is killed and told as failed leaves its variables: before rename ${step}`, async () => {
    using fixture = new FirmwareFixture();
    const seats = pool(fixture);
    await seats.commit("one");
    await seats.start("seat1");
    fixture.write(seats.image("seat1"), "session", "saved");
    Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ session: "saved" }));
    await seats.stop("seat1", "saved");
    let names = 0;
    const perform = dyingAt((one) => (one.kind === "rename" || one.kind === "link") && names++ === step);
    await seats.event("seat1", "prepare", "-", { perform });
    await seats.event("seat1", "release", "failed");
    await seats.restore("seat1");
    assertEquals([fixture.read(seats.image("seat1"))["session"], seats.content("seat1")], [
      "saved",
      { session: "saved" },
    ]);
  });
}

for (const next of ["fails", "comes up"]) {
  for (const told of ["told as failed", "not told"]) {
    Deno.test(`a start in place of a saved guest that is killed, and ${told}, leaves its variables, where the next start ${next}`, async () => {
      for (let step = 0; step < 12; step++) {
        using fixture = new FirmwareFixture();
        const seats = pool(fixture);
        await seats.commit("one");
        await seats.start("seat1");
        fixture.write(seats.image("seat1"), "session", "saved");
        Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ session: "saved" }));
        await seats.stop("seat1", "saved");
        let names = 0;
        const perform = dyingAt((one) => (one.kind === "rename" || one.kind === "link") && names++ === step);
        await seats.event("seat1", "prepare", "-", { perform });
        if (told === "not told") seats.powerCut();
        else await seats.event("seat1", "release", "failed");
        if (next === "comes up") await seats.start("seat1");
        else await seats.event("seat1", "prepare");
        await seats.stop("seat1", next === "comes up" ? "shutdown" : "failed");
        await seats.restore("seat1");
        const found = [fixture.read(seats.image("seat1"))["session"], seats.content("seat1")];
        assertEquals(found, ["saved", { session: "saved" }], `${step}`);
      }
    });
  }
}

for (const next of ["fails", "dies"]) {
  Deno.test(`an end without a reason that is cut short leaves a saved guest its variables with its session, where the next start ${next}`, async () => {
    for (let step = 0; step < 12; step++) {
      using fixture = new FirmwareFixture();
      const seats = pool(fixture);
      await seats.commit("one");
      await seats.start("seat1");
      fixture.write(seats.image("seat1"), "session", "saved");
      Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ session: "saved" }));
      let steps = 0;
      await seats.stop("seat1", "-", { perform: dyingAt(() => steps++ === step) });
      seats.powerCut();
      await seats.event("seat1", "prepare");
      if (next === "fails") await seats.event("seat1", "release", "failed");
      else seats.powerCut();
      await seats.restore("seat1");
      const found = [fixture.read(seats.image("seat1"))["session"], seats.content("seat1")];
      assertEquals(found, ["saved", { session: "saved" }], `${step}`);
    }
  });
}

Deno.test("a saved seat finds its variables though they don't go with it any more, and the start in between begins with its own", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  await seats.commit("one");
  await seats.start("seat1");
  Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ session: "yes" }));
  await seats.stop("seat1", "saved");
  assertEquals((await fixture.type("enable seat1 --no-firmware")).said, []);
  await seats.start("seat1");
  assertEquals(seats.content("seat1"), { own: "yes" });
  await seats.stop("seat1");
  await seats.restore("seat1");
  assertEquals(seats.content("seat1"), { session: "yes" });
});

Deno.test("a guest whose seat was detached keeps its own variables: they go back at that end, and a commit of its disk takes no other along", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  const own = seats.mix("seat1");
  await seats.commit("one");
  await seats.start("seat1");
  const xml = seats.withVariables("seat1", domainXml([diskXml("vdb", own)]));
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat1.xml`, xml);
  await seats.stop("seat1", "shutdown", { xml });
  assertEquals([seats.content("seat1"), seats.files("seat1").length], [{ own: "yes" }, 1]);
  assertEquals((await fixture.type("disable seat1 vda")).said, []);
  assertEquals((await fixture.type("commit seat1 vdb")).said, []);
  for (let times = 0; times < 2; times++) {
    assertEquals((await seats.event("seat1", "prepare", "-", { xml })).said, []);
    await seats.event("seat1", "started", "-", { xml });
    assertEquals(seats.content("seat1"), { own: "yes" });
    await seats.stop("seat1", "shutdown", { xml });
  }
  assertEquals(seats.content("seat1"), { own: "yes" });
});

Deno.test("a saved seat's variables outlive a start on another image: that is refused until the session is named again, or ended", async () => {
  using fixture = new FirmwareFixture();
  const seats = pool(fixture);
  await seats.commit("one");
  await seats.start("seat1");
  Deno.writeTextFileSync(seats.variables("seat1"), JSON.stringify({ session: "yes" }));
  await seats.stop("seat1", "saved");
  const image = seats.image("seat1");
  const xml = seats.withVariables("seat1", domainXml([diskXml("vda", fixture.image("other"))]));
  const { code, said } = await seats.event("seat1", "prepare", "-", { xml });
  assertEquals([code, said], [1, [
    `error: seat1 nvram: it belongs to the session "${image}", whose disk the domain names no more`,
    `hint: after an external snapshot, bring that back into the session: qemu-img commit -b ${image} SNAPSHOT; then name that ` +
    `again: virsh edit seat1; or end it: autorevert recover --discard seat1 ${image}`,
  ]]);
  await seats.event("seat1", "release", "failed", { xml });
  await seats.restore("seat1");
  assertEquals(seats.content("seat1"), { session: "yes" });
});

for (const how of ["--keep", "--discard"]) {
  Deno.test(`a guest with seats only, of whose firmware's session no note tells, is started again after recover ${how}`, async () => {
    using fixture = new FirmwareFixture();
    const seats = pool(fixture);
    await seats.commit("one");
    await seats.start("seat1");
    Deno.writeTextFileSync(seats.variables("seat1"), `{"session":"yes"}`);
    seats.powerCut();
    Deno.writeTextFileSync(`${fixture.config}/seat1.session`, "");
    assertEquals((await seats.event("seat1", "prepare")).code, 1);
    await seats.event("seat1", "release", "failed");
    // As the hint says, and that of the master's merge.
    Deno.removeSync(`${fixture.config}/seat1.session`);
    assertEquals((await fixture.type("recover --discard seat1 vda --yes")).said, []);
    const { code, said } = await seats.event("seat1", "prepare");
    assertEquals(code, 1);
    assertStringIncludes(said.join(), "autorevert recover --keep|--discard seat1");
    await seats.event("seat1", "release", "failed");
    assertStringIncludes(
      (await fixture.type("recover seat1")).printed.join(),
      "nvram: it has a session; to end it now",
    );
    assertEquals((await fixture.type(`recover ${how} seat1 --yes`)).said, []);
    await seats.start("seat1");
    assertEquals(seats.content("seat1"), { version: "one" });
    await seats.stop("seat1");
    assertEquals(seats.content("seat1"), how === "--keep" ? { session: "yes" } : { own: "yes" });
  });

  Deno.test(`where somebody put a file into the place of an idle seat's variables, recover ${how} says which goes`, async () => {
    using fixture = new FirmwareFixture();
    const seats = pool(fixture);
    await seats.commit("one");
    await seats.start("seat1");
    await seats.stop("seat1", "-");
    const file = seats.variables("seat1");
    Deno.writeTextFileSync(`${file}.x`, `{"mine":"yes"}`);
    Deno.renameSync(`${file}.x`, file);
    assertEquals((await seats.event("seat1", "prepare")).code, 1);
    await seats.event("seat1", "release", "failed");
    assertEquals((await fixture.type(`recover ${how} seat1 --yes`)).said, []);
    await seats.start("seat1");
    await seats.stop("seat1");
    assertEquals(seats.content("seat1"), how === "--keep" ? { mine: "yes" } : { own: "yes" });
  });
}
