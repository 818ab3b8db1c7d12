import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";

import { gate } from "../lib/hook/gate.ts";
import { defaults } from "../lib/settings.ts";

/** A program of this name: what is none of it begins otherwise. */
const OURS = "#!/bin/sh\n# Stands for: exec deno run --no-prompt \necho autorevert 9.9\n";
const ROOT = new URL("..", import.meta.url).pathname;

/** A host to install on: a folder, and a program that says that it is autorevert. */
function host() {
  const folder = Deno.makeTempDirSync({ prefix: "autorevert-" });
  const program = `${folder}/program`;
  Deno.writeTextFileSync(
    program,
    "#!/bin/sh\n# Stands for: exec deno run --no-prompt \necho autorevert 9.9\n",
    { mode: 0o755 },
  );
  Deno.writeTextFileSync(`${folder}/gate`, gate(defaults), { mode: 0o755 });
  const env = {
    DESTDIR: `${folder}/host`,
    HOOK_DIR: "/etc/libvirt/hooks",
    CONFIG_DIR: "/etc/libvirt/hooks/config",
    PREFIX: "/usr/local",
    IMAGE_DIRS: "/var/lib/libvirt/images",
    LOG: "/var/log/libvirt/qemu/hooks.log",
  };
  const call = async (before: string, script: string, ...args: string[]) => {
    const line = `${before}\nexec ${ROOT}build/${script} "$@"`;
    const command = new Deno.Command("sh", { args: ["-c", line, script, ...args], env });
    const { code, stdout, stderr } = await command.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return {
      code,
      stdout: text(stdout).replaceAll(env.DESTDIR, ""),
      stderr: text(stderr).replaceAll(env.DESTDIR, ""),
    };
  };
  return {
    hook: `${env.DESTDIR}/etc/libvirt/hooks/qemu`,
    place: `${env.DESTDIR}/etc/libvirt/hooks/autorevert`,
    program,
    config: `${env.DESTDIR}${env.CONFIG_DIR}`,
    command: `${env.DESTDIR}/usr/local/sbin/autorevert`,
    share: `${env.DESTDIR}/usr/local/share`,
    root: env.DESTDIR,
    hooks: () => [...Deno.readDirSync(`${env.DESTDIR}${env.HOOK_DIR}`)].map(({ name }) => name).sort(),
    /** @param before lines for the shell that calls it */
    install: (before = "") => call(before, "install", program, `${folder}/gate`),
    uninstall: () => call("", "uninstall"),
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

Deno.test("the first installation makes the folders and says that libvirtd must be restarted", async () => {
  using at = host();
  const { code, stdout } = await at.install();
  assertEquals(code, 0);
  assertStringIncludes(
    stdout,
    "Installed /etc/libvirt/hooks/qemu, which calls /etc/libvirt/hooks/autorevert where there is something to do\n" +
      "The command is /usr/local/sbin/autorevert: man autorevert",
  );
  assertStringIncludes(stdout, "systemctl restart libvirtd");
  assertEquals(Deno.statSync(at.hook).mode! & 0o777, 0o755);
  assertEquals(Deno.statSync(at.config).mode! & 0o777, 0o755);
  assertEquals(Deno.readTextFileSync(at.hook), gate(defaults));
  assertEquals(Deno.readTextFileSync(at.place), Deno.readTextFileSync(at.program));
  assertEquals(Deno.statSync(at.place).mode! & 0o777, 0o755);
  assertStringIncludes(Deno.readTextFileSync(at.command), "\nprogram=/etc/libvirt/hooks/autorevert\n");
});

Deno.test("the command runs the program with its words, and says so itself where that can't be executed", async () => {
  using at = host();
  Deno.writeTextFileSync(
    at.program,
    '#!/bin/sh\n# Stands for: exec deno run --no-prompt \necho autorevert "$@"\n[ "$1" = --version ] || exit 3\n',
    {
      mode: 0o755,
    },
  );
  await at.install();
  const command = Deno.readTextFileSync(at.command).replace(/^program=.*$/m, `program=${at.place}`);
  const call = async () => {
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", command, "autorevert", "status", "win 10"],
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return [code, text(stdout), text(stderr)];
  };
  assertEquals(await call(), [3, "autorevert status win 10\n", ""]);
  const error = `error: "${at.place}" can't be executed, and the hook needs it\n` +
    `hint: chmod 755 ${at.place}; if it isn't there: make install\n`;
  Deno.chmodSync(at.place, 0o644);
  assertEquals(await call(), [1, "", error]);
  Deno.removeSync(at.place);
  assertEquals(await call(), [1, "", error]);
});

Deno.test("a link that was the command of an earlier version becomes the command, and the program stays", async () => {
  using at = host();
  await at.install();
  Deno.removeSync(at.command);
  Deno.symlinkSync(at.place, at.command);
  assertEquals((await at.install()).code, 0);
  assertEquals(Deno.lstatSync(at.command).isSymlink, false);
  assertEquals(Deno.readTextFileSync(at.place), Deno.readTextFileSync(at.program));
});

Deno.test("installing again replaces our hook, and leaves configurations alone", async () => {
  using at = host();
  await at.install();
  Deno.writeTextFileSync(`${at.config}/guest.json`, "mine");
  const { code, stdout } = await at.install();
  assertEquals([code, stdout.includes("restart")], [0, false]);
  assertEquals(Deno.readTextFileSync(`${at.config}/guest.json`), "mine");
});

Deno.test("another hook is left alone, and this one goes beside it, also the next time", async () => {
  using at = host();
  Deno.mkdirSync(at.hook.slice(0, -"/qemu".length), { recursive: true });
  Deno.writeTextFileSync(at.hook, "#!/bin/sh\necho other\n", { mode: 0o755 });
  for (let time = 0; time < 2; time++) {
    const { code, stdout } = await at.install();
    assertEquals(code, 0);
    assertStringIncludes(
      stdout,
      "/etc/libvirt/hooks/qemu is another hook, and stays; this one goes beside it",
    );
    assertEquals(Deno.lstatSync(at.command).isFile, true);
    assertEquals(Deno.readTextFileSync(`${at.hook}.d/autorevert`), gate(defaults));
    assertEquals([...Deno.readDirSync(`${at.hook}.d`)].map(({ name }) => name), ["autorevert"]);
  }
  const { code, stdout } = await at.uninstall();
  assertEquals([code, stdout.split("\n").slice(0, 3)], [0, [
    "/etc/libvirt/hooks/qemu is another hook, and stays",
    "Removed /etc/libvirt/hooks/qemu.d/autorevert",
    "Removed /etc/libvirt/hooks/autorevert",
  ]]);
  assertStringIncludes(Deno.readTextFileSync(at.hook), "echo other");
});

Deno.test("a program that was copied to the hook's place by hand is replaced by a gate, and taken away by itself", async () => {
  using at = host();
  Deno.mkdirSync(at.config, { recursive: true });
  Deno.copyFileSync(at.program, at.hook);
  const before = Deno.statSync(at.hook).ino;
  using running = Deno.openSync(at.hook);
  const { code, stdout } = await at.install();
  assertEquals([code, stdout.includes("restart")], [0, false]);
  assertEquals(Deno.readTextFileSync(at.hook), gate(defaults));
  // What runs keeps its file.
  assertEquals([running.statSync().ino, Deno.statSync(at.hook).ino === before], [before, false]);
  Deno.removeSync(at.place);
  Deno.copyFileSync(at.program, at.hook);
  assertEquals((await at.uninstall()).stdout.split("\n")[0], "Removed /etc/libvirt/hooks/qemu");
});

Deno.test("an installation that can't be finished leaves the hook as it was", async () => {
  using at = host();
  await at.install();
  for (const wrong of ["#!/bin/sh\necho other\n", "#!/no/such/shell\n", ""]) {
    Deno.writeTextFileSync(at.program, wrong);
    const { code, stderr } = await at.install();
    assertEquals(code, 1);
    assertStringIncludes(stderr, "doesn't run here");
    assertStringIncludes(Deno.readTextFileSync(at.place), "echo autorevert 9.9");
    assertEquals(at.hooks(), ["autorevert", "config", "qemu"]);
  }
});

Deno.test("a file that takes its name was whole, and was run, in the hooks' folder itself", async () => {
  using at = host();
  await at.install();
  const before = Deno.readTextFileSync(at.place);
  // It runs where it was built, and not beside the hooks, as on a file system without execution.
  Deno.writeTextFileSync(
    at.program,
    `#!/bin/sh\n# Stands for: exec deno run --no-prompt \ncase $0 in *.new) exit 126 ;; esac\necho autorevert 10\n`,
  );
  const refused = await at.install();
  assertEquals(refused.code, 1);
  assertEquals(
    refused.stderr,
    "error: programs can't be executed in /etc/libvirt/hooks; /etc/libvirt/hooks/autorevert stays as it was\n" +
      "hint: is it mounted with noexec? findmnt -T /etc/libvirt/hooks\n",
  );
  assertEquals(refused.stdout.includes("restart"), false);
  assertEquals(Deno.readTextFileSync(at.place), before);
  assertEquals(Deno.readTextFileSync(at.hook), gate(defaults));
  assertEquals(at.hooks(), ["autorevert", "config", "qemu"]);
});

Deno.test("on a full disk the hook stays as it was", async () => {
  using at = host();
  await at.install();
  const before = Deno.readTextFileSync(at.place);
  // As much as the file may be long: what is written is cut short there.
  Deno.writeTextFileSync(
    at.program,
    `#!/bin/sh\n# Stands for: exec deno run --no-prompt \necho autorevert 10\n${"#".repeat(16 * 1024)}\n`,
  );
  const { code, stderr } = await at.install("ulimit -f 16; trap '' XFSZ");
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    "error: /etc/libvirt/hooks/autorevert.new can't be written; /etc/libvirt/hooks/autorevert stays as it was\n" +
      "hint: is there room? df -h /etc/libvirt/hooks\n",
  );
  assertEquals(Deno.readTextFileSync(at.place), before);
  assertEquals(at.hooks(), ["autorevert", "config", "qemu"]);
});

Deno.test("beside a package, or a hook that reverts disks, too, nothing is installed", async () => {
  const others = {
    "/usr/sbin/autorevert": [
      "autorevert is installed from a package, as /usr/sbin/autorevert, and would run twice",
      "update the package, or remove it first: apt remove autorevert, or: dnf remove autorevert",
    ],
    "/etc/libvirt/hooks/qemu": [
      "/etc/libvirt/hooks/qemu is another hook that reverts disks: both would change the same images",
      "shut its guests down, take it away, and try again: mv /etc/libvirt/hooks/qemu /root/",
    ],
    "/etc/libvirt/hooks/qemu.d/50-revert": [
      "/etc/libvirt/hooks/qemu.d/50-revert is another hook that reverts disks: both would change the same images",
      "shut its guests down, take it away, and try again: mv /etc/libvirt/hooks/qemu.d/50-revert /root/",
    ],
  };
  for (const [path, [error, hint]] of Object.entries(others)) {
    using at = host();
    const other = `${at.root}${path}`;
    Deno.mkdirSync(other.slice(0, other.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(other, '#!/usr/bin/python3\nimage += ".backing_file"\n', { mode: 0o755 });
    const { code, stderr } = await at.install();
    assertEquals([code, stderr], [1, `error: ${error}\nhint: ${hint}\n`]);
    assertThrows(() => Deno.lstatSync(at.place), Deno.errors.NotFound);
  }
});

Deno.test("somebody's own program at the place of this one is left alone", async () => {
  using at = host();
  Deno.mkdirSync(at.config, { recursive: true });
  Deno.writeTextFileSync(at.place, "#!/bin/sh\necho other\n", { mode: 0o755 });
  const { code, stderr } = await at.install();
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    "error: /etc/libvirt/hooks/autorevert is no program of this name, or doesn't run\nhint: ",
  );
  assertStringIncludes(Deno.readTextFileSync(at.place), "echo other");
  assertThrows(() => Deno.lstatSync(at.hook), Deno.errors.NotFound);
});

Deno.test("what a gate calls is taken away with it, also where it doesn't run", async () => {
  using at = host();
  await at.install();
  Deno.writeTextFileSync(at.place, "#!/no/such/shell\n");
  assertEquals((await at.uninstall()).stdout.split("\n").slice(0, 2), [
    "Removed /etc/libvirt/hooks/qemu",
    "Removed /etc/libvirt/hooks/autorevert",
  ]);
  assertThrows(() => Deno.lstatSync(at.command), Deno.errors.NotFound);
});

Deno.test("manual and completions are installed, and taken away with the hook, and so are its locks", async () => {
  using at = host();
  const share = [
    ...["man/man8/autorevert.8", "bash-completion/completions/autorevert"],
    ...["zsh/site-functions/_autorevert", "fish/vendor_completions.d/autorevert.fish"],
    "autorevert/config.schema.json",
  ].map((path) => `${at.share}/${path}`);
  await at.install();
  for (const path of share) assertEquals(Deno.statSync(path).isFile, true);
  for (const name of ["guest.lock", "1-2.folder-lock", "guest.merging", "guest.json"]) {
    Deno.writeTextFileSync(`${at.config}/${name}`, "");
  }
  assertEquals((await at.uninstall()).code, 0);
  for (const path of [...share, at.command]) assertThrows(() => Deno.lstatSync(path), Deno.errors.NotFound);
  assertEquals([...Deno.readDirSync(at.config)].map(({ name }) => name), ["guest.json"]);
});

Deno.test("the hook isn't taken away while a disk needs it", async () => {
  using at = host();
  await at.install();
  for (const guest of ["guest", ".guest"]) {
    Deno.writeTextFileSync(`${at.config}/${guest}.session`, `[{"target": "vda"}]`);
    const refused = await at.uninstall();
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.stderr, `error: disks of "${guest}" still need the hook`);
    Deno.removeSync(`${at.config}/${guest}.session`);
  }
  assertEquals((await at.uninstall()).code, 0);
  assertEquals(at.hooks(), ["config"]);
});

Deno.test("make install takes the places that make build was given, and others only if it is told", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "autorevert-" });
  const script = (path: string, text: string) =>
    Deno.writeTextFileSync(`${folder}/${path}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const make = async (...args: string[]) => {
    const env = { PATH: Deno.env.get("PATH")! };
    const { code, stdout } = await new Deno.Command("make", {
      args: ["-s", ...args],
      cwd: folder,
      env,
      clearEnv: true,
    })
      .output();
    assertEquals(code, 0);
    return new TextDecoder().decode(stdout).trim();
  };
  try {
    for (const { name } of Deno.readDirSync(ROOT)) {
      if (!["build", "dist"].includes(name)) Deno.symlinkSync(`${ROOT}${name}`, `${folder}/${name}`);
    }
    Deno.mkdirSync(`${folder}/build`);
    script("build/build.ts", "");
    script("build/deno", 'echo "$IMAGE_DIRS" > dist/qemu');
    script("build/install", 'cat "$1"');
    await make("build", "IMAGE_DIRS=/srv/vm,/mnt/vm");
    assertEquals(await make("install"), "/srv/vm,/mnt/vm");
    assertEquals(await make("install", "IMAGE_DIRS=/other"), "/other");
    assertEquals(await make("install"), "/other");
    Deno.removeSync(`${folder}/dist`, { recursive: true });
    assertEquals(await make("install"), "/var/lib/libvirt/images");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("an installation whose command lies in /usr/sbin is no package, and is updated", async () => {
  using at = host();
  for (let times = 0; times < 2; times++) assertEquals((await at.install("export PREFIX=/usr")).code, 0);
});

Deno.test("a bare program gives way to a gate beside it", async () => {
  using at = host();
  Deno.mkdirSync(`${at.hook}.d`, { recursive: true });
  Deno.copyFileSync(at.program, at.hook);
  Deno.copyFileSync(at.program.replace(/program$/, "gate"), `${at.hook}.d/autorevert`);
  assertEquals((await at.install()).code, 0);
  assertEquals(at.hooks(), ["autorevert", "config", "qemu.d"]);
});

Deno.test("a hook that waits for its standard input keeps no installation waiting", async () => {
  using at = host();
  Deno.mkdirSync(at.hook.slice(0, -"/qemu".length), { recursive: true });
  Deno.writeTextFileSync(at.hook, "#!/bin/sh\nxml=$(cat)\n", { mode: 0o755 });
  // A pipe that nobody writes to, and that stays open.
  assertEquals((await at.install('mkfifo "$DESTDIR/in"; exec 3<>"$DESTDIR/in" 0<&3')).code, 0);
});

Deno.test("a package's hook is taken away by that package alone", async () => {
  using at = host();
  await at.install();
  const packaged = `${at.root}/usr/sbin/autorevert`;
  Deno.mkdirSync(packaged.slice(0, -"/autorevert".length), { recursive: true });
  Deno.writeTextFileSync(packaged, "program");
  const { code, stderr } = await at.uninstall();
  assertEquals([code, stderr], [
    1,
    "error: autorevert is installed from a package, as /usr/sbin/autorevert\n" +
    "hint: remove that: apt remove autorevert, or: dnf remove autorevert\n",
  ]);
  assertEquals(at.hooks(), ["autorevert", "config", "qemu"]);
});

Deno.test("a command that is needed is not taken for a folder with its name", async () => {
  const folder = Deno.makeTempDirSync();
  Deno.mkdirSync(`${folder}/npm`);
  for (const [name, text] of [["apt-get", 'echo "$*"'], ["id", "echo 0"]] as const) {
    Deno.writeTextFileSync(`${folder}/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  const command = new Deno.Command("/bin/sh", {
    args: [`${ROOT}build/need`, "npm:npm", "/bin/sh:dash", "/nowhere/file:ovmf"],
    cwd: folder,
    env: { PATH: folder },
    clearEnv: true,
  });
  const { stderr } = await command.output();
  Deno.removeSync(folder, { recursive: true });
  assertStringIncludes(new TextDecoder().decode(stderr), "Installing npm ovmf with apt-get\n");
});

