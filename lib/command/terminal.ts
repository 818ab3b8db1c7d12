/** The administrator's end: an answer goes to standard output, and nothing else does. */

export interface Terminal {
  /** A line of the answer. */
  readonly print: (line: string) => void;
  /** Asks whoever sits there; no where nobody does. */
  readonly confirm: (question: string) => boolean;
  /** Columns that the answer may have; undefined where there is no limit. */
  readonly width: number | undefined;
  readonly colour: boolean;
  /** Shows a line, made for so many columns, that the next one replaces; undefined where nobody watches. */
  readonly draw: ((line: (width: number) => string) => void) | undefined;
}

export function realTerminal(): Terminal {
  const isTerminal = Deno.stdout.isTerminal();
  const bytes = (text: string) => new TextEncoder().encode(text);
  return {
    print: (line) => console.log(line),
    confirm: (question) => {
      if (!Deno.stdin.isTerminal()) return false;
      Deno.stderr.writeSync(bytes(`${question} [y/N] `));
      // A terminal gives a line at a time.
      const answer = new Uint8Array(1024);
      const length = Deno.stdin.readSync(answer) ?? 0;
      return /^\s*y(es)?\s*$/i.test(new TextDecoder().decode(answer.subarray(0, length)));
    },
    width: givenWidth() ?? (isTerminal ? Deno.consoleSize().columns : undefined),
    colour: isTerminal && !Deno.noColor,
    draw: Deno.stderr.isTerminal()
      ? (line) => void Deno.stderr.writeSync(bytes(`\r\x1b[K${line(Deno.consoleSize().columns)}`))
      : undefined,
  };
}

/** What `COLUMNS` says: `watch` sets it for a program that it reads, and who pipes the answer on may. */
function givenWidth(): number | undefined {
  const columns = Deno.env.get("COLUMNS") ?? "";
  return /^[1-9]\d{0,8}$/.test(columns) ? Number(columns) : undefined;
}

const codes = { red: 31, green: 32, yellow: 33, blue: 34 } as const;
export type Colour = keyof typeof codes;

export function paint(text: string, colour: Colour | undefined, terminal: Terminal): string {
  return colour === undefined || !terminal.colour ? text : `\x1b[${codes[colour]}m${text}\x1b[39m`;
}
