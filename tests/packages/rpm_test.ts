/** The RPM package, where libvirt comes from Debian: its scripts, and a guest under the hook that it installs. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { at, CONFIG, exists, Guest, ok, startDaemon, stopLibvirtd } from "../e2e/libvirt.ts";
import { installLibvirt } from "./host.ts";

const HOOK = "/etc/libvirt/hooks/qemu.d/autorevert";

/** The host's rpm works on the system under test, which knows nothing of RPM's dependencies. */
async function rpm(...args: string[]): Promise<{ code: number; said: string }> {
  const { code, stdout, stderr } = await new Deno.Command("rpm", {
    args: ["--root", at("/"), "--nodeps", ...args],
    env: { LC_ALL: "C" },
  }).output();
  return { code, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** SELinux as its tools tell of it. */
function seLinux(mode: string, semodule: string): void {
  for (const [tool, line] of [["getenforce", `echo ${mode}`], ["semodule", semodule]]) {
    Deno.writeTextFileSync(at(`/usr/sbin/${tool}`), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  }
}

Deno.test.afterAll(() => stopLibvirtd("SIGKILL"));

Deno.test("rpm installs it, and a guest reverts", async () => {
  await installLibvirt();
  seLinux("Permissive", 'echo "$@" >> /run/semodule');
  const { code, said } = await rpm("-i", at("/packages/old.rpm"));
  assertEquals(code, 0, said);
  assertStringIncludes(said, "libvirtd looks for hooks when it starts: systemctl restart libvirtd");
  assertEquals(Deno.readTextFileSync(at("/run/semodule")), "-i /usr/share/autorevert/autorevert.cil\n");
  await startDaemon();
  const guest = await Guest.define("fedora", { stay: true });
  await ok("autorevert", "enable", "fedora", "vda");
  await guest.start();
  assertStringIncludes(await ok("autorevert", "status"), "running on a session");
});

Deno.test("an upgrade leaves the session, and says nothing of a restart", async () => {
  const { code, said } = await rpm("-U", at("/packages/new.rpm"));
  assertEquals([code, said.includes("restart")], [0, false], said);
  assertStringIncludes(await ok("autorevert", "status"), "running on a session");
  assert(exists(HOOK));
});

Deno.test("where SELinux is enforcing and its module can't be loaded, the hook is switched off", async () => {
  seLinux("Enforcing", "exit 1");
  const { said } = await rpm("-U", "--force", at("/packages/new.rpm"));
  assertStringIncludes(
    said,
    "error: SELinux is enforcing, and its module /usr/share/autorevert/autorevert.cil can't be loaded",
  );
  assertStringIncludes(said, "error: the hook would not be allowed to run; the hook is switched off");
  assertEquals(Deno.statSync(at(HOOK)).mode! & 0o777, 0o644);
  seLinux("Enforcing", "[ $1 != -l ] || echo autorevert");
  assertEquals((await rpm("-U", "--force", at("/packages/new.rpm"))).code, 0);
  assertEquals(Deno.statSync(at(HOOK)).mode! & 0o777, 0o755);
});

Deno.test("a removal is refused while a disk needs the hook; later it leaves nothing but configurations", async () => {
  const refused = await rpm("-e", "autorevert");
  assert(refused.code !== 0);
  assertStringIncludes(refused.said, 'error: disks of "fedora" still need the hook:\n');
  assert(exists("/usr/sbin/autorevert") && exists(HOOK));
  const guest = await Guest.define("fedora", { made: true });
  await guest.destroy();
  await guest.reverted(0);
  const { code, said } = await rpm("-e", "autorevert");
  assertEquals(code, 0, said);
  for (const path of ["/usr/sbin/autorevert", HOOK, "/usr/share/autorevert"]) assert(!exists(path), path);
  assertEquals([...Deno.readDirSync(at(CONFIG))].map(({ name }) => name), ["fedora.json"]);
});
