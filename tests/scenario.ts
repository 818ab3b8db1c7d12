/** Events to be cut short at every step, each with what must be true however it was. */

import { assertEquals } from "@std/assert";
import { type Fixture, LATER } from "./fixture.ts";

/** Events as libvirt calls them, by operation and reason. The last is the start that the guest then runs on. */
export type Sequence = readonly (readonly [operation: string, extra: string])[];

/** What the guest finds at that start: each disk as it was, or with its last session. */
export type Finds = "base" | "session";

export interface Scenario {
  readonly name: string;
  readonly targets: readonly string[];
  /** To just before the event. */
  readonly setUp: Act;
  readonly event: readonly [operation: string, extra: string];
  /** What may come next, and what the guest finds then. */
  readonly next: readonly (readonly [Sequence, Finds])[];
  /** A session that is seen is part of the disk, or was to be: it must never be gone again. */
  readonly commits?: readonly string[];
  /** An end that comes before the start noted its word can't be told from a crash, and holds a flagged session. */
  readonly heldByEnd?: true;
  /** The next start may set a session aside, which stays until the one after it has come up: its guest may have been saved. */
  readonly setsAside?: true;
  /** After the event: what stood in its way is gone. */
  readonly mend?: (fixture: Fixture) => void;
}

const fresh: Sequence[number] = ["prepare", "-"];
const restore: Sequence[number] = ["restore", "-"];
/** The end of a start that failed. */
export const failed: Sequence[number] = ["release", "failed"];

const afterStart = (finds: Finds): Scenario["next"] => [[[failed, fresh], finds], [[fresh], finds]];
const afterEnd = (finds: Finds): Scenario["next"] => [
  [[fresh], finds],
  [[["release", "daemon"], fresh], finds],
];
const afterRestore: Scenario["next"] = [[[failed, restore, fresh], "session"], [[restore, fresh], "session"]];

/** Something that has happened to the guest. */
type Act = (fixture: Fixture) => unknown;
const all = (...acts: Act[]): Act => async (fixture) => {
  for (const act of acts) await act(fixture);
};
const stops = (reason: string): Act => (fixture) => fixture.stop(reason);
const restores: Act = (fixture) => fixture.good("restore");
const boots: Act = (fixture) => fixture.boot();
const prepares: Act = (fixture) => fixture.good("prepare");

/** Disks of so many layers, all but the lowest being commits that could not be merged. */
async function disksWith(fixture: Fixture, targets: readonly string[], layers: number): Promise<void> {
  const all = (flag: boolean) => Object.fromEntries(targets.map((target) => [target, flag]));
  fixture.disks(all(false));
  for (let layer = 1; layer < layers; layer++) {
    fixture.configure(all(true));
    await fixture.start();
    for (const target of targets) {
      for (const key of ["a", "b"]) fixture.write(fixture.image(target), `commit ${layer}${key}`);
    }
    await fixture.good("release", "shutdown", { mergeDies: true });
  }
  fixture.configure(all(false));
  for (const target of targets) {
    const state = fixture.state(target);
    assertEquals("layers" in state ? state.layers.length : 1, layers);
  }
}

async function session(
  fixture: Fixture,
  flags: Readonly<Record<string, boolean>>,
  layers: number,
): Promise<void> {
  await disksWith(fixture, Object.keys(flags), layers);
  fixture.configure(flags);
  await fixture.start();
  for (const target of Object.keys(flags)) {
    for (const key of ["session", "more"]) fixture.write(fixture.image(target), key);
  }
}

export function flagsOf(targets: readonly string[], flag: boolean): Record<string, boolean> {
  return Object.fromEntries(targets.map((target) => [target, flag]));
}