Deno.test("a program that libvirtd's PATH doesn't run is not installed", async () => {
  using at = host();
  const folder = at.program.slice(0, -"/program".length);
  Deno.writeTextFileSync(
    `${folder}/runtime`,
    "#!/bin/sh\n# Stands for: exec deno run --no-prompt \necho autorevert 9.9\n",
    { mode: 0o755 },
  );
  Deno.writeTextFileSync(at.program, "#!/usr/bin/env runtime\n", { mode: 0o755 });
  const { code, stderr } = await at.install(`PATH=${folder}:$PATH`);
  assertEquals([code, stderr.split("\n")[0]], [1, `error: ${at.program} doesn't run here`]);
});

Deno.test("a program for another folder of configurations doesn't replace one that may have sessions noted in its own", async () => {
  using at = host();
  const says = (folder: string) =>
    `#!/bin/sh\n# Stands for: exec deno run --no-prompt \necho autorevert 9.9\necho "configuration   ${folder}"\n`;
  Deno.writeTextFileSync(at.program, says("/srv/cfg"), { mode: 0o755 });
  await at.install();
  Deno.writeTextFileSync(at.program, says("/etc/libvirt/hooks/config"), { mode: 0o755 });
  const { code, stderr } = await at.install();
  assertEquals([code, stderr.split("\n")[0]], [
    1,
    "error: the program that is installed has its configurations in /srv/cfg, this one in /etc/libvirt/hooks/config",
  ]);
  // A removal looks for notes where the program that is installed keeps them.
  Deno.mkdirSync(`${at.root}/srv/cfg`, { recursive: true });
  Deno.writeTextFileSync(`${at.root}/srv/cfg/win10.session`, "[]");
  assertEquals((await at.uninstall()).code, 1);
});

