/** What the events of seats mean for their masters. */

import type { EventContext } from "./context.ts";
import { isComingUp, mayRun } from "./seat_guest.ts";
import { isOn, standingOn } from "./standing.ts";
import * as files from "../host/files.ts";
import { readConfig } from "../host/config_file.ts";
import { allSeats } from "../host/seat_records.ts";
import { otherGuests, readRecords } from "../host/session_records.ts";
import { peekDisks } from "../input/config.ts";
import { guestNames, type Names } from "../state/paths.ts";
import { parse, publishedOf } from "../state/state.ts";
import { flatten } from "../state/transitions.ts";

/** The guests that have a master as their own disk, by their notes. */
export function masterGuests({ image }: Names, { paths, domain }: EventContext) {
  return [{ domain, records: readRecords(paths.note) }, ...otherGuests(paths.note, [image])]
    .map(({ domain, records }) => ({ domain, records: records.filter((record) => record.image === image) }))
    .filter(({ records }) => records.length > 0);
}

/**
 * Starts the merges that have waited for this guest's seats, if they were the last ones on their masters. Others that may be in
 * the way are the merge's matter.
 */
export async function startMastersMerges(masters: readonly Names[], context: EventContext): Promise<void> {
  const { run, host } = context;
  const { configFolder, configOwner } = host.settings;
  const started = new Set<string>();
  for (const master of masters) {
    const state = parse(master, run.listing(master.image));
    if (state.kind !== "layered" || state.layers.length < 2) continue;
    const isBusy = allSeats(configFolder).some(({ domain, records }) =>
      records === "unreadable" ||
      records.some((record) =>
        isOn(master, record) &&
        (isComingUp(domain, context) || !record.waits && mayRun(record, context))
      )
    );
    if (isBusy) continue;
    for (const { domain, records } of masterGuests(master, context)) {
      if (started.has(domain)) continue;
      const path = guestNames(configFolder, domain).config;
      // It may be away for a moment, or the guest be renamed: how many commits are to be kept nobody knows then.
      if (files.lstat(path) === undefined) continue;
      const config = await readConfig(path, configOwner).catch(() => undefined);
      const targets = records.map(({ target }) => target);
      const kept = config?.disks.find(({ target }) => targets.includes(target))?.keepCommits ?? 0;
      if (state.layers.length - 1 <= kept) continue;
      started.add(domain);
      await run.takeOrReport("", () => [{ kind: "background", domain }]);
    }
  }
}

/** Who has an image as master by the configurations of all guests, told as `guest target`. */
export function seatsListedOn(master: Names, { host }: Pick<EventContext, "host">): string[] {
  const { configFolder } = host.settings;
  const isMaster = files.listIfThere(master.image).has(master.master);
  return files.listNames(configFolder).filter((name) => name.endsWith(".json")).flatMap((name) => {
    const domain = name.slice(0, -".json".length);
    const text = files.read(`${configFolder}/${name}`) ?? "";
    if (!text.includes('"master"')) return [];
    const disks = peekDisks(text);
    // Without layers for seats, nobody stands on anything.
    if (disks === undefined) return isMaster ? [domain] : [];
    return disks.filter((disk) => typeof disk.master === "string" && leadsTo(disk.master, master))
      .map(({ target }) => `${domain} ${target}`);
  });
}

/** The same by the notes of all guests, too, and what stands on it. */
export function seatsOn(master: Names, { host }: Pick<EventContext, "host">): string[] {
  const isMaster = files.listIfThere(master.image).has(master.master);
  const listed = seatsListedOn(master, { host });
  const standing = (isMaster ? standingOn(master, { host }) : []).map(({ domain, file, how }) =>
    domain ?? (how === "unreadable file" ? `${file}, which can't be read` : file)
  );
  return [
    ...new Set([...listed, ...standing.filter((one) => !listed.some((seat) => seat.startsWith(`${one} `)))]),
  ];
}

function leadsTo(path: string, { image }: Names): boolean {
  return path === image || files.sameFile(path, image);
}

/** Masters that nobody has any more become ordinary disks again, unless a version is published, for whoever may be a seat again. */
export async function releaseMasters(
  masters: readonly Names[],
  context: EventContext,
): Promise<void> {
  const { run } = context;
  for (const master of masters) {
    const found = run.listing(master.image);
    if (!found.has(master.master) || publishedOf(master, found) !== undefined) continue;
    try {
      using _folder = await run.locks.folders([master.image]);
      const listing = run.listing(master.image);
      if (listing.has(master.master) && seatsOn(master, context).length === 0) {
        await run.take("", [{ kind: "remove", path: master.master }]);
        // Another host has locks of its own: it makes its overlay and then looks for the mark, so one of both sees the other.
        const isWanted = standingOn(master, context).length > 0;
        const state = parse(master, run.listing(master.image));
        // An only layer that nothing stands on needs no name of its own.
        const only = state.kind === "layered" ? flatten(master, state) : [];
        await run.take("", isWanted ? [{ kind: "mark", path: master.master }] : only);
      }
    } catch (error) {
      run.report(error);
    }
  }
}
