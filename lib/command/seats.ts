/** Seats as the commands see them: from the files alone, touching nothing. */

import { asReadable, type Condition } from "./inspect.ts";
import { UserError } from "../errors.ts";
import { type EventContext, isBeingStarted, mayBeStarting, readStart } from "../hook/context.ts";
import { isSaved } from "../hook/decide.ts";
import { checkClaims } from "../hook/seat_claims.ts";
import { mayBeSavedOn, seatDecision } from "../hook/seat_decide.ts";
import { isPaused } from "../hook/live_status.ts";
import { newLayer } from "../hook/seat_layer.ts";
import { observeListedSeat, observeRecordedSeat } from "../hook/seat_observe.ts";
import { explainSeat } from "../hook/seat_refusal.ts";
import { readSeats } from "../host/seat_records.ts";
import * as files from "../host/files.ts";
import type { Config, ConfiguredSeat } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { namesOf } from "../state/paths.ts";
import { beginsSeat, isKnownAway, type ObservedSeat, type StandsOn } from "../state/seat.ts";
import { isSeatRefusal } from "../state/seat_table.ts";
import { parse } from "../state/state.ts";
import { shellWord } from "../text.ts";

/** A seat of a guest. */
export interface InspectedSeat {
  readonly target: string;
  /** Undefined where it can't be told what it is. */
  readonly seat: ObservedSeat | undefined;
  /** The master's image, as it is configured or noted. */
  readonly master: string;
  readonly condition: Condition;
  readonly problem: UserError | undefined;
  /** What its session stands on, or a new one would. */
  readonly on: StandsOn | undefined;
}

/** What is known of a guest when its seats are looked at. */
interface GuestFiles {
  readonly config: Config | "unreadable" | undefined;
  readonly live: readonly DomainDisk[] | undefined;
  readonly defined: readonly DomainDisk[] | undefined;
}

/** The seats that the configuration lists, and those that only the note knows. */
export async function inspectSeats(
  { config, live, defined }: GuestFiles,
  context: EventContext,
): Promise<InspectedSeat[]> {
  const { host, paths } = context;
  const records = readSeats(paths.seats);
  const listed = config === "unreadable" || defined === undefined ? [] : config?.seats ?? [];
  const found: InspectedSeat[] = [];
  for (const configured of listed) {
    found.push(
      await inspect(
        configured,
        () => observeListedSeat(context.domain, configured, defined!, records, host),
        live,
        context,
      ),
    );
  }
  const images = found.map(({ seat }) => seat?.names.image);
  for (const record of records.filter(({ image }) => !images.includes(image))) {
    found.push(
      await inspect(
        record,
        () => observeRecordedSeat(record, config, live ?? defined ?? "unreadable", host),
        live,
        context,
      ),
    );
  }
  return found;
}

/** @param known what the configuration or the note tells of it */
async function inspect(
  { target, master }: Pick<ConfiguredSeat, "target" | "master">,
  observe: () => ObservedSeat,
  live: readonly DomainDisk[] | undefined,
  context: EventContext,
): Promise<InspectedSeat> {
  try {
    const seat = observe();
    return { target, seat, master: seat.master.image, ...await judge(seat, live, context) };
  } catch (error) {
    return {
      target,
      master,
      seat: undefined,
      condition: "attention",
      problem: asReadable(error),
      on: undefined,
    };
  }
}

async function judge(
  seat: ObservedSeat,
  live: readonly DomainDisk[] | undefined,
  context: EventContext,
): Promise<Pick<InspectedSeat, "condition" | "problem" | "on">> {
  const isStarting = mayBeStarting(context);
  const isThere = files.lstat(seat.names.image) !== undefined;
  const isOpen = async () =>
    isThere && !isStarting && (await context.host.qemuImg.info(seat.names.image)).kind === "busy";
  const on = seat.standsOn;
  const fine = (condition: Condition, stands = on) => ({ condition, problem: undefined, on: stands });
  try {
    const isUp = isStarting || isPaused(context.domain, context.host.settings);
    if (live && (isUp || await isOpen())) {
      if (seat.record) return fine("running");
      throw new UserError(
        "the guest does not run on a session: it was started before the disk was listed as a seat",
        {
          hint: "shut it down, and see what its image is before the next start",
        },
      );
    }
    // libvirt has no file of it until QEMU runs.
    if (!live && seat.record && isBeingStarted(context)) return fine("running");
    if (!live && seat.record && (seat.record.waits || seat.record.came) && await isOpen()) {
      return fine("elsewhere");
    }
    const start = isSaved(context) ? "resume" : "fresh";
    const saved = mayBeSavedOn(seat, readStart(context.paths), context);
    const circumstances = { event: "prepare", start, end: "none", saved } as const;
    checkClaims([seat], context);
    const { decision, reason } = await seatDecision(seat, circumstances, context);
    if (isSeatRefusal(decision)) throw explainSeat(decision, seat, context.domain);
    if (decision === "keep" || decision === "put back") return fine("saved", on ?? seat.endedStandsOn);
    if (!beginsSeat(decision)) {
      if (decision === "nothing") return fine("clean");
      throw new UserError(`it is left as it is: ${reason}`, {
        hint: seat.source === "other"
          ? `see what the domain names: virsh domblklist --inactive ${shellWord(context.domain)}; ` +
            `once that is not needed, name ${shellWord(seat.names.image)} again with virsh edit`
          : undefined,
      });
    }
    const next = newLayer(seat, context);
    if (decision === "set aside, new session") {
      return fine(isKnownAway(seat) ? "awaited" : "is set aside");
    }
    return seat.file === "session" ? fine("reverts") : fine("clean", next);
  } catch (error) {
    return { condition: "attention", problem: asReadable(error), on };
  }
}

/** How many commits the master has that this doesn't. */
export function commitsBehind({ master, layer }: StandsOn): number {
  const state = parse(namesOf(master), files.listIfThere(master));
  return "layers" in state ? state.layers.filter((number) => number > layer).length : 0;
}
