import { assertEquals } from "@std/assert";
import type { Fate } from "../lib/state/decision_table.ts";
import type { Case } from "../lib/state/observed_disk.ts";
import { namesOf } from "../lib/state/paths.ts";
import { isTorn, noteAtPrepare, pending } from "../lib/state/plan.ts";
import type { Entry } from "../lib/state/session_record.ts";
import type { Layers, Listing, State } from "../lib/state/state.ts";

const image = "/images/os.img";
const names = namesOf(image);
const entry: Entry = {
  target: "vda",
  image,
  started: "2026-01-01T00:00:00.000Z",
  owner: { uid: 0, gid: 0, mode: 0o600 },
  held: false,
};
const disk: Case = {
  target: "vda",
  names,
  entry,
  listed: true,
  flag: "clear",
  keepCommits: 0,
  keepSession: false,
  source: "same",
  listing: new Map(),
  owner: { uid: 0, gid: 0, mode: 0o600 },
};
const layered = (...layers: Layers): Listing =>
  new Map([[image, layers.at(-1)!], ...layers.map((number) => [names.layer(number), number] as const)]);

Deno.test("a merge is torn until the upper layer has taken the place of the lower one", () => {
  const state = (...layers: Layers): State => ({ kind: "layered", layers, ended: false });
  const merging = { ...entry, merging: 1 };
  assertEquals(isTorn(merging, state(0, 1)), true);
  assertEquals(isTorn(merging, state(0, 1, 2)), true);
  assertEquals(isTorn(merging, state(1, 2)), false);
  assertEquals(isTorn(merging, { kind: "plain", ended: false }), false);
  assertEquals(isTorn(entry, state(0)), false);
  assertEquals(isTorn(entry, state(0, 1)), false);
  assertEquals(isTorn(entry, { kind: "plain", ended: false }), false);
});

Deno.test("an entry is pending as long as anything lies beside its disk, and forgets a merge that is done", () => {
  const merging = { ...entry, merging: 1 };
  assertEquals(pending([entry], () => new Map([[image, 1]])), []);
  assertEquals(pending([entry], () => new Map([[image, 1], [names.ended, 2]])), [entry]);
  assertEquals(pending([entry], () => layered(0, 1)), [entry]);
  assertEquals(pending([merging], () => layered(0, 1)), [merging]);
  assertEquals(pending([merging], () => layered(1, 2)), [entry]);
});

Deno.test("a session on a shared image is newer than every other guest's, whatever the clock says", () => {
  const begun = (others: readonly Entry[], now: string) =>
    noteAtPrepare([{ disk, fate: "freeze" }], new Date(now), others)[0]!.started;
  assertEquals(begun([], "2026-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.000Z");
  assertEquals(begun([entry], "2026-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.001Z");
  assertEquals(begun([entry], "2025-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.001Z");
  assertEquals(
    begun([{ ...entry, image: "/other" }], "2025-01-01T00:00:00.000Z"),
    "2025-01-01T00:00:00.000Z",
  );
});

Deno.test("the note tells of a session that goes on what it told, and of a new one nothing older", () => {
  const now = new Date("2026-02-02");
  const noted = (entry: Entry | undefined, fate: Fate) =>
    noteAtPrepare([{ disk: { ...disk, entry }, fate }], now, [])[0];
  const held = { ...entry, held: true };
  assertEquals(noted(entry, "keep"), entry);
  assertEquals(noted(held, "keep"), held);
  assertEquals(noted(entry, "resume"), held);
  assertEquals(noted(held, "freeze"), { ...entry, started: now.toISOString() });
  const target = Deno.makeTempFileSync();
  const adopted = { ...disk, names: namesOf(target), entry: undefined };
  const [first] = noteAtPrepare([{ disk: adopted, fate: "keep" }], now, []);
  Deno.removeSync(target);
  assertEquals([first?.image, first?.started], [target, now.toISOString()]);
});
