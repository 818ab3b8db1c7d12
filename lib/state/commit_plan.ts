import { disksFirst, flagTargetOf, type ObservedDisk, stateOf } from "./observed_disk.ts";
import type { GuestNames } from "./paths.ts";
import type { Step } from "./step.ts";
import * as moves from "./transitions.ts";

/** Steps that only make sense together, and the disk or guest that they concern. */
export interface Stage {
  readonly subject: string;
  readonly steps: readonly Step[];
}

/**
 * All commits of a guest as one: after the first link they all happen, whatever is cut short. The firmware's come after the disks',
 * which ask for them.
 *
 * @param isUsed whether a flag that is set is one that asked for it
 */
export function planCommit(
  decided: readonly ObservedDisk[],
  sessions: readonly ObservedDisk[],
  paths: GuestNames,
  isUsed: (disk: ObservedDisk) => boolean = () => true,
): Stage {
  const inOrder = (disks: readonly ObservedDisk[]) => disksFirst(disks, (disk) => disk);
  const both = inOrder([...decided, ...sessions]);
  const flagged = both.filter((disk) => disk.flag === "set" && isUsed(disk)).map(flagTargetOf);
  return {
    subject: both.map(({ target }) => target).join(" "),
    steps: [
      ...inOrder(sessions).flatMap((disk) => {
        const state = stateOf(disk);
        return state.kind === "session" ? moves.decideCommit(disk.names, state, disk.owner) : [];
      }),
      ...flagged.length > 0 ? [{ kind: "clear", config: paths.config, targets: flagged } as const] : [],
      ...both.flatMap((disk) => {
        const state = stateOf(disk);
        return "layers" in state ? moves.finishCommit(disk.names, state) : [];
      }),
    ],
  };
}
