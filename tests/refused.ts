/** A start that must be refused: what is said, word for word, and that nothing has changed. */

import { assertEquals } from "@std/assert";
import { snapshot } from "./tree.ts";
import { type Circumstance, Fixture } from "./fixture.ts";

export interface Refused {
  /** What is wrong, as the end of "a start is refused if …". */
  readonly if: string;
  /** Makes it so, in a fixture with one good disk. */
  readonly arrange: (fixture: Fixture) => void;
  readonly how?: (fixture: Fixture) => Circumstance;
  /** The error's line, without `error: guest`; a pattern where foreign text is in it. */
  readonly error: (fixture: Fixture) => string | RegExp;
  readonly hint: (fixture: Fixture) => string | undefined;
}

export function testRefused(cases: readonly Refused[]): void {
  for (const { if: wrong, arrange, how, error, hint } of cases) {
    Deno.test(`a start is refused if ${wrong}`, async () => {
      using fixture = new Fixture();
      fixture.disks({ vda: false });
      arrange(fixture);
      const before = snapshot(fixture.images);
      const { code, said } = await fixture.event("prepare", "-", how?.(fixture));
      assertEquals(code, 1);
      checkSaid(said, error(fixture), hint(fixture));
      assertEquals(snapshot(fixture.images), before, "nothing has changed");

      assertEquals((await fixture.event("release", "failed")).said, [], "it is told once");
      assertEquals(snapshot(fixture.images), before, "nothing has changed at the end either");
      assertEquals(fixture.files(fixture.config).filter((name) => /session|starting/.test(name)), []);
    });
  }
}

export function checkSaid(said: readonly string[], error: string | RegExp, hint: string | undefined): void {
  const [first = "", ...rest] = said;
  // The guest, then the disk if it is one that has the trouble, then a colon.
  const what = first.replace(/^error: guest(?:: (?!\w+: )| (?=\w+: ))/, "");
  assertEquals(what !== first, true, first);
  if (error instanceof RegExp) assertEquals(error.test(what), true, `${what} should match ${error}`);
  else assertEquals(what, error);
  assertEquals(rest, hint === undefined ? [] : [`hint: ${hint}`]);
}
