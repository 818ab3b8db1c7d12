/** What `check` finds of AppArmor and SELinux. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { confinementFindings } from "../lib/command/check_confinement.ts";
import { Fixture } from "./fixture.ts";

const CONSEQUENCE = "libvirt starts no guest, and stops every guest that runs when its daemon restarts";

function write(path: string, text: string): void {
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  Deno.writeTextFileSync(path, text);
}

/** A host with AppArmor, with images in one folder. */
function withAppArmor(imageFolder: string): Fixture {
  const fixture = new Fixture();
  fixture.settings = { ...fixture.settings, imageFolders: [imageFolder] };
  write(`${fixture.settings.confinement.appArmor}/usr.lib.libvirt.virt-aa-helper`, "");
  return fixture;
}

/** A host with SELinux, by default one whose policy has a domain for virtqemud. */
function withSELinux(
  { mode = "enforcing", imageFolder = "/var/lib/libvirt/images", domain = "virtqemud" } = {},
) {
  const fixture = new Fixture();
  fixture.settings = { ...fixture.settings, imageFolders: [imageFolder] };
  const { seLinux, seLinuxModules } = fixture.settings.confinement;
  const contexts = `${seLinux}/targeted/contexts/files/file_contexts`;
  write(`${seLinux}/config`, `# SELINUX=disabled\nSELINUX=${mode}\nSELINUXTYPE=targeted\n`);
  write(contexts, `/usr/sbin/${domain}  --  system_u:object_r:${domain}_exec_t:s0\n`);
  const label = (line: string) => write(`${contexts}.local`, `${line}\n`);
  const load = () => write(`${seLinuxModules}/targeted/active/modules/400/autorevert/cil`, "");
  return { fixture, label, load, [Symbol.dispose]: () => fixture[Symbol.dispose]() };
}

function found({ settings, root }: Fixture): string[] {
  return confinementFindings(settings).map(({ severity, message, hint }) =>
    `${severity}: ${message} → ${hint}`.replaceAll(root, "ROOT")
  );
}

Deno.test("without AppArmor and SELinux there is nothing to find", () => {
  using fixture = new Fixture();
  assertEquals(found(fixture), []);
});

Deno.test("check finds image folders whose layers virt-aa-helper can't read", () => {
  using fixture = withAppArmor("/data/vm");
  const warning = `warning: AppArmor's virt-aa-helper can't read the layers of disks in "/data/vm": ` +
    `where AppArmor is on, a start fails with "Permission denied" → `;
  assertEquals(found(fixture), [`${warning}make install`]);
  write(fixture.settings.packaged, "");
  assertEquals(found(fixture), [`${warning}/usr/share/autorevert/confine install`]);

  const additions = `${fixture.settings.confinement.appArmor}/local/usr.lib.libvirt.virt-aa-helper`;
  for (const line of ["# /data/vm/** r,", "/data/vmx/** r,", "/data/vm/** w,", "/data/vm/* r,"]) {
    write(additions, `${line}\n`);
    assertEquals(found(fixture).length, 1, line);
  }
  for (const line of ["/data/vm/** r, # images", '  "/data/vm/**" r,', "/data/** rk,"]) {
    write(additions, `/other/** r,\n${line}\n`);
    assertEquals(found(fixture), [], line);
  }
  for (const folder of ["/var/lib/libvirt/images", "/srv/vm", "/mnt/fast"]) {
    using known = withAppArmor(folder);
    assertEquals(found(known), []);
  }
});

Deno.test("check finds that SELinux's module is missing", () => {
  for (const [mode, severity] of [["enforcing", "error"], ["permissive", "warning"]] as const) {
    using host = withSELinux({ mode });
    assertEquals(found(host.fixture), [
      `${severity}: SELinux's policy doesn't let virtqemud execute a hook, and the module that does is not installed: ` +
      `${CONSEQUENCE} → make install`,
    ]);
    host.load();
    assertEquals(found(host.fixture), []);
  }
  for (const other of [{ mode: "disabled" }, { domain: "libvirtd" }]) {
    using host = withSELinux(other);
    assertEquals(found(host.fixture), []);
  }
});

Deno.test("check finds image folders that SELinux doesn't know", () => {
  using host = withSELinux({ imageFolder: "/data/vm" });
  host.load();
  const warning = [
    "warning: SELinux doesn't know \"/data/vm\" as a folder of images: virtqemud can't read it → " +
    "semanage fcontext -a -t virt_image_t '/data/vm(/.*)?' && restorecon -R /data/vm",
  ];
  assertEquals(found(host.fixture), warning);
  for (
    const line of [
      "/data/vmx(/.*)?  all files  u:o:virt_image_t:s0",
      "/data(/.*)?  u:o:etc_t:s0",
      "( virt_image_t",
    ]
  ) {
    host.label(line);
    assertEquals(found(host.fixture), warning);
  }
  host.label("/data/vm(/.*)?    system_u:object_r:virt_image_t:s0");
  assertEquals(found(host.fixture), []);
});

Deno.test("check finds the last denial that is about the hook or a layer, until something was done about it", () => {
  using fixture = new Fixture();
  const soon = Math.floor(Date.now() / 1000) + 60;
  const at = new Date(soon * 1000).toISOString().slice(0, 19).replace("T", " ");
  const seLinux = (time: number, type: string, permissive = 0) =>
    `type=AVC msg=audit(${time}.123:45): avc:  denied  { execute } for  pid=7 comm="rpc-virtqemud" name="qemu" ` +
    `scontext=system_u:system_r:virtqemud_t:s0 tcontext=system_u:object_r:${type}:s0 tclass=file permissive=${permissive}`;
  const appArmor = (time: number, name: string) =>
    `type=AVC msg=audit(${time}.123:46): apparmor="DENIED" operation="open" profile="virt-aa-helper" name="${name}" ` +
    `pid=7 comm="virt-aa-helper" requested_mask="r" denied_mask="r"`;
  const layer = appArmor(soon, "/data/vm/os.img.backing_file");
  const lines = (...lines: string[]) => write(fixture.settings.confinement.audit, `${lines.join("\n")}\n`);
  const words = () => found(fixture).map((line) => line.replace(/UTC: .* → /, "UTC → "));
  const hint = "make install; if it goes on: ausearch -m avc -ts recent";

  lines(seLinux(soon, "virt_hook_t"), seLinux(soon, "etc_t"));
  assertEquals(words(), [`error: SELinux denied the hook or a disk something, at ${at} UTC → ${hint}`]);
  lines(seLinux(soon, "virt_hook_t"), layer, "type=CWD");
  assertEquals(words(), [`error: AppArmor denied the hook or a disk something, at ${at} UTC → ${hint}`]);
  assertStringIncludes(found(fixture)[0]!, 'UTC: apparmor="DENIED" operation="open"');
  // Others' denials, what a permissive policy only notes, and what is older than the hook.
  lines(appArmor(soon, "/etc/shadow"), seLinux(soon, "virt_hook_t", 1), seLinux(soon, "etc_t"));
  assertEquals(words(), []);
  write(fixture.settings.programs[0]!, "");
  lines(layer.replace(`${soon}`, `${soon - 3600}`));
  assertEquals(words(), []);
});
