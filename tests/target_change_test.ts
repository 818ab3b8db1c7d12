/** Disks whose targets change between two sessions, as `virsh edit` does: a flag names a target, but is meant for a session. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { dyingAt } from "./fault.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";
import { Fixture, LATER } from "./fixture.ts";

/** Two disks, of which the first may be flagged, in a session in which both were written to. */
async function bothUp(flag: boolean): Promise<{ fixture: Fixture; first: string; second: string }> {
  const fixture = new Fixture().disks({ vda: flag, vdb: false });
  fixture.define();
  await fixture.start();
  const [first, second] = [fixture.vda, fixture.image("vdb")];
  for (const image of [first, second]) fixture.write(image, "session");
  return { fixture, first, second };
}

/** The domain names these images now. */
function edit(fixture: Fixture, sources: Readonly<Record<string, string>>): void {
  fixture.sources.clear();
  for (const [target, image] of Object.entries(sources)) fixture.sources.set(target, image);
  fixture.define();
}

function hasSession(fixture: Fixture, image: string): boolean {
  return fixture.read(image).session === "yes";
}

for (const isCrash of [true, false]) {
  for (const isMarked of [true, false]) {
    for (const isMoved of [true, false]) {
      const name = `${isMarked ? "begun with its flag" : "flagged by an editor"}, after ${
        isCrash ? "a crash" : "a power cut"
      }, ${isMoved ? "the flag goes with it" : "the flag stays"}`;
      Deno.test(`a guest with a session that may be to be kept is not started where targets have changed: ${name}`, async () => {
        const { fixture, first, second } = await bothUp(isMarked);
        using _fixture = fixture;
        fixture.configure({ vda: true, vdb: false });
        if (isCrash) await fixture.stop("crashed");
        edit(fixture, { vda: second, vdb: first });
        if (isMoved) fixture.configure({ vda: false, vdb: true }, new Date());
        const { said } = await fixture.event("prepare");
        assertEquals(said.length, 2);
        assertEquals(said[0]?.includes("is a session that began as"), true);
        await fixture.stop("failed");
        // The hints.
        for (const target of isCrash ? ["vdb"] : ["vda", "vdb"]) {
          const way = target === "vdb" ? "--keep" : "--discard";
          assertEquals((await fixture.type(`recover ${way} guest ${target} --yes`)).said, []);
        }
        await fixture.start();
        fixture.write(second, "next");
        await fixture.stop();
        assertEquals([hasSession(fixture, first), fixture.read(second)], [true, { base: "vdb" }]);
      });
    }
  }
}

for (const isCrash of [false, true]) {
  for (const way of ["--keep", "--discard"]) {
    Deno.test(`a session flagged by an editor is not thrown away where its disk has a target that is not listed, and the hint ends it: ${way}, ${isCrash ? "a crash" : "a power cut"}`, async () => {
      using fixture = new Fixture().disks({ vda: false });
      const image = fixture.vda;
      const other = `${fixture.images}/other.img`;
      fixture.save(other, null, { base: "other" });
      await fixture.start();
      fixture.write(image, "session");
      fixture.configure({ vda: true });
      if (isCrash) await fixture.stop("crashed");
      edit(fixture, { vda: other, vdb: image });
      const { printed } = await fixture.type("check guest");
      assertStringIncludes(printed.join(), "is a session that may be to be kept");
      const { said } = await fixture.event("prepare");
      assertEquals(hasSession(fixture, image), true);
      await fixture.stop("failed");
      const [, command] = /end the session: autorevert (recover .*)$/.exec(said[1]!)!;
      const chosen = command!.replace("--keep|--discard", way);
      assertEquals((await fixture.type(`${chosen} --yes`)).said, []);
      assertEquals(hasSession(fixture, image), way === "--keep");
      await fixture.start();
    });
  }
}

