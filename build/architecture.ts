/** The decision table in words: `make architecture` writes it between two marks of `docs/architecture.md`. */
import { type Facts, type Row, table } from "../lib/state/decision_table.ts";

export const PAGE = new URL("../docs/architecture.md", import.meta.url);

type Value<Fact extends keyof Facts> = `${Exclude<Facts[Fact], undefined>}`;
type Words = { readonly [Fact in Exclude<keyof Facts, "event">]-?: { readonly [V in Value<Fact>]?: string } };

/** What a row asks for, in the order in which it is told. */
const words: Words = {
  listed: { true: "configured", false: "not configured any more" },
  ours: { true: "in the session record", false: "not in the session record" },
  state: { plain: "plain", layered: "layered", session: "session", stray: "stray", missing: "missing" },
  ended: { true: "a session is set aside", false: "no session is set aside" },
  start: { fresh: "fresh start", resume: "restore", migrate: "incoming migration", refused: "refused start" },
  end: {
    normal: "shut down",
    destroyed: "destroyed",
    suspended: "saved or migrated",
    crashed: "crashed",
    failed: "failed",
  },
  source: {
    other: "domain names another file",
    gone: "domain has no such disk",
    unreadable: "XML unreadable",
  },
  flag: { set: "flagged", clear: "not flagged", unreadable: "configuration unreadable" },
  held: { true: "held", false: "not held" },
  keeps: { true: "`keep-session`" },
  unborn: { true: "its guest never came up", false: "its guest came up" },
  saved: { true: "left to a saved guest", false: "not left to a saved guest" },
  replaced: { true: "another file in its place" },
  came: { restore: "restored", migration: "came by migration" },
  waits: { true: "it waits for a saved guest, or to be set aside" },
  look: { busy: "in use", moved: "backing file elsewhere", replaced: "replaced", damaged: "not readable" },
};

function condition(when: Row["when"]): string {
  const facts = (Object.keys(words) as (keyof Words)[]).filter((fact) => when[fact] !== undefined);
  const parts = facts.map((fact) =>
    [when[fact]].flat().map((value) => wordsFor(fact, `${value}`)).join(" or ")
  );
  return parts.join("; ") || "anything else";
}

function wordsFor(fact: keyof Words, value: string): string {
  const found = (words[fact] as Readonly<Record<string, string>>)[value];
  if (found === undefined) throw new Error(`build/architecture.ts has no words for ${fact}: ${value}`);
  return found;
}

/** The page with the table as the program has it. */
export function withDecisions(page: string): string {
  const tables = Object.entries(table).map(([event, rows]) => {
    const lines = rows.map(({ when, decision, reason }) =>
      `| ${condition(when)} | ${decision} | ${reason} |`
    );
    return [`At \`${event}\`:`, "", "| if | decision | reason |", "| --- | --- | --- |", ...lines].join("\n");
  });
  const marked = /(?<=<!-- decisions -->\n)[^]*(?=<!-- \/decisions -->)/;
  return page.replace(marked, () => `\n${tables.join("\n\n")}\n\n`);
}

if (import.meta.main) Deno.writeTextFileSync(PAGE, withDecisions(Deno.readTextFileSync(PAGE)));
