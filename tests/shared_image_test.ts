/** Guests that share an image, or have it one after the other: what one does spares what is another's. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { namesOf } from "../lib/state/paths.ts";
import { dyingAt, Failing, tearing } from "./fault.ts";
import { afterClockTick, DOMAIN, exists, Fixture, LATER } from "./fixture.ts";
import { base, committed, session, up } from "./running_guest.ts";
import { TwoHosts } from "./two_hosts.ts";
import { diskXml, domainXml } from "./xml.ts";

/** Another guest, configured for the same image. */
const second = { domain: "second" };
const configureSecond = ({ config }: Fixture, keys = {}) =>
  Deno.writeTextFileSync(`${config}/second.json`, JSON.stringify({ disks: [{ target: "vda", ...keys }] }));

Deno.test("a guest doesn't take another one's session on the same image for its own of long ago", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const vda = fixture.vda;
  configureSecond(fixture);
  for (const operation of ["prepare", "started", "release"]) await fixture.event(operation, "-", second);
  assertEquals(exists(`${vda}.autorevert-ended`), true);
  fixture.configure({ vda: true });
  await fixture.start();
  fixture.write(vda, "session");
  assertEquals((await fixture.event("prepare", "-", second)).code, 1);
  await fixture.event("release", "failed", second);
  await fixture.start();
  assertEquals(fixture.read(vda), session);
  await fixture.stop();
  assertEquals(fixture.disk("vda"), session);
});

Deno.test("a guest leaves an image alone that it had long ago and another one has now", async () => {
  for (const end of ["saved", "-"]) {
    using fixture = await up(false);
    await fixture.stop("-");
    const note = fixture.note;
    Deno.removeSync(fixture.configFile);
    configureSecond(fixture);
    for (const operation of ["prepare", "started"]) await fixture.event(operation, "-", second);
    fixture.write(fixture.vda, "session", "second's");

    fixture.sources.clear();
    await fixture.good("prepare");
    await fixture.good("started");
    await fixture.stop(end);
    assertEquals(fixture.read(fixture.vda), { ...base, session: "second's" });
    assertEquals(exists(note), false);
  }
});

Deno.test("undo of one guest knows that another's merge has torn the layer below", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  configureSecond(fixture);
  await fixture.merge({ perform: tearing(fixture) });
  await fixture.event("prepare", "-", second);
  await fixture.event("started", "-", second);
  await fixture.event("release", "shutdown", { ...second, mergeDies: true });
  const { code } = await fixture.command("undo", second);
  assertEquals([code, fixture.disk("vda")], [1, session]);
});

