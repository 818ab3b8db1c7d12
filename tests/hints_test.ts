import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { poolTest } from "./pool.ts";
import { diskXml, domainXml } from "./xml.ts";

/** Types a part of the hint as it stands. */
function type(hint: string, after: string): void {
  const command = hint.slice(hint.indexOf(after) + after.length).split("; ")[0]!;
  const { success, stderr } = new Deno.Command("sh", { args: ["-c", command] }).outputSync();
  assert(success, `${command}: ${new TextDecoder().decode(stderr)}`);
}

/** Somebody's own overlay over so many layers, at a start that is refused; its hint. */
async function refusedOver(
  fixture: Fixture,
  layers: number,
  own: (fixture: Fixture, top: string) => void,
): Promise<string> {
  fixture.disks({ vda: false });
  const image = fixture.vda;
  let top = `${image}.backing_file`;
  Deno.renameSync(image, top);
  for (let number = 1; number < layers; number++) {
    fixture.save(`${image}.backing_file.${number}`, top, { [`layer ${number}`]: "yes" });
    top = `${image}.backing_file.${number}`;
  }
  own(fixture, top);
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  await fixture.good("release", "failed");
  return said[1]!;
}

/** The guest starts, finds this, and leaves one file. */
async function checkLife(fixture: Fixture, content: Record<string, string>): Promise<void> {
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), content);
  fixture.write(fixture.vda, "junk");
  await fixture.stop();
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.disk("vda"), content);
  assertEquals(fixture.files().filter((name) => name !== "vda.img.old"), ["vda.img"]);
}

const overlay = (fixture: Fixture, top: string) => fixture.save(fixture.vda, top, { own: "yes" });
const stranger = (fixture: Fixture) => fixture.save(fixture.vda, null, { own: "yes" });

/** A disk of so many layers, each but the lowest one a commit that is kept. */
async function withLayers(layers: number): Promise<Fixture> {
  const fixture = new Fixture().disks({ vda: false });
  fixture.keys = { "keep-commits": layers };
  for (let number = 1; number < layers; number++) {
    fixture.configure({ vda: true });
    await fixture.start();
    fixture.write(fixture.vda, `layer ${number}`);
    await fixture.stop();
  }
  return fixture;
}

for (const layers of [1, 2, 3]) {
  const below = {
    base: "vda",
    ...Object.fromEntries(Array.from({ length: layers - 1 }, (_, n) => [`layer ${n + 1}`, "yes"])),
  };

  Deno.test(`the hint's command throws an own overlay over ${layers} away`, async () => {
    using fixture = new Fixture();
    type(await refusedOver(fixture, layers, overlay), "away: ");
    await checkLife(fixture, below);
  });

  Deno.test(`the hint's command keeps an own overlay over ${layers}`, async () => {
    using fixture = new Fixture();
    type(await refusedOver(fixture, layers, overlay), "part of the disk: ");
    await checkLife(fixture, { ...below, own: "yes" });
  });

  Deno.test(`the hint's command throws a stranger in place of a session over ${layers} away`, async () => {
    using fixture = new Fixture();
    type(await refusedOver(fixture, layers, stranger), "away: ");
    await checkLife(fixture, below);
  });

  Deno.test(`the hint's command makes a stranger in place of a session over ${layers} the disk`, async () => {
    using fixture = new Fixture();
    type(await refusedOver(fixture, layers, stranger), "move the layers away: ");
    await checkLife(fixture, { own: "yes" });
    assertEquals(fixture.files(`${fixture.vda}.old`).length, layers);
  });
}

for (const layers of [2, 3]) {
  Deno.test(`the hint's command gives a base over which ${layers - 1} lie its name back`, async () => {
    using fixture = new Fixture();
    const hint = await refusedOver(fixture, layers, (fixture) => {
      const image = fixture.vda;
      Deno.renameSync(`${image}.backing_file`, image);
    });
    type(hint, "is the missing file: ");
    const content = { base: "vda", "layer 1": "yes", ...layers === 3 && { "layer 2": "yes" } };
    await checkLife(fixture, content);
  });
}

