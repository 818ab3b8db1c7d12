const onlySessions = "the table gives this fate to sessions alone; the condition tells the compiler";

/** Mutants that no test can tell from the program, and why. */
export const equivalent: Readonly<Record<string, string>> = {
  'lib/prepare.ts: begin: left alone of disk.entry && "layers" in state':
    "what is torn has layers; the condition tells the compiler",
  'lib/plan.ts: planCommit: always state.kind === "session"': onlySessions,
  'lib/plan.ts: planCommit: always "layers" in state':
    "what is being committed has layers; the condition tells the compiler",
  'lib/plan.ts: atRelease: never state.kind !== "session"': onlySessions,
  'lib/plan.ts: freezable: always state.kind === "plain" || state.kind === "layered" || state.kind === "session"':
    "the table freezes nothing else",
  "lib/plan.ts: noteAtRelease: never entry === undefined": "at an end, all disks are those of the note",
  "lib/merge.ts: checkPair: right alone of backing !== undefined && files.isOne(backing, lower)":
    "what is no path leads to no file",
  'lib/merge.ts: checkPair: always look.kind === "free"':
    "only an image that is free tells of its backing file; the condition tells the compiler",
  'lib/merge.ts: checkData: right alone of look.kind !== "free" || look.data === undefined':
    "only an image that is free tells of data",
};
