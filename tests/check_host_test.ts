/** What `check` finds of a hook that is a gate. */

import { assertEquals } from "@std/assert";
import { about } from "../lib/command/help.ts";
import { gate } from "../lib/hook/gate.ts";
import { defaults } from "../lib/settings.ts";
import { Fixture } from "./fixture.ts";

/** A host as `make install` leaves it. */
function installed(): Fixture {
  const fixture = new Fixture().disks({ vda: false }).define();
  const gated = `${fixture.root}/autorevert`;
  fixture.settings = { ...fixture.settings, qemuImg: defaults.qemuImg, gated };
  program(gated, about(fixture.settings));
  Deno.writeTextFileSync(fixture.settings.programs[0]!, gate(fixture.settings), { mode: 0o755 });
  return fixture;
}

function program(path: string, version: string): void {
  Deno.writeTextFileSync(path, `#!/bin/sh\ncat <<'END'\n${version}\nEND\n`);
  Deno.chmodSync(path, 0o755);
}

/** The findings of `check`, message and hint, with the fixture's paths as `ROOT`. */
async function findings(fixture: Fixture): Promise<string[]> {
  const { printed } = await fixture.type("check --json");
  const { findings } = JSON.parse(printed.join("\n").replaceAll(fixture.root, "ROOT"));
  return findings.flatMap(({ message, hint }: { message: string; hint: string }) => [message, hint]);
}

Deno.test("check finds nothing wrong with a gate and its program", async () => {
  using fixture = installed();
  assertEquals(await findings(fixture), []);
});

Deno.test("check finds nothing wrong with a program that was copied to the gate's place", async () => {
  using fixture = installed();
  program(fixture.settings.programs[0]!, about(fixture.settings));
  assertEquals(await findings(fixture), []);
  Deno.removeSync(fixture.settings.gated);
  assertEquals(await findings(fixture), []);
});

Deno.test("check finds a gate without its program", async () => {
  using fixture = installed();
  Deno.removeSync(fixture.settings.gated);
  assertEquals(await findings(fixture), [
    'the hook calls "ROOT/autorevert", which is not there',
    "make install",
  ]);
});

Deno.test("check finds a gate whose program doesn't run", async () => {
  using fixture = installed();
  for (const text of ["#!/bin/sh\nexit 1\n", "#!/bin/sh\n"]) {
    Deno.writeTextFileSync(fixture.settings.gated, text);
    assertEquals(await findings(fixture), [
      'the hook calls "ROOT/autorevert", which doesn\'t tell its version',
      "see why: ROOT/autorevert --version; then make install",
    ]);
  }
});

Deno.test("check finds a gate, or its program, that can't be executed or that others can write", async () => {
  for (
    const [mode, wrong] of [
      [0o644, "is not marked as executable: guests start without it, or not at all"],
      [0o775, "can be written by others than root, and runs as root"],
    ] as const
  ) {
    for (const name of ["qemu", "autorevert"]) {
      using fixture = installed();
      Deno.chmodSync(`${fixture.root}/${name}`, mode);
      // An installation that finds that libvirt may not execute the gate switches it off.
      const hint = mode === 0o644 ? "make install" : `chmod 755 ROOT/${name}`;
      assertEquals(await findings(fixture), [`"ROOT/${name}" ${wrong}`, hint]);
    }
  }
});

const another = [
  '"ROOT/qemu" is another build than this command',
  "compare ROOT/qemu --version with autorevert --version, and install the one you want: make install",
];

Deno.test("check finds a gate of another build", async () => {
  using fixture = installed();
  const { programs: [hook], configFolder } = fixture.settings;
  Deno.writeTextFileSync(hook!, gate({ ...fixture.settings, configFolder: `${configFolder}.old` }));
  assertEquals(await findings(fixture), another);
});

Deno.test("check finds a program of another build behind a gate", async () => {
  using fixture = installed();
  program(fixture.settings.gated, "autorevert 0.0.1");
  assertEquals(await findings(fixture), another);
});

Deno.test("check finds a gate and a program that libvirt calls both", async () => {
  using fixture = installed();
  const second = `${fixture.root}/qemu.d`;
  fixture.settings = { ...fixture.settings, programs: [...fixture.settings.programs, second] };
  program(second, about(fixture.settings));
  assertEquals(await findings(fixture), [
    'the hook is installed twice, as "ROOT/qemu" and "ROOT/qemu.d"',
    "remove one: rm ROOT/qemu.d",
  ]);
});