Deno.test("another guest's session is neither thrown away nor committed by what a guest of the same image is advised", async () => {
  using fixture = await up(true);
  await fixture.stop("crashed");
  configureSecond(fixture);
  fixture.define("second");
  fixture.define();
  const hint = `hint: start that guest and end it; or: autorevert recover --keep|--discard ${DOMAIN} vda`;
  assertEquals((await fixture.event("prepare", "-", second)).said[1], hint);
  assertEquals((await fixture.type("check second")).printed.includes(hint), true);
  for (const way of ["--keep", "--discard"]) {
    assertEquals((await fixture.type(`recover ${way} second --yes`)).code, 1);
  }
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("recover of one guest knows what another one's merge has torn", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  await fixture.merge({ perform: tearing(fixture) });
  const { layer, image } = namesOf(fixture.vda);
  Deno.removeSync(image);
  fixture.save(image, layer(1), { session: "foreign" });
  Deno.removeSync(fixture.configFile);
  Deno.writeTextFileSync(
    `${fixture.config}/second.json`,
    '{"disks": [{"target": "vda", "keep-commits": 1}]}',
  );
  fixture.define("second");
  const note = fixture.note;
  const away = Deno.readTextFileSync(note);
  Deno.writeTextFileSync(note, away);
  const { code } = await fixture.type("recover --discard guest --yes");
  assertEquals(code, 0);
  assertEquals((await fixture.command("undo", second)).code, 1);
  assertEquals(fixture.disk("vda"), session);
});

Deno.test("a guest knows another one's session on its image by another path", async () => {
  using fixture = await up(true);
  await fixture.stop("crashed");
  const note = fixture.note;
  // As a bind mount would have it: a name in the same folder by another path.
  Deno.writeTextFileSync(note, Deno.readTextFileSync(note).replace("/images/", "/images/../images/"));
  configureSecond(fixture);
  const of = (started: string) =>
    JSON.stringify([{ ...JSON.parse(Deno.readTextFileSync(note))[0], image: fixture.vda, started }]);
  Deno.writeTextFileSync(`${fixture.config}/second.session`, of("2001-01-01T00:00:00.000Z"));
  assertEquals((await fixture.event("prepare", "-", second)).code, 1);
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("what is known of an image outlives another guest's start that fails", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  await fixture.merge({ perform: tearing(fixture) });
  await fixture.start();
  await fixture.event("release", "-", { mergeDies: true });
  configureSecond(fixture);
  fixture.define();
  await fixture.event("prepare", "-", second);
  // Meanwhile this guest's start is refused, and has its end.
  fixture.busy.add(fixture.vda);
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.event("release", "failed");
  fixture.busy.clear();
  await fixture.event("release", "failed", { ...second, mergeDies: true });
  await fixture.start();
  await fixture.event("release", "shutdown", { mergeDies: true });
  assertEquals((await fixture.command("undo")).code, 1);
  assertEquals(fixture.disk("vda"), session);
});

Deno.test("a start of another guest that was cut short before it made a session has taken nothing over", async () => {
  using fixture = await up(false);
  await fixture.good("release", "-");
  configureSecond(fixture);
  // The note is written, and nothing else.
  const { perform } = new Failing(1, "dies before");
  await fixture.event("prepare", "-", { ...second, perform });
  for (const operation of ["restore", "prepare", "started"]) await fixture.good(operation);
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a saved guest's session is its own again after another guest's start that failed in its first steps", async () => {
  for (const fault of ["fails before", "dies before"] as const) {
    using fixture = await up(false);
    await fixture.good("release", "-");
    configureSecond(fixture);
    // The overlay can't be made.
    const { perform } = new Failing(2, fault);
    await fixture.event("prepare", "-", { ...second, perform });
    for (const operation of ["restore", "prepare", "started"]) await fixture.good(operation);
    fixture.define();
    fixture.run();
    await fixture.command("commit");
    fixture.halt();
    await fixture.good("release", "shutdown");
    assertEquals(fixture.disk("vda"), session);
    assertEquals(fixture.flags(), { vda: false });
  }
});

Deno.test("commit --cancel of one guest leaves the mark of another one's session on the same image", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  fixture.define("second");
  Deno.writeTextFileSync(`${fixture.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  await fixture.start();
  fixture.write(fixture.vda, "mine");
  await fixture.stop("saved");
  await fixture.type("commit --cancel second");
  await fixture.good("restore");
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { base: "vda", mine: "yes" });
});

Deno.test("where two guests have a session each on one of two disks, each is ended by the command that the other's start names", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  fixture.define();
  fixture.define("other");
  fixture.configure({ vda: false });
  await fixture.start();
  fixture.booted = LATER;
  Deno.writeTextFileSync(`${fixture.config}/other.json`, '{"disks": [{"target": "vdb"}]}');
  const other = { domain: "other" };
  for (const operation of ["prepare", "start", "started"]) await fixture.good(operation, "-", other);
  fixture.booted = new Date(LATER.getTime() + 60_000);
  for (const name of [DOMAIN, "other"]) {
    Deno.writeTextFileSync(
      `${fixture.config}/${name}.json`,
      '{"disks": [{"target": "vda"}, {"target": "vdb"}]}',
    );
  }
  const { said } = await fixture.event("prepare");
  assertEquals(said[1]?.endsWith("autorevert recover --keep|--discard other vdb"), true);
  await fixture.event("release", "failed");
  assertEquals((await fixture.type("recover --discard other vdb", true)).said, []);
  await fixture.start();
});

for (const between of ["nothing", "a start that fails"]) {
  Deno.test(`a saved guest, before libvirt 10.5, is not restored once another guest of the image was up, after ${between}`, async () => {
    using fixture = new Fixture().disks({ vda: false });
    Deno.copyFileSync(fixture.configFile, `${fixture.config}/other.json`);
    for (const domain of ["guest", "other"]) fixture.define(domain);
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop("-");
    if (between !== "nothing") {
      await fixture.good("prepare");
      await fixture.stop("-");
    }
    const other = { domain: "other" };
    await fixture.start(other);
    await fixture.stop("shutdown", other);
    await fixture.good("restore");
    assertEquals((await fixture.event("prepare")).code, 1);
  });
}

Deno.test("an undo of two disks that was cut short is done for both, also where another guest of one image was started", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: true, vdb: true }).define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
  await fixture.stop();
  // Cut short after the first disk is done
  const xmlOther = fixture.xml();
  let removes = 0;
  await fixture.type("undo guest --yes", true, {
    perform: dyingAt((step) => step.kind === "remove" && ++removes === 2),
  });
  const half = ["vda", "vdb"].map((target) => fixture.state(target));
  Deno.writeTextFileSync(
    `${fixture.config}/other.json`,
    JSON.stringify({
      disks: [{ target: "vda", "one-shot-commit": false, "keep-commits": 2 }, {
        target: "vdb",
        "one-shot-commit": false,
        "keep-commits": 2,
      }],
    }),
  );
  Deno.chmodSync(`${fixture.config}/other.json`, 0o644);
  const other = { domain: "other", xml: xmlOther };
  for (const operation of ["prepare", "start", "started"]) await fixture.event(operation, "-", other);
  for (const operation of ["stopped", "release"]) await fixture.event(operation, "shutdown", other);
  await fixture.start();
  const has = ["vda", "vdb"].map((target) => "session" in fixture.read(fixture.image(target)));
  assertEquals(new Set(has).size, 1, JSON.stringify([has, half]));
});

Deno.test("a guest whose session another guest of the image has thrown away is not restored, also where that was tried while the other one ran", async () => {
  for (const isTried of [false, true]) {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    fixture.write(fixture.vda, "saved on");
    // Before libvirt 10.5: a save to a file.
    await fixture.stop("-");
    const other = { domain: "other" };
    Deno.writeTextFileSync(
      `${fixture.config}/other.json`,
      '{"disks": [{"target": "vda", "one-shot-commit": true}]}',
    );
    Deno.chmodSync(`${fixture.config}/other.json`, 0o644);
    for (const operation of ["prepare", "start", "started"]) await fixture.event(operation, "-", other);
    fixture.busy.add(fixture.vda);
    if (isTried) {
      await fixture.event("restore");
      assertEquals((await fixture.event("prepare")).code, 1);
      await fixture.event("release", "-");
    }
    fixture.busy.clear();
    fixture.write(fixture.vda, "maintenance");
    for (const operation of ["stopped", "release"]) await fixture.event(operation, "-", other);
    assertEquals(fixture.state("vda").kind, "plain");
    await fixture.event("restore");
    const { code } = await fixture.event("prepare");
    assertEquals(code, 1, JSON.stringify([isTried, fixture.read(fixture.vda)]));
  }
});

Deno.test("a guest is started after a keep that was cut short, also where the other host has thrown away what was to be kept", async () => {
  using hosts = new TwoHosts({ vda: true });
  const { here, there } = hosts;
  for (const host of [here, there]) {
    host.keys = { "keep-commits": 2, "keep-session": host === here };
    host.configure({ vda: host === here });
    host.define();
  }
  await here.start();
  here.write(here.vda, "commit");
  await here.stop();
  await here.start();
  here.write(here.vda, "session");
  await here.stop();
  await here.type("keep guest --yes", true, { perform: dyingAt("own") });
  await there.start();
  await there.stop();
  const { code, said } = await here.event("prepare");
  const recovered = code === 0 ? undefined : await here.type("recover guest");
  assertEquals(code, 0, [...said, ...recovered?.said ?? []].join("\n"));
});

Deno.test("what another guest is told of a saved guest's session says that it was saved, or what is advised loses nothing", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  fixture.define("other");
  await fixture.start();
  fixture.write(fixture.vda, "saved on");
  await fixture.stop("saved");
  const other = { domain: "other" };
  Deno.writeTextFileSync(`${fixture.config}/other.json`, '{"disks": [{"target": "vda"}]}');
  Deno.chmodSync(`${fixture.config}/other.json`, 0o644);
  const { code, said } = await fixture.event("prepare", "-", other);
  assertEquals(code, 1);
  await fixture.event("release", "failed", other);
  if (/saved|restore/.test(said.join())) return;
  assertStringIncludes(said.join(), "start that guest and end it");
  await fixture.start();
  await fixture.stop();
  for (const operation of ["prepare", "start", "started"]) await fixture.event(operation, "-", other);
  for (const operation of ["stopped", "release"]) await fixture.event(operation, "shutdown", other);
  await fixture.event("restore");
  const restored = await fixture.event("prepare");
  assertEquals(
    [restored.code, fixture.read(fixture.vda)],
    [0, { base: "vda", "saved on": "yes" }],
    said.join("\n"),
  );
});

Deno.test("a guest that was saved in maintenance, before libvirt 10.5, is restored on its commit also where another one's session was set aside since", async () => {
  using fixture = await up(true);
  await fixture.stop("-");
  configureSecond(fixture);
  await fixture.start(second);
  fixture.write(fixture.vda, "second's");
  await fixture.stop("-", second);
  assertEquals(exists(`${fixture.vda}.autorevert-ended`), true);
  await fixture.event("restore");
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.good("started");
  await fixture.stop();
  assertEquals(fixture.disk("vda"), session);
});

for (const commits of [false, true]) {
  const what = commits ? "committed" : "reverted";
  Deno.test(`undo takes back what was committed last, also where another guest has ${what} a session of one of the images in between`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 3 };
    fixture.disks({ vda: true, vdb: true }).define();
    const vdb = fixture.image("vdb");
    await fixture.start();
    for (const image of [fixture.vda, vdb]) fixture.write(image, "first");
    await fixture.stop();
    configureSecond(fixture, { "keep-commits": 3, "one-shot-commit": commits });
    await fixture.start(second);
    await fixture.stop("shutdown", second);
    fixture.configure({ vda: false, vdb: true });
    await fixture.start();
    fixture.write(vdb, "second");
    await fixture.stop();
    assertEquals((await fixture.type("undo guest --yes")).said, []);
    assertEquals([fixture.disk("vda"), fixture.disk("vdb")], [
      { base: "vda", first: "yes" },
      { base: "vdb", first: "yes" },
    ]);
  });
}

Deno.test("keep after a start that was cut short keeps no other guest's session", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  configureSecond(fixture, { "keep-session": true });
  await fixture.start(second);
  fixture.write(fixture.vda, "second's");
  await fixture.stop("shutdown", second);
  // The power fails when the start is noted.
  await fixture.event("prepare", "-", { perform: dyingAt("create") });
  fixture.boot();
  const { code, printed } = await fixture.type("keep guest --yes", true);
  assertEquals([code, fixture.disk("vda")], [1, base], printed.join());
});

for (const end of ["release", "power cut"]) {
  Deno.test(`a guest that was saved, before libvirt 10.5, is not restored onto what another one has committed since its start was cut short, by a ${end}`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop("-");
    await fixture.event("prepare", "-", { perform: dyingAt("create") });
    if (end === "release") await fixture.event("release", "-");
    else fixture.boot();
    configureSecond(fixture, { "one-shot-commit": true });
    await fixture.start(second);
    fixture.write(fixture.vda, "second's");
    await fixture.stop("-", second);
    // Also where a start of it was refused in between
    await fixture.event("restore");
    for (const _ of ["first", "again"]) {
      assertEquals((await fixture.event("prepare")).code, 1);
      await fixture.event("release", "failed");
      await fixture.event("restore");
    }
  });
}

for (const then of ["its restore", "keep"]) {
  Deno.test(`what is set aside for a guest is its own after another one's start has failed that was shut down before: ${then}`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    configureSecond(fixture);
    // Before libvirt 10.5 each of these ends may be a save.
    await fixture.start();
    await fixture.stop("-");
    await fixture.start(second);
    fixture.write(fixture.vda, "session");
    await fixture.stop("-", second);
    await fixture.good("prepare");
    await fixture.stop("-");
    if (then === "keep") {
      await fixture.type("keep guest --yes", true);
      assertEquals(fixture.disk("vda"), base);
      return;
    }
    await fixture.event("restore", "-", second);
    assertEquals((await fixture.event("prepare", "-", second)).said, []);
    assertEquals(fixture.read(fixture.vda), session);
  });
}

for (const refused of ["restore", "start"]) {
  Deno.test(`a saved guest is restored after another one's start has failed, also where a ${refused} of it was refused in between`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    configureSecond(fixture);
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop("-");
    await fixture.good("prepare", "-", second);
    if (refused === "restore") await fixture.event("restore");
    assertEquals((await fixture.event("prepare")).code, 1);
    await fixture.event("release", "-");
    // QEMU can't be started.
    await fixture.good("release", "-", second);
    await fixture.event("restore");
    assertEquals((await fixture.event("prepare")).said, []);
    assertEquals(fixture.read(fixture.vda), session);
  });
}

