/** What AppArmor and SELinux are told: by an installation, and when it goes again. */

import { assertEquals, assertStringIncludes } from "@std/assert";

const ROOT = new URL("..", import.meta.url).pathname;
const RULE = "/data/vm/** r, # autorevert: a folder of images\n";

/** A host with these confinements, and tools that only note how they were called. */
function host({ apparmor = false, selinux }: { apparmor?: boolean; selinux?: "Enforcing" | "Permissive" }) {
  const folder = Deno.makeTempDirSync({ prefix: "autorevert-" });
  const tool = (name: string, text: string) =>
    Deno.writeTextFileSync(`${folder}/bin/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const additions = `${folder}/etc/apparmor.d/local/usr.lib.libvirt.virt-aa-helper`;
  Deno.mkdirSync(`${folder}/bin`);
  tool("apparmor_parser", `echo apparmor_parser "$@" >> ${folder}/calls`);
  tool("semodule", `echo semodule "$@" >> ${folder}/calls; [ "$1" != -l ] || echo autorevert`);
  tool("getenforce", `echo ${selinux ?? "Disabled"}`);
  if (apparmor) {
    Deno.mkdirSync(`${folder}/sys/module/apparmor/parameters`, { recursive: true });
    Deno.writeTextFileSync(`${folder}/sys/module/apparmor/parameters/enabled`, "Y\n");
    Deno.mkdirSync(`${folder}/etc/apparmor.d/local`, { recursive: true });
    Deno.writeTextFileSync(`${folder}/etc/apparmor.d/usr.lib.libvirt.virt-aa-helper`, "");
  }
  /** @param images the folders of a build, with commas */
  const confine = (action: string, images = "/var/lib/libvirt/images,/data/vm,/srv/vm") => {
    const line =
      `${ROOT}packaging/fill - < ${ROOT}packaging/confine > ${folder}/confine; exec sh ${folder}/confine "$@"`;
    const { code, stderr } = new Deno.Command("sh", {
      args: ["-c", line, "confine", action],
      env: { ROOT: folder, PATH: `${folder}/bin:${Deno.env.get("PATH")}`, IMAGE_DIRS: images },
    }).outputSync();
    return { code, stderr: new TextDecoder().decode(stderr).replaceAll(`${folder}/`, "") };
  };
  const calls = () => {
    try {
      const text = Deno.readTextFileSync(`${folder}/calls`);
      Deno.removeSync(`${folder}/calls`);
      return text.replaceAll(folder, "").trim().split("\n");
    } catch {
      return [];
    }
  };
  return {
    tool,
    additions,
    confine,
    calls,
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

Deno.test("AppArmor's addition is made once, and taken back alone", () => {
  using at = host({ apparmor: true });
  // The last line has no end.
  Deno.writeTextFileSync(at.additions, "/data/** r,");
  const load = "apparmor_parser -r /etc/apparmor.d/usr.lib.libvirt.virt-aa-helper";
  assertEquals(at.confine("install").code, 0);
  assertEquals(Deno.readTextFileSync(at.additions), `/data/** r,\n${RULE}`);
  assertEquals(at.calls(), [load]);
  assertEquals(at.confine("install").code, 0);
  assertEquals(Deno.readTextFileSync(at.additions), `/data/** r,\n${RULE}`);
  assertEquals(at.calls(), []);
  assertEquals(at.confine("remove").code, 0);
  assertEquals(Deno.readTextFileSync(at.additions), "/data/** r,\n");
  assertEquals(at.calls(), [load]);
});

Deno.test("AppArmor needs no addition for folders that its profile knows", () => {
  using at = host({ apparmor: true });
  assertEquals(at.confine("install", "/var/lib/libvirt/images,/mnt/fast"), { code: 0, stderr: "" });
  assertEquals(at.calls(), []);
});

Deno.test("SELinux's module is loaded where SELinux is on, and removed again", () => {
  for (const selinux of ["Enforcing", "Permissive"] as const) {
    using at = host({ selinux });
    assertEquals(at.confine("install").code, 0);
    assertEquals(at.calls(), ["semodule -i /autorevert.cil"]);
    assertEquals(at.confine("remove").code, 0);
    assertEquals(at.calls(), ["semodule -l", "semodule -r autorevert"]);
  }
});

Deno.test("where SELinux is enforcing, an installation stops without its module", () => {
  for (const [selinux, expected] of [["Enforcing", 1], ["Permissive", 0]] as const) {
    using at = host({ selinux });
    at.tool("semodule", "exit 1");
    const { code, stderr } = at.confine("install");
    assertEquals(code, expected);
    assertStringIncludes(
      stderr,
      expected === 1
        ? "error: SELinux is enforcing, and its module autorevert.cil can't be loaded\nhint: "
        : "warning: the SELinux module autorevert.cil can't be loaded; SELinux is permissive, so the hook runs\n",
    );
  }
});

Deno.test("a host without either has nothing to do", () => {
  using at = host({});
  for (const action of ["install", "remove"]) assertEquals(at.confine(action), { code: 0, stderr: "" });
  assertEquals(at.calls(), []);
});
