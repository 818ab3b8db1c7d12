/** Times of files that nobody can set, as tests have them: when one was made, and when it was put in place. */

import { type Fixture, LONG_AGO } from "./fixture.ts";
import type { Host } from "../lib/host/host.ts";
import { formatStart, parseStart } from "../lib/state/step.ts";

const { lstatSync } = Deno;
const born = new Map<string, Date>();
const keyOf = ({ dev, ino, birthtime }: Deno.FileInfo) => `${dev} ${ino} ${birthtime?.getTime()}`;

/** A file that a test has made again was made at that time. */
export function makeBorn(path: string, time: Date | null): void {
  if (time !== null) born.set(keyOf(lstatSync(path)), time);
}

const DAY = 86_400_000;

Deno.lstatSync = (path) => {
  const info = lstatSync(path);
  const { mtime, ctime, birthtime } = info;
  // Where a test has set when it was written, that is when it was put in place.
  const isSet = Math.abs((mtime?.getTime() ?? 0) - (ctime?.getTime() ?? 0)) > DAY;
  return { ...info, ctime: isSet ? mtime : ctime, birthtime: born.get(keyOf(info)) ?? birthtime };
};

/** What is made has this time, as by a file server's clock, or in a test's past. */
export function stamping(now: () => Date): { perform: (inner: Host["perform"]) => Host["perform"] } {
  return {
    perform: (inner) => async (step, control) => {
      await inner(step, control);
      if (step.kind !== "create") return;
      Deno.utimeSync(step.overlay, now(), now());
      makeBorn(step.overlay, now());
    },
  };
}

/** The host comes up again, at the time that it is: what was noted of starts is of an earlier boot. */
export async function bootAgain(fixture: Fixture): Promise<void> {
  await tick();
  fixture.booted = new Date(Date.now() + 2);
  for (const name of fixture.files(fixture.config).filter((name) => name.endsWith(".starting"))) {
    const path = `${fixture.config}/${name}`;
    const start = parseStart(Deno.readTextFileSync(path));
    const by = start.by && { ...start.by, at: LONG_AGO, booted: LONG_AGO };
    Deno.writeTextFileSync(path, formatStart({ ...start, ...by && { by } }));
    Deno.utimeSync(path, LONG_AGO, LONG_AGO);
  }
  await tick();
}

/** File systems stamp in steps, and what comes after is to be later. */
export function tick(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, 6));
}
