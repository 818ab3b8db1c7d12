import type { Mutant } from "./mutant.ts";

/** Tests by file: those first that kill most in the least time. */
const first: Readonly<Record<string, readonly string[]>> = {
  "lib/state/decision_table.ts": ["decisions", "decision_table"],
  "lib/state/transitions.ts": ["transitions"],
  "lib/state/merge_transitions.ts": ["transitions", "merge"],
  "lib/state/master_transitions.ts": ["pool", "pool_command"],
  "lib/state/prepare_plan.ts": ["plan", "multi_disk", "unlisted_disk"],
  "lib/state/release_plan.ts": ["plan", "multi_disk", "unlisted_disk"],
  "lib/state/recovery.ts": ["data_loss", "multi_disk"],
  "lib/state/records_at_prepare.ts": ["plan", "data_loss", "set_aside", "replaced_file", "shared_image"],
  "lib/state/records_at_release.ts": ["plan", "data_loss", "set_aside", "replaced_file", "shared_image"],
  "lib/state/firmware.ts": ["firmware", "firmware_loss"],
  "lib/state/firmware_commits.ts": ["firmware", "seat_firmware", "firmware_loss"],
  "lib/host/files.ts": ["files", "fsync"],
  "lib/host/perform.ts": ["perform"],
  "lib/host/locks.ts": ["lock"],
  "lib/hook/prepare.ts": ["lifecycle", "failed_start"],
  "lib/hook/begin_sessions.ts": ["lifecycle", "failed_start"],
  "lib/hook/undo_start.ts": ["failed_start", "set_aside"],
  "lib/hook/start_kind.ts": ["lifecycle", "data_loss"],
  "lib/hook/checked_recovery.ts": ["data_loss", "multi_disk"],
  "lib/hook/flags.ts": ["target_change", "unlisted_disk", "data_loss"],
  "lib/hook/started.ts": ["data_loss", "set_aside", "replaced_file", "shared_image"],
  "lib/hook/release.ts": ["lifecycle", "multi_disk"],
  "lib/hook/new_firmware.ts": ["firmware", "firmware_loss"],
  "lib/hook/merge.ts": ["merge", "command"],
  "lib/hook/merge_choice.ts": ["merge", "command"],
  "lib/hook/merge_checks.ts": ["merge", "command"],
  "lib/state/seat_table.ts": ["seat"],
  "lib/state/seat.ts": ["pool", "pool_migration"],
  "lib/state/seat_transitions.ts": ["pool", "pool_migration"],
  "lib/state/records_of_seats.ts": ["pool", "pool_failure", "pool_migration"],
  "lib/hook/seat_claims.ts": ["pool_failure", "pool_command"],
  "lib/hook/seat_decide.ts": ["pool", "pool_migration"],
  "lib/hook/seat_firmware.ts": ["seat_firmware"],
  "lib/hook/seat_guest.ts": ["pool", "pool_failure", "pool_standing", "pool_migration"],
  "lib/hook/seat_layer.ts": ["pool", "pool_failure", "pool_migration"],
  "lib/hook/seat_prepare.ts": ["pool", "pool_failure", "pool_migration"],
  "lib/hook/seat_release.ts": ["pool", "pool_failure", "pool_migration"],
  "lib/hook/seat_masters.ts": ["pool", "pool_command", "pool_migration"],
  "lib/hook/master_mark.ts": ["pool_standing"],
  "lib/hook/standing.ts": ["seat", "pool_standing", "pool", "pool_migration"],
};
const quick = [
  "fsync",
  "dry_run",
  "lifecycle",
  "failed_start",
  "multi_disk",
  "unlisted_disk",
  "refusal",
  "decisions",
  "session_record",
  "hints",
  "config",
  "transitions",
  "data_loss",
  "target_change",
  "set_aside",
  "replaced_file",
  "shared_image",
  "seat",
  "pool",
  "pool_migration",
  "pool_standing",
  "pool_failure",
  "pool_command",
  "firmware",
  "seat_firmware",
];
const slow = [
  ["command", "real", "lock"],
  ["recover", "check", "status", "firmware_loss"],
  ["crash"],
  ["cut_twice_crash", "firmware_crash"],
  ["command_crash", "model", "interleave"],
  ["pool_crash", "pool_interleave", "pool_model"],
];

/** Seconds that no such run takes: what waits for ever is killed, too. */
const longest = { quick: 180, slow: 300 };

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
        ...[
          "main.ts",
          "deno.json",
          "deno.lock",
          "config.schema.json",
          "build",
          "npm",
          "lib",
          "tests",
          "demo",
          "man",
        ].map((name) => `${root}/${name}`),
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

  /** The first that fails of the tests that killed others of that file; or undefined if none does. */
  async knownKiller(file: string): Promise<string | undefined> {
    const failure = await this.#failingOf(killers.get(file) ?? []);
    remember(file, failure);
    return failure?.test;
  }

  /** The same of the quick tests. */
  async quickKiller(file: string): Promise<string | undefined> {
    const failure = await this.#failing(first[file] ?? [], longest.quick) ??
      await this.#failing(quick, longest.quick);
    remember(file, failure);
    return failure?.test;
  }

  /** The same of all others. What fails only once was not the mutant's fault. */
  async slowKiller(file: string): Promise<string | undefined> {
    for (const tests of slow) {
      const failure = await this.#failing(tests, longest.slow);
      if (failure === undefined) continue;
      const again = await this.#failing(tests, longest.slow);
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

  async #failing(tests: readonly string[], seconds: number): Promise<Failure | undefined> {
    return await this.#run(tests.map((name) => `tests/${name}_test.ts`), seconds);
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

function remember(file: string, failure: Failure | undefined): void {
  if (failure?.path === undefined) return;
  const others = (killers.get(file) ?? []).filter(({ test }) => test !== failure.test);
  killers.set(file, [failure, ...others].slice(0, REMEMBERED));
}
