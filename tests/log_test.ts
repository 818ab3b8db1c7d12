import { assertEquals } from "@std/assert";
import { linesOf } from "../lib/command/log.ts";
import { World } from "./world.ts";

const time = "2026-11-23 02:14:49.000+0000: ";
const lines = [
  "guest vda: freeze: every start begins clean",
  'error: guest vda: there is no image "/x.img"',
  "hint: restore it",
  "guest vda vdb: commit: asked for",
  "guest: note a fresh start",
  "guest2: note a fresh start",
  "error: guest2: something",
  "hint: of guest2",
  "other: guest: no",
  "a.c vda: freeze",
  "abc vda: freeze",
].map((line) => time + line);

function worldWithLog(): World {
  const world = new World();
  world.disks({ vda: false });
  Deno.writeTextFileSync(world.settings.log, lines.join("\n") + "\n");
  return world;
}

Deno.test("log prints all lines, or those of one guest with their hints", async () => {
  using world = worldWithLog();
  assertEquals((await world.type(["log"])).printed, lines);
  assertEquals((await world.type(["log", "guest"])).printed, lines.slice(0, 5));
  assertEquals(lines.filter(linesOf("guest2")), lines.slice(5, 8));
  assertEquals(lines.filter(linesOf("a.c")), [lines[9]]);
});

Deno.test("log of a guest that nobody knows is met halfway", async () => {
  using world = worldWithLog();
  const { code, printed, said } = await world.type(["log", "gues"]);
  assertEquals([code, printed, said], [1, [], [
    'error: the log tells nothing of "gues"; there are "guest"',
    'hint: did you mean "guest"?',
  ]]);
});

Deno.test("log of a host on which nothing has happened is empty", async () => {
  using world = new World();
  world.disks({ vda: false });
  assertEquals((await world.type(["log"])).printed, []);
  assertEquals((await world.type(["log", "guest"])).code, 0);
});
