/**
 * Processes that run beside each other, one call at a time: which of them goes on is for the test to say. Their locks are
 * kept here, since a lock that waits in a thread of its own can't be told from one that is about to be taken.
 */

import { UserError } from "../lib/errors.ts";
import type { Host } from "../lib/host/host.ts";
import type { Lock } from "../lib/host/lock.ts";
import type { QemuImg } from "../lib/host/qemu_img.ts";
import { copyDown, exists } from "./fixture.ts";

/** Whoever waits for so long, in milliseconds, waits for somebody who will let go, or there is a deadlock. */
const LONG = 30_000;

/** Long enough that a merge sees that it is asked to stop, in milliseconds. */
const A_LOOK = 25;

export class Tasks {
  readonly #all: Task[] = [];
  readonly locks = new Map<string, Task>();

  spawn(name: string, act: (task: Task) => Promise<void>): Task {
    const task = new Task(name, this, act);
    this.#all.push(task);
    return task;
  }

  /** Those that could go on now. Where all wait, the least patient gives up. */
  ready(): readonly Task[] {
    const alive = this.#all.filter(({ isOver }) => !isOver);
    const ready = alive.filter(({ waits }) => waits === undefined || !this.locks.has(waits.path));
    if (ready.length > 0 || alive.length === 0) return ready;
    const [first] = alive.toSorted((a, b) => a.waits!.patience - b.waits!.patience);
    if (first!.waits!.patience >= LONG) {
      const told = alive.map(({ name, waits }) => `${name} waits for ${waits!.path}`);
      throw new Error(`deadlock: ${told.join(", ")}`);
    }
    first!.isLate = true;
    return [first!];
  }

  /** One to just before its step with this number, counted from 0, or to where it waits for a lock. */
  async goTo(task: Task, step: number): Promise<void> {
    while (this.ready().includes(task) && !(task.isAtStep && task.steps === step)) await task.go();
  }

  /** All to their end; `choose` says who goes on, unless it has killed one. */
  async finishAll(choose: (ready: readonly Task[]) => Task | undefined = (ready) => ready[0]): Promise<void> {
    for (let ready = this.ready(); ready.length > 0; ready = this.ready()) await choose(ready)?.go();
    const failed = this.#all.find(({ error }) => error !== undefined);
    if (failed) throw new Error(failed.name, { cause: failed.error });
  }
}

export class Task {
  waits: { readonly path: string; readonly patience: number } | undefined;
  /** It has waited for as long as it wants to. */
  isLate = false;
  isOver = false;
  error: unknown;
  /** Calls so far, and those of them that change something on disk. */
  calls = 0;
  steps = 0;
  isAtStep = false;
  #turn = Promise.withResolvers<void>();
  #parked = Promise.withResolvers<void>();

  constructor(readonly name: string, readonly all: Tasks, act: (task: Task) => Promise<void>) {
    const run = async () => {
      await this.gate();
      await act(this);
    };
    run().catch((error) => this.error = error).finally(() => {
      this.isOver = true;
      this.#parked.resolve();
    });
  }

  /** Lets it do its next call, up to the one after it. */
  async go(): Promise<void> {
    this.calls++;
    if (this.isAtStep) this.steps++;
    this.isAtStep = false;
    this.#parked = Promise.withResolvers();
    this.#turn.resolve();
    await this.#parked.promise;
  }

  /** Killed where it stands: it does nothing more, and its locks are free. */
  kill(): void {
    this.isOver = true;
    for (const [path, holder] of this.all.locks) if (holder === this) this.all.locks.delete(path);
  }

  /** Waits for its turn, and for a lock if one is named. */
  async gate(waits?: Task["waits"]): Promise<void> {
    this.waits = waits;
    this.#turn = Promise.withResolvers();
    this.#parked.resolve();
    await this.#turn.promise;
    this.waits = undefined;
  }

  readonly #lock: Lock = async (path, { patience = LONG, stop } = {}) => {
    do {
      await this.gate({ path, patience });
      await this.#heed();
      stop?.throwIfAborted();
      if (this.isLate) {
        this.isLate = false;
        throw new UserError(`another event holds ${path}`, { healedBy: "event" });
      }
    } while (this.all.locks.has(path));
    this.all.locks.set(path, this);
    // A start asks only merges of which there is this file to stop.
    if (!exists(path)) Deno.writeTextFileSync(path, "");
    return { [Symbol.dispose]: () => void this.all.locks.delete(path) };
  };

  /** A host of which each call waits for its turn. */
  readonly wrap = (host: Host): Host => ({
    ...host,
    lock: this.#lock,
    qemuImg: this.#gated(host.qemuImg),
    perform: async (step, control) => {
      this.isAtStep = true;
      await this.gate();
      if (step.kind === "merge") {
        copyDown(step.layer, 0.5);
        await this.gate();
        await this.#heed();
        if (control?.stop?.aborted) throw new UserError("qemu-img commit was killed by SIGKILL");
      }
      await host.perform(step, control);
    },
  });

  /** A merge that is asked to stop sees it. */
  async #heed(): Promise<void> {
    for (const [path, holder] of this.all.locks) {
      if (holder !== this || !path.endsWith(".merging")) continue;
      if (exists(path.replace(/merging$/, "stop-merging"))) await pause(A_LOOK);
    }
  }

  #gated(program: QemuImg): QemuImg {
    return {
      ...program,
      info: async (image) => {
        await this.gate();
        return await program.info(image);
      },
    };
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, milliseconds));
}
