/** libvirtd is killed when it has told that a restored guest is up, and the guest's memory has not come yet. No part of the sample. */

import { assertEquals } from "@std/assert";
import * as libvirt from "./libvirt.ts";
import { at, exists, Guest, ok, run, until, virsh } from "./libvirt.ts";

const STALLED = "/run/stalled";
const isShort = Deno.env.get("SHORT") === "1";

if (!isShort) Deno.test.beforeAll(startStalling);
if (!isShort) Deno.test.afterAll(() => libvirt.stopLibvirtd("SIGKILL"));

async function startStalling(): Promise<void> {
  const folder = at("/etc/libvirt/hooks/qemu.d");
  Deno.mkdirSync(folder, { recursive: true });
  // Another hook of the same event: QEMU stands still from there on.
  Deno.writeTextFileSync(
    `${folder}/stall`,
    '#!/bin/sh\ncat > /dev/null\n[ "$2" = started ] && [ -e /run/stall ] || exit 0\n' +
      `pkill -STOP -f "qemu-system.*guest=$1,"\ntouch ${STALLED}\n`,
  );
  Deno.chmodSync(`${folder}/stall`, 0o755);
  await libvirt.startLibvirtd();
}

for (const isQemuKilled of [true, false]) {
  const name = isQemuKilled ? "killed" : "destroyed";
  Deno.test(`a restore that was cut short is done again on the same session, the guest ${name}`, {
    ignore: isShort,
  }, async () => {
    const guest = await Guest.define(name, { stay: true, flags: { vda: false } });
    assertEquals([await guest.start(), await guest.key()], ["1", "2"]);
    const file = `/run/${name}.state`;
    await virsh("save", name, file);
    await guest.idle();
    await ok("touch", "/run/stall");
    const restoring = run("virsh", "-q", "restore", file);
    await until("QEMU stands still", () => Promise.resolve(exists(STALLED)));
    await run("pkill", "-9", "-x", "libvirtd");
    if (isQemuKilled) await ok("pkill", "-9", "-f", `qemu-system.*guest=${name},`);
    await ok("rm", "/run/stall", STALLED);
    await restoring;
    await run("pkill", "-CONT", "-f", `qemu-system.*guest=${name},`);
    await libvirt.startDaemon();
    if (!isQemuKilled) await virsh("destroy", name);
    const isOff = async () => (await run("virsh", "-q", "domstate", name)).stdout.startsWith("shut off");
    await until("the guest is shut off", isOff);
    await guest.idle();
    await guest.forgetCounts();
    await virsh("restore", file);
    assertEquals(await guest.key(), "3");
    await guest.endsAs(0);
  });
}
