/** How the cost grows: with the disks of a domain, with the configuration files, with the starts at one time. */

import { repeated, type Times } from "./measure.ts";
import type { Guest, Place } from "./place.ts";

export interface Point {
  readonly size: number;
  readonly times: Times;
}

const TIMES = 3;

const prepare = (guest: Guest) => guest.handle("prepare", "begin", "-");
const start = (guest: Guest) => guest.start();
const release = (guest: Guest) => guest.handle("release", "end", "shutdown");

async function withDisks(place: Place, event: "prepare" | "release"): Promise<Point[]> {
  const points: Point[] = [];
  for (const size of [1, 4, 16, 64]) {
    const guest = await place.guest(`with-${size}-${event}`, size);
    if (event === "release") await prepare(guest);
    await prepare(guest);
    await release(guest);
    const times = event === "prepare"
      ? await repeated(TIMES, () => prepare(guest), () => release(guest))
      : await repeated(TIMES, () => release(guest), () => start(guest));
    await release(guest);
    points.push({ size, times });
  }
  return points;
}

async function withConfigurations(place: Place): Promise<Point[]> {
  const guest = await place.guest("among-many");
  const points: Point[] = [];
  let made = 1;
  for (const size of [1, 100, 1000, 10_000]) {
    const text = Deno.readTextFileSync(guest.configuration);
    for (; made < size; made++) {
      Deno.writeTextFileSync(`${place.config}/other-${made}.json`, text, { mode: 0o644 });
    }
    points.push({ size, times: await repeated(TIMES, () => prepare(guest), () => release(guest)) });
  }
  await release(guest);
  for (let number = 1; number < made; number++) Deno.removeSync(`${place.config}/other-${number}.json`);
  return points;
}

async function atOnce(place: Place): Promise<Point[]> {
  const guests = [];
  for (let number = 0; number < 64; number++) guests.push(await place.guest(`pool-${number}`));
  const points: Point[] = [];
  for (const size of [1, 4, 16, 64]) {
    const some = guests.slice(0, size);
    const all = (what: (guest: Guest) => Promise<void>) => async () => void await Promise.all(some.map(what));
    points.push({ size, times: await repeated(TIMES, all(prepare), all(release)) });
    await all(release)();
  }
  return points;
}

export async function measureGrowth(place: Place) {
  return {
    disks: await withDisks(place, "prepare"),
    disksAtRelease: await withDisks(place, "release"),
    configurations: await withConfigurations(place),
    starts: await atOnce(place),
  };
}
