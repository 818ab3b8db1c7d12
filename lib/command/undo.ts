import { described, type GuestCommand, onSameDisks } from "./guest_command.ts";
import { onIdleDisks } from "./idle_disks.ts";
import { enableKeeping, type Idle, type Layered } from "./idle_operation.ts";
import { UserError } from "../errors.ts";
import { noteDeadOnMasters } from "../hook/merge.ts";
import { leftByUndo } from "../hook/pending_operation.ts";
import { topBlock } from "../hook/standing.ts";
import * as files from "../host/files.ts";
import { otherGuests, readOtherRecords, readRecordsInForce } from "../host/session_records.ts";
import { lastCommitted, wasCommittedWith } from "../state/firmware_commits.ts";
import { isTorn, type ObservedDisk } from "../state/observed_disk.ts";
import { namesOf } from "../state/paths.ts";
import type { CommitTime, SessionRecord } from "../state/session_record.ts";
import { topOf } from "../state/state.ts";
import { listed, quoted, shellWord } from "../text.ts";

/**
 * Takes back the newest commit of a disk, or of all of the guest's disks that were committed last, and sets it aside.
 *
 * After a crash the commits are all there, or all taken back with the next event of the guest.
 *
 * @throws {UserError} if a session exists, a saved guest needs the commit, or it is already being merged
 */
export async function undo(context: GuestCommand): Promise<void> {
  await noteDeadOnMasters(context);
  await onIdleDisks(context, {
    verb: "undo",
    // What was set aside with a disk goes with it, also of firmware that has no commit.
    applies: ({ state, disk }) => state.layers.length > 1 || disk.firmware === true && state.ended,
    among: (idle) => {
      const all = idle.filter(({ disk }) => !disk.firmware);
      const disks = context.targets.length > 0 ? all : lastCommitted(all);
      const layers = disks.map(({ disk, state }) => disk.names.layer(topOf(state.layers)));
      // Firmware without a commit keeps what is set aside with a disk that isn't meant.
      const isAllMeant = setAside(context).every((image) =>
        disks.some(({ disk }) => disk.names.image === image)
      );
      return idle.filter((one) =>
        one.disk.firmware
          ? wasCommittedWith(one.disk, layers) && (one.state.layers.length > 1 || isAllMeant)
          : disks.includes(one)
      );
    },
    others: "no commit of that session",
    nothing: "there is no commit that can be undone",
    key: "keep-commits",
    question: ({ disk, state }, all) => {
      const { names } = disk;
      const lost = state.ended
        ? [`the session that was set aside, ${described(names.ended)}, goes with it`]
        : [];
      const states = new Map(all.map(({ disk, state }) => [disk.names.image, state]));
      const others = leftByUndo(readRecordsInForce(context.paths.note), states).filter(({ firmware }) =>
        !firmware
      );
      const left = state.ended && others.length > 0
        ? [`so does what was undone of ${listed(others.map(({ target }) => target))}`]
        : [];
      const written = isWrittenSince({ disk, state })
        ? ["the disk was written to since then, and that goes with it"]
        : [];
      const commit = `undo the commit ${described(names.layer(topOf(state.layers)))}`;
      const torn = commitOf(disk, state)?.changed
        ? [
          "a file below was written to in a session, as by a blockcommit: what it goes back to may not be whole",
        ]
        : [];
      return [commit, ...written, ...torn, ...lost, ...left].join("; ");
    },
    check: ({ disk, state }) => {
      // A merge that another guest of the image began has torn the same layer.
      const { record, names: { image } } = disk;
      checkSeats(disk, state, context);
      checkFirmware(disk, state, context);
      const others = readOtherRecords(context.paths.note, [image]).filter((other) => other.image === image);
      if (state.layers.length === 2 && isTorn(state, [...record ? [record] : [], ...others])) {
        throw new UserError(
          "the commit is already being merged into the disk, and can't be undone any more",
          {
            hint: disk.keepCommits > 0
              ? undefined
              : enableKeeping("keep-commits", { ...context, targets: [disk.target] }),
          },
        );
      }
    },
    done: "the last commit is undone: the next start begins with the disk as it was before",
  });
}

/** A write may be on its way to the disk when the end of a session is noted, in milliseconds. */
const SECOND = 1000;

/** Whether somebody has written to the idle disk since its newest commit: a guest where it isn't configured any more. */
function isWrittenSince({ disk, state }: Idle): boolean {
  const committed = commitOf(disk, state);
  const written = files.lstat(disk.names.layer(topOf(state.layers)))?.mtime;
  if (committed === undefined || !written) return false;
  return written.getTime() - (disk.record?.ahead ?? 0) > Date.parse(committed.at) + SECOND;
}

/** What is noted of the newest commit. */
function commitOf({ record }: ObservedDisk, { layers }: Layered): CommitTime | undefined {
  return record?.committed?.find(({ layer }) => layer === topOf(layers));
}

/** The disks whose last session is set aside. */
function setAside({ run, paths }: GuestCommand): string[] {
  const images = readRecordsInForce(paths.note).filter(({ firmware }) => !firmware).map(({ image }) => image);
  return images.filter((image) => run.listing(image).has(namesOf(image).ended));
}

/** @throws {UserError} if firmware of another guest of the image was committed with it, which would not fit to the disk then */
function checkFirmware({ names }: ObservedDisk, { layers }: Layered, { paths }: GuestCommand): void {
  const top = names.layer(topOf(layers));
  const isWithIt = ({ commits = [] }: SessionRecord) => commits.some(({ disks }) => disks.includes(top));
  const other = otherGuests(paths.note, [names.image]).find(({ records }) => records.some(isWithIt));
  if (other === undefined) return;
  throw new UserError(
    `firmware of the guest ${quoted(other.domain)} was committed with it, and would stay as it is`,
    {
      hint: `start that guest and shut it down, then: autorevert undo ${shellWord(other.domain)}`,
    },
  );
}

/** @throws {UserError} if a session stands on the newest commit, or it is published */
function checkSeats({ names }: ObservedDisk, state: Layered, context: GuestCommand): void {
  if (!state.master) return;
  if (state.published === topOf(state.layers)) {
    throw new UserError("the commit is the published version", {
      hint: `publish the one before it: ${onSameDisks("publish --back", context)}`,
    });
  }
  const block = topBlock(names, state, context);
  if (block !== undefined) throw block;
}