for (const layers of [1, 2, 3]) {
  Deno.test(`the hint's command mends a disk of ${layers} whose files were copied without their links`, async () => {
    using fixture = await withLayers(layers);
    const image = fixture.vda;
    fixture.keys = {};
    fixture.configure({ vda: false });
    await fixture.start();
    await fixture.good("release", "-", { mergeDies: true });
    const disk = fixture.disk("vda");
    Deno.copyFileSync(image, `${image}.copy`);
    Deno.renameSync(`${image}.copy`, image);

    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    await fixture.good("release", "failed");
    type(said[1]!, layers === 1 ? "away: " : "if it is one: ");
    await checkLife(fixture, disk);
  });
}

for (const [layers, into] of [[1, 0], [2, 1], [2, 0], [3, 1]] as const) {
  Deno.test(`the hint's command mends a disk of ${layers} after a blockcommit into layer ${into}`, async () => {
    using fixture = await withLayers(layers);
    const image = fixture.vda;
    fixture.configure({ vda: false });
    await fixture.start();
    fixture.write(image, "committed");
    const content = fixture.read(image);
    // The guest runs on that layer now, and it has all that was above.
    const layer = `${image}.backing_file${into === 0 ? "" : `.${into}`}`;
    for (const key of Object.keys(content)) fixture.write(layer, key, content[key]);
    fixture.sources.set("vda", layer);
    await fixture.stop();
    const { said } = await fixture.event("prepare");
    await fixture.good("release", "failed");
    type(said[1]!.replace(/, then name .*/, ""), "shut off, ");
    fixture.sources.set("vda", image);
    fixture.keys = {};
    fixture.configure({ vda: false });
    await checkLife(fixture, content);
  });
}

for (const commits of [0, 1]) {
  Deno.test(`a file that comes under a layer's name while the guest runs doesn't become the disk, and the hint's command mends it; commits: ${commits}`, async () => {
    using fixture = await withLayers(commits + 1);
    const image = fixture.vda;
    fixture.configure({ vda: false });
    await fixture.start();
    const below = fixture.read(image);
    fixture.write(image, "session");
    const copy = `${image}.backing_file.20261101`;
    fixture.save(`${fixture.root}/copy`, null, { older: "yes" });
    Deno.utimeSync(`${fixture.root}/copy`, LONG_AGO, LONG_AGO);
    Deno.renameSync(`${fixture.root}/copy`, copy);
    await fixture.stop();
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    await fixture.good("release", "failed");
    type(said[1]!, "as a copy: ");
    await fixture.start();
    assertEquals(fixture.read(image), below);
    assertEquals(fixture.read(`${copy}.away`), { older: "yes" });
  });
}

Deno.test("the hint's command for a broken note is safe where no disk has layers", async () => {
  using fixture = new Fixture().disks({ vda: false });
  Deno.writeTextFileSync(fixture.note, "[");
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  type(said[1]!, "move it away: ");
  await checkLife(fixture, { base: "vda" });
});

Deno.test("a flagged session that stands on nothing becomes the disk as the message says", async () => {
  using fixture = new Fixture().disks({ vda: true });
  await fixture.start();
  // virsh blockpull
  fixture.save(fixture.vda, null, { base: "vda", session: "yes" });
  fixture.booted = LATER;
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  await fixture.event("release", "failed");
  type(said[1]!, "move the layers away: ");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { base: "vda", session: "yes" });
});

Deno.test("the hint that makes a flagged session the disk after a blockpull says what becomes of its flag", async () => {
  using fixture = new Fixture().disks({ vda: true });
  await fixture.start();
  fixture.save(fixture.vda, null, { base: "vda", session: "yes" });
  await fixture.stop("crashed");
  const { said } = await fixture.event("prepare");
  assertStringIncludes(
    said[1]!,
    "vda.img.old; its flag would be for the next session then: autorevert commit --cancel guest vda",
  );
});

