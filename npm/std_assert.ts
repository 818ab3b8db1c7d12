/** What the tests use of `@std/assert`, for networks that reach npm but not JSR. */
import { ok } from "node:assert";
export { deepStrictEqual as assertEquals, match as assertMatch, ok as assert } from "node:assert";

export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  ok(
    actual.includes(expected),
    message ?? `expected ${JSON.stringify(actual)} to include ${JSON.stringify(expected)}`,
  );
}
