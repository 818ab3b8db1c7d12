/**
 * Merges, `undo` and `keep`, cut short at every step, and what can be done then: with more layers than two, or disks than one, after
 * every third way, after each with `EVERY=1`.
 */

import { assertEquals } from "@std/assert";
import { atEveryStep, EVERY, faults, inContext } from "./fault.ts";
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
import { type Circumstance, Fixture, type Result } from "./fixture.ts";

type Act = (fixture: Fixture, how?: Circumstance) => Promise<Result>;

const merge: Act = (fixture, how) => fixture.merge(how);
const undo: Act = (fixture, how) => fixture.command("undo", how);
const keep: Act = (fixture, how) => fixture.command("keep", how);

const one = [2, 3, 5].flatMap((layers) =>
  [0, 1].flatMap((keepCommits) =>
    [false, true].map((torn): Past => ({ targets: ["vda"], layers, keepCommits, torn, aside: false }))
  )
);
const two = [false, true].map((torn): Past => ({ ...one[0]!, targets: ["vda", "vdb"], layers: 3, torn }));
const pasts = [...one, ...two];
/** An undo and a keep look at no more than the top layer and the one below. */
const lower = pasts.filter(({ layers }) => layers < 5);
const asides = lower.map((past): Past => ({ ...past, aside: true }));

function inWords({ targets, layers, keepCommits, torn, aside }: Past): string {
  const kept = keepCommits > 0 ? ", one commit kept" : "";
  return `${targets.length > 1 ? "two disks of " : ""}${layers} layers${kept}${torn ? ", torn" : ""}` +
    (aside ? ", with a session set aside" : "");
}

/** Cut short at every step: `check` is called on each fixture that is left and was not left before. */
async function cutShort(
  past: Past,
  act: Act,
  check: (fixture: Fixture, history: History, before: number, result: Result) => Promise<void>,
): Promise<void> {
  using fixture = new Fixture();
  const history = await live(fixture, past);
  const before = placeOf(fixture, history, past.targets[0]!);
  const tree = new Tree(fixture.root);
  const seen = new Set<string>();
  const every = past.layers > 2 ? EVERY : 1;
  for (const fault of faults) {
    await atEveryStep(fault, async (failing) => {
      tree.restore();
      const result = await act(fixture, { perform: failing.perform });
      const { key } = new Tree(fixture.root);
      if (seen.has(key + result.code)) return;
      seen.add(key + result.code);
      if (seen.size % every !== 1 % every) return;
      await check(fixture, history, before, result);
    });
  }
}

for (const past of [...pasts, { ...one[2]!, aside: true }, { ...one[3]!, aside: true }]) {
  Deno.test(`a merge of ${inWords(past)} changes nothing, wherever it is cut short`, async () => {
    await cutShort(past, merge, async (fixture, history, before) => {
      for (const target of past.targets) assertEquals(placeOf(fixture, history, target), before);
      if (past.aside) {
        const ended = `${fixture.vda}.autorevert-ended`;
        assertEquals(fixture.read(ended), history.get("vda")!.at(-1), "the session that was set aside");
      }
      await whateverIsNext(fixture, past, history);
    });
  });
}

for (const past of [...lower, ...asides.filter(({ layers }) => layers === 3)]) {
  Deno.test(`an undo on ${inWords(past)} is done or not, wherever it is cut short`, async () => {
    if (past.torn && past.layers === 2) {
      using fixture = new Fixture();
      return await checkUndo(fixture, past, await live(fixture, past));
    }
    await cutShort(past, undo, async (fixture, history, before, { code }) => {
      checkUndone(fixture, past, history, before, code === 0);
      await whateverIsNext(fixture, past, history);
    });
  });
}

for (const past of asides) {
  Deno.test(`a keep on ${inWords(past)} is done or not, wherever it is cut short`, async () => {
    await cutShort(past, keep, async (fixture, history, before, { code }) => {
      const waits = checkKept(fixture, past, history, before, code === 0);
      const now = new Tree(fixture.root);
      await whateverIsNext(fixture, past, history);
      now.restore();
      await inContext("a keep", async () => {
        const isDue = waits.length > 0 || past.targets.some((target) => fixture.completes(target) === "keep");
        assertEquals((await fixture.command("keep")).code, isDue ? 0 : 1);
        for (const target of past.targets) assertEquals(placeOf(fixture, history, target), before + 1);
        await checkLives(fixture, past);
      });
    });
  });
}

Deno.test("a torn pair stays known through sessions and commits, and only its upper layer can't be undone", async () => {
  using fixture = new Fixture();
  const past: Past = { targets: ["vda"], layers: 2, keepCommits: 0, torn: true, aside: false };
  const history = new Map(
    [...await live(fixture, past)].map(([target, contents]) => [target, [...contents]]),
  );
  const image = fixture.vda;
  for (const reason of ["shutdown", "crashed", "-"]) {
    await fixture.start();
    fixture.write(image, "junk");
    await fixture.good("release", reason, { mergeDies: true });
    assertEquals(tornOf(fixture, "vda"), true, reason);
    await checkUndo(fixture, past, history);
  }
  fixture.configure({ vda: true });
  await fixture.start();
  fixture.write(image, "third");
  await fixture.good("release", "shutdown", { mergeDies: true });
  history.get("vda")!.push(fixture.disk("vda"));
  assertEquals([tornOf(fixture, "vda"), layersOf(fixture, "vda").length], [true, 3]);
  await checkUndo(fixture, past, history);
  assertEquals([tornOf(fixture, "vda"), layersOf(fixture, "vda").length], [true, 2]);
  await checkUndo(fixture, past, history);

  const { code, log } = await fixture.merge();
  assertEquals(code, 0);
  assertEquals(log.filter((line) => line.includes(`repair "${image}.backing_file"`)).length, 1);
  assertEquals(fixture.disk("vda"), history.get("vda")![1]);
  await checkLives(fixture, past);
  assertEquals([fixture.files(), fixture.disk("vda")], [["vda.img"], history.get("vda")![1]]);
  assertEquals(fixture.files(fixture.config).includes("guest.session"), false);
});
