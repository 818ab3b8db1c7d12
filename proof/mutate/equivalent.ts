/** Mutants that no test can tell from the program, and why. */
export const equivalent: Readonly<Record<string, string>> = {};
