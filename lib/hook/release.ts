import { configOf, type Occasion, readStart, updateNote } from "./context.ts";
import { decideAll, recoveryOf } from "./decide.ts";
import { flattenIdle, mergeExcess, startMerge } from "./merge.ts";
import { caseOfEntry } from "./observe.ts";
import * as files from "../host/files.ts";
import { readNote, readOwnNote } from "../host/session_records.ts";
import type { Facts } from "../state/decision_table.ts";
import { type Case, waitsToBeSetAside } from "../state/observed_disk.ts";
import { type Decided, noteAtRelease, planRelease, type Recovery } from "../state/plan.ts";

/**
 * An end: every disk that the start froze is reverted, committed or left, as the table says.
 *
 * What fails with one disk doesn't keep the others from their end, and nothing is lost by it: the disk stays as it is
 * until the next event of the guest. That holds for a crash, too.
 */
export async function release(occasion: Occasion): Promise<void> {
  const { run, paths } = occasion;
  const start = readStart(paths)?.word ?? "up";
  if (files.look(paths.note) !== undefined) {
    const disks = await endSessions(start, occasion);
    // Not part of the end, but can be done now that the disks are idle.
    if (start !== "refused") {
      await mergeExcess(occasion);
      await startMerge(disks, occasion);
    }
  }
  if (start !== "up") await run.take("", [{ kind: "remove", path: paths.starting }]);
}

/** @returns the disks whose sessions have ended, or were left */
async function endSessions(start: Facts["start"], occasion: Occasion): Promise<Case[]> {
  const { run, host, paths, extra } = occasion;
  const config = await readable(occasion, () => configOf(occasion));
  const named = await readable(occasion, async () => {
    const { parseDisks } = await import("../input/domain_xml.ts");
    return parseDisks(host.readXml());
  });
  using _folders = await run.locks.folders(readNote(paths.note).map(({ image }) => image));
  const entries = readOwnNote(paths.note);
  const recovery = await recoveryOf(entries.map((entry) => caseOfEntry(entry, config, named)), occasion);
  for (const { whom, steps } of recovery.stages) await run.take(whom, steps);
  const each = await decideAll(recovery.cases, occasion, (disk) => ({
    event: "release",
    start,
    end: reasons.get(extra) ?? "unsaid",
    held: (disk.entry?.held ?? false) || waitsToBeSetAside(disk),
  }));
  const decided = together(each, recovery, occasion);
  const isUp = start === "up";
  for (const { whom, steps } of planRelease(decided, isUp, paths)) await run.tryTo(whom, () => steps);

  const next = noteAtRelease(decided, isUp);
  const noted = decided.some(({ fate }) => fate === "commit");
  await updateNote(next, occasion, noted ? next : entries);
  const disks = decided.map(({ disk }) => disk);
  if (start !== "refused") {
    for (const disk of disks) await flattenIdle(disk, occasion);
    if (!run.isDry) await updateNote(readNote(paths.note), occasion);
  }
  return disks;
}

/**
 * The disks of a guest are kept together or not at all: where one can't be committed yet, the others wait for it. What
 * recovery took for somebody else's file is neither committed nor thrown away.
 */
function together(all: readonly Decided[], { strangers }: Recovery, { run }: Occasion): Decided[] {
  const decided = all.map(({ disk, fate }): Decided => ({
    disk,
    fate: strangers.has(disk.names.image) && ["commit", "discard", "set aside"].includes(fate)
      ? "hold"
      : fate,
  }));
  const waits = decided.some(({ disk, fate }) =>
    disk.flag === "set" && (fate === "hold" || fate === "leave" && disk.source === "same")
  );
  return decided.map(({ disk, fate }) => {
    if (!waits || fate !== "commit") return { disk, fate };
    run.tell(disk.target, "hold: another disk of the guest can't be committed yet");
    return { disk, fate: "hold" };
  });
}

/** Shutoff reasons as libvirt spells them: virDomainShutoffReason in src/conf/domain_conf.c. Another one says nothing. */
const reasons = new Map<string, Facts["end"]>(Object.entries({
  "shutdown": "over",
  "destroyed": "over",
  "from snapshot": "over",
  "saved": "away",
  "migrated": "away",
  "crashed": "died",
  "failed": "died",
  "daemon": "died",
}));

async function readable<T>({ run }: Occasion, read: () => Promise<T>): Promise<T | "unreadable"> {
  try {
    return await read();
  } catch (error) {
    run.report(error);
    return "unreadable";
  }
}
