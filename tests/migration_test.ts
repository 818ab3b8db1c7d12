/** Guests that migrate between two hosts with one folder of images. */

import { assertEquals } from "@std/assert";
import { afterFirst, atEveryStep, before, dyingAt, Failing, faults, tearing } from "./fault.ts";
import { afterClockTick, copyDown, Fixture, LATER } from "./fixture.ts";
import { TwoHosts } from "./two_hosts.ts";
import { readRecords } from "../lib/host/session_records.ts";
import { formatRecords } from "../lib/state/session_record.ts";

/** libvirt tells the reason of an end from 10.5 on. */
const told = [true, false];
const said = (tells: boolean, reason: string) => tells ? reason : "-";

for (const tells of told) {
  const libvirt = tells ? "a libvirt that tells why" : "a libvirt that gives no reason";

  Deno.test(`an aborted migration leaves the session to the guest that runs on it, ${libvirt}`, async () => {
    for (const reason of ["failed", "destroyed"]) {
      using hosts = new TwoHosts({ vda: false });
      const { here, there } = hosts;
      await hosts.start(here);
      here.write(here.vda, "mine");
      await hosts.abort(there, said(tells, reason));
      assertEquals(here.state("vda").kind, "session");
      assertEquals(there.files(there.config).filter((name) => name.endsWith(".session")), []);
      assertEquals(here.read(here.vda), { base: "vda", mine: "yes" });
      await hosts.stop(here, said(tells, "shutdown"));
      assertEquals(here.disk("vda"), { base: "vda" });
    }
  });

  Deno.test(`a migration that fails while nobody holds the image's lock leaves the session, ${libvirt}`, async () => {
    const statuses = ["state='paused' reason='migration'", "state='running' reason='post-copy'"];
    const cases = [false, true].flatMap((flag) => statuses.map((status) => ({ flag, status })));
    for (const { flag, status } of cases) {
      using hosts = new TwoHosts({ vda: flag }, { vda: false });
      const { here, there } = hosts;
      await hosts.start(here);
      const before = here.state("vda");
      await hosts.failLate(there, said(tells, "failed"), status);
      assertEquals(here.state("vda"), before);
      assertEquals(
        there.files(there.config).filter((name) => /session|starting/.test(name)),
        [],
      );
      here.write(here.image("vda"), "mine");
      await hosts.stop(here, said(tells, "shutdown"));
      assertEquals(here.disk("vda"), { base: "vda", ...flag && { mine: "yes" } });
      assertEquals(here.flags(), { vda: false });
    }
  });

  Deno.test(`an unflagged session is reverted where it ends, ${libvirt}`, async () => {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    await hosts.start(here);
    await hosts.migrate(here, there, said(tells, "migrated"));
    await hosts.migrate(there, here, said(tells, "migrated"));
    await hosts.migrate(here, there, said(tells, "migrated"));
    here.write(here.vda, "junk");
    await hosts.stop(there, said(tells, "shutdown"));
    assertEquals(here.disk("vda"), { base: "vda" });
    await hosts.start(here);
    assertEquals(here.read(here.vda), { base: "vda" });
    await hosts.stop(here);
    assertEquals(here.files(), ["vda.img"]);
  });
}