Deno.test("status does not call a flagged guest that was saved to a file one that died", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  await fixture.stop("saved");
  assertStringIncludes((await fixture.type("status guest")).printed.join(), "saved to a file, or migrated");
});

Deno.test("a restore that came to nothing before its prepare is told, with what starts the guest without it", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop("saved");
  await fixture.event("restore");
  const rm = `rm ${fixture.config}/guest.starting`;
  for (const words of ["status guest --json", "recover guest --discard --yes"]) {
    const { code, printed, said } = await fixture.type(words);
    assertEquals(code, 1);
    assertStringIncludes([...printed, ...said].join("\n"), "a restore of the guest was announced");
  }
  assertStringIncludes((await fixture.type("recover guest --discard --yes")).said.join("\n"), rm);
  Deno.removeSync(`${fixture.config}/guest.starting`);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { base: "vda" });
});

Deno.test("of a disk whose <backingStore> is left over the hint doesn't say to commit its own session by hand", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  fixture.boot();
  // After an external snapshot: its source is named again, but what stands below is not the snapshot's any more.
  const inside =
    `<backingStore type="file"><format type="qcow2"/><source file="${fixture.vda}"/></backingStore>`;
  const { code, said } = await fixture.event("prepare", "-", {
    xml: domainXml([diskXml("vda", fixture.vda, { inside })]),
  });
  assertEquals([code, said.filter((line) => line.includes("qemu-img commit"))], [1, []]);
});

Deno.test("the hint for an image that was moved, with a symbolic link in its place, has the moved file be the disk", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  const moved = `${fixture.root}/moved.img`;
  await fixture.start();
  await fixture.stop("-");
  // To a larger file system, where it was resized.
  Deno.copyFileSync(fixture.vda, moved);
  Deno.removeSync(fixture.vda);
  Deno.symlinkSync(moved, fixture.vda);
  fixture.write(moved, "resized");
  fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, fixture.root] };
  for (const way of [/move it back: (mv .*)$/, /to make it the disk, move the layers away: (mkdir .*)$/]) {
    const { said } = await fixture.event("prepare");
    const [, command] = way.exec(said.join("\n"))!;
    assert(new Deno.Command("sh", { args: ["-c", command!] }).outputSync().success);
    await fixture.event("release", "-");
  }
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { base: "vda", resized: "yes" });
});

Deno.test("the hint for a session that was moved, with a symbolic link in its place, brings it back", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.boot();
  const moved = `${fixture.root}/moved.img`;
  Deno.renameSync(fixture.vda, moved);
  Deno.symlinkSync(moved, fixture.vda);
  fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, fixture.root] };
  const { said } = await fixture.event("prepare");
  assertEquals(
    said.at(-1),
    `hint: what it belongs with lies here still; move it back: mv -f ${moved} ${fixture.vda}`,
  );
  await fixture.event("release", "failed");
  Deno.renameSync(moved, fixture.vda);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { base: "vda", session: "yes" });
});

Deno.test("a session that is to be committed comes back by the hint about a file that was put in its place", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.boot();
  fixture.save(`${fixture.root}/backup.img`, null, { base: "backup" });
  Deno.renameSync(`${fixture.root}/backup.img`, fixture.vda);
  const { said } = await fixture.event("prepare");
  await fixture.event("release", "failed");
  const [, command] = /that is to be committed: (mv [^;]*); to throw/.exec(said.join("\n"))!;
  assert(new Deno.Command("sh", { args: ["-c", command!] }).outputSync().success);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), { base: "vda", session: "yes" });
});

