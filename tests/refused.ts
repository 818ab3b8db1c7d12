/** A start that must be refused: what is said, word for word, and that nothing has changed. */

import { assertEquals } from "@std/assert";
import { snapshot } from "./tree.ts";
import { type Circumstance, Fixture } from "./fixture.ts";

export interface Refused {
  /** What is wrong, as the end of "a start is refused if …". */
  readonly if: string;
  /** Makes it so, in a fixture with one good disk. */
  readonly arrange?: (fixture: Fixture, image: string) => void;
  readonly how?: (fixture: Fixture) => Circumstance;
  /** The error's line, without `error: guest`; a pattern where foreign text is in it. The image's path is `IMAGE` in both lines. */
  readonly error: string | RegExp;
  readonly hint?: string;
}

export function testRefused(cases: readonly Refused[]): void {
  for (const { if: wrong, arrange, how, error, hint } of cases) {
    Deno.test(`a start is refused if ${wrong}`, async () => {
      using fixture = new Fixture().disks({ vda: false });
      arrange?.(fixture, fixture.vda);
      const before = snapshot(fixture.images);
      const { code, said } = await fixture.event("prepare", "-", how?.(fixture));
      assertEquals(code, 1);
      checkSaid(said.map((line) => withoutPaths(line, fixture)), error, hint);
      assertEquals(snapshot(fixture.images), before, "nothing has changed");

      assertEquals((await fixture.event("release", "failed")).said, [], "it is told once");
      assertEquals(snapshot(fixture.images), before, "nothing has changed at the end either");
      assertEquals(fixture.files(fixture.config).filter((name) => /session|starting/.test(name)), []);
    });
  }
}

/** The text with a fixture's paths as `IMAGE`, that of its first disk, and below `ROOT`. */
export function withoutPaths(text: string, fixture: Fixture): string {
  return text.replaceAll(fixture.vda, "IMAGE").replaceAll(fixture.root, "ROOT");
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