for (const tells of told) {
  const libvirt = tells ? "a libvirt that tells why" : "a libvirt that gives no reason";
  const flags = [[true, false], [true, true], [false, true]] as const;
  for (const [first, second] of flags) {
    Deno.test(`a flag counts once wherever the session ends, flags ${first} and ${second}, ${libvirt}`, async () => {
      using hosts = new TwoHosts({ vda: first }, { vda: second });
      const { here, there } = hosts;
      await hosts.start(here);
      await hosts.migrate(here, there, said(tells, "migrated"));
      here.write(here.vda, "kept");
      await hosts.stop(there, said(tells, "shutdown"));
      assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
      assertEquals([here.flags(), there.flags()], [{ vda: false }, { vda: false }]);
      await hosts.start(here);
      here.write(here.vda, "junk");
      await hosts.stop(here);
      assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
      assertEquals(here.files(), ["vda.img"]);
    });
  }

  Deno.test(`a flag that an editor sets while the guest runs goes with the session, ${libvirt}`, async () => {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    await hosts.start(here);
    here.configure({ vda: true });
    await hosts.migrate(here, there, said(tells, "migrated"));
    assertEquals(here.flags(), { vda: false });
    here.write(here.vda, "kept");
    await hosts.stop(there, said(tells, "shutdown"));
    assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
    assertEquals(here.files(), ["vda.img"]);
  });

  Deno.test(`a flagged session goes there and back, and is committed once, ${libvirt}`, async () => {
    using hosts = new TwoHosts({ vda: true }, { vda: false });
    const { here, there } = hosts;
    await hosts.start(here);
    for (const [from, to] of [[here, there], [there, here]] as const) {
      await hosts.abort(to, said(tells, "failed"));
      await hosts.migrate(from, to, said(tells, "migrated"));
    }
    here.write(here.vda, "kept");
    await hosts.stop(here, said(tells, "shutdown"));
    assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
    assertEquals([here.flags(), there.flags()], [{ vda: false }, { vda: false }]);
    assertEquals(here.files(), ["vda.img"]);
  });

  Deno.test(`a session that ends there before its source has let it go is kept, ${libvirt}`, async () => {
    using hosts = new TwoHosts({ vda: true }, { vda: false });
    const { here, there } = hosts;
    await hosts.start(here);
    await hosts.announce(there);
    here.write(here.vda, "kept");
    await hosts.stop(there, said(tells, "shutdown"));
    await here.stop(said(tells, "migrated"));
    assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
    // Without a reason it may have been another end: the flag stays rather than being lost.
    assertEquals(here.flags(), { vda: !tells });
    assertEquals(here.files(), ["vda.img"]);
  });

  Deno.test(`both hosts may have one folder of configurations, ${libvirt}`, async () => {
    for (const flag of [false, true]) {
      using hosts = new TwoHosts({ vda: flag }, { vda: flag }, { sharesConfig: true });
      const { here, there } = hosts;
      await hosts.start(here);
      for (const [from, to] of [[here, there], [there, here], [here, there]] as const) {
        await hosts.abort(to, said(tells, "failed"));
        await hosts.migrate(from, to, said(tells, "migrated"));
      }
      here.write(here.vda, "written");
      await hosts.stop(there, said(tells, "shutdown"));
      const written = flag ? { written: "yes" } as const : {};
      assertEquals(here.disk("vda"), { base: "vda", ...written });
      assertEquals(here.flags(), { vda: false });
      await hosts.start(here);
      assertEquals(here.read(here.vda), { base: "vda", ...written });
      await hosts.stop(here);
      assertEquals(here.files(), ["vda.img"]);
    }
  });

  Deno.test(`a flagged session whose second host dies goes on at either, ${libvirt}`, async () => {
    for (const again of ["here", "there"] as const) {
      using hosts = new TwoHosts({ vda: true }, { vda: false });
      const { here, there } = hosts;
      await hosts.start(here);
      await hosts.migrate(here, there, said(tells, "migrated"));
      here.write(here.vda, "kept");
      hosts.here.busy.clear();
      await hosts.start(hosts[again]);
      assertEquals(here.read(here.vda), { base: "vda", kept: "yes" });
      await hosts.stop(hosts[again], said(tells, "shutdown"));
      assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
      assertEquals(here.files(), ["vda.img"]);
    }
  });
}

Deno.test("an editor that clears the flag at home means it, and a mark from elsewhere stays", async () => {
  using hosts = new TwoHosts({ vda: true });
  const { here } = hosts;
  await hosts.start(here);
  assertEquals(here.files(), ["vda.img", "vda.img.autorevert-keep", "vda.img.backing_file"]);
  here.configure({ vda: false });
  here.write(here.vda, "junk");
  await hosts.stop(here);
  assertEquals(here.disk("vda"), { base: "vda" });
  assertEquals(here.files(), ["vda.img"]);
});

Deno.test("a start is refused on the first host while the guest runs on the second", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.migrate(here, there);
  const { code, said } = await here.event("prepare");
  await here.good("release", "failed");
  assertEquals([code, said[0]], [1, `error: guest vda: "${here.vda}" is open in another process`]);
  assertEquals(here.state("vda"), { kind: "session", layers: [0], ended: false, marked: true });
});

Deno.test("a flagged session that an older hook has thrown away is not forgotten", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.migrate(here, there);
  here.busy.clear();
  // It doesn't know the mark.
  Deno.renameSync(`${here.vda}.backing_file`, here.vda);
  const { code, said } = await here.event("prepare");
  assertEquals([code, said[0]], [
    1,
    `error: guest vda: "${here.vda}.autorevert-keep" is a session that was to be committed, ` +
    `but is no session of "${here.vda}" any more`,
  ]);
});

Deno.test("a restore that fails after the guest was called up keeps its session for the next try", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here } = hosts;
  await here.start();
  here.write(here.vda, "saved");
  await here.stop("saved");
  await here.good("restore");
  await here.start();
  await here.stop("failed");
  assertEquals(here.read(here.vda), { base: "vda", saved: "yes" });
  await here.good("restore");
  await here.start();
  assertEquals(here.read(here.vda), { base: "vda", saved: "yes" });
  await here.stop("shutdown");
  assertEquals(here.files(), ["vda.img"]);
});

Deno.test("a start whose layers another host's merge changes meanwhile is refused, and the disk is whole", async () => {
  for (const when of ["create", "rename"] as const) {
    using hosts = new TwoHosts({ vda: true }, { vda: false });
    const { here, there } = hosts;
    await here.start();
    here.write(here.vda, "kept");
    await here.good("release", "shutdown", { mergeDies: true });
    const { code, said } = await there.event("prepare", "-", {
      perform: afterFirst(when, () => {
        const { vda } = here;
        // What a merge does at its end, with locks that this host doesn't see.
        copyDown(`${vda}.backing_file.1`, 1);
        Deno.removeSync(vda);
        Deno.renameSync(`${vda}.backing_file`, `${vda}.backing_file.1`);
        Deno.renameSync(`${vda}.backing_file.1`, vda);
      }),
    });
    assertEquals([code, said[0]?.includes("were changed by another host")], [1, true]);
    await there.event("release", "failed");
    assertEquals(there.disk("vda"), { base: "vda", kept: "yes" });
    await there.start();
    assertEquals(there.read(there.vda), { base: "vda", kept: "yes" });
  }
});

