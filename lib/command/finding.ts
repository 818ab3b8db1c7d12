/** Something that is wrong, or will be. */
export interface Finding {
  /**
   * An error keeps a guest from starting, or from being protected; a warning needs attention before it causes a failure; a
   * note says what nobody knows, and nothing is wrong by it.
   */
  readonly severity: "error" | "warning" | "note";
  readonly domain: string | null;
  readonly target: string | null;
  readonly message: string;
  /** The next thing to do. */
  readonly hint: string | null;
}

/** A finding about a guest's disk, about a guest, or about the host. */
export function finding(
  severity: Finding["severity"],
  { message, hint }: { readonly message: string; readonly hint?: string | undefined },
  domain: string | null = null,
  target: string | null = null,
): Finding {
  return { severity, domain, target, message, hint: hint ?? null };
}
