/** The start of a guest with seats. */

import type { EventContext, NotedStart } from "./context.ts";
import { interruptMerges, waitForOrphan } from "./merge_control.ts";
import { madeAt } from "./observe.ts";
import { takeOwn } from "./own_names.ts";
import { checkClaims, checkNotManaged, takeOver } from "./seat_claims.ts";
import { mayBeSavedOn, seatDecision } from "./seat_decide.ts";
import { isOfAnotherHost } from "./seat_guest.ts";
import { checkOneVersion, checkPlainMaster, layerFor } from "./seat_layer.ts";
import { masterGuests, startMastersMerges } from "./seat_masters.ts";
import { observeSeatsAtPrepare } from "./seat_observe.ts";
import { explainSeat } from "./seat_refusal.ts";
import { asUserError, UserError, withContext } from "../errors.ts";
import * as files from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { type Names, namesOf } from "../state/paths.ts";
import { isTorn } from "../state/observed_disk.ts";
import { startingStep, type StartMark } from "../state/step.ts";
import { recordOnceThere, seatRecordAtPrepare } from "../state/records_of_seats.ts";
import { beginsSeat, type DecidedSeat, type ObservedSeat, type StandsOn } from "../state/seat.ts";
import { createSeat, forgetOlder, seatAtPrepare, undoSeat } from "../state/seat_transitions.ts";
import { isSeatRefusal, type SeatDecision } from "../state/seat_table.ts";
import type { SeatRecord } from "../state/seat_record.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { parse } from "../state/state.ts";
import { becomeMaster } from "../state/master_transitions.ts";
import { quoted } from "../text.ts";

/** What a start rests on besides its seats. */
export interface SeatStart {
  readonly start: "fresh" | "resume" | "migrate";
  /** What is still noted of the start before it: nothing, where that guest came up. */
  readonly before: NotedStart | undefined;
  /** A migration of the guest to here came to nothing, and nobody has told. */
  readonly isCutShort: boolean;
  readonly config: Config | undefined;
  readonly disks: readonly DomainDisk[];
}

/** Seats whose sessions are made and have not taken their images' names. */
export interface MadeSeats {
  /** With what was decided of each. */
  readonly decided: readonly DecidedSeat[];
  /** The last part of the start; `records` are those of the guest's other disks, `marks` what else is noted of it. */
  readonly finish: (records: readonly SessionRecord[], marks?: readonly StartMark[]) => Promise<void>;
  /** Takes the start back, from wherever it stopped. */
  readonly undo: () => Promise<void>;
}

/** A seat that stands on this from now on; on nothing where nothing is to be done. */
interface PlacedSeat extends DecidedSeat {
  readonly on: StandsOn | undefined;
}

/**
 * The first part of a start: each seat has a layer of its master that stays, and an overlay on it under another name.
 *
 * What it stands on is noted under the lock of the master's folder, before anything is made: from then on no merge, undo or end of
 * the master takes it away. After a crash the note stays until the guest's next start, or a merge that finds it dead.
 *
 * @returns undefined for a guest without seats
 * @throws {UserError} if the start is refused; then no seat has changed
 */