for (const fault of faults) {
  Deno.test(`a flagged session that migrates is kept whatever step of its source's end goes wrong: ${fault}`, async () => {
    await atEveryStep(fault, async (failing) => {
      using hosts = new TwoHosts({ vda: true, vdb: false }, { vda: false, vdb: false });
      const { here, there } = hosts;
      await hosts.start(here);
      here.configure({ vda: true, vdb: true });
      await hosts.announce(there);
      await here.event("release", "migrated", { perform: failing.perform });
      const flags = here.flags();
      for (const target of ["vda", "vdb"]) {
        const state = here.state(target);
        const isMarked = state.kind === "session" && state.marked === true;
        assertEquals(flags[target] || isMarked, true, `${target}: the word is in neither place`);
        here.write(here.image(target), "kept");
      }
      const isMarked = here.files().includes("vdb.img.autorevert-keep");
      await hosts.stop(there);
      assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
      if (isMarked) assertEquals(here.disk("vdb"), { base: "vdb", kept: "yes" });
    });
  });
}

Deno.test("a flag that an editor has cleared before the migration doesn't come back", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  here.configure({ vda: false });
  await hosts.migrate(here, there);
  here.write(here.vda, "junk");
  await hosts.stop(there);
  assertEquals(here.disk("vda"), { base: "vda" });
});

Deno.test("a session that has left is not thrown away by a start where it began", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.migrate(here, there);
  there.configure({ vda: true });
  here.write(here.vda, "kept");
  // The other host dies.
  here.busy.clear();
  assertEquals((await here.event("prepare")).code, 1);
  await here.event("release", "failed");
  await there.start();
  await hosts.stop(there);
  assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
});

Deno.test("the mark of a session that was made a layer by hand goes", async () => {
  using fixture = new Fixture().disks({ vda: true });
  await fixture.start();
  const image = fixture.vda;
  Deno.renameSync(image, `${image}.backing_file.1`);
  Deno.linkSync(`${image}.backing_file.1`, image);
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(fixture.files().includes("vda.img.autorevert-keep"), false);
});

Deno.test("a start that is refused doesn't forget a session that came from another host", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.migrate(here, there);
  here.write(here.vda, "kept");
  // The power fails, and the configuration has a slip.
  here.busy.clear();
  there.configureText("{");
  assertEquals((await there.event("prepare")).code, 1);
  await there.event("release", "failed");
  there.configure({ vda: false });
  await there.start();
  assertEquals(here.read(here.vda), { base: "vda", kept: "yes" });
});

Deno.test("a session that came and has left again is not thrown away where it was in between", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.migrate(here, there);
  await hosts.migrate(there, here);
  here.configure({ vda: true });
  here.write(here.vda, "kept");
  here.busy.clear();
  assertEquals((await there.event("prepare")).code, 1);
  await there.event("release", "failed");
  await here.start();
  await here.stop();
  assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
});

Deno.test("check tells of a mark whose session somebody threw away", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  const image = fixture.vda;
  Deno.renameSync(`${image}.backing_file`, image);
  const { code, printed } = await fixture.type("check guest");
  assertEquals(code, 1);
  assertEquals(printed.some((line) => line.includes("is a session that was to be committed")), true);
});

Deno.test("what is noted of an earlier stay says nothing about a session that comes", async () => {
  using hosts = new TwoHosts({ vda: true });
  const { here, there } = hosts;
  here.keys = there.keys = { "keep-commits": 3 };
  for (const host of [here, there]) host.configure({ vda: true });
  const vda = here.vda;
  // A commit that stays unmerged, and so a note of it, an hour ago.
  here.now = () => new Date(Date.now() - 3_600_000);
  await hosts.start(here);
  here.write(vda, "kept");
  await hosts.stop(here);
  here.now = () => new Date();
  there.configure({ vda: false });

  await hosts.start(there);
  await hosts.migrate(there, here);
  here.write(vda, "junk");
  // A power cut, and a flag for the next session.
  here.busy.clear();
  await afterClockTick();
  here.configure({ vda: true }, new Date());
  await here.start();
  assertEquals(here.read(vda), { base: "vda", kept: "yes" });
});

Deno.test("an aborted migration to a host with a note of an earlier stay leaves the session alone", async () => {
  using hosts = new TwoHosts({ vda: true });
  const { here, there } = hosts;
  here.keys = there.keys = { "keep-commits": 3 };
  for (const host of [here, there]) host.configure({ vda: true });
  const vda = here.vda;
  await hosts.start(here);
  here.write(vda, "kept");
  await hosts.stop(here);
  there.configure({ vda: false });
  await hosts.start(there);
  here.write(vda, "mine");
  await hosts.abort(here);
  here.busy.clear();
  // Its host has lost power meanwhile.
  const { code } = await here.event("prepare");
  assertEquals([code, here.read(vda)], [1, { base: "vda", kept: "yes", mine: "yes" }]);
});

