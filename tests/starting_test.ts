/** What is noted of a start that is under way: by which host, and in which boot. */

import { assertEquals } from "@std/assert";
import { before } from "./fault.ts";
import { DOMAIN, Fixture } from "./fixture.ts";
import { base, session, up } from "./running_guest.ts";
import { TwoHosts } from "./two_hosts.ts";
import { formatStart, parseStart } from "../lib/state/step.ts";

const starting = (fixture: Fixture) => `${fixture.config}/${DOMAIN}.starting`;

/** The power fails, and the host is up again a minute later. */
function powerCut(fixture: Fixture): void {
  fixture.booted = new Date(fixture.booted.getTime() + 60_000);
}

Deno.test("what is noted of a start is read as it was written, also by an earlier version", () => {
  const by = { host: "host 1.example", at: new Date("2026-01-02"), booted: new Date("2026-01-01") };
  for (const word of ["fresh", "resume", "migrate", "refused"] as const) {
    assertEquals(parseStart(formatStart({ word, by })), { word, more: [], by });
    assertEquals(parseStart(formatStart({ word, more: ["update"] })), { word, more: ["update"] });
  }
  assertEquals(parseStart(""), { word: "fresh", more: [] });
  assertEquals(parseStart("resume soon later host\nprepared\n"), { word: "resume", more: ["prepared"] });
});

Deno.test("a session that died with its host is not taken for one that begins, though the word of its start is back", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.good("prepare");
  const word = Deno.readTextFileSync(starting(fixture));
  await fixture.good("started");
  fixture.write(fixture.vda, "session");
  powerCut(fixture);
  // Its removal had not reached the disk.
  Deno.writeTextFileSync(starting(fixture), word);
  assertEquals((await fixture.type("status guest")).printed[1]?.includes("unclean shutdown"), true);
  assertEquals(
    (await fixture.type("commit guest")).printed[0]?.includes("the next session will be kept"),
    true,
  );
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("a restore from a file finds its session, whatever other hooks take before its prepare, unless it came to nothing", async () => {
  for (const [minutes, isCut] of [[9, false], [9, true], [11, false]] as const) {
    using fixture = await up(false);
    await fixture.stop("saved");
    await fixture.good("restore");
    fixture.now = () => new Date(Date.now() + minutes * 60_000);
    if (isCut) powerCut(fixture);
    await fixture.good("prepare");
    assertEquals(fixture.read(fixture.vda), isCut || minutes > 10 ? base : session);
    assertEquals(fixture.files().length, isCut || minutes > 10 ? 3 : 2);
  }
});

Deno.test("a hook that is called twice for one restore has the guest find its session", async () => {
  for (const isManaged of [false, true]) {
    using fixture = await up(false);
    if (isManaged) Deno.writeTextFileSync(fixture.managedSave, "");
    await fixture.stop("saved");
    for (const operation of ["restore", "prepare", "start", "started"]) {
      for (const _ of ["hooks/qemu", "hooks/qemu.d"]) await fixture.good(operation);
      assertEquals(fixture.read(fixture.vda), session);
    }
    if (isManaged) Deno.removeSync(fixture.managedSave);
    await fixture.stop();
    assertEquals([fixture.disk("vda"), fixture.files()], [base, ["vda.img"]]);
  }
});

for (const flag of [false, true]) {
  const which = flag ? "flagged" : "unflagged";
  Deno.test(`where both hosts have one folder of configurations, a ${which} guest is started by one of them`, async () => {
    const cases = [[undefined, false, true], [undefined, true, true], [undefined, true, false], [
      "restore",
      false,
      true,
    ]] as const;
    for (const [announcement, isLate, tells] of cases) {
      using hosts = new TwoHosts({ vda: flag }, undefined, { sharesConfig: true });
      const { here, there } = hosts;
      await here.good("prepare");
      const note = Deno.readTextFileSync(here.note);
      const word = Deno.readTextFileSync(starting(here));
      const { code, said } = await there.event(announcement ?? "prepare");
      assertEquals(
        [code, said],
        [1, [
          'error: guest: the host "here" is starting the guest',
          `hint: wait until it is up there, or has failed; if that host is dead: rm ${starting(here)}`,
        ]],
      );
      const reason = tells ? "failed" : "-";
      const end = async () => {
        await there.event("stopped", reason);
        await there.event("release", reason);
      };
      if (!isLate) await end();
      assertEquals([Deno.readTextFileSync(here.note), Deno.readTextFileSync(starting(here))], [note, word]);
      await here.good("started");
      here.run();
      here.write(here.vda, "live");
      const up = Deno.readTextFileSync(here.note);
      if (isLate) await end();
      await there.event("prepare");
      await end();
      assertEquals(here.read(here.vda), { ...base, live: "yes" });
      assertEquals(Deno.readTextFileSync(here.note), up);
      here.halt();
      await here.stop();
      assertEquals([here.disk("vda"), here.files()], [{ ...base, ...flag && { live: "yes" } }, ["vda.img"]]);
      assertEquals(here.files(here.config).filter((name) => /session|starting|turned/.test(name)), []);
    }
  });
}

Deno.test("a host that died in the middle of a start keeps the other from starting the guest for ten minutes", async () => {
  using hosts = new TwoHosts({ vda: false }, undefined, { sharesConfig: true });
  const { here, there } = hosts;
  await here.good("prepare");
  assertEquals((await there.event("prepare")).code, 1);
  await there.event("release", "failed");
  there.now = () => new Date(Date.now() + 601_000);
  await there.start();
  assertEquals(there.read(there.vda), base);
  await there.stop();
  assertEquals(here.files(), ["vda.img"]);
});

Deno.test("a session that another host opens while a start is about to replace it stays", async () => {
  using hosts = new TwoHosts({ vda: false }, undefined, { sharesConfig: true });
  const { here, there } = hosts;
  await there.start();
  here.write(here.vda, "live");
  // Its guest is restored there without the hook, as by an earlier version of it.
  const { code } = await here.event("prepare", "-", {
    perform: before("own", () => void there.busy.add(there.vda)),
  });
  assertEquals(code, 1);
  await here.event("release", "failed");
  assertEquals(here.read(here.vda), { ...base, live: "yes" });
});

Deno.test("a guest of which libvirt holds a managed save is restored, though the clock is set while it is", async () => {
  using fixture = await up(false);
  Deno.writeTextFileSync(fixture.managedSave, "");
  await fixture.stop("saved");
  await fixture.good("restore");
  const hour = 3_600_000;
  fixture.booted = new Date(fixture.booted.getTime() + hour);
  fixture.now = () => new Date(Date.now() + hour);
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), session);
});
