/** What a build says of places that it can't take. */

import { assertThrows } from "@std/assert";
import { settingsFrom } from "../build/build.ts";

Deno.test("a build for a mistyped folder says what it should be, and how it is forgotten", () => {
  assertThrows(
    () => settingsFrom((name) => name === "IMAGE_DIRS" ? "/srv/vm,srv/fast" : undefined),
    Error,
    'IMAGE_DIRS: is "srv/fast", should be an absolute path of letters, digits and ._@%+=:-\n' +
      "hint: give another, or forget those of the last build: make clean",
  );
});
