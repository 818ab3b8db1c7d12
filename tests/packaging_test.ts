/** The scripts of both packages: what they refuse, and what they leave. `make packages-test` tries the packages themselves. */

import { assert, assertEquals } from "@std/assert";
import { gate } from "../lib/hook/gate.ts";
import { defaults } from "../lib/settings.ts";

const ROOT = new URL("..", import.meta.url).pathname;

/** A host with a hooks' folder, and the scripts of a package for it. */
function host() {
  const root = Deno.makeTempDirSync({ prefix: "autorevert-" });
  const [hooks, config, log] = [`${root}/hooks`, `${root}/hooks/config`, `${root}/hooks.log`];
  Deno.mkdirSync(`${hooks}/qemu.d`, { recursive: true });
  Deno.mkdirSync(config);
  Deno.mkdirSync(`${root}/share`);
  for (const name of ["confine", "may-remove", "autorevert.cil"]) {
    Deno.copyFileSync(`${ROOT}packaging/${name}`, `${root}/share/${name}`);
  }
  // Whatever SELinux this very host has, it is none of the test's business.
  Deno.mkdirSync(`${root}/bin`);
  Deno.writeTextFileSync(`${root}/bin/getenforce`, "#!/bin/sh\necho Disabled\n", { mode: 0o755 });
  const path = `${root}/bin:${Deno.env.get("PATH")}`;
  const env = {
    HOOK_DIR: hooks,
    CONFIG_DIR: config,
    LOG: log,
    IMAGE_DIRS: "/images",
    ROOT: root,
    PATH: path,
  };
  const run = (script: string, ...args: string[]) => {
    const line = `${ROOT}packaging/fill 1 < ${ROOT}packaging/${script} |` +
      `sed 's|/usr/share/autorevert|${root}/share|; s|/usr/sbin/autorevert|${root}/program|' > ${root}/script; ` +
      `exec sh ${root}/script "$@"`;
    const { code, stdout, stderr } = new Deno.Command("sh", { args: ["-c", line, script, ...args], env })
      .outputSync();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).replaceAll(root, "");
    return { code, stdout: text(stdout), stderr: text(stderr) };
  };
  const write = (path: string, text: string) =>
    Deno.writeTextFileSync(`${root}${path}`, text, { mode: 0o755 });
  return {
    root,
    run,
    write,
    /** The package's own files, with this program. */
    unpack: (program: string) => {
      write("/program", program);
      write(
        "/share/gate",
        gate({ ...defaults, gated: "/nowhere", packaged: `${root}/program` }),
      );
    },
    mode: (path: string) => Deno.statSync(`${root}${path}`).mode! & 0o777,
    names: (path: string) => [...Deno.readDirSync(`${root}${path}`)].map(({ name }) => name).sort(),
    [Symbol.dispose]: () => Deno.removeSync(root, { recursive: true }),
  };
}

const OURS = "#!/bin/sh\n# Stands for: exec deno run --no-prompt \necho autorevert 9.9\n";

Deno.test("a package comes to a host without a hook, beside another one, and over itself", () => {
  using at = host();
  assertEquals(at.run("preinst", "install"), { code: 0, stdout: "", stderr: "" });
  at.write("/hooks/qemu", "#!/bin/sh\nexit 0\n");
  assertEquals(at.run("preinst", "1"), { code: 0, stdout: "", stderr: "" });
  at.unpack(OURS);
  assertEquals(at.run("preinst", "upgrade", "0.9"), { code: 0, stdout: "", stderr: "" });
  assertEquals(at.names("/hooks"), ["config", "qemu", "qemu.d"]);
});