/** The scenarios for these disks of so many layers. */
export function scenarios(targets: readonly string[], layers: number): Scenario[] {
  const many = (count: number, what: string) => `${count} ${what}${count > 1 ? "s" : ""}`;
  const size = `${many(targets.length, "disk")}, ${many(layers, "layer")}`;
  const flagged = flagsOf(targets, true);
  const clear = flagsOf(targets, false);
  const [first] = targets;
  const idle: Act = (fixture) => disksWith(fixture, targets, layers);
  const up = (flags: Readonly<Record<string, boolean>>): Act => (fixture) => session(fixture, flags, layers);
  const list: Omit<Scenario, "targets">[] = [
    { name: "a start", setUp: idle, event: fresh, next: afterStart("base") },
    {
      name: "a start that is to be committed",
      setUp: all(idle, (fixture) => fixture.configure(flagged)),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "a start after a power cut",
      setUp: all(up(clear), boots),
      event: fresh,
      next: afterStart("base"),
      // Cut short between its two notes, it is told from the start of a guest that came up by neither.
      setsAside: true,
    },
    {
      name: "a start after a power cut, with a flag that came later",
      setUp: all(up(clear), boots, (fixture) => fixture.configure(flagged, LATER)),
      event: fresh,
      next: [[[fresh], "base"]],
      heldByEnd: true,
    },
    {
      name: "a start after a power cut in a flagged session",
      setUp: all(up(flagged), boots),
      event: fresh,
      next: afterStart("session"),
      commits: targets,
    },
    {
      name: "a start after a crash of a flagged session",
      setUp: all(up(flagged), stops("crashed")),
      event: fresh,
      next: afterStart("session"),
      commits: targets,
    },
    {
      name: "a start that is refused half-way",
      setUp: all(idle, (fixture) => fixture.full.add(`${fixture.image(targets.at(-1)!)}.autorevert-new`)),
      mend: (fixture) => fixture.full.clear(),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "an end",
      setUp: up(clear),
      event: ["release", "shutdown"],
      next: afterEnd("base"),
      setsAside: true,
    },
    {
      name: "the end of a flagged session",
      setUp: up(flagged),
      event: ["release", "shutdown"],
      next: afterEnd("session"),
      commits: targets,
    },
    {
      name: "the end of a session of which one disk is flagged",
      setUp: up({ ...clear, [first!]: true }),
      event: ["release", "destroyed"],
      next: afterEnd("base"),
      commits: [first!],
      setsAside: true,
    },
    {
      name: "the end of a flagged session without a reason",
      setUp: up(flagged),
      event: ["release", "-"],
      next: [...afterEnd("session"), [[restore, fresh], "session"]],
      commits: targets,
    },
    {
      name: "an end without a reason",
      setUp: up(clear),
      event: ["release", "-"],
      setsAside: true,
      next: [
        [[fresh], "base"],
        [[["release", "-"], fresh], "base"],
        [[restore, fresh], "session"],
        [[["release", "-"], restore, fresh], "session"],
      ],
    },
    {
      name: "a second end without a reason",
      setUp: all(up(clear), stops("-"), restores, (fixture) => fixture.start(), (fixture) => {
        for (const target of targets) fixture.write(fixture.image(target), "session", "newer");
      }),
      event: ["release", "-"],
      // Of a restore that has failed, for all that is told: it may be tried again.
      setsAside: true,
      next: [[[fresh], "base"], [[restore, fresh], "session"]],
    },
    {
      name: "a start from a save that libvirt didn't tell of",
      setUp: all(up(clear), stops("-"), restores),
      event: fresh,
      next: afterRestore,
    },
    {
      name: "a start from a save",
      setUp: all(up(clear), stops("saved"), restores),
      event: fresh,
      next: afterRestore,
    },
    {
      name: "a start without the session that was set aside",
      setUp: all(up(clear), stops("-")),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "the coming up of a guest that has a session set aside",
      setUp: all(up(clear), stops("-"), prepares),
      event: ["started", "-"],
      next: afterStart("base"),
      setsAside: true,
    },
    {
      name: "a start in place of a saved guest",
      setUp: all(up(clear), stops("saved")),
      event: fresh,
      next: afterStart("base"),
      setsAside: true,
    },
    {
      name: "the end of a start that failed",
      setUp: all(idle, (fixture) => fixture.configure(flagged), prepares),
      event: failed,
      next: afterStart("base"),
    },
    {
      name: "the end of a guest whose configuration is gone",
      setUp: all(up(clear), (fixture) => Deno.removeSync(fixture.configFile)),
      mend: (fixture) => fixture.configure(clear),
      event: ["release", "shutdown"],
      next: afterEnd("base"),
      setsAside: true,
    },
  ];
  return list.map((scenario) => ({ ...scenario, name: `${scenario.name} (${size})`, targets }));
}
