import { assert, assertEquals } from "@std/assert";
import { asUserError, messageLines, UserError, withContext } from "../lib/errors.ts";
import { listed, nearest, printable, quoted, shellWord } from "../lib/text.ts";

Deno.test("an error says whom it concerns and keeps hint, cause and healing", () => {
  const cause = new Error("deep");
  const trouble = withContext(
    "guest",
    withContext("vda", new UserError("broken", { hint: "mend it", cause, healedBy: "event" })),
  );
  assertEquals(messageLines(trouble), ["error: guest vda: broken", "hint: mend it"]);
  assertEquals(trouble.cause, cause);
  assertEquals(trouble.healedBy, "event");
});

Deno.test("an error without a hint is one line", () => {
  assertEquals(messageLines(withContext("guest", new Error("broken\nin two"))), [
    "error: guest: broken in two",
  ]);
  assertEquals(messageLines(asUserError("text")), ["error: text"]);
  assertEquals(asUserError(null).healedBy, "person");
});

Deno.test("no value can forge a line", () => {
  for (const forged of ["a\nb", "a\rb", "a\u0085b", "a\u2028b", "a\u001b[31mb", "a\u0000b"]) {
    // deno-lint-ignore no-control-regex
    const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
    assert(!control.test(quoted(forged)), JSON.stringify(quoted(forged)));
    assert(!control.test(printable(forged)));
    assert(!control.test(shellWord(forged)));
    assert(!control.test(messageLines(new UserError(forged)).join()));
  }
});

Deno.test("values are quoted, and cut where they are long", () => {
  assertEquals(quoted('a "b" c'), '"a \\"b\\" c"');
  assertEquals(quoted(undefined), "undefined");
  assertEquals(quoted({ a: 1 }), '{"a":1}');
  assertEquals(quoted("x".repeat(1000)).length, 201);
  assertEquals(listed(["a", "b"]), '"a", "b"');
  assertEquals(listed([]), "none");
});

Deno.test("a shell takes a word as the one that was meant", () => {
  const words = [
    ...["plain", "/a/b.img", "a b", "it's", "-rf", "$HOME", "`id`", 'a"b', "a;b", "a\\b", "中文", "*", ""],
    ...["a\nb\n", "\u0085'\\\t"],
  ];
  // Debian's sh doesn't know yet what POSIX says of control characters since 2024.
  const { stdout } = new Deno.Command("bash", {
    args: ["-c", `printf '%s\\0' ${words.map(shellWord).join(" ")}`],
  }).outputSync();
  assertEquals(new TextDecoder().decode(stdout).split("\0").slice(0, -1), words);
  assertEquals(shellWord("/a/b.img"), "/a/b.img");
});

Deno.test("a slip of the finger is guessed, and nothing else", () => {
  const known = ["one-shot-commit", "target"];
  assertEquals(nearest("one-shot-comit", known), "one-shot-commit");
  assertEquals(nearest("One-Shot-Commit", known), "one-shot-commit");
  assertEquals(nearest("oneshotcommit", known), "one-shot-commit");
  assertEquals(nearest("tarjet", known), "target");
  assertEquals(nearest("colour", known), undefined);
  assertEquals(nearest("vda", []), undefined);
});
