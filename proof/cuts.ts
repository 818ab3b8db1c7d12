/** What is cut short, and what must be true then: the promises of the unit tests, for the compiled program. */

import { assertEquals } from "@std/assert";
import { inContext } from "../tests/fault.ts";
import {
  checkKept,
  checkUndone,
  type History,
  live,
  type Past,
  placeOf,
  whateverIsNext,
} from "../tests/history.ts";
import { Expectations } from "../tests/expectations.ts";
import { failed, flagsOf, type Scenario, scenarios } from "../tests/scenario.ts";
import { DOMAIN } from "../tests/fixture.ts";
import { Pool } from "../tests/pool.ts";
import { PoolExpectations, type PoolScenario, poolScenarios } from "../tests/pool_scenario.ts";
import type { ProofFixture } from "./proof_fixture.ts";

/** One event or command in one state. */
export interface Cut {
  /** The event: a row of the table. */
  readonly event: string;
  /** Disks, layers, and what else makes its state. */
  readonly state: string;
  /** Arguments of the program. */
  readonly args: readonly string[];
  /** To just before the event. */
  readonly setUp: (fixture: ProofFixture) => Promise<Judge>;
}

/** Judges a fixture in which the event was cut short. */
export interface Judge {
  /** Before anything is mended. @param done whether the program said so */
  readonly whole: (done: boolean) => void;
  readonly futures: readonly Future[];
}

export type Before = "fault" | "reboot" | "done";

/** What may come next. */
export interface Future {
  /** What it may follow: a kill or a fault, the host being switched on again, or an event that says it is done. */
  readonly after: readonly Before[];
  /** @throws if a promise is broken */
  readonly check: () => Promise<void>;
}

/** A guest's start is over, and nothing remembers it; a saved one is about to come back. */
function small(targets: readonly string[], layers: number): Scenario[] {
  const [a, b] = ["an end", "a start from a save"].map((name) => {
    const scenario = scenarios(targets, layers).find((scenario) => scenario.name.startsWith(`${name} (`));
    if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
    return scenario;
  });
  const size = a!.name.slice(a!.name.indexOf("("));
  const up = ["started", "reconnect"].map((operation): Scenario => (
    {
      ...a!,
      name: `${
        operation === "started" ? "a guest that has come up" : "a guest that libvirtd finds again"
      } ${size}`,
      setUp: async (fixture) => {
        fixture.disks(flagsOf(targets, false));
        await fixture.good("prepare");
      },
      event: [operation, "-"],
      next: [[[failed, ["prepare", "-"]], "base"], [[["prepare", "-"]], "base"]],
    }
  ));
  return [
    ...up,
    {
      ...b!,
      name: `the announcement of a save ${size}`,
      setUp: async (fixture) => {
        await a!.setUp(fixture);
        await fixture.stop("saved");
      },
      event: ["restore", "-"],
      next: [[[["restore", "-"], ["prepare", "-"]], "session"]],
    },
  ];
}

