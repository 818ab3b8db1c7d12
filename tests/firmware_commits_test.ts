/** Which version of the firmware belongs to which layers of disks, and how many of them stay. */

import { assertEquals } from "@std/assert";
import {
  lastCommitted,
  versionBefore,
  versionOf,
  versionsKept,
  wasCommittedWith,
  withCommits,
  withoutMerged,
  withUndone,
} from "../lib/state/firmware_commits.ts";
import type { ObservedDisk } from "../lib/state/observed_disk.ts";
import { layerNumber, namesOf } from "../lib/state/paths.ts";
import type { FirmwareCommit, SessionRecord } from "../lib/state/session_record.ts";
import type { Layers, Listing, State } from "../lib/state/state.ts";

const os = namesOf("/images/os.img");
const data = namesOf("/images/data.img");
const vars = namesOf("/nvram/guest.fd");
const owner = { uid: 0, gid: 0, mode: 0o600 };

type Names = typeof os;
const record = ({ image }: Names, more: Partial<SessionRecord> = {}): SessionRecord => ({
  ...{ target: "vda", image, started: "2026-01-01T00:00:00.000Z", owner, held: false },
  ...more,
});
const layers = ({ image, layer }: Names, count: number): Listing =>
  new Map([
    [image, count],
    ...Array.from({ length: count }, (_, number) => [layer(number), number + 1] as const),
  ]);
const disk = (
  names: Names,
  listing: Listing,
  differs: Partial<ObservedDisk> = {},
): ObservedDisk => ({
  ...{ target: "vda", names, record: record(names), listed: true, flag: "clear", keepCommits: 0 },
  ...{ keepSession: false, source: "same", listing, owner },
  ...differs,
});
const file = (count: number, commits?: readonly FirmwareCommit[]) =>
  disk(vars, layers(vars, count), {
    firmware: true,
    record: record(vars, { firmware: true, ...commits && { commits } }),
  });
const commit = (layer: number, ...disks: string[]): FirmwareCommit => ({ layer, disks });
const undone = (layer: number, ...disks: string[]): FirmwareCommit => ({ layer, disks, undone: disks });

Deno.test("as many versions of the firmware stay as commits of a disk can be taken back", () => {
  const one = disk(os, layers(os, 2));
  assertEquals(versionsKept(file(4), [one]), 1);
  assertEquals(versionsKept(file(4), [disk(os, layers(os, 2), { keepCommits: 2 })]), 2);
  assertEquals(versionsKept(file(4), [one, disk(data, layers(data, 3))]), 2);
  // Of a disk that can't be seen nobody knows.
  assertEquals(versionsKept(file(4), [one, disk(data, new Map())]), 3);
  assertEquals(versionsKept(file(1), [disk(os, layers(os, 2), { keepCommits: 2 })]), 2);
  const all = [commit(1, data.layer(1)), commit(2, os.layer(1)), commit(3, data.layer(2))];
  assertEquals(versionsKept(file(4, all), [one]), 2);
  assertEquals(
    versionsKept(file(4, all), [disk(os, new Map([[os.image, 1]]))]),
    0,
  );
  // An undo goes back past those of which all was taken back.
  assertEquals(versionsKept(file(4, [undone(1, data.layer(1)), ...all.slice(1)]), [one]), 3);
  assertEquals(versionsKept(file(4, all.slice(0, 1)), [one]), 1);
});

Deno.test("the firmware's newest version goes with the layers that it was committed with", () => {
  const all = [commit(1, os.layer(1))];
  assertEquals(wasCommittedWith(file(2, all), [os.layer(1)]), true);
  assertEquals(wasCommittedWith(file(2, all), [os.layer(2)]), false);
  assertEquals(wasCommittedWith(file(2), [os.layer(2)]), true);
  assertEquals(wasCommittedWith({ ...file(0), listing: new Map([[vars.image, 1]]) }, []), true);
});

Deno.test("to a layer of a disk belongs the newest version before that of its next layer", () => {
  const noted = record(vars, {
    commits: [commit(1, os.layer(1)), undone(2, os.layer(2)), commit(3, os.layer(3))],
  });
  const on = (layer: number, layers = [0, 1, 3], record: SessionRecord | undefined = noted) =>
    versionOf([0, 1, 2, 3], record, (path) => layerNumber(os.image, path), { on: layer, layers });
  assertEquals([0, 1, 2, 3].map((layer) => on(layer)), [0, 1, 2, 3]);
  // What is there no more, and was not undone, is in the disk.
  assertEquals(on(0, [0]), 1);
  const noLayer = () => undefined;
  assertEquals(versionOf([0, 1, 2, 3], noted, noLayer, { on: 0, layers: [0, 1, 2, 3] }), 3);
  assertEquals(versionOf([0, 1, 4], noted, noLayer, { on: 0, layers: [0, 1] }), undefined);
});

Deno.test("what is noted of a disk's layers is the disk once these are merged, but for what was undone", () => {
  const plain: State = { kind: "plain", ended: false };
  const one: FirmwareCommit = { layer: 1, disks: [os.layer(1), data.layer(1)], undone: [data.layer(1)] };
  const merged = (...images: string[]) =>
    withoutMerged([one], (image) => images.includes(image) ? plain : { kind: "missing" });
  assertEquals(merged(), [one]);
  assertEquals(merged(os.image), [{ ...one, disks: [os.image, data.layer(1)] }]);
  assertEquals(merged(data.image), [{ layer: 1, disks: [os.layer(1)] }]);
});

