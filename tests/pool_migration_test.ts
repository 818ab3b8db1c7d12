/** Seats that migrate between two hosts with one folder of images. The master's guest is at the first. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { before, beforeFirst, dyingAt } from "./fault.ts";
import { afterClockTick, type Circumstance, exists, Fixture, LATER, type Result } from "./fixture.ts";
import { FarSeat, Pool, poolTest } from "./pool.ts";
import { TwoHosts } from "./two_hosts.ts";
import { diskXml, domainXml } from "./xml.ts";
import { namesOf } from "../lib/state/paths.ts";

class Hosts implements Disposable {
  readonly first = new Fixture();
  readonly second = new Fixture(undefined, this.first.images);
  readonly here = new Pool(this.first);
  /** What the second host knows of the seats; the master's guest is not its own. */
  readonly there: Pool;

  /** @param sharesConfig both have one folder of configurations */
  constructor({ sharesConfig = false } = {}) {
    this.second.name = "there";
    if (sharesConfig) {
      this.second.settings = { ...this.second.settings, configFolder: this.first.config };
      Object.assign(this.second, { config: this.first.config });
    }
    this.there = new Pool(this.second);
    if (!sharesConfig) Deno.removeSync(this.second.configFile);
    this.second.busy = this.first.busy;
  }

  /** What the target is told before any memory has come. */
  async announce(seat: string, to: Pool): Promise<void> {
    for (const operation of ["migrate", "prepare", "started"]) {
      assertEquals((await to.event(seat, operation)).said, []);
    }
  }

  async migrate(seat: string, from: Pool, to: Pool, reason = "migrated"): Promise<void> {
    await this.announce(seat, to);
    assertEquals((await from.event(seat, "release", reason)).said, []);
  }

  [Symbol.dispose](): void {
    this.first[Symbol.dispose]();
    this.second[Symbol.dispose]();
  }
}

for (const reason of ["migrated", "-"]) {
  Deno.test(`a seat that has migrated finds its layer, and keeps what is merged at the other host waiting, told ${reason}`, async () => {
    using hosts = new Hosts();
    const { here, there } = hosts;
    await here.start("seat1");
    await here.commit("second");
    await hosts.migrate("seat1", here, there, reason);
    assertEquals(there.record("seat1")?.layer, 0);
    assertEquals(there.version("seat1"), "first");
    assertStringIncludes((await here.merge()).log.join("\n"), '"seat1" runs on another host');
    assertEquals(here.layers, [0, 1]);
    await here.commit("third");
    assertEquals(there.version("seat1"), "first");
    await there.stop("seat1", reason === "-" ? "-" : "shutdown");
    // Where no reason is told, it may have been saved to a file.
    if (reason === "-") Deno.removeSync(`${here.image("seat1")}.autorevert-ended`);
    await here.merge();
    assertEquals(here.layers.length, 1);
    assertEquals((await here.event("seat1", "prepare")).said, []);
    await here.event("seat1", "started");
    assertEquals(here.version("seat1"), "third");
    assertEquals((await here.stop("seat1")).said, []);
    await here.merge();
  });
}

for (const reason of ["migrated", "-", "destroyed"]) {
  Deno.test(`nothing is merged below a seat that runs at the other host, also on the upper layer, told ${reason}`, async () => {
    using hosts = new Hosts();
    const { here, there } = hosts;
    await here.commit("second");
    await here.start("seat1");
    await here.commit("third");
    await hosts.migrate("seat1", here, there, reason);
    const log = (await here.merge()).log.join("\n");
    assertStringIncludes(log, '"seat1" runs on another host');
    assertStringIncludes(
      log,
      "hint: an end at another host starts no merge here: after it, autorevert merge DOMAIN",
    );
    assertEquals(here.layers, [0, 1, 2]);
    await there.stop("seat1");
    await here.merge();
    assertEquals(here.layers, [2]);
  });
}

Deno.test("a seat that was saved here and runs at the other host keeps what is merged waiting, also on the upper layer", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.commit("second");
  await here.start("seat1");
  await here.commit("third");
  await here.stop("seat1", "saved", { mergeDies: true });
  assertEquals((await there.restore("seat1")).said, []);
  assertStringIncludes((await here.merge()).log.join("\n"), '"seat1" runs on another host');
  assertEquals(here.layers, [0, 1, 2]);
  await there.stop("seat1");
  await here.merge();
  assertEquals(here.layers, [2]);
});

