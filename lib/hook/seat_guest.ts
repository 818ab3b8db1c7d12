/** Whether a guest that has seats may need their sessions still, by what libvirt and the hook have left of it. */

import { type EventContext, mayBeStarting } from "./context.ts";
import * as files from "../host/files.ts";
import { guestNames } from "../state/paths.ts";
import type { SeatRecord } from "../state/seat_record.ts";

type WithHost = Pick<EventContext, "host">;

/** Who wrote, or was started, so short a time ago may have an end yet, of which libvirt tells, in milliseconds. */
const LONGEST_END = 600_000;

/** Whether a guest is up here, or is about to be, here or at another host: its QEMU has all layers open, or will have. */
export function isComingUp(domain: string, { host }: WithHost): boolean {
  const paths = guestNames(host.settings.configFolder, domain);
  const live = `${host.settings.liveFolder}/${domain}.xml`;
  return files.lstat(live) !== undefined || mayBeStarting({ host, paths, begun: host.now() });
}

/** Whether it was another host that noted the session: both have one folder of configurations, and that one knows what became of it. */
export function isOfAnotherHost({ host: name }: SeatRecord, { host }: WithHost): boolean {
  return name !== undefined && name !== host.name();
}

/** Whether the session's last start was in an earlier boot of this host. */
export function isOfEarlierBoot({ started, continued = started }: SeatRecord, { host }: WithHost): boolean {
  return Date.parse(continued) < host.booted().getTime();
}

/** Whether a seat's guest that isn't {@link isComingUp} here may be up all the same, or about to end; a look at the image may tell that it isn't. */
export function mayRun(record: SeatRecord, { host }: WithHost): boolean {
  const { image, started, continued = started } = record;
  if (isOfAnotherHost(record, { host })) return true;
  if (isOfEarlierBoot(record, { host })) return false;
  const heard = Math.max(files.writtenTime(image), Date.parse(continued));
  return host.now().getTime() - heard < LONGEST_END;
}

/**
 * Whether a guest is gone: neither libvirt nor a configuration knows it, and it was not started in this boot. After a `virsh
 * domrename` its note may be all that is left of it.
 */
export function isForsaken(domain: string, { host }: WithHost): boolean {
  const { definedFolder, liveFolder, configFolder } = host.settings;
  const { config, seats } = guestNames(configFolder, domain);
  const written = files.lstat(seats)?.mtime?.getTime() ?? Infinity;
  return written < host.booted().getTime() &&
    [config, `${definedFolder}/${domain}.xml`, `${liveFolder}/${domain}.xml`]
      .every((path) => files.lstat(path) === undefined);
}
