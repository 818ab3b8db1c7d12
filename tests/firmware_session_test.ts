/** Firmware and the disks of a guest are of one session, also where an end, a start or a command was cut short between them. */

import { assertEquals } from "@std/assert";
import { read } from "../lib/host/files.ts";
import { atEveryStep } from "./fault.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";

/** What is kept of sessions in the files of a guest: in its first disk, its variables and its TPM. */
function kept(fixture: FirmwareFixture): string[] {
  const files = [fixture.variables, fixture.tpm].map((file) => JSON.parse(read(file)!));
  return [fixture.disk("vda"), ...files].map((content) =>
    Object.keys(content).filter((key) => key !== "base").join(" ")
  );
}

/** Its guest is up on these disks, and has written to the first one and the firmware. */
async function up(fixture: FirmwareFixture, text: string): Promise<void> {
  await fixture.start();
  fixture.write(fixture.vda, text);
}

function configure(fixture: FirmwareFixture, disks: readonly Record<string, unknown>[]): void {
  fixture.configureText(JSON.stringify({ disks }));
}

const keeping = { target: "vda", "keep-session": true };

Deno.test("recover --discard after an end that was cut short leaves the firmware to the disk that is set aside", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = new FirmwareFixture();
    fixture.keys = { "keep-session": true };
    fixture.disks({ vda: false, vdb: false });
    await up(fixture, "session");
    await fixture.event("release", "shutdown", { perform: failing.perform });
    fixture.boot();
    await fixture.type("recover --discard guest", true);
    await fixture.type("keep guest", true);
    assertEquals(new Set(kept(fixture)).size, 1);
  });
});

Deno.test("recover --discard of a flagged disk after a crash leaves the firmware to the one that is set aside", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false, vdb: false });
  configure(fixture, [keeping, { target: "vdb", "one-shot-commit": true }]);
  await up(fixture, "session");
  await fixture.stop("crashed");
  await fixture.type("recover --discard guest vdb", true);
  await fixture.type("keep guest vda", true);
  assertEquals(kept(fixture), ["session", "session", "session"]);
});

Deno.test("what a start that was cut short leaves set aside is kept with its firmware or not at all", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = new FirmwareFixture();
    fixture.disks({ vda: false });
    configure(fixture, [keeping]);
    await up(fixture, "first");
    await fixture.stop("saved");
    await up(fixture, "second");
    await fixture.stop();
    await fixture.event("prepare", "-", { perform: failing.perform });
    fixture.boot();
    await fixture.type("recover --discard guest", true);
    await fixture.type("keep guest", true);
    assertEquals(new Set(kept(fixture)).size, 1);
  });
});

Deno.test("what an end that was cut short leaves set aside is kept with its firmware or not at all", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = new FirmwareFixture();
    fixture.disks({ vda: false });
    configure(fixture, [keeping]);
    await up(fixture, "first");
    await fixture.stop("saved");
    configure(fixture, [{ target: "vda" }]);
    await up(fixture, "second");
    configure(fixture, [keeping]);
    await fixture.event("release", "shutdown", { perform: failing.perform });
    fixture.boot();
    await fixture.type("recover --discard guest", true);
    await fixture.type("keep guest", true);
    assertEquals(new Set(kept(fixture)).size, 1);
  });
});

Deno.test("after an undo that was cut short and a start that failed, keep takes the whole firmware or nothing of it", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = new FirmwareFixture();
    fixture.keys = { "keep-commits": 3 };
    fixture.disks({ vda: true });
    await up(fixture, "session");
    await fixture.stop();
    await fixture.type("undo guest", true, { perform: failing.perform });
    await fixture.event("release", "failed");
    await fixture.type("keep guest", true);
    assertEquals(new Set(kept(fixture)).size, 1);
  });
});

Deno.test("a saved guest comes back to its firmware, though one disk lies in its session and the other is set aside", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false, vdb: false });
  configure(fixture, [keeping, { target: "vdb" }]);
  await up(fixture, "first");
  // QEMU and libvirtd are killed.
  await up(fixture, "second");
  await fixture.stop("-");
  await fixture.event("restore");
  await fixture.start();
  const { variables, vda } = fixture;
  assertEquals(["second" in fixture.read(vda), "second" in JSON.parse(read(variables)!)], [true, true]);
});