Deno.test("a package doesn't come beside a second hook on the same images", () => {
  const twice = (path: string) =>
    `error: autorevert is installed already, not from a package, as ${path}, and would run twice\n` +
    "hint: let no guest start or stop meanwhile, take it away, and try again; configurations and sessions stay: " +
    `rm -f ${path}\n`;
  const reverts = (path: string) =>
    `error: ${path} is another hook that reverts disks: both would change the same images\n` +
    `hint: shut its guests down, take it away, and try again: mv ${path} /root/\n`;
  const python = '#!/usr/bin/python3\nbacking = image + ".backing_file"\n';
  for (
    const [path, text, stderr] of [
      ["/hooks/qemu", OURS, twice("/hooks/qemu")],
      ["/hooks/qemu", gate(defaults), twice("/hooks/qemu")],
      ["/hooks/autorevert", OURS, twice("/hooks/autorevert")],
      ["/hooks/qemu", python, reverts("/hooks/qemu")],
      ["/hooks/qemu.d/old", python, reverts("/hooks/qemu.d/old")],
      [
        "/hooks/qemu.d/autorevert",
        OURS,
        "error: /hooks/qemu.d/autorevert is another hook\nhint: move it out of that folder, and try again\n",
      ],
    ] as const
  ) {
    using at = host();
    at.write(path, text.replaceAll(defaults.configFolder, `${at.root}/hooks/config`));
    for (const args of [["install"], ["1"]]) {
      assertEquals(at.run("preinst", ...args), { code: 1, stdout: "", stderr });
    }
    // An upgrade has been asked before whether another hook reverts disks.
    for (const args of [["upgrade", "0.9"], ["2"]]) {
      assertEquals(at.run("preinst", ...args).code, text === python ? 0 : 1);
    }
    assertEquals(at.run("preinst", "abort-upgrade", "1").code, 0);
  }
});

Deno.test("a package for another folder of configurations doesn't replace one that may have sessions noted in its own", () => {
  using at = host();
  at.write("/program", '#!/bin/sh\necho autorevert 9.9\necho "configuration   /srv/cfg"\n');
  const { code, stderr } = at.run("preinst", "upgrade", "0.9");
  assertEquals([code, stderr.split("\n")[0]], [
    1,
    "error: the program that is installed has its configurations in /srv/cfg, this one in /hooks/config",
  ]);
});

Deno.test("a restart is recommended where the hook was not on, after it was seen to run", () => {
  using at = host();
  at.unpack(OURS);
  for (const args of [["configure", ""], ["1"], ["configure", "0.9"]]) {
    const { code, stdout } = at.run("postinst", ...args);
    assertEquals([code, stdout.includes("systemctl restart libvirtd")], [0, true]);
    assertEquals(at.mode("/hooks/qemu.d/autorevert"), 0o755);
    Deno.chmodSync(`${at.root}/hooks/qemu.d/autorevert`, 0o644);
  }
  at.run("postinst", "configure", "0.9");
  for (const args of [["configure", "0.9"], ["2"], ["triggered", "/x"], ["abort-remove"]]) {
    assertEquals(at.run("postinst", ...args), { code: 0, stdout: "", stderr: "" });
  }
});

Deno.test("a hook that doesn't run is switched off, and on again by the next installation", () => {
  using at = host();
  at.unpack(OURS);
  at.run("postinst", "configure", "");
  at.write("/program", "#!/no/such/shell\n");
  for (const args of [["configure", "0.9"], ["1"], ["2"]]) {
    const { code, stdout, stderr } = at.run("postinst", ...args);
    assertEquals([code, stdout], [1, ""]);
    assert(stderr.startsWith("error: /hooks/qemu.d/autorevert doesn't run: "), stderr);
    assert(
      stderr.includes("; the hook is switched off, and guests start as if it were not there\nhint: "),
      stderr,
    );
    assertEquals(at.mode("/hooks/qemu.d/autorevert"), 0o644);
  }
  at.write("/program", OURS);
  assertEquals(at.run("postinst", "configure", "0.9").code, 0);
  assertEquals(at.mode("/hooks/qemu.d/autorevert"), 0o755);
});

Deno.test("a package isn't removed while a disk needs it, and upgraded all the same", () => {
  using at = host();
  at.unpack("#!/bin/sh\necho status of $2\n");
  at.write("/hooks/config/win10.session", "[]");
  at.write("/hooks/config/win10.json", "{}");
  for (const action of ["remove", "0"]) {
    assertEquals(at.run("prerm", action), {
      code: 1,
      stdout: "",
      stderr: 'error: disks of "win10" still need the hook:\nstatus of win10\n' +
        "hint: autorevert disable 'win10', then start it and shut it down once;\n" +
        "      if it names another image now, name that one again with virsh edit before;\n" +
        "      if a disk is detached and gone for good: autorevert recover --discard 'win10' TARGET;\n" +
        "      if guest and images are gone, or live on another host that has a folder of configurations of its own: rm '/hooks/config/win10.session'\n",
    });
  }
  at.write("/hooks/config/.dotted.session", "[]");
  for (const action of ["upgrade", "1", "deconfigure"]) assertEquals(at.run("prerm", action).code, 0);
  // However it went: what the disk needs stays.
  assertEquals(at.run("postrm", "purge").code, 0);
  Deno.removeSync(`${at.root}/hooks/config/win10.session`);
  assertEquals([at.run("prerm", "remove").code, at.run("postrm", "purge").code], [1, 0]);
  assertEquals(at.names("/hooks/config"), [".dotted.session", "win10.json"]);
});

