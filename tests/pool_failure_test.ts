/** Starts of seats that are refused, events of theirs that are cut short, and hosts that die. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { atEveryStep, before, beforeFirst, dyingAt, failingAt } from "./fault.ts";
import { afterClockTick, type Circumstance, DOMAIN, exists, Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { makeBorn } from "./file_times.ts";
import { FarSeat, poolTest } from "./pool.ts";
import { diskXml, domainXml } from "./xml.ts";
import { LONGEST_IMAGE_NAME, namesOf } from "../lib/state/paths.ts";

poolTest(
  "a guest may have a seat beside a disk that is managed for itself: both begin, or none",
  1,
  async (pool, fixture) => {
    const own = pool.mix("seat1");
    fixture.full.add(`${own}.autorevert-new`);
    assertEquals((await pool.event("seat1", "prepare")).code, 1);
    assert(pool.isIdle("seat1"));
    await pool.event("seat1", "release", "failed");
    fixture.full.clear();
    assertEquals((await pool.event("seat1", "prepare")).said, []);
    await pool.event("seat1", "started");
    assertEquals(fixture.backingOf(own), `${own}.backing_file`);
    assertEquals(pool.record("seat1")?.layer, 0);
    assertEquals((await pool.event("seat1", "release", "shutdown")).said, []);
    assert(pool.isIdle("seat1"));
    assertEquals(fixture.read(own), { base: "own" });
    assertEquals(
      fixture.files(fixture.config).filter((name) => /\.(session|seats|starting)$/.test(name)),
      [],
    );
  },
);

/** The file system fails as an image takes its name. */
const failing = (image: string): NonNullable<Circumstance["perform"]> => (inner) => (step, control) =>
  step.kind === "rename" && step.to === image
    ? Promise.reject(new Error("Input/output error"))
    : inner(step, control);

poolTest(
  "where the last step of one of them fails, the other has not begun either",
  1,
  async (pool, fixture) => {
    const own = pool.mix("seat1");
    for (const image of [pool.image("seat1"), own]) {
      assertEquals((await pool.event("seat1", "prepare", "-", { perform: failing(image) })).code, 1);
      assertEquals(fixture.files().filter((name) => !name.startsWith("vda")), ["own-seat1.img"]);
      assertEquals(fixture.files(fixture.config).filter((name) => /^seat1\.se/.test(name)), []);
      await pool.event("seat1", "release", "failed");
    }
    assertEquals(fixture.read(own), { base: "own" });
    assertEquals((await pool.event("seat1", "prepare")).said, []);
  },
);

poolTest(
  "a start that is refused after it has stopped a merge of the guest's own disk has it go on",
  1,
  async (pool) => {
    const own = pool.mix("seat1");
    await pool.start("seat1");
    const config = `${pool.fixture.config}/seat1.json`;
    const text = Deno.readTextFileSync(config);
    Deno.writeTextFileSync(config, text.replace('"vdb"', '"vdb","one-shot-commit":true'));
    await pool.stop("seat1", "shutdown", { mergeDies: true });
    Deno.linkSync(`${own}.backing_file.1`, `${own}.autorevert-merge.1`);
    const started: string[] = [];
    await pool.event("seat1", "prepare", "-", {
      background: (domain) => void started.push(domain),
      perform: failing(pool.image("seat1")),
    });
    assert(started.includes("seat1"), `${started}`);
  },
);

poolTest(
  "a seat's start leaves a merge of another disk of its master's guest alone",
  1,
  async (pool, fixture) => {
    fixture.disks({ vda: true, vdb: true });
    fixture.define();
    await fixture.start();
    await fixture.stop("shutdown", { mergeDies: true });
    await pool.start("seat1");
    await pool.stop("seat1", "shutdown", { mergeDies: true });
    using merge = await pool.mergingUntilAsked(fixture.image("vdb"));
    await pool.start("seat1");
    assertEquals(merge.asked, false);
  },
);

poolTest(
  "what is published stays so where the master's guest comes back on a host that knows nothing of it",
  1,
  async (pool, fixture) => {
    fixture.keys = { publish: "by hand", "keep-commits": 5 };
    fixture.configure({ vda: false });
    await pool.commit("second");
    await pool.start("seat1");
    await pool.stop("seat1");
    await fixture.start();
    await fixture.stop("saved");
    fixture.keys = { "keep-commits": 5 };
    fixture.configure({ vda: false });
    await fixture.good("restore");
    await fixture.start();
    assert(fixture.files().includes("vda.img.autorevert-published.0"));
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "first");
  },
);

poolTest(
  "a master whose name leaves no room for the number of what is published is refused by hand",
  1,
  async (pool, fixture) => {
    const name = (length: number) => `${fixture.images}/${"a".repeat(length - 4)}.img`;
    for (
      const [length, keys, code] of [
        [LONGEST_IMAGE_NAME, {}, 0],
        [LONGEST_IMAGE_NAME, { publish: "by hand" }, 1],
        [224, { publish: "by hand" }, 0],
      ] as const
    ) {
      const image = name(length);
      if (!exists(image)) fixture.save(image, null, { base: "yes" });
      fixture.sources.set("vda", image);
      fixture.define();
      fixture.keys = keys;
      fixture.configure({ vda: false });
      pool.configure("seat1", { master: image });
      assertEquals((await pool.event("seat1", "prepare")).said, []);
      await pool.event("seat1", "started");
      await pool.event("seat1", "release", "shutdown");
      const before = fixture.files();
      const { code: found, said } = await fixture.event("prepare");
      assertEquals(found, code, said.join());
      if (code === 1) {
        assertStringIncludes(said[0]!, "should have at most 224");
        assertEquals(fixture.files(), before);
      }
      await fixture.event("release", code === 0 ? "shutdown" : "failed");
      if (length > 224 && code === 0) {
        const enabled = await fixture.type(["enable", DOMAIN, "vda", "--by-hand"]);
        assertStringIncludes(enabled.said.join(), "should have at most 224");
        assert(!Deno.readTextFileSync(fixture.configFile).includes("by hand"));
      }
    }
  },
);

poolTest(
  "an end whose note could not be removed keeps no later one from starting the merge",
  2,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.start("seat2");
    await pool.commit("second");
    await pool.stop("seat1", "shutdown", {
      perform: (inner) => (step, control) =>
        step.kind === "seats" ? Promise.reject(new Error("No space left on device")) : inner(step, control),
    });
    const later = Date.now() + 3_600_000;
    fixture.now = () => new Date(later);
    assertEquals((await pool.stop("seat2")).merge?.code, 0);
    assertEquals([pool.layers, pool.record("seat1")], [[1], undefined]);
  },
);

poolTest("a seat's image that is not ours is never replaced", 3, async (pool, fixture) => {
  fixture.save(pool.image("seat1"), null, { own: "work" });
  const { code, said } = await pool.event("seat1", "prepare");
  assertEquals(code, 1);
  assertStringIncludes(said[0]!, "is no session on");
  assertEquals(fixture.read(pool.image("seat1")), { own: "work" });
  assertEquals(pool.record("seat1"), undefined);
  await pool.event("seat1", "release", "failed");
  assertEquals(fixture.read(pool.image("seat1")), { own: "work" });
});

