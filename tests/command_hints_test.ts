/** What commands say is to be typed next: typed as it stands, it does what was meant, to the disks that were meant. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { tearing } from "./fault.ts";
import { Fixture } from "./fixture.ts";
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

Deno.test("the hint of keep for a disk whose guest runs has no other disk committed", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
  fixture.run();
  const { said } = await fixture.type("keep guest vda");
  await fixture.type(named(said));
  fixture.halt();
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.disk("vdb")], [{ base: "vda", session: "yes" }, {
    base: "vdb",
  }]);
});

for (const way of ["--keep", "--discard"]) {
  Deno.test(`the hint of undo for a disk that has a session ends no other disk's: ${way}`, async () => {
    using fixture = new Fixture().disks({ vda: false, vdb: true }).define();
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
    fixture.boot();
    const { said } = await fixture.type("undo guest vda");
    await fixture.type([...named(said, way), "--yes"]);
    assertEquals(fixture.state("vdb").kind, "session");
  });
}

Deno.test("the hint of an undo whose disks changed while it asked names the same disks", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  fixture.disks({ vda: true, vdb: true }).define();
  await fixture.start();
  await fixture.stop();
  const { said } = await fixture.type("undo guest vda", () => {
    Deno.copyFileSync(fixture.vda, `${fixture.vda}.autorevert-ended`);
    return true;
  });
  assertStringIncludes(said.join("\n"), "aborted");
  assertEquals(named(said), ["undo", "guest", "vda"]);
});

Deno.test("the hint of enable without a disk keeps the options that were given", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  Deno.removeSync(fixture.configFile);
  const { said } = await fixture.type("enable guest --keep-commits 2 --keep-session");
  await fixture.type(named(said));
  const { disks: [disk] } = JSON.parse(Deno.readTextFileSync(fixture.configFile));
  assertEquals([disk["keep-commits"], disk["keep-session"]], [2, true]);
});

poolTest(
  "the hint of enable for a guest of seats, without a disk, keeps the option that was given",
  1,
  async (_, fixture) => {
    const { code, said } = await fixture.type("enable seat1 --keep-session");
    if (code !== 0) await fixture.type(named(said));
    const { disks: [disk] } = JSON.parse(Deno.readTextFileSync(`${fixture.config}/seat1.json`));
    assertEquals(disk["keep-session"], true);
  },
);

Deno.test("recover of a disk that the guest hasn't says so", async () => {
  for (const way of ["--keep", "--discard"]) {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    fixture.boot();
    const { said } = await fixture.type(`recover ${way} guest vdb`);
    assertStringIncludes(said.join("\n"), 'the guest has no disk "vdb"');
  }
});

for (const verb of ["undo", "keep"]) {
  Deno.test(`the hint of ${verb} for a disk that isn't configured any more doesn't name the same command`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 1 };
    fixture.disks({ vda: false, vdb: true }).define();
    await fixture.start();
    await fixture.stop(verb === "undo" ? "-" : "shutdown", { mergeDies: true });
    fixture.keys = {};
    // Something of vda is left to be done, so that it is still noted.
    if (verb === "keep") {
      fixture.configure({ vda: true, vdb: false });
      await fixture.start();
      await fixture.stop("shutdown", { mergeDies: true });
    }
    await fixture.type("disable guest vda", false, { mergeDies: true });
    const { code, said } = await fixture.type(`${verb} guest vda`);
    assertEquals(code, 1);
    assert(!said.join("\n").includes(`autorevert ${verb} guest vda`), said.join("\n"));
  });
}

poolTest("the hint for a seat has the same options as what was typed", 1, async (_, fixture) => {
  for (
    const [words, option] of [["publish --back seat1", "--back"], [
      "commit --cancel seat1",
      "--cancel",
    ]] as const
  ) {
    const { code, said } = await fixture.type(words);
    assertEquals(code, 1);
    const command = /autorevert .*/.exec(said.join("\n"))?.[0] ?? "";
    assert(command === "" || command.includes(option), command);
  }
});

poolTest(
  "enable refuses an option that is not for the disk, in place of leaving it out",
  1,
  async (_, fixture) => {
    fixture.disks({ vda: false });
    for (
      const words of [
        "enable guest vda --preview",
        "enable seat1 vda --keep-commits 2",
        "enable seat1 vda --by-hand",
      ]
    ) {
      const { code, printed } = await fixture.type(words);
      assert(code !== 0, `${words}: ${printed}`);
    }
  },
);

