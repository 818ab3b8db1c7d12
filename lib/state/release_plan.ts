/** The plan of an end: which steps it takes, in order. Pure; what it rests on has been looked up before. */

import { planCommit, type Stage } from "./commit_plan.ts";
import { type DecidedDisk, losesSetAside } from "./decided_disk.ts";
import type { Decision } from "./decision_table.ts";
import { holdPublished } from "./master_transitions.ts";
import { bearsMark, disksFirst, hasSetAside, type ObservedDisk, stateOf, wishOf } from "./observed_disk.ts";
import type { GuestNames } from "./paths.ts";
import { type EndedGuest, recordsAtRelease } from "./records_at_release.ts";
import { afterAll, type Step } from "./step.ts";
import * as moves from "./transitions.ts";

/**
 * An end: commits first and together, then each disk by itself, and its firmware last.
 *
 * @param how what is noted before anything is committed
 */
export function planRelease(
  decided: readonly DecidedDisk[],
  how: Pick<EndedGuest, "isUp" | "at" | "flagVersion" | "isSaved" | "isUntold" | "hasOlderSave">,
  paths: GuestNames,
): Stage[] {
  const { isUp } = how;
  const commits = decided.filter(({ decision }) => decision === "commit").map(({ disk }) => disk);
  const inOrder = disksFirst(decided, ({ disk }) => disk);
  return [
    ...decided.filter((one) => isUp && losesSetAside(one, decided))
      .map(({ disk }) => ({ subject: disk.target, steps: moves.removeSetAside(disk.names) })),
    ...commits.length > 0
      ? [
        {
          subject: "",
          steps: [
            {
              kind: "note",
              path: paths.note,
              records: recordsAtRelease(decided, { ...how, isUnderWay: true }),
            } as const,
          ],
        },
        // What seats stand on is not the commit that is coming.
        ...commits.filter(({ byHand }) => byHand).map(({ target, names, listing }) => ({
          subject: target,
          steps: holdPublished(names, listing, true),
        })),
        planCommit([], commits, paths),
      ]
      : [],
    ...planPassOn(decided, how, paths),
    // Of all of them first, a disk's before its firmware's: what is set aside is never of two sessions, and says how an end goes on
    // that is cut short: see `endFirmware`.
    ...inOrder.filter(({ disk, decision }) => decision === "set aside" && hasSetAside(disk))
      .map(({ disk }) => ({ subject: disk.target, steps: moves.removeSetAside(disk.names) })),
    ...inOrder.map(({ disk, decision }) => ({
      subject: disk.target,
      steps: atRelease(disk, decision, isUp),
    })),
  ].filter(({ steps }) => steps.length > 0);
}

/**
 * The sessions of a guest that goes on elsewhere take their flags with them: these lie beside the images from here on. Cut short,
 * a flag may count here as well, but is never gone in both places.
 */
function planPassOn(
  decided: readonly DecidedDisk[],
  how: EndedGuest,
  paths: GuestNames,
): Stage[] {
  const passed = decided.filter(({ disk, decision }) => decision === "pass on" && disk.flag === "set")
    .map(({ disk }) => disk);
  if (passed.length === 0) return [];
  const targets = passed.map(({ target }) => target);
  // One stage: where a mark can't be made, no flag is cleared.
  const steps: Step[] = [
    ...passed.flatMap((disk) => bearsMark(disk) ? [] : moves.mark(disk.names)),
    // Before the flag: as long as the mark counts as the flag's own, it would go with it.
    {
      kind: "note",
      path: paths.note,
      records: recordsAtRelease(decided, { ...how, isUp: true, isUnderWay: true }),
    },
    { kind: "clear", config: paths.config, targets },
  ];
  return [{ subject: targets.join(" "), steps }];
}

function atRelease(disk: ObservedDisk, decision: Decision, isUp: boolean): Step[] {
  const state = stateOf(disk);
  if (state.kind !== "session") return [];
  if (decision === "set aside") {
    return moves.setAside(disk.names, { ...state, ended: false }, disk.owner);
  }
  // What stands on it now may use up the flag.
  if (decision === "leave to a person" && disk.flag === "set" && !bearsMark(disk)) {
    return moves.mark(disk.names);
  }
  // Its own flag was cleared by an editor, and the mark would count elsewhere.
  const stays = decision === "leave" || decision === "hold" || decision === "leave to a person";
  if (stays && isUp && state.marked && wishOf(disk) === "clear") {
    return moves.removeMark(disk.names);
  }
  if (decision !== "discard") return [];
  // Nobody was told that the guest is up.
  const forget = isUp && (disk.record?.aside === "forget" || disk.record?.aside === "others") && state.ended
    ? moves.removeSetAside(disk.names)
    : [];
  return [...forget, ...planDiscard({ ...disk, listing: afterAll(disk.listing, forget) })];
}

/** Forgets a disk's session, if it has one. */
export function planDiscard(disk: ObservedDisk): Step[] {
  const state = stateOf(disk);
  return state.kind === "session" ? moves.discard(disk.names, state, disk.owner) : [];
}
