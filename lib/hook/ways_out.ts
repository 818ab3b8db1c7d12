/** The commands that a refused start names: each is a move of names, whole whatever happens. */

import type { EventContext } from "./context.ts";
import { rebase } from "./image_errors.ts";
import { observeRecorded } from "./observe.ts";
import { readRecordsInForce } from "../host/session_records.ts";
import { lastCommitted } from "../state/firmware_commits.ts";
import { bearsMark, isMaster, isTorn, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { topOf } from "../state/state.ts";
import { cancelCommand, shellWord } from "../text.ts";

/** Both ways out for an overlay that no note knows: each is a move of names, whole whatever happens. */
export function waysOut(disk: ObservedDisk, domain: string): string {
  const image = shellWord(disk.names.image);
  return `to throw ${image} away: ${discarding(disk)}; to keep it as part of the disk: ${
    becomingLayer(disk, domain)
  }${flagElsewhere(disk, domain)}`;
}

/** What is to be done about the flag of a session that was flagged on another host: that host hasn't used it up. */
function flagElsewhere(disk: ObservedDisk, domain: string): string {
  return bearsMark(disk)
    ? `; where it began its flag may be set still, for the next session there: ${
      cancelCommand(domain, disk.target)
    }`
    : "";
}

/** What lies below a commit is whole, unless that is half merged. */
export function takingBack(disk: ObservedDisk, { domain, paths }: EventContext): string | undefined {
  const state = stateOf(disk);
  const commits = state.kind === "layered" ? state.layers.length - (isTorn(state) ? 2 : 1) : 0;
  if (commits === 0) return undefined;
  const committed = observeRecorded(readRecordsInForce(paths.note), undefined, "unreadable")
    .flatMap((disk) => {
      const state = stateOf(disk);
      return state.kind === "layered" && state.layers.length > 1 && !disk.firmware ? { disk } : [];
    });
  // Without a name it would be another disk's that was committed since.
  const isLast = lastCommitted(committed).some((one) => one.disk.names.image === disk.names.image);
  const command = ["autorevert undo", shellWord(domain), ...isLast ? [] : [shellWord(disk.target)]].join(" ");
  return `take its newest commit back: ${command}`;
}

/** Makes the image the newest layer. */
export function becomingLayer(disk: ObservedDisk, domain: string): string {
  const { image, layer } = disk.names;
  const state = stateOf(disk);
  const next = shellWord("layers" in state ? layer(topOf(state.layers) + 1) : layer(0));
  return `mv ${shellWord(image)} ${next} && ln ${next} ${shellWord(image)}${flagOfNext(disk, domain)}`;
}

/** What is to be done about the flag of a session that is made the disk by hand. */
export function flagOfNext({ flag, target }: ObservedDisk, domain: string): string {
  return flag === "set"
    ? `; its flag would be for the next session then: ${cancelCommand(domain, target)}`
    : "";
}

/** Names to each file the one below it, without copying or changing what it holds. */
export function rebasing(disk: ObservedDisk): string {
  const files = [...layers(disk), ...stateOf(disk).kind === "session" ? [disk.names.image] : []];
  const pairs = files.slice(1).map((file, index) => [file, files[index]!] as const);
  const { names: { ended }, listing } = disk;
  return [...pairs, ...listing.has(ended) ? [[ended, topLayer(disk)] as const] : []]
    .map(([file, backing]) => rebase(file, backing)).join(" && ");
}

/** Layers are numbered in a row: one may be missing. */
export function hasGap(disk: ObservedDisk): boolean {
  const state = stateOf(disk);
  return "layers" in state && topOf(state.layers) - state.layers[0] >= state.layers.length;
}

/** Throws the session away. */
export function discarding(disk: ObservedDisk): string {
  const { names, listing } = disk;
  const move = layers(disk).length === 1 && !listing.has(names.ended) && !isMaster(disk) ? "mv" : "ln -f";
  // Alone, it would be the mark of a session that was lost; of another file it is the only name of one that is to be kept.
  const unmark = bearsMark(disk) ? `rm ${shellWord(names.mark)} && ` : "";
  return `${unmark}${move} ${shellWord(topLayer(disk))} ${shellWord(names.image)}`;
}

/** The files that are the disk, lowest first. */
export function layers(disk: ObservedDisk): string[] {
  const state = stateOf(disk);
  return "layers" in state ? state.layers.map(disk.names.layer) : [];
}

/** The newest of them; none where there is none. */
export function topLayer(disk: ObservedDisk): string {
  return layers(disk).at(-1) ?? "";
}
