/** Who stands on a master, where files are seen twice, can't be read, or tell it in an unusual way. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DOMAIN, type Fixture } from "./fixture.ts";
import { failingAt, shortListings } from "./fault.ts";
import { poolTest } from "./pool.ts";
import { diskXml, domainXml } from "./xml.ts";
import { UserError } from "../lib/errors.ts";
import { standingOn } from "../lib/hook/standing.ts";
import { namesOf } from "../lib/state/paths.ts";

poolTest("a file that no note tells of keeps a merge waiting, too", 3, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.commit("second");
  Deno.removeSync(`${fixture.config}/seat1.seats`);
  Deno.removeSync(`${fixture.config}/seat1.json`);
  const { log } = await pool.merge();
  assertStringIncludes(log.join("\n"), "stands there, and no note tells of it");
  assertEquals(pool.layers, [0, 1]);
  Deno.removeSync(pool.image("seat1"));
  assertEquals((await pool.merge()).code, 0);
  assertEquals(pool.layers, [1]);
});

poolTest(
  "an image folder that is seen by a second path makes no one stand on the master, and is counted once",
  3,
  async (pool, fixture) => {
    Deno.symlinkSync(fixture.images, `${fixture.root}/link`);
    fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, `${fixture.root}/link`] };
    await pool.commit("second");
    await pool.start("seat1");
    await pool.commit("third");
    const waits = await pool.merge();
    assertStringIncludes(waits.log.join("\n"), `on the layers: "seat1" runs`);
    assert(!waits.log.join("\n").includes("remove"), "a hint to remove what may be the master");
    const status = await fixture.type(["status", "--json"]);
    const [master] = JSON.parse(status.printed.join("\n")).guests[0].disks;
    assertEquals([master.stoodOnBy, master.waitsFor], [1, ["seat1"]]);
    // A copy is one more, however many paths lead to it.
    Deno.copyFileSync(pool.image("seat1"), `${fixture.images}/copy.img`);
    const [more] = JSON.parse((await fixture.type(["status", "--json"])).printed.join("\n")).guests[0].disks;
    assertEquals(more.stoodOnBy, 2);
    Deno.removeSync(`${fixture.images}/copy.img`);
    await pool.stop("seat1");
    await pool.merge();
    assertEquals(pool.layers, [2]);
  },
);

poolTest(
  "nor do hard links to the master's files in another folder; a copy of a session does, under each of its names",
  3,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 3 };
    await pool.commit("second");
    await pool.start("seat1");
    const backup = `${fixture.images}/backup`;
    Deno.mkdirSync(backup);
    for (const name of fixture.files().filter((name) => name.startsWith("vda.img") || name === "seat1.img")) {
      Deno.linkSync(`${fixture.images}/${name}`, `${backup}/${name}`);
    }
    const refused = await fixture.command("undo");
    assertStringIncludes(refused.said.join("\n"), `sessions stand on the commit: "seat1" runs`);
    assert(!refused.said.join("\n").includes("backup"), refused.said.join("\n"));
    await pool.stop("seat1");
    const again = await fixture.command("undo");
    assertEquals(again.code, 1);
    assertStringIncludes(again.said.join("\n"), `${backup}/seat1.img" stands there, and no note tells of it`);
    assertStringIncludes(again.said.join("\n"), "hint: no note here tells whose");
    Deno.removeSync(`${backup}/seat1.img`);
    assertEquals((await fixture.command("undo")).said, []);
  },
);

poolTest(
  "status and check tell what to do about a copy of a session that keeps a merge waiting",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    pool.live("seat1");
    const copy = `${fixture.images}/copy.img`;
    Deno.copyFileSync(pool.image("seat1"), copy);
    const status = async () => (await fixture.type(["status"])).printed.join("\n");
    assertStringIncludes(
      await status(),
      `a commit waiting to be merged, for the end of seat1, kept from it by ${copy}: see autorevert check; 2 seats`,
    );
    Deno.removeSync(`${fixture.settings.liveFolder}/seat1.xml`);
    await pool.stop("seat1");
    assertStringIncludes(await status(), `a commit waiting to be merged, kept from it by ${copy}`);
    const check = await fixture.type(["check"]);
    assertStringIncludes(
      check.printed.join("\n"),
      `hint: no note here tells whose "${copy}" is: a session of another host goes with its guest's end; ` +
        "a copy of one is in the way until it is moved out of the image folders, is removed, " +
        "or stands on nothing (qemu-img rebase -f qcow2 -b '' FILE)",
    );
    Deno.removeSync(copy);
    await pool.merge();
    assertEquals(pool.layers, [1]);
  },
);

poolTest("an overlay that names a layer through a symbolic link stands on it", 3, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.commit("second");
  const alias = `${fixture.images}/alias`;
  Deno.symlinkSync(namesOf(pool.master).layer(0), alias);
  fixture.save(`${fixture.images}/own.img`, alias, { own: "yes" });
  await pool.stop("seat1");
  await pool.merge();
  assertEquals(pool.layers, [0, 1]);
  assertEquals(pool.of(fixture.read(`${fixture.images}/own.img`)), "first");
});

/** The same fixture, with an image of which nobody can tell what it stands on. */
function unreadable(fixture: Fixture): string {
  const path = `${fixture.images}/torn.img`;
  fixture.save(path, null, {});
  const backingOf = fixture.backingOf.bind(fixture);
  fixture.backingOf = (image) => {
    if (image === path) throw new UserError(`cannot read "${path}": Input/output error`);
    return backingOf(image);
  };
  return path;
}