Deno.test("a saved guest that is not configured any more is not restored onto another guest's session", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  configureSecond(fixture, { "one-shot-commit": true });
  await fixture.start();
  await fixture.stop("-");
  await fixture.type("disable guest");
  await fixture.start(second);
  fixture.write(fixture.vda, "session");
  fixture.boot();
  await fixture.event("restore");
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.event("release", "failed");
  await fixture.start(second);
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a guest's disk can be taken out while another guest's session of the same image is to be committed", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  configureSecond(fixture, { "one-shot-commit": true });
  await fixture.start(second);
  fixture.busy.add(fixture.vda);
  assertEquals((await fixture.type("disable guest")).said, []);
  fixture.busy.clear();
  fixture.write(fixture.vda, "session");
  await fixture.stop("shutdown", second);
  assertEquals(fixture.disk("vda"), session);
});

for (const choice of ["--keep", "--discard"]) {
  Deno.test(`a guest is started once the other one's session, which a commit that was cut short takes along, is dealt with as its refusal says: ${choice}`, async () => {
    using fixture = new Fixture().disks({ vda: true, vdb: true }).define();
    const vdb = fixture.image("vdb");
    const other = { domain: "second", xml: domainXml([diskXml("vda", vdb)]) };
    configureSecond(fixture);
    await fixture.start();
    for (const image of [fixture.vda, vdb]) fixture.write(image, "session");
    let links = 0;
    await fixture.event("release", "shutdown", {
      perform: dyingAt((step) => step.kind === "link" && ++links === 2),
    });
    const refused = await fixture.event("prepare", "-", other);
    assertStringIncludes(refused.said.join(), "autorevert recover --keep|--discard guest vdb");
    await fixture.event("release", "failed", other);
    const { said } = await fixture.type(`recover ${choice} guest vdb --yes`);
    if (choice === "--discard") {
      assertEquals(said, [
        "error: guest: its session is part of the disk already, by a commit that was cut short",
        "hint: complete that, and take it back: autorevert recover guest; autorevert undo guest",
      ]);
      assertEquals((await fixture.type("recover guest")).said, []);
    } else assertEquals(said, []);
    assertEquals((await fixture.event("prepare", "-", other)).said, []);
    assertEquals([fixture.disk("vda"), fixture.read(vdb)], [session, { base: "vdb", session: "yes" }]);
  });
}

