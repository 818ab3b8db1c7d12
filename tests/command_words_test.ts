/** What commands say of disks and sessions is what is so, and what they pass over they say, too. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { exists, Fixture } from "./fixture.ts";
import { poolTest } from "./pool.ts";
import { TwoHosts } from "./two_hosts.ts";
import { diskXml, domainXml } from "./xml.ts";

/** The command that a hint names, as it stands, with one of its options. */
function named(said: readonly string[], option = ""): string[] {
  const [, words] = /autorevert (.*?)(?:; |$)/.exec(said.find((line) => line.startsWith("hint: ")) ?? "") ??
    [];
  assert(words !== undefined, said.join("\n"));
  return words.replace("--keep|--discard", option).split(" ");
}

for (
  const [words, flags, end] of [
    ["undo guest vda vdb --yes", { vda: true, vdb: false }, "shutdown"],
    ["keep guest vda vdb --yes", { vda: false, vdb: true }, "-"],
    ["recover --keep guest vda vdb --yes", { vda: true, vdb: false }, "crashed"],
  ] as const
) {
  Deno.test(`a disk that is named and has nothing of the kind is not passed over in silence: ${words}`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 2 };
    fixture.disks(flags).define();
    await fixture.start();
    await fixture.stop(end);
    const { code, printed, said } = await fixture.type(words);
    assert(code !== 0 || printed.join("\n").includes("vdb"), [...printed, ...said].join("\n"));
  });
}

poolTest(
  "a seat whose session died becomes a guest with a disk of its own, as the messages say",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    pool.powerCut();
    await fixture.type("disable seat1");
    // "it needs an image of its own before its next start"
    fixture.save(pool.image("seat1"), null, { base: "own" });
    const first = await fixture.type("enable seat1 vda");
    if (first.code !== 0) {
      const way = await fixture.type([...named(first.said), "--yes"]);
      assertEquals([way.code, way.said], [0, []], first.said.join("\n"));
      assertEquals((await fixture.type("enable seat1 vda")).said, []);
    }
    assertEquals(fixture.read(pool.image("seat1")), { base: "own" });
  },
);

poolTest(
  "enable of a seat tells that the master's own guest isn't configured, as check does",
  1,
  async (pool, fixture) => {
    Deno.removeSync(fixture.configFile);
    Deno.removeSync(`${fixture.config}/seat1.json`);
    const { code, printed, said } = await fixture.type(`enable seat1 vda --master ${pool.master}`);
    assert(
      code !== 0 || [...printed, ...said].join("\n").includes("autorevert enable guest vda"),
      printed.join("\n"),
    );
  },
);

Deno.test("undo says of a disk that has another target now what it does to it", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: true }).define();
  await fixture.start();
  await fixture.stop();
  // From virtio to SATA, in the domain and in the configuration.
  fixture.sources.delete("vda");
  fixture.sources.set("sda", fixture.vda);
  fixture.define();
  fixture.configure({ sda: false });
  const { printed } = await fixture.type("undo guest --yes");
  assertEquals(fixture.state("vda").kind, "layered");
  assert(!printed.join("\n").includes("sda: has no commit"), printed.join("\n"));
});

Deno.test("the log of a guest has no lines of one whose name begins with its name and a space", async () => {
  using fixture = new Fixture().disks({ vda: false });
  for (const domain of ["win 10", "win 10 test"]) {
    Deno.copyFileSync(fixture.configFile, `${fixture.config}/${domain}.json`);
    fixture.define(domain);
  }
  const line = (text: string) => `2026-11-23 02:14:49.000+0000: ${text}\n`;
  Deno.writeTextFileSync(fixture.settings.log, line("win 10 vda: own") + line("win 10 test vda: another's"));
  const { printed } = await fixture.type(["log", "win 10"]);
  assertEquals(printed.filter((line) => line.includes("another's")), []);
});

Deno.test("status on the host that a guest has left doesn't say that its session is committed, where it isn't", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  for (const host of [here, there]) host.define();
  await hosts.start(here);
  await hosts.migrate(here, there);
  await here.type("commit guest");
  const { printed } = await here.type("status guest");
  there.write(there.vda, "session");
  await hosts.stop(there);
  const isKept = "session" in here.disk("vda");
  assertEquals(printed.join("\n").includes("commit at its end"), isKept, printed.join("\n"));
});

Deno.test("recover --discard says that a flag stays which it can't clear", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "maintenance");
  await fixture.stop("crashed");
  // A slip in an editor.
  const text = Deno.readTextFileSync(fixture.configFile);
  fixture.configureText(text.replace(/\]\s*\}\s*$/, "],}"));
  const { code, printed, said } = await fixture.type("recover --discard guest vda --yes");
  fixture.configureText(text);
  await fixture.start();
  fixture.write(fixture.vda, "junk");
  await fixture.stop();
  const isTold = code !== 0 || /flag|configuration/.test([...printed, ...said].join("\n"));
  assert(isTold || !("junk" in fixture.disk("vda")), printed.join("\n"));
});

