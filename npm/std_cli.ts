/** `parseArgs` of `@std/cli`, as far as it is used here, for networks that reach npm but not JSR. */
import { parseArgs as parse } from "node:util";

/** Of `--word` and `-letters` only: what takes a value, or the place of a word, is treated otherwise. */
export function parseArgs(
  args: readonly string[],
  { boolean, unknown }: { boolean: string[]; unknown: (arg: string, option?: string) => unknown },
): Record<string, unknown> {
  const options = Object.fromEntries(boolean.map((flag) => [flag, { type: "boolean" as const }]));
  const { tokens } = parse({ args: [...args], options, strict: false, tokens: true });
  const given: Record<string, unknown> = { _: [] };
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    if (Object.hasOwn(options, token.name)) given[token.name] = true;
    else unknown(args[token.index]!, token.name);
  }
  return { ...Object.fromEntries(boolean.map((flag) => [flag, false])), ...given };
}
