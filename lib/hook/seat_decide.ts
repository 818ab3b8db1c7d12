import type { EventContext, NotedStart } from "./context.ts";
import { isSaved } from "./decide.ts";
import { isUnwrittenSinceRestore } from "../state/observed_disk.ts";
import {
  hasSetAside,
  hasStaying,
  isAnotherHosts,
  isAnotherSession,
  isNoted,
  isSavedOn,
  isSeatAwaited,
  isSeatUnborn,
  type Lying,
  type ObservedSeat,
} from "../state/seat.ts";
import { decideSeat, type SeatFacts } from "../state/seat_table.ts";

/** The row of the table that decides about a seat, looking up only what it asks for. Changes nothing. */
export async function seatDecision(
  seat: ObservedSeat,
  circumstances: Pick<SeatFacts, "event" | "start" | "end" | "came" | "waits" | "saved">,
  context: Pick<EventContext, "host" | "domain">,
) {
  const isAtStart = circumstances.event === "prepare";
  // The session that lies there, by what is noted, or since libvirt's own save is the guest's last.
  const isTold = () => isSavedOn(seat) || isSaved(context);
  const isAnothers = isAnotherSession(seat) || seat.record?.left === true;
  let facts: SeatFacts = {
    ...circumstances,
    ended: hasSetAside(seat, circumstances.start),
    ours: circumstances.event === "prepare" ? isNoted(seat) : seat.record !== undefined,
    listed: seat.listed,
    file: seat.file,
    keeps: seat.keepSession,
    unborn: isSeatUnborn(seat) && (isAtStart || seat.record?.aside === "stay"),
    another: isAtStart ? isAnotherSession(seat) : !isNoted(seat),
    either: isAtStart && (isAnothers ? isAnotherHosts(seat) : !isTold()),
    stays: hasStaying(seat),
    source: seat.source,
  };
  while (true) {
    const verdict = decideSeat(facts);
    if ("row" in verdict) return verdict.row;
    switch (verdict.lookUp) {
      case "saved":
        facts = { ...facts, saved: isSaved(context) };
        break;
      case "look": {
        const { kind } = await context.host.qemuImg.info(seat.names.image);
        facts = { ...facts, look: kind === "busy" ? "busy" : "free" };
        break;
      }
      default:
        verdict.lookUp satisfies never;
    }
  }
}

/**
 * Whether the session that lies there is what a saved guest comes back to, or may be: its guest came up, and no end of it was told. It
 * may also have gone to another host as this one died.
 *
 * @param before what is still noted of the guest's last start: nothing, where it came up; a refusal, where nothing came of the next one
 */
export function mayBeSavedOn(
  seat: Lying,
  before: NotedStart | undefined,
  context: Pick<EventContext, "host" | "domain">,
): boolean {
  const { record } = seat;
  const isUp = record !== undefined && (before === undefined || before.word === "refused");
  return isSeatAwaited(seat) || isUnwrittenSinceRestore(seat) || isUp ||
    record?.aside === undefined && isSaved(context);
}
