const onlySessions = "the table gives this decision to sessions alone; the condition tells the compiler";

const noTime = "what is undefined is no second of any time, on either side; the condition tells the compiler";

/** Mutants that no test can tell from the program, and why. */
export const equivalent: Readonly<Record<string, string>> = {
  'lib/state/commit_plan.ts: planCommit: always state.kind === "session"': onlySessions,
  'lib/state/commit_plan.ts: planCommit: always "layers" in state':
    "what is being committed has layers; the condition tells the compiler",
  'lib/state/release_plan.ts: atRelease: never state.kind !== "session"': onlySessions,
  'lib/state/prepare_plan.ts: startable: always state.kind === "plain" || state.kind === "layered" || state.kind === "session"':
    "the table begins no session on anything else",
  "lib/state/seat.ts: isSameTime: left alone of one === undefined || other === undefined": noTime,
  "lib/state/seat.ts: isSameTime: right alone of one === undefined || other === undefined": noTime,
  "lib/state/observed_disk.ts: isMadeForIt: right alone of made === undefined || record === undefined":
    noTime,
  "lib/state/observed_disk.ts: mayBeAnothers: right alone of layerChanged !== undefined && record !== undefined":
    "what is undefined is later than nothing; the condition tells the compiler",
  'lib/state/recovery.ts: planRecovery: always step.kind === "clear"':
    "no other step of a commit names targets; the condition tells the compiler",
  "lib/state/records_at_release.ts: recordsAtRelease: never record === undefined":
    "at an end, all disks are those of the note",
};
