import type { Occasion } from "./context.ts";
import { list } from "../host/files.ts";
import { readOwnNote } from "../host/session_records.ts";
import { namesOf } from "../state/paths.ts";
import { parse } from "../state/state.ts";
import * as moves from "../state/transitions.ts";

/**
 * A guest is up: its start can't fail any more, so the sessions that were set aside before go. What this start has set
 * aside stays until the next one is up.
 *
 * What can't be removed goes at the guest's next start. After a crash the guest's end takes it for one that never came
 * up, as it does without this.
 *
 * @throws {Trouble} if the note can't be written: a save of the guest would be taken for one of the session set aside
 */
export async function started({ run, paths }: Occasion): Promise<void> {
  using _guest = await run.locks.guest();
  using _folders = await run.locks.folders(readOwnNote(paths.note).map(({ image }) => image));
  const entries = readOwnNote(paths.note);
  for (const { target, image, aside } of entries) {
    if (aside !== "forget") continue;
    await run.tryTo(target, () => {
      const names = namesOf(image);
      const state = parse(names, list(image));
      return state.kind === "session" && state.ended ? moves.forget(names) : [];
    });
  }
  await run.take("", [{
    kind: "note",
    path: paths.note,
    entries: entries.map(({ aside: _, ...rest }) => rest),
  }]);
}