poolTest("a seat is refused where the master can't be one", 3, async (pool, fixture) => {
  const refusal = async (seat: string) => (await pool.event(seat, "prepare")).said[0];
  pool.configure("seat1", { master: pool.image("seat1") });
  assertStringIncludes(await refusal("seat1") ?? "", "is the seat's own image");
  pool.configure("seat1", { master: `${pool.master}.backing_file` });
  assertStringIncludes(await refusal("seat1") ?? "", "has the name of a layer");
  pool.configure("seat1", { master: fixture.image("gone") });
  assertStringIncludes(await refusal("seat1") ?? "", "there is no master");
  pool.configure("seat1", { master: "/etc/passwd" });
  assertStringIncludes(await refusal("seat1") ?? "", "outside the permitted folders");
  await pool.start("seat2");
  pool.configure("seat1", { master: pool.image("seat2") });
  assertStringIncludes(await refusal("seat1") ?? "", 'is a seat of the guest "seat2"');
  pool.configure("seat1", { "one-shot-commit": true });
  assertStringIncludes(await refusal("seat1") ?? "", "is committed by its own guest");
  fixture.busy.delete(pool.image("seat2"));
  await pool.stop("seat2");
});

poolTest(
  "no seat begins with a copy of a master that stands on the original's layers",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 2 };
    for (const value of ["one", "two"]) await pool.commit(value);
    const copy = fixture.image("lab2");
    for (const name of fixture.files().filter((name) => name.startsWith("vda.img."))) {
      Deno.copyFileSync(`${fixture.images}/${name}`, copy + name.slice("vda.img".length));
    }
    Deno.linkSync(`${copy}.backing_file.2`, copy);
    const refused = async () => {
      const { code, said } = await pool.event("seat1", "prepare");
      assertEquals([code, said], [1, [
        `error: seat1 vda: the layers of the master "${copy}" stand on files with another path: they were copied, moved or renamed`,
        "hint: if all of them lie here, tell each which one it stands on: " +
        `qemu-img rebase -u -f qcow2 -F qcow2 -b ${copy}.backing_file ${copy}.backing_file.1 && ` +
        `qemu-img rebase -u -f qcow2 -F qcow2 -b ${copy}.backing_file.1 ${copy}.backing_file.2`,
      ]]);
      await pool.event("seat1", "release", "failed");
    };
    pool.configure("seat1", { master: copy });
    await refused();
    assertStringIncludes((await fixture.type("check")).printed.join("\n"), "copied, moved or renamed");
    const rebase = (number: number, below: string) => {
      const path = `${copy}.backing_file.${number}`;
      Deno.writeTextFileSync(
        path,
        Deno.readTextFileSync(path).replace(/"[^"]*backing_file[^"]*"/, `"${below}"`),
      );
    };
    rebase(2, `${copy}.backing_file.1`);
    await refused();
    rebase(1, `${copy}.backing_file`);
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "two");
  },
);

poolTest("no seat begins with a version that QEMU has marked as corrupt", 1, async (pool, fixture) => {
  fixture.keys = { "keep-commits": 2 };
  for (const value of ["one", "two"]) await pool.commit(value);
  const layer = `${pool.master}.backing_file.2`;
  fixture.corrupt.add(layer);
  fixture.define();
  const { code, said } = await pool.event("seat1", "prepare");
  assertEquals([code, said], [1, [
    `error: seat1 vda: "${layer}" is marked as corrupt: QEMU found a contradiction in its tables`,
    `hint: copy it, and mend it: qemu-img check -r all ${layer}; or have seats begin with an earlier version: autorevert undo guest, or autorevert publish --back guest`,
  ]]);
  await pool.event("seat1", "release", "failed");
  assertStringIncludes(
    (await fixture.type("check")).printed.join("\n"),
    `seat1 vda: "${layer}" is marked as corrupt`,
  );
  assertEquals((await fixture.command("undo")).said, []);
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "one");
});

poolTest(
  "a master that is written to as it is, by a guest without the hook, is no master yet",
  3,
  async (pool, fixture) => {
    fixture.busy.add(pool.master);
    const { code, said } = await pool.event("seat1", "prepare");
    assertEquals(code, 1);
    assertStringIncludes(said[0]!, "is being written to, not by a session of this hook");
    assertEquals(fixture.files(), ["vda.img"]);
  },
);

poolTest("a start whose overlay can't be made leaves no seat behind", 3, async (pool, fixture) => {
  fixture.full.add(`${pool.image("seat1")}.autorevert-new`);
  assertEquals((await pool.event("seat1", "prepare")).code, 1);
  assert(pool.isIdle("seat1"));
  await pool.event("seat1", "release", "failed");
  fixture.full.clear();
  await pool.start("seat1");
});

poolTest(
  "a master that is not listed any more does not start as long as seats stand on it",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    fixture.configureText(JSON.stringify({ disks: [{ target: "vdb" }] }));
    Deno.removeSync(fixture.configFile);
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    assertStringIncludes(said[0]!, "seats stand on");
    assertEquals(pool.version("seat1"), "first");
  },
);

poolTest("a start that is refused after it has stopped a merge has it go on", 3, async (pool) => {
  await pool.commit("second");
  using merge = await pool.mergingUntilAsked();
  const started: string[] = [];
  const background = (domain: string) => void started.push(domain);
  const { code, said } = await pool.event("seat1", "prepare", "-", {
    background,
    perform: (inner) => (step, control) => {
      if (step.kind === "seats") return Promise.reject(new Error("No space left on device"));
      return inner(step, control);
    },
  });
  assert(merge.asked);
  assertEquals(code, 1, said.join());
  await pool.event("seat1", "release", "failed", { background });
  assertEquals(started, [DOMAIN]);
});

poolTest(
  "what a power cut left keeps the layer that it stands on until it is set aside, and its guest is started again",
  3,
  async (pool, fixture) => {
    await pool.commit("second");
    await pool.start("seat1");
    await pool.start("seat2");
    await pool.stop("seat2", "saved");
    await pool.commit("third");
    pool.powerCut();
    await pool.merge();
    assertEquals(pool.record("seat1")?.beside, "died");
    assertEquals(pool.record("seat2")?.layer, 1, "a saved guest may come back");
    assertEquals(pool.layers, [1, 2], "what is below it is merged");
    await fixture.type(["recover", "seat2", "--discard", "--yes"]);
    for (let starts = 0; starts < 2; starts++) {
      assertEquals(pool.layers, [1, 2]);
      await pool.start("seat1");
      await pool.stop("seat1");
      await pool.merge();
    }
    assertEquals(pool.layers, [2]);
  },
);

poolTest(
  "a session whose end was cut short in this boot is over after ten minutes: it may have been saved",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    fixture.busy.clear();
    await pool.merge();
    assertEquals(pool.record("seat1")?.waits, undefined, "its end may be told yet");
    fixture.now = () => new Date(Date.now() + 11 * 60_000);
    await pool.merge();
    assertEquals(pool.record("seat1")?.beside, "died");
    await pool.restore("seat1");
    assertEquals(pool.version("seat1"), "first");
  },
);

