/** Many guests that start and stop at once under a real libvirtd, while processes die: run in the sandbox. */

import { assert } from "@std/assert";
import { at, CONFIG, exists, IMAGES, ok, run, startLibvirtd, stopLibvirtd } from "../../tests/e2e/libvirt.ts";
import { randomly } from "../../tests/random.ts";
import { Killer, sleep } from "./killer.ts";
import { Member } from "./member.ts";
import { Seat } from "./seat.ts";

const short = Deno.env.get("SHORT") === "1";
const GUESTS = Number(Deno.env.get("GUESTS") ?? (short ? 10 : 50));
/** Guests that begin with the disk of one more. */
const SEATS = Number(Deno.env.get("SEATS") ?? (short ? 3 : 10));
const SECONDS = Number(Deno.env.get("SECONDS") ?? (short ? 30 : 600));
const SEED = Number(Deno.env.get("SEED") ?? (short ? 1 : Date.now() % 1_000_000));

/** The daemon with all that it has forked is dead, and another takes its place. */
async function revive(): Promise<void> {
  while ((await run("pkill", "-9", "-x", "libvirtd")).code === 0) await sleep(50);
  await run("rm", "-f", "/run/libvirtd.pid");
  await run("libvirtd", "--daemon");
  for (let tries = 0; (await run("virsh", "-q", "list")).code !== 0; tries++) {
    assert(tries < 600, "libvirtd doesn't answer");
    await sleep(100);
  }
}

const random = randomly(SEED);
const version = (await ok("libvirtd", "--version")).trim();
console.log(`${GUESTS} guests, a master and ${SEATS} seats for ${SECONDS} s, ${version}, SEED=${SEED}`);
await startLibvirtd();
const killer = new Killer(random, revive);
const crowd: Member[] = [];
for (let number = 0; number < GUESTS; number++) {
  crowd.push(await Member.define(`crowd-${number}`, randomly(SEED + number), killer));
}
const master = await Member.define("crowd-master", randomly(SEED + GUESTS), killer);
const seats: Seat[] = [];
for (let number = 0; number < SEATS; number++) {
  const random = randomly(SEED + GUESTS + 1 + number);
  seats.push(await Seat.enlist(`crowd-seat-${number}`, master, random, killer));
}
// Seats come first in the end: as long as there are any, their master stays in layers.
crowd.unshift(...seats, master);

const end = Date.now() + SECONDS * 1000;
await Promise.all([killer.rage(end, 1500), ...crowd.map((member) => member.live(end))]);
await Promise.all(crowd.map((member) => member.finish()));
for (const member of crowd) await member.checkEnd();

const images = [...Deno.readDirSync(at(IMAGES))].map(({ name }) => name).filter((name) =>
  !/^crowd-(?:\d+|master)\.img$/.test(name)
);
assert(images.length === 0, `left in the image folder: ${images.join(" ")}`);
const notes = [...Deno.readDirSync(at(CONFIG))].map(({ name }) => name).filter((name) =>
  !/\.(json|lock|merging|folder-lock)$/.test(name)
);
assert(notes.length === 0, `left in the configuration folder: ${notes.join(" ")}`);
assert(!exists("/run/core"), "nothing dumped core");

const sum = (of: (member: Member) => number) => crowd.reduce((total, member) => total + of(member), 0);
console.log(`killed: ${killer.tally()}`);
console.log(
  `ok | ${sum(({ sessions }) => sessions)} sessions, ${sum(({ commits }) => commits)} of them flagged, ` +
    `${sum(({ refusals }) => refusals)} starts that a kill made fail; nothing lost, nothing left`,
);
await stopLibvirtd("SIGKILL");
Deno.exit(0);
