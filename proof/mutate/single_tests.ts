/**
 * Runs single tests of the program in one process: a line on standard input asks for each, a line on standard output answers.
 *
 * Its argument is a mutant that lives from the start, as those of a table must. The others live while a test runs.
 */

import { type Answer, linesOf, type Question } from "./runner.ts";

// They are meant for the mutants; the tests have others of that name.
for (const name of ["EVERY", "SEED"]) Deno.env.delete(name);

const first = Deno.args[0] === undefined ? undefined : Number(Deno.args[0]);
let living = first;
const reached = new Set<number>();
const strays: string[] = [];
let tests = new Map<string, () => unknown>();
const files = new Map<string, typeof tests>();

function replace(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value });
}

replace(globalThis, "isMutant", (mutant: number) => {
  reached.add(mutant);
  return mutant === living;
});
replace(Deno, "test", (name: string, ...more: unknown[]) => tests.set(name, more.at(-1) as () => unknown));
// What a killed test leaves goes with the program's folder.
const { makeTempDirSync } = Deno;
const folder = Deno.cwd();
replace(
  Deno,
  "makeTempDirSync",
  (options?: Deno.MakeTempOptions) =>
    makeTempDirSync(options?.dir === "/dev/shm" ? { ...options, dir: `${folder}/left` } : options),
);
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  strays.push(String(event.reason));
});

async function testsOf(file: string): Promise<typeof tests> {
  const known = files.get(file);
  if (known) return known;
  files.set(file, tests = new Map());
  await import(`../../${file}`);
  return tests;
}

async function answer({ file, test, mutant }: Question): Promise<Answer> {
  reached.clear();
  strays.length = 0;
  let began = performance.now();
  try {
    const known = await testsOf(file);
    if (test === undefined) return { names: [...known.keys()], reached: [...reached], seconds: 0 };
    reached.clear();
    began = performance.now();
    living = first ?? mutant;
    await known.get(test)!();
  } catch (error) {
    strays.unshift(String(error));
  }
  living = first;
  return { failure: strays[0], reached: [...reached], seconds: (performance.now() - began) / 1000 };
}

for await (const line of linesOf(Deno.stdin.readable)) {
  console.log(`\n@${JSON.stringify(await answer(JSON.parse(line)))}`);
}
Deno.exit();