poolTest("a running guest is not taken for dead", 3, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.commit("second");
  await pool.merge();
  assertEquals(pool.record("seat1")?.layer, 0);
  fixture.busy.clear();
  Deno.writeTextFileSync(`${fixture.settings.liveFolder}/seat1.xml`, "<domstatus/>");
  await pool.merge();
  assertEquals(pool.record("seat1")?.layer, 0);
});

poolTest(
  "a lease of a start that came to nothing ends with the host, also where libvirt knows no such domain",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    fixture.busy.clear();
    Deno.removeSync(`${fixture.settings.definedFolder}/seat1.xml`);
    fixture.booted = LATER;
    await pool.merge();
    assertEquals(pool.layers, [0, 1], "a session is there");
    Deno.removeSync(pool.image("seat1"));
    await pool.merge();
    assertEquals(pool.layers, [1]);
  },
);

poolTest(
  "after a power cut, the end of the last seat that runs starts the merge",
  3,
  async (pool, fixture) => {
    await pool.commit("zero");
    await pool.start("seat1");
    await pool.start("seat2");
    await pool.commit("second", {});
    pool.powerCut();
    fixture.now = () => new Date(LATER.getTime() + 1000);
    await pool.start("seat2");
    const { merge } = await pool.stop("seat2");
    assert(merge !== undefined, "a dead seat's note");
    assertEquals(pool.layers, [1, 2], "the dead one is set aside, and keeps what it stands on");
  },
);

poolTest(
  "a guest that was saved in the moment of a power cut still finds its session after a merge",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    fixture.busy.clear();
    // The memory is saved to a file; the power fails while the hook is about to note it.
    await pool.event("seat1", "release", "saved", {
      perform: () => () => Promise.reject(new Error("power cut")),
    });
    fixture.booted = LATER;
    await pool.merge();
    await pool.event("seat1", "restore");
    const { code, said } = await pool.event("seat1", "prepare");
    assertEquals([code, said], [0, []]);
  },
);

poolTest("a guest that has just come back from a save is not taken for dead", 3, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.commit("second");
  await pool.stop("seat1", "saved", { mergeDies: true });
  fixture.now = () => new Date(Date.now() + 11 * 60_000);
  await pool.restore("seat1");
  // It has written nothing since, and QEMU has not opened it yet.
  fixture.busy.clear();
  await pool.merge();
  assert(exists(pool.image("seat1")), "its session");
});

poolTest("a guest whose coming up was not noted is not taken for saved", 3, async (pool, fixture) => {
  await pool.commit("second");
  await pool.commit("third");
  await pool.start("seat1");
  await pool.stop("seat1", "saved", { mergeDies: true });
  await pool.event("seat1", "restore");
  assertEquals((await pool.event("seat1", "prepare")).code, 0);
  await pool.event("seat1", "started", "-", { perform: () => () => Promise.reject(new Error("killed")) });
  fixture.busy.add(pool.image("seat1"));
  fixture.run();
  Deno.writeTextFileSync(`${fixture.settings.liveFolder}/seat1.xml`, `<domstatus state='running'/>`);
  await pool.merge();
  assertEquals(pool.layers, [0, 1, 2]);
});

for (const left of ["configuration", "definition", "running guest", "note of this boot"]) {
  poolTest(
    `another guest's seat is not taken from it as long as there is its ${left}`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      if (left !== "note of this boot") pool.powerCut();
      fixture.busy.clear();
      const xml = pool.xml("seat1");
      const defined = `${fixture.settings.definedFolder}/seat1.xml`;
      Deno.copyFileSync(`${fixture.config}/seat1.json`, `${fixture.config}/seat9.json`);
      if (left !== "configuration") Deno.removeSync(`${fixture.config}/seat1.json`);
      if (left === "running guest") pool.live("seat1");
      if (left !== "definition") Deno.removeSync(defined);
      const { code, said } = await fixture.event("prepare", "-", { xml, domain: "seat9" });
      assertEquals(code, 1);
      assertStringIncludes(said[0]!, `is a seat of the guest "seat1", too`);
      assert(pool.record("seat1") !== undefined);
    },
  );
}

poolTest("a guest that was renamed after a power cut starts", 1, async (pool, fixture) => {
  await pool.start("seat1");
  pool.powerCut();
  const xml = pool.xml("seat1");
  Deno.renameSync(`${fixture.config}/seat1.json`, `${fixture.config}/seat9.json`);
  Deno.renameSync(
    `${fixture.settings.definedFolder}/seat1.xml`,
    `${fixture.settings.definedFolder}/seat9.xml`,
  );
  const { code, said } = await fixture.event("prepare", "-", { xml, domain: "seat9" });
  assertEquals([code, said], [0, []]);
  assertEquals(fixture.files(fixture.config).filter((name) => name.endsWith(".seats")), ["seat9.seats"]);
});

poolTest(
  "a seat that was restored in this boot is not taken for one of an earlier boot",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await new Promise((wake) => setTimeout(wake, 20));
    fixture.booted = new Date();
    await new Promise((wake) => setTimeout(wake, 20));
    await pool.restore("seat1");
    await pool.commit("second", {});
    // It is saved to a file: QEMU has ended, and the merge comes before the hook.
    fixture.busy.clear();
    await pool.merge();
    assertEquals(pool.record("seat1")?.layer, 0, "its end may be told yet");
    await pool.event("seat1", "release", "saved");
    await pool.event("seat1", "restore");
    assertEquals((await pool.event("seat1", "prepare")).said, []);
    assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
  },
);

for (const reason of ["saved", "-"]) {
  poolTest(
    `a restored guest whose coming up was not noted comes back from its next save, told ${reason}`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      await pool.stop("seat1", reason);
      await pool.event("seat1", "restore");
      assertEquals((await pool.event("seat1", "prepare")).said, []);
      await pool.event("seat1", "started", "-", { perform: () => () => Promise.reject(new Error("killed")) });
      fixture.write(pool.image("seat1"), "later");
      await afterClockTick();
      fixture.write(pool.image("seat1"), "latest");
      await pool.stop("seat1", reason);
      await pool.restore("seat1");
      assertEquals(fixture.read(pool.image("seat1"))["latest"], "yes");
    },
  );
}

for (const [how, reason] of [["saved", "saved"], ["set aside without a reason", "-"]]) {
  poolTest(
    `a session that was ${how} outlives a start in its place that died with the host, and a merge`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "saved");
      await pool.stop("seat1", reason);
      await pool.commit("second");
      assertEquals((await pool.event("seat1", "prepare")).said, []);
      pool.powerCut();
      await pool.merge();
      await pool.restore("seat1");
      assertEquals(fixture.read(pool.image("seat1"))["saved"], "yes");
    },
  );
}

