import { Session } from "node:inspector/promises";

/** The blocks of the program and of its libraries that have run so far. */
export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  constructor() {
    this.#session.connect();
  }

  /** Counting slows everything down: it goes on until {@link end}. */
  async begin(): Promise<void> {
    await this.#session.post("Profiler.enable");
    await this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  async end(): Promise<void> {
    await this.#session.post("Profiler.stopPreciseCoverage");
    await this.#session.post("Profiler.disable");
  }

  get blocks(): number {
    return this.#seen.size;
  }

  /** Blocks that have run since the last look and never before. */
  async news(): Promise<ReadonlySet<string>> {
    const news = (await this.#run()).difference(this.#seen);
    for (const block of news) this.#seen.add(block);
    return news;
  }

  /** Those of these blocks that have run since the last look. */
  async among(blocks: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    return blocks.intersection(await this.#run());
  }

  async #run(): Promise<Set<string>> {
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    const run = new Set<string>();
    for (const { url, functions } of result) {
      if (!/\/lib\/[\w/]+\.ts$|jsonc-parser|\/zod\/|xml/.test(url)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count > 0) run.add(`${url}:${startOffset}-${endOffset}`);
        }
      }
    }
    return run;
  }
}