Deno.test("disks of which the first host could mark only one are both there to be kept", async () => {
  using hosts = new TwoHosts({ vda: false, vdb: false });
  const { here, there } = hosts;
  const [vda, vdb] = [here.vda, here.image("vdb")];
  await hosts.start(here);
  here.configure({ vda: true, vdb: true });
  await hosts.announce(there);
  let marks = 0;
  await here.event("release", "migrated", {
    perform: (inner) => async (step, control) => {
      if (step.kind === "link" && step.to.endsWith("-keep")) marks++;
      if (marks > 1) throw new Error("it has died between two marks");
      await inner(step, control);
    },
  });
  for (const image of [vda, vdb]) here.write(image, "kept");
  await hosts.stop(there);
  assertEquals(there.disk("vda"), { base: "vda", kept: "yes" });
  assertEquals((await there.type("keep guest vdb")).code, 0);
  assertEquals(there.disk("vdb"), { base: "vdb", kept: "yes" });
});

Deno.test("a flagged session goes on here when the other host dies, though coming back was tried and aborted", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.migrate(here, there);
  await hosts.abort(here);
  here.write(here.vda, "kept");
  here.busy.clear();
  await here.good("prepare");
  assertEquals(here.read(here.vda), { base: "vda", kept: "yes" });
});

Deno.test("a marked session is kept on a host whose configuration doesn't list its disk", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  here.define();
  await hosts.start(here);
  await hosts.migrate(here, there);
  here.write(here.vda, "kept");
  assertEquals((await here.type("disable guest vda")).code, 1);
  here.save(here.image("vdb"), null, {});
  here.sources.set("vdb", here.image("vdb"));
  here.configure({ vdb: false });
  here.busy.clear();
  await here.start();
  assertEquals(here.read(here.vda), { base: "vda", kept: "yes" });
  await here.stop();
  assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
});

Deno.test("two hosts that start a guest at once leave its disk the only name that it has", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  const isBase = (path: string) => path.endsWith(".backing_file");
  const [othersTurn, own, removal] = [
    Promise.withResolvers<void>(),
    Promise.withResolvers<void>(),
    Promise.withResolvers<void>(),
  ];
  const looked = Promise.withResolvers<void>();
  // The other host has looked before this one links the base, and takes back what it made when this one has begun its session.
  const other = there.event("prepare", "-", {
    perform: (inner) => async (step, control) => {
      if (step.kind === "link" && isBase(step.to)) {
        looked.resolve();
        await othersTurn.promise;
      }
      if (step.kind === "remove" && isBase(step.path)) await removal.promise;
      await inner(step, control);
    },
  });
  await looked.promise;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((wake) => timer = setTimeout(wake, 100));
  await here.event("prepare", "-", {
    perform: (inner) => async (step, control) => {
      await inner(step, control);
      if (step.kind === "link" && isBase(step.to)) {
        othersTurn.resolve();
        await Promise.race([other, late]);
      }
      if (step.kind === "rename") own.resolve();
    },
  });
  await own.promise;
  clearTimeout(timer);
  removal.resolve();
  assertEquals((await other).code, 1);
  assertEquals(here.disk("vda"), { base: "vda" });
});

Deno.test("the end of a start that came to nothing leaves another host's session alone, though a session died here", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  there.define();
  await hosts.start(here);
  here.busy.clear();
  await there.type("recover guest --discard", true);
  await hosts.start(there);
  here.write(here.vda, "live");
  await here.event("release", "failed");
  assertEquals(here.read(here.vda), { base: "vda", live: "yes" });
});

Deno.test("an undo that was cut short is not done to what another host has committed since", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  here.keys = { "keep-commits": 3 };
  here.configure({ vda: true });
  here.define();
  await hosts.start(here);
  here.write(here.vda, "one");
  await hosts.stop(here);
  await here.type("undo guest", true, { perform: new Failing(1, "dies before").perform });
  for (const key of ["two", "three"]) {
    await afterClockTick();
    there.configure({ vda: true });
    await hosts.start(there);
    here.write(here.vda, key);
    here.busy.clear();
    await there.event("release", "shutdown", { mergeDies: key === "three" });
  }
  await here.good("prepare");
  assertEquals(here.disk("vda"), { base: "vda", one: "yes", two: "yes", three: "yes" });
});

/** Two hosts that have a record of a disk with one commit, which ended on the second. */
async function committedThere(): Promise<TwoHosts> {
  const hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.migrate(here, there);
  for (const key of ["a", "b"]) here.write(here.vda, key);
  here.busy.clear();
  await there.good("release", "shutdown", { mergeDies: true });
  return hosts;
}
const whole = { base: "vda", a: "yes", b: "yes" };

Deno.test("a commit whose merge another host has begun can't be undone, and the disk is whole", async () => {
  using hosts = await committedThere();
  const { here, there } = hosts;
  await there.merge({ perform: tearing(there) });
  const { code, said } = await here.command("undo");
  assertEquals(here.disk("vda"), whole);
  assertEquals([code, said[0]], [
    1,
    "error: guest vda: the commit is already being merged into the disk, and can't be undone any more",
  ]);
  // Either host completes it.
  assertEquals((await here.merge()).code, 0);
  assertEquals(here.disk("vda"), whole);
  assertEquals(here.files(), ["vda.img"]);
});