for (const isListed of [false, true]) {
  Deno.test(`a commit that was cut short uses up the flag of the target that it had, ${isListed ? "which is another disk's now" : "listed no more"}`, async () => {
    const { fixture, first, second } = await bothUp(true);
    using _fixture = fixture;
    await fixture.event("stopped", "shutdown");
    await fixture.event("release", "shutdown", { perform: dyingAt("clear") });
    edit(fixture, isListed ? { vda: second, vdb: first } : { sda: first, vdb: second });
    if (!isListed) fixture.configure({ sda: true, vdb: false }, new Date());
    await fixture.start();
    for (const image of [first, second]) fixture.write(image, "next");
    await fixture.stop();
    assertEquals(fixture.read(first), { base: "vda", session: "yes", ...!isListed && { next: "yes" } });
    assertEquals(fixture.read(second), { base: "vdb" });
  });
}

Deno.test("a session that an end held in doubt is not kept by a flag that is set for another image under its target", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const [image, other] = [fixture.vda, `${fixture.images}/other.img`];
  fixture.save(other, null, { base: "other" });
  await fixture.start();
  fixture.write(image, "session");
  const text = Deno.readTextFileSync(fixture.configFile);
  fixture.configureText(`${text}}`); // an editor's slip
  await fixture.event("stopped", "shutdown");
  await fixture.event("release", "shutdown");
  fixture.configureText(text);
  edit(fixture, { vda: other });
  assertEquals((await fixture.type("commit guest vda")).code, 0);
  await fixture.start();
  await fixture.stop();
  edit(fixture, { vda: image });
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { base: "vda" });
});

Deno.test("a disk that is taken out while its guest runs is left alone after that, though another one is listed meanwhile", async () => {
  const { fixture } = await bothUp(false);
  using _fixture = fixture;
  fixture.configure({ vda: false });
  fixture.booted = LATER;
  await fixture.start();
  fixture.run();
  for (const command of ["disable guest vda", "enable guest vdb"]) {
    assertEquals((await fixture.type(command)).said, []);
  }
  fixture.halt();
  await fixture.stop();
  await fixture.good("prepare");
  assertEquals(fixture.files().filter((name) => name.startsWith("vda")), ["vda.img"]);
});

Deno.test("commit --cancel is for the session that runs, also where the definition has another image for its target", async () => {
  const { fixture, first, second } = await bothUp(true);
  using _fixture = fixture;
  await fixture.stop("saved");
  await fixture.event("restore");
  await fixture.start();
  fixture.run();
  edit(fixture, { vda: second, vdb: first });
  assertEquals((await fixture.type("commit --cancel guest")).said, []);
  edit(fixture, { vda: first, vdb: second });
  fixture.halt();
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { base: "vda" });
});

for (const end of ["crashed", "saved"]) {
  Deno.test(`firmware of a session that may be to be kept is not thrown away where its disk has another image: ${end}`, async () => {
    using fixture = new FirmwareFixture();
    fixture.disks({ vda: end === "crashed" });
    const other = `${fixture.images}/other.img`;
    fixture.save(other, null, { base: "other" });
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop(end);
    edit(fixture, { vda: other });
    const { said } = await fixture.event("prepare");
    assertEquals(said, [
      `error: guest nvram: it belongs to the session "${fixture.vda}", whose disk the domain names no more`,
      `hint: after an external snapshot, bring that back into the session: qemu-img commit -b ${fixture.vda} SNAPSHOT; ` +
      `then name that again: virsh edit guest; or end it: autorevert recover --keep|--discard guest ${fixture.vda}`,
    ]);
    await fixture.stop("failed");
    edit(fixture, { vda: fixture.vda });
    if (end === "saved") await fixture.event("restore");
    await fixture.start();
    assertEquals(hasSession(fixture, fixture.vda), true); // and the firmware's
  });
}

