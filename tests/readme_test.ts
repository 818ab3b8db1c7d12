/** Both READMEs tell the same, and only of commands that there are. */

import { assert, assertEquals } from "@std/assert";
import { commandSpecs } from "../lib/command/commands.ts";
import { parseLine } from "../lib/command/arguments.ts";
import { isVerb, verbs } from "../lib/input/event.ts";

interface Readme {
  readonly text: string;
  /** The text without its fenced blocks. */
  readonly prose: string;
  readonly blocks: readonly string[];
  readonly spans: readonly string[];
}

function read(name: string): Readme {
  const text = Deno.readTextFileSync(new URL(`../${name}`, import.meta.url));
  const fences = /^```.*\n([^]*?)^```$/gm;
  const prose = text.replaceAll(fences, "");
  return {
    text,
    prose,
    blocks: [...text.matchAll(fences)].map(([, block]) => block!),
    spans: [...prose.matchAll(/`([^`]+)`/g)].map(([, span]) => span!.replaceAll(/\s+/g, " ")),
  };
}

const english = read("README.md");
const chinese = read("README.zh-CN.md");

function commandsIn({ spans }: Readme): string[] {
  const programs = ["autorevert", "make", "virsh", "qemu-img", "mv", "systemctl", "deno"];
  return [...new Set(spans.filter((span) => programs.includes(span.split(" ")[0]!)))].sort();
}

/** Levels of the headings and rows of the tables, in order. */
function outline({ prose }: Readme): (string | number)[] {
  return [...prose.matchAll(/^(#+) |^\|.*\n(?:\|.*\n)*/gm)]
    .map(([match, level]) => level ?? match.trimEnd().split("\n").length);
}

Deno.test("each README leads to the other at once", () => {
  assertEquals(english.text.split("\n")[2], "[中文](README.zh-CN.md)");
  assertEquals(chinese.text.split("\n")[2], "[English](README.md)");
});

Deno.test("both READMEs show the same blocks, commands, headings and tables", () => {
  assertEquals(chinese.blocks, english.blocks);
  assertEquals(commandsIn(chinese), commandsIn(english));
  assertEquals(outline(chinese), outline(english));
});

Deno.test("the READMEs show every command, and none that the command line would refuse", async () => {
  const options = ["dry-run", ...verbs.flatMap((verb) => Object.keys(commandSpecs[verb].options))];
  for (const { text, blocks, spans } of [english, chinese]) {
    for (const verb of verbs) assert(text.includes(`autorevert ${verb}`), verb);
    const typed = blocks.flatMap((block) => [...block.matchAll(/^\$ (?:sudo )?(autorevert .*)$/gm)]);
    const lines = [...spans, ...typed.map(([, line]) => line!)];
    for (const line of lines.filter((line) => line.startsWith("autorevert "))) {
      const words = line.split(" ").slice(1);
      if (words.length > 1 || !isVerb(words[0]!)) await parseLine(words);
    }
    for (const span of spans) if (span.startsWith("--")) assert(options.includes(span.slice(2)), span);
  }
});
