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
  readonly setUp: (fixture: Fixture) => Promise<void>;
  readonly event: readonly [operation: string, extra: string];
  /** What may come next, and what the guest finds then. */
  readonly next: readonly (readonly [Sequence, Finds])[];
  /** A session that is seen is part of the disk, or was to be: it must never be gone again. */
  readonly commits?: readonly string[];
  /** An end that comes before the start noted its word can't be told from a crash, and holds a flagged session. */
  readonly heldByEnd?: true;
  /** The start sets a session aside, which stays until the next one has come up. */
  readonly setsAside?: true;
  /** After the event: what stood in its way is gone. */
  readonly mend?: (fixture: Fixture) => void;
}

const fresh: Sequence[number] = ["prepare", "-"];
const restore: Sequence[number] = ["restore", "-"];
/** The end of a start that failed. */
export const failed: Sequence[number] = ["release", "failed"];

const afterStart = (finds: Finds): Scenario["next"] => [
  [[failed, fresh], finds],
  [[fresh], finds],
];
const afterEnd = (finds: Finds): Scenario["next"] => [
  [[fresh], finds],
  [[["release", "daemon"], fresh], finds],
];
const afterRestore: Scenario["next"] = [
  [[failed, restore, fresh], "session"],
  [[restore, fresh], "session"],
];

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
  const size = `${targets.length} disk${targets.length > 1 ? "s" : ""}, ${layers} layer${
    layers > 1 ? "s" : ""
  }`;
  const flagged = flagsOf(targets, true);
  const clear = flagsOf(targets, false);
  const [first] = targets;
  const list: Omit<Scenario, "targets">[] = [
    {
      name: "a start",
      setUp: (fixture) => disksWith(fixture, targets, layers),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "a start that is to be committed",
      setUp: async (fixture) => {
        await disksWith(fixture, targets, layers);
        fixture.configure(flagged);
      },
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "a start after a power cut",
      setUp: (fixture) => session(fixture, clear, layers),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "a start after a power cut, with a flag that came later",
      setUp: async (fixture) => {
        await session(fixture, clear, layers);
        fixture.configure(flagged, LATER);
      },
      event: fresh,
      next: [[[fresh], "base"]],
      heldByEnd: true,
    },
    {
      name: "a start after a power cut in a flagged session",
      setUp: (fixture) => session(fixture, flagged, layers),
      event: fresh,
      next: afterStart("session"),
      commits: targets,
    },
    {
      name: "a start after a crash of a flagged session",
      setUp: async (fixture) => {
        await session(fixture, flagged, layers);
        await fixture.stop("crashed");
      },
      event: fresh,
      next: afterStart("session"),
      commits: targets,
    },
    {
      name: "a start that is refused half-way",
      setUp: async (fixture) => {
        await disksWith(fixture, targets, layers);
        fixture.full.add(`${fixture.image(targets.at(-1)!)}.autorevert-new`);
      },
      mend: (fixture) => fixture.full.clear(),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "an end",
      setUp: (fixture) => session(fixture, clear, layers),
      event: ["release", "shutdown"],
      next: afterEnd("base"),
    },
    {
      name: "the end of a flagged session",
      setUp: (fixture) => session(fixture, flagged, layers),
      event: ["release", "shutdown"],
      next: afterEnd("session"),
      commits: targets,
    },
    {
      name: "the end of a session of which one disk is flagged",
      setUp: (fixture) => session(fixture, { ...clear, [first!]: true }, layers),
      event: ["release", "destroyed"],
      next: afterEnd("base"),
      commits: [first!],
    },
    {
      name: "the end of a flagged session without a reason",
      setUp: (fixture) => session(fixture, flagged, layers),
      event: ["release", "-"],
      next: [...afterEnd("session"), [[restore, fresh], "session"]],
      commits: targets,
    },
    {
      name: "an end without a reason",
      setUp: (fixture) => session(fixture, clear, layers),
      event: ["release", "-"],
      next: [
        [[fresh], "base"],
        [[["release", "-"], fresh], "base"],
        [[restore, fresh], "session"],
        [[["release", "-"], restore, fresh], "session"],
      ],
    },
    {
      name: "a second end without a reason",
      setUp: async (fixture) => {
        await session(fixture, clear, layers);
        await fixture.stop("-");
        await fixture.event("restore");
        await fixture.start();
        for (const target of targets) fixture.write(fixture.image(target), "session", "newer");
      },
      event: ["release", "-"],
      // Of a restore that has failed, for all that is told: it may be tried again.
      setsAside: true,
      next: [
        [[fresh], "base"],
        [[restore, fresh], "session"],
      ],
    },
    {
      name: "a start from a save that libvirt didn't tell of",
      setUp: async (fixture) => {
        await session(fixture, clear, layers);
        await fixture.stop("-");
        await fixture.event("restore");
      },
      event: fresh,
      next: afterRestore,
    },
    {
      name: "a start from a save",
      setUp: async (fixture) => {
        await session(fixture, clear, layers);
        await fixture.stop("saved");
        await fixture.event("restore");
      },
      event: fresh,
      next: afterRestore,
    },
    {
      name: "a start without the session that was set aside",
      setUp: async (fixture) => {
        await session(fixture, clear, layers);
        await fixture.stop("-");
      },
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "the coming up of a guest that has a session set aside",
      setUp: async (fixture) => {
        await session(fixture, clear, layers);
        await fixture.stop("-");
        await fixture.good("prepare");
      },
      event: ["started", "-"],
      next: [[[failed, fresh], "base"], [[fresh], "base"]],
    },
    {
      name: "a start in place of a saved guest",
      setUp: async (fixture) => {
        await session(fixture, clear, layers);
        await fixture.stop("saved");
      },
      event: fresh,
      next: afterStart("base"),
      setsAside: true,
    },
    {
      name: "the end of a start that failed",
      setUp: async (fixture) => {
        await disksWith(fixture, targets, layers);
        fixture.configure(flagged);
        await fixture.good("prepare");
      },
      event: failed,
      next: [[[failed, fresh], "base"], [[fresh], "base"]],
    },
    {
      name: "the end of a guest whose configuration is gone",
      setUp: async (fixture) => {
        await session(fixture, clear, layers);
        Deno.removeSync(fixture.configFile);
      },
      mend: (fixture) => fixture.configure(clear),
      event: ["release", "shutdown"],
      next: afterEnd("base"),
    },
  ];
  return list.map((scenario) => ({ ...scenario, name: `${scenario.name} (${size})`, targets }));
}
