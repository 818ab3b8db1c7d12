/** Commits of an image that several guests have as their disk. */

import type { EventContext } from "./context.ts";
import { guestsOf, readableDisksIn } from "./definitions.ts";
import { UserError } from "../errors.ts";
import * as files from "../host/files.ts";
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
  for (const other of guestsOf(image, { host })) {
    if (other === domain || layers.length - 1 > keptBy(other, image, host)) continue;
    const guest = shellWord(other);
    return new UserError(`the guest ${quoted(other)} has ${quoted(image)}, too, and keeps its commits`, {
      hint: `to keep fewer: autorevert enable ${guest} --keep-commits 0, and then: autorevert merge ${guest}`,
    });
  }
  return undefined;
}

function keptBy(domain: string, image: string, { settings }: EventContext["host"]): number {
  const text = files.read(guestNames(settings.configFolder, domain).config);
  if (text === undefined) return 0;
  const disks = peekDisks(text);
  // Nobody can tell.
  if (disks === undefined) return Infinity;
  const own = (readableDisksIn(settings.definedFolder, domain) ?? [])
    .filter(({ file }) => file !== undefined && files.sameFile(file, image))
    .map(({ target }) => target);
  const kept = disks.filter(({ target }) => own.some((one) => one === target))
    .map((disk) => disk["keep-commits"]);
  return Math.max(0, ...kept.filter((count) => typeof count === "number"));
}