Deno.test("a seat that has gone to another host twice, and ended there, keeps no merge waiting", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.commit("second");
  for (const [from, to] of [[here, there], [there, here], [here, there]] as const) {
    await hosts.migrate("seat1", from, to);
  }
  assertStringIncludes((await here.merge()).log.join("\n"), '"seat1" runs on another host');
  await there.stop("seat1");
  await here.merge();
  assertEquals(here.layers, [1]);
});

Deno.test("a seat whose way back was given up runs at the other host still", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.commit("second");
  await hosts.migrate("seat1", here, there);
  await hosts.announce("seat1", here);
  assertEquals((await here.event("seat1", "release", "failed")).said, []);
  assertStringIncludes((await here.merge()).log.join("\n"), '"seat1" runs on another host');
  await there.stop("seat1");
  await here.merge();
  assertEquals(here.layers, [1]);
});

Deno.test("a seat that was begun anew at another host, and doesn't come from there, is that host's", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.commit("second");
  here.fixture.busy.clear(); // Power cut at the first host.
  await there.start("seat1");
  await hosts.announce("seat1", here);
  assertEquals((await here.event("seat1", "release", "failed")).said, []);
  assertStringIncludes((await here.merge()).log.join("\n"), '"seat1" runs on another host');
  // What was set aside is forgotten with the next start.
  for (const event of ["stop", "start", "stop"] as const) await there[event]("seat1");
  await here.merge();
  assertEquals(here.layers, [1]);
});

Deno.test("a seat that was here and went back is not thrown away by a start here, when it is saved there", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await there.start("seat1");
  await hosts.migrate("seat1", there, here);
  await hosts.migrate("seat1", here, there);
  there.fixture.write(there.image("seat1"), "work");
  await there.stop("seat1", "saved");
  await here.start("seat1");
  await here.stop("seat1");
  await there.event("seat1", "restore");
  assertEquals((await there.event("seat1", "prepare")).said, []);
  assertEquals(there.fixture.read(there.image("seat1"))["work"], "yes");
});

Deno.test("a seat that comes back has one session all the time", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await hosts.migrate("seat1", here, there);
  await here.commit("second");
  await hosts.migrate("seat1", there, here);
  assertEquals(here.fixture.read(here.image("seat1"))["by seat1"], "yes");
  assertEquals([here.record("seat1")?.layer, here.record("seat1")?.left], [0, undefined]);
  await here.stop("seat1");
  assert(here.isIdle("seat1"));
});

Deno.test("a migration that is given up leaves the session to its own host", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await hosts.announce("seat1", there);
  assertEquals((await there.event("seat1", "release", "failed")).said, []);
  assertEquals(there.record("seat1"), undefined);
  assertEquals(here.fixture.read(here.image("seat1"))["by seat1"], "yes");
  await here.stop("seat1");
  assert(here.isIdle("seat1"));
});

Deno.test("a seat without its session does not come by migration", async () => {
  using hosts = new Hosts();
  const { there } = hosts;
  await there.event("seat1", "migrate");
  const { code, said } = await there.event("seat1", "prepare");
  assertEquals(code, 1);
  assertStringIncludes(said[0]!, "migrates here without the session");
});

Deno.test("a session of a host whose notes nobody sees keeps a merge waiting by its image", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.commit("second");
  await there.start("seat2");
  await here.commit("third");
  assertStringIncludes((await here.merge()).log.join("\n"), "no note tells of it");
  assertEquals(there.version("seat2"), "second");
  assertEquals((await here.fixture.command("undo")).code, 0, "it does not stand on the newest");
});

Deno.test("a seat that another host has started meanwhile is not started here, and stays what it is", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  let isUp = false;
  const perform = before("create", async () => {
    if (!isUp) await there.start("seat1");
    isUp = true;
  });
  const { code, said } = await here.event("seat1", "prepare", "-", { perform });
  assertEquals(code, 1);
  assertStringIncludes(said[0]!, "was replaced by another host while a session was begun");
  assertEquals((await here.event("seat1", "release", "failed")).said, []);
  assertEquals(there.fixture.read(there.image("seat1"))["by seat1"], "yes");
  await there.stop("seat1");
  assertEquals(there.fixture.files().filter((name) => name.startsWith("seat1")), []);
});

Deno.test("a seat that another host is about to start is not started here", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  let refused: Result | undefined;
  const perform = before("rename", async () => {
    refused ??= await there.event("seat1", "prepare");
    await there.event("seat1", "release", "failed");
  });
  assertEquals((await here.event("seat1", "prepare", "-", { perform })).code, 0);
  assertEquals(refused?.code, 1);
  assertStringIncludes(refused!.said[0]!, "is being made: the seat is started at another host, too");
  assertEquals(here.version("seat1"), "first");
  assertEquals(there.record("seat1"), undefined);
  await here.stop("seat1");
  assert(here.isIdle("seat1"));
});

