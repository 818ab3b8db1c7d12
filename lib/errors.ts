import { printable } from "./text.ts";

/**
 * Errors and hints: everything that an administrator reads of what went wrong comes through here.
 *
 * Rules for messages:
 * - `error:` says what failed and names guest, disk and path; values are quoted; no full stop at the end;
 * - what is, then what should be;
 * - `hint:` is the next thing to do, if possible a command that can be typed as it stands;
 * - nothing is said on standard output in an event: libvirt takes it for the domain's new XML.
 */

export interface ErrorDetails {
  /** The next thing to do. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /**
   * Whether trying again can help: `"event"` where the next start or end heals it,
   * `"person"` where somebody has to act first.
   */
  readonly healedBy?: "event" | "person";
  /** Whom it concerns: the guest, then the disk. */
  readonly subject?: readonly string[];
}

/** Something did not work, told so that an administrator can act on it. */
export class UserError extends Error {
  readonly hint: string | undefined;
  readonly healedBy: "event" | "person";
  readonly subject: readonly string[];

  constructor(message: string, { hint, cause, healedBy = "person", subject = [] }: ErrorDetails = {}) {
    super(message, { cause });
    this.name = "UserError";
    this.hint = hint;
    this.healedBy = healedBy;
    this.subject = subject;
  }
}

/** Adds whom the error concerns: first the disk, then the guest. */
export function withContext(name: string, error: unknown): UserError {
  const { message, hint, cause, healedBy, subject } = asUserError(error);
  return new UserError(message, {
    hint,
    cause,
    healedBy,
    subject: subject[0] === name ? subject : [name, ...subject],
  });
}

export function asUserError(error: unknown): UserError {
  if (error instanceof UserError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new UserError(printable(text), { cause: error });
}

/** The lines for standard error: one `error:`, and one `hint:` where there is something to do. */
export function messageLines({ message, hint, subject }: UserError): string[] {
  // A parser's message quotes what it stumbles over, line breaks and all.
  const error = printable(
    subject.length === 0 ? `error: ${message}` : `error: ${subject.join(" ")}: ${message}`,
  );
  return hint === undefined ? [error] : [error, `hint: ${hint}`];
}
