import { asReadable, type FoundDisk, inspectDisk, type InspectedDisk } from "./inspect.ts";
import { type InspectedSeat, inspectSeats } from "./seats.ts";
import { UserError } from "../errors.ts";
import type { EventContext } from "../hook/context.ts";
import { planCheckedRecovery } from "../hook/checked_recovery.ts";
import { disksIn } from "../hook/definitions.ts";
import { flagsMeant, withItsFlag } from "../hook/flags.ts";
import { checkOwnImage, observeFirmware, observeListed, observeRecorded } from "../hook/observe.ts";
import { readConfig } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import { Run } from "../host/run.ts";
import { readOwnRecords, readRecordsInForce } from "../host/session_records.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import type { Settings } from "../settings.ts";
import { type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import type { Recovery } from "../state/recovery.ts";
import type { SessionRecord } from "../state/session_record.ts";

/** A guest as it is: read from the files alone, touching nothing and asking nobody. */
export interface Guest {
  readonly domain: string;
  readonly config: Config | undefined;
  readonly records: readonly SessionRecord[];
  /** The disks as libvirt has them defined; undefined where it knows no such domain. */
  readonly defined: readonly DomainDisk[] | undefined;
  readonly isLive: boolean;
  readonly disks: readonly InspectedDisk[];
  readonly seats: readonly InspectedSeat[];
  /** Files of its firmware that have had a session with the disks. */
  readonly firmware: readonly ObservedDisk[];
  /** What is wrong with the guest as a whole. */
  readonly problem: UserError | undefined;
}

/** Guests with a configuration or a note, sorted. */
export function managedGuests({ configFolder }: Settings): string[] {
  const names = files.listNames(configFolder).flatMap((name) =>
    /^(.+)\.(?:json|session|seats)$/s.exec(name)?.[1] ?? []
  );
  return [...new Set(names)].sort();
}

/** The disks as the domain has them that runs, or else as it is defined; none where libvirt knows none. */
export function namedDisks({ domain, host }: EventContext): readonly DomainDisk[] {
  const { liveFolder, definedFolder } = host.settings;
  return disksIn(liveFolder, domain) ?? disksIn(definedFolder, domain) ?? [];
}

/** Looks at a guest. What can't be read is told as its problem, so that one bad file hides no other. */
export async function inspectGuest(context: EventContext): Promise<Guest> {
  const { domain, host, paths } = context;
  let problem: UserError | undefined;
  const attempt = async <T>(read: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      problem ??= asReadable(error);
      return undefined;
    }
  };
  const config = await attempt(() => readConfig(paths.config, host.settings.configOwner));
  const known = problem === undefined ? config : "unreadable";
  const records = await attempt(() => readOwnRecords(paths.note)) ?? [];
  const live = await attempt(() => disksIn(host.settings.liveFolder, domain));
  const persistent = await attempt(() => disksIn(host.settings.definedFolder, domain));
  // A domain that runs names the whole chain of its images, which says nothing against them.
  const up = live?.map((disk) => ({ ...disk, unfit: undefined }));
  // What another image is defined for is its matter from the next start on.
  const defined = persistent?.map((disk) => {
    const now = up?.find(({ target }) => target === disk.target);
    if (now?.file === undefined || now.file === disk.file) return disk;
    const image = files.resolveIfThere(now.file);
    return records.some((record) => record.image === image) ? now : disk;
  }) ?? up;

  const listed = defined === undefined ? [] : config?.disks ?? [];
  const inForce = await attempt(() => readRecordsInForce(paths.note)) ?? [];
  const observe = (records: readonly SessionRecord[]) =>
    observeRecorded(records, known, live ?? defined ?? "unreadable");
  const isReadable = (record: SessionRecord) => {
    try {
      observe([record]);
      return true;
    } catch {
      return false;
    }
  };
  const recorded = await attempt(() => observe(inForce)) ?? observe(inForce.filter(isReadable));
  const seen: FoundDisk[] = [];
  for (const configured of listed) {
    const { target } = configured;
    try {
      const disk = observeListed(domain, configured, listed, defined!, records, host.settings.imageFolders);
      checkOwnImage(disk, seen.flatMap(({ disk }) => disk ?? []), domain);
      seen.push({ target, disk });
    } catch (error) {
      seen.push({ target, disk: recorded.find((disk) => disk.target === target), error });
    }
  }
  const images = new Set(seen.map(({ disk }) => disk?.names.image));
  const others = recorded.filter(({ names, firmware }) => !firmware && !images.has(names.image));
  seen.push(...others.map((disk) => ({ target: disk.target, disk: withItsFlag(disk, config) })));
  const found = seen.flatMap(({ disk }) => disk ?? []);
  const recovery = await recoveryOfCommit(found, context);
  const surroundings = {
    isFlagMeant: flagsMeant(config, found),
    recovered: (disk: ObservedDisk) => recovery?.disks[found.indexOf(disk)],
    live,
  };
  const views = await Promise.all(seen.map((disk) => inspectDisk(disk, surroundings, context)));
  const seats = await attempt(() => inspectSeats({ config: known, live, defined }, context)) ?? [];
  // A migration may take the definition with it.
  if (defined === undefined && [...views, ...seats].every(({ condition }) => condition !== "elsewhere")) {
    problem ??= new UserError("libvirt knows no such domain");
  }
  const noted = recorded.filter((disk) => disk.firmware);
  const firmware = [
    ...noted,
    ...listedFirmware(config, defined ?? [], records, host.settings)
      .filter(({ names }) => noted.every((other) => other.names.image !== names.image)),
  ];
  const isLive = live !== undefined;
  return { domain, config, records, defined, isLive, disks: views, seats, firmware, problem };
}

/** Whether the guest's firmware has a session that no start of this host has begun: the guest's next start is refused then. */
export async function hasStrayFirmware(context: EventContext): Promise<boolean> {
  const { firmware } = await inspectGuest(context);
  return firmware.some((disk) =>
    stateOf(disk).kind === "session" && (disk.record === undefined || disk.record.idle)
  );
}

/** What the next event makes of a commit that was cut short, which takes other disks along; undefined where there is none. */
async function recoveryOfCommit(
  disks: readonly ObservedDisk[],
  context: EventContext,
): Promise<Recovery | undefined> {
  if (disks.every((disk) => stateOf(disk).kind !== "committing")) return undefined;
  const { host, domain } = context;
  // Looked at only: nothing is done, and nothing logged.
  const dry = { ...host, show: () => {} };
  try {
    return await planCheckedRecovery(disks, { ...context, host: dry, run: new Run(dry, domain) });
  } catch {
    // The disk that it is about tells itself what is wrong.
    return undefined;
  }
}

/** The firmware that the configuration lists; none where it can't be managed, which `check` tells. */
function listedFirmware(
  config: Config | undefined,
  defined: readonly DomainDisk[],
  records: readonly SessionRecord[],
  { firmwareFolders }: Settings,
): ObservedDisk[] {
  try {
    return observeFirmware(config, defined, records, firmwareFolders);
  } catch {
    return [];
  }
}