poolTest(
  "where the published version is gone, no later commit is taken for it",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 5, publish: "by hand" };
    for (const value of ["one", "two"]) await pool.commit(value);
    assertEquals((await fixture.command("publish")).said, []);
    const { image, layer } = namesOf(pool.master);
    // A backup of before, without empty files.
    Deno.removeSync(layer(2));
    Deno.removeSync(image);
    Deno.linkSync(layer(1), image);
    assertEquals((await pool.event("seat1", "prepare")).code, 1);
    await pool.event("seat1", "release", "failed");
    await pool.commit("three");
    assertEquals(pool.layers, [0, 1, 2]);
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "one");
    await pool.stop("seat1");
    assertEquals((await fixture.command("publish")).said, []);
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "three");
  },
);

poolTest(
  "the way out that is told where a backup of a master with fewer commits was put back is for when no seat has a session",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 3 };
    for (const value of ["one", "two"]) await pool.commit(value);
    const { image, layer } = namesOf(pool.master);
    Deno.removeSync(image);
    Deno.linkSync(layer(1), image);
    const { code, said } = await fixture.event("prepare");
    assertEquals([code, said], [1, [
      `error: guest vda: "${image}" is not the newest commit that lies here: it may have been put back from a backup`,
      "hint: to have it as the disk, once the sessions of its seats have ended, also those that are saved or set aside, " +
      `move the newer ones away: mkdir ${image}.old && mv ${layer(2)} ${image}.old; ` +
      `to have the newest, if all files are those that it was made on: ln -f ${layer(2)} ${image}`,
    ]]);
  },
);

poolTest(
  "a seat that was saved on an external snapshot of its session is restored once it is taken out, as the hint says",
  1,
  async (pool, fixture) => {
    await pool.commit("one");
    await pool.start("seat1");
    const [image, snap] = [pool.image("seat1"), `${fixture.images}/seat1.snap`];
    fixture.save(snap, image, { after: "snapshot" });
    const before = fixture.read(snap);
    const below =
      `<backingStore type="file"><format type="qcow2"/><source file="${image}"/></backingStore></disk>`;
    const inactive = domainXml([diskXml("vda", snap)]);
    // What libvirt saves is the XML of the guest that runs.
    const saved = inactive.replace("</disk>", below);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat1.xml`, inactive);
    fixture.busy.clear();
    await pool.event("seat1", "release", "saved", { xml: saved });
    const hint =
      `hint: to drop what ${snap} holds, name ${image} as the source again with virsh edit, without <backingStore>; ` +
      "a guest that was saved on it is restored after: autorevert disable seat1 vda";
    for (const xml of [saved, inactive]) {
      await pool.event("seat1", "restore", "-", { xml });
      const { code, said } = await pool.event("seat1", "prepare", "-", { xml });
      assertEquals([code, said.at(-1)], [1, hint]);
      await pool.event("seat1", "release", "failed", { xml });
    }
    assertEquals((await fixture.type("disable seat1 vda")).said, []);
    await pool.event("seat1", "restore", "-", { xml: saved });
    assertEquals((await pool.event("seat1", "prepare", "-", { xml: saved })).code, 0);
    assertEquals(fixture.read(snap), before);
    await pool.commit("two");
    await pool.merge();
    assertEquals(pool.layers, [0, 1, 2]);
  },
);

for (const act of ["merge", "undo"]) {
  poolTest(
    `what a start has set aside, cut short before its own session has the name, outlives the next start also after a master's ${act}`,
    1,
    async (pool, fixture) => {
      fixture.keys = { "keep-commits": act === "undo" ? 5 : 0 };
      await pool.commit("one");
      await pool.start("seat1");
      const image = pool.image("seat1");
      fixture.write(image, "session", "saved");
      await pool.stop("seat1", "saved");
      for (const value of ["two", "three"]) await pool.commit(value);
      fixture.configure({ vda: false });
      const cut = dyingAt((step) => step.kind === "rename" && step.to === image);
      await pool.event("seat1", "prepare", "-", { perform: cut });
      assertEquals([exists(image), exists(`${image}.autorevert-ended`)], [false, true]);
      pool.powerCut();
      if (act === "merge") await pool.merge();
      else assertEquals((await fixture.command("undo")).said, []);
      await pool.start("seat1");
      await pool.stop("seat1");
      await pool.merge();
      await pool.restore("seat1");
      assertEquals(fixture.read(image)["session"], "saved");
    },
  );
}

poolTest(
  "the end of a seat merges no commits that are kept while the file of the master's guest is away for a moment",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 3 };
    fixture.define();
    await pool.start("seat1");
    for (const value of ["one", "two"]) await pool.commit(value);
    Deno.renameSync(fixture.configFile, `${fixture.configFile}.away`);
    await pool.stop("seat1");
    Deno.renameSync(`${fixture.configFile}.away`, fixture.configFile);
    assertEquals(pool.layers, [0, 1, 2]);
  },
);

poolTest(
  "a master's newest layer whose name was removed is not thrown away while a saved seat stands on it",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 3 };
    await pool.commit("one");
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    fixture.configure({ vda: false });
    fixture.define();
    const { image, layer } = namesOf(pool.master);
    Deno.removeSync(layer(1));
    const told = `"${
      layer(1)
    }" is missing, on which sessions stand: "seat1" is saved; "${image}" may be that file`;
    const said = [
      `error: guest vda: ${told}`,
      `hint: if it is, give it the name back: ln ${image} ${layer(1)}`,
    ];
    assertEquals((await fixture.event("prepare")).said, said);
    await fixture.event("release", "failed");
    assertEquals((await fixture.type("recover --discard guest --yes")).said, said);
    Deno.linkSync(image, layer(1));
    await fixture.start();
    await fixture.stop();
    await pool.restore("seat1");
    assertEquals(pool.version("seat1"), "one");
  },
);

for (const fault of ["its own disk's note can't be written", "the hook is killed after the seat's note"]) {
  poolTest(
    `a start that libvirt ends since its coming up could not be noted whole leaves what the guest was saved on: ${fault}`,
    1,
    async (pool, fixture) => {
      const own = pool.mix("seat1");
      await pool.commit("one");
      await pool.start("seat1");
      const both = [pool.image("seat1"), own];
      for (const image of both) fixture.write(image, "session", "saved");
      await pool.stop("seat1", "saved");
      fixture.busy.clear();
      assertEquals((await pool.event("seat1", "prepare")).code, 0);
      const perform = fault.startsWith("its") ? failingAt(({ kind }) => kind === "note") : dyingAt("note");
      assertEquals((await pool.event("seat1", "started", "-", { perform })).code, 1);
      await pool.event("seat1", "release", "failed");
      await pool.start("seat1");
      await pool.stop("seat1");
      await pool.restore("seat1");
      assertEquals(both.map((image) => fixture.read(image)["session"]), ["saved", "saved"]);
    },
  );
}

