/** The Debian package on a fresh system: from its installation to its end, while guests run. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  at,
  CONFIG,
  countOn,
  exists,
  Guest,
  IMAGES,
  LOG,
  ok,
  run,
  slowMerges,
  startDaemon,
  stopLibvirtd,
  until,
} from "../e2e/libvirt.ts";
import { almostFull, apt, bad, Bystander, dpkg, good, noExecution } from "./host.ts";

const HOOK = "/etc/libvirt/hooks/qemu.d/autorevert";
const PROGRAM = "/usr/sbin/autorevert";
const autorevert = (...args: string[]) => ok("autorevert", ...args);
/** The guest that must live through all of it. */
let bystander: Bystander;

Deno.test.afterAll(() => stopLibvirtd("SIGKILL"));

Deno.test("apt-get installs it, with libvirt, while nothing runs", async () => {
  const said = await good(apt("install", "/packages/old.deb"));
  assertStringIncludes(said, "libvirtd looks for hooks when it starts: systemctl restart libvirtd");
  await ok("which", "qemu-img", "libvirtd");
  await startDaemon();
  bystander = await Bystander.start("by-package");
  assertEquals(await autorevert("check"), "0 guests, 0 disks: nothing is wrong\n");
  await bystander.survives();
});

Deno.test("a guest reverts, and keeps a session on demand", async () => {
  const guest = await Guest.define("win10");
  await autorevert("enable", "win10", "vda");
  assertEquals([await guest.boot(), await guest.boot()], ["1", "1"]);
  await autorevert("commit", "win10");
  assertEquals([await guest.boot(), await guest.boot()], ["1", "2"]);
  await guest.reverted(1);
  assertEquals(await autorevert("check"), "1 guest, 1 disk: nothing is wrong\n");
});

Deno.test("libvirt's logrotate takes the hook's log along", () => {
  assert(exists(LOG));
  assertStringIncludes(
    Deno.readTextFileSync(at("/etc/logrotate.d/libvirtd.qemu")),
    LOG.replace(/[^/]+$/, "*.log"),
  );
});

Deno.test("an upgrade leaves a guest in its session, and a merge under way", async () => {
  const inSession = await Guest.define("in-session", { stay: true });
  inSession.configure({ vda: false });
  await inSession.start();
  const merging = await Guest.define("merging", { stay: true });
  merging.configure({ vda: true });
  {
    await using _slow = await slowMerges(30);
    await merging.start();
    await merging.write(900);
    await merging.destroy();
    // The two layers, the image, and the mark of the merge.
    await until("the merge is under way", () => Promise.resolve(merging.files().length === 4));
    const said = await good(dpkg("-i", "/packages/new.deb"));
    assert(!said.includes("restart"), said);
    assertEquals(merging.files().length, 4, "the merge is still under way");
    await bystander.survives();
  }
  // Once more where the program was replaced while it looked at what there is to merge.
  await until("the merge is done", () => Promise.resolve(!exists(`${CONFIG}/merging.session`)), 120);
  await merging.isPlain(1);
  await ok("qemu-img", "check", "-q", merging.images[0]!);
  assertEquals(await inSession.key(), "2");
  await inSession.destroy();
  await inSession.reverted(0);
});

Deno.test("an upgrade on a full disk leaves what there was", async () => {
  {
    await using _full = await almostFull("/usr/sbin", 20 * 1024 * 1024);
    assertStringIncludes(await bad(dpkg("-i", "/packages/old.deb")), "No space left on device");
    assertStringIncludes(await autorevert("--version"), "autorevert ");
    await bystander.survives();
    assertEquals(await autorevert("check", "win10"), "1 guest, 1 disk: nothing is wrong\n");
  }
});

Deno.test("an upgrade that is killed half-way leaves what there was, and is done again", async () => {
  const child = dpkg("-i", "/packages/old.deb");
  await until("dpkg writes the program", () => Promise.resolve(exists(`${PROGRAM}.dpkg-new`)));
  await run("pkill", "-9", "-x", "dpkg|dpkg-deb");
  assert((await child).code !== 0);
  assert(exists(`${PROGRAM}.dpkg-new`));
  await bystander.survives();
  const guest = await Guest.define("win10", { made: true });
  assertEquals(await guest.boot(), "2");
  await guest.reverted(1);
  await good(dpkg("-i", "/packages/new.deb"));
  assertEquals([...Deno.readDirSync(at("/usr/sbin"))].filter(({ name }) => /autorevert./.test(name)), []);
});

Deno.test("a program that doesn't run has its hook switched off, and no guest is stopped", async () => {
  await ok("dpkg-deb", "-R", "/packages/new.deb", "/run/broken");
  Deno.writeTextFileSync(at(`/run/broken${PROGRAM}`), "\x7fELF of another machine");
  await ok("dpkg-deb", "-Znone", "--build", "/run/broken", "/run/broken.deb");
  const said = await bad(dpkg("-i", "/run/broken.deb"));
  assertStringIncludes(said, `error: ${HOOK} doesn't run: `);
  assertStringIncludes(
    said,
    "the hook is switched off, and guests start as if it were not there\nhint: see why: ",
  );
  assertEquals(Deno.statSync(at(HOOK)).mode! & 0o777, 0o644);
  const guest = await Guest.define("meanwhile");
  assertEquals(await guest.boot(), "1", "under the libvirtd that has called the hook before");
  await bystander.survives();
  await good(dpkg("-i", "/packages/new.deb"));
  assertEquals(Deno.statSync(at(HOOK)).mode! & 0o777, 0o755);
  await bystander.survives();
});

