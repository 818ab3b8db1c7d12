import type { Random } from "../../tests/random.ts";

/** What the program makes of an input. */
export type Answer = "taken" | "refused";

/** One part of the program that is given inputs. */
export interface Subject {
  readonly name: string;
  /** Its share of all inputs. */
  readonly share: number;
  /** Whether a part of an input, or two inputs mixed, are an input, too. */
  readonly mutable: boolean;
  /** Words worth putting somewhere in an input. */
  readonly words: readonly string[];
  /** An input by the grammar. */
  readonly make: (random: Random) => string;
  /** @throws if a promise is broken */
  readonly check: (input: string) => Answer | Promise<Answer>;
}

/** So many of something that is made one by one. */
export function several<T>(random: Random, most: number, make: () => T): T[] {
  return Array.from({ length: random.below(most + 1) }, make);
}
