/** What can go wrong in the middle of an event. Lives here: a program that runs as root has no failpoints. */

import type { Host } from "../lib/host/host.ts";
import { temporaryName } from "../lib/state/paths.ts";
import type { Step } from "../lib/state/step.ts";
import { copyDown, type Fixture } from "./fixture.ts";

export const faults = [
  /** A crash: this step and all later ones don't happen, so that no cleanup tidies up as no crash would. */
  "dies before",
  /** A crash just after the step took effect. */
  "dies after",
  /** A crash in the middle of a step that isn't one call of the system. */
  "dies within",
  /** An error, as of a full disk: later steps work. */
  "fails before",
  /** An error that comes when the step took effect, as of an fsync. */
  "fails after",
] as const;

export type Fault = (typeof faults)[number];

/** Of what long tests leave behind they go on with one in so many; with `EVERY=1` with each. */
export const EVERY = Number(Deno.env.get("EVERY") ?? 3);

/** Makes one step go wrong; counts the steps from 0. */
export class Failing {
  #step = 0;
  #struck = false;

  /** @param half does half of a step that isn't one call of the system */
  constructor(readonly at: number, readonly fault: Fault, readonly half = doHalf) {}

  /** Whether the event was long enough for the fault to happen. */
  get struck(): boolean {
    return this.#struck;
  }

  readonly perform = (inner: Host["perform"]): Host["perform"] => async (step, control) => {
    const now = this.#step++;
    if (now < this.at || (now > this.at && this.fault.startsWith("fails"))) return await inner(step, control);
    if (now === this.at) {
      this.#struck = true;
      if (this.fault.endsWith("after")) await inner(step, control);
      if (this.fault === "dies within") this.half(step);
    }
    throw new Error(`step ${now} (${step.kind}): ${this.fault}`);
  };
}

export function doHalf(step: Step): void {
  switch (step.kind) {
    case "merge":
      return step.isWhole ? writeHalf(step.layer, step.into) : copyDown(step.layer, 0.5);
    case "create":
      return Deno.writeTextFileSync(step.overlay, "QFI");
    case "copy":
      return writeHalf(step.from, step.to);
    case "own":
      return Deno.chmodSync(step.path, step.owner.mode);
    case "clear":
    case "configure":
      return Deno.writeTextFileSync(temporaryName(step.config), '{"disks": [');
    case "note":
    case "seats":
    case "starting":
      return Deno.writeTextFileSync(temporaryName(step.path), "[");
    case "link":
    case "rename":
    case "remove":
    case "mark":
    case "touch":
    case "sync":
    case "repair":
    case "background":
      // One call of the system has happened or has not.
      return;
    default:
      return step satisfies never;
  }
}

function writeHalf(from: string, to: string): void {
  Deno.writeTextFileSync(to, Deno.readTextFileSync(from).slice(0, 3));
}

/** Far more than any event here takes. */
const MOST_STEPS = 200;

/** Runs something with the fault at its first step, at its second, and so on, until it is over before. */
export async function atEveryStep(fault: Fault, run: (failing: Failing) => Promise<void>): Promise<void> {
  for (let step = 0; step < MOST_STEPS; step++) {
    const failing = new Failing(step, fault);
    await inContext(`${fault}, step ${step}`, () => run(failing));
    if (!failing.struck) return;
  }
  throw new Error(`more than ${MOST_STEPS} steps`);
}

/** Says where it was that something went wrong. */
export async function inContext(where: unknown, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (cause) {
    throw new Error(`after ${JSON.stringify(where)}`, { cause });
  }
}

/** Stands between an event and the steps that it takes. */
type Perform = (inner: Host["perform"]) => Host["perform"];

/** The process dies before its first step of this kind, or of this nature. */
export function dyingAt(which: Step["kind"] | ((step: Step) => boolean)): Perform {
  let dead = false;
  return (inner) => async (step, control) => {
    dead ||= typeof which === "string" ? step.kind === which : which(step);
    if (dead) throw new Error("killed");
    await inner(step, control);
  };
}

/** A merge that is killed when half of a layer is copied. */
export function tearing(fixture: Fixture): Perform {
  return dyingAt((step) => {
    if (step.kind === "merge") fixture.copyHalf(step);
    return step.kind === "merge";
  });
}

/** Such steps fail, and others work. */
export function failingAt(which: (step: Step) => boolean): Perform {
  return (inner) => async (step, control) => {
    if (which(step)) throw new Error("EIO");
    await inner(step, control);
  };
}

/** Something else happens before each step of a kind. */
export function before(kind: Step["kind"], act: (step: Step) => Promise<void> | void): Perform {
  return (inner) => async (step, control) => {
    if (step.kind === kind) await act(step);
    await inner(step, control);
  };
}

/** Something else happens after the first step of a kind. */
export function afterFirst(kind: Step["kind"], act: () => Promise<void> | void): Perform {
  let done = false;
  return (inner) => async (step, control) => {
    await inner(step, control);
    if (done || step.kind !== kind) return;
    done = true;
    await act();
  };
}

/** Something else happens before the first step of a kind. */
export function beforeFirst(kind: Step["kind"], act: () => Promise<void>): Perform {
  let done = false;
  return before(kind, async () => {
    if (done) return;
    done = true;
    await act();
  });
}

/** Listings of folders leave out what a failing disk doesn't tell, so many times after the first ones: Deno says nothing of that. */
export function shortListings(
  isLeftOut: (entry: Deno.DirEntry) => boolean,
  times = Infinity,
  whole = 0,
): Disposable {
  const { readDirSync } = Deno;
  Object.assign(Deno, {
    readDirSync: (path: string) => {
      const all = [...readDirSync(path)];
      if (!all.some(isLeftOut) || whole-- > 0) return all;
      return times-- > 0 ? all.filter((entry) => !isLeftOut(entry)) : all;
    },
  });
  return { [Symbol.dispose]: () => void Object.assign(Deno, { readDirSync }) };
}
