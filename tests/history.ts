/** Disks of several commits, what each of them reads as, and what may become of them. */

import { assert, assertEquals } from "@std/assert";
import { inContext, tearing } from "./fault.ts";
import { flagsOf } from "./scenario.ts";
import { Tree } from "./tree.ts";
import { type Content, exists, type Fixture } from "./fixture.ts";

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
export async function live(fixture: Fixture, past: Past): Promise<History> {
  const { targets, layers, keepCommits, torn, aside } = past;
  const history = new Map<string, Content[]>();
  fixture.disks(flagsOf(targets, false));
  for (const target of targets) history.set(target, [fixture.disk(target)]);
  for (let layer = 1; layer < layers; layer++) {
    fixture.configure(flagsOf(targets, true));
    await fixture.start();
    for (const target of targets) writeAll(fixture, target, `${layer}`);
    await fixture.good("release", "shutdown", { mergeDies: true });
    for (const target of targets) history.get(target)!.push(fixture.disk(target));
  }
  if (torn) {
    await fixture.merge({ perform: tearing(fixture) });
    assertEquals(tornOf(fixture, targets[0]!), true);
  }
  fixture.keys = { "keep-commits": keepCommits };
  fixture.configure(flagsOf(targets, false));
  if (aside) {
    await fixture.start();
    for (const target of targets) writeAll(fixture, target, "session");
    await fixture.good("release", "-", { mergeDies: true });
    for (const target of targets) {
      history.get(target)!.push(fixture.read(`${fixture.image(target)}.autorevert-ended`));
    }
  }
  for (const target of targets) {
    assertEquals(layersOf(fixture, target).length, layers === 1 && !aside ? 0 : layers);
  }
  return history;
}

/** Something of its own, and something over what was there before: what is torn reads as neither. */
export function writeAll(fixture: Fixture, target: string, value: string): void {
  for (const key of ["a", `b ${value}`, "c", `d ${value}`]) fixture.write(fixture.image(target), key, value);
}

export function layersOf(fixture: Fixture, target: string): readonly number[] {
  const state = fixture.state(target);
  return "layers" in state ? state.layers : [];
}

/** A name beside the image says that the lower of these two layers is torn. */
export function tornOf(fixture: Fixture, target: string): boolean {
  const state = fixture.state(target);
  return "layers" in state && state.torn === true;
}

/** Where in its history a disk is: never in between. */
export function placeOf(fixture: Fixture, history: History, target: string): number {
  const is = JSON.stringify(sorted(fixture.disk(target)));
  const place = history.get(target)!.findIndex((content) => JSON.stringify(sorted(content)) === is);
  assert(place !== -1, `${target} is a mixture: ${is}`);
  return place;
}

/** Fixture that have gone on from here already, and well. */
const lived = new WeakMap<Fixture, Set<string>>();

/** A guest that starts here finds the disk as it is, and it is the same after a life and another one. */
export async function checkLives(fixture: Fixture, { targets, keepCommits }: Past): Promise<void> {
  const { key } = new Tree(fixture.root);
  if (lived.get(fixture)?.has(key)) return;
  const content = new Map(targets.map((target) => [target, fixture.disk(target)]));
  for (let life = 0; life < 2; life++) {
    await fixture.start();
    for (const target of targets) {
      assertEquals(
        fixture.read(fixture.image(target)),
        content.get(target),
        `what the guest finds on ${target}`,
      );
      fixture.write(fixture.image(target), "junk");
    }
    await fixture.stop();
    for (const target of targets) {
      assertEquals(fixture.disk(target), content.get(target), `${target} at the end`);
      assert(layersOf(fixture, target).length <= keepCommits + 1);
    }
  }
  const files = targets.flatMap((target) => {
    const layers = layersOf(fixture, target);
    assert(layers.length !== 1, "a name that nothing needs");
    const names = layers.map((number) => `${target}.img.backing_file${number === 0 ? "" : `.${number}`}`);
    const mark = tornOf(fixture, target) ? [`${target}.img.autorevert-merge.${layers[1]}`] : [];
    return [`${target}.img`, ...mark, ...names];
  });
  assertEquals(fixture.files(), files.sort());
  lived.set(fixture, (lived.get(fixture) ?? new Set()).add(key));
}

