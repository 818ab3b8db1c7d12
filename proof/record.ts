/** What the tracer recorded of a run: its changes of files, in their order. */

export interface Call {
  readonly program: string;
  readonly call: string;
  readonly path: string;
  /** The other path of a rename or a link. */
  readonly to?: string;
  /** Negative where the call failed. */
  readonly result: number;
  readonly flags?: number;
  /** Inode of an open file. */
  readonly file?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly mode?: number;
  /** Written bytes, in hexadecimal digits. */
  readonly data?: string;
}

export function readRecord(path: string): Call[] {
  return Deno.readTextFileSync(path).split("\n").filter(Boolean).map((line) => JSON.parse(line));
}