poolTest(
  "an image that can't be read keeps merges and undo waiting, and neither status nor check from telling of all else",
  3,
  async (pool, fixture) => {
    await pool.commit("second");
    await pool.start("seat1");
    await pool.commit("third");
    const path = unreadable(fixture);
    pool.live("seat1");
    const status = await fixture.type(["status"]);
    assertEquals(status.said, []);
    assertStringIncludes(status.printed.join("\n"), "running on a session, of vda.img, a commit behind");
    const check = await fixture.type(["check"]);
    assertStringIncludes([...check.said, ...check.printed].join("\n"), `"${path}" can't be read`);
    Deno.removeSync(`${fixture.settings.liveFolder}/seat1.xml`);
    await pool.stop("seat1");
    assertEquals((await pool.merge()).code, 1);
    assertEquals(pool.layers, [0, 1, 2]);
    fixture.keys = { "keep-commits": 3 };
    fixture.configure({ vda: false });
    const undo = await fixture.command("undo");
    assertEquals(undo.code, 1);
    assertStringIncludes(undo.said.join("\n"), `"${path}" can't be read`);
    assertStringIncludes(undo.said.join("\n"), "hint: nobody can tell what");
    Deno.removeSync(path);
    fixture.keys = {};
    fixture.configure({ vda: false });
    await pool.merge();
    assertEquals(pool.layers, [2]);
  },
);

poolTest("a folder that can't be listed keeps them waiting, too", 3, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.commit("second");
  await pool.stop("seat1", "shutdown", { mergeDies: true });
  // Root may list any folder: in its place there is a file.
  const folder = `${fixture.root}/closed`;
  Deno.writeTextFileSync(folder, "");
  fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, folder] };
  assertEquals((await fixture.type(["status"])).said, []);
  assertStringIncludes((await pool.merge()).log.join("\n"), `"${folder}" can't be read`);
  assertEquals(pool.layers, [0, 1]);
  Deno.removeSync(folder);
  await pool.merge();
  assertEquals(pool.layers, [1]);
});

