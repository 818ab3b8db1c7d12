/** What commands and refused starts say of firmware. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { read } from "../lib/host/files.ts";
import { DOMAIN } from "./fixture.ts";
import { FirmwareFixture } from "./firmware_fixture.ts";

/** A guest with firmware that is defined, and whose file says nothing of that. */
function silent(): FirmwareFixture {
  const fixture = new FirmwareFixture();
  fixture.isListed = false;
  fixture.disks({ vda: false });
  fixture.define();
  return fixture;
}

const file = (fixture: FirmwareFixture) => JSON.parse(read(`${fixture.config}/guest.json`)!);

Deno.test("enable says that firmware stays, and how it goes back", async () => {
  using fixture = silent();
  Deno.removeSync(`${fixture.config}/guest.json`);
  const { printed } = await fixture.type(["enable", DOMAIN, "vda"]);
  assertEquals(
    printed.at(-1),
    "guest: its UEFI variables and TPM state stay as each session leaves them; " +
      "to have them go back with the disks: autorevert enable guest --firmware",
  );
  assertEquals(file(fixture).firmware, undefined);
  assertEquals((await fixture.type(["enable", DOMAIN, "--firmware"])).printed, [
    "guest: its UEFI variables and TPM state go back with its disks, from the next session on",
  ]);
  assertEquals(file(fixture).firmware, true);
  assertEquals((await fixture.type(["enable", DOMAIN, "--no-firmware"])).printed, [
    "guest: its UEFI variables and TPM state stay as each session leaves them",
  ]);
  assertEquals(file(fixture), { disks: [{ target: "vda", "one-shot-commit": false }], firmware: false });
});

Deno.test("enable --firmware is refused for a guest that has none, and needs a disk that is listed", async () => {
  using fixture = silent();
  Deno.removeSync(`${fixture.config}/guest.json`);
  assertEquals((await fixture.type(["enable", DOMAIN, "--firmware"])).code, 2);
  fixture.hasFirmware = false;
  fixture.define();
  const { code, said } = await fixture.type(["enable", DOMAIN, "vda", "--firmware"]);
  assertEquals(code, 1);
  assertStringIncludes(said.join("\n"), "the domain has neither UEFI variables nor an emulated TPM");
});

Deno.test("check warns once of firmware that stays, unless the file says that it is to", async () => {
  using fixture = silent();
  const warnings = async () =>
    (await fixture.type(["check"])).printed.filter((line) => line.includes("UEFI variables"));
  assertEquals(await warnings(), [
    "warning: guest: its UEFI variables and TPM state stay as each session leaves them, while its disks go back",
  ]);
  for (const option of ["--firmware", "--no-firmware"]) {
    await fixture.type(["enable", DOMAIN, option]);
    assertEquals(await warnings(), []);
  }
});

Deno.test("firmware where the program may not go refuses the start, and check says so", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false });
  fixture.define();
  fixture.settings = { ...fixture.settings, firmwareFolders: ["/elsewhere"] };
  const error = `nvram: file "${fixture.variables}" is outside the permitted folders, which are "/elsewhere"`;
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said[0]], [1, `error: guest ${error}`]);
  assertEquals(
    said[1],
    `hint: build the hook for it: make install FIRMWARE_DIRS='/elsewhere,${fixture.root}/firmware'`,
  );
  const { printed } = await fixture.type(["check"]);
  assert(printed.some((line) => line.startsWith(`error: guest ${error}`)), printed.join("\n"));
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("a guest that comes from another host without its firmware is refused, and nothing has changed", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false });
  await fixture.start();
  // The images are shared, and the firmware and the notes are the other host's.
  await fixture.good("migrate");
  for (const name of fixture.files(`${fixture.root}/firmware`)) {
    Deno.removeSync(`${fixture.root}/firmware/${name}`);
  }
  Deno.removeSync(`${fixture.config}/guest.session`);
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  assertStringIncludes(said.join("\n"), "nvram");
  assertEquals(fixture.files(`${fixture.root}/firmware`), []);
  assertEquals(fixture.state("vda").kind, "session");
});

Deno.test("a guest whose TPM goes back with its disks does not come by migration: a failed one would cost its state", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false });
  await fixture.start();
  await fixture.good("migrate");
  Deno.removeSync(`${fixture.config}/guest.session`);
  const before = [fixture.files(), fixture.files(`${fixture.root}/firmware`)];
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said], [1, [
    `error: guest tpm: libvirt removes "${fixture.tpm}" where a migration fails, with what the guest would go back to`,
    "hint: shut the guest down, and start it on the other host",
  ]]);
  assertEquals([fixture.files(), fixture.files(`${fixture.root}/firmware`)], before);
});
