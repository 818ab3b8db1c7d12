import { assertEquals } from "@std/assert";
import { linesOf } from "../lib/command/log.ts";
import { Fixture } from "./fixture.ts";

const time = "2026-11-23 02:14:49.000+0000: ";
const lines = [
  "guest vda: new session: every start begins clean",
  'error: guest vda: there is no image "/x.img"',
  "hint: restore it",
  "guest vda vdb: commit: asked for",
  "guest: note a fresh start",
  "guest2: note a fresh start",
  "error: guest2: something",
  "hint: of guest2",
  "other: guest: no",
  "a.c vda: new session",
  "abc vda: new session",
].map((line) => time + line);

function fixtureWithLog(): Fixture {
  const fixture = new Fixture().disks({ vda: false });
  Deno.writeTextFileSync(fixture.settings.log, lines.join("\n") + "\n");
  return fixture;
}

Deno.test("log prints all lines, or those of one guest with their hints", async () => {
  using fixture = fixtureWithLog();
  assertEquals((await fixture.type("log")).printed, lines);
  assertEquals((await fixture.type("log guest")).printed, lines.slice(0, 5));
  assertEquals(lines.filter(linesOf("guest2")), lines.slice(5, 8));
  assertEquals(lines.filter(linesOf("a.c")), [lines[9]]);
});

Deno.test("log of a guest that nobody knows is met halfway", async () => {
  using fixture = fixtureWithLog();
  const { code, printed, said } = await fixture.type("log gues");
  assertEquals([code, printed, said], [1, [], [
    'error: the log tells nothing of "gues"; there are "guest"',
    'hint: did you mean "guest"?',
  ]]);
});

Deno.test("log of a host on which nothing has happened is empty", async () => {
  using fixture = new Fixture().disks({ vda: false });
  assertEquals((await fixture.type("log")).printed, []);
  assertEquals((await fixture.type("log guest")).code, 0);
});
