/** What must be true of a fixture in which an event was cut short. */

import { assert, assertEquals } from "@std/assert";
import type { Fixture } from "./fixture.ts";
import { type Finds, flagsOf, type Scenario } from "./scenario.ts";
import { Tree } from "./tree.ts";

/** What a disk holds, and what its last session added: set down before the event. */
export class Expectations {
  readonly #base: ReadonlyMap<string, string>;
  readonly #session: ReadonlyMap<string, string>;
  /** Fixture that have gone on from here already, and well. */
  readonly #lived = new Set<string>();

  constructor(readonly fixture: Fixture, readonly scenario: Scenario) {
    const text = (content: unknown) => JSON.stringify(content, undefined, 1);
    const { targets } = scenario;
    this.#base = new Map(targets.map((target) => [target, text(fixture.disk(target))]));
    this.#session = new Map(targets.map((target) => {
      const state = fixture.state(target);
      const image = fixture.image(target);
      const last = "ended" in state && state.ended && state.kind === "layered"
        ? `${image}.autorevert-ended`
        : image;
      return [target, text(fixture.read(last))];
    }));
  }

  content(target: string, finds: Finds): Record<string, string> {
    return JSON.parse((finds === "base" ? this.#base : this.#session).get(target)!);
  }

  /** Right after the fault, before anything is mended: no disk is a mixture. */
  checkWhole(): void {
    for (const target of this.scenario.targets) {
      const is = JSON.stringify(this.fixture.disk(target), undefined, 1);
      const may = [this.#base.get(target)!];
      if (this.scenario.commits?.includes(target)) may.push(this.#session.get(target)!);
      assert(may.includes(is), `${target} is ${is}, should be one of ${may.join(" or ")}`);
    }
  }

  /** The guest runs, ends, and lives once more. */
  async checkLives(finds: Finds): Promise<void> {
    const { fixture, scenario: { targets, commits = [], setsAside } } = this;
    const { key } = new Tree(fixture.root);
    if (this.#lived.has(finds + key)) return;
    const flags = this.#meant();
    const kept = new Map<string, Record<string, string>>();
    for (const target of targets) {
      const found: Finds = commits.includes(target) ? "session" : finds;
      const content = this.content(target, found);
      assertEquals(fixture.read(fixture.image(target)), content, `what the guest finds on ${target}`);
      assertEquals(fixture.state(target).kind, "session");
      const disk = commits.includes(target) && !flags[target] ? "session" : "base";
      assertEquals(fixture.disk(target), this.content(target, disk), `${target} below the running session`);
      kept.set(target, flags[target] ? { ...content, later: "yes" } : fixture.disk(target) as never);
      fixture.write(fixture.image(target), "later");
    }
    assertEquals(
      new Set(commits.map((target) => flags[target])).size <= 1,
      true,
      "kept together or not at all",
    );

    await fixture.good("started");
    await fixture.stop();
    const isSetAside = fixture.files().some((name) => name.endsWith("-ended"));
    if (!setsAside || !isSetAside) this.#checkIdle(kept);

    await fixture.start();
    for (const target of targets) {
      assertEquals(fixture.read(fixture.image(target)), kept.get(target));
      fixture.write(fixture.image(target), "junk");
    }
    await fixture.stop("destroyed");
    this.#checkIdle(kept);
    this.#lived.add(finds + key);
  }

  /** Whether each session is to be committed: its flag is set, or it bears a mark in place of that. */
  #meant(): Record<string, boolean> {
    const { fixture } = this;
    const isMarked = (target: string) => {
      const state = fixture.state(target);
      return "marked" in state && state.marked === true;
    };
    const flags = Object.entries(fixture.flags());
    return Object.fromEntries(flags.map(([target, flag]) => [target, flag || isMarked(target)]));
  }

  #checkIdle(kept: ReadonlyMap<string, unknown>): void {
    const { fixture, scenario: { targets } } = this;
    for (const target of targets) {
      assertEquals(fixture.disk(target), kept.get(target), `${target} at the end`);
    }
    assertEquals(fixture.flags(), flagsOf(targets, false));
    assertEquals(fixture.files(), targets.map((target) => `${target}.img`));
    const left = fixture.files(fixture.config).filter((name) => !/\.((folder-)?lock|merging)$/.test(name));
    assertEquals(left, ["guest.json"]);
  }
}
