/**
 * Small faults put into the program on purpose, one at a time: a test has to fail at each.
 *
 * `EVERY=20` tries one of twenty, `ONLY` those whose name has a word. `SHORT=1` runs the quick tests alone: for 20 seconds, on one of a hundred,
 * always the same unless `SEED` says otherwise; with `EVERY=1` on all of them, and tells which need a slow test.
 */

import { Copy } from "./mutate/copy.ts";
import { equivalent } from "./mutate/equivalent.ts";
import { actionMutants, type Mutant, tableMutants } from "./mutate/mutant.ts";
import { Trial } from "./mutate/trial.ts";
import { decidesTheSame } from "./mutate/verdicts.ts";
import { randomly } from "../tests/random.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
/** Many a test waits for the clock. */
const WORKERS = Number(Deno.env.get("WORKERS") ?? 4 * navigator.hardwareConcurrency);
const SHORT = Deno.env.get("SHORT") === "1";
const EVERY = Number(Deno.env.get("EVERY"));
const IS_SAMPLE = SHORT && !EVERY;
const SHARE = 1 / (EVERY || (SHORT ? 100 : 1));
const SEED = Number(Deno.env.get("SEED") ?? (SHORT ? 1 : Date.now() % 1_000_000));

/** Seconds that a sample takes. */
const A_SAMPLE = 20;

/** Mutants are shown to so many test files, and what is left to twice as many: most are killed by the first. */
const FIRST = 8;

/** The tests that take minutes: they are tried where no quick one fails. */
const slow = [
  ["firmware_loss"],
  ["crash"],
  ["cut_twice_crash", "firmware_crash"],
  ["command_crash", "model", "interleave"],
  ["two_guests_model", "two_hosts_model", "two_hosts_pool_model"],
  ["pool_crash", "pool_interleave", "pool_model"],
].map((names) => names.map((name) => `tests/${name}_test.ts`));

/** Those that hold a page against the program: they fail at each other table, whether right or wrong. */
const pages = ["tests/architecture_test.ts"];

const tables = Object.keys(decidesTheSame);
/** The tests that name what the tables decide, case by case. */
const cases = ["tests/decisions_test.ts", "tests/seat_test.ts"];
const actions = [
  ...[
    "transitions",
    "merge_transitions",
    "master_transitions",
    "prepare_plan",
    "release_plan",
    "commit_plan",
    "recovery",
    "records_at_prepare",
    "records_at_release",
    "firmware",
    "firmware_commits",
    "seat",
    "seat_transitions",
    "records_of_seats",
    "observed_disk",
  ].map((name) => `lib/state/${name}.ts`),
  ...["perform", "run", "files", "locks"].map((name) => `lib/host/${name}.ts`),
  ...[
    "prepare",
    "decide_start",
    "begin_sessions",
    "undo_start",
    "start_kind",
    "checked_recovery",
    "flags",
    "started",
    "release",
    "ended",
    "merge",
    "merge_choice",
    "merge_checks",
    "decide",
    "observe",
    "kept_commits",
    "layer_writes",
    "misplaced_image",
  ].map((name) => `lib/hook/${name}.ts`),
  ...[
    "master_mark",
    "new_firmware",
    "seat_claims",
    "seat_decide",
    "seat_firmware",
    "seat_guest",
    "seat_layer",
    "seat_masters",
    "seat_prepare",
    "seat_release",
    "standing",
  ].map((name) => `lib/hook/${name}.ts`),
];

function allMutants(): Mutant[] {
  const sourceOf = (file: string) => Deno.readTextFileSync(`${ROOT}/${file}`);
  const all = [
    ...tables.flatMap((table) => tableMutants(table, sourceOf(table))),
    ...actions.flatMap((file) => actionMutants(file, sourceOf(file))),
  ];
  // What is there twice in a function is told apart by its place in it.
  return [...Map.groupBy(all, keyOf).values()].flatMap((alike) =>
    alike.map((mutant, index) => index === 0 ? mutant : { ...mutant, name: `${mutant.name} (${index + 1})` })
  );
}

function keyOf({ file, name }: Mutant): string {
  return `${file}: ${name}`;
}

const random = randomly(SEED);
const only = Deno.env.get("ONLY") ?? "";
const all = allMutants();
const gone = Object.keys(equivalent).filter((key) => all.every((mutant) => keyOf(mutant) !== key));
if (gone.length > 0) throw new Error(`listed as equivalent, but no mutants: ${gone.join(", ")}`);
const mutants = all.filter((mutant) => keyOf(mutant).includes(only) && random.chance(SHARE));
console.log(`${mutants.length} mutants, SEED=${SEED}`);

/** Their numbers: of those that no test has told from the program so far. */
const alive = new Set(mutants.keys());
let killed = 0;
let same = 0;

{
  using copy = new Copy(ROOT, mutants, WORKERS, IS_SAMPLE ? A_SAMPLE : Infinity);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      copy[Symbol.dispose]();
      Deno.exit(130);
    });
  }
  for (const [number, mutant] of mutants.entries()) {
    const reason = equivalent[keyOf(mutant)];
    if (reason !== undefined) isTheSame(number, reason);
  }
  await show(copy, cases);
  if (!IS_SAMPLE) await compareTables(copy);
  const quick = copy.testFiles().filter((path) => ![...cases, ...pages, ...slow.flat()].includes(path));
  for (let at = 0, count = FIRST; at < quick.length; count *= 2) {
    await show(copy, quick.slice(at, at += count));
  }
  if (!SHORT) { for (const files of slow) await show(copy, files); }
}

function isTheSame(number: number, reason: string): void {
  alive.delete(number);
  same++;
  console.log(`the same ${keyOf(mutants[number]!)}\n    ${reason}`);
}

async function compareTables(copy: Copy): Promise<void> {
  for (const number of alive) {
    const { file } = mutants[number]!;
    const isMutant = (other: number) => other === number;
    Object.assign(globalThis, { isMutant });
    if (await decidesTheSame[file]?.(`${copy.folder}/${file}`)) {
      isTheSame(number, "decides the same in every case");
    }
  }
}

/** Shows what is alive to the tests of some files. */
async function show(copy: Copy, files: readonly string[]): Promise<void> {
  if (alive.size === 0) return;
  const trial = await Trial.of(copy, files);
  await copy.forEach(alive, async (number, runner) => {
    const killer = await trial.killerOf(number, runner);
    if (killer === undefined) return;
    alive.delete(number);
    killed++;
    console.log(`killed ${keyOf(mutants[number]!)}\n    ${killer}`);
  });
}

const [left, survived] = SHORT ? [alive.size, 0] : [0, alive.size];
for (const number of alive) console.log(`${SHORT ? "left" : "SURVIVED"} ${keyOf(mutants[number]!)}`);
const outcome = survived === 0 ? "ok" : "FAILED";
console.log(
  `${outcome} | ${mutants.length} mutants: ${killed} killed, ${same} behave the same, ` +
    `${left} left to the whole run, ${survived} survived`,
);
Deno.exit(survived === 0 ? 0 : 1);
