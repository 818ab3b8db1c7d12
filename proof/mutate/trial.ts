import type { Copy } from "./copy.ts";
import { Runner } from "./runner.ts";

/** Seconds that a test of the program as it is may take. */
const LONGEST = 900;

/** With a mutant it may take so many times as long, and some seconds: what waits for ever fails, too. */
const SLOWER = 10;
const MORE = 10;

interface Test {
  readonly file: string;
  readonly name: string;
  readonly seconds: number;
  /** The mutants that it reaches. */
  readonly reached: ReadonlySet<number>;
  /** By the file of a mutant: how many it has killed there. It kills most of the next ones, too. */
  readonly kills: Map<string, number>;
}

/** Tests, and what they reach: a mutant can't be seen by the others. */
export class Trial {
  readonly #tests: Test[] = [];
  /** The mutants that a file reaches while it is loaded. */
  readonly #atLoad = new Map<string, ReadonlySet<number>>();

  private constructor(readonly copy: Copy) {}

  /** Runs all tests of some files without a mutant. What fails then says nothing about one. */
  static async of(copy: Copy, files: readonly string[]): Promise<Trial> {
    const trial = new Trial(copy);
    await copy.forEach(files, async (file, runner) => {
      const { names = [], reached, failure } = await runner.ask({ file }, LONGEST);
      if (failure !== undefined) console.log(`not shown to ${file}: ${failure}`);
      trial.#atLoad.set(file, new Set(reached));
      for (const name of names) {
        if (copy.isOver) return;
        const { failure, reached, seconds } = await runner.ask({ file, test: name }, LONGEST);
        if (failure !== undefined) console.log(`not shown to "${name}" of ${file}: ${failure}`);
        else trial.#tests.push({ file, name, seconds, reached: new Set(reached), kills: new Map() });
      }
    });
    return trial;
  }

  /** The test that fails, if one does: those first that take the least time, and have killed others of that file. */
  async killerOf(mutant: number, runner: Runner): Promise<string | undefined> {
    const { file, isOfTable } = this.copy.mutants[mutant]!;
    const cost = ({ seconds, kills }: Test) => (seconds + 0.001) / (1 + (kills.get(file) ?? 0));
    const tests = this.#tests.toSorted((one, other) => cost(one) - cost(other));
    const reaching = tests.filter(({ reached }) => reached.has(mutant));
    const loading = tests.filter(({ file }) => isOfTable || this.#atLoad.get(file)?.has(mutant));
    const killer = await this.#failing(reaching, mutant, runner, runner) ??
      await this.#failingFromTheStart(loading, mutant, runner);
    killer?.kills.set(file, 1 + (killer.kills.get(file) ?? 0));
    return killer?.name;
  }

  async #failingFromTheStart(
    tests: readonly Test[],
    mutant: number,
    runner: Runner,
  ): Promise<Test | undefined> {
    using withIt = new Runner(this.copy.folder, mutant);
    return await this.#failing(tests, mutant, withIt, runner);
  }

  /** What fails only once, or without the mutant too, is not its fault. */
  async #failing(
    tests: readonly Test[],
    mutant: number,
    withIt: Runner,
    without: Runner,
  ): Promise<Test | undefined> {
    for (const test of tests) {
      if (this.copy.isOver) return undefined;
      const fails = async (runner: Runner, mutant?: number) => {
        const { failure } = await runner.ask(
          { file: test.file, test: test.name, mutant },
          MORE + SLOWER * test.seconds,
        );
        return failure !== undefined;
      };
      if (!(await fails(withIt, mutant))) continue;
      if (await fails(without)) {
        // What failed may have left something in the process.
        without.end();
        if (await fails(without)) continue;
      }
      if (await fails(withIt, mutant)) return test;
    }
    return undefined;
  }
}
