/** `unicodeWidth` of `@std/cli`, for networks that reach npm but not JSR: each code point by itself, by Unicode 15. */
import { eastAsianWidth } from "get-east-asian-width";

/** What a terminal draws onto the letter before, or not at all: marks, controls, and the later parts of a Hangul syllable. */
const nothing = /^(?!\xad)[\p{Mn}\p{Me}\p{Cc}\p{Cf}\u1160-\u11ff]$/v;

export function unicodeWidth(text: string): number {
  return [...text].reduce(
    (sum, letter) => sum + (nothing.test(letter) ? 0 : eastAsianWidth(letter.codePointAt(0)!)),
    0,
  );
}
