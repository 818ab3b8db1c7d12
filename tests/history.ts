/** Disks of several commits, what each of them reads as, and what may become of them. */

import { assert, assertEquals } from "@std/assert";
import { readNote } from "../lib/host/session_records.ts";
import { tearing, told } from "./fault.ts";
import { flagsOf } from "./scenario.ts";
import { Tree } from "./tree.ts";
import { type Content, DOMAIN, exists, type World } from "./world.ts";

/** How the disks of a guest came to be as they are. */
export interface Past {
  readonly targets: readonly string[];
  /** The base, and commits on it that are not merged. */
  readonly layers: number;
  readonly keepCommits: number;
  /** A merge of the lowest two was killed half-way. */
  readonly torn: boolean;
  /** A session lies aside. */
  readonly aside: boolean;
}

/** What a disk was, oldest first. Undone is from one to the one before. */
export type History = ReadonlyMap<string, readonly Content[]>;

/** Makes such disks, by whole lives of the guest. */
export async function live(world: World, past: Past): Promise<History> {
  const { targets, layers, keepCommits, torn, aside } = past;
  const history = new Map<string, Content[]>();
  world.disks(flagsOf(targets, false));
  for (const target of targets) history.set(target, [world.disk(target)]);
  for (let layer = 1; layer < layers; layer++) {
    world.configure(flagsOf(targets, true));
    await world.start();
    for (const target of targets) writeAll(world, target, `${layer}`);
    await world.good("release", "shutdown", { mergeDies: true });
    for (const target of targets) history.get(target)!.push(world.disk(target));
  }
  if (torn) {
    await world.merge({ perform: tearing(world) });
    assertEquals(tornOf(world, targets[0]!), true);
  }
  world.keys = { "keep-commits": keepCommits };
  world.configure(flagsOf(targets, false));
  if (aside) {
    await world.start();
    for (const target of targets) writeAll(world, target, "session");
    await world.good("release", "-", { mergeDies: true });
    for (const target of targets) {
      history.get(target)!.push(world.read(`${world.image(target)}.autorevert-ended`));
    }
  }
  for (const target of targets) {
    assertEquals(layersOf(world, target).length, layers === 1 && !aside ? 0 : layers);
  }
  return history;
}

/** Something of its own, and something over what was there before: what is torn reads as neither. */
export function writeAll(world: World, target: string, value: string): void {
  for (const key of ["a", `b ${value}`, "c", `d ${value}`]) world.write(world.image(target), key, value);
}

export function layersOf(world: World, target: string): readonly number[] {
  const state = world.state(target);
  return "layers" in state ? state.layers : [];
}

/** The note says that the lower of these two layers is torn. */
export function tornOf(world: World, target: string): boolean {
  const entry = readNote(`${world.config}/${DOMAIN}.session`).find((entry) => entry.target === target);
  return entry?.merging !== undefined && layersOf(world, target)[1] === entry.merging;
}

/** Where in its history a disk is: never in between. */
export function placeOf(world: World, history: History, target: string): number {
  const is = JSON.stringify(sorted(world.disk(target)));
  const place = history.get(target)!.findIndex((content) => JSON.stringify(sorted(content)) === is);
  assert(place !== -1, `${target} is a mixture: ${is}`);
  return place;
}

/** Worlds that have gone on from here already, and well. */
const lived = new WeakMap<World, Set<string>>();

/** A guest that starts here finds the disk as it is, and it is the same after a life and another one. */
export async function checkLives(world: World, { targets, keepCommits }: Past): Promise<void> {
  const { key } = new Tree(world.root);
  if (lived.get(world)?.has(key)) return;
  const content = new Map(targets.map((target) => [target, world.disk(target)]));
  for (let life = 0; life < 2; life++) {
    await world.start();
    for (const target of targets) {
      assertEquals(world.read(world.image(target)), content.get(target), `what the guest finds on ${target}`);
      world.write(world.image(target), "junk");
    }
    await world.stop();
    for (const target of targets) {
      assertEquals(world.disk(target), content.get(target), `${target} at the end`);
      assert(layersOf(world, target).length <= keepCommits + 1);
    }
  }
  const files = targets.flatMap((target) => {
    const layers = layersOf(world, target);
    assert(layers.length !== 1, "a name that nothing needs");
    const names = layers.map((number) => `${target}.img.backing_file${number === 0 ? "" : `.${number}`}`);
    return [`${target}.img`, ...names];
  });
  assertEquals(world.files(), files.sort());
  lived.set(world, (lived.get(world) ?? new Set()).add(key));
}

