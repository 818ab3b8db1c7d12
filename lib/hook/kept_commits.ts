/** Commits of an image that several guests have as their disk. */

import type { EventContext } from "./context.ts";
import { domains, readableDisksIn } from "./definitions.ts";
import { UserError } from "../errors.ts";
import * as files from "../host/files.ts";
import { otherGuests } from "../host/session_records.ts";
import { peekDisks } from "../input/config.ts";
import { guestNames, type Names } from "../state/paths.ts";
import type { Layers } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

/** Why a merge for one guest waits for another one that has the image, too, and keeps more commits of it. */
export function keptForAnother(
  { image }: Names,
  { layers }: { readonly layers: Layers },
  { host, domain }: Pick<EventContext, "host" | "domain">,
): UserError | undefined {
  const { definedFolder, configFolder } = host.settings;
  // The target may have changed since the configuration was written, and a transient domain has no definition.
  const noted = otherGuests(guestNames(configFolder, domain).note, [image]);
  const others = new Set([...domains(host.settings), ...noted.map(({ domain }) => domain)]);
  others.delete(domain);
  for (const other of others) {
    const named = readableDisksIn(definedFolder, other)
      ?.filter(({ file }) => file !== undefined && files.sameFile(file, image));
    if (named?.length === 0) continue;
    const records = noted.find(({ domain }) => domain === other)?.records
      .filter((record) => record.image === image);
    const targets = [...named ?? [], ...records ?? []].map(({ target }) => target);
    const { config } = guestNames(configFolder, other);
    if (layers.length - 1 > keptBy(files.read(config), targets)) continue;
    const guest = shellWord(other);
    return new UserError(`the guest ${quoted(other)} has ${quoted(image)}, too, and keeps its commits`, {
      hint: named === undefined
        ? `if libvirt is to know that guest no more: autorevert disable ${guest}`
        : `to keep fewer: autorevert enable ${guest} --keep-commits 0, and then: autorevert merge ${guest}`,
    });
  }
  return undefined;
}

/** How many commits a configuration, if there is one, keeps of these disks. */
function keptBy(text: string | undefined, targets: readonly string[]): number {
  if (text === undefined || targets.length === 0) return 0;
  const disks = peekDisks(text);
  // Nobody can tell.
  if (disks === undefined) return Infinity;
  const kept = disks.filter(({ target }) => targets.some((one) => one === target))
    .map((disk) => disk["keep-commits"]);
  return Math.max(0, ...kept.filter((count) => typeof count === "number"));
}