Deno.test("an undo and a keep are noted of the layers that they take, and of no others", () => {
  const noted = record(vars, { commits: [commit(1, os.layer(1), data.layer(1)), commit(2, os.layer(2))] });
  const [after, other] = withUndone([noted, record(os)], "undo", [os.layer(1)]);
  assertEquals(other, record(os));
  assertEquals(after!.commits, [
    { ...commit(1, os.layer(1), data.layer(1)), undone: [os.layer(1)] },
    commit(2, os.layer(2)),
  ]);
  assertEquals(withUndone([after!], "keep", [os.layer(1)]), [noted]);
  assertEquals(withUndone([after!], "keep", [data.layer(1)]), [after]);
});

Deno.test("an undo goes back past versions of which all is undone", () => {
  const state = (layers: Layers, torn?: true) =>
    ({ kind: "layered", layers, ended: false, ...torn && { torn } }) as const;
  const noted = (...commits: FirmwareCommit[]) => record(vars, { firmware: true, commits });
  const both = noted(commit(1, os.layer(1)), undone(2, os.layer(2)), commit(3, os.layer(3)));
  assertEquals(versionBefore(both, state([0, 1, 2, 3])), 1);
  assertEquals(versionBefore(noted(undone(1, os.layer(1)), commit(2, os.layer(2))), state([0, 1, 2])), 0);
  // What is torn is no version to go back to.
  assertEquals(
    versionBefore(noted(undone(1, os.layer(1)), commit(2, os.layer(2))), state([0, 1, 2], true)),
    undefined,
  );
  assertEquals(
    versionBefore(noted(commit(1, os.layer(1)), commit(2, os.layer(2))), state([0, 1, 2])),
    undefined,
  );
  assertEquals(
    versionBefore({ ...both, firmware: undefined } as unknown as SessionRecord, state([0, 1, 2, 3])),
    undefined,
  );
  assertEquals(versionBefore(record(vars, { firmware: true }), state([0, 1, 2, 3])), undefined);
});

Deno.test("commits of one end have one time, later than all before, and their firmware the names of their layers", () => {
  const now = new Date("2026-01-02T00:00:00.000Z");
  const at = now.toISOString();
  const { started } = record(os);
  const session = new Map([...layers(os, 2), [os.image, 100]]);
  const files = new Map([...layers(vars, 2), [vars.image, 100]]);
  const earlier = { layer: 1, at: "2026-01-03T00:00:00.000Z", started };
  const older = [commit(1, os.layer(2), data.layer(1)), commit(2, os.layer(1))];
  const records = [record(os), record(vars, { firmware: true, commits: older }), record(data)];
  const both = [disk(os, session), disk(vars, files, { firmware: true })];
  const [first, second, other] = withCommits(records, both, now);
  assertEquals(first, record(os, { committed: [{ layer: 2, at, started }] }));
  assertEquals(second!.committed, [{ layer: 2, at, started }]);
  // The names of layers that were taken back are used again.
  assertEquals(second!.commits, [commit(1, data.layer(1)), commit(2, os.layer(2))]);
  assertEquals(other, record(data));
  const merged = disk(data, new Map([[data.image, 1]]));
  const [alone] = withCommits([records[1]!], [merged, ...both.slice(1)], now);
  assertEquals(alone!.commits, [older[0]!, commit(2, vars.layer(2))]);
  const before = { ...earlier, started: "2025-12-01T00:00:00.000Z" };
  const late = [record(os, { committed: [before] }), record(data, { started: at })];
  assertEquals(withCommits(late, [disk(os, session)], now)[0]!.committed, [
    before,
    { layer: 2, at: "2026-01-03T00:00:00.001Z", started },
  ]);
  // Kept one by one, those of one session keep its time; one that has gone on since doesn't.
  const kept = record(data, { committed: [{ ...earlier, layer: 1 }] });
  const next = (more: Partial<SessionRecord> = {}, of = kept) =>
    withCommits([record(os, more), of], [disk(os, session)], now)[0]!.committed!.at(-1)!.at;
  const later = "2026-01-03T00:00:00.001Z";
  assertEquals(next(), earlier.at);
  assertEquals(next({ continued: "2026-01-04T00:00:00.000Z" }), later);
  assertEquals(next({ started: at }), later);
  assertEquals(next({ firmware: true }), later);
  assertEquals([next({}, { ...kept, firmware: true }), next({}, { ...kept, undone: true })], [later, later]);
  // A commit that was undone has the time that it had.
  const again = record(os, { undone: true, committed: [{ layer: 2, at: "2025-01-01" }] });
  const timeOf = (record: SessionRecord, isSetAside: boolean) =>
    withCommits([record], [disk(os, layers(os, 2))], now, { isSetAside })[0]!.committed![0]!.at;
  assertEquals(timeOf(again, true), "2025-01-01");
  assertEquals(timeOf(again, false), at);
  assertEquals(timeOf({ ...again, undone: undefined } as unknown as SessionRecord, true), at);
  assertEquals(withCommits([record(os)], [disk(os, new Map([[os.image, 1]]))], now), [record(os)]);
});

Deno.test("the last commit of a guest is that of the disks whose newest one is of that time, or of none that is noted", () => {
  const of = (names: Names, listing: Listing, at?: string) => ({
    disk: disk(names, listing, { record: record(names, { ...at && { committed: [{ layer: 1, at }] } }) }),
  });
  const [early, late, unknown] = [
    of(os, layers(os, 2), "2026-01-01"),
    of(data, layers(data, 2), "2026-01-02"),
    of(data, layers(data, 2)),
  ];
  assertEquals(lastCommitted([early, late, unknown]), [late, unknown]);
  assertEquals(lastCommitted([of(os, new Map(), "2026-01-01"), late]).length, 2);
});
