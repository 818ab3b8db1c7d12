/** Another reader of XML, in a process of its own: what it says of a text, the program has to say, too. */
export class Expat implements AsyncDisposable {
  readonly #process = new Deno.Command("python3", {
    args: ["-u", new URL("expat.py", import.meta.url).pathname],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  readonly #writer = this.#process.stdin.getWriter();
  readonly #reader = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  #rest = "";

  /** The disks that a text describes, or null if it is not well-formed. */
  async disks(xml: string): Promise<readonly Described[] | null> {
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(xml)}\n`));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error("expat.py has died");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const answer = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#process.status;
  }
}

/** A disk, as far as it matters to the program. */
export interface Described {
  readonly target: string;
  readonly file: string | null;
  readonly backing: string | null;
  /** Whether it can be managed. */
  readonly fits: boolean;
}
