import { printable } from "./text.ts";

/**
 * The one mouth: everything an administrator reads comes through here.
 *
 * Rules of the voice:
 * - `error:` says what failed and names guest, disk and path; values are quoted; no full stop at the end;
 * - what is, then what should be;
 * - `hint:` is the next thing to do, if possible a command that can be typed as it stands;
 * - nothing is said on standard output in an event: libvirt takes it for the domain's new XML.
 */

export interface Detail {
  /** The next thing to do. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /**
   * Whether trying again can help: `"event"` where the next start or end heals it by itself,
   * `"person"` where somebody has to act first.
   */
  readonly heals?: "event" | "person";
  /** Whom it concerns: the guest, then the disk. */
  readonly whom?: readonly string[];
}

/** Something did not work, told so that an administrator can act on it. */
export class Trouble extends Error {
  readonly hint: string | undefined;
  readonly heals: "event" | "person";
  readonly whom: readonly string[];

  constructor(message: string, { hint, cause, heals = "person", whom = [] }: Detail = {}) {
    super(message, { cause });
    this.name = "Trouble";
    this.hint = hint;
    this.heals = heals;
    this.whom = whom;
  }
}

/** Adds whom the trouble concerns: first the disk, then the guest. */
export function concerning(name: string, error: unknown): Trouble {
  const { message, hint, cause, heals, whom } = asTrouble(error);
  return new Trouble(message, { hint, cause, heals, whom: whom[0] === name ? whom : [name, ...whom] });
}

export function asTrouble(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new Trouble(printable(text), { cause: error });
}

/** The lines for standard error: one `error:`, and one `hint:` where there is something to do. */
export function spoken({ message, hint, whom }: Trouble): string[] {
  // A parser's message quotes what it stumbles over, line breaks and all.
  const error = printable(whom.length === 0 ? `error: ${message}` : `error: ${whom.join(" ")}: ${message}`);
  return hint === undefined ? [error] : [error, `hint: ${hint}`];
}