Deno.test("the source's end leaves the session that runs at the target, whatever it is told of", async () => {
  for (const reason of ["crashed", "failed", "destroyed", "daemon"]) {
    using hosts = new Hosts();
    const { here, there } = hosts;
    await here.start("seat1");
    await hosts.announce("seat1", there);
    await here.event("seat1", "release", reason);
    assertEquals(there.fixture.read(there.image("seat1"))["by seat1"], "yes", reason);
    await there.stop("seat1");
    assertEquals(there.fixture.files().filter((name) => name.startsWith("seat1")), []);
  }
});

Deno.test("a seat that is saved at one host is not thrown away by a start at another", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  here.fixture.write(here.image("seat1"), "saved");
  await here.stop("seat1", "saved");
  const { code } = await there.event("seat1", "prepare");
  if (code === 0) {
    await there.event("seat1", "started");
    await there.stop("seat1");
  }
  await here.event("seat1", "restore");
  const r = await here.event("seat1", "prepare");
  assertEquals([r.code, r.said], [0, []]);
  assertEquals(here.fixture.read(here.image("seat1"))["saved"], "yes");
});

Deno.test("a restore never comes up on another session than the one that the guest was saved on", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  here.fixture.write(here.image("seat1"), "saved");
  await here.stop("seat1", "saved");
  const { code } = await there.event("seat1", "prepare");
  if (code === 0) {
    await there.event("seat1", "started");
    there.fixture.write(there.image("seat1"), "of another session");
    // the other host's power fails
  }
  await here.event("seat1", "restore");
  const r = await here.event("seat1", "prepare");
  if (r.code === 0) {
    assertEquals(
      here.fixture.read(here.image("seat1"))["of another session"],
      undefined,
      "memory of one session on the disk of another",
    );
  }
});

Deno.test("a seat that went to another host without a reason, and ended there, holds no layer for ever", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.commit("second");
  for (const operation of ["migrate", "prepare", "started"]) {
    assertEquals((await there.event("seat1", operation)).said, []);
  }
  await here.event("seat1", "release", "-");
  for (let n = 0; n < 3; n++) {
    await there.stop("seat1", "-");
    if (n < 2) await there.start("seat1");
  }
  here.fixture.booted = LATER;
  await here.merge();
  assertEquals(here.layers, [1]);
});

Deno.test("a seat that came by migration, died with this host and went on elsewhere keeps no merge waiting", async () => {
  using fixture = new Fixture();
  const other = new Fixture(undefined, fixture.images);
  const pool = new Pool(fixture);
  const there = new Pool(other);
  other.busy = fixture.busy;
  Deno.removeSync(other.configFile);
  await there.start("seat1");
  await pool.commit("second");
  for (const operation of ["migrate", "prepare", "started"]) {
    assertEquals((await pool.event("seat1", operation)).said, []);
  }
  await there.event("seat1", "release", "migrated");
  fixture.busy.clear();
  fixture.booted = LATER;
  for (let n = 0; n < 2; n++) {
    await there.start("seat1");
    await there.stop("seat1");
  }
  await pool.merge();
  other[Symbol.dispose]();
  assertEquals(pool.layers, [1]);
});

Deno.test("a host that comes back does not throw away the session that its seat has at another host since", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.commit("second", {});
  here.fixture.busy.clear(); // power cut at the first host; its seats are started at the second
  await there.start("seat1");
  there.fixture.write(there.image("seat1"), "work");
  await there.stop("seat1", "saved");
  here.fixture.booted = LATER;
  await here.merge();
  await there.event("seat1", "restore");
  const r = await there.event("seat1", "prepare");
  assertEquals([r.code, r.said], [0, []]);
  assertEquals(there.fixture.read(there.image("seat1"))["work"], "yes");
});

Deno.test("nor while it starts there", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.commit("second", {});
  here.fixture.busy.clear();
  assertEquals((await there.event("seat1", "prepare")).said, []);
  here.fixture.booted = LATER;
  await here.merge();
  assert(exists(there.image("seat1")), "the image is gone before QEMU opens it");
});

Deno.test("nor by a start of the same seat", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  here.fixture.busy.clear();
  await there.start("seat1");
  there.fixture.write(there.image("seat1"), "work");
  await there.stop("seat1", "saved");
  here.fixture.booted = LATER;
  await here.start("seat1");
  await here.stop("seat1");
  await there.event("seat1", "restore");
  const r = await there.event("seat1", "prepare");
  assertEquals([r.code, r.said], [0, []]);
});

