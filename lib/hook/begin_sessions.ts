import { withContext } from "../errors.ts";
import { type EventContext, updateRecords } from "./context.ts";
import { whyRefused } from "./decide.ts";
import { changedMeanwhile, decideStart, type Start } from "./decide_start.ts";
import { madeAt, madeOf } from "./observe.ts";
import { takeOwn } from "./own_names.ts";
import { checkTemplates } from "./seat_firmware.ts";
import { undoStart } from "./undo_start.ts";
import * as files from "../host/files.ts";
import type { Stage } from "../state/commit_plan.ts";
import { beginsSession, type DecidedDisk } from "../state/decided_disk.ts";
import {
  isMadeForIt,
  isYetToBeMade,
  MADE_WITHIN,
  type ObservedDisk,
  stateOf,
} from "../state/observed_disk.ts";
import { type Names, namesOf } from "../state/paths.ts";
import { isAnnounced, isLeftAlone, marksOf, planPrepare } from "../state/prepare_plan.ts";
import { recordsAtPrepare } from "../state/records_at_prepare.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { parse, topOf } from "../state/state.ts";
import type { Step } from "../state/step.ts";

/** How long it is announced that a session is put back, before it is, in milliseconds. */
const ANNOUNCED = 100;

export async function beginSessions(
  disks: readonly ObservedDisk[],
  records: readonly SessionRecord[],
  from: Start,
  context: EventContext,
): Promise<void> {
  const { run, host, paths } = context;
  const { start, seats } = from;
  const { decided, recovery, others } = await decideStart(disks, records, from, context);
  const begun = decided.filter(({ decision }) => beginsSession(decision));
  const note = recordsAtPrepare(decided, host.now(), others, start).map((record) =>
    begun.some(({ disk }) => disk.names.image === record.image) ? { ...record, host: host.name() } : record
  );
  const { made, named, marked } = planPrepare(decided, recovery, note, start, paths);
  const own = new Set<string>();
  try {
    const take = async ({ subject, steps }: Stage) => {
      for (const step of steps) await takeOwn(subject, step, own, context);
    };
    for (const stage of made) await take(stage);
    await checkTemplates(begun.map(({ disk }) => disk), context);
    // A merge of another host that has looked for that name just before has given the image its own by then.
    if (decided.some(isAnnounced) && !run.isDry) await new Promise((wake) => setTimeout(wake, ANNOUNCED));
    // Theirs can be taken back wholly, also after the last step; where it fails, no disk has begun.
    await seats?.finish(note, marksOf(decided));
    for (const stage of named) {
      await checkBegun(stage.steps, decided, context);
      await noteClock(stage.steps, note, context);
      await take(stage);
    }
    for (const { disk } of begun) {
      const state = parse(disk.names, run.listing(disk.names.image));
      if (state.kind !== "session" && !isYetToBeMade(disk)) {
        throw withContext(disk.target, changedMeanwhile(disk));
      }
    }
  } catch (error) {
    // Of what is left behind by a start, or seems to be, another host's event makes an end; and its merges give layers other names.
    const isTaken = ({ names }: ObservedDisk) =>
      files.isMissing(error) && own.has(names.scratch) && files.lstat(names.scratch) === undefined &&
      files.lstat(names.image) !== undefined;
    const changed = begun.map(({ disk }) => disk).find(isTaken) ?? disks.find(lacksTop);
    await undoStart(decided, { before: records, note, own }, context);
    if (changed) throw withContext(changed.target, changedMeanwhile(changed));
    throw error;
  }
  if (await updateRecords(recordsWhenBegun(note, begun), context)) {
    for (const { subject, steps } of marked) await run.takeOrReport(subject, () => steps);
  }
  if (isLeftAlone(decided, note) && seats === undefined && !run.isDry) files.removeIfThere(paths.starting);
}

/**
 * Where the file system's clock differs from ours, it is noted how far, and a session is told by when its file was made: before it is
 * the session.
 */
