/** Cuts an event short in a way, and judges what is left. */

import type { Tree } from "../tests/tree.ts";
import type { Before, Cut, Judge } from "./cuts.ts";
import type { ProofFixture, Traced } from "./proof_fixture.ts";

/** An event in its state, to be tried again and again from the same files. */
export class Trial {
  readonly #seen = new Set<string>();

  private constructor(
    readonly cut: Cut,
    readonly fixture: ProofFixture,
    readonly before: Tree,
    readonly judge: Judge,
  ) {}

  static async of(cut: Cut, fixture: ProofFixture): Promise<Trial> {
    const judge = await cut.setUp(fixture);
    return new Trial(cut, fixture, fixture.tree(), judge);
  }

  /** Runs the event as the tracer is told. */
  async run(how: readonly string[]): Promise<Traced> {
    this.fixture.restore(this.before);
    return await this.fixture.trace(this.cut.args, how);
  }

  /**
   * Judges the files as they lie there. Trees that no event could tell apart are judged once.
   *
   * @param done whether the event said that it is done
   * @throws if a promise is broken
   */
  async check(before: Exclude<Before, "done">, done = false): Promise<void> {
    const { fixture, judge } = this;
    const left = fixture.tree();
    if (this.#seen.has(`${left.key}${done}`)) return;
    judge.whole(done);
    fixture.checkImages({ leaks: true });
    for (const { after, check } of judge.futures) {
      // No guest runs on after a power cut.
      if (!after.includes(before) && !(done && before === "fault" && after.includes("done"))) continue;
      fixture.restore(left);
      await check();
      fixture.checkImages({ leaks: false });
    }
    this.#seen.add(`${left.key}${done}`);
  }
}