Deno.test("a seat that was restored here and has migrated away is not ended here", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.stop("seat1", "saved");
  await here.event("seat1", "restore");
  await here.start("seat1");
  await here.commit("second", {});
  for (const operation of ["migrate", "prepare", "started"]) {
    assertEquals((await there.event("seat1", operation)).said, []);
  }
  await here.event("seat1", "release", "migrated");
  here.fixture.busy.clear();
  there.fixture.write(there.image("seat1"), "work");
  await there.event("seat1", "release", "saved");
  here.fixture.booted = LATER;
  await here.merge();
  await there.event("seat1", "restore");
  const r = await there.event("seat1", "prepare");
  assertEquals([r.code, r.said], [0, []]);
});

Deno.test("a seat that is saved at one host finds its session after a start and an end without a reason at another", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  here.fixture.write(here.image("seat1"), "saved");
  await here.stop("seat1", "saved");
  await there.start("seat1");
  there.fixture.write(there.image("seat1"), "other");
  await there.stop("seat1", "-");
  // That may have been a save: the older one is put back by hand, and the other one is not lost.
  await here.event("seat1", "restore");
  const { said } = await here.event("seat1", "prepare");
  await here.event("seat1", "release", "failed");
  const [, way] = /if on the second, (mv .*?);/.exec(said.join("\n"))!;
  assert(new Deno.Command("sh", { args: ["-c", way!] }).outputSync().success);
  await here.restore("seat1");
  assertEquals(here.fixture.read(here.image("seat1"))["saved"], "yes");
  assertEquals(here.fixture.read(`${here.image("seat1")}.old`)["other"], "yes");
  Deno.removeSync(`${here.image("seat1")}.old`);
  await here.stop("seat1");
  // Nothing of it is left at either.
  for (let times = 0; times < 2; times++) {
    await there.start("seat1");
    await there.stop("seat1");
  }
  assert(there.isIdle("seat1"));
});

Deno.test("a restore that was refused, since another host's session lies there, is refused again", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.stop("seat1", "saved");
  await here.restore("seat1");
  await here.stop("seat1", "saved");
  // Begun twice there, its guest's session here is gone.
  await there.start("seat1");
  await there.stop("seat1");
  await there.start("seat1");
  await there.stop("seat1", "saved");
  for (let times = 0; times < 2; times++) {
    await here.event("seat1", "restore");
    assertStringIncludes((await here.event("seat1", "prepare")).said[0] ?? "it came up", "is gone");
    await here.event("seat1", "release", "failed");
  }
});

/** A seat that is saved at the second host, above the layer that would change, while a merge waits. */
async function savedThere({ here, there }: { readonly here: Pool; readonly there: Pool }): Promise<void> {
  await here.commit("second");
  await there.start("seat1");
  await here.commit("third");
  await there.stop("seat1", "saved", { mergeDies: true });
}

const minutes = (count: number) => () => new Date(Date.now() + count * 60_000);

Deno.test("where both hosts have one folder of configurations, nothing is merged below a seat that the other is starting", async () => {
  using hosts = new Hosts({ sharesConfig: true });
  const { here, there } = hosts;
  await savedThere(hosts);
  await there.event("seat1", "restore");
  await there.event("seat1", "prepare");
  // Booted since, by its own clock.
  here.fixture.booted = LATER;
  assertStringIncludes((await here.merge()).log.join("\n"), '"seat1" runs');
  assertEquals(here.layers, [0, 1, 2]);
  // The other one has died meanwhile.
  here.fixture.now = minutes(11);
  await here.merge();
  assertEquals(here.layers, [1, 2]);
});

Deno.test("where both hosts have one folder of configurations, a seat that the other runs isn't told dead by a host that was booted since", async () => {
  using hosts = new Hosts({ sharesConfig: true });
  const { here, there } = hosts;
  await there.start("seat1");
  await here.commit("second");
  // What another host has open is not told everywhere.
  here.fixture.busy = new Set();
  here.fixture.booted = LATER;
  here.fixture.now = () => new Date(LATER.getTime() + 3_600_000);
  const { log } = await here.merge();
  assertStringIncludes(log.join("\n"), '"seat1" runs on another host');
  assertEquals([here.layers, exists(here.image("seat1"))], [[0, 1], true]);
  assertEquals((await there.stop("seat1")).said, []);
  await here.merge();
  assertEquals(here.layers, [1]);
});

