/** Seats begin with their master and forget, while that is committed, merged and undone. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DOMAIN, exists } from "./fixture.ts";
import { poolTest } from "./pool.ts";
import { diskXml, domainXml } from "./xml.ts";

poolTest(
  "a seat begins with the master at each start, and its idle image is gone",
  3,
  async (pool, fixture) => {
    const before = fixture.disk("vda");
    for (let times = 0; times < 2; times++) {
      await pool.start("seat1");
      assertEquals(fixture.read(pool.image("seat1")), { ...before, "by seat1": "yes" });
      assertEquals(pool.record("seat1")?.layer, 0);
      const { code, said } = await pool.stop("seat1");
      assertEquals([code, said], [0, []]);
      assert(pool.isIdle("seat1"));
      assertEquals(fixture.disk("vda"), before);
    }
  },
);

poolTest(
  "seats run on the version they began with while the master is committed, and take the newest one next",
  3,
  async (pool) => {
    await pool.start("seat1");
    await pool.commit("second");
    await pool.start("seat2");
    await pool.commit("third");
    await pool.start("seat3");
    assertEquals(["seat1", "seat2", "seat3"].map((seat) => pool.version(seat)), ["first", "second", "third"]);
    await pool.stop("seat1");
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "third");
  },
);

poolTest(
  "a merge waits for the seats, and goes on with the end of the last one",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.start("seat2");
    await pool.commit("second", {});
    await pool.commit("third", {});
    assertEquals(pool.layers, [0, 1, 2]);
    const { log, code } = await pool.merge();
    assertEquals(code, 1);
    assertStringIncludes(
      log.join("\n"),
      'the merge waits for the end of those who stand on the layers: "seat1" runs, "seat2" runs',
    );
    assertEquals((await pool.stop("seat1")).merge, undefined);
    assertEquals(["seat2"].map((seat) => pool.version(seat)), ["first"]);
    assertEquals((await pool.stop("seat2")).merge?.code, 0);
    assertEquals(pool.layers, [2]);
    assertEquals(pool.of(fixture.disk("vda")), "third");
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "third");
  },
);

poolTest("a session that is saved stands on a layer that is not merged", 3, async (pool) => {
  await pool.commit("second");
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  await pool.commit("third", {});
  // What is below it may become one with it: its name stays, and what it reads as.
  assertEquals(pool.layers, [1, 2]);
  assertEquals(pool.version("seat1"), "second");
  await pool.restore("seat1");
  assertEquals(pool.version("seat1"), "second");
  assertEquals(pool.record("seat1")?.layer, 1);
  await pool.stop("seat1");
  assertEquals(pool.layers, [2]);
});

poolTest(
  "an undo of the master takes it back for all, but not from under a session",
  3,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 3 };
    await pool.start("seat1");
    await pool.commit("second");
    await pool.start("seat2");
    const refused = await fixture.command("undo");
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.said.join("\n"), 'sessions stand on the commit: "seat2" runs');
    await pool.stop("seat2");
    assertEquals((await fixture.command("undo")).said, []);
    await pool.start("seat2");
    assertEquals([pool.version("seat1"), pool.version("seat2")], ["first", "first"]);
  },
);

poolTest(
  "where it is done by hand, seats stay on the published version, and previews take each commit",
  3,
  async (pool, fixture) => {
    pool.configure("seat2", { preview: true });
    fixture.keys = { publish: "by hand" };
    fixture.configure({ vda: false });
    await pool.commit("second");
    await pool.commit("third", {});
    await pool.start("seat1");
    await pool.start("seat2");
    assertEquals([pool.version("seat1"), pool.version("seat2")], ["first", "third"]);
    await pool.stop("seat1");
    await pool.stop("seat2");
    assertEquals(pool.layers, [0, 1, 2], "nothing is merged into what is published");
  },
);

poolTest("an empty file, and what an earlier session left, is no obstacle", 3, async (pool, fixture) => {
  Deno.writeTextFileSync(pool.image("seat1"), "");
  await pool.start("seat1");
  fixture.busy.clear();
  // A power cut, and the note is lost with it.
  Deno.removeSync(`${fixture.config}/seat1.seats`);
  fixture.write(pool.image("seat1"), "junk");
  await pool.start("seat1");
  assertEquals(fixture.read(pool.image("seat1"))["junk"], undefined);
});

poolTest(
  "a seat's session is set aside where that is configured, until its guest is up again",
  3,
  async (pool, fixture) => {
    pool.configure("seat1", { "keep-session": true });
    await pool.start("seat1");
    await pool.stop("seat1");
    const ended = `${pool.image("seat1")}.autorevert-ended`;
    assertEquals(fixture.read(ended)["by seat1"], "yes");
    await pool.commit("second", {});
    assertEquals(pool.layers, [0, 1], "it stands on the base");
    assertEquals((await pool.event("seat1", "prepare")).code, 0);
    assert(exists(ended));
    await pool.event("seat1", "started");
    assert(!exists(ended));
  },
);

poolTest("without a reason, a session may have been saved to a file", 3, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.stop("seat1", "-");
  await pool.commit("second", {});
  await pool.restore("seat1");
  assertEquals(pool.version("seat1"), "first");
  assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
});

poolTest("a start in place of a saved guest sets its session aside", 3, async (pool, fixture) => {
  await pool.start("seat1");
  fixture.write(pool.image("seat1"), "saved");
  await pool.stop("seat1", "saved");
  await pool.commit("second");
  assertEquals((await pool.event("seat1", "prepare")).code, 0);
  assertEquals(pool.version("seat1"), "second");
  await pool.event("seat1", "release", "failed");
  await pool.restore("seat1");
  assertEquals(fixture.read(pool.image("seat1"))["saved"], "yes");
});

poolTest(
  "the layer of a master that seats know never becomes plain by its own guest's end",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    await fixture.start();
    fixture.write(pool.master, "junk");
    await fixture.stop();
    assertEquals(pool.layers, [0]);
    assertEquals(pool.version("seat1"), "first");
    await pool.stop("seat1");
    await fixture.start();
    await fixture.stop();
    assertEquals(pool.layers, [0]);
  },
);

poolTest("a seat that starts interrupts a merge, which goes on at its end", 3, async (pool) => {
  await pool.start("seat1");
  await pool.stop("seat1");
  await pool.commit("second");
  const { log } = await pool.start("seat1");
  assert(log.length > 0);
  assertEquals((await pool.stop("seat1", "shutdown", { domain: "seat1" })).merge?.code, 0);
  assertEquals(pool.layers, [1]);
  assertEquals(DOMAIN, "guest");
});

poolTest(
  "a start asks a merge of the master to stop, whichever guest it is of, before it stands on a layer",
  3,
  async (pool) => {
    await pool.commit("second");
    using merge = await pool.mergingUntilAsked(
      pool.master,
      () => assertEquals(pool.record("seat1"), undefined),
    );
    await pool.start("seat1");
    assert(merge.asked);
  },
);

poolTest("a dry run of a start shows what it would do, and changes nothing", 3, async (pool, fixture) => {
  const before = fixture.files();
  const { code, shown } = await pool.event("seat1", "prepare", "-", { dry: true });
  assertEquals(code, 0);
  const verbs = shown.map((line) => line.split(": ")[1]!.split(" ")[0]);
  assertEquals(verbs, ["new", "mark", "link", "note", "create", "own", "sync", "note", "rename", "note"]);
  assertEquals([fixture.files(), fixture.files(fixture.config).includes("seat1.seats")], [before, false]);
});

poolTest("commits are kept however many layers wait for a seat", 1, async (pool, fixture) => {
  await pool.start("seat1");
  for (let number = 1; number <= 20; number++) await pool.commit(`${number}`, {});
  assertEquals(pool.layers.length, 21);
  assertEquals(pool.of(fixture.disk("vda")), "20");
  assertEquals(pool.version("seat1"), "first");
  await pool.stop("seat1");
  assertEquals(pool.layers, [20]);
});

poolTest(
  "between the start and the coming up of a guest that was saved, no merge takes the layers that it opens",
  3,
  async (pool, fixture) => {
    await pool.commit("second");
    await pool.commit("third");
    await pool.start("seat1");
    await pool.stop("seat1", "saved", { mergeDies: true });
    await pool.event("seat1", "restore");
    assertEquals((await pool.event("seat1", "prepare")).code, 0);
    fixture.busy.add(pool.image("seat1"));
    assertEquals(pool.layers, [0, 1, 2]);
    await pool.merge();
    assertEquals(pool.layers, [0, 1, 2], "merged below a guest that is starting");
  },
);

poolTest("nor does one that the end of another seat would start", 3, async (pool, fixture) => {
  await pool.commit("second");
  await pool.commit("third");
  await pool.start("seat2");
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  await pool.event("seat1", "restore");
  assertEquals((await pool.event("seat1", "prepare")).code, 0);
  fixture.busy.add(pool.image("seat1"));
  assertEquals(pool.layers, [0, 1, 2]);
  await pool.stop("seat2");
  assertEquals(pool.layers, [0, 1, 2], "merged below a guest that is starting");
});

poolTest(
  "a seat that was restored, has left and is over elsewhere does not keep the end of others from starting the merge",
  3,
  async (pool) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await pool.restore("seat1");
    await pool.start("seat2");
    await pool.commit("second", {});
    await pool.stop("seat1", "migrated");
    Deno.removeSync(pool.image("seat1"));
    assertEquals((await pool.stop("seat2")).merge?.code, 0, "no merge was started");
    assertEquals(pool.layers, [1]);
  },
);

poolTest(
  "a restore of a seat whose master was changed asks the old one's merge to stop",
  3,
  async (pool, fixture) => {
    await pool.commit("second");
    await pool.start("seat1");
    await pool.stop("seat1", "saved", { mergeDies: true });
    fixture.save(fixture.image("new"), null, { version: "new" });
    pool.configure("seat1", { master: fixture.image("new") });
    using merge = await pool.mergingUntilAsked();
    await pool.event("seat1", "restore");
    const { code, said } = await pool.event("seat1", "prepare");
    assertEquals([code, said], [0, []]);
    assertEquals(pool.record("seat1")?.master, pool.master);
    assert(merge.asked, "the merge of what it stands on goes on");
  },
);

for (const event of ["merge", "undo"]) {
  poolTest(
    `a read-only snapshot of the images in a hidden folder keeps no ${event} waiting`,
    3,
    async (pool, fixture) => {
      fixture.keys = { "keep-commits": event === "undo" ? 3 : 0 };
      await pool.commit("second");
      await pool.start("seat1");
      const folder = `${fixture.images}/.snapshots/1/snapshot`;
      Deno.mkdirSync(folder, { recursive: true });
      Deno.copyFileSync(pool.image("seat1"), `${folder}/seat1.img`);
      await pool.stop("seat1");
      if (event === "undo") return assertEquals((await fixture.command("undo")).said, []);
      await pool.commit("third", {});
      await pool.merge();
      assertEquals(pool.layers, [2]);
    },
  );
}

poolTest(
  "the end of a seat merges nothing of a master's guest that was renamed, and whose note was not yet",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 3 };
    for (const version of ["one", "two"]) await pool.commit(version);
    const { definedFolder } = fixture.settings;
    Deno.renameSync(`${definedFolder}/guest.xml`, `${definedFolder}/guest2.xml`);
    Deno.renameSync(fixture.configFile, `${fixture.config}/guest2.json`);
    await pool.start("seat1");
    await pool.stop("seat1");
    assertEquals(pool.layers, [0, 1, 2]);
  },
);

for (const how of ["was saved on it", "has committed it", "has set it aside"]) {
  poolTest(`a disk of its own becomes a seat: its guest ${how}`, 1, async (pool, fixture) => {
    const image = pool.image("seat1");
    const keys = how === "has committed it" ? { "keep-commits": 2, "one-shot-commit": true } : {};
    const disks = [{ target: "vda", ...keys }];
    Deno.writeTextFileSync(`${fixture.config}/seat1.json`, JSON.stringify({ disks }));
    fixture.save(image, null, { base: "own" });
    await pool.start("seat1");
    await pool.stop(
      "seat1",
      how === "was saved on it" ? "saved" : how === "has committed it" ? "shutdown" : "-",
    );
    if (how === "was saved on it") await fixture.type("recover --discard seat1 vda", true);
    assertEquals((await fixture.type("disable seat1", true, { mergeDies: true })).said, []);
    const beside = fixture.files().filter((name) => name.startsWith("seat1.img"));
    for (const name of beside) Deno.removeSync(`${fixture.images}/${name}`);
    assertEquals((await fixture.type(["enable", "seat1", "vda", "--master", pool.master])).said, []);
    for (let times = 0; times < 2; times++) {
      await pool.start("seat1");
      assertEquals(pool.version("seat1"), "first");
      await pool.stop("seat1");
      assertEquals(pool.isIdle("seat1"), true);
    }
  });
}

poolTest(
  "a guest that had a seat's image as a disk of its own once leaves what is set aside of it",
  1,
  async (pool, fixture) => {
    const image = pool.image("seat1");
    for (const path of [fixture.image("two"), image]) fixture.save(path, null, { base: "two" });
    const xml = (...disks: string[]) => domainXml(disks);
    const [first, second] = [diskXml("vda", fixture.image("two")), diskXml("vdb", image)];
    const disks = [{ target: "vda" }, { target: "vdb" }];
    Deno.writeTextFileSync(`${fixture.config}/two.json`, JSON.stringify({ disks }));
    const life = async (xml: string) => {
      for (const [operation, reason] of [["prepare"], ["started"], ["release", "-"]] as const) {
        await fixture.good(operation, reason, { domain: "two", xml });
      }
    };
    await life(xml(first, second));
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/two.xml`, xml(first));
    assertEquals((await fixture.type("disable two vdb")).said, []);
    for (const name of fixture.files().filter((name) => name.startsWith("seat1.img"))) {
      Deno.removeSync(`${fixture.images}/${name}`);
    }
    await pool.start("seat1");
    fixture.write(image, "saved");
    await pool.stop("seat1", "saved");
    await pool.start("seat1");
    await life(xml(first));
    await pool.stop("seat1");
    await pool.restore("seat1");
    assertEquals(fixture.read(image)["saved"], "yes");
  },
);
