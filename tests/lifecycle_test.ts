/** Lives of a guest that are not as they should be, on whole sequences of libvirt's calls. */

import { assert, assertEquals } from "@std/assert";
import { atEveryStep, Failing, type Fault } from "./fault.ts";
import { DOMAIN, exists, Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { checkSaid } from "./refused.ts";
import { base, committed, session, up } from "./running_guest.ts";
import { snapshot } from "./tree.ts";
import { domainXml } from "./xml.ts";

/** After this end the session is still there, and the next start goes on with it. */
async function checkHeld(fixture: Fixture, mend: () => void): Promise<void> {
  assertEquals(fixture.read(fixture.vda), session);
  mend();
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals(fixture.disk("vda"), session);
  assertEquals(fixture.files(), ["vda.img"]);
}

Deno.test("a flagged session outlives a configuration that isn't valid at its end", async () => {
  using fixture = await up(true);
  fixture.configureText('{"disks": [');
  const { code, said } = await fixture.event("release", "shutdown");
  assertEquals([code, said.length], [0, 2]);
  await checkHeld(fixture, () => fixture.configure({ vda: true }));
});

Deno.test("a flagged session outlives an XML that can't be read at its end", async () => {
  using fixture = await up(true);
  assertEquals((await fixture.event("release", "shutdown", { xml: "" })).code, 0);
  await checkHeld(fixture, () => {});
});

Deno.test("a flagged session outlives an end in which nothing can be written, flag and all", async () => {
  using fixture = await up(true);
  const { code, said } = await fixture.event("release", "shutdown", {
    perform: new Failing(0, "dies before").perform,
  });
  assertEquals([code, fixture.flags()], [0, { vda: true }]);
  assert(said.length > 0);
  await checkHeld(fixture, () => {});
});

Deno.test("a managed save keeps the session, where libvirt gives no reason", async () => {
  using fixture = await up(true);
  Deno.writeTextFileSync(fixture.managedSave, "");
  await fixture.stop("-");
  assertEquals([fixture.state("vda").kind, fixture.flags().vda], ["session", true]);
  await fixture.good("restore");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a session in use elsewhere is left, where libvirt gives no reason", async () => {
  using fixture = await up(true);
  fixture.busy.add(fixture.vda);
  await fixture.stop("-");
  // Its flag goes with it.
  assertEquals([fixture.state("vda"), fixture.flags().vda], [
    { kind: "session", layers: [0], ended: false, marked: true },
    false,
  ]);
});

Deno.test("a saved guest that is dropped starts clean", async () => {
  using fixture = await up(false);
  await fixture.stop("saved");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("nothing is reverted below an external snapshot, and the log tells what to do", async () => {
  for (const reason of ["shutdown", "crashed", "-"]) {
    using fixture = await up(true);
    const snapshotFile = `${fixture.images}/vda.snap`;
    fixture.save(snapshotFile, fixture.vda, { snapshot: "yes" });
    fixture.sources.set("vda", snapshotFile);
    const before = snapshot(fixture.images);
    const { log } = await fixture.event("release", reason);
    assertEquals(snapshot(fixture.images), before, reason);
    assertEquals(log.filter((line) => line.includes("leave to a person")).length, 1);
    assertEquals(log.filter((line) => line.includes(`virsh domblklist --inactive ${DOMAIN}`)).length, 1);
    assertEquals(fixture.read(snapshotFile), { ...session, snapshot: "yes" });
  }
});

Deno.test("a disk that was detached in the session keeps it, since a file may stand on it, and reverts when it is back", async () => {
  using fixture = await up(false);
  await fixture.good("release", "shutdown", { xml: domainXml([]) });
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
  await fixture.stop();
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("the session of a disk that was detached stays where neither domain nor configuration know it any more", async () => {
  using fixture = await up(false);
  await fixture.good("release", "shutdown", { xml: domainXml([]) });
  Deno.removeSync(fixture.configFile);
  await fixture.good("prepare", "-", { xml: domainXml([]) });
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a disk that was detached and is in use elsewhere is left", async () => {
  using fixture = await up(false);
  fixture.busy.add(fixture.vda);
  await fixture.good("release", "shutdown", { xml: domainXml([]) });
  assertEquals(fixture.state("vda").kind, "session");
});

Deno.test("a guest that is migrated away and back goes on with its session", async () => {
  using fixture = await up(true);
  await fixture.stop("migrated");
  await fixture.good("migrate");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals(fixture.disk("vda"), session);
});

Deno.test("a guest that comes without its session is refused, and nothing is touched", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const before = snapshot(fixture.images);
  await fixture.good("migrate");
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  checkSaid(
    said,
    `vda: the guest migrates here without the session of "${fixture.vda}" that it runs on`,
    "migrate on shared storage, between hosts that both have this hook and the guest's configuration; a guest that was " +
      "started before its disk was listed there has none: shut it down and start it first; " +
      "a start just after an offline migration: try again",
  );
  await fixture.event("release", "failed");
  assertEquals(snapshot(fixture.images), before);
});

Deno.test("a session set aside whose layers are gone is not put back", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  Deno.removeSync(`${fixture.vda}.backing_file`);
  await fixture.good("restore");
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  checkSaid(
    said,
    `vda: "${fixture.vda}.autorevert-ended" is the session the guest was saved on, but its layers are gone`,
    `bring its backing file back, or drop the saved guest and its session: rm ${fixture.vda}.autorevert-ended`,
  );
});

Deno.test("a second guest on the same image is refused, and the first one's session is safe", async () => {
  using fixture = await up(true);
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${fixture.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  const before = snapshot(fixture.images);
  for (const busy of [true, false]) {
    if (busy) fixture.busy.add(fixture.vda);
    else fixture.busy.clear();
    assertEquals((await fixture.event("prepare", "-", second)).code, 1);
    assertEquals((await fixture.event("release", "failed", second)).code, 0);
    assertEquals(snapshot(fixture.images), before);
  }
  await fixture.stop();
  assertEquals(fixture.disk("vda"), session);
});

Deno.test("a disk without an image gets it back from its layer, whether a note tells of it or not", async () => {
  using fixture = new Fixture().disks({ vda: false });
  Deno.renameSync(fixture.vda, `${fixture.vda}.backing_file`);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
  await fixture.stop();
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("the end of a start that died before its overlay was made leaves one file", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const beforeCreate = new Failing(3, "dies before");
  await fixture.event("prepare", "-", { perform: beforeCreate.perform });
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file"]);
  await fixture.stop("failed");
  assertEquals(fixture.files(), ["vda.img"]);
  assertEquals(fixture.files(fixture.config).includes(`${DOMAIN}.session`), false);
});

Deno.test("nothing is merged at the end of a start that was refused: another guest may run on the layers", async () => {
  using fixture = await up(true);
  fixture.merges = false;
  await fixture.event("release", "shutdown");
  fixture.merges = true;
  const layers = snapshot(fixture.images);
  fixture.configureText("{");
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.event("release", "failed");
  assertEquals(snapshot(fixture.images), layers);
});

Deno.test("a session that was set aside goes at the next start, not before", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file"]);
});

Deno.test("a session that was set aside goes at the start that resumes another, too: it must not outlive a commit", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  fixture.configure({ vda: true });
  // Power fails when the new session is there, and the old one not gone yet.
  await fixture.event("prepare", "-", { perform: new Failing(6, "dies before").perform });
  assertEquals(fixture.files(), ["vda.img", "vda.img.autorevert-ended", "vda.img.backing_file"]);
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vda.img.autorevert-keep", "vda.img.backing_file"]);
  fixture.write(fixture.vda, "committed");
  await fixture.good("release", "shutdown", { mergeDies: true });
  await fixture.command("keep");
  assertEquals(fixture.disk("vda"), { ...base, committed: "yes" });
});

Deno.test("a flag that is set while a guest is up is meant for that session, and one set after a crash for the next", async () => {
  using fixture = await up(false);
  fixture.configure({ vda: true });
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false]);

  await fixture.start();
  fixture.write(fixture.vda, "lost");
  await fixture.stop("crashed");
  fixture.configure({ vda: true });
  await fixture.start();
  assertEquals([fixture.read(fixture.vda), fixture.flags().vda], [session, true]);
});

Deno.test("a start asks about each disk once: libvirt waits for it", async () => {
  using fixture = await up(true);
  fixture.keys = { "keep-commits": 1 };
  fixture.configure({ vda: true });
  await fixture.stop();
  assertEquals(fixture.state("vda").kind, "layered");
  const { info: look } = fixture.qemuImg;
  const asked: string[] = [];
  fixture.qemuImg = {
    ...fixture.qemuImg,
    info: (image) => {
      asked.push(image);
      return look.call(fixture.qemuImg, image);
    },
  };
  await fixture.start();
  assertEquals(asked, [fixture.vda]);
});

Deno.test("a power cut in a flagged session: what is edited later doesn't end it, if it began flagged or was held", async () => {
  for (const begins of [true, false]) {
    using fixture = await up(begins);
    if (!begins) {
      fixture.configure({ vda: true });
      await fixture.stop("crashed");
    }
    fixture.configure({ vda: true }, LATER);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), session);
  }
});

