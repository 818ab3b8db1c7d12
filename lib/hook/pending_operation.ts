/** Operations of an administrator on a guest's disks: each is noted first, and then done for all of them, whatever is cut short. */

import type { EventContext } from "./context.ts";
import { madeAt } from "./observe.ts";
import { topBlock } from "./standing.ts";
import { UserError, withContext } from "../errors.ts";
import { version } from "../host/files.ts";
import { readOwnRecords } from "../host/session_records.ts";
import { versionBefore, withUndone } from "../state/firmware_commits.ts";
import { wasSavedOn } from "../state/observed_disk.ts";
import { type Names, namesOf } from "../state/paths.ts";
import type { PendingOperation, SessionRecord } from "../state/session_record.ts";
import { hasEnded, type Layers, type Listing, parse, type State, topOf } from "../state/state.ts";
import type { Step } from "../state/step.ts";
import { publishAsMaster } from "../state/master_transitions.ts";
import { recover } from "../state/recovery.ts";
import * as moves from "../state/transitions.ts";

type Layered = Extract<State, { kind: "layered" }>;

/** Of idle disks with layers, by image. */
export type LayeredStates = ReadonlyMap<string, Layered>;

/** The note with this order for these disks: once it is written, {@link resumePending} is all that can follow. */
export function withPending(
  records: readonly SessionRecord[],
  verb: "undo" | "keep",
  states: LayeredStates,
): SessionRecord[] {
  const layers = records.flatMap(({ image, firmware }) => {
    const state = firmware ? undefined : states.get(image);
    return state ? namesOf(image).layer(topOf(state.layers) + (verb === "keep" ? 1 : 0)) : [];
  });
  const left = verb === "undo" ? leftByUndo(records, states).map(({ image }) => image) : [];
  return withUndone(records, verb, layers).map((record) => {
    const state = states.get(record.image);
    if (state === undefined) {
      const { undone: _undone, ...rest } = record;
      return left.includes(record.image) ? { ...rest, pending: { verb: "forget", top: 0 } } : record;
    }
    const to = verb === "undo" ? versionBefore(record, state) : undefined;
    const top = topOf(state.layers);
    const topVersion = version(namesOf(record.image).layer(top));
    const { undone: _undone, waits: _waits, ...others } = record;
    // What is kept is set aside no more.
    const { aside: _aside, setsAside: _setsAside, ...keeping } = others;
    const ended = namesOf(record.image).ended;
    const kept = verb === "keep" ? version(ended) : undefined;
    // A session that goes is later than the commit, whoever's it is.
    const isSession = !record.undone || wasSavedOn({ endedMade: madeAt(ended), record });
    const goes = verb === "undo" && state.ended && isSession ||
      record.waits === "saved" && !state.ended;
    return {
      ...verb === "keep" ? keeping : others,
      ...verb === "undo" && { undone: true as const },
      ...goes && { lost: true as const },
      pending: {
        ...{ verb, top },
        ...topVersion !== undefined && { topVersion },
        ...kept !== undefined && { kept },
        ...to !== undefined && { to },
      },
    };
  });
}

/** The same for versions that are to be published, by image. */
export function withPublishing(
  records: readonly SessionRecord[],
  versions: ReadonlyMap<string, number>,
): SessionRecord[] {
  return records.map((record) => {
    const top = versions.get(record.image);
    return top === undefined ? record : { ...record, pending: { verb: "publish", top } };
  });
}

/** What was undone before of other disks than these: with what goes now of these, it belongs to nothing that is left. */
export function leftByUndo(records: readonly SessionRecord[], states: LayeredStates): SessionRecord[] {
  const undone = records.filter(({ undone }) => undone);
  const goes = undone.some(({ image }) => states.get(image)?.ended);
  return goes ? undone.filter(({ image }) => !states.has(image)) : [];
}

/**
 * Does the operations that are pending, and clears them from the note. The caller holds the guest's lock and its folders'.
 *
 * @returns the orders of an administrator that are done now, also by what was cut short before it could note that
 * @throws {UserError} if a step fails, or a session of another host stands on a commit that is to be taken back: it may have begun
 * since the order was noted, and can't know of it; then the order stands
 */
export async function resumePending(context: EventContext): Promise<PendingOperation[]> {
  const { run, paths } = context;
  const records = readOwnRecords(paths.note);
  if (records.every(({ pending }) => pending === undefined)) return [];
  for (const record of records) checkNobodyOnTop(record, context);
  const done: PendingOperation[] = [];
  for (const record of records) {
    if (record.pending === undefined) continue;
    const names = namesOf(record.image);
    // Versions are published whatever the guest is doing.
    if (record.pending.verb !== "publish") {
      await run.take(record.target, recover(names, run.listing(record.image)));
    }
    const listing = run.listing(record.image);
    if (parse(names, listing).kind === "missing") continue;
    await run.take(record.target, stepsOf(record, record.pending, listing));
    if (record.pending.verb !== "forget") done.push(record.pending);
  }
  // A disk whose folder isn't mounted yet still has its order.
  const isThere = ({ image }: SessionRecord) => parse(namesOf(image), run.listing(image)).kind !== "missing";
  const cleared = records.map((record) => {
    const { pending: _, ...rest } = record;
    return isThere(record) ? rest : record;
  });
  await run.take("", [{ kind: "note", path: paths.note, records: cleared }]);
  return done;
}

/** @throws {UserError} if sessions stand on a commit that is to be taken back */
function checkNobodyOnTop({ target, image, pending }: SessionRecord, context: EventContext): void {
  if (pending?.verb !== "undo") return;
  const names = namesOf(image);
  const state = parse(names, context.run.listing(image));
  if (!("layers" in state) || !state.master || !isTop(pending, names, state)) return;
  const block = topBlock(names, state, context);
  if (block === undefined) return;
  throw withContext(
    target,
    new UserError(`an undo that was cut short waits: ${block.message}`, { hint: block.hint }),
  );
}

/** Whether the top layer is still the one at the time of the order: another host may have merged it, and committed another. */
function isTop(
  { top, topVersion }: PendingOperation,
  names: Names,
  { layers }: { readonly layers: Layers },
): boolean {
  return topOf(layers) === top && (topVersion === undefined || topVersion === version(names.layer(top)));
}

/** An undo and a keep leave another layer at the top: an order that is done is never done again. */
function stepsOf({ image, owner }: SessionRecord, pending: PendingOperation, listing: Listing): Step[] {
  const names = namesOf(image);
  const state = parse(names, listing);
  const { verb, top, to = top } = pending;
  if (verb === "publish") {
    return "layers" in state && state.layers.includes(top) ? publishAsMaster(names, listing, top) : [];
  }
  if (verb === "forget") return hasEnded(state) ? moves.removeSetAside(names) : [];
  if (state.kind !== "layered" || !isTop(pending, names, state)) return [];
  switch (verb) {
    case "undo": {
      // First: as long as the top layer is there, the order isn't done.
      const between = state.layers.filter((number) => to < number && number < top);
      const [lowest, ...higher] = state.layers;
      const layers: Layers = [lowest, ...higher.filter((number) => !between.includes(number))];
      return [
        ...between.map((number) => ({ kind: "remove", path: names.layer(number) } as const)),
        ...moves.undo(names, { ...state, layers }, owner),
      ];
    }
    case "keep":
      // Whoever had the image meanwhile may have thrown it away, or set another one aside.
      return state.ended && [undefined, version(names.ended)].includes(pending.kept)
        ? moves.keep(names, state, owner)
        : [];
    default:
      return verb satisfies never;
  }
}
