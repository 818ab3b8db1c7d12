/** What `check` finds of a hook that is a gate. */

import { assertEquals } from "@std/assert";
import { about } from "../lib/command/help.ts";
import { gate } from "../lib/hook/gate.ts";
import { defaults } from "../lib/settings.ts";
import { World } from "./world.ts";

/** A host as `make install` leaves it. */
function installed(): World {
  const world = new World();
  world.disks({ vda: false });
  world.define();
  const gated = `${world.root}/autorevert`;
  world.settings = { ...world.settings, qemuImg: defaults.qemuImg, gated };
  program(gated, about(world.settings));
  Deno.writeTextFileSync(world.settings.programs[0]!, gate(world.settings), { mode: 0o755 });
  return world;
}

function program(path: string, version: string): void {
  Deno.writeTextFileSync(path, `#!/bin/sh\ncat <<'END'\n${version}\nEND\n`);
  Deno.chmodSync(path, 0o755);
}

/** The findings of `check`, message and hint, with the world's paths as `ROOT`. */
async function findings(world: World): Promise<string[]> {
  const { printed } = await world.type(["check", "--json"]);
  const { findings } = JSON.parse(printed.join("\n").replaceAll(world.root, "ROOT"));
  return findings.flatMap(({ message, hint }: { message: string; hint: string }) => [message, hint]);
}

Deno.test("check finds nothing wrong with a gate and its program", async () => {
  using world = installed();
  assertEquals(await findings(world), []);
});

Deno.test("check finds nothing wrong with a program that was copied to the gate's place", async () => {
  using world = installed();
  program(world.settings.programs[0]!, about(world.settings));
  assertEquals(await findings(world), []);
  Deno.removeSync(world.settings.gated);
  assertEquals(await findings(world), []);
});

Deno.test("check finds a gate without its program", async () => {
  using world = installed();
  Deno.removeSync(world.settings.gated);
  assertEquals(await findings(world), [
    'the hook calls "ROOT/autorevert", which is not there',
    "make install",
  ]);
});

Deno.test("check finds a gate whose program doesn't run", async () => {
  using world = installed();
  for (const text of ["#!/bin/sh\nexit 1\n", "#!/bin/sh\n"]) {
    Deno.writeTextFileSync(world.settings.gated, text);
    assertEquals(await findings(world), [
      'the hook calls "ROOT/autorevert", which doesn\'t tell its version',
      "see why: ROOT/autorevert --version; then make install",
    ]);
  }
});

Deno.test("check finds a gate, or its program, that can't be executed or that others can write", async () => {
  for (
    const [mode, wrong] of [
      [0o644, "can't be executed"],
      [0o775, "can be written by others than root, and runs as root"],
    ] as const
  ) {
    for (const name of ["qemu", "autorevert"]) {
      using world = installed();
      Deno.chmodSync(`${world.root}/${name}`, mode);
      assertEquals(await findings(world), [`"ROOT/${name}" ${wrong}`, `chmod 755 ROOT/${name}`]);
    }
  }
});

const another = [
  '"ROOT/qemu" is another build than this command',
  "compare ROOT/qemu --version with autorevert --version, and install the one you want: " +
  "make install, or by hand: install -m 755 dist/qemu ROOT/qemu",
];

Deno.test("check finds a gate of another build", async () => {
  using world = installed();
  const { programs: [hook], configFolder } = world.settings;
  Deno.writeTextFileSync(hook!, gate({ ...world.settings, configFolder: `${configFolder}.old` }));
  assertEquals(await findings(world), another);
});

Deno.test("check finds a program of another build behind a gate", async () => {
  using world = installed();
  program(world.settings.gated, "autorevert 0.0.1");
  assertEquals(await findings(world), another);
});

Deno.test("check finds a gate and a program that libvirt calls both", async () => {
  using world = installed();
  const second = `${world.root}/qemu.d`;
  world.settings = { ...world.settings, programs: [...world.settings.programs, second] };
  program(second, about(world.settings));
  assertEquals(await findings(world), [
    'the hook is installed twice, as "ROOT/qemu" and "ROOT/qemu.d"',
    "remove one: rm ROOT/qemu.d",
  ]);
});
