import { beginsSession, type DecidedDisk } from "./decided_disk.ts";
import type { Decision } from "./decision_table.ts";
import { type ObservedDisk, stateOf } from "./observed_disk.ts";
import { namesOf } from "./paths.ts";
import type { SessionRecord } from "./session_record.ts";
import { type Listing, parse, type State } from "./state.ts";

/**
 * What the note says from this start on; `now` is the time of the sessions that begin.
 *
 * @param others what the other guests' notes list: a session is newer than theirs on the image, whatever the clock says
 */
export function recordsAtPrepare(
  decided: readonly DecidedDisk[],
  now: Date,
  others: readonly SessionRecord[],
): SessionRecord[] {
  const begin = (image: string) => {
    const before = others.filter((other) => other.image === image).map(({ started }) => Date.parse(started));
    return new Date(Math.max(now.getTime(), ...before.filter(Number.isFinite).map((time) => time + 1)));
  };
  return decided.map(({ disk, decision }): SessionRecord => {
    const { target, names: { image }, record } = disk;
    const aside = asideAtPrepare(disk, decision);
    // Its flag is looked up by its target, which may be another one than at its start.
    if (record && !beginsSession(decision)) {
      const { aside: _, ...rest } = record;
      return { ...rest, target, ...decision === "resume" && { held: true }, ...aside && { aside } };
    }
    return {
      target,
      image,
      started: begin(image).toISOString(),
      owner: disk.owner,
      held: false,
      // As long as an older session lies there, this could be taken for a word about that.
      ...disk.flag === "set" && stateOf(disk).kind !== "session" && { flagged: true } as const,
      ...aside && { aside },
      ...tornLayer(disk, others),
    };
  });
}

/** What a start means for the session that is set aside beside the one that it begins or resumes. */
function asideAtPrepare(disk: ObservedDisk, decision: Decision): SessionRecord["aside"] {
  if (decision === "set aside, new session") return "stay";
  if (decision === "keep") return disk.record?.aside;
  if (!disk.listing.has(disk.names.ended) || decision !== "new session" && decision !== "resume") {
    return undefined;
  }
  // The start that has set it aside was cut short: this one is the same start again.
  return stateOf(disk).kind === "session" ? disk.record?.aside ?? "forget" : "forget";
}

/** A merge that any guest of the image has begun: what it has torn stays known with whoever has the image now. */
function tornLayer(disk: ObservedDisk, others: readonly SessionRecord[]) {
  const { names: { image }, record } = disk;
  const state = stateOf(disk);
  const torn = [...record ? [record] : [], ...others].find((one) =>
    one.image === image && isTorn(one, state)
  );
  return torn && { merging: torn.merging! };
}

/** What happens to a session that is to go on at the next start, if its flag is set then: a commit may fail. */
const holds: readonly Decision[] = ["hold", "leave to a person", "commit"];

/** The decisions after which a session lies there no more. */
const ends: readonly Decision[] = ["commit", "discard", "set aside"];

/**
 * What the note says of the disks at an end, as long as something is left to end.
 *
 * @param isUp whether the guest had come up
 */
export function recordsAtRelease(decided: readonly DecidedDisk[], isUp: boolean): SessionRecord[] {
  return decided.flatMap(({ disk: { record }, decision }) => {
    if (record === undefined) return [];
    const { aside, ...rest } = record;
    const begun = isUp || ends.includes(decision);
    return [{ ...rest, ...holds.includes(decision) && { held: true }, ...aside && !begun && { aside } }];
  });
}

/**
 * The records whose disks still have a session to end, layers to merge, or a session to bring back; also those without
 * any file: their folder may not be mounted yet.
 */
export function unfinished(
  records: readonly SessionRecord[],
  listing: (image: string) => Listing,
): SessionRecord[] {
  return records.flatMap((record) => {
    const state = parse(namesOf(record.image), listing(record.image));
    if (state.kind === "plain" && !state.ended) return [];
    if (isTorn(record, state)) return [record];
    const { merging: _done, ...rest } = record;
    return [rest];
  });
}

/** Whether a merge was begun on the two lowest layers and is not done: only the view through the upper one is right. */
export function isTorn({ merging }: SessionRecord, state: State): boolean {
  return merging !== undefined && "layers" in state && state.layers[1] === merging;
}
