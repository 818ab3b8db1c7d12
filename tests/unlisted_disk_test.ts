/** Disks that the configuration lists no longer. */

import { assertEquals } from "@std/assert";
import { readRecords } from "../lib/host/session_records.ts";
import { Fixture } from "./fixture.ts";

Deno.test("a disk that is no longer listed is forgotten at the next start, whatever its session was", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file", "vdb.img"]);
  assertEquals(readRecords(fixture.note).map(({ target }) => target), ["vda"]);
});

Deno.test("a disk that is no longer listed loses the session that was set aside", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  await fixture.stop("-");
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file", "vdb.img"]);
});

Deno.test("a disk that is no longer listed, and whose place another file has taken, keeps the session that was set aside", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  await fixture.stop("-");
  fixture.configure({ vda: false });
  fixture.sources.set("vdb", `${fixture.images}/snapshot.img`);
  await fixture.start();
  assertEquals(fixture.files().filter((name) => name.startsWith("vdb")), [
    "vdb.img",
    "vdb.img.autorevert-ended",
    "vdb.img.backing_file",
  ]);
});

Deno.test("a disk that is no longer listed keeps its commits, and nothing is made beside them", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 1 };
  fixture.disks({ vda: false, vdb: true });
  await fixture.start();
  await fixture.stop();
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(fixture.files().filter((name) => name.startsWith("vdb")), [
    "vdb.img",
    "vdb.img.backing_file",
    "vdb.img.backing_file.1",
  ]);
});

Deno.test("a guest without a configuration is left alone from its next start on, and nothing of it is noted", async () => {
  using fixture = new Fixture().disks({ vda: false });
  await fixture.start();
  await fixture.stop("-");
  Deno.removeSync(fixture.configFile);
  await fixture.good("prepare");
  assertEquals(fixture.files(), ["vda.img"]);
  assertEquals(fixture.files(fixture.config).filter((name) => /session|starting/.test(name)), []);
});
