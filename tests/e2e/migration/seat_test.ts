/** A seat that migrates between two hosts, while its master is committed and merged at one of them. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { countOn, IMAGES, ok, until } from "../libvirt.ts";
import { type Machine, MigratingGuest, one, two } from "./hosts.ts";

Deno.test.beforeAll(async () => {
  for (const host of [one, two]) await host.boot();
});
Deno.test.afterAll(async () => {
  for (const host of [one, two]) await host.killLibvirtd();
});

/** The master's guest is at the first of these. Continuous integration has time for one way. */
const ways = ([[one, two], [two, one]] as const).slice(0, Deno.env.get("SHORT") ? 1 : 2);

interface Pool {
  readonly lab: MigratingGuest;
  readonly seat: MigratingGuest;
}

/** A master of one host, and a seat of both. */
async function pool(
  name: string,
  home: Machine,
  away: Machine,
  keys: Readonly<Record<string, unknown>> = {},
): Promise<Pool> {
  const lab = await MigratingGuest.make(`${name}-lab-${home.name}`, { keys });
  lab.configure(home, { vda: false });
  const seat = await MigratingGuest.make(`${name}-seat-${home.name}`, { master: lab.images[0]! });
  for (const host of [home, away]) seat.configure(host);
  return { lab, seat };
}

/** The master's guest counts once more, and that is kept. */
async function commit(lab: MigratingGuest, host: Machine): Promise<string> {
  lab.configure(host, { vda: true });
  const counted = await lab.start(host);
  await lab.destroy(host);
  assertEquals(lab.flags(host), { vda: false });
  return counted;
}

const layers = (lab: MigratingGuest) => lab.files().filter((file) => file.includes("backing_file")).length;

/** A merge of the master by hand, which has to wait for the seat. */
async function waits(lab: MigratingGuest, host: Machine, why: string): Promise<void> {
  const before = layers(lab);
  const said = await host.autorevert("merge", lab.name);
  assertStringIncludes(said, "the merge waits for the end of those who stand on the layers");
  assertStringIncludes(said, why);
  assertEquals(layers(lab), before);
}

/** Where libvirt gives no reason, what has ended is set aside until the guest is up again. */
async function endsAt(seat: MigratingGuest, host: Machine): Promise<void> {
  await seat.destroy(host);
  if (!await host.tellsReason()) await host.autorevert("recover", "--discard", "--yes", seat.name);
  assertEquals([seat.files(), seat.notes(host)], [[], []]);
}

/** All that was committed is in so many layers, and a session begins with it on either host; then nothing is left of the seat. */
async function assertMerged(
  { lab, seat }: Pool,
  count: number,
  home: Machine,
  away: Machine,
  left = 1,
): Promise<void> {
  await home.autorevert("merge", lab.name);
  assertEquals(layers(lab), left);
  assertEquals(await countOn(lab.images[0]!), count);
  for (const host of [away, home]) {
    assertEquals(await seat.start(host), `${count + 1}`);
    await endsAt(seat, host);
  }
  assertEquals(lab.files().filter((file) => /autorevert-(?!master)/.test(file)), []);
  assertEquals(seat.notes(away), []);
  await ok("qemu-img", "check", "-q", lab.images[0]!);
}

for (const [home, away] of ways) {
  Deno.test(`a seat goes from ${home.name} to ${away.name}, and finds what it began with while its master is committed`, async () => {
    const both = await pool("goes", home, away, { "keep-commits": 1 });
    const { lab, seat } = both;
    assertEquals(await commit(lab, home), "1");
    assertEquals(await seat.start(home), "2");
    assertEquals(await commit(lab, home), "2");
    await seat.migrate(home, away);
    assertEquals(await seat.key(away), "3");
    await waits(lab, home, "runs on another host");
    assertEquals(await commit(lab, home), "3");
    assertEquals(layers(lab), 4);
    assertMatch(await home.autorevert("status", seat.name), /its session runs on another host/);
    assertMatch(await away.autorevert("status", seat.name), /running on a session, of \S+, 2 commits behind/);

    await seat.migrate(away, home);
    assertEquals(await seat.key(home), "4");
    await waits(lab, home, `"${seat.name}" runs`);
    const { migration } = await seat.beginMigration(home, away);
    await home.virsh("domjobabort", seat.name);
    assertEquals((await migration).code, 1);
    await seat.idle(away);
    assertEquals(await seat.key(home), "5");
    await waits(lab, home, `"${seat.name}" runs`);

    await seat.migrate(home, away);
    assertEquals(await seat.key(away), "6");
    await endsAt(seat, away);
    await assertMerged(both, 3, home, away, 2);
  });

  Deno.test(`a seat is saved on ${home.name} and restored on ${away.name}`, async () => {
    const both = await pool("saved", home, away);
    const { lab, seat } = both;
    assertEquals(await commit(lab, home), "1");
    // A configuration names it as a master, so one layer stays.
    await until("it is merged", () => Promise.resolve(layers(lab) === 1));
    assertEquals(await seat.start(home), "2");
    const save = `${IMAGES}/${seat.name}.save`;
    await home.virsh("save", seat.name, save);
    await seat.idle(home);
    assertEquals(await commit(lab, home), "2");
    await waits(lab, home, seat.name);
    await seat.restore(away, save);
    assertEquals(await seat.key(away), "3");
    await waits(lab, home, seat.name);
    await seat.migrate(away, home);
    assertEquals(await seat.key(home), "4");
    await endsAt(seat, home);
    await ok("rm", save);
    await assertMerged(both, 2, home, away);
  });

  Deno.test(`the libvirtd of ${home.name} is killed while a seat goes to ${away.name}: it has one session`, async () => {
    const both = await pool("killed", home, away);
    const { lab, seat } = both;
    assertEquals(await seat.start(home), "1");
    assertEquals(await commit(lab, home), "1");
    const { migration } = await seat.beginMigration(home, away);
    await home.killLibvirtd();
    await migration;
    await home.startLibvirtd();
    await until("one has it", async () => await seat.isOff(home) !== await seat.isOff(away));
    const host = await seat.isOff(home) ? away : home;
    assertEquals(await seat.key(host), "2");
    await waits(lab, home, seat.name);
    await endsAt(seat, host);
    await assertMerged(both, 1, home, away);
  });
}

Deno.test("a master's guest goes to another host, with its commit, while a seat stands on it", async () => {
  const both = await pool("master", one, two);
  const { lab, seat } = both;
  lab.configure(two, { vda: false });
  assertEquals(await seat.start(two), "1");
  lab.configure(one, { vda: true });
  assertEquals(await lab.start(one), "1");
  await lab.migrate(one, two);
  assertEquals(await lab.key(two), "2");
  await lab.destroy(two);
  await lab.idle(two);
  assertEquals(lab.flags(one), { vda: false });
  assert(layers(lab) === 2, lab.files().join());
  assertEquals(await seat.key(two), "2");
  await seat.destroy(two);
  assertEquals(await seat.start(one), "3");
  await endsAt(seat, one);
  if (!await two.tellsReason()) await two.autorevert("recover", "--discard", "--yes", seat.name);
  await assertMerged(both, 2, two, one);
});
