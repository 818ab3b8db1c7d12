import type { Mutant } from "./mutant.ts";

/** Tests by file, those first that kill most in the least time. */
const quick = [
  "table",
  "moves",
  "files",
  "durable",
  "dry_run",
  "life",
  "refusal",
  "promise",
  "note",
  "way_out",
  "config",
  "state",
];
const slower = ["command", "real", "lock", "recover", "check", "status"];
const slow = ["crash", "command_crash", "model"];

/** Milliseconds that no such run takes: what loops forever is killed, too. */
const LONGEST = 600_000;

/** A copy of the program in which one mutant at a time lives. */
export class Trial implements Disposable {
  readonly folder: string;

  constructor(readonly root: string) {
    this.folder = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "autorevert-mutant-" });
    const { success } = new Deno.Command("cp", {
      args: [
        "-a",
        ...["main.ts", "deno.json", "deno.lock", "build", "npm", "lib", "tests", "demo", "man"].map((name) =>
          `${root}/${name}`
        ),
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

  /** The first test that fails, or undefined if none does. */
  async killer(): Promise<string | undefined> {
    for (const tests of [quick, slower, slow]) {
      const files = tests.map((name) => `tests/${name}_test.ts`);
      const { success, stdout, stderr } = await new Deno.Command("timeout", {
        args: [`${LONGEST / 1000}`, "build/deno", "test", "-A", "--no-check", "--fail-fast", ...files],
        cwd: this.folder,
        env: { NO_COLOR: "1", SEQUENCES: "300" },
      }).output();
      if (success) continue;
      const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      return /^(.*) \.\.\. FAILED/m.exec(output)?.[1] ?? /^error: (.*)/m.exec(output)?.[1] ?? "no end";
    }
    return undefined;
  }
}
