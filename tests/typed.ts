/** What an administrator types, and reads then. In what is read a fixture's paths are `IMAGE` and `ROOT`. */

import { assertEquals } from "@std/assert";
import { withoutPaths } from "./refused.ts";
import type { Fixture } from "./fixture.ts";

/** A command that succeeds prints these lines, and says nothing on standard error. */
export async function checkPrints(fixture: Fixture, line: string, lines: readonly string[]): Promise<void> {
  const { code, printed, said } = await fixture.type(line);
  assertEquals([code, printed.map((line) => withoutPaths(line, fixture)), said], [0, lines, []]);
}

/** One that fails says these lines, and prints nothing. */
export async function checkFails(
  fixture: Fixture,
  line: string,
  lines: readonly string[],
  exit = 1,
): Promise<void> {
  const { code, printed, said } = await fixture.type(line);
  assertEquals([code, printed, said.map((line) => withoutPaths(line, fixture))], [exit, [], lines]);
}
