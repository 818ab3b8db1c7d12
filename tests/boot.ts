/** The host is booted again, in the middle of random lives. */

import { type Fixture, LONG_AGO } from "./fixture.ts";
import { formatStart, parseStart } from "../lib/state/step.ts";

/** The host comes up again, at the time that it is: what was noted of starts is of an earlier boot. */
export async function bootAgain(fixture: Fixture): Promise<void> {
  await tick();
  fixture.booted = new Date(Date.now() + 2);
  for (const name of fixture.files(fixture.config).filter((name) => name.endsWith(".starting"))) {
    const path = `${fixture.config}/${name}`;
    const start = parseStart(Deno.readTextFileSync(path));
    const by = start.by && { ...start.by, at: LONG_AGO, booted: LONG_AGO };
    Deno.writeTextFileSync(path, formatStart({ ...start, ...by && { by } }));
    Deno.utimeSync(path, LONG_AGO, LONG_AGO);
  }
  await tick();
}

/** File systems stamp in steps, and what comes after is to be later. */
export function tick(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, 6));
}
