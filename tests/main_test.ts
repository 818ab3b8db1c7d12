/** The program as a process of its own, with the permissions of a build. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { help } from "../lib/command/help.ts";
import { defaults } from "../lib/settings.ts";
import { qemuIo } from "./qemu.ts";
import { outsideDev, run, worldWithDisk } from "./program.ts";
import { snapshot } from "./tree.ts";

Deno.test("a wrong number of arguments ends with 2 and the way to the usage", async () => {
  using world = outsideDev();
  for (const args of [["guest", "prepare", "begin"], ["guest", "prepare", "begin", "-", "-"]]) {
    assertEquals(await run(world, args), {
      code: 2,
      stdout: "",
      stderr:
        `error: ${args.length} arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA\nhint: autorevert --help tells what there is\n`,
    });
  }
});

Deno.test("help and version are told on standard output", async () => {
  using world = outsideDev();
  assertEquals(await run(world, ["--help"]), { code: 0, stdout: `${help()}\n`, stderr: "" });
  const { code, stdout } = await run(world, ["--version"]);
  assertEquals(code, 0);
  for (const place of [world.images, world.config, defaults.qemuImg]) assertStringIncludes(stdout, place);
});

Deno.test("a build's permissions are enough for a whole life, and the log tells of it", async () => {
  using world = worldWithDisk();
  const xml = world.xml();
  for (const operation of ["prepare", "start", "started"]) {
    assertEquals(await run(world, ["guest", operation, "begin", "-"], xml), {
      code: 0,
      stdout: "",
      stderr: "",
    });
  }
  qemuIo(["write", "-P", "7", "0", "64k"], world.image("vda"));
  assertEquals(await run(world, ["guest", "release", "end", "shutdown"], xml), {
    code: 0,
    stdout: "",
    stderr: "",
  });
  while (world.files().length > 1 || world.files(world.config).includes("guest.session")) {
    await new Promise((wake) => setTimeout(wake, 20));
  }
  assertEquals(world.files(), ["vda.img"]);
  assertEquals(world.flags(), { vda: false });
  qemuIo(["read", "-P", "7", "0", "64k"], world.image("vda"));
  const log = Deno.readTextFileSync(world.settings.log).trim().split("\n");
  for (const line of log) assert(/^\d{4}-\d\d-\d\d [\d:.]{12}\+0000: guest(?: vda)?: ./.test(line), line);
  assertEquals(log.filter((line) => line.includes("commit: asked for")).length, 1);
});

Deno.test("a build's permissions end at its image folders, and the error tells how to widen them", async () => {
  using world = worldWithDisk();
  world.sources.set("vda", "/usr/share/os.img");
  const { code, stdout, stderr } = await run(world, ["guest", "prepare", "begin", "-"], world.xml());
  assertEquals([code, stdout], [1, ""]);
  assertEquals(
    stderr,
    `error: guest vda: image "/usr/share/os.img" is outside the permitted folders, which are "${world.images}"\n` +
      `hint: build the hook for it: make install IMAGE_DIRS='${world.images},/usr/share'\n`,
  );
});

Deno.test("an operation that nobody knows is logged and ends with 0", async () => {
  using world = worldWithDisk();
  const ran = await run(world, ["guest", "new-in-libvirt", "begin", "-"], world.xml());
  assertEquals(ran, { code: 0, stdout: "", stderr: "" });
  assertStringIncludes(Deno.readTextFileSync(world.settings.log), 'unknown operation "new-in-libvirt"');
});

Deno.test("a dry run prints one line a step and leaves no trace, not even a log", async () => {
  using world = worldWithDisk();
  const before = snapshot(world.root);
  const { code, stdout, stderr } = await run(
    world,
    ["--dry-run", "guest", "prepare", "begin", "-"],
    world.xml(),
  );
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.trim().split("\n").every((line) => line.startsWith("guest")), true);
  assertStringIncludes(stdout, `guest vda: link "${world.image("vda")}" to `);
  assertEquals(snapshot(world.root).filter((line) => !/entry\.ts|autorevert"/.test(line)), before);
});
