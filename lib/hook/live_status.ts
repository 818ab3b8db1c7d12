/** What libvirt notes of a guest that runs. The file is still there at `stopped`, and gone at `release`. */

import * as files from "../host/files.ts";
import type { Settings } from "../settings.ts";

/** Whether libvirt's file of a guest that is, or was just now, says that it doesn't run; no where there is none. */
export function isPaused(domain: string, settings: Settings): boolean {
  return / state='paused' /.test(statusOf(domain, settings));
}

/** Whether it says that the guest was called up for a memory that has not come from another host. */
export function isIncoming(domain: string, settings: Settings): boolean {
  const status = statusOf(domain, settings);
  return isPaused(domain, settings) &&
    (/ reason='(?:migration|starting up)' /.test(status) || / async='migration in' /.test(status));
}

/** The first tag of the file, and that of its job. */
function statusOf(domain: string, { liveFolder }: Settings): string {
  const text = files.read(`${liveFolder}/${domain}.xml`) ?? "";
  return [/^<domstatus [^>]*>/m.exec(text), /^ {2}<job [^>]*>/m.exec(text)].map((tag) => tag?.[0]).join("");
}
