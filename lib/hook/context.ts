import { readConfig } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { Run } from "../host/run.ts";
import { readNote } from "../host/session_records.ts";
import type { GuestNames } from "../state/paths.ts";
import { pending } from "../state/plan.ts";
import type { Entry } from "../state/session_record.ts";
import { parseStart } from "../state/step.ts";

/** An event of a managed guest, with what it needs to be dealt with. */
export interface Occasion {
  readonly run: Run;
  readonly host: Host;
  readonly domain: string;
  readonly paths: GuestNames;
  /** Shutoff reason; `-` where libvirt gives none. */
  readonly extra: string;
}

/** A guest with neither file is none of our business. */
export function isManaged({ config, note }: GuestNames): boolean {
  return files.look(config) !== undefined || files.look(note) !== undefined;
}

/** What is noted of a start that is under way, if anything is. */
export function readStart({ starting }: GuestNames): ReturnType<typeof parseStart> | undefined {
  const text = files.read(starting);
  return text === undefined ? undefined : parseStart(text);
}

/** The configuration of a guest. */
export function configOf({ host, paths }: Occasion) {
  return readConfig(paths.config, host.settings.configOwner);
}

/**
 * Leaves in the note what is still pending of these entries.
 *
 * @param shown what a dry run takes for the note as it is then
 */
export async function updateNote(
  next: readonly Entry[],
  { run, paths }: Occasion,
  shown = next,
): Promise<void> {
  await run.tryTo("", () => {
    const entries = pending(next, (image) => run.listing(image));
    const now = run.isDry ? shown : readNote(paths.note);
    return JSON.stringify(entries) === JSON.stringify(now)
      ? []
      : [{ kind: "note", path: paths.note, entries }];
  });
}