for (const fault of faults) {
  Deno.test(`an undo finds the disk as it is or was, wherever another host's merge is cut short: ${fault}`, async () => {
    await atEveryStep(fault, async (failing) => {
      using hosts = await committedThere();
      const { here, there } = hosts;
      await there.merge({ perform: failing.perform });
      const { code } = await here.command("undo", { mergeDies: true });
      const disk = code === 0 ? { base: "vda" } as const : whole;
      for (const host of [here, there]) {
        assertEquals(host.disk("vda"), disk);
        await host.start();
        assertEquals(host.read(host.image("vda")), disk);
        await host.stop();
      }
      assertEquals(here.files(), ["vda.img"]);
    });
  });
}

Deno.test("a merge that an earlier version has begun and noted keeps its commit from being undone", async () => {
  using hosts = await committedThere();
  const { there } = hosts;
  const vda = there.vda;
  copyDown(`${vda}.backing_file.1`, 0.5);
  const noted = readRecords(there.note).map((record) => ({ ...record, merging: 1 }));
  Deno.writeTextFileSync(there.note, formatRecords(noted));
  assertEquals((await there.command("undo", { mergeDies: true })).code, 1);
  assertEquals(there.disk("vda"), whole);
  const { code, log } = await there.merge();
  assertEquals([code, log.some((line) => line.includes(`repair "${vda}.backing_file"`))], [0, true]);
  assertEquals([there.disk("vda"), there.files()], [whole, ["vda.img"]]);
});

Deno.test("a commit that is thrown away in the middle of its merge is not forgotten, and can be brought back", async () => {
  for (const isAside of [true, false]) {
    using hosts = await committedThere();
    const { here, there } = hosts;
    await there.merge({ perform: tearing(there) });
    // An undo, by hand or by a hook that doesn't know the mark.
    const vda = here.vda;
    Deno.renameSync(`${vda}.backing_file.1`, `${vda}.autorevert-ended`);
    Deno.removeSync(vda);
    Deno.linkSync(`${vda}.backing_file`, vda);
    if (!isAside) Deno.removeSync(`${vda}.autorevert-ended`);
    const { code, said } = await here.event("prepare");
    await here.event("release", "failed");
    assertEquals([code, said[0]], [
      1,
      `error: guest vda: "${vda}.autorevert-merge.1" is a commit that was being merged, but is no layer of "${vda}" ` +
      "any more: what is left may be half written",
    ]);
    here.define();
    const { printed } = await here.type("check guest");
    assertEquals(printed.some((line) => line.includes("is a commit that was being merged")), true);
    const [, command] = /^hint: to bring it back: (.*); to give it up: rm /.exec(said[1]!)!;
    new Deno.Command("sh", { args: ["-c", command!] }).outputSync();
    await here.start();
    assertEquals(here.read(vda), whole);
    await here.stop();
    assertEquals([here.disk("vda"), here.files()], [whole, ["vda.img"]]);
  }
});

Deno.test("a commit that is taken back in the middle of its merge and has a successor is not forgotten, either", async () => {
  using hosts = await committedThere();
  const { here, there } = hosts;
  await there.merge({ perform: tearing(there) });
  // An undo and a commit of a hook that doesn't know the mark.
  const vda = here.vda;
  const [mark, layer] = [`${vda}.autorevert-merge.1`, `${vda}.backing_file.1`];
  Deno.removeSync(vda);
  Deno.removeSync(layer);
  here.save(layer, `${vda}.backing_file`, { another: "yes" });
  Deno.linkSync(layer, vda);
  const { code, said } = await here.event("prepare");
  assertEquals([code, said[0]?.includes("is a commit that was being merged")], [1, true]);
  assertEquals(said[1], `hint: see what it stands on: qemu-img info ${mark}; to give it up: rm ${mark}`);
  await here.event("release", "failed");
  await here.merge();
  assertEquals(here.files().includes(mark.slice(mark.lastIndexOf("/") + 1)), true);
});

Deno.test("a commit that the other host has cut short leaves the flag of this one to its own session", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  here.write(here.vda, "one");
  here.busy.clear();
  await here.event("release", "shutdown", { perform: dyingAt("clear") });
  assertEquals(here.state("vda").kind, "committing");
  there.configure({ vda: true }, new Date());
  await there.start();
  here.write(here.vda, "two");
  await there.stop();
  assertEquals(here.disk("vda"), { base: "vda", one: "yes", two: "yes" });
});

Deno.test("a flag is used up by a commit that was cut short here and finished on the other host", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  here.write(here.vda, "one");
  here.busy.clear();
  await here.event("release", "shutdown", { perform: dyingAt("clear") });
  await there.start();
  await there.stop();
  await here.start();
  here.write(here.vda, "junk");
  await here.stop();
  assertEquals([here.disk("vda"), here.flags()], [{ base: "vda", one: "yes" }, { vda: false }]);
});

for (const reason of ["daemon", "crashed", "destroyed", "failed"]) {
  Deno.test(`a source's end leaves the session that runs on its new host, whatever libvirt calls it: ${reason}`, async () => {
    for (const flag of [false, true]) {
      using hosts = new TwoHosts({ vda: flag }, { vda: false });
      const { here, there } = hosts;
      await hosts.start(here);
      await hosts.announce(there);
      here.write(here.vda, "live");
      await here.event("release", reason);
      assertEquals(here.read(here.vda), { base: "vda", live: "yes" });
      await hosts.stop(there);
      assertEquals(here.disk("vda"), { base: "vda", ...flag && { live: "yes" } });
    }
  });
}

