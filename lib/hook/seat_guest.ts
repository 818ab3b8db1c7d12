/** Whether a guest that has seats may need their sessions still, by what libvirt and the hook have left of it. */

import type { EventContext } from "./context.ts";
import * as files from "../host/files.ts";
import { guestNames } from "../state/paths.ts";
import type { SeatRecord } from "../state/seat_record.ts";

type WithHost = Pick<EventContext, "host">;

/** Who wrote so short a time ago may have an end yet, of which libvirt tells, in milliseconds. */
const LONGEST_END = 600_000;

/** Whether a start of a guest was noted in this boot, and isn't over: its QEMU is about to open all layers. */
export function mayBeStarting(domain: string, { host: { settings, booted } }: WithHost): boolean {
  const noted = files.lstat(guestNames(settings.configFolder, domain).starting)?.mtime?.getTime();
  return noted !== undefined && noted >= booted().getTime();
}

/** Whether nothing has been noted of a guest's seats in this boot: each start and each end does. */
export function isOfEarlierBoot(domain: string, { host }: WithHost): boolean {
  const noted = files.lstat(guestNames(host.settings.configFolder, domain).seats)?.mtime?.getTime();
  return (noted ?? Infinity) < host.booted().getTime();
}

/** Whether a seat's guest may be up, or be about to start or end; a look at the image may tell that it isn't all the same. */
export function mayRun({ image, started }: SeatRecord, domain: string, { host }: WithHost): boolean {
  if (files.lstat(`${host.settings.liveFolder}/${domain}.xml`) !== undefined) return true;
  if (isOfEarlierBoot(domain, { host })) return false;
  const written = files.lstat(image)?.mtime?.getTime() ?? Date.parse(started);
  return host.now().getTime() - written < LONGEST_END;
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
