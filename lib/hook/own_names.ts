import type { EventContext } from "./context.ts";
import { asUserError } from "../errors.ts";
import type { Step } from "../state/step.ts";

/** Takes a step of the start, and remembers the name that it makes: a start that fails takes back no other. */
export async function takeOwn(
  subject: string,
  step: Step,
  own: Set<string>,
  { run }: EventContext,
): Promise<void> {
  const made = step.kind === "link" || step.kind === "rename" || step.kind === "copy"
    ? step.to
    : step.kind === "create"
    ? step.overlay
    : undefined;
  try {
    await run.take(subject, [step]);
  } catch (error) {
    // What is there already is another host's. Whatever else went wrong, the name may have been made.
    const isThere = asUserError(error).cause instanceof Deno.errors.AlreadyExists;
    if (made !== undefined && !isThere) own.add(made);
    throw error;
  }
  if (made !== undefined) own.add(made);
}