function cutEvent(scenario: Scenario, firmware = false): Cut {
  const [event, size] = scenario.name.split(/ \((?=[^(]*$)/) as [string, string];
  const state = `${size.slice(0, -1)}${firmware ? ", firmware" : ""}`;
  const [operation, extra] = scenario.event;
  return {
    event,
    state,
    args: [DOMAIN, operation, operation === "release" ? "end" : "begin", extra],
    setUp: async (fixture) => {
      if (firmware) fixture.addFirmware({ isMade: true });
      await scenario.setUp(fixture);
      const promised = new Expectations(fixture, scenario);
      return {
        whole: () => promised.checkWhole(),
        futures: scenario.next.map(([sequence, finds]): Future => ({
          // An end that nobody was there to tell of is never told.
          after: sequence.some(([operation]) => operation === "release") ? ["fault"] : ["fault", "reboot"],
          check: async () => {
            scenario.mend?.(fixture);
            for (const [operation, extra] of sequence) await fixture.event(operation, extra);
            await inContext(sequence, () => promised.checkLives(finds));
          },
        })).concat(
          // A start that is done is followed by the guest itself.
          operation !== "prepare" ? [] : {
            after: ["done"],
            check: () => promised.checkLives(scenario.next[0]![1]),
          },
        ),
      };
    },
  };
}

const verbs = {
  merge: {
    event: "a merge",
    whole: (fixture: ProofFixture, { targets }: Past, history: History, before: number) => {
      for (const target of targets) assertEquals(placeOf(fixture, history, target), before);
    },
  },
  undo: { event: "an undo", whole: checkUndone },
  keep: { event: "a keep", whole: checkKept },
};

function cutCommand(verb: keyof typeof verbs, past: Past): Cut {
  const { targets, layers, keepCommits, torn, aside } = past;
  const disks = `${targets.length} disk${targets.length > 1 ? "s" : ""}`;
  const more = [keepCommits > 0 && "one commit kept", torn && "torn", aside && "a session set aside"];
  const { event, whole } = verbs[verb];
  return {
    event,
    state: [disks, `${layers} layer${layers > 1 ? "s" : ""}`, ...more].filter(Boolean).join(", "),
    args: verb === "undo" ? [verb, DOMAIN, "--yes"] : [verb, DOMAIN],
    setUp: async (fixture) => {
      const history = await live(fixture, past);
      const before = placeOf(fixture, history, targets[0]!);
      return {
        whole: (done) => void whole(fixture, past, history, before, done),
        futures: [{
          after: ["fault", "reboot"],
          check: async () => {
            await whateverIsNext(fixture, past, history);
            // The last of them ends where it began, if the same files were judged before.
            await fixture.start();
            await fixture.stop();
          },
        }],
      };
    },
  };
}

function cutPool(scenario: PoolScenario): Cut {
  return {
    event: `seats: ${scenario.name}`,
    state: "1 disk, 2 layers",
    args: scenario.args,
    setUp: async (fixture) => {
      const pool = new Pool(fixture);
      for (const seat of pool.seats) fixture.guests.set(seat, () => pool.xml(seat));
      await scenario.setUp(pool);
      const promised = new PoolExpectations(pool, scenario);
      return {
        whole: () => promised.checkOthers(),
        futures: scenario.next.map((sequence): Future => ({
          after: sequence.some(([operation]) => operation === "release") ? ["fault"] : ["fault", "reboot"],
          check: () => promised.checkLives(sequence),
        })),
      };
    },
  };
}

/** Every event in every state, and every command on every kind of disk. */
export function allCuts(): Cut[] {
  const vda = ["vda"];
  const both = ["vda", "vdb"];
  const events = [
    ...small(vda, 1),
    ...[1, 2, 3].flatMap((layers) => scenarios(vda, layers)),
    ...[1, 2].flatMap((layers) => scenarios(both, layers)),
  ];
  const past = (
    layers: number,
    more: Partial<Past> = {},
  ): Past => ({ targets: vda, layers, keepCommits: 0, torn: false, aside: false, ...more });
  // What stands in the way of that start exists in memory only.
  const isReal = ({ name }: Scenario) => !name.startsWith("a start that is refused half-way");
  return [
    ...events.filter(isReal).map((scenario) => cutEvent(scenario)),
    ...[...scenarios(vda, 1), ...scenarios(both, 2)].filter(isReal).map((scenario) =>
      cutEvent(scenario, true)
    ),
    ...[past(2), past(2, { torn: true }), past(3), past(3, { aside: true }), past(2, { targets: both })]
      .map((past) => cutCommand("merge", past)),
    ...[past(2), past(3, { keepCommits: 1 }), past(3, { torn: true }), past(2, { aside: true })]
      .map((past) => cutCommand("undo", past)),
    cutCommand("undo", past(3, { targets: both, keepCommits: 1 })),
    ...[past(1, { aside: true }), past(2, { aside: true }), past(2, { aside: true, targets: both })]
      .map((past) => cutCommand("keep", past)),
    ...poolScenarios.map(cutPool),
  ];
}

/** One state for each event, and two disks for each event that decides on both. */
export function eachEvent(): Cut[] {
  const chosen = new Map<string, Cut>();
  for (const cut of allCuts()) {
    const [disks, layers, more] = cut.state.split(", ") as [string, string, string?];
    if (disks === "1 disk" && layers === "2 layers" || !chosen.has(cut.event)) chosen.set(cut.event, cut);
    if (disks === "1 disk" && more === "firmware") chosen.set(`${cut.event}, firmware`, cut);
    if (disks === "2 disks" && layers === "1 layer") chosen.set(`${cut.event}, two disks`, cut);
  }
  return [...chosen.values()];
}