poolTest(
  "a listing that the disk gives in part keeps merges and undo waiting, where a guest's session is known to be there",
  2,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "-");
    await pool.commit("second");
    const copy = `${fixture.images}/seat2.old`;
    Deno.copyFileSync(namesOf(pool.image("seat1")).ended, copy);
    const isLater = ({ name }: Deno.DirEntry) => /^seat..(img|old)/.test(name);
    {
      using _ = shortListings(isLater);
      const waits = await pool.merge();
      assertStringIncludes(waits.log.join("\n"), `"${fixture.images}" can't be read`);
      fixture.keys = { "keep-commits": 3 };
      fixture.configure({ vda: false });
      assertStringIncludes(
        (await fixture.command("undo")).said.join("\n"),
        `"${fixture.images}" can't be read`,
      );
      fixture.keys = {};
      fixture.configure({ vda: false });
    }
    assertEquals(pool.layers, [0, 1]);
    Deno.removeSync(copy);
    Deno.renameSync(`${fixture.settings.definedFolder}/seat1.xml`, `${fixture.root}/seat1.xml`);
    {
      // All of the folder, once the master's own files are found.
      using _ = shortListings(({ name }) => name.includes(".img"), 2, 1);
      const standing = standingOn(namesOf(pool.master), { host: fixture.host() });
      assertEquals(standing.map(({ file }) => file), [fixture.images]);
    }
    Deno.renameSync(`${fixture.root}/seat1.xml`, `${fixture.settings.definedFolder}/seat1.xml`);
    {
      using _ = shortListings(isLater, 1);
      const waits = await pool.merge();
      assertStringIncludes(waits.log.join("\n"), `seat1.img.autorevert-ended" has a session set aside`);
    }
    await pool.restore("seat1");
    assertEquals(pool.version("seat1"), "first");
  },
);

poolTest(
  "a path of an image that leads to it by a link, or to another file, keeps nothing waiting",
  2,
  async (pool, fixture) => {
    await pool.start("seat1");
    const link = `${fixture.images}/link`;
    Deno.mkdirSync(`${fixture.images}/below`);
    Deno.symlinkSync(`${fixture.images}/below`, link);
    fixture.save(`${link}/other.img`, null, {});
    const xml = domainXml([
      diskXml("vda", `${link}/other.img`),
      diskXml("vdb", `${fixture.images}/none/x.img`),
    ]);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/other.xml`, xml);
    await pool.stop("seat1");
    await pool.commit("second");
    assertEquals((await pool.merge()).said, []);
    assertEquals(pool.layers, [1]);
  },
);

for (const event of ["merge", "undo", "discard"] as const) {
  poolTest(
    `a master whose mark is lost protects what a saved seat stands on all the same: ${event}`,
    3,
    async (pool, fixture) => {
      const { layer, master } = namesOf(pool.master);
      if (event === "undo") {
        fixture.keys = { "keep-commits": 3 };
        await pool.commit("second");
      }
      await pool.start("seat1");
      const before = fixture.read(pool.image("seat1"));
      if (event === "merge") await pool.commit("second");
      await pool.stop("seat1", "saved");
      if (event === "discard") {
        fixture.configure({ vda: false });
        await fixture.start();
      }
      // As `find -empty -delete` does, or a copy that leaves empty files out.
      Deno.removeSync(master);
      if (event === "merge") await pool.merge();
      if (event === "undo") assertEquals((await fixture.command("undo")).code, 1);
      if (event === "discard") {
        const isMarked = async () =>
          (await fixture.event("release", "shutdown")).log.some((line) => line.includes(": mark "));
        assert(await isMarked());
        assertEquals(pool.layers, [0]);
        await fixture.start();
        assert(!await isMarked(), "it is marked once");
      }
      assertEquals(fixture.read(pool.image("seat1")), before);
      assert(fixture.files().includes("vda.img.autorevert-master"), "it is there again");
      assert(pool.layers.includes(event === "undo" ? 1 : 0), layer(0));
    },
  );
}

for (const event of ["merge", "undo"] as const) {
  poolTest(
    `nor is it lost for a session that is set aside, of which no note tells: ${event}`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      if (event === "undo") {
        await pool.stop("seat1");
        fixture.keys = { "keep-commits": 3 };
        await pool.commit("second");
        await pool.start("seat1");
      }
      await pool.stop("seat1", "-");
      if (event === "merge") await pool.commit("second");
      Deno.removeSync(namesOf(pool.master).master);
      if (event === "merge") await pool.merge();
      else assertEquals((await fixture.command("undo")).code, 1);
      await pool.event("seat1", "restore");
      assertEquals((await pool.event("seat1", "prepare")).said, []);
      assertEquals(pool.version("seat1"), event === "undo" ? "second" : "first");
      assert(fixture.files().includes("vda.img.autorevert-master"), "it is there again");
    },
  );
}

poolTest(
  "a seat whose disk was detached is told as what a person has to end, with the command",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    // Detached while the guest ran, and taken out of the domain and the configuration.
    const without = domainXml([diskXml("vdb", fixture.image("other"))]);
    Deno.removeSync(`${fixture.config}/seat1.json`);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat1.xml`, without);
    await pool.event("seat1", "release", "shutdown", { xml: without });
    pool.powerCut();
    const { log } = await pool.merge();
    assertEquals(pool.layers, [0, 1]);
    assertStringIncludes(log.join("\n"), `"seat1" has left a session`);
    const check = await fixture.type(["check"]);
    const text = [...check.said, ...check.printed].join("\n");
    assertStringIncludes(text, "autorevert recover --discard seat1");
    assertEquals((await fixture.type(["recover", "--discard", "seat1", "--yes"])).code, 0);
    await pool.merge();
    assertEquals(pool.layers, [1]);
  },
);

