/** Starts of seats that are refused, and events of theirs that are cut short. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DOMAIN, exists, type Fixture } from "./fixture.ts";
import { type Pool, poolTest } from "./pool.ts";
import { diskXml, domainXml } from "./xml.ts";
import { LONGEST_IMAGE_NAME } from "../lib/state/paths.ts";

/** A guest with a seat, vda, and a disk of its own, vdb. */
function mixed(pool: Pool, fixture: Fixture) {
  const own = fixture.image("own");
  fixture.save(own, null, { own: "yes" });
  const disks = [{ target: "vda", master: pool.master }, { target: "vdb" }];
  Deno.writeTextFileSync(`${fixture.config}/seat1.json`, JSON.stringify({ disks }));
  const xml = domainXml([diskXml("vda", pool.image("seat1")), diskXml("vdb", own)]);
  return { own, how: { xml, domain: "seat1" } };
}

poolTest(
  "where the seat's last step fails, the disk of its own guest has not begun either",
  1,
  async (pool, fixture) => {
    const { own, how } = mixed(pool, fixture);
    for (const isOwn of [false, true]) {
      const { code } = await fixture.event("prepare", "-", {
        ...how,
        perform: (inner) => (step, control) =>
          step.kind === "rename" && step.to === (isOwn ? own : pool.image("seat1"))
            ? Promise.reject(new Error("Input/output error"))
            : inner(step, control),
      });
      assertEquals(code, 1);
      assertEquals(fixture.files().filter((name) => /^(own|seat1)/.test(name)), ["own.img"]);
      assertEquals(
        fixture.files(fixture.config).filter((name) => /^seat1\.(session|seats)/.test(name)),
        [],
      );
      await fixture.event("release", "failed", how);
    }
    assertEquals(fixture.read(own), { own: "yes" });
    assertEquals((await fixture.event("prepare", "-", how)).said, []);
  },
);

poolTest(
  "a start that is refused after it has stopped a merge of the guest's own disk has it go on",
  1,
  async (pool, fixture) => {
    const { own, how } = mixed(pool, fixture);
    await fixture.event("prepare", "-", how);
    await fixture.event("started", "-", how);
    Deno.writeTextFileSync(
      `${fixture.config}/seat1.json`,
      JSON.stringify({
        disks: [{ target: "vda", master: pool.master }, { target: "vdb", "one-shot-commit": true }],
      }),
    );
    await fixture.event("release", "shutdown", { ...how, mergeDies: true });
    Deno.linkSync(`${own}.backing_file.1`, `${own}.autorevert-merge.1`);
    const started: string[] = [];
    await fixture.event("prepare", "-", {
      ...how,
      background: (domain) => void started.push(domain),
      perform: (inner) => (step, control) =>
        step.kind === "rename" && step.to === pool.image("seat1")
          ? Promise.reject(new Error("Input/output error"))
          : inner(step, control),
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
  "the last seat that is taken out lets its master be an ordinary disk, named through a link, too",
  1,
  async (pool, fixture) => {
    Deno.symlinkSync(pool.master, `${fixture.images}/lab`);
    pool.configure("seat1", { master: `${fixture.images}/lab` });
    await pool.start("seat1");
    await pool.stop("seat1");
    assertEquals((await fixture.type(["disable", "seat1"])).said, []);
    assertEquals(fixture.files(), ["lab", "vda.img"]);
  },
);

for (
  const text of [
    '{"disks": [null, {"master": 1}]}',
    '{"disks": {"master": 1}}',
    '["master"',
    '"master"',
    "null",
  ]
) {
  poolTest(
    `a configuration that is not valid keeps no other from being changed: ${text}`,
    2,
    async (pool, fixture) => {
      Deno.writeTextFileSync(
        `${fixture.config}/seat2.json`,
        `${text}${text === "null" ? ' // "master"' : ""}`,
      );
      Deno.removeSync(`${fixture.config}/seat1.json`);
      const enabled = await fixture.type(["enable", "seat1", "vda", "--master", pool.master]);
      assertEquals(enabled.said, []);
      await pool.start("seat1");
      await pool.stop("seat1");
      const status = await fixture.type(["status", "seat1"]);
      assertEquals(status.code, 0, [...status.printed, ...status.said].join("\n"));
      assertEquals((await fixture.type(["disable", "seat1"])).said, []);
    },
  );
}

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

poolTest("a session that is kept by recover --keep is not published by hand", 1, async (pool, fixture) => {
  fixture.keys = { "keep-commits": 5 };
  await pool.start("seat1");
  await pool.stop("seat1");
  fixture.configure({ vda: false });
  await fixture.start();
  fixture.write(pool.master, "version", "second");
  pool.powerCut();
  fixture.keys = { "keep-commits": 5, publish: "by hand" };
  fixture.configure({ vda: false });
  const { said } = await fixture.type(["recover", DOMAIN, "--keep", "--yes"]);
  assertEquals(said, []);
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
});
