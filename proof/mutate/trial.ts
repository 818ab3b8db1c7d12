import type { Mutant } from "./mutant.ts";

/** Those that take minutes: they are tried where no quick one fails. */
const slow = [
  ["firmware_loss"],
  ["crash"],
  ["cut_twice_crash", "firmware_crash"],
  ["command_crash", "model", "interleave"],
  ["two_guests_model", "two_hosts_model", "two_hosts_pool_model"],
  ["pool_crash", "pool_interleave", "pool_model"],
];

/** Those that hold a page against the program: they fail at each other table, whether right or wrong. */
const pages = ["architecture"];

/** What is in the program's folder and no part of it. */
const left = [".git", ".deno", "dist"];

/** Seconds that no such run takes: what waits for ever is killed, too. */
const longest = { quick: 900, slow: 900 };

interface Failure {
  /** The test's name, or what else ended the run. */
  readonly test: string;
  /** The file it is in, unless the run ended by something else. */
  readonly path?: string;
}

/** By the file that a mutant is in: the tests that killed the last ones there, which kill most of the next ones, too. */
const killers = new Map<string, Failure[]>();

/** Of so many the next mutant is shown to first. */
const REMEMBERED = 24;

/** A copy of the program in which one mutant at a time lives. */
export class Trial implements Disposable {
  readonly folder: string;

  constructor(readonly root: string) {
    this.folder = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "autorevert-mutant-" });
    const { success } = new Deno.Command("cp", {
      args: [
        "-a",
        ...[...Deno.readDirSync(root)].filter(({ name }) => !left.includes(name))
          .map(({ name }) => `${root}/${name}`),
        this.folder,
      ],
    }).outputSync();
    if (!success) throw new Error("the program can't be copied");
    Deno.mkdirSync(`${this.folder}/.deno`);
    Deno.copyFileSync(`${root}/.deno/network`, `${this.folder}/.deno/network`);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }

  /** Puts the mutant in place of its original while `run` goes on. */
  async with<T>({ file, start, end, text }: Mutant, run: () => Promise<T>): Promise<T> {
    const path = `${this.folder}/${file}`;
    const source = Deno.readTextFileSync(path);
    Deno.writeTextFileSync(path, source.slice(0, start) + text + source.slice(end));
    try {
      return await run();
    } finally {
      Deno.writeTextFileSync(path, source);
    }
  }

  /** The test files that take seconds. */
  quickTests(): string[] {
    const all = [...Deno.readDirSync(`${this.folder}/tests`)].map(({ name }) => `tests/${name}`);
    const others = [...slow.flat(), ...pages].map(pathOf);
    return all.filter((path) => path.endsWith("_test.ts") && !others.includes(path));
  }

  /** The first that fails of the tests that killed others of that file; or undefined if none does. */
  async knownKiller(file: string): Promise<string | undefined> {
    const failure = await this.#failingOf(killers.get(file) ?? []);
    remember(file, failure);
    return failure?.test;
  }

  /** The same of some quick tests. */
  async quickKiller(file: string, paths: readonly string[]): Promise<string | undefined> {
    const failure = await this.#run(paths, longest.quick);
    remember(file, failure);
    return failure?.test;
  }

  /** The same of all others. What fails only once was not the mutant's fault. */
  async slowKiller(file: string): Promise<string | undefined> {
    for (const names of slow) {
      const paths = names.map(pathOf);
      const failure = await this.#run(paths, longest.slow);
      if (failure === undefined) continue;
      const again = await this.#run(paths, longest.slow);
      if (again?.test !== failure.test) continue;
      remember(file, failure);
      return failure.test;
    }
    return undefined;
  }

  /** The first that fails of some tests alone. */
  async #failingOf(failures: readonly Failure[]): Promise<Failure | undefined> {
    const names = failures.map(({ test }) => test.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const paths = [...new Set(failures.map(({ path }) => path!))];
    return await this.#run(paths, longest.quick, ["--filter", `/^(${names.join("|")})$/`]);
  }

  async #run(
    paths: readonly string[],
    seconds: number,
    more: readonly string[] = [],
  ): Promise<Failure | undefined> {
    if (paths.length === 0) return undefined;
    const { success, stdout, stderr } = await new Deno.Command("timeout", {
      args: [
        ...[`${seconds}`, "build/deno", "test", "-A", "--no-check", "--parallel", "--fail-fast", ...more],
        ...paths,
      ],
      cwd: this.folder,
      env: { NO_COLOR: "1", SEQUENCES: "300" },
    }).output();
    if (success) return undefined;
    const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    if (output.includes("could not be parsed")) throw new Error(`the mutant is no program: ${output}`);
    const [, test, path] = /^(.*?)(?: \.\.\. .*)? => \.\/(tests\/\w+\.ts):\d/m.exec(output) ?? [];
    if (test !== undefined && path !== undefined) return { test, path };
    return { test: /^error: (.*)/m.exec(output)?.[1] ?? "no end" };
  }
}

function pathOf(name: string): string {
  return `tests/${name}_test.ts`;
}

function remember(file: string, failure: Failure | undefined): void {
  if (failure?.path === undefined) return;
  const others = (killers.get(file) ?? []).filter(({ test }) => test !== failure.test);
  killers.set(file, [failure, ...others].slice(0, REMEMBERED));
}
