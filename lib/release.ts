import { type Case, caseOfEntry } from "./case.ts";
import { decideAll } from "./decide.ts";
import * as files from "./files.ts";
import { configOf, type Occasion, startUnderWay, updateNote } from "./hook.ts";
import { lockFolders } from "./lock.ts";
import { shorten, startMerge } from "./merge.ts";
import { type Entry, readNote, readOwnNote } from "./note.ts";
import { type Decided, noteAtRelease, planRecovery, planRelease } from "./plan.ts";
import type { Facts } from "./table.ts";

/**
 * An end: every disk that the start froze is reverted, committed or left, as the table says.
 *
 * What fails with one disk doesn't keep the others from their end, and nothing is lost by it: the disk stays as it is
 * until the next event of the guest. That holds for a crash, too.
 */
export async function release(occasion: Occasion): Promise<void> {
  const { run, paths } = occasion;
  const start = files.look(paths.starting) ? startUnderWay(paths) : "up";
  const entries = readOwnNote(paths.note);
  if (files.look(paths.note) !== undefined) {
    const decided = await endSessions(entries, start, occasion);
    const next = noteAtRelease(decided);
    const noted = decided.some(({ fate }) => fate === "commit");
    await updateNote(next, occasion, noted ? next : entries);
    if (start !== "refused") await tidy(decided.map(({ disk }) => disk), occasion);
  }
  if (start !== "up") await run.take("", [{ kind: "remove", path: paths.starting }]);
}

/** What is not part of the end, but can be done now that the disks are idle. */
async function tidy(disks: readonly Case[], occasion: Occasion): Promise<void> {
  for (const disk of disks) await shorten(disk, occasion);
  if (!occasion.run.isDry) await updateNote(readNote(occasion.paths.note), occasion);
  await startMerge(disks, occasion);
}

async function endSessions(
  entries: readonly Entry[],
  start: Facts["start"],
  occasion: Occasion,
): Promise<Decided[]> {
  const { run, host, paths, extra } = occasion;
  const config = await readable(occasion, () => configOf(occasion));
  const disks = await readable(occasion, async () => {
    const { parseDisks } = await import("./domain.ts");
    return parseDisks(host.readXml());
  });
  using _folders = run.isDry
    ? undefined
    : await lockFolders(host.settings.configFolder, entries.map(({ image }) => image));

  const found = entries.map((entry) => caseOfEntry(entry, config, disks));
  const recovery = planRecovery(found, paths);
  for (const { whom, steps } of recovery.stages) await run.take(whom, steps);
  const each = await decideAll(recovery.cases, occasion, ({ entry }) => ({
    event: "release",
    start,
    end: reasons.get(extra) ?? "unsaid",
    held: entry?.held ?? false,
  }));
  const decided = together(each, occasion);
  for (const { whom, steps } of planRelease(decided, paths)) await run.tryTo(whom, () => steps);
  return decided;
}

/** The disks of a guest are kept together or not at all: where one can't be committed yet, the others wait for it. */
function together(decided: readonly Decided[], { run }: Occasion): Decided[] {
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