Deno.test("a seat whose note tells of no host, of an earlier version, is ended when this one was booted since", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.commit("second");
  const note = `${fixture.config}/seat1.seats`;
  const records = JSON.parse(Deno.readTextFileSync(note));
  for (const record of records) delete record.host;
  Deno.writeTextFileSync(note, JSON.stringify(records));
  pool.powerCut();
  await pool.merge();
  assertEquals(pool.record("seat1")?.beside, "died");
});

Deno.test("a start of an earlier boot is over, whenever a file server says that it was noted", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await savedThere({ here: pool, there: pool });
  await pool.event("seat1", "restore");
  await pool.event("seat1", "prepare");
  fixture.booted = new Date(Date.now() - 1000);
  Deno.utimeSync(`${fixture.config}/seat1.starting`, minutes(1)(), minutes(1)());
  await pool.merge();
  assertEquals(pool.layers, [1, 2]);
});

Deno.test("a restored seat whose coming up could not be noted runs as long as libvirt says so", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await savedThere({ here: pool, there: pool });
  await pool.event("seat1", "restore");
  await pool.event("seat1", "prepare");
  pool.live("seat1");
  fixture.now = minutes(11);
  assertStringIncludes((await pool.merge()).log.join("\n"), '"seat1" runs');
  assertEquals(pool.layers, [0, 1, 2]);
});

for (const reason of ["migrated", "-", "destroyed"]) {
  Deno.test(`where both hosts have one folder of configurations, a seat that has migrated is its new host's, told ${reason}`, async () => {
    using hosts = new Hosts({ sharesConfig: true });
    const { here, there } = hosts;
    await here.start("seat1");
    await here.commit("second");
    await hosts.migrate("seat1", here, there, reason);
    assertStringIncludes((await here.merge()).log.join("\n"), '"seat1" runs on another host');
    await hosts.migrate("seat1", there, here, reason);
    assertEquals((await here.stop("seat1")).said, []);
    assert(here.isIdle("seat1"));
    await here.merge();
    assertEquals(here.layers, [1]);
  });
}

Deno.test("a seat that came by migration and was saved finds its session there", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await hosts.migrate("seat1", here, there);
  there.fixture.write(there.image("seat1"), "work");
  await there.stop("seat1", "saved");
  assertEquals(there.record("seat1")?.waits, true);
  assertEquals((await there.restore("seat1")).said, []);
  assertEquals(there.fixture.read(there.image("seat1"))["work"], "yes");
  assertEquals((await there.stop("seat1")).said, []);
  assertEquals(there.fixture.files().filter((name) => name.startsWith("seat1")), []);
});

Deno.test("seats of another host don't begin with one disk of a commit that was cut short", async () => {
  using hosts = new TwoHosts({ vda: true, vdb: true });
  const { here, there } = hosts;
  const targets = ["vda", "vdb"];
  const xml = domainXml(targets.map((target) => diskXml(target, here.image(`seat-${target}`))));
  const disks = targets.map((target) => ({ target, master: here.image(target) }));
  Deno.writeTextFileSync(`${there.config}/seat.json`, JSON.stringify({ disks }));
  Deno.removeSync(there.configFile);
  Deno.writeTextFileSync(`${there.settings.definedFolder}/seat.xml`, xml);
  const start = () => there.event("prepare", "-", { domain: "seat", xml });
  assertEquals((await start()).code, 0);
  await there.event("started", "-", { domain: "seat" });
  await there.event("release", "shutdown", { domain: "seat", xml });
  await here.start();
  await here.event("release", "shutdown", {
    mergeDies: true,
    perform: dyingAt((step) => step.kind === "rename" && step.from.includes("vdb.img.autorevert-committing")),
  });
  const { code, said } = await start();
  assertEquals([code, said.join().includes("was cut short on its host")], [1, true]);
});
for (const reason of ["shutdown", "destroyed", "crashed", "-", "saved"]) {
  Deno.test(`nor by an end, ${reason}, of the guest that its file server had forgotten`, async () => {
    using hosts = new Hosts();
    const { here, there } = hosts;
    await here.start("seat1");
    here.fixture.write(here.image("seat1"), "here");
    // The server has lost the first host's locks.
    here.fixture.busy.clear();
    await there.start("seat1");
    there.fixture.write(there.image("seat1"), "there");
    await there.stop("seat1", "saved");
    await here.stop("seat1", reason);
    await there.event("seat1", "restore");
    const r = await there.event("seat1", "prepare");
    assertEquals([r.code, r.said], [0, []]);
    assertEquals(there.fixture.read(there.image("seat1"))["there"], "yes");
  });
}