/** What an administrator or libvirt may do next, each from here. */
export async function whateverIsNext(world: World, past: Past, history: History): Promise<void> {
  const now = new Tree(world.root);
  await told("a start", () => checkLives(world, past));
  now.restore();
  await told("a merge", async () => {
    const before = past.targets.map((target) => placeOf(world, history, target));
    assertEquals((await world.merge()).code, 0);
    assertEquals(past.targets.map((target) => placeOf(world, history, target)), before);
    for (const target of past.targets) assert(layersOf(world, target).length <= past.keepCommits + 1);
    await checkLives(world, past);
  });
  now.restore();
  await told("an undo", async () => {
    await checkUndo(world, past, history);
    await checkLives(world, past);
  });
}

/** An undo goes one back in history, or is refused with nothing changed. */
export async function checkUndo(world: World, { targets }: Past, history: History): Promise<void> {
  const before = targets.map((target) => placeOf(world, history, target));
  const finished = targets.some((target) => world.ordered(target) === "undo");
  // After recovery: a headless disk counts by its layers, too.
  const count = (target: string) =>
    layersOf(world, target).length + (world.ordered(target) === "keep" ? 1 : 0);
  const have = targets.filter((target) => count(target) > 1);
  const torn = !finished && have.some((target) => tornOf(world, target) && count(target) === 2);
  const refused = !finished && (have.length === 0 || torn);
  const { code, said } = await world.command("undo", { mergeDies: true });
  assertEquals(code, refused ? 1 : 0, said.join("\n"));
  if (torn) {
    assertEquals(said, [
      "error: guest: the commit is already being merged into the disk, and can't be undone any more",
      `hint: to have the next ones kept, set "keep-commits" in ${world.configFile}`,
    ]);
  }
  const goesBack = (target: string) => !refused && !finished && have.includes(target);
  const after = targets.map((target, index) => before[index]! - (goesBack(target) ? 1 : 0));
  assertEquals(targets.map((target) => placeOf(world, history, target)), after);
}

/** After an undo, however it ended: all disks are one back or none is, and nothing that was set aside is lost. */
export function checkUndone(world: World, past: Past, history: History, before: number, done: boolean): void {
  const place = onePlace(world, past, history);
  assert(place === before - 1 || place === before && !done, `${place}`);
  for (const target of past.targets) {
    const ended = `${world.image(target)}.autorevert-ended`;
    if (exists(ended)) {
      const isUndone = place === before - 1 && world.ordered(target) === undefined;
      assertEquals(world.read(ended), history.get(target)!.at(isUndone ? before : -1));
    } else assert(!past.aside, "nothing that was set aside is lost with a commit that stays");
  }
}

/** After a keep: all disks have it or none has, and it is neither lost nor there twice. @returns where it waits still */
export function checkKept(
  world: World,
  past: Past,
  history: History,
  before: number,
  done: boolean,
): readonly string[] {
  const place = onePlace(world, past, history);
  assert(place === before + 1 || place === before && !done, `${place}`);
  const waits = past.targets.filter((target) => exists(`${world.image(target)}.autorevert-ended`));
  if (place === before) assertEquals(waits, past.targets, "neither lost nor there twice");
  return waits;
}

function onePlace(world: World, { targets }: Past, history: History): number {
  const places = new Set(targets.map((target) => placeOf(world, history, target)));
  assertEquals(places.size, 1, "all disks or none");
  return [...places][0]!;
}

function sorted(content: Content): unknown {
  return Object.entries(content).sort(([a], [b]) => a < b ? -1 : 1);
}
