/** Disks that the configuration lists no longer. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { readRecords } from "../lib/host/session_records.ts";
import { Fixture, LATER } from "./fixture.ts";
import { base, up } from "./running_guest.ts";

Deno.test("a disk that is no longer listed is forgotten at the next start, whatever its session was", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  fixture.configure({ vda: false });
  fixture.booted = LATER;
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file", "vdb.img"]);
  assertEquals(readRecords(fixture.note).map(({ target }) => target), ["vda"]);
});

Deno.test("a disk that is no longer listed loses the session that was set aside", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  await fixture.stop("-");
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file", "vdb.img"]);
});

Deno.test("a disk that is no longer listed, and whose place another file has taken, keeps the session that was set aside", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  await fixture.stop("-");
  fixture.configure({ vda: false });
  fixture.sources.set("vdb", `${fixture.images}/snapshot.img`);
  await fixture.start();
  assertEquals(fixture.files().filter((name) => name.startsWith("vdb")), [
    "vdb.img",
    "vdb.img.autorevert-ended",
    "vdb.img.backing_file",
  ]);
});

Deno.test("a disk that is no longer listed keeps its commits, and nothing is made beside them", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 1 };
  fixture.disks({ vda: false, vdb: true });
  await fixture.start();
  await fixture.stop();
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(fixture.files().filter((name) => name.startsWith("vdb")), [
    "vdb.img",
    "vdb.img.backing_file",
    "vdb.img.backing_file.1",
  ]);
});

Deno.test("a guest without a configuration is left alone once it is up, and nothing of it is noted", async () => {
  using fixture = new Fixture().disks({ vda: false });
  await fixture.start();
  await fixture.stop("-");
  Deno.removeSync(fixture.configFile);
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img"]);
  assertEquals(fixture.files(fixture.config).filter((name) => /session|starting/.test(name)), []);
});

Deno.test("a session that died on the image which its target had before is not kept by the flag of the one that it has now", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const other = `${fixture.images}/other.img`;
  fixture.save(other, null, { other: "base" });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.booted = LATER;
  fixture.sources.set("vda", other); // virsh edit
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.files().filter((name) => name.includes("autorevert")), []);
  fixture.sources.set("vda", fixture.vda);
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { base: "vda" });
});

for (const command of ["undo guest vda --yes", "recover guest vda --keep", "recover guest --discard --yes"]) {
  Deno.test(`beside such a session, the one that the target has now can be dealt with: ${command}`, async () => {
    using fixture = new Fixture().disks({ vda: false });
    fixture.keys = { "keep-commits": 2 };
    fixture.configure({ vda: false });
    const other = `${fixture.images}/other.img`;
    fixture.save(other, null, { other: "base" });
    await fixture.start();
    fixture.write(fixture.vda, "session");
    fixture.booted = LATER;
    fixture.sources.set("vda", other);
    fixture.define();
    fixture.configure({ vda: true });
    await fixture.start();
    fixture.write(other, "session");
    if (command.startsWith("undo")) await fixture.stop();
    else fixture.booted = new Date(LATER.getTime() + 60_000);
    assertEquals((await fixture.type(command)).said, []);
    assertEquals(fixture.read(other).session, command.includes("keep") ? "yes" : undefined);
    assertEquals(fixture.read(fixture.vda).session, "yes");
  });
}

for (const end of ["crash", "power cut", "managed save that is dropped"]) {
  Deno.test(`a flagged session is there after its target had another image for one session: ${end}`, async () => {
    using fixture = new Fixture().disks({ vda: false });
    const other = `${fixture.images}/other.img`;
    fixture.save(other, null, { other: "base" });
    await fixture.start();
    fixture.write(fixture.vda, "session");
    fixture.configure({ vda: true });
    if (end === "crash") await fixture.stop("crashed");
    if (end.startsWith("managed save")) {
      Deno.writeTextFileSync(fixture.managedSave, "");
      await fixture.stop("saved");
      Deno.removeSync(fixture.managedSave);
    }
    fixture.sources.set("vda", other); // virsh edit
    await fixture.start();
    await fixture.stop();
    fixture.sources.set("vda", fixture.vda);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), { base: "vda", session: "yes" });
  });
}

Deno.test("a session whose target had another image since its flag was set is set aside, where nobody can tell for which it was", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const other = `${fixture.images}/other.img`;
  fixture.save(other, null, { other: "base" });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.configure({ vda: true }, LATER);
  fixture.sources.set("vda", other);
  await fixture.start();
  await fixture.stop();
  fixture.sources.set("vda", fixture.vda);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { base: "vda" });
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), { base: "vda", session: "yes" });
});

Deno.test("the session of a guest that was saved to a file is set aside after its target had another image for one session", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const other = `${fixture.images}/other.img`;
  fixture.save(other, null, { other: "base" });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop("saved");
  fixture.sources.set("vda", other);
  await fixture.start();
  await fixture.stop();
  fixture.sources.set("vda", fixture.vda);
  await fixture.start();
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), { base: "vda", session: "yes" });
});

for (const state of ["flagged", "held by a crash"]) {
  Deno.test(`the session of a disk that is listed again by enable is not thrown away: ${state}`, async () => {
    using fixture = new Fixture().disks({ vda: state === "flagged" });
    fixture.define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    if (state !== "flagged") {
      fixture.configure({ vda: true });
      await fixture.stop("crashed");
    }
    Deno.removeSync(fixture.configFile);
    if (state === "flagged") await fixture.stop();
    const { said } = await fixture.type("enable guest vda");
    if (state === "flagged") {
      assertEquals([said, fixture.flags()], [[], { vda: true }]);
      await fixture.start();
      assertEquals(fixture.read(fixture.vda).session, "yes");
    } else {
      assertEquals(said, [
        "error: guest vda: its session may be to be kept, and nobody can tell any more",
        "hint: end it first: autorevert recover --keep|--discard guest vda",
      ]);
    }
  });
}

Deno.test("a session whose promise was taken back goes at the next start without its configuration, as disable says", async () => {
  using fixture = await up(false);
  fixture.define();
  fixture.boot();
  for (const command of ["commit guest", "commit guest --cancel", "disable guest"]) {
    assertEquals((await fixture.type(command)).said, []);
  }
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("a guest that was saved to a file is not started without its configuration, until its session is ended as disable says", async () => {
  using fixture = await up(false);
  fixture.define();
  await fixture.stop("saved");
  const { printed } = await fixture.type("disable guest");
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.stop("failed");
  const [, command] = /to end it: autorevert (.*)$/.exec(printed.join("\n"))!;
  assertEquals((await fixture.type(`${command!.replace("--keep|", "")} --yes`)).said, []);
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("undo takes a disk that is no longer listed only where it is named, and asks where it was written to since", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  fixture.disks({ vda: true, vdb: true }).define();
  await fixture.start();
  await fixture.stop();
  fixture.configure({ vdb: false });
  fixture.write(fixture.vda, "without a session");
  Deno.utimeSync(fixture.vda, LATER, LATER);
  assertEquals((await fixture.type("undo guest", true)).printed, [
    "guest vdb: the last commit is undone: the next start begins with the disk as it was before",
  ]);
  assertEquals((await fixture.type("undo guest", true)).said, [
    "error: guest: there is no commit that can be undone",
    "hint: a disk that isn't configured any more has to be named: autorevert undo guest vda",
  ]);
  assertEquals(fixture.disk("vda"), { base: "vda", "without a session": "yes" });
  await fixture.type("undo guest vda", false);
  assertStringIncludes(fixture.asked.at(-1)!, "the disk was written to since then, and that goes with it");
});

Deno.test("nothing is noted any more of a disk that was detached, deleted and disabled", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
  await fixture.start();
  fixture.boot();
  fixture.sources.delete("vdb");
  fixture.define();
  for (const name of fixture.files()) {
    if (name.startsWith("vdb")) Deno.removeSync(`${fixture.images}/${name}`);
  }
  const { said } = await fixture.type("disable guest vdb");
  assertEquals(said, []);
  await fixture.start();
  await fixture.stop();
  const status = await fixture.type("status guest");
  const recover = await fixture.type("recover --discard guest vdb --yes");
  const byPath = await fixture.type(`recover --discard guest ${fixture.image("vdb")} --yes`);
  const left = fixture.files(fixture.config).filter((name) => name.endsWith(".session"));
  assertEquals(left, [], JSON.stringify([status.printed, recover.said, byPath.said]));
});

Deno.test("a disk that was given to another guest is not thrown away by what the hints say", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
  await fixture.start();
  fixture.run();
  fixture.write(fixture.image("vdb"), "session");
  // detach-disk and attach-disk, with --live and --config: another guest has it now, and writes to it.
  const other = fixture.xml().replace(/<disk(?:(?!<disk)[\s\S])*vda[\s\S]*?<\/disk>/, "").replace(
    "<name>guest",
    "<name>other",
  );
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/other.xml`, other);
  fixture.sources.delete("vdb");
  fixture.define();
  fixture.halt();
  fixture.busy.add(fixture.image("vdb"));
  fixture.write(fixture.image("vdb"), "other's");
  await fixture.event("release", "shutdown");
  fixture.busy.clear();
  const said: string[] = [];
  for (let tries = 0; tries < 6; tries++) {
    const { code, said: hints } = await fixture.event("prepare");
    if (code === 0) break;
    await fixture.event("release", "failed");
    let text = hints.join("\n");
    for (let times = 0; times < 4; times++) {
      said.push(text);
      const command = /autorevert ((?:disable|commit|recover) [^;"\n|]+)/.exec(text)?.[1];
      if (command === undefined) break;
      const result = await fixture.type(`${command.trim()}`);
      text = result.said.join("\n");
      said.push(...result.printed);
    }
  }
  assertEquals(
    fixture.read(fixture.image("vdb")),
    { base: "vdb", session: "yes", "other's": "yes" },
    said.join("\n"),
  );
});

Deno.test("no restore comes up where a start without its configuration has thrown away what the guest was saved on", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  await fixture.good("release", "saved");
  // A start in place of the saved guest dies before it is up.
  await fixture.good("prepare");
  fixture.boot();
  const { printed } = await fixture.type("disable guest");
  assertStringIncludes(printed.join(), "the session that was set aside goes at its next start");
  await fixture.good("prepare");
  await fixture.good("release", "failed");
  await fixture.good("restore");
  assertEquals((await fixture.event("prepare")).code, 1);
});
