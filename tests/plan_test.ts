import { assertEquals } from "@std/assert";
import type { Decision } from "../lib/state/decision_table.ts";
import { isTorn, type ObservedDisk } from "../lib/state/observed_disk.ts";
import { namesOf } from "../lib/state/paths.ts";
import { recordsAtPrepare } from "../lib/state/records_at_prepare.ts";
import { unfinished } from "../lib/state/records_at_release.ts";
import type { SessionRecord } from "../lib/state/session_record.ts";
import { type Layers, type Listing, parse, type State } from "../lib/state/state.ts";

const image = "/images/os.img";
const names = namesOf(image);
const record: SessionRecord = {
  target: "vda",
  image,
  started: "2026-01-01T00:00:00.000Z",
  owner: { uid: 0, gid: 0, mode: 0o600 },
  held: false,
};
const disk: ObservedDisk = {
  target: "vda",
  names,
  record,
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
  const noted = [record, { ...record, merging: 1 }];
  assertEquals(isTorn(state(0, 1), noted), true);
  assertEquals(isTorn(state(0, 1, 2), noted), true);
  assertEquals(isTorn(state(1, 2), noted), false);
  assertEquals(isTorn({ kind: "plain", ended: false }, noted), false);
  assertEquals(isTorn(state(0), [record]), false);
  assertEquals(isTorn(state(0, 1), [record]), false);
  assertEquals(isTorn({ kind: "plain", ended: false }, [record]), false);
  const marked = (...layers: Layers) => parse(names, new Map([...layered(...layers), [names.merge(1), 1]]));
  assertEquals(isTorn(marked(0, 1), []), true);
  assertEquals(isTorn(marked(0, 1, 2), [record]), true);
  assertEquals(isTorn(marked(1, 2), []), false);
  assertEquals(isTorn(marked(1), []), false);
});

Deno.test("a record is pending as long as anything lies beside its disk, knows that its session has ended, and forgets a merge that is done", () => {
  const merging = { ...record, merging: 1 };
  const idle = { ...record, idle: true } as const;
  assertEquals(unfinished([record], () => new Map([[image, 1]])), []);
  assertEquals(unfinished([record], () => new Map([[image, 1], [names.ended, 2]])), [idle]);
  assertEquals(unfinished([record], () => layered(0, 1)), [idle]);
  assertEquals(unfinished([merging], () => layered(0, 1)), [{ ...idle, merging: 1 }]);
  assertEquals(unfinished([merging], () => layered(1, 2)), [idle]);
  assertEquals(unfinished([idle], () => new Map([...layered(0), [image, 1]])), [idle]);
});

Deno.test("a session on a shared image is newer than every other guest's, whatever the clock says", () => {
  const begun = (others: readonly SessionRecord[], now: string) =>
    recordsAtPrepare([{ disk, decision: "new session" }], new Date(now), others)[0]!.started;
  assertEquals(begun([], "2026-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.000Z");
  assertEquals(begun([record], "2026-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.001Z");
  assertEquals(begun([record], "2025-01-01T00:00:00.000Z"), "2026-01-01T00:00:00.001Z");
  assertEquals(
    begun([{ ...record, image: "/other" }], "2025-01-01T00:00:00.000Z"),
    "2025-01-01T00:00:00.000Z",
  );
});

Deno.test("the note tells of a session that goes on what it told, and of a new one nothing older", () => {
  const now = new Date("2026-02-02");
  const noted = (record: SessionRecord | undefined, decision: Decision) =>
    recordsAtPrepare([{ disk: { ...disk, record }, decision }], now, [])[0];
  const held = { ...record, held: true };
  const continued = now.toISOString();
  assertEquals(noted(record, "keep"), { ...record, continued });
  assertEquals(noted(held, "keep"), { ...held, continued });
  assertEquals(noted(record, "resume"), { ...held, continued });
  assertEquals(noted(held, "new session"), { ...record, started: now.toISOString() });
  const target = Deno.makeTempFileSync();
  const adopted = { ...disk, names: namesOf(target), record: undefined };
  const [first] = recordsAtPrepare([{ disk: adopted, decision: "keep" }], now, []);
  Deno.removeSync(target);
  assertEquals([first?.image, first?.started], [target, now.toISOString()]);
});