Deno.test("a session that is set aside can be kept after its image was moved, or the message says how", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-session": true };
  fixture.disks({ vda: false }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop();
  const moved = `${fixture.root}/moved`;
  Deno.renameSync(fixture.images, moved);
  Deno.mkdirSync(fixture.images);
  fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, moved] };
  fixture.sources.set("vda", `${moved}/vda.img`);
  fixture.define();
  const { code, said } = await fixture.type("keep guest --yes");
  if (code !== 0) assertStringIncludes(said.join("\n"), "qemu-img rebase -u");
});

Deno.test("the flag of a session that a blockcommit has brought into the disk doesn't keep the next one, after what the message says", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  const layer = `${fixture.vda}.backing_file`;
  await fixture.start();
  fixture.write(fixture.vda, "session");
  // virsh blockcommit --active --pivot
  fixture.write(layer, "session");
  fixture.sources.set("vda", layer);
  fixture.define();
  await fixture.stop();
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  await fixture.event("release", "failed");
  const commands = /shut off, (.*), then name/.exec(said.join("\n"))?.[1] ?? "";
  const { success } = await new Deno.Command("sh", { args: ["-ec", commands] }).output();
  assertEquals([success, commands !== ""], [true, true], said.join("\n"));
  fixture.sources.set("vda", fixture.vda);
  fixture.define();
  if (/one-shot-commit|--cancel/.test(said.join("\n"))) await fixture.type("commit --cancel guest");
  await fixture.start();
  fixture.write(fixture.vda, "junk");
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" }, said.join("\n"));
});

poolTest(
  "what lies in a seat's place is moved away as often as something lies there, and replaces nothing",
  1,
  async (pool, fixture) => {
    const image = pool.image("seat1");
    const contents = ["one", "two", "three"];
    for (const own of contents) {
      fixture.save(image, null, { own });
      const { code, said } = await pool.event("seat1", "prepare");
      assertEquals(code, 1);
      await pool.event("seat1", "release", "failed");
      type(said[1]!, "move it away: ");
    }
    const moved = fixture.files().filter((name) => name.startsWith("seat1.img.old"));
    assertEquals(moved.map((name) => fixture.read(`${fixture.images}/${name}`)["own"]), contents);
    await pool.start("seat1");
  },
);

poolTest(
  "the note of a seat whose guest was renamed is moved to its new name, unless that has one",
  2,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    const xml = pool.xml("seat1");
    const note = (seat: string) => `${fixture.config}/${seat}.seats`;
    Deno.copyFileSync(`${fixture.config}/seat1.json`, `${fixture.config}/seat9.json`);
    const refused = async () => (await pool.event("seat9", "prepare", "-", { xml })).said[1]!;
    await pool.start("seat2");
    Deno.copyFileSync(note("seat2"), note("seat9"));
    assert(!(await refused()).includes("mv "));
    Deno.removeSync(note("seat9"));
    await pool.event("seat9", "release", "failed", { xml });
    const hint = await refused();
    await pool.event("seat9", "release", "failed", { xml });
    type(hint, "if it was renamed: ");
    await pool.event("seat9", "restore", "-", { xml });
    assertEquals((await pool.event("seat9", "prepare", "-", { xml })).said, []);
    assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
  },
);

Deno.test("the hint that makes a file the disk works again where it was typed before", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  for (let time = 0; time < 2; time++) {
    fixture.booted = LONG_AGO;
    fixture.configure({ vda: true });
    await fixture.start();
    // A blockpull, then a power cut.
    const pulled = { base: "vda", session: `${time}` };
    fixture.save(fixture.vda, null, pulled);
    fixture.boot();
    const { said } = await fixture.event("prepare");
    await fixture.event("release", "failed");
    const [, command] = /move the layers away: ([^;]*)/.exec(said[1]!)!;
    assertEquals((await new Deno.Command("sh", { args: ["-c", command!] }).output()).code, 0);
    assertEquals(fixture.disk("vda"), pulled);
  }
});