Deno.test("a program for fewer folders doesn't replace one that guests have their images in", async () => {
  using at = host();
  const says = (folders: string) => `${OURS}echo "image folders   ${folders}"\n`;
  Deno.writeTextFileSync(at.program, says("/srv/vm\n                /images"), { mode: 0o755 });
  await at.install();
  for (const [folders, lost] of [["/images", "/srv/vm"], ["/srv/v", "/srv/vm,/images"]]) {
    Deno.writeTextFileSync(at.program, says(folders!), { mode: 0o755 });
    const { code, stderr } = await at.install();
    assertEquals([code, stderr.split(":")[1]], [
      1,
      ` the program that is installed is also for images or firmware in ${lost}`,
    ]);
  }
  Deno.writeTextFileSync(at.program, says("/srv\n                /images"), { mode: 0o755 });
  assertEquals((await at.install()).code, 0);
});

Deno.test("a bare program for another folder of configurations is not replaced, either", async () => {
  using at = host();
  Deno.mkdirSync(at.hook.replace(/\/qemu$/, ""), { recursive: true });
  Deno.writeTextFileSync(at.hook, `${OURS}echo "configuration   /srv/cfg"\n`, { mode: 0o755 });
  const { code, stderr } = await at.install();
  assertEquals([code, stderr.includes("has its configurations in /srv/cfg")], [1, true]);
  assertStringIncludes(Deno.readTextFileSync(at.hook), "/srv/cfg");
});