export async function makeSeats(from: SeatStart, context: EventContext): Promise<MadeSeats | undefined> {
  const { run, host, paths } = context;
  // A guest that was to come and never came up has left its session to its own host.
  const before = readSeats(paths.seats).filter(({ visits }) => visits === undefined || !from.isCutShort);
  if (before.length === 0 && (from.config?.seats ?? []).length === 0) return undefined;
  checkNotManaged(before, from.config);
  const seats = observeSeatsAtPrepare(context.domain, from.config, from.disks, before, host);
  // What a look at an image asks of qemu-img must not keep others waiting.
  const decided: DecidedSeat[] = [];
  for (const seat of seats) {
    const decision = await decideAtPrepare(seat, from, context);
    decided.push({ seat, decision });
  }
  checkClaims(decided.map(({ seat }) => seat), context);
  for (const { seat, decision } of decided) if (beginsSeat(decision)) await checkPlainMaster(seat, context);
  const masters = decided.flatMap(mastersOf);
  let placed: PlacedSeat[];
  try {
    placed = await place(decided, masters, from, context);
  } catch (error) {
    await startMastersMerges(masters, context);
    throw error;
  }
  const own = new Set<string>();
  const made: MadeOverlays = new Map();
  const undo = async () => {
    const left = new Set<string>();
    for (const one of placed) {
      const { target, names: { image, scratch } } = one.seat;
      const isDone = await run.takeOrReport(
        target,
        () => undoSeat(one, run.listing(image), { made: made.get(image), names: own }),
      );
      const isUnknown = made.has(image) && made.get(image) === undefined;
      if (!isDone || isUnknown && files.lstat(scratch) !== undefined) left.add(image);
    }
    await run.takeOrReport("", () => {
      // What could not be taken back stays ours: the next start deals with it.
      const kept = readSeats(paths.seats).filter(({ image }) => left.has(image));
      const records = [...before.filter(({ image }) => !left.has(image)), ...kept];
      return [{ kind: "seats", path: paths.seats, records }];
    });
    await startMastersMerges(masters, context);
  };
  try {
    for (const { seat, decision, on } of placed) {
      if (!beginsSeat(decision)) continue;
      await waitForTorn(namesOf(on!.master), context);
      await create(seat, namesOf(on!.master).layer(on!.layer), made, context);
    }
  } catch (error) {
    await undo();
    throw error;
  }
  return {
    decided: placed,
    undo,
    finish: async (others, marks) => {
      const records = run.isDry ? recordsOf(placed, from.start, context) : readSeats(paths.seats);
      await run.take("", [startingStep(paths, from.start, [...others, ...records], marks)]);
      for (const one of placed) {
        if (one.on !== undefined) checkStillThere(one, context);
        await run.take(one.seat.target, forgetOlder(one, run.listing(one.seat.names.image)));
        for (const step of seatAtPrepare(one)) await takeOwn(one.seat.target, step, own, context);
      }
      // From here on, no other file is taken for them.
      const going = placed.filter(({ on }) => on !== undefined);
      const noted = records.map((record) => {
        const one = going.find(({ seat }) => seat.names.image === record.image);
        return one === undefined ? record : recordOnceThere(record, one.decision, madeAt(record.image));
      });
      const isAnother = going.some(({ decision }) => decision !== "keep");
      if (isAnother || JSON.stringify(noted) !== JSON.stringify(records)) {
        await run.take("", [{ kind: "seats", path: paths.seats, records: noted }]);
      }
    },
  };
}

async function decideAtPrepare(
  seat: ObservedSeat,
  { start, before }: SeatStart,
  context: EventContext,
): Promise<SeatDecision> {
  const { decision, reason } = await seatDecision(seat, {
    event: "prepare",
    start,
    end: "none",
    saved: mayBeSavedOn(seat, before, context),
  }, context);
  context.run.logInfo(seat.target, `${decision}: ${reason}`);
  if (isSeatRefusal(decision)) throw withContext(seat.target, explainSeat(decision, seat, context.domain));
  return decision;
}

/** Masters whose layers the seat's QEMU is about to open: of one that goes on, what it stands on. */
function mastersOf({ seat, decision }: DecidedSeat): Names[] {
  if (beginsSeat(decision)) return [seat.master];
  if (decision !== "keep" && decision !== "put back") return [];
  return [seat.standsOn, seat.endedStandsOn].flatMap((on) => on ? [namesOf(on.master)] : []);
}

/** Finds a layer for each seat and notes it, under the locks of the folders. */
async function place(
  decided: readonly DecidedSeat[],
  masters: readonly Names[],
  { start }: SeatStart,
  context: EventContext,
): Promise<PlacedSeat[]> {
  const { run, paths } = context;
  const images = decided.map(({ seat }) => seat.names.image);
  using _folders = await run.locks.folders([...masters.map(({ image }) => image), ...images]);
  checkClaims(decided.map(({ seat }) => seat), context);
  run.locks.claim(images);
  // One that isn't at these layers sees the lease before it begins with them.
  const merged = masters.filter((master) => isMerged(master, context)).map(({ image }) => image);
  if (merged.length > 0) await interruptMerges(context, merged);
  const begun = decided.filter(({ decision }) => beginsSeat(decision)).map(({ seat }) => seat.master);
  checkOneVersion(begun, context);
  const placed = decided.map((one): PlacedSeat => ({ ...one, on: layerFor(one, context) }));
  for (const { seat: { target }, on } of placed) {
    if (on === undefined) continue;
    const master = namesOf(on.master);
    const listing = run.listing(master.image);
    await run.take(target, becomeMaster(master, parse(master, listing), listing));
  }
  const records = recordsOf(placed, start, context);
  if (run.isDry || JSON.stringify(records) !== JSON.stringify(readSeats(paths.seats))) {
    await run.take("", [{ kind: "seats", path: paths.seats, records }]);
  }
  await takeOver(images, context);
  return placed;
}

