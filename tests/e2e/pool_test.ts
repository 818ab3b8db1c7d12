/** A master and its seats under a real libvirtd. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import * as libvirt from "./libvirt.ts";
import {
  at,
  CONFIG,
  countOn,
  exists,
  Guest,
  IMAGES,
  run,
  slowMerges,
  tellsReason,
  until,
  virsh,
} from "./libvirt.ts";

Deno.test.beforeAll(libvirt.startLibvirtd);
Deno.test.afterAll(() => libvirt.stopLibvirtd("SIGKILL"));

const isShort = Deno.env.get("SHORT") === "1";
const SEATS = isShort ? 3 : 12;
/** Left out of a short run. */
const long = { ignore: isShort };

const autorevert = (...args: string[]) => run("/etc/libvirt/hooks/qemu", ...args);

/** Runs a command that has to succeed. */
async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await autorevert(...args);
  assertEquals([code, stderr], [0, ""], args.join(" "));
  return stdout;
}

interface Pool {
  readonly lab: Guest;
  readonly seats: readonly Guest[];
}

/** A master that counts, and so many seats without an image. */
async function pool(name: string, count: number, keys: Record<string, unknown> = {}): Promise<Pool> {
  const lab = await Guest.define(name, { stay: true });
  lab.configure({ vda: false }, keys);
  const seats: Guest[] = [];
  for (let number = 1; number <= count; number++) {
    const seat = await Guest.define(`${name}-seat${number}`, { made: true });
    await done("enable", seat.name, "vda", "--master", lab.images[0]!);
    seats.push(seat);
  }
  return { lab, seats };
}

/** The master's guest counts once, and that is kept. */
async function commit(lab: Guest): Promise<string> {
  await done("commit", lab.name);
  const counted = await lab.start();
  await lab.destroy();
  return counted;
}

const notes = (seat: Guest) => exists(`${CONFIG}/${seat.name}.seats`);

/** Where libvirt gives no reason, what has ended is set aside until the guest is up again. */
async function forgotten(seat: Guest): Promise<void> {
  if (!await tellsReason()) await done("recover", "--discard", "--yes", seat.name);
  assertEquals([seat.files(), notes(seat)], [[], false]);
}

Deno.test("seats begin with what the master is then, and keep that while it is committed, undone and published", async () => {
  const { lab, seats } = await pool("lab", SEATS, { "keep-commits": 1 });
  const [first, second] = seats as [Guest, Guest, ...Guest[]];
  assertEquals(await Promise.all(seats.map((seat) => seat.start())), seats.map(() => "1"));
  assertEquals(await commit(lab), "1");
  await first.destroy();
  assertEquals(await first.start(), "2");
  assertEquals(await commit(lab), "2");
  await first.destroy();
  assertEquals(await first.start(), "3");
  // What others began with is still below them.
  assertEquals(await second.key(), "2");

  const refused = await autorevert("undo", lab.name, "--yes");
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.stderr, `sessions stand on the commit: "${first.name}" runs`);
  await first.destroy();
  await forgotten(first);
  await done("undo", lab.name, "--yes");
  assertEquals(await first.start(), "2");
  assertStringIncludes(await done("status", first.name), "running on a session, of lab.img");
  assertStringIncludes(await done("status", second.name), "of lab.img, a commit behind");

  await done("enable", lab.name, "vda", "--by-hand");
  await done("enable", second.name, "vda", "--preview");
  assertEquals(await commit(lab), "2");
  for (const seat of [first, second]) await seat.destroy();
  assertEquals(await first.start(), "2");
  assertEquals(await second.start(), "3");
  await done("publish", lab.name);
  await first.destroy();
  assertEquals(await first.start(), "3");
  await done("enable", lab.name, "vda", "--no-by-hand", "--keep-commits", "0");

  assertStringIncludes(
    await done("merge", lab.name),
    "the merge waits for the end of those who stand on the layers",
  );
  assertStringIncludes((await autorevert("check")).stdout, "2 commits wait to be merged");
  assertEquals(lab.files().length, 5, "the image, its mark and three layers");
  await seats.at(-1)!.killQemu();
  await seats.at(-1)!.off();
  for (const seat of seats.slice(0, -1)) await seat.destroy();
  for (const seat of seats) await forgotten(seat);
  await until(
    "the merge has gone on",
    () => Promise.resolve(lab.files().length === 3),
  );
  assertEquals(await countOn(lab.images[0]!), 2);
  assertEquals(await first.start(), "3");
  await first.destroy();
});

Deno.test(
  "a seat that starts doesn't wait for a merge of its master, which goes on at its end",
  long,
  async () => {
    const { lab, seats: [seat] } = await pool("merged", 1);
    {
      await using _slow = await slowMerges(90);
      await done("commit", lab.name);
      assertEquals(await lab.start(), "1");
      await lab.write(900);
      await lab.destroy();
      await until("it is being merged", () => Promise.resolve(exists(`${lab.images[0]}.autorevert-merge.1`)));
      assertEquals(await seat!.start(), "2");
      assertStringIncludes(
        Deno.readTextFileSync(at(libvirt.LOG)),
        "merged vda: merge interrupted by a start",
      );
    }
    await seat!.destroy();
    await forgotten(seat!);
    await until("the merge has gone on", () => Promise.resolve(lab.files().length === 3));
    assertEquals(await countOn(lab.images[0]!), 1);
  },
);

Deno.test("a seat that was saved finds the layer it stands on", long, async () => {
  const { lab, seats: [seat] } = await pool("saved", 1);
  assertEquals(await seat!.start(), "1");
  await virsh("managedsave", seat!.name);
  await seat!.idle();
  assertEquals(await commit(lab), "1");
  assertEquals(lab.files().length, 4, "the image, its mark and two layers");
  await virsh("start", seat!.name);
  assertEquals(await seat!.key(), "2");
  await seat!.destroy();
  await forgotten(seat!);
  await until("the merge has gone on", () => Promise.resolve(lab.files().length === 3));
});

Deno.test("seats come back with the master after the host was killed", long, async () => {
  const { lab, seats } = await pool("cut", 3);
  for (const seat of seats) assertEquals(await seat.start(), "1");
  assertEquals(await commit(lab), "1");
  await done("commit", lab.name);
  assertEquals(await lab.start(), "2");
  await libvirt.powerCut();
  assertEquals(await seats[0]!.start(), "2");
  // Its flagged session goes on.
  assertEquals(await lab.start(), "3");
  await lab.destroy();
  assertEquals(await seats[1]!.start(), "4");
  for (const seat of seats.slice(0, 2)) await seat.destroy();
  assertEquals(await seats[2]!.start(), "4");
  await seats[2]!.destroy();
  for (const seat of seats) {
    // What died with the host is set aside until the start after the next one.
    await done("recover", "--discard", "--yes", seat.name);
    await forgotten(seat);
  }
  await until("all is merged", () => Promise.resolve(lab.files().length === 3));
  assertEquals(await countOn(lab.images[0]!), 3);
});

Deno.test("somebody's own file in a seat's place keeps its guest from starting", long, async () => {
  const { seats: [seat] } = await pool("own", 1);
  await libvirt.makeImage(seat!.images[0]!, false);
  const before = Deno.statSync(at(seat!.images[0]!)).ino;
  assertStringIncludes(await libvirt.refused("start", seat!.name), "is no session on");
  assertEquals(Deno.statSync(at(`${IMAGES}/own-seat1.img`)).ino, before);
});