Deno.test("a power cut in a session whose flag was set while it wrote: it goes on", async () => {
  using fixture = await up(false);
  fixture.configure({ vda: true }, LONG_AGO);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

/** A guest with an internal snapshot in its session. */
async function upWithSnapshot(flag: boolean): Promise<Fixture> {
  const fixture = await up(flag);
  setSnapshots(fixture, ["one"]);
  return fixture;
}

/** The internal snapshots of the file that has the image's name. */
function setSnapshots(fixture: Fixture, snapshots: string[] | undefined): void {
  const image = JSON.parse(Deno.readTextFileSync(fixture.vda));
  Deno.writeTextFileSync(fixture.vda, JSON.stringify({ ...image, snapshots }));
}

for (const flag of [false, true]) {
  Deno.test(`a session whose guest goes back to a snapshot in it goes on, flagged: ${flag}`, async () => {
    using fixture = await upWithSnapshot(flag);
    await fixture.stop("from snapshot");
    assertEquals(fixture.flags(), { vda: flag });
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), session);
    setSnapshots(fixture, undefined);
    await fixture.stop();
    assertEquals(fixture.disk("vda"), flag ? session : base);
  });
}

Deno.test("a session whose guest is off after it went back to a snapshot is set aside", async () => {
  using fixture = await upWithSnapshot(false);
  await fixture.stop("from snapshot");
  fixture.now = () => new Date(Date.now() + 15_000);
  assertEquals((await fixture.type("status guest")).printed.join().includes("running"), false);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
});