Deno.test("recover asks before it keeps a session on which a guest was saved", async () => {
  using fixture = await up(false);
  await fixture.stop("saved");
  await fixture.type("recover --keep guest");
  assertStringIncludes(fixture.asked.join(), "keep the session, on which a guest was saved to a file");
  assertEquals(fixture.state("vda").kind, "session");
});

for (const definition of ["as it was", "with another target", "gone"]) {
  Deno.test(`no end of another guest of the image merges the commits that a guest keeps, whose definition is ${definition}`, async () => {
    using fixture = await committed({ "keep-commits": 2 });
    configureSecond(fixture);
    fixture.define("second");
    if (definition === "as it was") fixture.define();
    if (definition === "with another target") {
      Deno.writeTextFileSync(
        `${fixture.settings.definedFolder}/guest.xml`,
        domainXml([diskXml("sda", fixture.vda)]),
      );
    }
    await fixture.start(second);
    await fixture.event("release", "shutdown", second);
    assertStringIncludes(
      (await fixture.type("merge second")).printed.join(),
      `the guest "guest" has "${fixture.vda}", too, and keeps its commits`,
    );
    const way = definition === "gone" ? "autorevert disable guest" : "--keep-commits 0";
    assertStringIncludes((await fixture.type("check second")).printed.join(), way);
    if (definition === "as it was") {
      await fixture.type("undo second --yes");
      assertEquals(fixture.disk("vda"), base);
    }
    if (definition === "with another target") {
      const { printed } = await fixture.type("disable second");
      assertStringIncludes(printed.join(), "its commits stay, as another guest keeps them");
    }
    if (definition === "gone") {
      assertEquals((await fixture.type("disable guest")).said, []);
      assertEquals((await fixture.type("merge second")).said, []);
      assertEquals([fixture.state("vda").kind, fixture.disk("vda")], ["plain", session]);
    }
  });
}