Deno.test("a guest that was saved beside another host's session never comes up on that", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  here.fixture.busy.clear();
  await there.start("seat1");
  await afterClockTick();
  here.fixture.write(`${here.image("seat1")}.autorevert-ended`, "here");
  await here.stop("seat1", "saved");
  await there.stop("seat1", "saved");
  await here.event("seat1", "restore");
  assertEquals((await here.event("seat1", "prepare")).code, 1);
  await here.event("seat1", "release", "failed");
  await there.restore("seat1");
  assertEquals(here.fixture.read(`${here.image("seat1")}.autorevert-ended`)["here"], "yes");
});

poolTest(
  "the restore of a seat that was saved here leaves the session on which it was saved at another host",
  1,
  async (pool, fixture) => {
    const note = `${fixture.config}/seat1.seats`;
    await pool.start("seat1");
    fixture.write(pool.image("seat1"), "work", "here");
    await pool.stop("seat1", "saved");
    const here = Deno.readTextFileSync(note);
    Deno.removeSync(note);
    fixture.name = "there";
    await pool.start("seat1");
    fixture.write(pool.image("seat1"), "work", "there");
    await pool.stop("seat1", "saved");
    fixture.name = "here";
    Deno.writeTextFileSync(note, here);
    await pool.event("seat1", "restore");
    const { code, said } = await pool.event("seat1", "prepare");
    assertEquals([code, said[0]!.includes("nobody can tell on which session")], [1, true]);
    const read = (path: string) => fixture.read(path)["work"];
    assertEquals([read(pool.image("seat1")), read(`${pool.image("seat1")}.autorevert-ended`)], [
      "there",
      "here",
    ]);
  },
);

for (
  const first of ["no other one", "one that is refused", "one that fails in QEMU", "another boot", "a merge"]
) {
  Deno.test(`a seat that went to another host as this one died, and is saved there, outlives a start here after ${first}`, async () => {
    using hosts = new Hosts();
    const { here, there } = hosts;
    await here.start("seat1");
    await here.commit("second");
    await hosts.announce("seat1", there);
    await afterClockTick();
    here.powerCut(new Date());
    await afterClockTick();
    there.fixture.write(there.image("seat1"), "work");
    await there.stop("seat1", "saved");
    if (first === "another boot") here.powerCut();
    else if (first === "a merge") await here.merge();
    else if (first !== "no other one") {
      if (first === "one that is refused") here.fixture.full.add(`${here.image("seat1")}.autorevert-new`);
      const { code } = await here.event("seat1", "prepare");
      assertEquals(code, first === "one that is refused" ? 1 : 0);
      await here.event("seat1", "release", "failed");
      here.fixture.full.clear();
    }
    await here.start("seat1");
    await here.stop("seat1");
    await there.restore("seat1");
    assertEquals(there.fixture.read(there.image("seat1"))["work"], "yes");
  });
}

Deno.test("a guest whose newer session has migrated away is not restored on that: it may have been saved on the older one", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  here.fixture.write(here.image("seat1"), "older");
  await here.stop("seat1", "saved");
  await here.start("seat1");
  await hosts.migrate("seat1", here, there);
  there.fixture.busy.clear();
  await here.event("seat1", "restore");
  const { code, said } = await here.event("seat1", "prepare");
  assertEquals([code, said[0]!.includes("nobody can tell on which session")], [1, true]);
});

Deno.test("a session that came by migration and was saved is told from one that the other host has begun and saved since", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await hosts.migrate("seat1", here, there);
  there.fixture.write(there.image("seat1"), "migrated");
  there.fixture.busy.clear();
  await there.stop("seat1", "saved");
  await afterClockTick();
  await here.start("seat1");
  here.fixture.write(here.image("seat1"), "since");
  await here.stop("seat1", "saved");
  await there.event("seat1", "restore");
  const { code } = await there.event("seat1", "prepare");
  assert(code === 1 || there.fixture.read(there.image("seat1"))["migrated"] === "yes");
});

for (const end of ["-", "keep-session"]) {
  for (const how of ["as was told", "as this one died"]) {
    Deno.test(`a session that has gone to another host, ${how}, outlives the end of the one that its guest begins here: ${end}`, async () => {
      using hosts = new Hosts();
      const { here, there } = hosts;
      if (end === "keep-session") here.configure("seat1", { "keep-session": true });
      await here.start("seat1");
      if (how === "as was told") await hosts.migrate("seat1", here, there);
      else {
        await hosts.announce("seat1", there);
        here.powerCut(new Date());
        await afterClockTick();
      }
      there.fixture.write(there.image("seat1"), "work");
      await there.stop("seat1", "saved");
      await here.start("seat1");
      await here.stop("seat1", end === "-" ? "-" : "shutdown");
      const image = here.image("seat1");
      const kept = [image, `${image}.autorevert-ended`].filter((path) =>
        exists(path) && here.fixture.read(path)["work"] === "yes"
      );
      assertEquals(kept.length, 1, here.fixture.files().join());
    });
  }
}