for (const flag of [false, true]) {
  Deno.test(`a session without a snapshot is ${flag ? "held" : "over"} where its guest goes back to one of the disk below`, async () => {
    using fixture = await up(flag);
    await fixture.stop("from snapshot");
    assertEquals(fixture.read(fixture.vda), flag ? session : base);
    assertEquals(fixture.state("vda").kind, flag ? "session" : "plain");
    assertEquals(exists(`${fixture.config}/guest.starting`), false);
  });
}

Deno.test("a restore that never came to its start keeps no session of minutes later", async () => {
  using fixture = await up(false);
  await fixture.good("restore");
  fixture.now = () => new Date(Date.now() + 121_000);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("a session that a power cut left flagged goes on after a second one, whatever was edited in between", async () => {
  using fixture = await up(false);
  fixture.configure({ vda: true }, LONG_AGO);
  await fixture.start();
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a flag that came after a power cut is no word about the session that the start cut short left", async () => {
  using fixture = await up(false);
  fixture.configure({ vda: true }, LATER);
  // The note is written, and nothing else.
  await fixture.event("prepare", "-", { perform: new Failing(1, "dies before").perform });
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("a power cut reverts, and an end ends, where the clock of the images' server is far from the host's", async () => {
  for (const minutes of [-60, 60]) {
    using fixture = new Fixture();
    fixture.now = () => new Date(Date.now() + minutes * 60_000);
    fixture.disks({ vda: false });
    const vda = fixture.vda;
    await fixture.start();
    fixture.write(vda, "junk");
    fixture.booted = LATER;
    await fixture.start();
    assertEquals(fixture.read(vda), { base: "vda" });
    fixture.write(vda, "junk");
    await fixture.stop();
    assertEquals(fixture.read(vda), { base: "vda" });
    assertEquals(fixture.files(), ["vda.img"]);
  }
});

/** Starts that are cut short at every step, where the clock of the images' server is an hour ahead. */
async function startsAgain(
  faults: readonly Fault[],
  arrange: (fixture: Fixture) => Promise<void>,
  flags: Readonly<Record<string, boolean>>,
): Promise<void> {
  for (const fault of faults) {
    await atEveryStep(fault, async (failing) => {
      using fixture = new Fixture().disks(flags);
      fixture.now = () => new Date(Date.now() - 3_600_000);
      await arrange(fixture);
      await fixture.event("prepare", "-", { perform: failing.perform });
      if (fault.startsWith("fails")) await fixture.event("release", "failed");
      await fixture.good("prepare");
    });
  }
}

Deno.test("a start that died is begun again, where the clock of the images' server is ahead", async () => {
  const faults = ["dies before", "dies after"] as const;
  await startsAgain(faults, async () => {}, { vda: false });
  await startsAgain(faults, (fixture) => fixture.start(), { vda: false });
});

Deno.test("a start in place of two dead sessions that fails at the second is begun again", async () => {
  const faults = ["fails before", "fails after"] as const;
  await startsAgain(faults, (fixture) => fixture.start(), { vda: false, vdb: false });
});

Deno.test("a restore finds its session, however long other hooks take before its prepare", async () => {
  for (const [seconds, isManaged] of [[100, false], [1000, true]] as const) {
    using fixture = await up(false);
    if (isManaged) Deno.writeTextFileSync(fixture.managedSave, "");
    await fixture.stop("saved");
    await fixture.good("restore");
    fixture.now = () => new Date(Date.now() + seconds * 1000);
    await fixture.good("prepare");
    assertEquals(fixture.read(fixture.vda), session);
  }
});

Deno.test("a restore finds its session, whatever the clock of the configurations' server says", async () => {
  using fixture = await up(false);
  await fixture.stop("saved");
  await fixture.good("restore");
  const behind = new Date(Date.now() - 15_000);
  Deno.utimeSync(`${fixture.config}/${DOMAIN}.starting`, behind, behind);
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a restore that came to nothing keeps no session, though the clock was set back since", async () => {
  using fixture = await up(false);
  await fixture.good("restore");
  fixture.now = () => new Date(Date.now() - 3_600_000);
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("the mode that an administrator gives an idle disk with commits stays", async () => {
  using fixture = await committed({ "keep-commits": 3 });
  Deno.chmodSync(fixture.vda, 0o600);
  await fixture.start();
  await fixture.stop();
  assertEquals(Deno.statSync(fixture.vda).mode! & 0o777, 0o600);
});
