/** Divides a proof among the processors, and adds up what came of it. */

import { ROOT } from "./places.ts";
import type { Count, Tally } from "./tally.ts";

/** A run for every change: a sample, always the same. */
export const isShort = Deno.env.get("SHORT") === "1";

/** A folder in which each process claims what it tries. */
const claims = Deno.env.get("PROOF_CLAIMS");

const only = Deno.env.get("ONLY") ?? "";

/** Those of a list whose name has the word that is asked for, each with its place: always the next that no other process has begun. */
export function* share<T extends { event: string; state: string }>(
  list: readonly T[],
): Generator<[number, T]> {
  for (const [index, one] of list.entries()) {
    const name = `${one.event} (${one.state})`;
    if (!name.includes(only) || !isClaimed(index)) continue;
    if (!isShort) console.error(`${index + 1} of ${list.length}: ${name}`);
    yield [index, one];
  }
}

function isClaimed(index: number): boolean {
  // A proof that isn't divided.
  if (claims === undefined) return true;
  try {
    Deno.mkdirSync(`${claims}/${index}`);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** Of the states of a proof all, or in a short run one of so many. */
export function sample<T>(list: readonly T[], stride = 8): T[] {
  return isShort ? list.filter((_, index) => index % stride === stride - 1) : [...list];
}

/** Of so many calls or outcomes one is tried. */
const every = Number(Deno.env.get("EVERY") || 1);
/** What one such run leaves out others try, which begin so many calls later. */
const from = Number(Deno.env.get("FROM") || 0);

/** The calls to try: all, or one of so many, beginning elsewhere in each list. */
export function* steps(index: number, stride: number): Generator<number> {
  const step = isShort ? stride : every;
  for (let call = 1 + (index * 17 + from) % step;; call += step) yield call;
}

/**
 * Runs a proof in three processes for each processor, at most 12, and prints one table of it all: what is tried waits for the disk and
 * for other processes most of the time.
 *
 * @param module the proof's own address: each process is another run of it
 */
export async function shared(
  module: string,
  title: string,
  tally: Tally,
  run: (tally: Tally) => Promise<void>,
): Promise<void> {
  if (claims !== undefined) {
    await run(tally);
    console.log(JSON.stringify(tally.rows));
    return;
  }
  const begun = Date.now();
  const processes = Math.min(12, 3 * navigator.hardwareConcurrency);
  const folder = Deno.makeTempDirSync({ prefix: "autorevert-claims-" });
  const outputs = await Promise.all(
    Array.from({ length: processes }, () =>
      new Deno.Command(`${ROOT}build/deno`, {
        args: ["run", "--quiet", "--no-check", "-A", module],
        env: { PROOF_CLAIMS: folder },
        stderr: "inherit",
      }).output()),
  );
  Deno.removeSync(folder, { recursive: true });
  let broken = 0;
  for (const { success, stdout } of outputs) {
    const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
    const rows = success ? lines.pop()! : "[]";
    for (const line of lines) console.log(line);
    tally.add(JSON.parse(rows) as [string, Count][]);
    if (!success) broken++;
  }
  summarize(title, tally, begun, broken);
}

/** The table, and a line like that of the unit tests. A proof that tried nothing has failed. */
export function summarize(title: string, tally: Tally, begun: number, broken = 0): void {
  const { tried, failed } = tally.total;
  const wrong = failed + broken + (tried === 0 ? 1 : 0);
  const seconds = Math.round((Date.now() - begun) / 1000);
  console.log(`\n${title}${isShort || every > 1 ? ", a sample" : ""}:\n\n${tally.table}\n`);
  console.log(`${wrong === 0 ? "ok" : "FAILED"} | ${tried - failed} passed | ${wrong} failed (${seconds}s)`);
  if (wrong > 0) Deno.exitCode = 1;
}