Deno.test("firmware of a session whose disk the domain names no more is not given another one", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false });
  await up(fixture, "session");
  fixture.boot();
  const other = fixture.image("other");
  fixture.save(other, null, { base: "other" });
  fixture.sources.set("vda", other);
  fixture.define();
  assertEquals((await fixture.event("prepare")).code, 1);
});

Deno.test("keep asks where the firmware of the session went with another disk that was undone", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false, vdb: false });
  configure(fixture, [keeping, { target: "vdb", "keep-commits": 2, "one-shot-commit": true }]);
  await up(fixture, "first");
  await fixture.stop();
  configure(fixture, [keeping, { target: "vdb", "keep-commits": 2 }]);
  await up(fixture, "second");
  await fixture.stop();
  await fixture.type("undo guest vdb", true);
  await fixture.type("keep guest vda", false);
  assertEquals(fixture.asked.at(-1)?.includes("the guest's firmware has nothing of the session"), true);
});

Deno.test("keep asks nothing where the firmware of the session was committed with another disk", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false, vdb: false });
  const other = { target: "vdb", "keep-session": true };
  configure(fixture, [{ target: "vda", "keep-commits": 2, "one-shot-commit": true }, other]);
  await up(fixture, "session");
  await fixture.stop();
  assertEquals((await fixture.type("keep guest vdb", false)).code, 0);
  assertEquals(fixture.asked, []);
});

Deno.test("an undo of a commit of before the firmware was managed leaves it what is set aside with another disk", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 3, "keep-session": true };
  fixture.isListed = false;
  fixture.disks({ vda: false, vdb: true });
  await up(fixture, "first");
  await fixture.stop();
  fixture.isListed = true;
  fixture.configure({ vda: false, vdb: false });
  await up(fixture, "second");
  await fixture.stop();
  await fixture.type("undo guest vdb", true);
  await fixture.type("keep guest vda", true);
  assertEquals(kept(fixture).map((content) => content.includes("second")), [true, true, true]);
});

Deno.test("after two undos of different disks nothing is kept without its firmware", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 3 };
  fixture.disks({ vda: false, vdb: true });
  await up(fixture, "first");
  await fixture.stop();
  fixture.configure({ vda: true, vdb: false });
  await up(fixture, "second");
  await fixture.stop();
  for (const words of ["undo guest", "undo guest", "keep guest"]) await fixture.type(words, true);
  const { code } = await fixture.type("keep guest vda", true);
  assertEquals([code, kept(fixture)], [1, ["", "first", "first"]]);
});

Deno.test("keep asks where the firmware has an older session, which was undone and kept again since", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 3, "keep-session": true };
  fixture.disks({ vda: false, vdb: true });
  await up(fixture, "first");
  await fixture.stop();
  fixture.configure({ vda: false, vdb: false });
  await up(fixture, "second");
  await fixture.stop();
  for (const words of ["undo guest vdb", "keep guest vdb"]) await fixture.type(words, true);
  await fixture.type("keep guest vda", false);
  assertEquals(fixture.asked.at(-1)?.includes("the guest's firmware has nothing of the session"), true);
});

for (const reason of ["saved", "-"]) {
  Deno.test(`a guest that was saved after an external snapshot of its disk comes back to its firmware: ${reason}`, async () => {
    using fixture = new FirmwareFixture();
    fixture.disks({ vda: false });
    await up(fixture, "session");
    const snapshot = `${fixture.images}/snapshot.img`;
    fixture.save(snapshot, fixture.vda, {});
    fixture.sources.set("vda", snapshot);
    await fixture.stop(reason);
    await fixture.good("restore");
    await fixture.start();
    const files = [fixture.variables, fixture.tpm].map((file) => Object.keys(JSON.parse(read(file)!)));
    assertEquals(files, [["session"], ["session"]]);
  });
}