Deno.test("a disk of the domain that isn't configured is not said to be none of the guest's", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
  fixture.configure({ vda: false });
  for (const words of ["commit guest vdb", "undo guest vdb", "keep guest vdb", "disable guest vdb"]) {
    const { said } = await fixture.type(words);
    assert(!/has no disk "vdb"|did you mean "vda"/.test(said.join("\n")), said.join("\n"));
  }
});

poolTest(
  "recover of a guest that has a seat and a disk of its own, as the hint says",
  1,
  async (pool, fixture) => {
    const own = pool.mix("seat1");
    await pool.start("seat1");
    fixture.write(own, "work");
    pool.powerCut();
    const { said } = await fixture.type("undo seat1 vdb");
    const kept = await fixture.type([...named(said, "--keep"), "--yes"]);
    assertEquals([kept.code, kept.said], [0, []]);
  },
);

for (const folder of ["gone", "empty"]) {
  Deno.test(`a disk that is gone for good is forgotten as disable says: its folder is ${folder}`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    fixture.boot();
    Deno.removeSync(fixture.images, { recursive: true });
    if (folder === "empty") Deno.mkdirSync(fixture.images);
    const { printed } = await fixture.type("disable guest vda");
    const [, words] = /autorevert (recover .*)$/.exec(printed.join("\n")) ?? [];
    const { code, said } = await fixture.type(`${words} --yes`);
    assertEquals([code, said], [0, []], printed.join("\n"));
  });
}

Deno.test("where two hosts have one configuration, commit on the one that the guest has left says what then happens", async () => {
  using hosts = new TwoHosts({ vda: false }, undefined, { sharesConfig: true });
  const { here, there } = hosts;
  for (const host of [here, there]) host.define();
  await hosts.start(here);
  await hosts.migrate(here, there);
  const { printed } = await here.type("commit guest");
  there.write(there.vda, "session");
  await hosts.stop(there);
  const isKept = "session" in here.disk("vda");
  assertEquals(
    isKept,
    !printed.join("\n").includes("for the one that goes on elsewhere, type this there"),
    printed.join("\n"),
  );
});

Deno.test("what commit says is kept instead of the next session is kept instead of it", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  fixture.write(fixture.vda, "work");
  // The power fails.
  fixture.boot();
  const { printed } = await fixture.type("commit guest");
  const [, first, second] =
    /to keep it instead: autorevert (.*), then autorevert (.*)$/.exec(printed.join("\n")) ?? [];
  for (const words of [first!, second!]) await fixture.type(words);
  await fixture.start();
  fixture.write(fixture.vda, "junk");
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { base: "vda", work: "yes" });
});

Deno.test("check of a guest that is gone doesn't have its configuration given to another one alone", async () => {
  using fixture = new Fixture().disks({ vda: false });
  await fixture.start();
  await fixture.stop("-");
  // It was removed with virsh undefine; another one, which has an image of its own, has a similar name.
  fixture.sources.set("vda", `${fixture.images}/other.img`);
  fixture.save(`${fixture.images}/other.img`, null, { base: "other" });
  fixture.define("guest2");
  const { printed } = await fixture.type("check guest");
  assertStringIncludes(printed.join("\n"), "if it is gone");
});

Deno.test("disable under an external snapshot says what becomes of the session below", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  const snapshot = `${fixture.images}/vda.snap`;
  fixture.save(snapshot, fixture.vda, {});
  const inside =
    `<backingStore type="file"><format type="qcow2"/><source file="${fixture.vda}"/></backingStore>`;
  const xml = domainXml([diskXml("vda", snapshot, { inside })]);
  fixture.run();
  for (const folder of [fixture.settings.definedFolder, fixture.settings.liveFolder]) {
    Deno.writeTextFileSync(`${folder}/guest.xml`, xml);
  }
  const { printed } = await fixture.type("disable guest");
  fixture.halt();
  await fixture.event("release", "shutdown", { xml });
  const isThere = fixture.state("vda").kind === "session";
  assertEquals(isThere, !printed.join("\n").includes("is thrown away when it ends"), printed.join("\n"));
});

