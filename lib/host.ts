import { clearFlags, writeConfig } from "./config.ts";
import * as files from "./files.ts";
import { type Lock, Locks } from "./lock.ts";
import type { Log } from "./log.ts";
import { folderOf, guestNames } from "./names.ts";
import { formatNote } from "./note.ts";
import type { Control, QemuImg } from "./qemu_img.ts";
import type { Settings } from "./settings.ts";
import type { Listing } from "./state.ts";
import { afterAll, describe, formatStart, type Step } from "./step.ts";
import { asTrouble, concerning, shellWord, spoken, Trouble } from "./voice.ts";

/** What an event needs of the world. */
export interface Host {
  readonly settings: Settings;
  readonly qemuImg: QemuImg;
  /** Does one step, durably. It alone changes anything on disk. */
  readonly perform: (step: Step, control?: Control) => Promise<void>;
  /** Free bytes of the file system that a folder lies on. */
  readonly freeBytes: (folder: string) => Promise<number>;
  readonly lock: Lock;
  readonly log: Log;
  /** A line for whoever reads standard error. */
  readonly say: (line: string) => void;
  /** A line of a dry run; undefined if the run is real. */
  readonly show: ((line: string) => void) | undefined;
  /** The domain's XML. */
  readonly readXml: () => string;
  readonly now: () => Date;
}

/** The interpreter of steps: each is one durable call. */
export function performer(qemuImg: QemuImg, background: (domain: string) => void): Host["perform"] {
  return async (step, control) => {
    switch (step.kind) {
      case "link":
        return files.link(step.from, step.to);
      case "rename":
        return files.rename(step.from, step.to);
      case "remove":
        return files.remove(step.path);
      case "own":
        return files.own(step.path, step.owner);
      case "sync":
        return files.sync(step.path);
      case "create":
        return await create(step.overlay, step.backing, qemuImg);
      case "merge":
        return await qemuImg.commit(step.layer, step.into, control);
      case "repair":
        return await qemuImg.repair(step.path, control);
      case "background":
        return background(step.domain);
      case "clear":
        return await clearFlags(step.config, step.targets);
      case "note":
        if (step.entries.length === 0) return files.remove(step.path);
        return files.write(step.path, formatNote(step.entries), { durable: true });
      case "starting":
        // A power cut ends the start anyway.
        return files.write(step.path, formatStart(step), { durable: false });
      case "configure":
        return writeConfig(step.config, step.text);
      default:
        return step satisfies never;
    }
  };
}

/**
 * Makes an overlay under a name that nothing has: `qemu-img create` would empty what is there, and that may be a disk.
 *
 * @throws {Trouble} with what to look at first: an overlay is the only thing of a start that takes room
 */
async function create(overlay: string, backing: string, qemuImg: QemuImg): Promise<void> {
  files.claim(overlay);
  try {
    await qemuImg.create(overlay, backing);
  } catch (error) {
    const {
      message,
      hint = `see whether there is room for it: df -h ${shellWord(folderOf(overlay))}`,
      heals,
    } = asTrouble(error);
    throw new Trouble(message, { cause: error, hint, heals });
  }
}

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