/** What an administrator or libvirt may do next, each from here. */
export async function whateverIsNext(fixture: Fixture, past: Past, history: History): Promise<void> {
  const now = new Tree(fixture.root);
  await inContext("a start", () => checkLives(fixture, past));
  now.restore();
  await inContext("a merge", async () => {
    const before = past.targets.map((target) => placeOf(fixture, history, target));
    assertEquals((await fixture.merge()).code, 0);
    assertEquals(past.targets.map((target) => placeOf(fixture, history, target)), before);
    for (const target of past.targets) assert(layersOf(fixture, target).length <= past.keepCommits + 1);
    await checkLives(fixture, past);
  });
  now.restore();
  await inContext("an undo", async () => {
    await checkUndo(fixture, past, history);
    await checkLives(fixture, past);
  });
}

/** An undo goes one back in history, or is refused with nothing changed. */
export async function checkUndo(
  fixture: Fixture,
  { targets, keepCommits }: Past,
  history: History,
): Promise<void> {
  const before = targets.map((target) => placeOf(fixture, history, target));
  const finished = targets.some((target) => fixture.completes(target) === "undo");
  // After recovery: a headless disk counts by its layers, too.
  const count = (target: string) =>
    layersOf(fixture, target).length + (fixture.ordered(target) === "keep" ? 1 : 0);
  const have = targets.filter((target) => count(target) > 1);
  const torn = finished ? undefined : have.find((target) => tornOf(fixture, target) && count(target) === 2);
  const refused = !finished && (have.length === 0 || torn !== undefined);
  const { code, said } = await fixture.command("undo", { mergeDies: true });
  assertEquals(code, refused ? 1 : 0, said.join("\n"));
  if (torn !== undefined) {
    assertEquals(said, [
      `error: guest ${torn}: the commit is already being merged into the disk, and can't be undone any more`,
      ...keepCommits > 0
        ? []
        : [`hint: to have the next ones kept: autorevert enable guest ${torn} --keep-commits 1`],
    ]);
  }
  const goesBack = (target: string) => !refused && !finished && have.includes(target);
  const after = targets.map((target, index) => before[index]! - (goesBack(target) ? 1 : 0));
  assertEquals(targets.map((target) => placeOf(fixture, history, target)), after);
}

/** After an undo, however it ended: all disks are one back or none is, and nothing that was set aside is lost. */
export function checkUndone(
  fixture: Fixture,
  past: Past,
  history: History,
  before: number,
  done: boolean,
): void {
  const place = onePlace(fixture, past, history);
  assert(place === before - 1 || place === before && !done, `${place}`);
  for (const target of past.targets) {
    const ended = `${fixture.image(target)}.autorevert-ended`;
    if (exists(ended)) {
      const isUndone = place === before - 1 && fixture.ordered(target) === undefined;
      assertEquals(fixture.read(ended), history.get(target)!.at(isUndone ? before : -1));
    } else assert(!past.aside, "nothing that was set aside is lost with a commit that stays");
  }
}

/** After a keep: all disks have it or none has, and it is neither lost nor there twice. @returns where it waits still */
export function checkKept(
  fixture: Fixture,
  past: Past,
  history: History,
  before: number,
  done: boolean,
): readonly string[] {
  const place = onePlace(fixture, past, history);
  assert(place === before + 1 || place === before && !done, `${place}`);
  const waits = past.targets.filter((target) => exists(`${fixture.image(target)}.autorevert-ended`));
  if (place === before) assertEquals(waits, past.targets, "neither lost nor there twice");
  return waits;
}

function onePlace(fixture: Fixture, { targets }: Past, history: History): number {
  const places = new Set(targets.map((target) => placeOf(fixture, history, target)));
  assertEquals(places.size, 1, "all disks or none");
  return [...places][0]!;
}

function sorted(content: Content): unknown {
  return Object.entries(content).sort(([a], [b]) => a < b ? -1 : 1);
}
