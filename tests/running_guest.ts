/** The guest of many tests: one disk, up, and the session has written. */

import { stamping } from "./file_times.ts";
import { Fixture, LONG_AGO } from "./fixture.ts";

/** Such a guest, and where its disk is. */
export async function up(flag: boolean): Promise<Fixture> {
  const fixture = new Fixture().disks({ vda: flag });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  return fixture;
}

/** The same since long: no later start is taken for its own, and what is written to its layers now was not there when it began. */
export async function upSinceLong(flag: boolean): Promise<Fixture> {
  const fixture = new Fixture().disks({ vda: flag });
  await startedLongAgo(fixture);
  fixture.write(fixture.vda, "session");
  return fixture;
}

/** Starts a guest, long ago. */
export async function startedLongAgo(fixture: Fixture): Promise<void> {
  fixture.now = () => LONG_AGO;
  await fixture.start(stamping(fixture.now));
  fixture.now = () => new Date();
}

/** A session that was committed, and is not merged yet. */
export async function committed(keys: Readonly<Record<string, unknown>>): Promise<Fixture> {
  const fixture = await up(true);
  fixture.keys = keys;
  fixture.configure({ vda: true });
  await fixture.good("release", "shutdown", { mergeDies: true });
  return fixture;
}

/** What its disk holds without the session, and with it. */
export const base = { base: "vda" };
export const session = { ...base, session: "yes" };