async function noteClock(
  steps: readonly Step[],
  note: SessionRecord[],
  { run, paths, host, begun }: EventContext,
): Promise<void> {
  let isChanged = false;
  for (const [index, record] of note.entries()) {
    const names = namesOf(record.image);
    const scratch = givesName(steps, names) ? files.lstat(names.scratch) : undefined;
    const made = madeOf(scratch);
    if (scratch === undefined || made === undefined) continue;
    const ahead = clockOffset(scratch, begun, host.now());
    const isTold = isMadeForIt({ made, record });
    if (ahead === 0 && isTold) continue;
    note[index] = {
      ...record,
      ...!isTold && { made: [...record.made ?? [], made] },
      ...ahead !== 0 && { ahead },
    };
    isChanged = true;
  }
  if (isChanged) await run.take("", [{ kind: "note", path: paths.note, records: note }]);
}

/** How far the clock of a file's file system is ahead, in milliseconds; the file was made since the event began. */
function clockOffset({ mtime }: Deno.FileInfo, begun: Date, now: Date): number {
  const at = mtime?.getTime() ?? now.getTime();
  const [since, until] = [begun.getTime(), now.getTime()];
  const offset = at > until ? at - until : at < since ? at - since : 0;
  return Math.abs(offset) < MADE_WITHIN ? 0 : offset;
}

/**
 * What is noted once all sessions are in their places: one that began with its flag set over an older one can't be taken for a word
 * about that any more, and one that goes on, or has come back, is told as those that began were before.
 */
function recordsWhenBegun(
  note: readonly SessionRecord[],
  begun: readonly DecidedDisk[],
): SessionRecord[] {
  return note.map((record) => {
    const one = begun.find(({ disk }) => disk.names.image === record.image);
    if (one !== undefined) {
      const { flagged: _, ...rest } = record;
      return { ...rest, ...one.disk.flag === "set" && { flagged: true } };
    }
    // What lies in the place of one that was left may be somebody's own.
    if (record.detached) return record;
    if (record.aside !== undefined && files.lstat(namesOf(record.image).ended) === undefined) {
      const { aside: _aside, setsAside: _setsAside, ...rest } = record;
      return rest;
    }
    const made = madeAt(record.image);
    if (made === undefined || isMadeForIt({ made, record })) return record;
    const isSession = parse(namesOf(record.image), files.listIfThere(record.image)).kind === "session";
    return isSession ? { ...record, made: [made] } : record;
  });
}

/** Whether one of these steps gives a session the image's name. */
function givesName(steps: readonly Step[], { image }: Names): boolean {
  return steps.some((step) => step.kind === "rename" && step.to === image);
}

/**
 * Another host has locks of its own: its merge may end in the moment in which the overlay is made here, and give the image the
 * only name of the disk, or its QEMU open the session that is to go. A look just before the overlay takes that name.
 *
 * @throws {UserError} if the layer is gone that the overlay stands on, or the older session is in use
 */
async function checkBegun(
  steps: readonly Step[],
  decided: readonly DecidedDisk[],
  context: EventContext,
): Promise<void> {
  const { run, host } = context;
  const begun = decided.find((one) =>
    (beginsSession(one.decision) || isAnnounced(one)) && givesName(steps, one.disk.names)
  );
  if (begun === undefined) return;
  const { target, names } = begun.disk;
  const listing = run.listing(names.image);
  const state = parse(names, listing);
  const before = stateOf(begun.disk);
  const top = "layers" in before ? topOf(before.layers) : 0;
  const isSame = run.isDry || listing.get(names.image) === begun.disk.listing.get(names.image);
  if (!("layers" in state) || topOf(state.layers) !== top || !isSame) {
    throw withContext(target, changedMeanwhile(begun.disk));
  }
  if (before.kind !== "session" || begun.disk.firmware || run.isDry) return;
  const { kind } = await host.qemuImg.info(names.image);
  if (kind === "busy") throw withContext(target, await whyRefused("refuse: in use", begun.disk, context));
}

/** Whether the top layer has lost its name since. */
function lacksTop({ names, listing }: ObservedDisk): boolean {
  const state = parse(names, listing);
  return "layers" in state && files.lstat(names.layer(topOf(state.layers))) === undefined;
}