Deno.test("a guest that was saved is refused where its session is gone, as after a start on the host that it came from", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.announce(there);
  here.write(here.vda, "mine");
  // The source lost power before it was told that the guest has left.
  await hosts.stop(there, "saved");
  here.booted = LATER;
  await here.start();
  await here.stop();
  await there.good("restore");
  const { code, said } = await there.event("prepare");
  assertEquals(code, 1);
  assertEquals(said[0]!.includes("that the guest was saved on is gone"), true, said[0]);
  await there.event("release", "failed");
  await there.start();
  assertEquals(there.read(there.vda), { base: "vda" });
});

Deno.test("a flagged session that goes on after its start was cut short bears a mark when it leaves", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  await here.event("prepare", "-", {
    perform: (inner) => async (step, control) => {
      if (step.kind === "link" && step.to.endsWith("-keep")) throw new Error("power cut");
      await inner(step, control);
    },
  });
  await hosts.start(here);
  await hosts.announce(there);
  here.write(here.vda, "mine");
  await hosts.stop(there);
  assertEquals(there.disk("vda"), { base: "vda", mine: "yes" });
});

Deno.test("a migration that is cut short on its target leaves the session to the source, whatever is started there", async () => {
  for (const fault of faults) {
    await atEveryStep(fault, async (failing) => {
      using hosts = new TwoHosts({ vda: false, vdb: false });
      const { here, there } = hosts;
      await hosts.start(here);
      await there.good("migrate");
      await there.event("prepare", "-", { perform: failing.perform });
      if (fault.startsWith("fails")) await there.event("release", "failed");
      here.write(here.vda, "mine");
      await hosts.stop(here, "saved");
      await there.event("prepare");
      assertEquals(here.read(here.vda), { base: "vda", mine: "yes" });
    });
  }
});

for (const isLayered of [true, false]) {
  for (const at of ["note", "starting"]) {
    const disk = isLayered ? "a disk with a commit" : "a plain disk";
    Deno.test(`a start leaves the session that another host begins on ${disk} before its ${at}`, async () => {
      using hosts = new TwoHosts({ vda: isLayered }, { vda: false });
      const { here, there } = hosts;
      here.keys = there.keys = { "keep-commits": 3 };
      if (isLayered) {
        here.configure({ vda: true });
        await hosts.start(here);
        await hosts.stop(here);
      }
      let isBegun = false;
      const { code } = await there.event("prepare", "-", {
        perform: (inner) => async (step, control) => {
          if (step.kind === at && !isBegun) {
            isBegun = true;
            await hosts.start(here);
            here.write(here.vda, "live");
          }
          await inner(step, control);
        },
      });
      assertEquals(code, 1);
      await there.event("release", "failed");
      assertEquals(here.read(here.vda).live, "yes");
      await hosts.stop(here);
      assertEquals(here.disk("vda"), { base: "vda" });
    });
  }
}

Deno.test("a marked session that an older hook has set aside is not forgotten, and keep commits it", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  there.keys = { "keep-commits": 3 };
  there.configure({ vda: false });
  there.define();
  await hosts.start(here);
  await hosts.migrate(here, there);
  here.write(here.vda, "kept");
  here.busy.clear();
  // As one does it that knows no marks.
  Deno.linkSync(there.vda, `${there.vda}.autorevert-ended`);
  Deno.removeSync(there.vda);
  Deno.linkSync(`${there.vda}.backing_file`, there.vda);
  const { code, said } = await there.event("prepare");
  assertEquals([code, said[1]!.includes("autorevert keep")], [1, true]);
  await there.event("release", "failed");
  assertEquals((await there.type("keep guest")).code, 0);
  await there.start();
  assertEquals(there.read(there.vda), { base: "vda", kept: "yes" });
});

/** As on NFS, where Linux told of no birth time for long. What was noted was noted an hour ago. */
async function withoutBirthTimes(run: (age: (fixture: Fixture) => void) => Promise<void>): Promise<void> {
  const { lstatSync } = Deno;
  Deno.lstatSync = (path) => ({ ...lstatSync(path), birthtime: null });
  try {
    await run((fixture) => {
      const records = readRecords(fixture.note).map((record) => ({
        ...record,
        started: new Date(Date.parse(record.started) - 3_600_000).toISOString(),
      }));
      Deno.writeTextFileSync(fixture.note, formatRecords(records));
    });
  } finally {
    Deno.lstatSync = lstatSync;
  }
}

Deno.test("a session that died here is told from the other host's, where files have no birth time", async () => {
  await withoutBirthTimes(async (age) => {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    there.define();
    await hosts.start(here);
    age(here);
    here.busy.clear();
    // On the same host it is its own all the same.
    await hosts.start(here);
    age(here);
    here.busy.clear();
    await there.type("recover guest --discard", true);
    await hosts.start(there);
    here.write(here.vda, "saved");
    await hosts.stop(there, "saved");
    assertEquals((await here.event("prepare")).code, 1);
    assertEquals(here.read(here.vda), { base: "vda", saved: "yes" });
  });
});