poolTest("an overlay that could not be taken back keeps no later start waiting", 1, async (pool) => {
  const strange = `${pool.image("seat1")}.autorevert-ended`;
  const { code } = await pool.event("seat1", "prepare", "-", {
    perform: (inner) => async (step, control) => {
      await inner(step, control);
      // From here on the names can't be told.
      if (step.kind === "sync") Deno.mkdirSync(strange);
    },
  });
  assertEquals(code, 1);
  Deno.removeSync(strange);
  await pool.event("seat1", "release", "failed");
  await pool.start("seat1");
  await pool.stop("seat1");
  assert(pool.isIdle("seat1"));
});

poolTest(
  "a start is noted as long as a seat is being started, also where the guest's own disk is left alone",
  1,
  async (pool, fixture) => {
    const own = pool.mix("seat1");
    await pool.start("seat1");
    pool.powerCut();
    const disks = [{ target: "vda", master: pool.master }];
    Deno.writeTextFileSync(`${fixture.config}/seat1.json`, JSON.stringify({ disks }));
    assertEquals((await pool.event("seat1", "prepare")).said, []);
    assertEquals(fixture.read(own), { base: "own" });
    assert(exists(`${fixture.config}/seat1.starting`));
  },
);

for (const end of ["crashed", "destroyed", "power cut"]) {
  poolTest(
    `a saved seat finds its session again after a restore that was cut short with libvirtd: ${end}`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      await pool.stop("seat1", "saved");
      const session = fixture.read(pool.image("seat1"));
      for (const operation of ["restore", "prepare", "start", "started", "reconnect"]) {
        await pool.event("seat1", operation);
      }
      if (end === "power cut") {
        pool.powerCut();
        await pool.event("seat1", "prepare");
        assertEquals(fixture.read(`${pool.image("seat1")}.autorevert-ended`), session);
      } else {
        await pool.event("seat1", "stopped", end);
        await pool.event("seat1", "release", end);
        await pool.event("seat1", "restore");
        assertEquals((await pool.event("seat1", "prepare")).code, 0);
        assertEquals(fixture.read(pool.image("seat1")), session);
      }
    },
  );
}

poolTest(
  "the way out that is told where a master's image was replaced leaves what saved seats stand on",
  2,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    const saved = fixture.read(pool.image("seat1"));
    Deno.removeSync(pool.master);
    fixture.save(pool.master, null, { base: "new" });
    makeBorn(pool.master, LONG_AGO);
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    await fixture.event("release", "failed");
    const way = /newest version, .* stand on: (.*)$/.exec(said.join("\n"))?.[1];
    assert(new Deno.Command("sh", { args: ["-c", way!] }).outputSync().success, said.join("\n"));
    await pool.restore("seat1");
    assertEquals(fixture.read(pool.image("seat1")), saved);
    await pool.start("seat2");
    assertEquals(fixture.read(pool.image("seat2")).base, "new");
  },
);

poolTest(
  "a seat that may have been saved and has another master since goes on where it was, and what it stands on is noted",
  1,
  async (pool, fixture) => {
    fixture.save(fixture.image("lab2"), null, { base: "lab2" });
    await pool.start("seat1");
    await pool.stop("seat1", "-");
    pool.configure("seat1", { master: fixture.image("lab2") });
    for (let saves = 0; saves < 2; saves++) {
      await pool.restore("seat1");
      assertEquals(pool.record("seat1")?.master, pool.master);
      await pool.stop("seat1", "-");
    }
    await pool.start("seat1");
    assertEquals(pool.record("seat1")?.master, fixture.image("lab2"));
  },
);

poolTest(
  "a seat finds the session of its managed save, though its end could not be noted and another one is set aside",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await pool.start("seat1");
    const newer = fixture.read(pool.image("seat1"));
    fixture.busy.clear();
    Deno.writeTextFileSync(`${fixture.settings.saveFolder}/seat1.save`, "");
    fixture.booted = LATER;
    await pool.event("seat1", "restore");
    assertEquals((await pool.event("seat1", "prepare")).code, 0);
    assertEquals(fixture.read(pool.image("seat1")), newer);
    assert(exists(`${pool.image("seat1")}.autorevert-ended`));
  },
);

for (const what of ["commit", "undo", "keep"]) {
  Deno.test(`a guest with two seats begins with one version of both masters of a guest whose ${what} was cut short`, async () => {
    await atEveryStep("dies before", async (failing) => {
      using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
      fixture.keys = { "keep-commits": 3 };
      const targets = ["vda", "vdb"];
      const seats = targets.map((target) => ({ target, master: fixture.image(target) }));
      Deno.writeTextFileSync(`${fixture.config}/seat.json`, JSON.stringify({ disks: seats }));
      const images = targets.map((target) => fixture.image(`seat-${target}`));
      const xml = domainXml(targets.map((target, index) => diskXml(target, images[index]!)));
      const commit = async (value: string, how: Circumstance = {}) => {
        fixture.configure({ vda: true, vdb: true });
        await fixture.start();
        for (const target of targets) fixture.write(fixture.image(target), "version", value);
        await fixture.event("release", "shutdown", { mergeDies: true, ...how });
      };
      const cut = { perform: failing.perform };
      await commit("one");
      if (what === "commit") await commit("two", cut);
      else {
        if (what === "keep") await fixture.command("undo");
        await fixture.command(what === "keep" ? "keep" : "undo", cut);
      }
      const start = () => fixture.event("prepare", "-", { domain: "seat", xml });
      const { code, said } = await start();
      if (code !== 0) {
        assertStringIncludes(said.join("\n"), "hint: complete it: autorevert recover guest");
        await fixture.type("recover guest");
        assertEquals((await start()).said, []);
      }
      const [first, second] = images.map((image) => fixture.read(image)["version"]);
      assertEquals(first, second);
    });
  });
}

poolTest(
  "an undo that was cut short takes no commit from under a session that another host has begun since",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 3 };
    await pool.commit("one");
    await pool.start("seat1");
    await pool.stop("seat1");
    fixture.configure({ vda: false });
    await fixture.type(["undo", DOMAIN, "--yes"], true, { perform: dyingAt("remove") });
    using far = new FarSeat(pool);
    await far.start();
    for (const command of ["recover guest", "publish guest", "undo guest --yes"]) {
      const { code, said } = await fixture.type(command);
      assertEquals(code, 1, command);
      assertStringIncludes(
        said.join("\n"),
        `vda: an undo that was cut short waits: sessions stand on the commit`,
      );
      assertStringIncludes(said.join("\n"), "a session of another host goes with its guest's end");
    }
    assertEquals((await fixture.event("prepare")).code, 1);
    await fixture.event("release", "failed");
    await pool.merge();
    assertEquals(far.host.read(far.image)["version"], "one");
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "first", "this host knows of the undo");
    await pool.stop("seat1");
    await far.stop();
    const { printed } = await fixture.type("recover guest");
    assertStringIncludes(printed.join("\n"), "undo was interrupted, and is completed now");
    assertEquals(pool.layers, [0]);
  },
);

