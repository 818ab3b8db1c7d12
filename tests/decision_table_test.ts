import { assert, assertEquals } from "@std/assert";
import {
  decide,
  type Decision,
  type Facts,
  isRefusal,
  type Row,
  table,
} from "../lib/state/decision_table.ts";
import { atPrepare, atRelease, type Known, listedAtPrepare, unlistedAtPrepare } from "./facts.ts";

/** The row for facts of which all that can be looked up is known. */
function rowFor(facts: Known): Row {
  const verdict = decide(facts);
  assert("row" in verdict);
  return verdict.row;
}

const decisions = new Map([...atPrepare, ...atRelease].map((facts) => [facts, rowFor(facts).decision]));

/** No combination with these facts may have such a decision. */
function never(
  among: readonly Known[],
  decision: readonly Decision[],
  when: (facts: Known) => boolean,
): void {
  const bad = among.find((facts) => when(facts) && decision.includes(decisions.get(facts)!));
  assertEquals(bad, undefined, `${bad && decisions.get(bad)}`);
}

/** Every combination with these facts has this decision, and there are some. */
function always(among: readonly Known[], decision: Decision, when: (facts: Known) => boolean): void {
  const such = among.filter(when);
  assert(such.length > 0);
  assertEquals(such.find((facts) => decisions.get(facts) !== decision), undefined);
}

Deno.test("every row is reached by some combination of facts", () => {
  const reached = new Set([...decisions.keys()].map(rowFor));
  assertEquals([...table.prepare, ...table.release].filter((row) => !reached.has(row)), []);
});

Deno.test("what is not known is asked for one by one, and ends in the row of all facts", () => {
  for (const all of [...atPrepare, ...atRelease]) {
    const { saved, look, replaced, stood, ...known } = all;
    let facts: Facts = known;
    for (let asked = 0; asked < 5; asked++) {
      const verdict = decide(facts);
      if ("row" in verdict) {
        assertEquals(verdict.row, rowFor(all));
        break;
      }
      assert(facts[verdict.lookUp] === undefined, "nothing is asked for twice");
      facts = { ...facts, [verdict.lookUp]: { saved, look, replaced, stood }[verdict.lookUp] };
    }
  }
});

Deno.test("no process is started at an end of an idle disk, or one that the guest came to by itself", () => {
  for (const { look: _, ...facts } of [...atPrepare, ...atRelease]) {
    const idle = facts.state !== "session" && (facts.event === "release" || !facts.listed);
    const said = facts.event === "release" && ["normal", "suspended"].includes(facts.end) &&
      facts.start !== "fresh" && facts.source === "same" && facts.came !== "migration";
    if (idle || said) assert("row" in decide(facts), JSON.stringify(facts));
  }
});

Deno.test("qemu-img is not asked about a session that libvirt holds a managed save of", () => {
  for (const { look: _, ...facts } of atRelease) {
    const isSource = ["crashed", "failed", "destroyed"].includes(facts.end);
    if (facts.came === "migration" || facts.start === "fresh" || isSource) continue;
    if (facts.saved && facts.source !== "gone") assert("row" in decide(facts), JSON.stringify(facts));
  }
});

Deno.test("the end of a start that failed over a held session asks nothing", () => {
  for (const { saved: _, look: __, ...facts } of atRelease) {
    const isHeld = facts.start === "fresh" && facts.held && facts.ours;
    if (isHeld && facts.source !== "other") assert("row" in decide(facts), JSON.stringify(facts));
  }
});

const touching = ["discard", "commit", "set aside"] as const;

Deno.test("an end never touches what isn't ours", () => {
  never(atRelease, touching, ({ ours }) => !ours);
});

Deno.test("an end never touches a session that another file may stand on", () => {
  never(atRelease, touching, ({ source }) => source === "other" || source === "unreadable");
});

Deno.test("an end never touches the session of a guest that is still to be resumed, or was refused", () => {
  never(atRelease, touching, ({ start }) => ["resume", "migrate", "refused"].includes(start));
});

Deno.test("the end of a guest that was up never touches a session that goes on elsewhere", () => {
  never(atRelease, touching, ({ start, end }) => start === "up" && end === "suspended");
  never(atRelease, touching, ({ start, end, saved }) => start === "up" && end === "unknown" && saved);
  never(
    atRelease,
    touching,
    ({ start, end, look }) => start === "up" && end === "unknown" && look === "busy",
  );
});

Deno.test("an end never touches a session whose guest, or whose guest's memory, is still elsewhere", () => {
  never(
    atRelease,
    touching,
    ({ came, look, source }) => came === "migration" && look === "busy" && source === "same",
  );
  never(atRelease, touching, ({ came, end, start }) => start === "up" && came !== "not" && end === "failed");
});