poolTest(
  "recover leaves the disk that was detached from a seat's guest, and that another guest has now",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    const without = domainXml([diskXml("vdb", fixture.image("other"))]);
    const definitions = fixture.settings.definedFolder;
    Deno.removeSync(`${fixture.config}/seat1.json`);
    Deno.writeTextFileSync(`${definitions}/seat1.xml`, without);
    await pool.stop("seat1", "shutdown", { xml: without });
    Deno.writeTextFileSync(`${definitions}/helper.xml`, domainXml([diskXml("vdb", pool.image("seat1"))]));
    const { code, said } = await fixture.type("recover --discard seat1 --yes");
    assertEquals(code, 1);
    assertStringIncludes(said[0]!, `is a disk of the guest "helper", too`);
    assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
  },
);

poolTest(
  "a start that fails leaves the session of a seat's disk that was detached: another guest may have it",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    const without = domainXml([diskXml("vdb", fixture.image("other"))]);
    Deno.removeSync(`${fixture.config}/seat1.json`);
    await pool.stop("seat1", "shutdown", { xml: without });
    assertEquals((await pool.event("seat1", "prepare", "-", { xml: without })).code, 0);
    await pool.event("seat1", "release", "failed", { xml: without });
    assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
  },
);

poolTest(
  "a guest whose note of its seats can't be read is named, with the command to type",
  2,
  async (pool, fixture) => {
    await pool.start("seat2");
    await pool.commit("second");
    Deno.writeTextFileSync(`${fixture.config}/seat1.seats`, "[");
    const check = await fixture.type(["check", "guest"]);
    assertStringIncludes(
      check.printed.join("\n"),
      "hint: see what is wrong with the note: autorevert check seat1",
    );
    const undo = await fixture.type(["undo", "guest", "--yes"]);
    assertStringIncludes(
      undo.said.join("\n"),
      "hint: see what is wrong with the note: autorevert check seat1",
    );
  },
);

for (const target of ["vda", "sda"]) {
  poolTest(
    `a master that is ${target} and not configured any more is not started as long as a seat is saved on it`,
    1,
    async (pool, fixture) => {
      fixture.keys = { "keep-commits": 3 };
      await pool.commit("second");
      await pool.start("seat1");
      await pool.stop("seat1", "saved");
      fixture.sources.clear();
      fixture.sources.set(target, pool.master); // virsh edit
      Deno.removeSync(fixture.configFile);
      const { code, said } = await fixture.event("prepare");
      assertEquals(code, 1);
      assertStringIncludes(said.join("\n"), "seats stand on");
    },
  );
}