for (const moment of ["begins", "has begun"]) {
  poolTest(
    `the last seat that is taken out on one host leaves what another host ${moment} in that second protected`,
    1,
    async (pool, fixture) => {
      fixture.keys = { "keep-commits": 1 };
      await pool.start("seat1");
      await pool.stop("seat1");
      await pool.commit("one");
      using far = new FarSeat(pool);
      if (moment === "begins") {
        const disable = beforeFirst("create", async () => void await fixture.type("disable seat1"));
        const { code, said } = await far.event("prepare", "-", { perform: disable });
        assertEquals(code, 1);
        assertStringIncludes(said.join("\n"), `vda.img.autorevert-master" was taken away by another host`);
        assertStringIncludes(said.join("\n"), "hint: try again");
        await far.event("release", "failed");
        assert(!exists(far.image));
        await far.start();
      } else {
        const perform = before("remove", async (step) => {
          if (step.kind === "remove" && step.path.endsWith(".autorevert-master")) await far.start();
        });
        assertEquals((await fixture.type("disable seat1", true, { perform })).code, 0);
      }
      await far.stop("saved");
      for (const version of ["two", "three"]) await pool.commit(version, {});
      await far.event("restore");
      await far.start();
      assertEquals(far.host.read(far.image)["version"], "one");
    },
  );
}

poolTest(
  "a merge before the folder of the seats is mounted takes nothing from under a session that died there",
  1,
  async (pool, fixture) => {
    const folder = `${fixture.root}/seats`;
    Deno.mkdirSync(folder);
    fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, folder] };
    pool.image = (seat) => `${folder}/${seat}.img`;
    pool.configure("seat1");
    await pool.start("seat1");
    await pool.commit("second");
    pool.powerCut();
    Deno.renameSync(folder, `${folder}.disk`);
    Deno.mkdirSync(folder);
    const { log } = await pool.merge();
    assertStringIncludes(log.join("\n"), `"seat1" has left a session behind`);
    assertStringIncludes(log.join("\n"), "autorevert recover --discard seat1");
    assertEquals(pool.layers, [0, 1]);
    Deno.removeSync(folder);
    Deno.renameSync(`${folder}.disk`, folder);
    await pool.event("seat1", "restore");
    assertEquals((await pool.event("seat1", "prepare")).said, []);
    assertEquals(pool.version("seat1"), "first");
    await pool.event("seat1", "started");
    pool.powerCut(new Date(LATER.getTime() + 1000));
    // It has ended at another host: a person says so.
    Deno.removeSync(pool.image("seat1"));
    await pool.merge();
    assertEquals(pool.layers, [0, 1]);
    assertEquals((await fixture.type("recover --discard seat1 --yes")).said, []);
    await pool.merge();
    assertEquals(pool.layers, [1]);
  },
);

for (const keeps of [true, "unreadable"]) {
  poolTest(
    `what a guest was saved on outlives the next session's end, and is what it comes back to, with keep-session ${keeps}`,
    1,
    async (pool, fixture) => {
      pool.configure("seat1", { "keep-session": true });
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "saved");
      await pool.stop("seat1", "saved");
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "other");
      const config = `${fixture.config}/seat1.json`;
      const text = Deno.readTextFileSync(config);
      if (keeps === "unreadable") Deno.writeTextFileSync(config, "{");
      await pool.stop("seat1");
      Deno.writeTextFileSync(config, text);
      assertEquals(pool.record("seat1")?.beside, "ended");
      await pool.restore("seat1");
      assertEquals(fixture.read(pool.image("seat1"))["saved"], "yes");
    },
  );
}

poolTest(
  "a session that was left beside another one is set aside by the next start, and nothing stays for ever",
  1,
  async (pool, fixture) => {
    pool.configure("seat1", { "keep-session": true });
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await pool.start("seat1");
    fixture.write(pool.image("seat1"), "other");
    await pool.stop("seat1");
    const ended = `${pool.image("seat1")}.autorevert-ended`;
    pool.configure("seat1");
    await pool.start("seat1");
    assertEquals(fixture.read(ended)["other"], "yes");
    await pool.stop("seat1");
    assert(pool.isIdle("seat1"));
    await pool.start("seat1");
    await pool.stop("seat1");
    assert(pool.isIdle("seat1"));
    assert(!exists(ended));
  },
);

poolTest("with keep-session each end but that one sets its session aside", 1, async (pool) => {
  pool.configure("seat1", { "keep-session": true });
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  for (const isIdle of [false, true, true]) {
    await pool.start("seat1");
    await pool.stop("seat1");
    assertEquals(pool.isIdle("seat1"), isIdle);
  }
});

for (
  const cut of ["a power cut", "a power cut and a merge", "a lost end and a merge", "an end without a reason"]
) {
  for (const on of ["older", "newer"]) {
    poolTest(
      `after ${cut} a guest that was saved on one of two sessions is refused, and the way out leads to the ${on} one`,
      1,
      async (pool, fixture) => {
        // Put away before.
        Deno.writeTextFileSync(`${pool.image("seat1")}.old`, "");
        await pool.start("seat1");
        fixture.write(pool.image("seat1"), "older");
        await pool.stop("seat1", "saved");
        await pool.commit("second");
        await pool.start("seat1");
        fixture.write(pool.image("seat1"), "newer");
        if (cut === "a lost end and a merge") {
          fixture.busy.clear();
          const later = Date.now() + 3_600_000;
          fixture.now = () => new Date(later);
        } else if (cut === "an end without a reason") await pool.stop("seat1", "-");
        else pool.powerCut();
        if (cut.includes("merge")) await pool.merge();
        await pool.event("seat1", "restore");
        const { code, said } = await pool.event("seat1", "prepare");
        await pool.event("seat1", "release", "failed");
        assertEquals(code, 1);
        assertStringIncludes(said[0]!, "nobody can tell on which session the guest was saved");
        const way = on === "older" ? /second, (mv .*?);/ : /first, (mv .*?);/;
        const command = way.exec(said.join("\n"))?.[1];
        assert(command !== undefined, said.join("\n"));
        assert(new Deno.Command("sh", { args: ["-c", command] }).outputSync().success);
        assert(exists(`${pool.image("seat1")}.old.2`));
        await pool.restore("seat1");
        assertEquals(fixture.read(pool.image("seat1"))[on], "yes");
        await pool.stop("seat1");
        await pool.start("seat1");
        await pool.stop("seat1");
        assert(pool.isIdle("seat1"));
      },
    );
  }
}

poolTest(
  "a start for which there is no room leaves what an earlier one has set aside",
  1,
  async (pool, fixture) => {
    for (const which of ["first", "second"]) {
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), which);
      await pool.stop("seat1", "saved");
    }
    const ended = `${pool.image("seat1")}.autorevert-ended`;
    fixture.full.add(`${pool.image("seat1")}.autorevert-new`);
    assertEquals((await pool.event("seat1", "prepare")).code, 1);
    await pool.event("seat1", "release", "failed");
    assertEquals(fixture.read(ended)["first"], "yes");
    await pool.restore("seat1");
    assertEquals(fixture.read(pool.image("seat1"))["second"], "yes");
  },
);