Deno.test("check finds a copy of the gate that libvirt calls, too", async () => {
  using fixture = installed();
  const folder = `${fixture.root}/qemu.d`;
  const { programs: [hook] } = fixture.settings;
  fixture.settings = { ...fixture.settings, programs: [hook!, `${folder}/autorevert`] };
  program(fixture.settings.gated, about(fixture.settings));
  Deno.writeTextFileSync(hook!, gate(fixture.settings));
  Deno.mkdirSync(folder);
  const copy = `${folder}/autorevert~`;
  Deno.writeTextFileSync(copy, gate(fixture.settings), { mode: 0o644 });
  assertEquals(await findings(fixture), []);
  Deno.chmodSync(copy, 0o755);
  assertEquals(await findings(fixture), [
    'the hook is installed twice, as "ROOT/qemu" and "ROOT/qemu.d/autorevert~"',
    "remove one: rm 'ROOT/qemu.d/autorevert~'",
  ]);
});

Deno.test("check finds nothing wrong with a package, and names a package's command where something is", async () => {
  using fixture = installed();
  const { packaged, gated } = fixture.settings;
  Deno.renameSync(gated, packaged);
  assertEquals(await findings(fixture), []);
  Deno.writeTextFileSync(packaged, "#!/bin/sh\n");
  assertEquals(await findings(fixture), [
    'the hook calls "ROOT/packaged", which doesn\'t tell its version',
    "see why: ROOT/packaged --version; then install the package's file again: apt install --reinstall ./autorevert_*.deb, or: dnf reinstall ./autorevert-*.rpm",
  ]);
});

Deno.test("check finds another hook that reverts disks, too", async () => {
  using fixture = installed();
  const other = `${fixture.root}/other`;
  fixture.settings = { ...fixture.settings, programs: [other, ...fixture.settings.programs] };
  program(fixture.settings.gated, about(fixture.settings));
  Deno.writeTextFileSync(fixture.settings.programs[1]!, gate(fixture.settings));
  program(other, "");
  assertEquals(await findings(fixture), []);
  program(other, 'image += ".backing_file"');
  assertEquals(await findings(fixture), [
    '"ROOT/other" is another hook that reverts disks: both change the same images',
    "shut its guests down, then take it away: mv ROOT/other /root/",
  ]);
});

Deno.test("check finds a hook that reverts disks, and a copy of the program, under any name where libvirt runs all", async () => {
  using fixture = installed();
  const { programs: [hook] } = fixture.settings;
  const folder = `${fixture.root}/qemu.d`;
  fixture.settings = { ...fixture.settings, programs: [hook!, `${folder}/autorevert`] };
  program(fixture.settings.gated, about(fixture.settings) + " ".repeat(70_000));
  Deno.writeTextFileSync(hook!, gate(fixture.settings));
  Deno.mkdirSync(folder);
  assertEquals(await findings(fixture), []);
  program(`${folder}/50-revert`, 'image += ".backing_file"');
  assertEquals(
    (await findings(fixture))[0],
    '"ROOT/qemu.d/50-revert" is another hook that reverts disks: both change the same images',
  );
  Deno.copyFileSync(fixture.settings.gated, `${folder}/old`);
  assertEquals(
    (await findings(fixture))[0],
    'the hook is installed twice, as "ROOT/qemu" and "ROOT/qemu.d/old"',
  );
});

Deno.test("of a package's hook and another one check names the other one", async () => {
  using fixture = installed();
  const { programs: [hook], packaged, gated } = fixture.settings;
  const own = `${fixture.root}/qemu.d/autorevert`;
  fixture.settings = { ...fixture.settings, programs: [hook!, own] };
  Deno.renameSync(gated, packaged);
  program(packaged, about(fixture.settings));
  program(hook!, about(fixture.settings));
  Deno.mkdirSync(`${fixture.root}/qemu.d`);
  Deno.writeTextFileSync(own, gate(fixture.settings), { mode: 0o755 });
  assertEquals((await findings(fixture))[1], "remove one: rm ROOT/qemu");
});

Deno.test("enable says so where libvirt doesn't call the hook", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  fixture.hasHook = false;
  Deno.removeSync(fixture.configFile);
  const { code, said, printed } = await fixture.type("enable guest vda");
  assertEquals([code, printed], [0, ["guest vda: every start begins clean from now on"]]);
  assertEquals(
    said[0]!.replaceAll(fixture.root, ""),
    'warning: the hook is not installed: there is no "/qemu"',
  );
});