Deno.test("a removal takes locks along, a purge configurations and log", () => {
  using at = host();
  for (const name of ["win10.lock", "1-2.folder-lock", "win10.merging", "win10.json"]) {
    at.write(`/hooks/config/${name}`, "");
  }
  at.write("/hooks.log", "");
  assertEquals(at.run("prerm", "remove").code, 0);
  for (const action of ["upgrade", "1"]) at.run("postrm", action);
  assertEquals(at.names("/hooks/config").length, 4);
  assertEquals(at.run("postrm", "remove").code, 0);
  assertEquals(at.names("/hooks/config"), ["win10.json"]);
  assertEquals(at.run("postrm", "purge").code, 0);
  assertEquals(at.names("/hooks"), []);
  assert(!at.names("").includes("hooks.log"));
});

Deno.test("a release has both packages, the binary, their sums and the notes of its version", () => {
  const root = Deno.makeTempDirSync({ prefix: "autorevert-" });
  try {
    for (const folder of ["dist", "packaging"]) Deno.mkdirSync(`${root}/${folder}`);
    Deno.copyFileSync(`${ROOT}packaging/release`, `${root}/packaging/release`);
    Deno.writeTextFileSync(
      `${root}/CHANGELOG.md`,
      "# Changelog\n\n## 1.10.0 – x\n\nno\n\n## 1.1.0 – y\n\nyes\n\n## 1.0.0 – z\n",
    );
    for (const name of ["autorevert_1.1.0-1_arm64.deb", "autorevert-1.1.0-1.aarch64.rpm", "qemu"]) {
      Deno.writeTextFileSync(`${root}/dist/${name}`, name);
    }
    const release = (version: string) =>
      new Deno.Command(`${root}/packaging/release`, {
        args: [version],
        env: { MACHINE: "aarch64", DEB_ARCH: "arm64" },
      }).outputSync();
    assertEquals(release("1.1.0").code, 0);
    const read = (name: string) => Deno.readTextFileSync(`${root}/dist/release/${name}`);
    assertEquals(read("NOTES.md"), "## 1.1.0 – y\n\nyes\n\n");
    const summed = read("SHA256SUMS").trim().split("\n").map((line) => line.split("  ")[1]);
    assertEquals(summed, [
      "autorevert-1.1.0-1.aarch64.rpm",
      "autorevert-1.1.0-aarch64",
      "autorevert_1.1.0-1_arm64.deb",
    ]);
    Deno.writeTextFileSync(`${root}/CHANGELOG.md`, "# Changelog\n");
    const { code, stderr } = release("1.1.0");
    assertEquals([code, new TextDecoder().decode(stderr)], [
      1,
      "error: CHANGELOG.md has no section about 1.1.0\nhint: write one, or correct the version in deno.json\n",
    ]);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("a package stays as long as a seat's session stands on its master", () => {
  using at = host();
  at.unpack("#!/bin/sh\necho status of $2\n");
  at.write("/hooks/config/seat07.seats", "[]");
  assertEquals(at.run("prerm", "remove"), {
    code: 1,
    stdout: "",
    stderr:
      'error: a session of "seat07" stands on its master, and needs the hook to end:\nstatus of seat07\n' +
      "hint: shut it down; if it was saved, restore it before; if it is shut off otherwise: autorevert recover --discard 'seat07'\n",
  });
  at.write("/hooks/config/seat07.json", "{}");
  at.run("postrm", "purge");
  assertEquals(at.names("/hooks/config"), ["seat07.json", "seat07.seats"]);
  Deno.removeSync(`${at.root}/hooks/config/seat07.seats`);
  assertEquals(at.run("prerm", "remove").code, 0);
});

Deno.test("a removal leaves what is not the package's, links among it, and what can't be taken back fails none", () => {
  using at = host();
  at.unpack(OURS);
  at.write("/hooks/qemu.d/autorevert", "#!/bin/sh\n");
  assertEquals(at.run("prerm", "remove").code, 0);
  assertEquals(at.names("/hooks/qemu.d"), ["autorevert"]);
  assertEquals(
    at.run("postinst", "configure", "").stderr,
    "error: /hooks/qemu.d/autorevert is another hook\nhint: move it out of that folder\n",
  );

  Deno.removeSync(`${at.root}/hooks/qemu.d/autorevert`);
  assertEquals(at.run("postinst", "configure", "").code, 0);
  at.write("/bin/getenforce", "#!/bin/sh\necho Enforcing\n");
  at.write("/bin/semodule", "#!/bin/sh\n[ $1 = -l ] && echo autorevert\n");
  const { code, stderr } = at.run("prerm", "remove");
  assertEquals([code, stderr], [0, "warning: AppArmor or SELinux still allows what the hook needed\n"]);

  Deno.removeSync(`${at.root}/hooks/config`, { recursive: true });
  Deno.mkdirSync(`${at.root}/elsewhere`);
  Deno.symlinkSync(`${at.root}/elsewhere`, `${at.root}/hooks/config`);
  at.write("/elsewhere/win10.json", "{}");
  assertEquals(at.run("postrm", "remove").code, 0);
  assertEquals(at.names("/hooks"), ["config"]);
  // Not mounted: nothing is put into the link's place.
  Deno.removeSync(`${at.root}/elsewhere`, { recursive: true });
  assertEquals(at.run("postinst", "configure", "0.9").code, 1);
  assert(Deno.lstatSync(`${at.root}/hooks/config`).isSymlink);
});

Deno.test("dpkg removes what was only unpacked without a question: the hook stays where a disk needs it, and goes where none does", () => {
  using at = host();
  at.unpack(OURS);
  at.run("postinst", "configure", "");
  at.write("/hooks/config/win10.session", "[]");
  Deno.removeSync(`${at.root}/program`);
  const { code, stderr } = at.run("postrm", "remove");
  assertEquals([code, stderr.split("\n")[0]], [
    0,
    "error: disks still need the hook, as these say: /hooks/config/win10.session",
  ]);
  assertEquals(at.names("/hooks/qemu.d"), ["autorevert"]);
  Deno.removeSync(`${at.root}/hooks/config/win10.session`);
  assertEquals(at.run("postrm", "remove").code, 0);
  assertEquals(at.names("/hooks"), []);
});

Deno.test("what the gate would call in the program's place keeps a package from being installed", () => {
  using at = host();
  at.write("/hooks/autorevert", "#!/bin/sh\necho autorevert by hand\n");
  assertEquals(
    at.run("preinst", "install").stderr.split("\n")[0],
    "error: /hooks/autorevert is in the way: the hook would call it for its program",
  );
  // One that make install has put there, and that doesn't run.
  at.write("/hooks/qemu", gate({ ...defaults, configFolder: `${at.root}/hooks/config` }));
  const { stderr } = at.run("preinst", "install");
  assert(stderr.includes("rm -f /hooks/autorevert /hooks/qemu"), stderr);
  at.write("/hooks/qemu", '#!/bin/sh\n/usr/sbin/autorevert "$@" && exec /root/vfio "$@"\n');
  Deno.removeSync(`${at.root}/hooks/autorevert`);
  assertEquals(
    at.run("preinst", "install").stderr.split("\n")[0],
    "error: /hooks/qemu calls autorevert itself, which would run twice",
  );
});

Deno.test("a session of a seat that is set aside, of which no note tells, keeps the package", () => {
  using at = host();
  at.unpack(`#!/bin/sh\n[ "$2" != --json ] || echo '  "setAside": { "bytes": 1 },'\n`);
  at.write("/hooks/config/a seat.json", '{ "disks": [{ "target": "vda", "master": "/m" }] }');
  const { code, stderr } = at.run("prerm", "remove");
  assertEquals([code, stderr.split("\n")[0]], [
    1,
    'error: a session of "a seat" is set aside, and stands on its master:',
  ]);
});
