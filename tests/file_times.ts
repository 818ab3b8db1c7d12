/** Times of files that nobody can set, as tests have them: when one was made, and when it was put in place. */

import type { Host } from "../lib/host/host.ts";

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
