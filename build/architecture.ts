/** The decision table in words: `make architecture` writes it between two marks of `docs/architecture.md`. */
import { type Facts, table } from "../lib/state/decision_table.ts";
import { type SeatFacts, seatTable } from "../lib/state/seat_table.ts";

export const PAGE = new URL("../docs/architecture.md", import.meta.url);

type Value<Fact extends keyof Facts> = `${Exclude<Facts[Fact], undefined>}`;
type Words = { readonly [Fact in Exclude<keyof Facts, "event">]-?: { readonly [V in Value<Fact>]?: string } };

/** What a row asks for, in the order in which it is told. */
const words: Words = {
  listed: { true: "configured", false: "not configured any more" },
  ours: { true: "in the session record", false: "not in the session record" },
  state: { plain: "plain", layered: "layered", session: "session", stray: "stray", missing: "missing" },
  ended: {
    true: "a session is set aside",
    false: "no session is set aside",
    other: "another session than its own is set aside",
  },
  start: { fresh: "fresh start", resume: "restore", migrate: "incoming migration", refused: "refused start" },
  end: {
    normal: "shut down",
    destroyed: "destroyed",
    suspended: "saved or migrated",
    crashed: "crashed",
    failed: "failed",
  },
  source: {
    same: "domain names it",
    other: "domain names another file",
    gone: "domain has no such disk",
    unreadable: "XML unreadable",
  },
  flag: { set: "flagged", clear: "not flagged", unreadable: "flag unknown" },
  held: { true: "held", false: "not held" },
  keeps: { true: "`keep-session`" },
  unborn: { true: "its guest never came up", false: "its guest came up" },
  saved: { true: "left to a saved guest", false: "not left to a saved guest" },
  replaced: { true: "another file in its place" },
  came: { restore: "restored", migration: "came by migration" },
  waits: { true: "it waits for a saved guest, or to be set aside" },
  stays: { true: "what its start has set aside is still there" },
  stood: { true: "seats stand on it" },
  look: { busy: "in use", moved: "backing file elsewhere", replaced: "replaced", damaged: "not readable" },
};

type Dictionary = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** The same of a seat; where it has the same facts, it has the same words. */
const seatWords: Readonly<Record<Exclude<keyof SeatFacts, "event">, Readonly<Record<string, string>>>> = {
  listed: words.listed,
  ours: { true: "in the record of seats", false: "not in the record of seats" },
  file: { none: "no file", session: "session", other: "somebody's own file" },
  ended: words.ended,
  start: words.start,
  end: words.end,
  source: words.source,
  keeps: { true: "`keep-session`", unreadable: "configuration unreadable" },
  unborn: words.unborn,
  another: { true: "not the session that the guest was saved on, or that the note tells of" },
  saved: words.saved,
  came: words.came,
  waits: words.waits,
  either: { true: "nothing tells which of the two the guest was saved on" },
  stays: words.stays,
  look: { busy: "in use" },
};

function condition(when: Readonly<Record<string, unknown>>, dictionary: Dictionary): string {
  const facts = Object.keys(dictionary).filter((fact) => when[fact] !== undefined);
  const parts = facts.map((fact) =>
    [when[fact]].flat().map((value) => wordsFor(fact, `${value}`, dictionary)).join(" or ")
  );
  return parts.join("; ") || "anything else";
}

function wordsFor(fact: string, value: string, dictionary: Dictionary): string {
  const found = dictionary[fact]?.[value];
  if (found === undefined) throw new Error(`build/architecture.ts has no words for ${fact}: ${value}`);
  return found;
}

/** The page with the table as the program has it. */
export function withDecisions(page: string): string {
  const all = [
    ...Object.entries(table).map(([event, rows]) => [`At \`${event}\`:`, rows, words as Dictionary] as const),
    ...Object.entries(seatTable).map(([event, rows]) =>
      [`Of a seat, at \`${event}\`:`, rows, seatWords] as const
    ),
  ];
  const tables = all.map(([title, rows, dictionary]) => {
    const lines = rows.map(({ when, decision, reason }) =>
      `| ${condition(when, dictionary)} | ${decision} | ${reason} |`
    );
    return [title, "", "| if | decision | reason |", "| --- | --- | --- |", ...lines].join("\n");
  });
  const marked = /(?<=<!-- decisions -->\n)[^]*(?=<!-- \/decisions -->)/;
  return page.replace(marked, () => `\n${tables.join("\n\n")}\n\n`);
}

if (import.meta.main) Deno.writeTextFileSync(PAGE, withDecisions(Deno.readTextFileSync(PAGE)));
