import { asTrouble, concerning, spoken } from "../errors.ts";
import * as files from "./files.ts";
import type { Host } from "./host.ts";
import { Locks } from "./locks.ts";
import type { Control } from "./qemu_img.ts";
import { guestNames } from "../state/paths.ts";
import type { Listing } from "../state/state.ts";
import { afterAll, describe, type Step } from "../state/step.ts";

/** One event being dealt with: it takes steps, or shows them, and knows the names on disk as they are then. */
export class Run {
  readonly #shown: Step[] = [];
  readonly locks: Locks;

  constructor(readonly host: Host, readonly domain: string) {
    this.locks = new Locks(host, guestNames(host.settings.configFolder, domain));
  }

  get isDry(): boolean {
    return this.host.show !== undefined;
  }

  /** Takes the steps in order, one line of the log each, and stops at the first that fails. */
  async take(target: string, steps: readonly Step[], control?: Control): Promise<void> {
    const whom = this.#whom(target);
    for (const step of steps) {
      const line = `${whom}: ${describe(step)}`;
      if (this.host.show) {
        this.host.show(line);
        this.#shown.push(step);
        continue;
      }
      await this.#perform(target, step, control);
      this.host.log(line);
    }
  }

  /** Takes steps that leave nothing changed: only what goes wrong is told. */
  async tryOut(target: string, steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#perform(target, step);
  }

  async #perform(target: string, step: Step, control?: Control): Promise<void> {
    try {
      this.locks.check(step);
      await this.host.perform(step, control);
    } catch (error) {
      throw target === "" ? error : concerning(target, error);
    }
  }

  /** Takes steps that must not keep others from being taken: what fails is reported. */
  async tryTo(target: string, steps: () => readonly Step[]): Promise<boolean> {
    try {
      await this.take(target, steps());
      return true;
    } catch (error) {
      this.report(error);
      return false;
    }
  }

  listing(image: string): Listing {
    return afterAll(files.list(image), this.#shown);
  }

  /** What an administrator should know, in the log. */
  tell(target: string, line: string): void {
    (this.host.show ?? this.host.log)(`${this.#whom(target)}: ${line}`);
  }

  /** What went wrong, in the log and on standard error, which `virsh` shows if the event fails. */
  report(error: unknown): void {
    for (const line of spoken(concerning(this.domain, asTrouble(error)))) {
      this.host.say(line);
      if (!this.isDry) this.host.log(line);
    }
  }

  #whom(target: string): string {
    return target === "" ? this.domain : `${this.domain} ${target}`;
  }
}
