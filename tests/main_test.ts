/** The program as a process of its own, with the permissions of a build. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { help } from "../lib/command/help.ts";
import { defaults } from "../lib/settings.ts";
import { qemuIo } from "./qemu.ts";
import { fixtureWithDisk, outsideDev, run } from "./program.ts";
import { snapshot } from "./tree.ts";

Deno.test("a wrong number of arguments ends with 2 and the way to the usage", async () => {
  using fixture = outsideDev();
  for (const args of [["guest", "prepare", "begin"], ["guest", "prepare", "begin", "-", "-"]]) {
    assertEquals(await run(fixture, args), {
      code: 2,
      stdout: "",
      stderr:
        `error: ${args.length} arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA\nhint: see 'autorevert --help'\n`,
    });
  }
});

Deno.test("help and version are told on standard output", async () => {
  using fixture = outsideDev();
  assertEquals(await run(fixture, ["--help"]), { code: 0, stdout: `${help()}\n`, stderr: "" });
  const { code, stdout } = await run(fixture, ["--version"]);
  assertEquals(code, 0);
  for (const place of [fixture.images, fixture.config, defaults.qemuImg]) assertStringIncludes(stdout, place);
});

Deno.test("a build's permissions are enough for a whole life, and the log tells of it", async () => {
  using fixture = fixtureWithDisk();
  const xml = fixture.xml();
  for (const operation of ["prepare", "start", "started"]) {
    assertEquals(await run(fixture, ["guest", operation, "begin", "-"], xml), {
      code: 0,
      stdout: "",
      stderr: "",
    });
  }
  qemuIo(["write", "-P", "7", "0", "64k"], fixture.vda);
  assertEquals(await run(fixture, ["guest", "release", "end", "shutdown"], xml), {
    code: 0,
    stdout: "",
    stderr: "",
  });
  while (fixture.files().length > 1 || fixture.files(fixture.config).includes("guest.session")) {
    await new Promise((wake) => setTimeout(wake, 20));
  }
  assertEquals(fixture.files(), ["vda.img"]);
  assertEquals(fixture.flags(), { vda: false });
  qemuIo(["read", "-P", "7", "0", "64k"], fixture.vda);
  const log = Deno.readTextFileSync(fixture.settings.log).trim().split("\n");
  for (const line of log) assert(/^\d{4}-\d\d-\d\d [\d:.]{12}\+0000: guest(?: vda)?: ./.test(line), line);
  assertEquals(log.filter((line) => line.includes("commit: asked for")).length, 1);
});

Deno.test("a build's permissions end at its image folders, and the error tells how to widen them", async () => {
  using fixture = fixtureWithDisk();
  fixture.sources.set("vda", "/usr/share/os.img");
  const { code, stdout, stderr } = await run(fixture, ["guest", "prepare", "begin", "-"], fixture.xml());
  assertEquals([code, stdout], [1, ""]);
  assertEquals(
    stderr,
    `error: guest vda: image "/usr/share/os.img" is outside the permitted folders, which are "${fixture.images}"\n` +
      `hint: build the hook for it: make install IMAGE_DIRS='${fixture.images},/usr/share', or for a package make deb (or make rpm) with the same, and install that\n`,
  );
});

Deno.test("an operation that nobody knows is logged and ends with 0", async () => {
  using fixture = fixtureWithDisk();
  const ran = await run(fixture, ["guest", "new-in-libvirt", "begin", "-"], fixture.xml());
  assertEquals(ran, { code: 0, stdout: "", stderr: "" });
  assertStringIncludes(Deno.readTextFileSync(fixture.settings.log), 'unknown operation "new-in-libvirt"');
});

Deno.test("a dry run prints one line a step and leaves no trace, not even a log", async () => {
  using fixture = fixtureWithDisk();
  const before = snapshot(fixture.root);
  const { code, stdout, stderr } = await run(
    fixture,
    ["--dry-run", "guest", "prepare", "begin", "-"],
    fixture.xml(),
  );
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.trim().split("\n").every((line) => line.startsWith("guest")), true);
  assertStringIncludes(stdout, `guest vda: link "${fixture.vda}" to `);
  assertEquals(snapshot(fixture.root).filter((line) => !/record\.ts|autorevert"/.test(line)), before);
});

Deno.test("where the folder of configurations is a link to what isn't mounted, no guest starts and no command answers for it", async () => {
  using fixture = fixtureWithDisk();
  const share = `${fixture.root}/share`;
  Deno.renameSync(fixture.config, share);
  Deno.symlinkSync(share, fixture.config);
  const away = `${fixture.root}/away`;
  Deno.renameSync(share, away);
  const before = snapshot(fixture.images);
  const said = `${JSON.stringify(fixture.config)} is a link to ${
    JSON.stringify(share)
  }, which isn't there: nobody can tell which guests' disks are to be reverted\nhint: mount what it leads to; if no guest of this host has a configuration: rm ${fixture.config}\n`;
  const start = (operation: string, domain = "guest") =>
    run(fixture, [domain, operation, "begin", "-"], fixture.xml());
  for (const operation of ["prepare", "migrate", "restore"]) {
    for (const domain of ["guest", "other"]) {
      assertEquals(await start(operation, domain), {
        code: 1,
        stdout: "",
        stderr: `error: ${domain}: ${said}`,
      });
    }
  }
  // An end is noted in the log; what runs goes on.
  assertEquals((await start("release")).code, 0);
  for (const operation of ["started", "reconnect", "stopped"]) {
    assertEquals(await start(operation), { code: 0, stdout: "", stderr: "" });
  }
  for (const line of ["check", "status guest", "commit guest", "enable guest vda", "recover guest"]) {
    const { code, stderr } = await run(fixture, line.split(" "));
    assertEquals([code, stderr.replace("error: guest: ", "error: ")], [1, `error: ${said}`], line);
  }
  assertEquals(snapshot(fixture.images), before);

  Deno.renameSync(away, share);
  assertEquals(await start("prepare"), { code: 0, stdout: "", stderr: "" });
});
