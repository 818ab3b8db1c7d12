/** What the tests use of `@std/assert`, for networks that reach npm but not JSR. */
import { deepStrictEqual, ok } from "node:assert";
export { match as assertMatch, ok as assert } from "node:assert";

// deno-lint-ignore no-explicit-any
type Class<E extends Error> = abstract new (...args: any[]) => E;

export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  deepStrictEqual(actual, expected, message);
}

export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  ok(
    actual.includes(expected),
    message ?? `expected ${JSON.stringify(actual)} to include ${JSON.stringify(expected)}`,
  );
}

export function assertThrows<E extends Error>(call: () => unknown, kind: Class<E>, includes = ""): E {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  return checked(thrown, kind, includes);
}

export async function assertRejects<E extends Error>(
  call: () => PromiseLike<unknown>,
  kind: Class<E>,
  includes = "",
): Promise<E> {
  return checked(await call().then(() => undefined, (error: unknown) => error), kind, includes);
}

function checked<E extends Error>(thrown: unknown, kind: Class<E>, includes: string): E {
  ok(thrown instanceof kind, `expected ${kind.name} to be thrown, got ${thrown}`);
  assertStringIncludes(thrown.message, includes);
  return thrown;
}
