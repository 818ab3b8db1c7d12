/**
 * What administrators type and see, as they typed and saw it: `transcripts/*.txt`.
 *
 * A line `$ …` is a command; below it stands what it prints on both outputs, and `[1]` for an exit code that isn't 0.
 * `…` stands for anything on a line; `#` begins a comment.
 */

import { assert, assertEquals } from "@std/assert";
import * as libvirt from "./libvirt.ts";
import { CONFIG, cutPower, Guest, LOG, ok, run } from "./libvirt.ts";

Deno.test.beforeAll(libvirt.startLibvirtd);
Deno.test.afterAll(() => libvirt.stopLibvirtd("SIGKILL"));

interface Exchange {
  readonly command: string;
  readonly expected: readonly string[];
}

function parse(text: string): Exchange[] {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const exchanges: { command: string; expected: string[] }[] = [];
  for (const line of lines) {
    if (line.startsWith("$ ")) exchanges.push({ command: line.slice(2), expected: [] });
    else exchanges.at(-1)!.expected.push(line);
  }
  return exchanges;
}

function matches(line: string, pattern: string): boolean {
  const parts = pattern.split("…").map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(line);
}

const folder = new URL("transcripts/", import.meta.url);

for (const { name } of [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  Deno.test(`transcript ${name}`, async () => {
    // A new serial file, too: libvirt remembers whom it gave the old one.
    await ok("sh", "-c", `rm -rf ${CONFIG}/* ${LOG} /run/win10.serial`);
    await Guest.define("win10", { stay: true });
    for (const { command, expected } of parse(await Deno.readTextFile(new URL(name, folder)))) {
      if (command === "the power fails") {
        await cutPower();
        continue;
      }
      const { code, stdout, stderr } = await run("sh", "-c", command);
      const lines = `${stdout}${stderr}`.split("\n").filter(Boolean);
      const seen = code === 0 ? lines : [...lines, `[${code}]`];
      const told = `$ ${command}\n${seen.join("\n")}`;
      assertEquals(seen.length, expected.length, told);
      for (const [index, line] of seen.entries()) assert(matches(line, expected[index]!), told);
    }
  });
}