Deno.test("what only calls autorevert, or has its name, is somebody else's: nothing is written over it, nor is what it calls removed", async () => {
  const calls = '#!/bin/sh\n/etc/libvirt/hooks/autorevert "$@" && exec /root/vfio "$@"\n';
  const says = "#!/bin/sh\necho autorevert by hand\n";
  for (
    const [path, text, message] of [
      ["/etc/libvirt/hooks/qemu", calls, "calls autorevert itself, which would run twice"],
      ["/etc/libvirt/hooks/qemu.d/50-both", calls, "calls autorevert itself, which would run twice"],
      ["/etc/libvirt/hooks/qemu.d/autorevert", "#!/bin/sh\n", "is another hook, too"],
      ["/etc/libvirt/hooks/autorevert", says, "is no program of this name, or doesn't run"],
      ["/usr/local/sbin/autorevert", says, "is another program"],
      [
        "/etc/libvirt/hooks/qemu.d/10-autorevert",
        gate(defaults),
        "is a copy of the hook, and would run, too",
      ],
    ] as const
  ) {
    using at = host();
    Deno.mkdirSync(`${at.root}${path}`.replace(/\/[^/]+$/, ""), { recursive: true });
    Deno.writeTextFileSync(`${at.root}${path}`, text, { mode: 0o755 });
    const { code, stderr } = await at.install();
    assertEquals([code, stderr.split("\n")[0]], [1, `error: ${path} ${message}`]);
    assertEquals(Deno.readTextFileSync(`${at.root}${path}`), text);
    // One that came later.
    Deno.removeSync(`${at.root}${path}`);
    await at.install();
    if (text !== calls) continue;
    const later = `${at.root}/etc/libvirt/hooks/qemu.d/later`;
    Deno.mkdirSync(later.replace(/\/later$/, ""), { recursive: true });
    Deno.writeTextFileSync(later, text, { mode: 0o755 });
    const refused = await at.uninstall();
    assertEquals([refused.code, refused.stderr.includes("calls autorevert, and would fail without it")], [
      1,
      true,
    ]);
    assertStringIncludes(at.hooks().join(), "autorevert,config,qemu");
  }
});

Deno.test("a session that is noted while the hook is taken away keeps the program, and the hook comes back", async () => {
  using at = host();
  // It notes one as soon as it is asked for the second time.
  Deno.writeTextFileSync(at.program, `${OURS}echo "configuration   /etc/libvirt/hooks/config"\n`, {
    mode: 0o755,
  });
  await at.install();
  const noting = (async () => {
    while (at.hooks().includes("qemu")) await new Promise((done) => setTimeout(done, 20));
    Deno.writeTextFileSync(`${at.config}/win10.session`, "[]");
  })();
  const { code } = await at.uninstall();
  await noting;
  assertEquals([code, at.hooks()], [1, ["autorevert", "config", "qemu"]]);
});

Deno.test("a hook that was switched off is on after an installation, which says that libvirtd must be restarted", async () => {
  using at = host();
  await at.install();
  Deno.chmodSync(at.hook, 0o644);
  assertStringIncludes((await at.install()).stdout, "systemctl restart libvirtd");
});