for (const end of ["start", "late end"]) {
  Deno.test(`nor is that one lost where the number of a file that is gone is used again: ${end}`, async () => {
    await withoutBirthTimes(async (age) => {
      using hosts = new TwoHosts({ vda: false });
      const { here, there } = hosts;
      there.define();
      await hosts.start(here);
      age(here);
      const { ino } = Deno.lstatSync(here.vda);
      here.busy.clear();
      await there.type("recover guest --discard", true);
      await hosts.start(there);
      const { lstatSync } = Deno;
      const session = lstatSync(there.vda).ino;
      // As ext4 does it.
      Deno.lstatSync = (path) => {
        const info = lstatSync(path);
        return info.ino === session ? { ...info, ino } : info;
      };
      const text = Deno.readTextFileSync(there.note);
      Deno.writeTextFileSync(there.note, text.replaceAll(`${-session!}`, `${-ino!}`));
      there.write(there.vda, "saved");
      await hosts.stop(there, "saved");
      if (end === "start") {
        await here.start();
        await here.stop();
      } else await here.event("release", "crashed");
      await there.good("restore");
      await there.good("prepare");
      assertEquals(there.read(there.vda), { base: "vda", saved: "yes" });
    });
  });
}

Deno.test("a source that was destroyed after its guest has gone on leaves what is saved there since, whatever is started", async () => {
  for (const reason of ["crashed", "destroyed"]) {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    await hosts.start(here);
    await hosts.announce(there);
    here.write(here.vda, "live");
    await here.event("release", reason);
    await hosts.stop(there, "saved");
    assertEquals((await here.event("prepare")).code, 1);
    assertEquals(here.read(here.vda), { base: "vda", live: "yes" });
  }
});

/** From now on the clock is ahead, that of the images' server, too. */
async function laterBy(seconds: number, hosts: TwoHosts, run: () => Promise<void>): Promise<void> {
  const { lstatSync } = Deno;
  const begun = Date.now();
  const later = (time: Date | null) =>
    time && new Date(time.getTime() + (time.getTime() < begun ? 0 : seconds * 1000));
  Deno.lstatSync = (path) => {
    const info = lstatSync(path);
    return { ...info, birthtime: later(info.birthtime), mtime: later(info.mtime) };
  };
  for (const host of [hosts.here, hosts.there]) host.now = () => later(new Date())!;
  try {
    await run();
  } finally {
    Deno.lstatSync = lstatSync;
  }
}

Deno.test("a host tells its session from the one that another has begun soon after, at a start and at an end that is told late", async () => {
  for (const next of ["prepare", "shutdown", "crashed", "failed", "-"]) {
    for (const seconds of [10, 200]) {
      using hosts = new TwoHosts({ vda: false });
      const { here, there } = hosts;
      there.define();
      await hosts.start(here);
      here.busy.clear();
      await afterClockTick();
      await laterBy(seconds, hosts, async () => {
        await there.type("recover guest --discard", true);
        await hosts.start(there);
        here.write(here.vda, "live");
        await hosts.stop(there, "saved");
        if (next === "prepare") assertEquals((await here.event("prepare")).code, 1);
        await here.event("release", next === "prepare" ? "failed" : next);
        assertEquals(here.read(here.vda), { base: "vda", live: "yes" }, `${next}, ${seconds} s`);
        await there.good("restore");
        await hosts.start(there);
        assertEquals(here.read(here.vda), { base: "vda", live: "yes" });
      });
    }
  }
});

Deno.test("commit --cancel where a guest came from leaves the session that runs elsewhere to be kept", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  here.define();
  await hosts.start(here);
  await hosts.migrate(here, there);
  here.write(here.vda, "kept");
  const { printed } = await here.type("commit --cancel guest");
  assertEquals(printed.join().includes("for the one that goes on elsewhere, type this there"), true);
  await hosts.stop(there);
  assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
});

for (const tells of [true, false]) {
  const how = tells ? "" : ", where libvirt gives no reason";
  Deno.test(`what is saved at a host that the guest has gone to for the second time is not thrown away at home${how}`, async () => {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    const said = (reason: string) => tells ? reason : "-";
    await hosts.start(here);
    await hosts.migrate(here, there, said("migrated"));
    await hosts.migrate(there, here, said("migrated"));
    await hosts.migrate(here, there, said("migrated"));
    here.write(here.vda, "saved");
    Deno.writeTextFileSync(there.managedSave, "");
    await hosts.stop(there, said("saved"));
    await here.event("prepare");
    await here.event("release", said("failed"));
    await there.good("restore");
    await there.good("prepare");
    assertEquals(there.read(there.vda), { base: "vda", saved: "yes" });
  });
}

Deno.test("a saved guest is not restored on a session of another host that was set aside", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  there.now = () => new Date(Date.now() - 3_600_000);
  await hosts.migrate(here, there, "-");
  there.now = () => new Date();
  here.write(here.vda, "saved");
  Deno.writeTextFileSync(there.managedSave, "");
  await hosts.stop(there, "-");
  await here.event("prepare");
  await here.event("started");
  here.write(here.vda, "other");
  await here.event("release", "-");
  await there.good("restore");
  const { code, said } = await there.event("prepare");
  assertEquals([code, said.join().includes("would not fit to the disk")], [1, true]);
});

