import { asUserError, messageLines, withContext } from "../errors.ts";
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
    const subject = this.#subject(target);
    for (const step of steps) {
      const line = `${subject}: ${describe(step)}`;
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
  async takeUnlogged(target: string, steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#perform(target, step);
  }

  async #perform(target: string, step: Step, control?: Control): Promise<void> {
    try {
      this.locks.check(step);
      await this.host.perform(step, control);
    } catch (error) {
      throw target === "" ? error : withContext(target, error);
    }
  }

  /** Takes steps that must not keep others from being taken: what fails is reported. */
  async takeOrReport(target: string, steps: () => readonly Step[]): Promise<boolean> {
    try {
      await this.take(target, steps());
      return true;
    } catch (error) {
      this.report(error);
      return false;
    }
  }

  listing(image: string): Listing {
    return afterAll(files.listIfThere(image), this.#shown);
  }

  /** What an administrator should know, in the log. */
  logInfo(target: string, line: string): void {
    (this.host.show ?? this.host.log)(`${this.#subject(target)}: ${line}`);
  }

  /** What went wrong, in the log and on standard error, which `virsh` shows if the event fails. */
  report(error: unknown): void {
    for (const line of messageLines(withContext(this.domain, asUserError(error)))) {
      this.host.say(line);
      if (!this.isDry) this.host.log(line);
    }
  }

  #subject(target: string): string {
    return target === "" ? this.domain : `${this.domain} ${target}`;
  }
}
