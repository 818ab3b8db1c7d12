import { assert } from "@std/assert";
import { messageLines, UserError } from "../../lib/errors.ts";

/** What the program throws is told to an administrator: what it is about, and no line that something else forged. */
export function checkUserError(error: unknown, about = ""): void {
  if (!(error instanceof UserError)) throw error;
  assert(error.message.includes(about), `names ${about}: ${error.message}`);
  for (const line of messageLines(error)) checkLine(line);
}

export function checkLine(line: string): void {
  assert(
    // deno-lint-ignore no-control-regex
    !/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(line),
    `a line has a control character: ${JSON.stringify(line)}`,
  );
}