poolTest("a saved seat finds its session after a copy that keeps times in whole seconds", 1, async (pool) => {
  for (const isAside of [false, true]) {
    const image = pool.image("seat1");
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    const session = pool.fixture.read(image);
    const seconds = Math.floor(Deno.lstatSync(image).mtime!.getTime() / 1000);
    Deno.utimeSync(image, seconds, seconds);
    if (isAside) Deno.renameSync(image, `${image}.autorevert-ended`);
    await pool.restore("seat1");
    assertEquals(pool.fixture.read(image), { ...session, "by seat1": "yes" });
    await pool.stop("seat1");
  }
});

for (const isAside of [false, true]) {
  poolTest(
    `a saved seat whose session was mended since${
      isAside ? ", and is set aside," : ""
    } is refused, with both times, and comes back as the hint says`,
    1,
    async (pool, fixture) => {
      const image = pool.image("seat1");
      await pool.start("seat1");
      fixture.write(image, "saved");
      await pool.stop("seat1", "saved");
      const written = Deno.lstatSync(image).mtime!;
      Deno.utimeSync(image, LONG_AGO, LONG_AGO);
      // By another host's start, say.
      if (isAside) Deno.renameSync(image, `${image}.autorevert-ended`);
      await pool.event("seat1", "restore");
      const { code, said } = await pool.event("seat1", "prepare");
      await pool.event("seat1", "release", "failed");
      assertEquals(code, 1);
      for (const time of [written, LONG_AGO]) assertStringIncludes(said[0]!, time.toISOString());
      const command = /(touch .*?);/.exec(said.join("\n"))?.[1];
      assert(new Deno.Command("sh", { args: ["-c", command!] }).outputSync().success, said.join("\n"));
      await pool.restore("seat1");
      assertEquals(fixture.read(image)["saved"], "yes");
    },
  );
}

poolTest(
  "a seat whose session was committed into its master by hand gets its own image back, and the master stays as it is",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    const image = pool.image.bind(pool);
    // virsh blockcommit --active --pivot
    const layer = `${pool.master}.backing_file`;
    pool.image = () => layer;
    pool.configure("seat1");
    fixture.busy.clear();
    await pool.event("seat1", "release", "shutdown");
    const names = fixture.files();
    const { code, said } = await pool.event("seat1", "prepare");
    assertEquals([code, ...said], [
      1,
      `error: seat1 vda: the seat's disk is "${layer}", a layer of its master "${pool.master}"`,
      `hint: name ${image("seat1")} as the source again, without <backingStore>: virsh edit seat1; ` +
      "a blockcommit has written its session into that version of the master, for all who stand on it: " +
      "if it is not to be there, restore that file from a backup",
    ]);
    await pool.event("seat1", "release", "failed");
    assertStringIncludes((await fixture.type("check seat1")).printed.join("\n"), "virsh edit seat1");
    assertEquals(fixture.files(), names);
    pool.image = image;
    pool.configure("seat1");
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "second");
  },
);

for (const failed of [1, 2]) {
  poolTest(
    `what a guest was saved on outlives ${failed} starts that failed in QEMU, and one that came up`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "saved");
      await pool.commit("second");
      await pool.stop("seat1", "saved");
      for (let times = 0; times < failed; times++) {
        assertEquals((await pool.event("seat1", "prepare")).said, []);
        await pool.event("seat1", "release", "failed");
        assertEquals(pool.record("seat1")?.layer, 0);
      }
      await pool.start("seat1");
      assertEquals(pool.version("seat1"), "second");
      await pool.stop("seat1");
      await pool.event("seat1", "restore");
      assertEquals((await pool.event("seat1", "prepare")).said, []);
      assertEquals(fixture.read(pool.image("seat1"))["saved"], "yes");
    },
  );
}

for (const over of ["a start that never came up", "one that was left beside it"]) {
  for (const next of ["a power cut", "a failed start told", "no word"]) {
    poolTest(
      `a restore that was cut short before its session had its name back, over ${over}, comes to the same one again after ${next}`,
      1,
      async (pool, fixture) => {
        pool.configure("seat1", { "keep-session": true });
        await pool.start("seat1");
        fixture.write(pool.image("seat1"), "saved");
        await pool.stop("seat1", "saved");
        if (over === "one that was left beside it") {
          await pool.start("seat1");
          await pool.stop("seat1");
        } else {
          await pool.event("seat1", "prepare");
          pool.powerCut(new Date());
        }
        await pool.event("seat1", "restore");
        await pool.event("seat1", "prepare", "-", { perform: dyingAt("rename") });
        if (next === "a power cut") pool.powerCut();
        if (next === "a failed start told") await pool.event("seat1", "release", "failed");
        await pool.restore("seat1");
        assertEquals(fixture.read(pool.image("seat1"))["saved"], "yes");
      },
    );
  }
}

for (const which of ["saved", "other"]) {
  poolTest(
    `a guest that is no seat any more, and was saved on one of two sessions, is restored on its own or not at all: ${which}`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "saved");
      await pool.stop("seat1", "saved");
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "other");
      if (which === "other") await pool.stop("seat1", "saved");
      else pool.powerCut();
      Deno.removeSync(`${fixture.config}/seat1.json`);
      await pool.event("seat1", "restore");
      const { code, said } = await pool.event("seat1", "prepare");
      if (which === "saved") assertStringIncludes(said[0]!, "nobody can tell on which session");
      else assertEquals([code, fixture.read(pool.image("seat1"))["other"]], [0, "yes"]);
    },
  );
}

poolTest(
  "what a guest was saved on still waits for it after the guest has run on another image for a while",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    fixture.write(pool.image("seat1"), "saved");
    await pool.stop("seat1", "saved");
    const image = pool.image.bind(pool);
    pool.image = () => fixture.image("another");
    pool.configure("seat1");
    await pool.start("seat1");
    await pool.stop("seat1");
    pool.image = image;
    pool.configure("seat1");
    pool.powerCut();
    await pool.start("seat1");
    await pool.stop("seat1");
    await pool.restore("seat1");
    assertEquals(fixture.read(image("seat1"))["saved"], "yes");
  },
);

for (const [first, second] of [["killed", "killed"], ["killed", "without room"], ["lost", "killed"]]) {
  poolTest(
    `after two ends that could not be noted, ${first} and ${second}, a guest is restored on its own session or not at all`,
    1,
    async (pool, fixture) => {
      const killed: NonNullable<Circumstance["perform"]> = () => () => Promise.reject(new Error("killed"));
      const full: NonNullable<Circumstance["perform"]> = (inner) => (step, control) =>
        step.kind === "seats" ? Promise.reject(new Error("No space left on device")) : inner(step, control);
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "older");
      if (first === "killed") await pool.stop("seat1", "shutdown", { perform: killed });
      else fixture.busy.clear();
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "newer");
      await pool.stop("seat1", "saved", { perform: second === "killed" ? killed : full });
      await pool.event("seat1", "restore");
      const { code, said } = await pool.event("seat1", "prepare");
      assertEquals([code, said[0]?.includes("nobody can tell on which session")], [1, true]);
      assertEquals(fixture.read(pool.image("seat1"))["newer"], "yes");
    },
  );
}

