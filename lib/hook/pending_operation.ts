/** What an administrator ordered for a guest's disks: it is noted first, and then done for all of them, whatever is cut short. */

import type { Occasion } from "./context.ts";
import { readOwnNote } from "../host/session_records.ts";
import { namesOf } from "../state/paths.ts";
import type { Entry, Order } from "../state/session_record.ts";
import { parse, type State, topOf } from "../state/state.ts";
import type { Step } from "../state/step.ts";
import * as moves from "../state/transitions.ts";

type Layered = Extract<State, { kind: "layered" }>;

/** Of idle disks with layers, by image. */
export type States = ReadonlyMap<string, Layered>;

/** The note with this order for these disks: once it is written, {@link finishOrders} is all that can follow. */
export function ordering(entries: readonly Entry[], verb: Order["verb"], states: States): Entry[] {
  return entries.map((entry) => {
    const state = states.get(entry.image);
    return state ? { ...entry, ordered: { verb, top: topOf(state.layers) } } : entry;
  });
}

/**
 * Does what is ordered and not done, and clears it from the note. The caller holds the guest's lock and its folders'.
 *
 * @returns the orders that were done now
 * @throws {Trouble} if a step fails; then the order stands
 */
export async function finishOrders({ run, paths }: Occasion): Promise<Order[]> {
  const entries = readOwnNote(paths.note);
  if (entries.every(({ ordered }) => ordered === undefined)) return [];
  const done: Order[] = [];
  for (const entry of entries) {
    if (entry.ordered === undefined) continue;
    const names = namesOf(entry.image);
    await run.take(entry.target, moves.recover(names, run.listing(entry.image)));
    const state = parse(names, run.listing(entry.image));
    if (state.kind !== "layered" || topOf(state.layers) !== entry.ordered.top) continue;
    await run.take(entry.target, stepsOf(entry, entry.ordered, state));
    done.push(entry.ordered);
  }
  const cleared = entries.map(({ ordered: _, ...rest }) => rest);
  await run.take("", [{ kind: "note", path: paths.note, entries: cleared }]);
  return done;
}

/** Both leave another layer at the top: an order that is done is never done again. */
function stepsOf({ image, owner }: Entry, { verb }: Order, state: Layered): Step[] {
  const names = namesOf(image);
  switch (verb) {
    case "undo":
      return moves.undo(names, state, owner);
    case "keep":
      return moves.keep(names, state, owner);
    default:
      return verb satisfies never;
  }
}
