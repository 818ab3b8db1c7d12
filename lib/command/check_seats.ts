import { type Finding, finding } from "./finding.ts";
import type { Guest } from "./guest.ts";
import { UserError } from "../errors.ts";
import type { EventContext } from "../hook/context.ts";
import { disksIn, guestOf } from "../hook/definitions.ts";
import { isPending } from "../hook/merge_choice.ts";
import { mergeBlock } from "../hook/standing.ts";
import * as files from "../host/files.ts";
import { peekDisks } from "../input/config.ts";
import { folderOf } from "../state/paths.ts";
import { stateOf } from "../state/observed_disk.ts";
import { quoted, shellWord } from "../text.ts";

/** What is wrong with a guest's seats, and what keeps the commits of its disks from being merged. */
export function seatFindings({ domain, seats, disks }: Guest, context: EventContext): Finding[] {
  const found: Finding[] = [];
  for (const { target, problem, seat, master } of seats) {
    if (problem !== undefined) found.push(finding("error", problem, domain, target));
    const image = seat?.names.image ?? master;
    if (files.lstat(folderOf(image))?.dev === files.lstat(folderOf(master))?.dev) continue;
    const note = new UserError(
      `${quoted(image)} lies on another file system than its master ${quoted(master)}`,
      {
        hint:
          "if other hosts have the master, too, keep the seat where they see it: otherwise they merge what it stands on",
      },
    );
    found.push(finding("note", note, domain, target));
  }
  for (const { target, disk } of disks) {
    if (disk === undefined) continue;
    const state = stateOf(disk);
    if (!isPending(disk, state)) continue;
    const block = mergeBlock(disk.names, state, context);
    if (block === undefined) continue;
    const waiting = state.layers.length - 1 - disk.keepCommits;
    const what = `${waiting} commit${waiting === 1 ? " waits" : "s wait"} to be merged`;
    const note = new UserError(`${what}: ${block.message}`, {
      hint: block.hint ?? "nothing is wrong: the merge goes on by itself when the last of them has ended",
    });
    found.push(finding("note", note, domain, target));
  }
  return found;
}

/** Masters whose own guest would write into what seats stand on, since the hook does not know it. */
export function masterFindings(guests: readonly Guest[], context: Pick<EventContext, "host">): Finding[] {
  const { definedFolder, configFolder } = context.host.settings;
  const masters = new Map<string, readonly [domain: string, target: string]>();
  for (const { domain, seats } of guests) {
    for (const { master, target } of seats) if (!masters.has(master)) masters.set(master, [domain, target]);
  }
  return [...masters].flatMap(([master, [domain, target]]) => {
    const owner = guestOf(master, context);
    if (owner === undefined) {
      const note = new UserError(`the master ${quoted(master)} is no guest's disk: nobody can commit to it`);
      return [finding("note", note, domain, target)];
    }
    const disk = (disksIn(definedFolder, owner) ?? []).find(({ file }) =>
      file !== undefined && (file === master || files.sameFile(file, master))
    )!;
    const text = files.read(`${configFolder}/${owner}.json`);
    // A file that isn't valid is told of by itself.
    const listed = text === undefined ? [] : peekDisks(text);
    if (listed === undefined || listed.some(({ target }) => target === disk.target)) return [];
    const problem = new UserError(
      `the master ${quoted(master)} is ${disk.target} of ${
        quoted(owner)
      }, which is not listed: its guest would write ` +
        "into what seats stand on",
      { hint: `autorevert enable ${shellWord(owner)} ${disk.target}` },
    );
    return [finding("warning", problem, domain, target)];
  });
}
