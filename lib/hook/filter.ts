import { mayBeIncoming } from "./live_status.ts";
import * as files from "../host/files.ts";
import { checkDomainName, type Event } from "../input/event.ts";
import type { Settings } from "../settings.ts";
import { guestNames } from "../state/paths.ts";

/** The line of a start that is to be asked again when libvirt has made the guest's firmware. */
const FIRMWARE = "\nfirmware\n";

/**
 * Whether an event asks for nothing. Asked first, with as little code as that takes: libvirt waits for the hook at each
 * event of every guest, also of those that are none of its business. In doubt it does ask for something.
 */
export function isNoop({ domain, operation }: Event, settings: Settings): boolean {
  if (operation === "idle") return true;
  if (operation === "unknown") return false;
  try {
    checkDomainName(domain);
    const { config, note, seats, starting } = guestNames(settings.configFolder, domain);
    if (operation === "stopped") {
      return [note, seats].every((path) => files.lstat(path) === undefined) ||
        !mayBeIncoming(domain, settings);
    }
    if (operation === "start") {
      return files.lstat(starting) === undefined || files.read(starting)?.includes(FIRMWARE) === false;
    }
    const up = operation === "started" || operation === "reconnect";
    // A guest with neither file is not ours, and one without the word has no start to end.
    return (up ? [starting] : [config, note, seats]).every((path) => files.lstat(path) === undefined) &&
      (up || !files.leadsNowhere(settings.configFolder));
  } catch {
    return false;
  }
}
