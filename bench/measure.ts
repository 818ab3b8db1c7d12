/** Whole processes, measured side by side. */

import { ok } from "./place.ts";

/** Something that is run many times. */
export interface Subject {
  readonly name: string;
  readonly command: readonly string[];
  /** A file for its standard input. */
  readonly input?: string;
  /** A line for the shell that is run before each time, and not measured. */
  readonly before?: string;
}

/** Milliseconds, of so many runs. */
export interface Times {
  readonly median: number;
  readonly least: number;
  /** A quarter of the runs took longer. */
  readonly quartile: number;
  readonly runs: number;
}

/**
 * Measures with hyperfine, in rounds, so that a machine that changes its speed changes it for all of them. What the
 * shell takes to start each is subtracted.
 */
export async function sideBySide(subjects: readonly Subject[], rounds = 16, runs = 5) {
  const times = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  const report = await Deno.makeTempFile();
  for (let round = 0; round < rounds; round++) {
    const commands = subjects.flatMap(({ name, command, input = "/dev/null", before = "true" }) => [
      ...["--command-name", name, "--prepare", before, `exec ${shell(command)} < ${input}`],
    ]);
    const options = ["--shell=sh", "--style=none", "--warmup=1", `--runs=${runs}`];
    await ok("hyperfine", [...options, `--export-json=${report}`, ...commands]);
    const { results } = JSON.parse(await Deno.readTextFile(report));
    for (const { command, times: seconds } of results) {
      times.get(command)!.push(...seconds.map((time: number) => time * 1000));
    }
  }
  await Deno.remove(report);
  return Object.fromEntries([...times].map(([name, list]) => [name, summary(list)]));
}

/** Measures something that is more than one process. */
export async function repeated(times: number, what: () => Promise<void>, before = async () => {}) {
  const list: number[] = [];
  for (let run = 0; run < times; run++) {
    await before();
    const begun = performance.now();
    await what();
    list.push(performance.now() - begun);
  }
  return summary(list);
}

/** Peak memory of a process in KiB, as the kernel counts it; median of five. */
export async function peakMemory(
  { command, input = "/dev/null", before = "true" }: Subject,
): Promise<number> {
  const peaks: number[] = [];
  for (let run = 0; run < 5; run++) {
    const file = await Deno.makeTempFile();
    await ok("sh", ["-c", `${before} > /dev/null; exec time -f %M -o ${file} ${shell(command)} < ${input}`]);
    peaks.push(Number(await Deno.readTextFile(file)));
    await Deno.remove(file);
  }
  return summary(peaks).median;
}

function summary(list: readonly number[]): Times {
  const at = (part: number) => Number(quantile(list, part).toFixed(2));
  return { median: at(0.5), least: at(0), quartile: at(0.75), runs: list.length };
}

/** The number below which such a part of these lies, between two of them where it has to. */
function quantile(numbers: readonly number[], part: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * part;
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place % 1);
}

export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

function shell(words: readonly string[]): string {
  return words.map((word) => /^[\w/.:=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`).join(
    " ",
  );
}
