/** What libvirt notes of a guest that runs. The file is still there at `stopped`, and gone at `release`. */

import * as files from "../host/files.ts";
import type { Settings } from "../settings.ts";

/** Whether libvirt's file of a guest that is, or was just now, says that it doesn't run; no where there is none. */
export function isPaused(domain: string, settings: Settings): boolean {
  return / state='paused' /.test(statusOf(domain, settings));
}

/**
 * Whether libvirt's file of a guest that is, or was just now, may say that its memory has not come, or not all: it is paused, or runs
 * in post-copy. No where there is no file.
 */
export function mayBeIncoming(domain: string, settings: Settings): boolean {
  return isPaused(domain, settings) || / reason='post-copy/.test(statusOf(domain, settings));
}

/** Whether it says so. Before 10.5 a source looks the same in the last phase of its migration, but for its job. */
export function isIncoming(domain: string, settings: Settings): boolean {
  const status = statusOf(domain, settings);
  return mayBeIncoming(domain, settings) && !status.includes(" async='migration out'") &&
    / reason='(?:migration|starting up|post-copy(?: failed)?)' | async='migration in' /.test(status);
}

/** The first tag of the file, and that of its job. */
function statusOf(domain: string, { liveFolder }: Settings): string {
  const text = files.read(`${liveFolder}/${domain}.xml`) ?? "";
  return [/^<domstatus [^>]*>/m.exec(text), /^ {2}<job [^>]*>/m.exec(text)].map((tag) => tag?.[0]).join("");
}
