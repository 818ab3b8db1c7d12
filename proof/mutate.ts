/**
 * Small faults put into the program on purpose, one at a time: a test has to fail at each.
 *
 * `EVERY=20` tries one of twenty, `ONLY` those whose name has a word. `SHORT=1` runs the quick tests alone, and tries one of seven hundred,
 * always the same unless `SEED` says otherwise; with `EVERY=1` it tells in hours, not days, which mutants need a slow test.
 */

import { Coverage } from "./mutate/coverage.ts";
import { equivalent } from "./mutate/equivalent.ts";
import { actionMutants, type Mutant, tableMutants } from "./mutate/mutant.ts";
import { Trial } from "./mutate/trial.ts";
import { decidesTheSame } from "./mutate/verdicts.ts";
import { randomly } from "../tests/random.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const WORKERS = Number(Deno.env.get("WORKERS") ?? 2);
const SHORT = Deno.env.get("SHORT") === "1";
const SHARE = 1 / Number(Deno.env.get("EVERY") || (SHORT ? 700 : 1));
const SEED = Number(Deno.env.get("SEED") ?? (SHORT ? 1 : Date.now() % 1_000_000));

/** Of fewer mutants each is shown to all tests: to find out which of them run its line would take longer. */
const FEW = 50;

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
  return all.map((mutant, index) => {
    const before = all.slice(0, index).filter(({ file, name }) =>
      file === mutant.file && name === mutant.name
    );
    return before.length === 0 ? mutant : { ...mutant, name: `${mutant.name} (${before.length + 1})` };
  });
}

const killed: Mutant[] = [];
const same: Mutant[] = [];
const survived: Mutant[] = [];
/** Of the short run: what no quick test kills is for the whole run, whose slow tests take minutes for each. */
const left: Mutant[] = [];

/** Takes mutants from the list until none is left. */
async function work(mutants: Mutant[]): Promise<void> {
  using trial = new Trial(ROOT);
  for (let mutant = mutants.pop(); mutant; mutant = mutants.pop()) {
    const { file, name } = mutant;
    const { killer, reason, isLeft } = await trial.with(mutant, () => outcomeOf(mutant, trial));
    const [verdict, list] = killer
      ? ["killed", killed]
      : reason
      ? ["the same", same]
      : isLeft
      ? ["left", left]
      : ["SURVIVED", survived];
    list.push(mutant);
    console.log(`${verdict} ${file}: ${name}\n    ${killer ?? reason ?? ""}`);
  }
}

/** The test that fails, or why none can. */
async function outcomeOf(
  mutant: Mutant,
  trial: Trial,
): Promise<{ killer?: string; reason?: string; isLeft?: true }> {
  const { file, name } = mutant;
  const reason = equivalent[`${file}: ${name}`];
  if (reason !== undefined) return { reason };
  const first = tables.includes(file) ? await trial.quickKiller(file, cases) : await trial.knownKiller(file);
  if (first !== undefined) return { killer: first };
  if (await decidesTheSame[file]?.(`${trial.folder}/${file}`)) {
    return { reason: "decides the same in every case" };
  }
  const tests = coverage?.testsOf(file, lineOf(mutant)) ?? trial.quickTests();
  const quick = await trial.quickKiller(file, tests);
  if (quick !== undefined) return { killer: quick };
  if (SHORT) return { isLeft: true };
  const slow = await trial.slowKiller(file);
  return slow === undefined ? {} : { killer: slow };
}

/** Of the program as it is, without a mutant. */
async function coverageOfAll(): Promise<Coverage> {
  using trial = new Trial(ROOT);
  return await Coverage.of(trial.folder, trial.quickTests(), WORKERS);
}

function lineOf({ file, start }: Mutant): number {
  return Deno.readTextFileSync(`${ROOT}/${file}`).slice(0, start).split("\n").length;
}

const random = randomly(SEED);
const only = Deno.env.get("ONLY") ?? "";
const all = allMutants();
const gone = Object.keys(equivalent).filter((key) =>
  all.every(({ file, name }) => `${file}: ${name}` !== key)
);
if (gone.length > 0) throw new Error(`listed as equivalent, but no mutants: ${gone.join(", ")}`);
const mutants = all.filter(({ file, name }) => `${file}: ${name}`.includes(only) && random.chance(SHARE))
  .toReversed();
const made = mutants.length;
console.log(`${made} mutants, SEED=${SEED}`);
const coverage = made > FEW ? await coverageOfAll() : undefined;
await Promise.all(Array.from({ length: WORKERS }, () => work(mutants)));
for (const { file, name } of survived) console.log(`SURVIVED ${file}: ${name}`);
const outcome = survived.length === 0 ? "ok" : "FAILED";
console.log(
  `${outcome} | ${made} mutants: ${killed.length} killed, ${same.length} behave the same, ` +
    `${left.length} left to the whole run, ${survived.length} survived`,
);
Deno.exit(survived.length === 0 ? 0 : 1);