for (const how of ["put back", "came by migration", "restored here, and begun elsewhere"]) {
  Deno.test(`a session that another host has begun and saved in the place of one that was ${how} outlives a start here`, async () => {
    using hosts = new Hosts();
    const { here, there } = hosts;
    await (how === "put back" ? here : there).start("seat1");
    if (how === "came by migration") await hosts.migrate("seat1", there, here);
    else {
      await (how === "put back" ? here : there).stop("seat1", "saved");
      if (how === "put back") {
        await here.start("seat1");
        await here.stop("seat1");
      }
      await here.restore("seat1");
    }
    here.fixture.busy.clear();
    await afterClockTick();
    await there.start("seat1");
    there.fixture.write(there.image("seat1"), "work");
    await there.stop("seat1", "saved");
    here.powerCut();
    await here.start("seat1");
    await here.stop("seat1");
    await there.event("seat1", "restore");
    const { code, said } = await there.event("seat1", "prepare");
    assertEquals([code, said], [0, []]);
    assertEquals(there.fixture.read(there.image("seat1"))["work"], "yes");
  });
}

for (const how of ["migrated", "untold"]) {
  for (const end of ["-", "keep-session"]) {
    Deno.test(`what a guest was saved on outlives the end, at another host, of a session that has gone there: ${how}, ${end}`, async () => {
      using hosts = new Hosts();
      const { here, there } = hosts;
      if (end === "keep-session") there.configure("seat1", { "keep-session": true });
      await here.start("seat1");
      here.fixture.write(here.image("seat1"), "work", "saved");
      await here.stop("seat1", "saved");
      await here.start("seat1");
      here.fixture.write(here.image("seat1"), "work", "other");
      await hosts.migrate("seat1", here, there, how === "migrated" ? how : "-");
      there.fixture.write(there.image("seat1"), "more");
      await there.stop("seat1", end === "keep-session" ? "shutdown" : "-");
      const image = here.image("seat1");
      assertEquals(here.fixture.read(`${image}.autorevert-ended`)["work"], "saved");
      await here.event("seat1", "restore");
      const { code } = await here.event("seat1", "prepare");
      assert(code === 1 || here.fixture.read(image)["work"] === "saved");
    });
  }
}

Deno.test("a saved guest isn't restored on a session that another host has set aside in the place of its own", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  await here.start("seat1");
  await here.stop("seat1", "saved");
  await afterClockTick();
  await here.start("seat1");
  await hosts.migrate("seat1", here, there);
  there.fixture.busy.clear();
  // As an older version of the hook does.
  Deno.renameSync(here.image("seat1"), `${here.image("seat1")}.autorevert-ended`);
  await here.event("seat1", "restore");
  const { code, said } = await here.event("seat1", "prepare");
  assertEquals([code, said[0]?.includes("is gone")], [1, true]);
});

Deno.test("a guest that was saved here on the newer of two sessions is restored at another host on that, or not at all", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  for (const work of ["older", "newer"]) {
    await here.start("seat1");
    here.fixture.write(here.image("seat1"), "work", work);
    await here.stop("seat1", "saved");
  }
  await there.event("seat1", "restore");
  assertEquals((await there.event("seat1", "prepare")).code, 1);
  await there.event("seat1", "release", "failed");
  await here.restore("seat1");
  assertEquals(here.fixture.read(here.image("seat1"))["work"], "newer");
});

Deno.test("a merge before the folder of the seats is mounted takes nothing from under a session that came by migration and died here", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  const folder = `${here.fixture.root}/seats`;
  Deno.mkdirSync(folder);
  for (const pool of [here, there]) {
    const { fixture } = pool;
    fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, folder] };
    pool.image = (seat) => `${folder}/${seat}.img`;
    pool.configure("seat1");
  }
  await there.start("seat1");
  await hosts.migrate("seat1", there, here);
  await here.commit("second");
  here.powerCut();
  Deno.renameSync(folder, `${folder}.disk`);
  Deno.mkdirSync(folder);
  await here.merge();
  assertEquals(here.layers, [0, 1]);
});