for (const wish of ["restore", "keep"]) {
  Deno.test(`what is said of another guest's start that was cut short leaves what is set aside: ${wish}`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    configureSecond(fixture, { "keep-session": true });
    fixture.define("second");
    await fixture.start(second);
    fixture.write(fixture.vda, "session");
    await fixture.stop(wish === "restore" ? "-" : "shutdown", second);
    await fixture.good("prepare");
    fixture.boot();
    const restore = async () => {
      await fixture.event("restore", "-", second);
      return await fixture.event("prepare", "-", second);
    };
    const said = wish === "restore"
      ? (await restore()).said
      : (await fixture.type("recover --discard second --yes")).said;
    if (wish === "restore") await fixture.event("release", "failed", second);
    assertEquals(said, [
      `error: second vda: "${fixture.vda}" is a session of the guest "guest", which never came up on it`,
      `hint: take it away, which leaves what is set aside as it is: autorevert recover --discard guest ${fixture.vda}`,
    ]);
    assertEquals((await fixture.type(["recover", "--discard", "guest", fixture.vda, "--yes"])).said, []);
    const { said: then } = wish === "restore" ? await restore() : await fixture.type("keep second --yes");
    assertEquals(then, []);
    assertEquals(wish === "restore" ? fixture.read(fixture.vda) : fixture.disk("vda"), session);
  });
}