for (const sharesConfig of [false, true]) {
  Deno.test(`a flag that was cleared before a migration stays so; both hosts have one folder of configurations: ${sharesConfig}`, async () => {
    using hosts = new TwoHosts({ vda: true }, { vda: true }, { sharesConfig });
    const { here, there } = hosts;
    await hosts.start(here);
    here.configure({ vda: false });
    there.configure({ vda: false });
    await hosts.migrate(here, there);
    here.write(here.vda, "session");
    await hosts.stop(there);
    assertEquals(here.disk("vda"), { base: "vda" });
  });
}

Deno.test("an image that came by migration is whose it was when libvirt gave it back, and at home whose it was", async () => {
  // Of an owner a test that isn't root's can change the mode alone.
  const give = (host: Fixture, mode: number, ...paths: string[]) => {
    for (const path of [host.vda, ...paths]) Deno.chmodSync(path, mode);
  };
  for (const comesBack of [false, true]) {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    give(here, 0o640);
    await hosts.start(here);
    give(here, 0o600, `${here.vda}.backing_file`);
    await hosts.migrate(here, there);
    const end = comesBack ? here : there;
    if (comesBack) await hosts.migrate(there, here);
    give(here, 0o644);
    await hosts.stop(end);
    assertEquals(Deno.statSync(here.vda).mode! & 0o777, comesBack ? 0o640 : 0o644);
  }
});

Deno.test("commit --cancel on a host that knows nothing of a session leaves it to be kept", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  there.define();
  await hosts.start(here);
  here.write(here.vda, "kept");
  await hosts.stop(here, "saved");
  const { printed } = await there.type("commit --cancel guest");
  assertEquals(printed.join().includes("for the one that goes on elsewhere, type this there"), true);
  await here.good("restore");
  await here.start();
  await hosts.stop(here);
  assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
});

Deno.test("a flagged session that has gone on elsewhere is not thrown away by the host that had lost its power under it", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  here.define();
  there.define();
  await hosts.start(here);
  await hosts.migrate(here, there);
  there.run();
  assertEquals((await there.type("commit guest")).code, 0);
  there.halt();
  here.write(here.vda, "kept");
  here.busy.clear();
  await afterClockTick();
  there.booted = new Date();
  await hosts.start(here); // by its mark
  here.write(here.vda, "more");
  await hosts.stop(here, "saved");
  there.configure({ vda: false }); // an editor
  await there.event("prepare");
  await there.event("release", "failed");
  await here.good("restore");
  await here.good("prepare");
  assertEquals(here.read(here.vda), { base: "vda", kept: "yes", more: "yes" });
});

/** A guest that was saved on a host of its own session, beside a commit that its other host merges. */
async function savedBesideMerge(): Promise<TwoHosts> {
  const hosts = new TwoHosts({ vda: false }, { vda: true });
  const { here, there } = hosts;
  there.keys = { "keep-commits": 1 };
  there.configure({ vda: true });
  await hosts.start(there);
  there.write(there.vda, "committed");
  await hosts.stop(there);
  await hosts.start(here);
  here.write(here.vda, "saved");
  here.busy.clear();
  await here.good("release", "-", { mergeDies: true });
  return hosts;
}

/** Tries the restore again where it was refused. */
async function checkRestored({ there }: TwoHosts, code: number): Promise<void> {
  if (code !== 0) {
    await there.event("release", "failed");
    await there.good("restore");
    await there.good("prepare");
  }
  assertEquals(there.read(there.vda), { base: "vda", committed: "yes", saved: "yes" });
  assertEquals(there.files().some((file) => file.endsWith("-new")), false);
}

for (const kind of ["link", "rename"]) {
  Deno.test(`a session that is put back on one host is not lost to a merge that ends on the other, before its ${kind}`, async () => {
    using hosts = await savedBesideMerge();
    const { here, there } = hosts;
    await there.good("restore");
    let isMerged = false;
    const { code } = await there.event("prepare", "-", {
      perform: (inner) => async (step, control) => {
        if (step.kind === kind && "from" in step && step.from.endsWith("-ended")) {
          isMerged = true;
          await here.merge();
        }
        await inner(step, control);
      },
    });
    assertEquals(isMerged, true);
    await checkRestored(hosts, code);
  });
}

Deno.test("a session that is put back while a merge of the other host gives the image its name is not lost", async () => {
  using hosts = await savedBesideMerge();
  const { here, there } = hosts;
  await there.good("restore");
  let prepared: Promise<{ readonly code: number }> | undefined;
  await here.merge({
    // It has looked whether anything is in its way.
    perform: before("remove", async () => {
      prepared ??= there.event("prepare");
      await new Promise((wake) => setTimeout(wake, 25));
    }),
  });
  await checkRestored(hosts, (await prepared!).code);
});

Deno.test("a start whose overlay an event of another host has taken for one that was left behind is to be tried again", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here } = hosts;
  const { code, said } = await here.event("prepare", "-", {
    perform: before("own", (step) => step.kind === "own" ? Deno.removeSync(step.path) : undefined),
  });
  assertEquals([code, said.join().includes("changed by another host")], [1, true]);
  await here.event("release", "failed");
  assertEquals(here.files(), ["vda.img"]);
});

Deno.test("a saved guest, before libvirt 10.5, is not restored once it was up on another host", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  here.write(here.vda, "session");
  await hosts.stop(here, "-");
  await hosts.start(there);
  await hosts.stop(there, "shutdown");
  await here.good("restore");
  assertEquals((await here.event("prepare")).code, 1);
});