for (const how of ["save that could not be noted", "restore after which nothing was written"]) {
  for (const refusal of ["nobody can tell on which session", "is gone"]) {
    Deno.test(`after a ${how} a guest isn't restored on what it is saved on at another host: ${refusal}`, async () => {
      using hosts = new Hosts();
      const { here, there } = hosts;
      await here.start("seat1");
      here.fixture.write(here.image("seat1"), "work", "here");
      const perform: NonNullable<Circumstance["perform"]> = () => () => Promise.reject(new Error("killed"));
      const isNoted = how !== "save that could not be noted";
      await here.stop("seat1", "saved", isNoted ? {} : { perform });
      if (isNoted) {
        for (const operation of ["restore", "prepare", "started"]) await here.event("seat1", operation);
      }
      here.powerCut(new Date());
      await afterClockTick();
      if (refusal === "is gone") {
        await there.start("seat1");
        await there.stop("seat1");
      }
      await there.start("seat1");
      there.fixture.write(there.image("seat1"), "work", "there");
      await there.stop("seat1", "saved");
      await here.event("seat1", "restore");
      const { code, said } = await here.event("seat1", "prepare");
      assertEquals([code, said[0]?.includes(refusal)], [1, true]);
      await here.event("seat1", "release", "failed");
      await there.restore("seat1");
      assertEquals(there.fixture.read(there.image("seat1"))["work"], "there");
    });
  }
}

Deno.test("undo names no command that ends what a guest is saved on at another host, and recover says that it may be", async () => {
  using hosts = new Hosts();
  const { here, there } = hosts;
  here.fixture.keys = { "keep-commits": 3 };
  await here.commit("one");
  await there.start("seat1");
  await there.stop("seat1", "saved");
  here.fixture.configure({ vda: false });
  const { code, said } = await here.fixture.type("undo guest --yes");
  assertEquals(code, 1);
  assertStringIncludes(said.join("\n"), "a session of another host goes with its guest's end");
  assert(!said.join("\n").includes("--discard"), said.join("\n"));
  await here.fixture.type("recover --discard seat1", false);
  assertStringIncludes(
    here.fixture.asked.join(),
    ", of which no note here tells: a guest may be saved on it at another host, away?",
  );
});

for (const how of ["is killed before it has changed a name", "fails in QEMU"]) {
  for (const isNoted of [true, false]) {
    Deno.test(`after a start that ${how}, a guest isn't restored on what it is saved on at another host, its own save noted: ${isNoted}`, async () => {
      using hosts = new Hosts();
      const { here, there } = hosts;
      const perform: NonNullable<Circumstance["perform"]> = () => () => Promise.reject(new Error("killed"));
      await here.start("seat1");
      await here.stop("seat1", "saved", isNoted ? {} : { perform });
      await afterClockTick();
      await there.start("seat1");
      there.fixture.write(there.image("seat1"), "work");
      await there.stop("seat1", "saved");
      const isKilled = how !== "fails in QEMU";
      await here.event("seat1", "prepare", "-", isKilled ? { perform: dyingAt("rename") } : {});
      if (isKilled) here.powerCut();
      else await here.event("seat1", "release", "failed");
      await here.event("seat1", "restore");
      assertEquals((await here.event("seat1", "prepare")).code, 1);
      await here.event("seat1", "release", "failed");
      const image = here.image("seat1");
      const kept = [image, `${image}.autorevert-ended`].filter((path) =>
        exists(path) && here.fixture.read(path)["work"] === "yes"
      );
      assertEquals(kept.length, 1);
    });
  }
}

for (const at of ["its renames", "the note of its start"]) {
  poolTest(
    `a seat that is saved here, and is started on two hosts at once, runs on a file with a name: this one is at ${at}`,
    1,
    async (pool, fixture) => {
      const { seats: [seat] } = pool;
      using there = new FarSeat(pool, seat);
      await pool.start(seat!);
      fixture.write(there.image, "saved");
      await pool.stop(seat!, "saved");
      const gate = Promise.withResolvers<void>();
      const reached = Promise.withResolvers<void>();
      const kind = at === "its renames" ? "rename" : "starting";
      const perform = beforeFirst(kind, async () => {
        reached.resolve();
        await gate.promise;
      });
      let here: Promise<Result> | undefined;
      const { code } = await there.event("prepare", "-", {
        perform: beforeFirst("rename", async () => {
          here = pool.event(seat!, "prepare", "-", { perform });
          await Promise.race([reached.promise, here]);
        }),
      });
      gate.resolve();
      const { code: own, said } = await here!;
      assertEquals([code, own], [0, 1], said.join());
      await pool.event(seat!, "release", "failed");
      await there.event("started");
      assertEquals(fixture.read(there.image)["saved"], undefined);
      assertEquals(fixture.read(namesOf(there.image).ended)["saved"], "yes");
    },
  );
}
