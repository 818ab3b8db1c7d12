/** Merges of firmware: the newer version's content goes into the older file, under the merge's mark. */

import { assertEquals } from "@std/assert";
import { read } from "../lib/host/files.ts";
import type { Step } from "../lib/state/step.ts";
import { Failing, inContext } from "./fault.ts";
import { FirmwareFixture, FirmwarePool, up } from "./firmware_fixture.ts";
import { DOMAIN, LATER, LONG_AGO } from "./fixture.ts";

const firmware = (fixture: FirmwareFixture) => fixture.files(`${fixture.root}/firmware`);
const content = (file: string) => JSON.parse(read(file)!);

Deno.test("firmware that was kept by itself stays through the undo of a later commit", async () => {
  using fixture = await up(true, { keys: { "keep-commits": 1 } });
  await fixture.stop();
  // virt-fw-vars
  Deno.writeTextFileSync(
    `${fixture.variables}.x`,
    JSON.stringify({ ...content(fixture.variables), enrolled: "yes" }),
  );
  Deno.renameSync(`${fixture.variables}.x`, fixture.variables);
  fixture.define();
  await fixture.event("release", "failed");
  assertEquals((await fixture.type(["recover", "--keep", DOMAIN, "--yes"], true)).code, 0);
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  fixture.write(fixture.vda, "later");
  await fixture.stop();
  assertEquals((await fixture.type("undo guest --yes", true)).code, 0);
  assertEquals(Object.keys(content(fixture.variables)).includes("enrolled"), true);
});

Deno.test("firmware that is no longer managed leaves no mark of a merge, and can be managed again", async () => {
  for (let at = 0; at < 40; at++) {
    using fixture = await up(true);
    await fixture.event("release", "shutdown", { mergeDies: true });
    // The merge dies while it writes into the older file
    let seen = false;
    await fixture.merge({
      perform: (inner) => async (step: Step, control) => {
        if (seen || step.kind === "merge" && step.isWhole && step.into.includes("tpm")) {
          seen = true;
          throw new Error("killed");
        }
        await inner(step, control);
      },
    });
    fixture.isListed = false;
    fixture.configure({ vda: false });
    const failing = new Failing(at, "dies before");
    await fixture.event("prepare", "-", { perform: failing.perform });
    if (!failing.struck) break;
    fixture.booted = new Date(LONG_AGO.getTime() + 60_000);
    await inContext(`step ${at}`, async () => {
      await fixture.start();
      fixture.write(fixture.vda, "unmanaged");
      await fixture.stop();
      fixture.isListed = true;
      fixture.configure({ vda: false });
      const { code, said } = await fixture.event("prepare");
      assertEquals([code, said], [0, []]);
    });
  }
});

Deno.test("a merge of firmware needs no room", async () => {
  using fixture = await up(true);
  const free = (folder: string) => Promise.resolve(folder.endsWith("firmware") ? 0 : Infinity);
  await fixture.event("release", "shutdown", { wrap: (host) => ({ ...host, freeBytes: free }) });
  assertEquals(firmware(fixture), ["guest_VARS.fd", "tpm2-00.permall"]);
});

Deno.test("a seat begins with no version of its master's firmware that is half merged", async () => {
  using fixture = new FirmwareFixture();
  const seats = new FirmwarePool(fixture, ["seat1"]);
  Deno.writeTextFileSync(seats.variables("seat1"), "{}");
  fixture.save(fixture.image("vdb"), null, { base: "vdb" });
  fixture.sources.set("vdb", fixture.image("vdb"));
  fixture.define();
  const set = (vda: boolean, vdb: boolean, keep: number) =>
    fixture.configureText(JSON.stringify({
      disks: [
        { target: "vda", "one-shot-commit": vda, "keep-commits": 3 },
        { target: "vdb", "one-shot-commit": vdb, "keep-commits": keep },
      ],
    }));
  for (const [vda, vdb, key] of [[true, false, "one"], [false, true, "two"]] as const) {
    set(vda, vdb, 3);
    await fixture.start();
    fixture.write(fixture.vda, key);
    fixture.write(fixture.image("vdb"), key);
    await fixture.event("release", "shutdown");
  }
  assertEquals((await fixture.type("undo guest vda --yes", true)).code, 0);
  set(false, false, 0);
  let dead = false;
  await fixture.merge({
    perform: (inner) => async (step: Step, control) => {
      if (!dead && step.kind === "merge" && step.isWhole && step.into.includes("guest_VARS")) {
        Deno.writeTextFileSync(step.into, '{"half');
        dead = true;
      }
      if (dead) throw new Error("killed");
      await inner(step, control);
    },
  });
  assertEquals(dead, true);
  assertEquals((await seats.event("seat1", "prepare")).code, 0);
  assertEquals(seats.content("seat1"), { one: "yes", two: "yes" });
});

