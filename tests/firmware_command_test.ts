/** What commands and refused starts say of firmware. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { read } from "../lib/host/files.ts";
import { namesOf } from "../lib/state/paths.ts";
import { DOMAIN, Fixture } from "./fixture.ts";
import { FirmwareFixture, FirmwarePool, up, withFirmware } from "./firmware_fixture.ts";

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
    `hint: build the hook for it: make install FIRMWARE_DIRS='/elsewhere,${fixture.root}/firmware', or for a package make deb (or make rpm) with the same, and install that`,
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

for (const wrong of ["another file in their place", "a commit without versions"] as const) {
  Deno.test(`check, status and enable tell of variables for which the next start is refused: ${wrong}`, async () => {
    using fixture = new FirmwareFixture();
    fixture.keys = { "keep-commits": 2 };
    fixture.disks({ vda: true });
    fixture.define();
    await fixture.start();
    fixture.write(fixture.vda, "installed");
    await fixture.stop();
    const names = namesOf(fixture.variables);
    const own = `${fixture.root}/own`;
    Deno.writeTextFileSync(own, "{}");
    if (wrong === "another file in their place") Deno.renameSync(own, fixture.variables);
    else {
      Deno.renameSync(own, names.committing);
      for (const number of [0, 1]) Deno.removeSync(names.layer(number));
    }
    const { said: [error = "", hint = ""] } = await fixture.event("prepare");
    await fixture.event("release", "failed");
    assertStringIncludes(error, "error: guest nvram: ");
    const check = await fixture.type("check guest");
    assertEquals(check.printed.filter((line) => [error, hint].includes(line)), [error, hint]);
    const status = await fixture.type("status");
    assertEquals([status.code, status.printed.some((line) => line.includes("needs attention"))], [1, true]);
    assertEquals((await fixture.type("enable guest --firmware")).said, [error, hint]);
  });
}

Deno.test("a seat whose start is refused for its master's firmware is told of by check, status and enable", async () => {
  using fixture = new FirmwareFixture();
  const seats = new FirmwarePool(fixture, ["seat1", "seat2"]);
  for (const seat of ["seat1", "seat2"]) Deno.writeTextFileSync(seats.variables(seat), "{}");
  await seats.commit("one");
  const findings = async () => {
    const { printed } = await fixture.type("check seat1 --json");
    const { findings } = JSON.parse(printed.join(""));
    return findings.filter(({ severity }: { severity: string }) => severity === "error")
      .flatMap(({ domain, message }: { domain: string | null; message: string }) => domain ? [message] : []);
  };
  await seats.start("seat1");
  seats.live("seat1");
  assertEquals(await findings(), []);
  const { printed } = await fixture.type("enable guest --no-firmware");
  assertEquals(
    printed.at(-1),
    "guest: starts of seats are refused from now on, since their firmware begins with this guest's: " +
      '"seat1", "seat2"; to leave theirs as it is, too: autorevert enable GUEST --no-firmware',
  );
  const problem = `the firmware of "guest", whose disk is the master, doesn't go with its disk`;
  assertEquals(await findings(), [problem]);
  Deno.removeSync(`${fixture.settings.liveFolder}/seat1.xml`);
  await seats.stop("seat1");
  assertEquals(await findings(), [problem]);
  const status = await fixture.type("status seat1");
  assertStringIncludes(status.printed.join("\n"), `needs attention: ${problem}`);
  for (const words of ["enable seat1 --firmware", `enable seat1 vda --master ${seats.master} --firmware`]) {
    const { code, said } = await fixture.type(words);
    assertEquals([code, said[0]], [1, `error: seat1 vda: ${problem}`]);
  }
  await fixture.type("enable guest --firmware");
  assertEquals((await fixture.type("enable seat1 --firmware")).code, 0);
  assertEquals(await findings(), []);
});

Deno.test("a guest that runs, or was saved, is refused nothing for its firmware, and check says nothing of it", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: false });
  fixture.define();
  const findings = async () => {
    const { printed } = await fixture.type("check guest --json");
    return JSON.parse(printed.join("")).findings.filter(({ domain }: { domain: string | null }) => domain);
  };
  await fixture.start();
  fixture.run();
  assertEquals(await findings(), []);
  fixture.halt();
  await fixture.stop("saved");
  Deno.writeTextFileSync(fixture.managedSave, "");
  assertEquals(await findings(), []);
});

for (const way of ["--keep", "--discard"]) {
  Deno.test(`the refusal of a session of another host that has died ends it with that of the firmware: ${way}`, async () => {
    using here = await up(false);
    // Another host sees the same files, and has a configuration of its own.
    const there = new (withFirmware(Fixture))(here.root);
    const config = `${here.root}/config-there`;
    Deno.mkdirSync(config);
    Object.assign(there, { config, hasFirmware: true, name: "there" });
    there.settings = {
      ...there.settings,
      configFolder: config,
      firmwareFolders: here.settings.firmwareFolders,
    };
    there.sources.set("vda", here.vda);
    there.configure({ vda: false });
    there.define();
    const { code, said } = await there.event("prepare");
    assertEquals(code, 1);
    await there.event("release", "failed");
    const [, words] = /: autorevert (recover --keep\|--discard guest)$/.exec(said[1]!)!;
    assertEquals((await there.type(`${words!.replace("--keep|--discard", way)} --yes`)).said, []);
    here.boot();
    await here.start();
    // Its firmware fits to that.
    assertEquals(here.read(here.vda), {
      base: "vda",
      installed: "yes",
      ...way === "--keep" && { session: "yes" },
    });
  });
}