Deno.test("merge doesn't say that nothing is left of a disk of which nothing can be seen", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  await fixture.stop("shutdown", { mergeDies: true });
  // Its folder isn't mounted.
  const away = `${fixture.root}/away`;
  Deno.renameSync(fixture.images, away);
  Deno.mkdirSync(fixture.images);
  const { printed } = await fixture.type("merge guest");
  Deno.removeSync(fixture.images);
  Deno.renameSync(away, fixture.images);
  assert(!printed.join("\n").includes("nothing is left to merge"), printed.join("\n"));
});

poolTest(
  "recover throws no session of another guest's seat away, where the domain names that one's image",
  2,
  async (pool, fixture) => {
    // Copied from the other one's XML.
    const xml = domainXml([diskXml("vda", pool.image("seat1"))]);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat2.xml`, xml);
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await fixture.type("recover --discard seat2 --yes");
    await pool.event("seat1", "restore");
    const { code, said } = await pool.event("seat1", "prepare");
    assertEquals([code, said], [0, []]);
  },
);

poolTest(
  "check finds two seats that have one image, of which one can't be started",
  2,
  async (pool, fixture) => {
    const xml = domainXml([diskXml("vda", pool.image("seat1"))]);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat2.xml`, xml);
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    const { code } = await fixture.event("prepare", "-", { domain: "seat2", xml });
    assertEquals(code, 1);
    await fixture.event("release", "failed", { domain: "seat2", xml });
    const { printed } = await fixture.type("check");
    assert(printed.some((line) => line.includes("seat2")), printed.join("\n"));
  },
);

poolTest(
  "status tells of all guests, where the image of a saved seat was moved, with a link in its place",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    const moved = `${fixture.root}/moved.img`;
    Deno.copyFileSync(pool.image("seat1"), moved);
    Deno.removeSync(pool.image("seat1"));
    Deno.symlinkSync(moved, pool.image("seat1"));
    const { printed, said } = await fixture.type("status");
    assertEquals(said.filter((line) => line.startsWith("error: ")), []);
    assert(printed.some((line) => line.startsWith("guest")), printed.join("\n"));
  },
);

for (const verb of ["status", "check"]) {
  Deno.test(`${verb} tells of the other guests, where an image of one was moved, with a link in its place`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    await fixture.stop("-");
    const moved = `${fixture.root}/moved.img`;
    Deno.copyFileSync(fixture.vda, moved);
    Deno.removeSync(fixture.vda);
    Deno.symlinkSync(moved, fixture.vda);
    Deno.copyFileSync(fixture.configFile, `${fixture.config}/other.json`);
    const { printed, said } = await fixture.type(verb);
    assertEquals(said.filter((line) => line.startsWith("error: ")), []);
    assert(printed.some((line) => line.includes("other")), printed.join("\n"));
  });
}

poolTest(
  "recover throws no session of a seat away that an external snapshot stands on",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    const snapshot = `${fixture.images}/seat1.snap`;
    fixture.save(snapshot, pool.image("seat1"), { snapshot: "yes" });
    const inside = `<backingStore type="file"><format type="qcow2"/><source file="${
      pool.image("seat1")
    }"/></backingStore>`;
    const xml = domainXml([diskXml("vda", snapshot, { inside })]);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat1.xml`, xml);
    await pool.stop("seat1", "shutdown", { xml });
    assert(exists(pool.image("seat1")));
    const { code } = await fixture.type("recover --discard seat1 --yes");
    assertEquals([code, exists(pool.image("seat1"))], [1, true]);
  },
);

poolTest(
  "check says what to do about a seat in whose place the domain names another file",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    const snapshot = `${fixture.images}/seat1.snap`;
    fixture.save(snapshot, pool.image("seat1"), { snapshot: "yes" });
    const xml = domainXml([diskXml("vda", snapshot)]);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat1.xml`, xml);
    await pool.stop("seat1", "shutdown", { xml });
    const { printed } = await fixture.type("check seat1");
    const at = printed.findIndex((line) => line.includes("that file may stand on this session"));
    assert(at === -1 || printed[at + 1]?.startsWith("hint: "), printed.join("\n"));
  },
);

Deno.test("the command that finds another name of a layer finds it, wherever it is typed", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  await fixture.stop("shutdown", { mergeDies: true });
  // A backup by hard links.
  const backup = `${fixture.root}/backup`;
  Deno.mkdirSync(backup);
  Deno.linkSync(`${fixture.vda}.backing_file`, `${backup}/vda.img.backing_file`);
  const { said } = await fixture.type("merge guest");
  const [, command] = /(find [^,;]*)/.exec(
    said.find((line) => line.startsWith("hint: "))!.replace("find it with ", ""),
  )!;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", command!], cwd: "/etc" }).output();
  assertStringIncludes(new TextDecoder().decode(stdout), `${backup}/`);
});

poolTest(
  "the hint of disable throws nothing away that is set aside for another guest's seat",
  2,
  async (pool, fixture) => {
    const xml = domainXml([diskXml("vda", pool.image("seat1"))]);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat2.xml`, xml);
    await pool.start("seat1");
    // Before libvirt 10.5, a save: it is set aside, and nothing is noted of it.
    await pool.stop("seat1", "-");
    const { code, said } = await fixture.type("disable seat2");
    if (code !== 0) await fixture.type([...named(said), "--yes"]);
    await pool.event("seat1", "restore");
    const restored = await pool.event("seat1", "prepare");
    assertEquals([restored.code, restored.said], [0, []]);
  },
);
