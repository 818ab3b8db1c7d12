/** Tables of names that terminals draw wider or narrower than they are long. */

import { assertEquals } from "@std/assert";
import { unicodeWidth } from "@std/cli/unicode-width";
import { table } from "../lib/command/table.ts";

const widths: readonly (readonly [text: string, columns: number])[] = [
  ["", 0],
  ["win10", 5],
  ["虚拟机", 6],
  ["ｆｕｌｌ", 8],
  ["ｶﾀｶﾅ", 4],
  ["한글", 4],
  ["\u1112\u1161\u11ab", 2],
  ["e\u0301t\u00e9", 3],
  ["a\u200bb\u200dc\ufe0f", 3],
  ["\u00ad", 1],
  ["🦕", 2],
  ["👩‍💻", 4],
  ["\x1b\t\x7f", 0],
  ["אבג", 3],
  ["−→…█", 4],
];

Deno.test("a text has the columns that a terminal gives it", () => {
  assertEquals(widths.map(([text]) => [text, unicodeWidth(text)]), widths.map(([...pair]) => pair));
});

Deno.test("cells stand below each other, whatever they are made of", () => {
  const cells = widths.slice(1).map(([text]) => text);
  const lines = table([{ title: "DOMAIN", cells }, { title: "STATE", cells: cells.map(() => "|") }]);
  assertEquals(new Set(lines.map((line) => unicodeWidth(line.replace(/(STATE|\|)$/, "")))), new Set([10]));
});
