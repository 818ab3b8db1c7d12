/** The program on a terminal, and off it. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { qemuIo } from "./qemu.ts";
import { fixtureWithDisk, install } from "./program.ts";
import type { Fixture } from "./fixture.ts";

/** Runs a command line of sh on a terminal of so many columns. */
async function onTerminal(
  command: string,
  columns: number,
  env: Record<string, string> = {},
): Promise<string> {
  const { NO_COLOR: _, ...inherited } = Deno.env.toObject();
  const { stdout } = await new Deno.Command("script", {
    args: ["-qec", `stty cols ${columns}; ${command}`, "/dev/null"],
    env: { ...inherited, TERM: "xterm", ...env },
    clearEnv: true,
    stdin: "null",
  }).output();
  return new TextDecoder().decode(stdout);
}

async function runningWorld(): Promise<Fixture> {
  const fixture = fixtureWithDisk();
  fixture.define();
  await fixture.start();
  return fixture;
}

Deno.test("status has colours on a terminal, unless NO_COLOR is set, and keeps to its width or to COLUMNS", async () => {
  using fixture = await runningWorld();
  const command = `${install(fixture)} status`;
  const coloured = await onTerminal(command, 70);
  assertStringIncludes(coloured, "\x1b[33munclean shutdown;");
  const plain = await onTerminal(command, 70, { NO_COLOR: "1" });
  assertEquals(plain.includes("\x1b["), false);
  assertEquals(plain.trimEnd().split("\r\n").length > 2, true);
  for (const line of plain.split("\r\n")) assert(line.length <= 70, line);
  const piped = await onTerminal(`${command} | cat`, 60);
  assertEquals([piped.includes("\x1b["), piped.trimEnd().split("\r\n").length], [false, 2]);
  for (const [columns, most] of [["70", 70], ["90", 90]] as const) {
    const narrow = await onTerminal(`${command} | cat`, 70, { COLUMNS: columns });
    const lines = narrow.trimEnd().split("\r\n");
    assertEquals([lines.length > 2, lines.every((line) => line.length <= most)], [true, true], narrow);
  }
  for (const columns of ["", "0", "wide", "-5"]) {
    assertEquals(await onTerminal(`${command} | cat`, 70, { COLUMNS: columns }), piped);
  }
});

Deno.test("merge draws how far it is on a terminal, and prints only the answer", async () => {
  using fixture = fixtureWithDisk();
  fixture.define();
  await fixture.start();
  qemuIo(["write", "-P", "7", "0", "512k"], fixture.vda);
  await fixture.event("release", "shutdown", { mergeDies: true });
  const program = install(fixture);
  const seen = await onTerminal(`${program} merge guest 2>/dev/tty > ${fixture.root}/answer`, 60);
  assertStringIncludes(seen, "guest vda: merging, 100 % [###");
  for (const line of seen.split("\r\x1b[K")) assert(line.length <= 60, line);
  assertEquals(Deno.readTextFileSync(`${fixture.root}/answer`), "guest: nothing is left to merge\n");
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("log -f prints what comes, also after the log was rotated", async () => {
  using fixture = fixtureWithDisk();
  const { log } = fixture.settings;
  const line = (text: string) => `2026-11-23 02:14:49.000+0000: ${text}\n`;
  Deno.writeTextFileSync(log, line("guest: one"));
  const child = new Deno.Command(install(fixture), { args: ["log", "guest", "-f"], stdout: "piped" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const next = async () => (await reader.read()).value;
  assertEquals(await next(), line("guest: one"));
  Deno.writeTextFileSync(log, line("other: two") + line("guest: three"), { append: true });
  assertEquals(await next(), line("guest: three"));
  Deno.renameSync(log, `${log}.1`);
  Deno.writeTextFileSync(log, line("guest: four"));
  assertEquals(await next(), line("guest: four"));
  child.kill();
  await child.status;
  await reader.cancel();
});
