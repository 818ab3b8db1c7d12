import type { EventContext } from "./context.ts";
import * as files from "../host/files.ts";
import { beginsSession, type DecidedDisk } from "../state/decided_disk.ts";
import { stateOf } from "../state/observed_disk.ts";
import { namesOf } from "../state/paths.ts";
import { isAnnounced, planUndo } from "../state/prepare_plan.ts";
import { unfinished } from "../state/records_at_release.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { parse } from "../state/state.ts";

/** Takes back what a failed start did to the disks whose sessions it began. */
export async function undoStart(
  decided: readonly DecidedDisk[],
  { before, note, own }: {
    readonly before: readonly SessionRecord[];
    readonly note: readonly SessionRecord[];
    /** Names that the start has made, or may have. */
    readonly own: ReadonlySet<string>;
  },
  { run, paths }: EventContext,
): Promise<void> {
  // What stays as the start left it: a session that was put back, or has got its mark, one in whose place another is, and what can't be
  // taken back.
  const left = new Set(
    decided.filter(({ disk, decision }) =>
      decision === "put back" || decision === "resume" && own.has(disk.names.mark)
    )
      .map(({ disk }) => disk.names.image),
  );
  for (const one of decided.filter((one) => beginsSession(one.decision) || isAnnounced(one))) {
    const { disk } = one;
    const isDone = await run.takeOrReport(
      disk.target,
      () => planUndo(one, files.list(disk.names.image), own),
    );
    const isReplaced = stateOf(disk).kind === "session" &&
      files.list(disk.names.image).get(disk.names.image) !== disk.listing.get(disk.names.image);
    if (!isDone || isReplaced) left.add(disk.names.image);
  }
  await run.takeOrReport("", () => {
    if (files.lstat(paths.note) === undefined) return [];
    // What could not be taken back stays ours: the next start deals with it.
    const added = note.filter(({ image }) => before.every((record) => record.image !== image))
      // The session is its own host's.
      .filter(({ visits }) => visits === undefined)
      // Another guest's session is set aside there, and nothing is left of this start.
      .filter(({ image, aside }) =>
        aside !== "others" || parse(namesOf(image), run.listing(image)).kind === "session"
      );
    const kept = before.map((record) =>
      left.has(record.image)
        ? withoutGuest(note.find(({ image }) => image === record.image) ?? record)
        : record
    );
    const records = [...kept, ...unfinished(added, (image) => files.list(image)).map(withoutGuest)];
    return [{ kind: "note", path: paths.note, records }];
  });
}

/** No guest has come up on what is left. */
function withoutGuest(record: SessionRecord): SessionRecord {
  return { ...record, over: true };
}
