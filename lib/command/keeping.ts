/** What `enable` sets of what is kept of a disk. */

import type { GuestCommand } from "./guest_command.ts";
import type { ConfiguredDisk } from "../input/config.ts";
import { isTorn, type ObservedDisk, stateOf } from "../state/observed_disk.ts";

/** What `enable` sets besides: keys of a listed disk, by their names in the file. */
export type Keeping = Readonly<
  Partial<{ "keep-commits": number; "keep-session": boolean; publish: "by hand" | "at once" }>
>;

/** What the options of the command say of it. */
export function keepingIn({ options }: GuestCommand): Keeping {
  const commits = options.get("keep-commits");
  return {
    ...commits !== undefined && { "keep-commits": Number(commits) },
    ...options.has("keep-session") && { "keep-session": true },
    ...options.has("no-keep-session") && { "keep-session": false },
    ...options.has("by-hand") && { publish: "by hand" },
    ...options.has("no-by-hand") && { publish: "at once" },
  };
}

/** The keys of a disk that get another value. */
export function changesOf({ target, keepCommits, keepSession, byHand }: ConfiguredDisk, keeping: Keeping) {
  const { publish } = keeping;
  const { "keep-commits": commits = keepCommits, "keep-session": session = keepSession } = keeping;
  return [
    ...commits === keepCommits ? [] : [{ target, key: "keep-commits", value: commits } as const],
    ...session === keepSession ? [] : [{ target, key: "keep-session", value: session } as const],
    ...publish === undefined || (publish === "by hand") === (byHand ?? false)
      ? []
      : [{ target, key: "publish", value: publish } as const],
  ];
}

/** What becomes of commits and sessions from now on. */
export function afterKeeping(keeping: Keeping, disk: ObservedDisk): string[] {
  const { "keep-commits": commits, "keep-session": session, publish } = keeping;
  const state = stateOf(disk);
  const waiting = "layers" in state ? state.layers.length - 1 : 0;
  return [
    ...commits === undefined ? [] : [
      commits === 0
        ? "no commit can be undone"
        : commits === 1
        ? "the newest commit can be undone"
        : `the ${commits} newest commits can be undone`,
    ],
    ...commits !== undefined && waiting > commits
      ? ["older ones are merged after the next session"]
      : commits !== undefined && isTorn(state)
      ? ["the oldest is being merged, and can't be any more"]
      : [],
    ...session === undefined ? [] : [
      session ? "an ended session is set aside until the guest is up again" : "an ended session is forgotten",
    ],
    ...publish === undefined ? [] : [
      publish === "by hand"
        ? "seats take a commit when it is published: autorevert publish"
        : "seats take each commit at their next start",
    ],
  ];
}
