import { assertEquals, assertStringIncludes } from "@std/assert";

const ROOT = new URL("..", import.meta.url).pathname;

/** A host to install on: a folder, and a program that says that it is autorevert. */
function host() {
  const folder = Deno.makeTempDirSync({ prefix: "autorevert-" });
  const program = `${folder}/program`;
  Deno.writeTextFileSync(program, "#!/bin/sh\necho autorevert 9.9\n", { mode: 0o755 });
  const env = {
    DESTDIR: `${folder}/host`,
    HOOK_DIR: "/etc/libvirt/hooks",
    CONFIG_DIR: "/etc/libvirt/hooks/config",
    PREFIX: "/usr/local",
  };
  const call = async (script: string, ...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(`${ROOT}build/${script}`, { args, env }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return {
      code,
      stdout: text(stdout).replaceAll(env.DESTDIR, ""),
      stderr: text(stderr).replaceAll(env.DESTDIR, ""),
    };
  };
  return {
    hook: `${env.DESTDIR}/etc/libvirt/hooks/qemu`,
    config: `${env.DESTDIR}${env.CONFIG_DIR}`,
    link: `${env.DESTDIR}/usr/local/sbin/autorevert`,
    install: () => call("install", program),
    uninstall: () => call("uninstall"),
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

Deno.test("the first installation makes the folders and says that libvirtd must be restarted", async () => {
  using at = host();
  const { code, stdout } = await at.install();
  assertEquals(code, 0);
  assertStringIncludes(
    stdout,
    "Installed /etc/libvirt/hooks/qemu, and /usr/local/sbin/autorevert as a link to it",
  );
  assertStringIncludes(stdout, "systemctl restart libvirtd");
  assertEquals(Deno.statSync(at.hook).mode! & 0o777, 0o755);
  assertEquals(Deno.statSync(at.config).mode! & 0o777, 0o755);
  assertEquals(Deno.readLinkSync(at.link), "/etc/libvirt/hooks/qemu");
});

Deno.test("installing again replaces our hook, and leaves configurations alone", async () => {
  using at = host();
  await at.install();
  Deno.writeTextFileSync(`${at.config}/guest.json`, "mine");
  const { code, stdout } = await at.install();
  assertEquals([code, stdout.includes("restart")], [0, false]);
  assertEquals(Deno.readTextFileSync(`${at.config}/guest.json`), "mine");
});

Deno.test("another hook is left alone, and the way to have both is told", async () => {
  using at = host();
  Deno.mkdirSync(at.hook.slice(0, -"/qemu".length), { recursive: true });
  Deno.writeTextFileSync(at.hook, "#!/bin/sh\necho other\n", { mode: 0o755 });
  const { code, stderr } = await at.install();
  assertEquals(code, 1);
  assertStringIncludes(stderr, "error: /etc/libvirt/hooks/qemu is another hook, and stays");
  assertStringIncludes(stderr, "/etc/libvirt/hooks/qemu.d/autorevert");
  assertStringIncludes(Deno.readTextFileSync(at.hook), "echo other");
  assertEquals((await at.uninstall()).code, 1);
  assertStringIncludes(Deno.readTextFileSync(at.hook), "echo other");
});

Deno.test("the hook isn't taken away while a disk needs it", async () => {
  using at = host();
  await at.install();
  Deno.writeTextFileSync(`${at.config}/guest.session`, `[{"target": "vda"}]`);
  const refused = await at.uninstall();
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.stderr, 'error: disks of "guest" still need the hook');
  Deno.removeSync(`${at.config}/guest.session`);
  assertEquals((await at.uninstall()).code, 0);
  assertEquals([...Deno.readDirSync(at.hook.slice(0, -"/qemu".length))].map(({ name }) => name), ["config"]);
});
