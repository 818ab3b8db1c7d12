/** Merges, `undo` and `keep`, cut short at every step, and what can be done then. */

import { assertEquals } from "@std/assert";
import { atEveryStep, faults, told } from "./fault.ts";
import {
  checkKept,
  checkLives,
  checkUndo,
  checkUndone,
  type History,
  layersOf,
  live,
  type Past,
  placeOf,
  tornOf,
  whateverIsNext,
} from "./history.ts";
import { Tree } from "./tree.ts";
import { type Circumstance, type Result, World } from "./world.ts";

type Act = (world: World, how?: Circumstance) => Promise<Result>;

const merge: Act = (world, how) => world.merge(how);
const undo: Act = (world, how) => world.command("undo", how);
const keep: Act = (world, how) => world.command("keep", how);

const one = [2, 3, 5].flatMap((layers) =>
  [0, 1].flatMap((keepCommits) =>
    [false, true].map((torn): Past => ({ targets: ["vda"], layers, keepCommits, torn, aside: false }))
  )
);
const two = [false, true].map((torn): Past => ({ ...one[0]!, targets: ["vda", "vdb"], layers: 3, torn }));
const pasts = [...one, ...two];
const asides = pasts.map((past): Past => ({ ...past, aside: true }));

function told_({ targets, layers, keepCommits, torn, aside }: Past): string {
  const kept = keepCommits > 0 ? ", one commit kept" : "";
  return `${targets.length > 1 ? "two disks of " : ""}${layers} layers${kept}${torn ? ", torn" : ""}` +
    (aside ? ", with a session set aside" : "");
}

/** Cut short at every step: `check` is called on each world that is left and was not left before. */
async function cutShort(
  past: Past,
  act: Act,
  check: (world: World, history: History, before: number, result: Result) => Promise<void>,
): Promise<void> {
  using world = new World();
  const history = await live(world, past);
  const before = placeOf(world, history, past.targets[0]!);
  const tree = new Tree(world.root);
  const seen = new Set<string>();
  for (const fault of faults) {
    await atEveryStep(fault, async (failing) => {
      tree.restore();
      const result = await act(world, { perform: failing.perform });
      const { key } = new Tree(world.root);
      if (seen.has(key + result.code)) return;
      seen.add(key + result.code);
      await check(world, history, before, result);
    });
  }
}

for (const past of [...pasts, { ...one[2]!, aside: true }, { ...one[3]!, aside: true }]) {
  Deno.test(`a merge of ${told_(past)} changes nothing, wherever it is cut short`, async () => {
    await cutShort(past, merge, async (world, history, before) => {
      for (const target of past.targets) assertEquals(placeOf(world, history, target), before);
      if (past.aside) {
        const ended = `${world.image("vda")}.autorevert-ended`;
        assertEquals(world.read(ended), history.get("vda")!.at(-1), "the session that was set aside");
      }
      await whateverIsNext(world, past, history);
    });
  });
}

for (const past of [...pasts, ...asides.filter(({ layers }) => layers === 3)]) {
  Deno.test(`an undo on ${told_(past)} is done or not, wherever it is cut short`, async () => {
    if (past.torn && past.layers === 2) {
      using world = new World();
      return await checkUndo(world, past, await live(world, past));
    }
    await cutShort(past, undo, async (world, history, before, { code }) => {
      checkUndone(world, past, history, before, code === 0);
      await whateverIsNext(world, past, history);
    });
  });
}

for (const past of asides) {
  Deno.test(`a keep on ${told_(past)} is done or not, wherever it is cut short`, async () => {
    await cutShort(past, keep, async (world, history, before, { code }) => {
      const waits = checkKept(world, past, history, before, code === 0);
      const now = new Tree(world.root);
      await whateverIsNext(world, past, history);
      now.restore();
      await told("a keep", async () => {
        assertEquals((await world.command("keep")).code, waits.length > 0 ? 0 : 1);
        for (const target of past.targets) assertEquals(placeOf(world, history, target), before + 1);
        await checkLives(world, past);
      });
    });
  });
}

Deno.test("a torn pair stays known through sessions and commits, and only its upper layer can't be undone", async () => {
  using world = new World();
  const past: Past = { targets: ["vda"], layers: 2, keepCommits: 0, torn: true, aside: false };
  const history = new Map([...await live(world, past)].map(([target, contents]) => [target, [...contents]]));
  const image = world.image("vda");
  for (const reason of ["shutdown", "crashed", "-"]) {
    await world.start();
    world.write(image, "junk");
    await world.good("release", reason, { mergeDies: true });
    assertEquals(tornOf(world, "vda"), true, reason);
    await checkUndo(world, past, history);
  }
  world.configure({ vda: true });
  await world.start();
  world.write(image, "third");
  await world.good("release", "shutdown", { mergeDies: true });
  history.get("vda")!.push(world.disk("vda"));
  assertEquals([tornOf(world, "vda"), layersOf(world, "vda").length], [true, 3]);
  await checkUndo(world, past, history);
  assertEquals([tornOf(world, "vda"), layersOf(world, "vda").length], [true, 2]);
  await checkUndo(world, past, history);

  const { code, log } = await world.merge();
  assertEquals(code, 0);
  assertEquals(log.filter((line) => line.includes(`repair "${image}.backing_file"`)).length, 1);
  assertEquals(world.disk("vda"), history.get("vda")![1]);
  await checkLives(world, past);
  assertEquals([world.files(), world.disk("vda")], [["vda.img"], history.get("vda")![1]]);
  assertEquals(world.files(world.config).includes("guest.session"), false);
});