function recordsOf(
  placed: readonly PlacedSeat[],
  start: SeatStart["start"],
  { host }: EventContext,
): SeatRecord[] {
  return placed.flatMap((one) =>
    seatRecordAtPrepare(one, one.on, { now: host.now(), host: host.name() }, start) ?? []
  );
}

/** How long another host may take from its note to its overlay's name, in milliseconds. */
const LONGEST_CREATION = 60_000;

/** Overlays that a start has made, or begun to make, by their images: their inodes, as far as those could be told. */
type MadeOverlays = Map<string, number | undefined>;

/**
 * Makes the overlay, under the name that nobody looks for.
 *
 * @param made takes the file, also where it can't be finished
 * @throws {UserError} if another host is about to do so: there is a file, and nothing is noted of a start here that left it
 */
async function create(
  seat: ObservedSeat,
  backing: string,
  made: MadeOverlays,
  { run, host }: EventContext,
): Promise<void> {
  const { target, names: { image, scratch }, record } = seat;
  const found = files.lstat(scratch)?.mtime?.getTime();
  // Of a start that was cut short before its session had the image's name.
  const isLeft = record !== undefined && record.made === undefined && !isOfAnotherHost(record, { host });
  if (!isLeft && found !== undefined && Math.abs(host.now().getTime() - found) < LONGEST_CREATION) {
    throw withContext(
      target,
      new UserError(`${quoted(scratch)} is being made: the seat is started at another host, too`, {
        hint: "start it on one of them; if that is wrong, try again in a minute",
        healedBy: "event",
      }),
    );
  }
  const steps = createSeat({ ...seat, listing: run.listing(image) }, backing);
  made.set(image, undefined);
  for (const step of steps) {
    try {
      await run.take(target, [step]);
    } catch (error) {
      const isThere = asUserError(error).cause instanceof Deno.errors.AlreadyExists;
      if (isThere) made.delete(image);
      else made.set(image, run.listing(image).get(scratch));
      throw error;
    }
  }
  made.set(image, run.listing(image).get(scratch));
}

/** A `qemu-img` whose merge was killed keeps everybody from the layers it works on. */
async function waitForTorn(master: Names, context: EventContext): Promise<void> {
  const state = parse(master, context.run.listing(master.image));
  if (isMerged(master, context) && "layers" in state) {
    await waitForOrphan(master.layer(state.layers[0]), context);
  }
}

/** Whether a merge of the lowest layers was begun and isn't done. */
function isMerged(master: Names, context: EventContext): boolean {
  const state = parse(master, context.run.listing(master.image));
  const records = masterGuests(master, context).flatMap(({ records }) => records);
  return isTorn(state, records);
}

/**
 * Another host has locks of its own.
 *
 * @throws {UserError} if it took the layer away meanwhile, or the mark by which its merges know that sessions may stand there
 */
function checkStillThere({ seat: { target, names, listing }, on }: PlacedSeat, { run }: EventContext): void {
  const { master, layer } = namesOf(on!.master);
  const there = run.listing(on!.master);
  const gone = [layer(on!.layer), master].find((path) => !there.has(path));
  const isReplaced = run.listing(names.image).get(names.image) !== listing.get(names.image);
  if (gone === undefined && !isReplaced) return;
  const what = gone === undefined ? `${quoted(names.image)} was replaced` : `${quoted(gone)} was taken away`;
  throw withContext(
    target,
    new UserError(`${what} by another host while a session was begun`, {
      hint: "try again: nothing is lost by that",
      healedBy: "event",
    }),
  );
}
