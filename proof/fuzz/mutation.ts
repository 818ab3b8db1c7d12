import type { Random } from "../../tests/random.ts";

/** An input that is like another, but for a few places. */
export function mutated(random: Random, input: string, words: readonly string[], other: string): string {
  let text = input;
  for (let times = random.below(3); times >= 0; times--) text = change(random, text, words, other);
  return text;
}

const characters = [
  "\0",
  "\n",
  "\r",
  "\t",
  "\u007f",
  "\u0085",
  "\u2028",
  "\ufeff",
  "\ud800",
  "𝄞",
  "中",
  "'",
  '"',
  "<",
  "\\",
];

function change(random: Random, text: string, words: readonly string[], other: string): string {
  const from = random.below(text.length + 1);
  const to = Math.min(text.length, from + random.below(random.chance(0.2) ? text.length + 1 : 8));
  const [before, part, after] = [text.slice(0, from), text.slice(from, to), text.slice(to)];
  switch (random.below(9)) {
    case 0:
      return before + after;
    case 1:
      return before + part + part + after;
    case 2:
      return before + part.repeat(random.below(50)) + after;
    case 3:
      return before + random.one(characters) + after;
    case 4:
      return before + random.one(words) + after;
    case 5:
      return before + random.one(words) + part + after;
    case 6:
      return before + other.slice(random.below(other.length + 1));
    case 7:
      return before + String.fromCharCode((text.charCodeAt(from) || 0) ^ (1 << random.below(7))) +
        text.slice(from + 1);
    default:
      return before;
  }
}
