/** `make install` on a host where a guest runs: whole, interrupted, and where it can't be. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  CONFIG,
  exists,
  Guest,
  IMAGES,
  LOG,
  ok,
  run,
  startDaemon,
  stopLibvirtd,
  until,
} from "../e2e/libvirt.ts";
import { almostFull, bad, Bystander, good, installLibvirt, noExecution, restart } from "./host.ts";

const HOOKS = "/etc/libvirt/hooks";
const places = [`HOOK_DIR=${HOOKS}`, `CONFIG_DIR=${CONFIG}`, `IMAGE_DIRS=${IMAGES}`, `LOG=${LOG}`];
const install = () =>
  run(
    "env",
    "DESTDIR=",
    "PREFIX=/usr/local",
    ...places,
    "/source/build/install",
    "/source/dist/qemu",
    "/source/dist/gate",
  );

let bystander: Bystander;

Deno.test.beforeAll(async () => {
  await installLibvirt();
  await startDaemon();
  bystander = await Bystander.start("by-source");
});
Deno.test.afterAll(() => stopLibvirtd("SIGKILL"));

Deno.test("make install, then a restart: guests run on, and the hook is called", async () => {
  assertStringIncludes(await good(install()), "systemctl restart libvirtd (or virtqemud). Guests run on.");
  await bystander.survives();
  const guest = await Guest.define("sourced", { stay: true });
  guest.configure({ vda: false });
  await guest.start();
  await guest.showsBackingFile();
});

Deno.test("make install over itself leaves a session, and guests run on", async () => {
  assert(!(await good(install())).includes("restart"));
  await bystander.survives();
  const guest = await Guest.define("sourced", { made: true });
  await guest.destroy();
  await guest.reverted(0);
});

Deno.test("on a full disk the hook stays as it was", async () => {
  await using _full = await almostFull(HOOKS, 20 * 1024 * 1024);
  assertStringIncludes(await bad(install()), `error: ${HOOKS}/autorevert.new can't be written; `);
  assert(!exists(`${HOOKS}/autorevert.new`));
  await bystander.survives();
});

Deno.test("killed half-way the hook stays as it was, and the next installation is whole", async () => {
  const installing = install();
  await until("the program is being copied", () => Promise.resolve(exists(`${HOOKS}/autorevert.new`)));
  await run("pkill", "-9", "-f", "^install -m 755|build/install");
  assert((await installing).code !== 0);
  assert(exists(`${HOOKS}/autorevert.new`));
  await bystander.survives();
  assertEquals(
    (await ok(`${HOOKS}/autorevert`, "check", "sourced")).trim(),
    "1 guest, 1 disk: nothing is wrong",
  );
  await good(install());
  assert(!exists(`${HOOKS}/autorevert.new`));
});

Deno.test("where hooks can't be executed, the installation says so; a restart would do what check warns of", async () => {
  await using _noExecution = await noExecution(HOOKS);
  assertStringIncludes(await bad(install()), `error: programs can't be executed in ${HOOKS}; `);
  assertEquals(await bystander.state(), "running");
  await restart();
  await until("libvirtd has stopped it", async () => await bystander.state() === "shut off");
});