for (const end of ["-", "keep-session"]) {
  poolTest(
    `a session whose end could not be noted, since the guest may have been saved on it, outlives the end of the next one: ${end}`,
    1,
    async (pool, fixture) => {
      if (end === "keep-session") pool.configure("seat1", { "keep-session": true });
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "work", "older");
      await pool.stop("seat1", "saved", { perform: () => () => Promise.reject(new Error("killed")) });
      for (const isThere of [true, false]) {
        await pool.start("seat1");
        fixture.write(pool.image("seat1"), "work", "newer");
        await pool.stop("seat1", end === "-" ? "-" : "shutdown");
        const ended = fixture.read(`${pool.image("seat1")}.autorevert-ended`);
        assertEquals(ended["work"] === "older", isThere);
      }
      pool.configure("seat1");
      for (let times = 0; times < 2; times++) {
        await pool.start("seat1");
        await pool.stop("seat1");
      }
      assertEquals(fixture.files().filter((name) => name.startsWith("seat1")), []);
    },
  );
}

poolTest(
  "a restore whose rename fails leaves what the guest was saved on, and the next one comes to it",
  1,
  async (pool, fixture) => {
    pool.configure("seat1", { "keep-session": true });
    await pool.start("seat1");
    fixture.write(pool.image("seat1"), "saved");
    await pool.stop("seat1", "saved");
    await pool.start("seat1");
    await pool.stop("seat1");
    await pool.event("seat1", "restore");
    const perform = failing(pool.image("seat1"));
    assertEquals((await pool.event("seat1", "prepare", "-", { perform })).code, 1);
    await pool.event("seat1", "release", "failed");
    await pool.restore("seat1");
    assertEquals(fixture.read(pool.image("seat1"))["saved"], "yes");
  },
);

poolTest(
  "what a start was making when the host died keeps no merge and no start waiting",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1");
    await pool.event("seat1", "prepare", "-", { perform: dyingAt("rename") });
    assert(exists(`${pool.image("seat1")}.autorevert-new`));
    await pool.commit("second");
    fixture.booted = LATER;
    Deno.removeSync(`${fixture.config}/seat1.starting`);
    await pool.merge();
    assertEquals(pool.layers, [1]);
    await pool.start("seat1");
  },
);

for (const then of ["a restore", "another start"]) {
  poolTest(
    `a start with another master that is cut short leaves a saved session that ${then} knows`,
    1,
    async (pool, fixture) => {
      const other = fixture.image("other");
      fixture.save(other, null, { version: "other" });
      await pool.start("seat1");
      fixture.write(pool.image("seat1"), "saved");
      await pool.stop("seat1", "saved");
      pool.configure("seat1", { master: other });
      await pool.event("seat1", "prepare", "-", { perform: dyingAt("create") });
      pool.powerCut();
      if (then === "another start") {
        await pool.start("seat1");
        assertEquals(pool.version("seat1"), "other");
        await pool.stop("seat1");
      }
      await pool.restore("seat1");
      assertEquals([pool.version("seat1"), fixture.read(pool.image("seat1"))["saved"]], ["first", "yes"]);
    },
  );
}

poolTest(
  "a saved seat whose image was moved, with a link left in its place, comes back as its refused restore says",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    fixture.write(pool.image("seat1"), "saved");
    await pool.stop("seat1", "saved");
    const image = pool.image("seat1");
    Deno.mkdirSync(`${fixture.images}/room`);
    Deno.renameSync(image, `${fixture.images}/room/seat1.img`);
    Deno.symlinkSync(`${fixture.images}/room/seat1.img`, image);
    await pool.event("seat1", "restore");
    const { code, said } = await pool.event("seat1", "prepare");
    await pool.event("seat1", "release", "failed");
    const way = `mv -f ${fixture.images}/room/seat1.img ${image}`;
    assertEquals([code, said[1]], [1, `hint: move it back: ${way}`]);
    assert(new Deno.Command("sh", { args: ["-c", way] }).outputSync().success);
    await pool.restore("seat1");
    assertEquals(fixture.read(image)["saved"], "yes");
  },
);

poolTest(
  "guests of whose notes one is a copy are told which that is, and start without it",
  2,
  async (pool, fixture) => {
    await pool.start("seat1");
    fixture.write(pool.image("seat1"), "saved");
    await pool.stop("seat1", "saved");
    const copy = `${fixture.config}/seat2.seats`;
    Deno.copyFileSync(`${fixture.config}/seat1.seats`, copy);
    for (const seat of pool.seats) {
      const { code, said } = await pool.event(seat, "prepare");
      assertEquals([code, said[1]], [1, `hint: if the note of "seat2" is a copy: rm ${copy}`]);
      await pool.event(seat, "release", "failed");
    }
    Deno.removeSync(copy);
    await pool.start("seat2");
    await pool.restore("seat1");
    assertEquals(fixture.read(pool.image("seat1"))["saved"], "yes");
  },
);

poolTest(
  "a saved guest that is no seat any more is not restored onto another file in its session's place",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    assertEquals((await fixture.type("disable seat1")).said, []);
    fixture.save(pool.image("seat1"), null, { own: "yes" });
    await pool.event("seat1", "restore");
    const { code, said } = await pool.event("seat1", "prepare");
    assertEquals([code, said[0]?.includes("that the guest was saved on is gone")], [1, true], said.join());
    await pool.event("seat1", "release", "failed");
    assertEquals((await pool.event("seat1", "prepare")).code, 0);
    assertEquals([fixture.read(pool.image("seat1")), pool.record("seat1")], [{ own: "yes" }, undefined]);
  },
);

for (const told of ["told as failed", "not told"]) {
  poolTest(
    `what a start that was killed between its renames has set aside is there after the next start, too: ${told}`,
    1,
    async (pool, fixture) => {
      for (let step = 0; step < 6; step++) {
        await pool.start("seat1");
        fixture.write(pool.image("seat1"), "saved", `${step}`);
        await pool.stop("seat1", "saved");
        let names = 0;
        const perform = dyingAt(({ kind }) => (kind === "rename" || kind === "seats") && names++ === step);
        await pool.event("seat1", "prepare", "-", { perform });
        if (told === "not told") pool.powerCut();
        else await pool.event("seat1", "release", "failed");
        await pool.start("seat1");
        await pool.stop("seat1");
        await pool.restore("seat1");
        assertEquals(fixture.read(pool.image("seat1"))["saved"], `${step}`);
        await pool.stop("seat1");
      }
    },
  );
}

poolTest(
  "a saved session in whose place a start was cut short is told as its guest's, and as what it stands on",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await pool.commit("second");
    await pool.event("seat1", "prepare", "-", { perform: dyingAt("rename") });
    pool.powerCut();
    await pool.commit("third");
    await pool.merge();
    assertEquals([pool.layers, pool.record("seat1")?.layer], [[0, 1, 2], 0]);
    const { printed } = await fixture.type("check guest");
    const text = printed.join("\n");
    assertStringIncludes(text, `"seat1" has left a session behind`);
    assert(!text.includes("no note"), text);
    await pool.restore("seat1");
    assertEquals(pool.version("seat1"), "first");
  },
);
