/** Marks beside an image that have outlived what they are marks of. */

import { UserError, withContext } from "../errors.ts";
import { mergeNumber, type Names } from "../state/paths.ts";
import type { ObservedDisk } from "../state/observed_disk.ts";
import { type Listing, parse, topOf } from "../state/state.ts";
import { lostMerges } from "../state/merge_transitions.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * Somebody has thrown away what a mark is another name of, and didn't know that: by hand, or by an older version of this hook on
 * another host. The mark is all that is left of it: a session that was to be committed, or a commit of which the half is in the
 * layer below.
 *
 * @param isRestore what is set aside comes back, and its mark counts again
 * @throws {UserError} as long as such a mark is there
 */
export function checkMarks({ target, names, listing }: ObservedDisk, isRestore = false): void {
  const { image, mark, ended } = names;
  const inode = listing.get(mark);
  const isKnown = [...listing].some(([path, other]) =>
    path !== mark && (path !== ended || isRestore) && other === inode
  );
  if (inode === undefined || isKnown) return;
  const way = inode === listing.get(ended)
    ? "it is set aside: to have it, autorevert keep"
    : `see what it stands on: qemu-img info ${shellWord(mark)}`;
  throw withContext(
    target,
    new UserError(
      `${quoted(mark)} is a session that was to be committed, but is no session of ${quoted(image)} any more`,
      { hint: `${way}; to give it up: rm ${shellWord(mark)}` },
    ),
  );
}

/** @throws {UserError} if what is left of a disk is half written: a commit was being merged into it, and is gone */
export function checkMergeMarks({ target, names, listing }: ObservedDisk): void {
  const [merge] = lostMerges(names, listing);
  if (merge !== undefined) throw withContext(target, lostMerge(merge, names, listing));
}

function lostMerge(merge: string, names: Names, listing: Listing): UserError {
  const number = mergeNumber(names.image, merge)!;
  const layer = shellWord(names.layer(number));
  const isAside = listing.get(names.ended) === listing.get(merge);
  const back = isAside ? `mv ${shellWord(names.ended)} ${layer}` : `ln ${shellWord(merge)} ${layer}`;
  const state = parse(names, listing);
  // The image is a name of the top layer, unless it is a session.
  const isTop = state.kind === "layered" && number > topOf(state.layers);
  // Without a layer nothing is there that it could stand on, and where another file has its name, both stand on the same.
  const way = "layers" in state && !listing.has(names.layer(number))
    ? `to bring it back: ${back}${isTop ? ` && ln -f ${layer} ${shellWord(names.image)}` : ""}`
    : `see what it stands on: qemu-img info ${shellWord(merge)}`;
  return new UserError(
    `${quoted(merge)} is a commit that was being merged, but is no layer of ${
      quoted(names.image)
    } any more: ` +
      "what is left may be half written",
    { hint: `${way}; to give it up: rm ${shellWord(merge)}` },
  );
}
