/** `parseArgs` of `@std/cli`, as far as it is used here, for networks that reach npm but not JSR. */
import { parseArgs as parse } from "node:util";

export function parseArgs(
  args: string[],
  { boolean }: { boolean: string[]; string: string[] },
): { _: string[]; [flag: string]: unknown } {
  const options = Object.fromEntries(
    boolean.map((flag) => [flag, { type: "boolean" as const, default: false }]),
  );
  const { positionals, values } = parse({ args, options, strict: false, allowPositionals: true });
  return { _: positionals, ...values };
}