for (const command of ["commit", "commit --cancel"]) {
  Deno.test(`${command} does not change the flag of a session whose disk has another target since`, async () => {
    const { fixture, first, second } = await bothUp(true);
    using _fixture = fixture;
    await fixture.stop("crashed");
    edit(fixture, { vda: second, vdb: first });
    assertEquals((await fixture.type(`${command} guest vda`)).said, [
      `error: guest vda: its flag is that of the session "${first}", whose disk is vdb now`,
      "hint: start the guest first, or end that session: autorevert recover --keep|--discard guest vdb",
    ]);
    assertEquals(fixture.flags(), { vda: true, vdb: false });
  });
}

for (const command of ["undo", "keep"]) {
  Deno.test(`${command} TARGET says what to do where that was another disk's at the last start`, async () => {
    using fixture = new Fixture().disks({ vda: true, vdb: true });
    fixture.keys = command === "undo" ? { "keep-commits": 1 } : { "keep-session": true };
    fixture.configure({ vda: command === "undo", vdb: command === "undo" });
    await fixture.start();
    await fixture.stop();
    edit(fixture, { vda: fixture.image("vdb"), vdb: fixture.vda });
    const { said } = await fixture.type(`${command} guest vda --yes`);
    assertEquals(
      said[0],
      `error: guest vda: the disk that was vda, "${fixture.vda}", has another target now`,
    );
  });
}

for (const reason of ["shutdown", "-"]) {
  Deno.test(`an image that was renamed leaves no disk behind that needs attention: ${reason}`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-session": true };
    fixture.disks({ vda: false }).define();
    await fixture.start();
    await fixture.stop(reason);
    for (const name of fixture.files()) {
      Deno.renameSync(`${fixture.images}/${name}`, `${fixture.images}/${name.replace("vda.img", "new.img")}`);
    }
    fixture.sources.set("vda", `${fixture.images}/new.img`);
    fixture.define();
    await fixture.start();
    await fixture.stop(reason);
    assertEquals((await fixture.type("status guest")).code, 0);
  });
}

for (const named of ["sda", "vda"]) {
  Deno.test(`a session that is set aside can be kept after its disk got another target, as the messages say: keep guest ${named}`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-session": true };
    fixture.disks({ vda: false }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop();
    fixture.sources.delete("vda");
    fixture.sources.set("sda", fixture.vda);
    fixture.define();
    fixture.configure({ sda: false });
    const told: string[] = [];
    let words = `keep guest ${named}`;
    for (let tries = 0; tries < 4; tries++) {
      const { code, said } = await fixture.type(`${words} --yes`);
      told.push(words, ...said);
      if (code === 0) break;
      const next = /autorevert (keep guest[^;"]*)/.exec(said.join("\n"))?.[1]?.trim();
      if (said.join().includes("start the guest and shut it down first")) {
        await fixture.start();
        await fixture.event("release", "shutdown");
      }
      words = next ?? words;
    }
    assertEquals("session" in fixture.disk("vda"), true, told.join("\n"));
  });
}

Deno.test("a session that lacks its end is set aside also where the guest has had another image since", async () => {
  for (const isOther of [false, true]) {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    // QEMU and libvirtd die together: the guest may just have been saved.
    if (isOther) {
      fixture.save(fixture.image("new"), null, { base: "new" });
      fixture.sources.set("vda", fixture.image("new"));
      fixture.define();
      await fixture.start();
      await fixture.stop();
      fixture.sources.set("vda", fixture.vda);
      fixture.define();
    }
    await fixture.start();
    assertEquals(fixture.files().includes("vda.img.autorevert-ended"), true, `${isOther}`);
  }
});

Deno.test("what disable names ends the session of the disk that it speaks of, also where that had another target", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
  const [vda, vdb] = [fixture.image("vda"), fixture.image("vdb")];
  await fixture.start();
  await fixture.stop("saved");
  fixture.sources.set("vda", vdb).set("vdb", vda);
  fixture.define();
  const { printed } = await fixture.type("disable guest");
  assertStringIncludes(printed.join("\n"), `guest vda: its session stays for the guest that was saved on it`);
  for (const image of [vda, vdb]) {
    assertStringIncludes(printed.join("\n"), `autorevert recover --keep|--discard guest ${image}`);
  }
});
