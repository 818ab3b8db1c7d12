/** The guest of many tests: one disk, up, and the session has written. */

import { World } from "./world.ts";

/** Such a guest, and where its disk is. */
export async function up(flag: boolean): Promise<World & { readonly vda: string }> {
  const world = Object.assign(new World(), { vda: "" });
  world.vda = world.image("vda");
  world.disks({ vda: flag });
  await world.start();
  world.write(world.vda, "session");
  return world;
}

/** What its disk holds without the session, and with it. */
export const base = { base: "vda" };
export const session = { ...base, session: "yes" };
