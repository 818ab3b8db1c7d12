import { concerning } from "../errors.ts";
import { configOf, type Occasion, readStart, updateNote } from "./context.ts";
import { type Circumstances, decideAll, recoveryOf } from "./decide.ts";
import { interruptMerges, outliveOrphan, resumeMerges } from "./merge_control.ts";
import { casesAtPrepare, olderThan } from "./observe.ts";
import { finishOrders } from "./pending_operation.ts";
import { refusal } from "./refusal.ts";
import * as files from "../host/files.ts";
import { readOtherNotes, readOwnNote } from "../host/session_records.ts";
import type { Config } from "../input/config.ts";
import { refuses } from "../state/decision_table.ts";
import { type Case, stateOf } from "../state/observed_disk.ts";
import type { GuestNames } from "../state/paths.ts";
import {
  type Decided,
  freezes,
  isTorn,
  noteAtPrepare,
  pending,
  planPrepare,
  planUndo,
  startingStep,
} from "../state/plan.ts";
import type { Entry } from "../state/session_record.ts";

/**
 * A start: every listed disk gets its session, or the start is refused and no disk has changed.
 *
 * After a crash the next event of the guest finishes it or takes it back: libvirt calls `release` for a start that
 * failed, and the next start recovers.
 */
export async function prepare(occasion: Occasion): Promise<0 | 1> {
  const { run, paths } = occasion;
  try {
    await begin(occasion);
    return 0;
  } catch (error) {
    run.report(error);
    await run.tryTo("", () => [startingStep(paths, "refused")]);
    return 1;
  }
}

async function begin(occasion: Occasion): Promise<void> {
  const { run, host, domain, paths } = occasion;
  const start = startThatBegins(paths, host.now());
  const config = await configOf(occasion);
  const { parseDisks } = await import("../input/domain_xml.ts");
  const disks = parseDisks(host.readXml());
  let entries = readOwnNote(paths.note);
  const gather = () => casesAtPrepare(domain, config, disks, entries, host.settings);

  const images = gather().map(({ names }) => names.image);
  using _folders = await run.locks.folders(images);
  await interruptMerges(occasion, images);
  try {
    await finishOrders(occasion);
    entries = readOwnNote(paths.note);
    await freeze(gather(), entries, { start, config }, occasion);
  } catch (error) {
    await resumeMerges(images, occasion);
    throw error;
  }
}

/** What a start rests on besides its disks. */
interface Start {
  readonly start: "fresh" | "resume" | "migrate";
  readonly config: Config | undefined;
}

async function freeze(
  disks: readonly Case[],
  entries: readonly Entry[],
  { start, config }: Start,
  occasion: Occasion,
): Promise<void> {
  const { run, host, paths } = occasion;
  const recovery = await recoveryOf(disks, occasion);
  const others = readOtherNotes(paths.note);
  for (const disk of recovery.cases) {
    const state = stateOf(disk);
    const { image, layer } = disk.names;
    const isBegun = [...entries, ...others].some((entry) => entry.image === image && isTorn(entry, state));
    if (isBegun && "layers" in state) await outliveOrphan(layer(state.layers[0]), occasion);
  }
  const decided = await decideAll(recovery.cases, occasion, (disk) => circumstances(disk, start, config));
  refuse(decided);

  const note = noteAtPrepare(decided, host.now(), others);
  try {
    for (const { whom, steps } of planPrepare(decided, recovery, note, start, paths)) {
      await run.take(whom, steps);
    }
  } catch (error) {
    await undo(decided, entries, note, occasion);
    throw error;
  }
  await updateNote(note, occasion);
}

/** How long after `restore` or `migrate` its `prepare` may come, in milliseconds: libvirt calls them in a row. */
const IN_A_ROW = 600_000;

function startThatBegins(paths: GuestNames, now: Date): "fresh" | "resume" | "migrate" {
  const word = readStart(paths)?.word ?? "fresh";
  if (word === "refused") return "fresh";
  // Left behind by a restore that failed before its `prepare`, the word would keep an old session alive.
  const age = now.getTime() - (files.look(paths.starting)?.mtime?.getTime() ?? 0);
  return age < IN_A_ROW ? word : "fresh";
}

/** What a start depends on besides the disk. */
export function circumstances(
  disk: Case,
  start: Circumstances["start"],
  config: Config | undefined,
): Circumstances {
  const { entry, names: { image } } = disk;
  // A flag that came after the session's last write is meant for the next session.
  const held = entry?.held || entry?.flagged || olderThan(config?.changed ?? Infinity, image);
  return { event: "prepare", start, end: "none", held };
}

function refuse(decided: readonly Decided[]): void {
  for (const { disk, fate } of decided) {
    if (refuses(fate)) throw concerning(disk.target, refusal(fate, disk));
  }
}

/** Takes back what a failed start did to the disks that it froze. */
async function undo(
  decided: readonly Decided[],
  before: readonly Entry[],
  note: readonly Entry[],
  { run, paths }: Occasion,
): Promise<void> {
  for (const { disk, fate } of decided) {
    if (freezes(fate)) {
      await run.tryTo(disk.target, () => planUndo({ disk, fate }, files.list(disk.names.image)));
    }
  }
  await run.tryTo("", () => {
    if (files.look(paths.note) === undefined) return [];
    // What could not be taken back stays ours: the next start deals with it.
    const added = note.filter(({ image }) => before.every((entry) => entry.image !== image));
    const entries = [...before, ...pending(added, (image) => files.list(image))];
    return [{ kind: "note", path: paths.note, entries }];
  });
}
