import { type Case, ownerOfDisk } from "./case.ts";
import type { Occasion } from "./hook.ts";
import { lockFolders } from "./lock.ts";
import { copyDown, flatten, takeName } from "./moves.ts";
import { parse } from "./state.ts";

/**
 * Merges the layers of an idle disk, lowest pair first, until one file is left.
 *
 * It is a matter of space, never of meaning: cut short at any point, the disk reads the same, and doing it again
 * finishes it. What fails is reported, and the layers stay. Copying needs no lock but the guest's; only the change of
 * names is done under the folder's, after another look.
 */
export async function merge(disk: Case, { run, host }: Occasion): Promise<void> {
  const { target, names } = disk;
  const layered = () => {
    const state = parse(names, run.listing(names.image));
    return state.kind === "layered" ? state : undefined;
  };
  const lock = () => run.isDry ? undefined : lockFolders(host.settings.configFolder, [names.image]);

  for (let state = layered(); state && state.layers.length > 1; state = layered()) {
    const before = state;
    if (!await run.tryTo(target, () => copyDown(names, before, ownerOfDisk(disk)))) return;
    using _folder = await lock();
    const now = layered();
    if (!now || now.layers.join() !== before.layers.join()) return;
    if (!await run.tryTo(target, () => takeName(names, now))) return;
  }
  using _folder = await lock();
  const last = layered();
  if (last) await run.tryTo(target, () => flatten(names, last));
}
