/** The commands on a guest's commits: `undo` and `keep`. */

import { type Case, caseOfEntry, ownerOfDisk, stateOf } from "../case.ts";
import { isSaved } from "../decide.ts";
import { configOf, updateNote } from "../hook.ts";
import { interruptMerge } from "../interrupt.ts";
import { lock, lockFolders } from "../lock.ts";
import { startMerge } from "../merge.ts";
import * as moves from "../moves.ts";
import { readOtherNotes, readOwnNote } from "../note.ts";
import { isTorn, pending, planRecovery } from "../plan.ts";
import { type State, topOf } from "../state.ts";
import type { Step } from "../step.ts";
import { concerning, quoted, shellWord, Trouble } from "../voice.ts";
import { ask, checkTargets, described, type Errand, refuseBusy } from "./errand.ts";

type Layered = Extract<State, { kind: "layered" }>;

/** A disk that a command can work on. */
interface Idle {
  readonly disk: Case;
  readonly state: Layered;
}

/**
 * Drops the newest commit of a disk, or of each of the guest's disks that has one.
 *
 * After a crash the commit is still there, or gone, whole.
 *
 * @throws {Trouble} if a session exists, a saved guest needs the commit, or it is already being merged
 */
export async function undo(errand: Errand): Promise<void> {
  await onIdleDisks(errand, {
    applies: ({ state }) => state.layers.length > 1,
    nothing: "there is no commit that can be undone",
    key: "keep-commits",
    question: ({ disk, state }) => {
      const { names } = disk;
      const lost = state.ended
        ? `; the session that was set aside, ${described(names.ended)}, goes with it`
        : "";
      return `undo the commit ${described(names.layer(topOf(state.layers)))}${lost}`;
    },
    steps: ({ disk, state }) => {
      // A merge that another guest of the image began has torn the same layer.
      const entries = [...disk.entry ? [disk.entry] : [], ...readOtherNotes(errand.paths.note)];
      const isBegun = entries.some((entry) => entry.image === disk.names.image && isTorn(entry, state));
      if (isBegun && state.layers.length === 2) {
        throw new Trouble("the commit is already being merged into the disk, and can't be undone any more", {
          hint: `to have the next ones kept, set "keep-commits" in ${shellWord(errand.paths.config)}`,
        });
      }
      return moves.undo(disk.names, state, ownerOfDisk(disk));
    },
    done: "the last commit is undone: the next start begins with the disk as it was before",
  });
}

/**
 * Makes the last session, which was set aside, part of the disk, as if its flag had been set.
 *
 * After a crash the session is still set aside, or committed, whole.
 *
 * @throws {Trouble} if there is none, or a session exists
 */
export async function keep(errand: Errand): Promise<void> {
  await onIdleDisks(errand, {
    applies: ({ state }) => state.ended,
    nothing: "no session was set aside",
    key: "keep-session",
    steps: ({ disk, state }) => moves.keep(disk.names, state, ownerOfDisk(disk)),
    done: "the last session is part of the disk now: the next start begins with it",
  });
}

interface Work {
  readonly applies: (idle: Idle) => boolean;
  /** What is said where it applies to no disk. */
  readonly nothing: string;
  /** The key of the configuration that makes it apply. */
  readonly key: "keep-commits" | "keep-session";
  /** Asked before something that can't be taken back. */
  readonly question?: (idle: Idle) => string;
  readonly steps: (idle: Idle) => Step[];
  readonly done: string;
}

async function onIdleDisks(errand: Errand, work: Work): Promise<void> {
  const { run, host, domain, paths, terminal } = errand;
  using _guest = await lock(paths.lock);
  await interruptMerge(paths);
  const entries = readOwnNote(paths.note);
  using _folders = await lockFolders(host.settings.configFolder, entries.map(({ image }) => image));
  const disks = await idleDisks(errand);
  const chosen = disks.filter(work.applies);
  if (chosen.length === 0) throw await nothingFor(work, errand);
  if (isSaved(errand)) {
    throw new Trouble("libvirt holds a managed save of the guest, which expects its disks as they are", {
      hint: `start it, or drop the save: virsh managedsave-remove ${shellWord(domain)}`,
    });
  }
  const planned = chosen.map((idle) => ({ idle, steps: work.steps(idle) }));
  for (const { disk } of chosen) await refuseBusy(disk, errand);
  for (const { idle } of planned) {
    if (work.question) ask(`${domain} ${idle.disk.target}: ${work.question(idle)}?`, errand);
  }
  for (const { idle: { disk }, steps } of planned) {
    await run.take(disk.target, steps);
    terminal.print(`${domain} ${disk.target}: ${work.done}`);
  }
  await updateNote(entries, errand);
  await startMerge(chosen.map(({ disk }) => disk), errand);
}

async function nothingFor({ nothing, key }: Work, errand: Errand): Promise<Trouble> {
  const disks = (await configOf(errand))?.disks ?? [];
  const isSet = disks.some(({ keepCommits, keepSession }) =>
    key === "keep-commits" ? keepCommits > 0 : keepSession
  );
  return new Trouble(nothing, {
    ...!isSet && { hint: `to have the next ones kept, set "${key}" in ${shellWord(errand.paths.config)}` },
  });
}

/** The guest's disks, or those that are meant, recovered and without a session. */
async function idleDisks(errand: Errand): Promise<Idle[]> {
  const { run, paths, targets: meant } = errand;
  const config = await configOf(errand);
  const entries = pending(readOwnNote(paths.note), (image) => run.listing(image));
  checkTargets(meant, [...config?.disks ?? [], ...entries]);
  const { stages, cases } = planRecovery(entries.map((entry) => caseOfEntry(entry, config, [])), paths);
  for (const { whom, steps } of stages) await run.take(whom, steps);
  return cases.filter(({ target }) => meant.length === 0 || meant.includes(target)).flatMap((disk) => {
    const state = stateOf(disk);
    if (state.kind === "session") {
      throw concerning(
        disk.target,
        new Trouble(`${quoted(disk.names.image)} is in a session, or was saved in one`, {
          hint: `end it first: virsh shutdown ${shellWord(errand.domain)}`,
        }),
      );
    }
    return state.kind === "layered" ? [{ disk, state }] : [];
  });
}
