/** A start that must be refused: what is said, word for word, and that nothing has changed. */

import { assertEquals } from "@std/assert";
import { snapshot } from "./tree.ts";
import { type Circumstance, World } from "./world.ts";

export interface Refused {
  /** What is wrong, as the end of "a start is refused if …". */
  readonly if: string;
  /** Makes it so, in a world with one good disk. */
  readonly arrange: (world: World) => void;
  readonly how?: (world: World) => Circumstance;
  /** The error's line, without `error: guest`; a pattern where foreign text is in it. */
  readonly error: (world: World) => string | RegExp;
  readonly hint: (world: World) => string | undefined;
}

export function testRefused(cases: readonly Refused[]): void {
  for (const { if: wrong, arrange, how, error, hint } of cases) {
    Deno.test(`a start is refused if ${wrong}`, async () => {
      using world = new World();
      world.disks({ vda: false });
      arrange(world);
      const before = snapshot(world.images);
      const { code, said } = await world.event("prepare", "-", how?.(world));
      assertEquals(code, 1);
      checkSaid(said, error(world), hint(world));
      assertEquals(snapshot(world.images), before, "nothing has changed");

      assertEquals((await world.event("release", "failed")).said, [], "it is told once");
      assertEquals(snapshot(world.images), before, "nothing has changed at the end either");
      assertEquals(world.files(world.config).filter((name) => /session|starting/.test(name)), []);
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