Deno.test("the way out that a refused start names for a damaged commit takes that one back, and no other disk's", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  fixture.disks({ vda: true, vdb: false }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop();
  fixture.configure({ vda: false, vdb: true });
  await fixture.start();
  fixture.write(fixture.image("vdb"), "newer");
  await fixture.stop();
  Deno.writeTextFileSync(fixture.vda, "damaged");
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  await fixture.event("release", "failed");
  const [, words] = /autorevert (undo [^;]*)/.exec(said.join("\n"))!;
  await fixture.type(`${words} --yes`);
  assertEquals(fixture.disk("vdb"), { base: "vdb", newer: "yes" });
  assertEquals(fixture.disk("vda"), { base: "vda" });
});

Deno.test("the hint of an undo that comes too late for one disk lowers no number of commits that are kept", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: true, vdb: true }).define();
  const flagged = (...targets: string[]) =>
    fixture.configureText(JSON.stringify({
      disks: ["vda", "vdb"].map((target) => ({
        target,
        "one-shot-commit": targets.includes(target),
        "keep-commits": target === "vda" ? 0 : 5,
      })),
    }));
  flagged("vdb");
  await fixture.start();
  await fixture.stop();
  flagged("vda", "vdb");
  await fixture.start();
  for (const key of ["a", "b"]) fixture.write(fixture.vda, key);
  await fixture.stop("shutdown", { mergeDies: true });
  await fixture.merge({ perform: tearing(fixture) });
  const { said } = await fixture.type("undo guest --yes");
  assertStringIncludes(said.join("\n"), "can't be undone any more");
  if (said.some((line) => line.startsWith("hint: "))) await fixture.type(named(said));
  const { disks } = JSON.parse(Deno.readTextFileSync(fixture.configFile));
  assertEquals(disks[1]["keep-commits"], 5, said.join("\n"));
});

for (const isDefined of [false, true]) {
  Deno.test(`enable on the host that a guest is to migrate to says how it gets its configuration: defined there: ${isDefined}`, async () => {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    here.define();
    Deno.removeSync(there.configFile);
    if (isDefined) there.define();
    await hosts.start(here);
    const { said } = await there.type("enable guest vda");
    assertStringIncludes(said.join("\n"), `copy its configuration from there: "${there.configFile}"`);
  });
}

Deno.test("keep says of what is set aside that it is open, where it is", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-session": true };
  fixture.disks({ vda: false }).define();
  await fixture.start();
  await fixture.stop();
  // Somebody looks at it, with guestmount or qemu-nbd.
  fixture.busy.add(`${fixture.vda}.autorevert-ended`);
  const { said } = await fixture.type("keep guest");
  assertStringIncludes(said.join("\n"), "open in another process");
});

poolTest("disable of a seat whose session died says how that is ended", 1, async (pool, fixture) => {
  await pool.start("seat1");
  pool.powerCut();
  const { printed } = await fixture.type("disable seat1");
  assertStringIncludes(printed.join("\n"), "autorevert recover --discard seat1");
});

poolTest(
  "disable of a master, whose seats are taken out and have left a session, names a command that does it",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    pool.powerCut();
    await fixture.type("disable seat1");
    const { code, said } = await fixture.type("disable guest");
    assertEquals(code, 1);
    const way = named(said).map((word) => ({ GUEST: "seat1", TARGET: "vda" })[word] ?? word);
    const done = await fixture.type([...way, ...way[0] === "recover" ? ["--yes"] : []]);
    assertEquals([done.code, done.said], [0, []], said.join("\n"));
    assertEquals((await fixture.type("disable guest")).said, []);
  },
);

Deno.test("undo says whose commits are that status tells of: two guests with one image", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: true }).define();
  const other = { domain: "other" };
  fixture.define("other");
  Deno.copyFileSync(fixture.configFile, `${fixture.config}/other.json`);
  fixture.configure({ vda: false });
  await fixture.start(other);
  await fixture.good("release", "shutdown", other);
  assertStringIncludes((await fixture.type("status guest")).printed.join("\n"), "a commit can be undone");
  const { said } = await fixture.type("undo guest --yes");
  assertStringIncludes(said.join("\n"), "noted for another guest: autorevert undo other");
});