Deno.test("a hook that somebody has removed is put into place by the next installation", async () => {
  await ok("rm", HOOK);
  await good(apt("install", "--reinstall", "/packages/new.deb"));
  assertEquals(Deno.statSync(at(HOOK)).mode! & 0o777, 0o755);
  await bystander.survives();
});

Deno.test("where a hook can't be executed nothing is unpacked", async () => {
  {
    await using _noExecution = await noExecution("/etc/libvirt/hooks");
    assertStringIncludes(
      await bad(dpkg("-i", "/packages/old.deb")),
      "error: programs can't be executed in /etc/libvirt/hooks\nhint: is it mounted with noexec? ",
    );
    assertStringIncludes(await ok("dpkg-query", "-W", "-f", "${Version}", "autorevert"), ".1-1");
    const { code, stdout } = await run("autorevert", "check");
    assertEquals(code, 1);
    assertStringIncludes(
      stdout,
      "can't be executed: libvirt starts no guest, and stops every guest that runs when its daemon restarts",
    );
  }
  await bystander.survives();
});

Deno.test("a removal is refused while a disk needs the hook, and touches no image", async () => {
  const guest = await Guest.define("needs", { stay: true });
  guest.configure({ vda: true });
  await guest.start();
  for (const action of ["remove", "purge"]) {
    const said = await bad(apt(action, "autorevert"));
    assertStringIncludes(said, 'error: disks of "needs" still need the hook:\n');
    assertStringIncludes(said, "hint: autorevert disable 'needs', then start it and shut it down once;");
  }
  assertEquals(guest.files(), ["needs.img", "needs.img.autorevert-keep", "needs.img.backing_file"]);
  // The package is as it was: the session is kept.
  await guest.destroy();
  await guest.isPlain(1);
  assertEquals(guest.flags(), { vda: false });
});

Deno.test("once removed, every guest starts without it; once purged, nothing is left but the images", async () => {
  const images = await ok("sh", "-c", `sha256sum ${IMAGES}/*`);
  await good(apt("remove", "autorevert"));
  assert(!exists(HOOK) && !exists(PROGRAM));
  const guest = await Guest.define("win10", { made: true });
  assertEquals(await ok("sh", "-c", `sha256sum ${IMAGES}/*`), images);
  assertEquals(await guest.boot(), "2", "without the program nothing reverts");
  assertEquals(await guest.boot(), "3");
  await bystander.survives();

  await good(apt("purge", "autorevert"));
  for (const path of [HOOK, CONFIG, LOG, PROGRAM]) assert(!exists(path), path);
  assertEquals(await countOn(guest.images[0]!), 3);
  await bystander.survives();
});

Deno.test("a purge leaves what was installed in another way since the package was removed", async () => {
  await good(dpkg("-i", "/packages/new.deb"));
  await good(apt("remove", "autorevert"));
  const other = "/etc/libvirt/hooks/autorevert";
  await ok("cp", "/source/dist/qemu", other);
  await ok("mkdir", "-p", CONFIG);
  Deno.writeTextFileSync(at(`${CONFIG}/win10.json`), '{"disks": [{"target": "vda"}]}\n');
  await good(apt("purge", "autorevert"));
  assert(exists(other) && exists(`${CONFIG}/win10.json`));
  await ok("rm", "-r", other, CONFIG);
});

Deno.test("a hook from before is noticed: no two of them on one image", async () => {
  const other = "/etc/libvirt/hooks/qemu";
  await ok("mkdir", "-p", "/etc/libvirt/hooks");
  await ok("cp", "/source/dist/qemu", other);
  const said = await bad(dpkg("-i", "/packages/old.deb"));
  assertStringIncludes(
    said,
    `error: autorevert is installed already, not from a package, as ${other}, and would run twice\nhint: `,
  );
  assertStringIncludes(said, `configurations and sessions stay: rm -f ${other}\n`);
  Deno.writeTextFileSync(at(other), '#!/usr/bin/python3\nbacking = image + ".backing_file"\n', {
    mode: 0o755,
  });
  assertStringIncludes(
    await bad(dpkg("-i", "/packages/old.deb")),
    `error: ${other} is another hook that reverts disks: both would change the same images\nhint: `,
  );
  assert(!exists(HOOK) && !exists(PROGRAM));
  Deno.writeTextFileSync(at(other), "#!/bin/sh\nexit 0\n", { mode: 0o755 });
  await good(dpkg("-i", "/packages/old.deb"));
  assert(exists(HOOK));
  await bystander.survives();
  await good(apt("purge", "autorevert"));
  await ok("rm", other);
});
