import { dirname, join } from "node:path";
import ts from "typescript";
import type { Mutant } from "./mutant.ts";
import { Runner } from "./runner.ts";
import { withSwitches } from "./switches.ts";

/** What is in the program's folder and no part of it. */
const others = [".git", ".deno", "dist"];

/** A copy of the program with all mutants in it, of which one at a time lives, and the processes that run tests of it. */
export class Copy implements Disposable {
  readonly folder: string;
  readonly #runners: Runner[];
  readonly #end: number;

  /**
   * @param workers so many processes at once
   * @param seconds after which no other test is begun
   */
  constructor(readonly root: string, readonly mutants: readonly Mutant[], workers: number, seconds: number) {
    this.#end = performance.now() + seconds * 1000;
    this.folder = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "autorevert-mutant-" });
    this.#runners = Array.from({ length: workers }, () => new Runner(this.folder));
    const { success } = new Deno.Command("cp", {
      args: [
        "-a",
        ...[...Deno.readDirSync(root)].filter(({ name }) => !others.includes(name))
          .map(({ name }) => `${root}/${name}`),
        this.folder,
      ],
    }).outputSync();
    if (!success) throw new Error("the program can't be copied");
    for (const name of [".deno", "left"]) Deno.mkdirSync(`${this.folder}/${name}`);
    Deno.copyFileSync(`${root}/.deno/network`, `${this.folder}/.deno/network`);
    const changes = mutants.flatMap(({ file, changes }, mutant) =>
      changes.map((change) => ({ ...change, file, mutant }))
    );
    for (const [file, within] of Map.groupBy(changes, ({ file }) => file)) {
      const path = `${this.folder}/${file}`;
      Deno.writeTextFileSync(path, withSwitches(Deno.readTextFileSync(path), within));
    }
  }

  /** Also what runs in it is ended. */
  [Symbol.dispose](): void {
    for (const runner of this.#runners) runner.end();
    Deno.removeSync(this.folder, { recursive: true });
  }

  get isOver(): boolean {
    return performance.now() > this.#end;
  }

  /** The test files that load one of the mutants: those first that load the least. */
  testFiles(): string[] {
    const faulty = new Set(this.mutants.map(({ file }) => file));
    return [...Deno.readDirSync(`${this.root}/tests`)].map(({ name }) => `tests/${name}`)
      .filter((path) => path.endsWith("_test.ts"))
      .map((path) => ({ path, loaded: loadedBy(this.root, path) }))
      .filter(({ loaded }) => !loaded.isDisjointFrom(faulty))
      .toSorted((one, other) => one.loaded.size - other.loaded.size)
      .map(({ path }) => path);
  }

  /** Does something with each of these, as many at once as there are processes. */
  async forEach<T>(these: Iterable<T>, act: (one: T, runner: Runner) => Promise<void>): Promise<void> {
    const waiting = [...these];
    await Promise.all(this.#runners.map(async (runner) => {
      for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await act(one, runner);
    }));
  }
}

/** A file and all that it imports, directly or not. */
function loadedBy(root: string, file: string, known = new Set<string>()): Set<string> {
  known.add(file);
  const { importedFiles } = ts.preProcessFile(Deno.readTextFileSync(`${root}/${file}`));
  for (const { fileName } of importedFiles.filter(({ fileName }) => fileName.startsWith("."))) {
    const path = join(dirname(file), fileName);
    if (!known.has(path)) loadedBy(root, path, known);
  }
  return known;
}