Deno.test("the command that a refusal names ends the other guest's session of this image, whatever that guest's targets are now", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  const vdb = fixture.image("vdb");
  fixture.sources.delete("vdb");
  fixture.configure({ vda: false });
  fixture.define();
  const define = (sources: Readonly<Record<string, string>>) => {
    const xml = domainXml(Object.entries(sources).map(([target, file]) => diskXml(target, file)));
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/second.xml`, xml);
    const disks = Object.keys(sources).map((target) => ({ target, "one-shot-commit": true }));
    Deno.writeTextFileSync(`${fixture.config}/second.json`, JSON.stringify({ disks }));
    return { ...second, xml };
  };
  await fixture.start(define({ vda: fixture.vda, vdb }));
  for (const image of [fixture.vda, vdb]) fixture.write(image, "session");
  fixture.boot();
  // virsh edit: the disks have each other's targets.
  define({ vda: vdb, vdb: fixture.vda });
  const { said } = await fixture.event("prepare");
  await fixture.event("release", "failed");
  const end = `autorevert recover --keep|--discard second ${fixture.vda}`;
  assertEquals(said.at(-1), `hint: start that guest and end it; or: ${end}`);
  assertEquals((await fixture.type(["recover", "--discard", "second", fixture.vda, "--yes"])).said, []);
  assertEquals([fixture.disk("vda"), fixture.read(vdb)], [base, { base: "vdb", session: "yes" }]);
});

Deno.test("a commit that another guest of the image has cut short is finished with that one's flag, also by a guest that was saved on the image before", async () => {
  using fixture = new Fixture().disks({ vda: false });
  configureSecond(fixture, { "one-shot-commit": true });
  await fixture.start();
  // Before libvirt 10.5, a save to a file.
  await fixture.stop("-");
  await afterClockTick(20);
  for (const operation of ["prepare", "started"]) await fixture.event(operation, "-", second);
  fixture.write(fixture.vda, "one");
  await fixture.event("release", "shutdown", { ...second, perform: dyingAt("clear") });
  assertEquals(fixture.state("vda").kind, "committing");
  fixture.configure({ vda: true }, LATER);
  const { code } = await fixture.event("prepare");
  assertEquals([code, fixture.flags()], [1, { vda: true }]);
  await fixture.event("release", "failed");
  await fixture.start();
  fixture.write(fixture.vda, "two");
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { ...base, one: "yes", two: "yes" });
  const { disks: [{ "one-shot-commit": flag }] } = JSON.parse(
    Deno.readTextFileSync(`${fixture.config}/second.json`),
  );
  assertEquals([flag, fixture.flags()], [false, { vda: false }]);
});
