/** What is asked of a process that runs single tests: the names of a file's tests, or to run one of them, with a mutant or without. */
export interface Question {
  readonly file: string;
  readonly test?: string;
  readonly mutant?: number | undefined;
}

export interface Answer {
  readonly names?: readonly string[];
  /** Why the test failed; or what became of the process. */
  readonly failure?: string | undefined;
  /** The mutants whose places were passed, where none lived. */
  readonly reached: readonly number[];
  readonly seconds: number;
}

/** A process that runs single tests of a copy of the program. One that is gone is started anew with the next question. */
export class Runner implements Disposable {
  #process: Deno.ChildProcess | undefined;
  #answers: AsyncIterator<string> | undefined;

  /** @param first a mutant that lives from the start */
  constructor(readonly folder: string, readonly first?: number) {}

  /** @param limit seconds */
  async ask(question: Question, limit: number): Promise<Answer> {
    this.#process ??= this.#start();
    const writer = this.#process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`${JSON.stringify(question)}\n`)).catch(() => {});
    writer.releaseLock();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((end) => timer = setTimeout(() => end(undefined), limit * 1000));
    const said = await Promise.race([this.#answer(), late]);
    clearTimeout(timer);
    if (typeof said === "string") return JSON.parse(said);
    this.end();
    return { failure: said === null ? "the process died" : "no end", reached: [], seconds: limit };
  }

  [Symbol.dispose](): void {
    this.end();
  }

  end(): void {
    try {
      this.#process?.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    this.#process = undefined;
  }

  #start(): Deno.ChildProcess {
    const process = new Deno.Command("build/deno", {
      args: [
        "run",
        "-A",
        "--no-check",
        "proof/mutate/single_tests.ts",
        ...this.first === undefined ? [] : [`${this.first}`],
      ],
      cwd: this.folder,
      env: { NO_COLOR: "1", SEQUENCES: "300", DENO: Deno.execPath() },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#answers = linesOf(process.stdout)[Symbol.asyncIterator]();
    return process;
  }

  /** What a test itself prints is no answer. @returns null when the process has ended */
  async #answer(answers = this.#answers!): Promise<string | null> {
    for (;;) {
      const { done, value } = await answers.next();
      if (done) return null;
      if (value.startsWith("@{")) return value.slice(1);
    }
  }
}

export async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (text + piece).split("\n");
    text = lines.pop()!;
    yield* lines;
  }
}
