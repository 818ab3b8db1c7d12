/** `unicodeWidth` of `@std/cli`, for networks that reach npm but not JSR. */
export { default as unicodeWidth } from "string-width";
