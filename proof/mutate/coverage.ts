/**
 * Which tests run which line of the program, as Deno tells it.
 *
 * A mutant on a line that a test doesn't run can't be seen by it, so only the others are tried.
 */
export class Coverage {
  readonly #tests = new Map<string, string[]>();

  /**
   * Runs test files, several at once, each in a process of its own.
   *
   * @param folder a copy of the program
   * @param paths of the test files in it
   * @throws what fails without a mutant says nothing about one
   */
  static async of(folder: string, paths: readonly string[], workers: number): Promise<Coverage> {
    const coverage = new Coverage();
    const reports: { path: string; lines: string[]; milliseconds: number }[] = [];
    const waiting = [...paths];
    await Promise.all(Array.from({ length: workers }, async () => {
      for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
        const began = performance.now();
        const lines = await coveredLines(folder, path);
        reports.push({ path, lines, milliseconds: performance.now() - began });
      }
    }));
    for (const { path, lines } of reports.toSorted((one, other) => one.milliseconds - other.milliseconds)) {
      for (const line of lines) coverage.#tests.set(line, [...coverage.#tests.get(line) ?? [], path]);
    }
    return coverage;
  }

  /** The test files that run a line, counted from 1, those first that take the least time. */
  testsOf(file: string, line: number): readonly string[] {
    return this.#tests.get(`${file}:${line}`) ?? [];
  }
}

/** Runs a test file. @returns the program's lines that it has run, as `FILE:LINE` */
async function coveredLines(folder: string, path: string): Promise<string[]> {
  const reports = await Deno.makeTempDir({ dir: folder });
  const { success, stdout } = await new Deno.Command("build/deno", {
    args: ["test", "-A", "--no-check", `--coverage=${reports}`, path],
    cwd: folder,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(`fails without a mutant: ${new TextDecoder().decode(stdout)}`);
  const report = await Deno.readTextFile(`${reports}/lcov.info`).catch(() => "");
  await Deno.remove(reports, { recursive: true });
  let file = "";
  const lines: string[] = [];
  for (const entry of report.split("\n")) {
    if (entry.startsWith("SF:")) file = entry.slice(`SF:${folder}/`.length);
    const [, line, count] = /^DA:(\d+),(\d+)/.exec(entry) ?? [];
    if (line !== undefined && count !== "0") lines.push(`${file}:${line}`);
  }
  return lines;
}
