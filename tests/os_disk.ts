/** A disk as its configuration and its note have it, for tables of cases. */

import type { ObservedDisk } from "../lib/state/observed_disk.ts";
import { namesOf } from "../lib/state/paths.ts";
import type { SessionRecord } from "../lib/state/session_record.ts";

export const image = "/images/os.img";
export const names = namesOf(image);
export const record: SessionRecord = {
  ...{ target: "vda", image, started: "2026-01-01T00:00:00.000Z" },
  ...{ owner: { uid: 0, gid: 0, mode: 0o600 }, held: false },
};
export const disk: ObservedDisk = {
  ...{ target: "vda", names, record, listed: true, flag: "clear", keepCommits: 0, keepSession: false },
  ...{ source: "same", listing: new Map(), owner: record.owner },
};
