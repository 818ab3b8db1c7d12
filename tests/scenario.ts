/** Events to be cut short at every step, each with what must be true however it was. */

import { assertEquals } from "@std/assert";
import { LATER, type World } from "./world.ts";

/** Events as libvirt calls them, by operation and reason. The last is the start that the guest then runs on. */
export type Sequence = readonly (readonly [operation: string, extra: string])[];

/** What the guest finds at that start: each disk as it was, or with its last session. */
export type Finds = "base" | "session";

export interface Scenario {
  readonly name: string;
  readonly targets: readonly string[];
  /** To just before the event. */
  readonly setUp: (world: World) => Promise<void>;
  readonly event: readonly [operation: string, extra: string];
  /** What may come next, and what the guest finds then. */
  readonly next: readonly (readonly [Sequence, Finds])[];
  /** A session that is seen is part of the disk, or was to be: it must never be gone again. */
  readonly commits?: readonly string[];
  /** An end that comes before the start noted its word can't be told from a crash, and holds a flagged session. */
  readonly heldByEnd?: true;
  /** After the event: what stood in its way is gone. */
  readonly mend?: (world: World) => void;
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
async function disksWith(world: World, targets: readonly string[], layers: number): Promise<void> {
  const all = (flag: boolean) => Object.fromEntries(targets.map((target) => [target, flag]));
  world.disks(all(false));
  for (let layer = 1; layer < layers; layer++) {
    world.configure(all(true));
    await world.start();
    for (const target of targets) {
      for (const key of ["a", "b"]) world.write(world.image(target), `commit ${layer}${key}`);
    }
    await world.good("release", "shutdown", { mergeDies: true });
  }
  world.configure(all(false));
  for (const target of targets) {
    const state = world.state(target);
    assertEquals("layers" in state ? state.layers.length : 1, layers);
  }
}

async function session(
  world: World,
  flags: Readonly<Record<string, boolean>>,
  layers: number,
): Promise<void> {
  await disksWith(world, Object.keys(flags), layers);
  world.configure(flags);
  await world.start();
  for (const target of Object.keys(flags)) {
    for (const key of ["session", "more"]) world.write(world.image(target), key);
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
      setUp: (world) => disksWith(world, targets, layers),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "a start that is to be committed",
      setUp: async (world) => {
        await disksWith(world, targets, layers);
        world.configure(flagged);
      },
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "a start after a power cut",
      setUp: (world) => session(world, clear, layers),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "a start after a power cut, with a flag that came later",
      setUp: async (world) => {
        await session(world, clear, layers);
        world.configure(flagged, LATER);
      },
      event: fresh,
      next: [[[fresh], "base"]],
      heldByEnd: true,
    },
    {
      name: "a start after a power cut in a flagged session",
      setUp: (world) => session(world, flagged, layers),
      event: fresh,
      next: afterStart("session"),
      commits: targets,
    },
    {
      name: "a start after a crash of a flagged session",
      setUp: async (world) => {
        await session(world, flagged, layers);
        await world.stop("crashed");
      },
      event: fresh,
      next: afterStart("session"),
      commits: targets,
    },
    {
      name: "a start that is refused half-way",
      setUp: async (world) => {
        await disksWith(world, targets, layers);
        world.full.add(`${world.image(targets.at(-1)!)}.autorevert-new`);
      },
      mend: (world) => world.full.clear(),
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "an end",
      setUp: (world) => session(world, clear, layers),
      event: ["release", "shutdown"],
      next: afterEnd("base"),
    },
    {
      name: "the end of a flagged session",
      setUp: (world) => session(world, flagged, layers),
      event: ["release", "shutdown"],
      next: afterEnd("session"),
      commits: targets,
    },
    {
      name: "the end of a session of which one disk is flagged",
      setUp: (world) => session(world, { ...clear, [first!]: true }, layers),
      event: ["release", "destroyed"],
      next: afterEnd("base"),
      commits: [first!],
    },
    {
      name: "the end of a flagged session without a reason",
      setUp: (world) => session(world, flagged, layers),
      event: ["release", "-"],
      next: [...afterEnd("session"), [[restore, fresh], "session"]],
      commits: targets,
    },
    {
      name: "an end without a reason",
      setUp: (world) => session(world, clear, layers),
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
      setUp: async (world) => {
        await session(world, clear, layers);
        await world.stop("-");
        await world.event("restore");
        await world.start();
        for (const target of targets) world.write(world.image(target), "session", "newer");
      },
      event: ["release", "-"],
      next: [
        [[fresh], "base"],
        [[restore, fresh], "session"],
      ],
    },
    {
      name: "a start from a save that libvirt didn't tell of",
      setUp: async (world) => {
        await session(world, clear, layers);
        await world.stop("-");
        await world.event("restore");
      },
      event: fresh,
      next: afterRestore,
    },
    {
      name: "a start from a save",
      setUp: async (world) => {
        await session(world, clear, layers);
        await world.stop("saved");
        await world.event("restore");
      },
      event: fresh,
      next: afterRestore,
    },
    {
      name: "a start without the session that was set aside",
      setUp: async (world) => {
        await session(world, clear, layers);
        await world.stop("-");
      },
      event: fresh,
      next: afterStart("base"),
    },
    {
      name: "the end of a start that failed",
      setUp: async (world) => {
        await disksWith(world, targets, layers);
        world.configure(flagged);
        await world.good("prepare");
      },
      event: failed,
      next: [[[failed, fresh], "base"], [[fresh], "base"]],
    },
    {
      name: "the end of a guest whose configuration is gone",
      setUp: async (world) => {
        await session(world, clear, layers);
        Deno.removeSync(world.configFile);
      },
      mend: (world) => world.configure(clear),
      event: ["release", "shutdown"],
      next: afterEnd("base"),
    },
  ];
  return list.map((scenario) => ({ ...scenario, name: `${scenario.name} (${size})`, targets }));
}
