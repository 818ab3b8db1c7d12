/** docs/architecture.md shows the decision table as it is. */

import { assert, assertEquals } from "@std/assert";
import { PAGE, withDecisions } from "../build/architecture.ts";
import { table } from "../lib/state/decision_table.ts";
import { seatTable } from "../lib/state/seat_table.ts";

const page = Deno.readTextFileSync(PAGE);

Deno.test("the page has the decision table of the program; make architecture writes it", () => {
  assertEquals(page, withDecisions(page));
});

Deno.test("each row of the decision table is a line of the page", () => {
  const lines = withDecisions(page).split("\n");
  for (const { decision, reason } of [table, seatTable].flatMap((table) => Object.values(table).flat())) {
    assert(lines.some((line) => line.endsWith(` | ${decision} | ${reason} |`)), `${decision}: ${reason}`);
  }
});