for (const here of ["nothing", "a folder of its own", "what the program may not look at"]) {
  poolTest(
    `a session of a host that has the folder at another place stands on the master all the same, where this one has ${here}`,
    1,
    async (pool, fixture) => {
      fixture.keys = { "keep-commits": 3 };
      await pool.commit("one");
      const folder = `${fixture.root}/pool`;
      if (here === "a folder of its own") Deno.mkdirSync(folder);
      fixture.save(`${fixture.images}/far.img`, `${folder}/vda.img.backing_file.1`, { work: "far" });
      await pool.start("seat1");
      await pool.stop("seat1");
      fixture.configure({ vda: false });
      const { lstatSync } = Deno;
      if (here === "what the program may not look at") {
        Deno.lstatSync = (path) => {
          if (`${path}`.startsWith(folder)) throw new Deno.errors.NotCapable();
          return lstatSync(path);
        };
      }
      try {
        const { code, said } = await fixture.type(["undo", DOMAIN, "--yes"]);
        assertEquals([code, said[0]?.includes("sessions stand on the commit")], [1, true], said.join());
      } finally {
        Deno.lstatSync = lstatSync;
      }
      assertEquals(pool.layers, [0, 1]);
    },
  );
}

poolTest(
  "no session begins in a hidden folder, where no merge looks; one that lies there comes back",
  1,
  async (pool, fixture) => {
    const image = pool.image.bind(pool);
    const folder = `${fixture.images}/.seats`;
    Deno.mkdirSync(folder);
    pool.image = (seat) => `${folder}/${seat}.img`;
    pool.configure("seat1");
    for (
      const said of [
        (await pool.event("seat1", "prepare")).said,
        (await fixture.type("enable seat1 vda --preview")).said,
        (await fixture.type("check seat1")).printed,
      ]
    ) {
      assertStringIncludes(said.join("\n"), `${folder}/seat1.img" lies in a hidden folder`);
      assertStringIncludes(said.join("\n"), "virsh edit seat1");
    }
    await pool.event("seat1", "release", "failed");
    assert(pool.isIdle("seat1"));
    pool.image = image;
    pool.configure("seat1");
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    // By an earlier version.
    pool.image = (seat) => `${folder}/${seat}.img`;
    Deno.renameSync(image("seat1"), pool.image("seat1"));
    const note = `${fixture.config}/seat1.seats`;
    Deno.writeTextFileSync(note, Deno.readTextFileSync(note).replace(image("seat1"), pool.image("seat1")));
    pool.configure("seat1");
    await pool.restore("seat1");
  },
);

poolTest("what a guest writes into its raw disk makes that no session", 1, async (pool, fixture) => {
  await pool.commit("one");
  await pool.start("seat1");
  await pool.stop("seat1");
  const path = `${fixture.images}/raw-guest.img`;
  // As a header of qcow2 looks.
  fixture.save(path, namesOf(pool.master).layer(0), {});
  const standing = () => standingOn(namesOf(pool.master), { host: fixture.host() }).map(({ file }) => file);
  assertEquals(standing(), [path]);
  const xml = domainXml([diskXml("vda", path).replace("qcow2", "raw")]);
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/raw.xml`, xml);
  assertEquals(standing(), []);
});

poolTest("a master whose mark is lost, and can't be made again, is not merged", 1, async (pool) => {
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  await pool.commit("second");
  Deno.removeSync(namesOf(pool.master).master);
  const { code, said } = await pool.merge({ perform: failingAt(({ kind }) => kind === "mark") });
  assertEquals([code, said, pool.layers], [1, ["error: guest vda: EIO"], [0, 1]]);
  await pool.restore("seat1");
  assertEquals(pool.version("seat1"), "first");
});

poolTest(
  "an image whose mark of a master is lost keeps what seats stand on where its guest has another one",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await fixture.start();
    await fixture.stop();
    const other = fixture.image("other");
    fixture.save(other, null, { base: "other" });
    fixture.sources.set("vda", other);
    fixture.define();
    Deno.removeSync(namesOf(pool.master).master);
    assertEquals((await fixture.type(["recover", "--discard", DOMAIN, pool.master], true)).said, []);
    await pool.restore("seat1");
    assertEquals(pool.version("seat1"), "first");
  },
);
