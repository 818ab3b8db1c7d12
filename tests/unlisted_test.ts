/** Disks that the configuration lists no longer. */

import { assertEquals } from "@std/assert";
import { readNote } from "../lib/host/session_records.ts";
import { DOMAIN, World } from "./world.ts";

Deno.test("a disk that is no longer listed is forgotten at the next start, whatever its session was", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  await world.start();
  world.configure({ vda: false });
  await world.start();
  assertEquals(world.files(), ["vda.img", "vda.img.backing_file", "vdb.img"]);
  assertEquals(
    readNote(`${world.config}/${DOMAIN}.session`).map(({ target }) => target),
    ["vda"],
  );
});

Deno.test("a disk that is no longer listed loses the session that was set aside", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  await world.start();
  await world.stop("-");
  world.configure({ vda: false });
  await world.start();
  assertEquals(world.files(), ["vda.img", "vda.img.backing_file", "vdb.img"]);
});

Deno.test("a disk that is no longer listed, and whose place another file has taken, keeps the session that was set aside", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  await world.start();
  await world.stop("-");
  world.configure({ vda: false });
  world.sources.set("vdb", `${world.images}/snapshot.img`);
  await world.start();
  assertEquals(world.files().filter((name) => name.startsWith("vdb")), [
    "vdb.img",
    "vdb.img.autorevert-ended",
    "vdb.img.backing_file",
  ]);
});

Deno.test("a disk that is no longer listed keeps its commits, and nothing is made beside them", async () => {
  using world = new World();
  world.keys = { "keep-commits": 1 };
  world.disks({ vda: false, vdb: true });
  await world.start();
  await world.stop();
  world.configure({ vda: false });
  await world.start();
  assertEquals(world.files().filter((name) => name.startsWith("vdb")), [
    "vdb.img",
    "vdb.img.backing_file",
    "vdb.img.backing_file.1",
  ]);
});