Deno.test("an end never does anything where there is no session", () => {
  always(atRelease, "nothing", ({ state }) => state !== "session");
});

Deno.test("an end never forgets a flagged session of a guest that was up", () => {
  never(
    atRelease,
    ["discard", "set aside"],
    ({ start, flag, source }) => start === "up" && flag === "set" && source !== "gone",
  );
  never(atRelease, ["discard", "set aside"], ({ start, flag }) => start === "up" && flag !== "clear");
});

Deno.test("an end leaves a disk that was detached and is used elsewhere", () => {
  never(
    atRelease,
    ["discard", "set aside", "commit"],
    ({ source, look }) => source === "gone" && look === "busy",
  );
});

Deno.test("an end holds a session of which nobody can tell what stands on it", () => {
  always(
    atRelease,
    "hold",
    ({ state, ours, start, source, waits }) =>
      state === "session" && ours && (start === "up" || start === "fresh") && source === "unreadable" &&
      !waits,
  );
});

Deno.test("an end commits nothing but flagged sessions of guests that were up", () => {
  never(atRelease, ["commit"], ({ start, flag }) => start !== "up" || flag !== "set");
  never(atRelease, ["commit"], ({ end }) => end === "failed" || end === "suspended");
});

Deno.test("a flagged session that is over is committed", () => {
  always(
    atRelease,
    "commit",
    ({ state, start, end, flag, ours, source, replaced, waits, came, look, saved }) =>
      state === "session" && start === "up" && end === "normal" && flag === "set" && ours &&
      source === "same" && !replaced && !waits && !(came === "migration" && look === "busy") &&
      !(came === "restore" && saved),
  );
});

Deno.test("an end neither commits nor throws away another file that was put in a session's place", () => {
  never(
    atRelease,
    ["commit", "discard", "set aside"],
    ({ state, replaced }) => state === "session" && replaced,
  );
});

const losing = ["new session", "discard", "let go"] as const;

Deno.test("a start never loses a session that isn't ours, is in use, or was replaced", () => {
  never(atPrepare, losing, ({ state, ours }) => state === "session" && !ours);
  never(atPrepare, losing, ({ state, look }) => state === "session" && look === "busy");
  for (const put of ["replaced", "moved"]) {
    never(atPrepare, losing, ({ state, look }) => state === "session" && look === put);
  }
});

Deno.test("a start never loses a flagged session that was held", () => {
  never(listedAtPrepare, losing, ({ state, flag, held }) => state === "session" && flag === "set" && held);
});

Deno.test("a start with a memory of its own never loses the session", () => {
  never(atPrepare, losing, ({ state, start }) => state === "session" && start !== "fresh");
  never(atPrepare, losing, ({ ended, start }) => ended && start !== "fresh");
});

Deno.test("a start never touches what another file may stand on", () => {
  never(unlistedAtPrepare, losing, ({ source }) => source === "other" || source === "unreadable");
});

Deno.test("a start without a disk is refused", () => {
  for (const facts of listedAtPrepare) {
    if (facts.state === "missing" || facts.state === "stray") assert(isRefusal(decisions.get(facts)!));
  }
});

Deno.test("a disk that is no longer configured keeps no guest from starting but by a session that is in use, replaced, not its own, gone, to be kept or waited for, or by seats", () => {
  for (const facts of unlistedAtPrepare) {
    if (isRefusal(decisions.get(facts)!)) {
      assert(
        facts.stood ||
          facts.start === "resume" && (facts.ended !== false || isIdle(facts) && facts.saved) ||
          facts.state === "session" &&
            (!facts.ours || facts.held || facts.saved || ["busy", "moved", "replaced"].includes(facts.look)),
      );
    }
  }
});

const isIdle = ({ state }: Facts) => state === "plain" || state === "layered";

Deno.test("a fresh start of an idle disk begins a session, whatever lies beside it", () => {
  always(
    listedAtPrepare,
    "new session",
    (facts) => isIdle(facts) && facts.start === "fresh" && !["busy", "damaged", "moved"].includes(facts.look),
  );
});

Deno.test("a start on a disk that is in use, or no image, is refused", () => {
  const opens = (facts: Facts) => isIdle(facts) && facts.start !== "migrate";
  always(listedAtPrepare, "refuse: in use", (facts) => opens(facts) && facts.look === "busy");
  always(listedAtPrepare, "refuse: unreadable", (facts) => opens(facts) && facts.look === "damaged");
});
