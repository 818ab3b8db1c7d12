/** The guest of many tests: one disk, up, and the session has written. */

import { Fixture } from "./fixture.ts";

/** Such a guest, and where its disk is. */
export async function up(flag: boolean): Promise<Fixture> {
  const fixture = new Fixture().disks({ vda: flag });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  return fixture;
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