Deno.test("a merge leaves firmware alone that a process has open", async () => {
  using fixture = await up(true);
  await fixture.event("release", "shutdown", { mergeDies: true });
  // A guest without the hook, or another one with the same variables and without "firmware": its QEMU has them open.
  using open = Deno.openSync(fixture.variables, { write: true });
  fixture.busy.add(fixture.variables);
  await fixture.merge();
  // From now on it writes.
  open.writeSync(new TextEncoder().encode('{"late": "yes"}'.padEnd(60)));
  assertEquals(Object.keys(content(fixture.variables)), ["late"]);
});

Deno.test("check tells of the mark of a merge of firmware for which the next start is refused", async () => {
  using fixture = await up(true);
  await fixture.event("release", "shutdown", { mergeDies: true });
  let dead = false;
  await fixture.merge({
    perform: (inner) => async (step: Step, control) => {
      dead ||= step.kind === "merge" && step.isWhole === true;
      if (dead) throw new Error("killed");
      await inner(step, control);
    },
  });
  // Somebody throws the newest version away, who doesn't know marks.
  for (const f of [fixture.variables]) {
    Deno.removeSync(`${f}.backing_file.1`);
    Deno.removeSync(f);
    Deno.linkSync(`${f}.backing_file`, f);
  }
  fixture.define();
  fixture.configure({ vda: false });
  const checked = await fixture.type("check");
  const started = await fixture.event("prepare");
  assertEquals([started.code, checked.printed.some((line) => line.includes("autorevert-merge.1"))], [
    1,
    true,
  ]);
});

Deno.test("check tells that versions of firmware can't be merged", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: true });
  fixture.define();
  await fixture.start();
  fixture.write(fixture.vda, "0");
  await fixture.stop();
  // cp -al of the folder: a backup.
  Deno.mkdirSync(`${fixture.root}/backup`);
  for (const f of [fixture.variables, fixture.tpm]) {
    Deno.linkSync(f, `${fixture.root}/backup/${f.split("/").at(-1)}`);
  }
  for (const key of ["a", "b", "c"]) {
    fixture.configure({ vda: true }, new Date());
    await fixture.start();
    fixture.write(fixture.vda, key);
    await fixture.event("release", "shutdown");
  }
  const checked = await fixture.type("check");
  assertEquals(checked.printed.some((line) => line.includes("hard link")), true);
});

Deno.test("a merge doesn't write through a link that has taken the older file's place since the look", async () => {
  using fixture = await up(true);
  await fixture.event("release", "shutdown", { mergeDies: true });
  const secret = `${fixture.root}/secret`;
  Deno.writeTextFileSync(secret, "secret", { mode: 0o600 });
  await fixture.merge({
    perform: (inner) => async (step: Step, control) => {
      if (step.kind === "merge" && step.isWhole && step.into.includes("tpm")) {
        Deno.removeSync(step.into);
        Deno.symlinkSync(secret, step.into);
      }
      await inner(step, control);
    },
  });
  assertEquals(read(secret), "secret");
});

/** Another guest with the same disk, and without firmware, has run on it. */
async function runAnother(fixture: FirmwareFixture, keep: number): Promise<void> {
  const domain = "rescue";
  const xml = fixture.xml().replaceAll("guest_VARS", "rescue_VARS");
  const config = { disks: [{ target: "vda", "keep-commits": keep }], firmware: false };
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/rescue.xml`, xml);
  Deno.writeTextFileSync(`${fixture.config}/rescue.json`, JSON.stringify(config));
  await fixture.good("prepare", "-", { domain, xml });
  await fixture.good("started", "-", { domain, xml });
  await fixture.good("release", "shutdown", { domain, xml, mergeDies: true });
}

Deno.test("a merge leaves the firmware of commits that can be undone, though another guest ran on the disk since", async () => {
  using fixture = await up(true, { keys: { "keep-commits": 3 } });
  await fixture.stop();
  fixture.configure({ vda: false });
  fixture.define();
  await runAnother(fixture, 3);
  assertEquals((await fixture.type("merge guest")).code, 0);
  await fixture.start();
  await fixture.stop();
  assertEquals((await fixture.command("undo")).said, []);
  await fixture.start();
  assertEquals(content(fixture.variables), { installed: "yes" });
});

Deno.test("nor does the merge that the end of a seat starts", async () => {
  using fixture = new FirmwareFixture();
  const pool = new FirmwarePool(fixture, ["seat1"]);
  Deno.writeTextFileSync(pool.variables("seat1"), "{}");
  fixture.keys = { "keep-commits": 1 };
  await pool.start("seat1");
  await pool.commit("one");
  await pool.commit("two");
  fixture.configure({ vda: false });
  fixture.define();
  await runAnother(fixture, 1);
  const begun: string[] = [];
  await pool.stop("seat1", "shutdown", { background: (domain) => void begun.push(domain) });
  for (const domain of begun) await fixture.merge({ domain });
  await fixture.start();
  await fixture.stop();
  assertEquals((await fixture.command("undo")).said, []);
  await fixture.start();
  assertEquals([fixture.read(fixture.vda), pool.content(DOMAIN)], [{ base: "vda", version: "one" }, {
    version: "one",
  }]);
});
