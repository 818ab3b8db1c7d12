/** The administrator's commands on a guest's commits: `undo`, `keep` and `merge`. */

import { type Case, caseOfEntry, ownerOfDisk, stateOf } from "./case.ts";
import { isSaved } from "./decide.ts";
import * as files from "./files.ts";
import { configOf, isManaged, type Occasion, updateNote } from "./hook.ts";
import { type Host, Run } from "./host.ts";
import { interruptMerge } from "./interrupt.ts";
import { checkDomainName, type Command } from "./invocation.ts";
import { lock, lockFolders } from "./lock.ts";
import { mergeGuest, startMerge } from "./merge.ts";
import * as moves from "./moves.ts";
import { guestNames } from "./names.ts";
import { readNote } from "./note.ts";
import { isTorn, pending, planRecovery } from "./plan.ts";
import { type State, topOf } from "./state.ts";
import type { Step } from "./step.ts";
import { concerning, listed, nearest, quoted, shellWord, size, Trouble } from "./voice.ts";

/**
 * Does what an administrator asks for.
 *
 * @returns the exit code
 */
export async function obey({ verb, domain, target, yes }: Command, host: Host): Promise<0 | 1> {
  const run = new Run(host, domain);
  try {
    checkDomainName(domain);
    const occasion = { run, host, domain, paths: guestNames(host.settings.configFolder, domain), extra: "-" };
    if (!isManaged(occasion.paths)) {
      throw new Trouble(`there is no configuration ${quoted(occasion.paths.config)}`, {
        hint: `see the guests there are: virsh list --all; ls ${shellWord(host.settings.configFolder)}`,
      });
    }
    switch (verb) {
      case "undo":
        return await undo(occasion, target, (question) => yes || host.confirm(question)) ? 0 : 1;
      case "keep":
        return await keep(occasion, target) ? 0 : 1;
      case "merge":
        return await merge(occasion) ? 0 : 1;
      default:
        return verb satisfies never;
    }
  } catch (error) {
    run.report(error);
    return 1;
  }
}

/** What a command asks before it does something that can't be taken back. */
type Confirm = (question: string) => boolean;

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
async function undo(occasion: Occasion, target: string | undefined, confirm: Confirm): Promise<boolean> {
  return await onIdleDisks(occasion, target, {
    applies: ({ state }) => state.layers.length > 1,
    nothing: 'no commit can be undone: set "keep-commits" in the configuration to keep the next ones',
    question: ({ disk, state }) => {
      const { names } = disk;
      const lost = state.ended
        ? `; the session that was set aside, ${described(names.ended)}, goes with it`
        : "";
      return `undo the commit ${described(names.layer(topOf(state.layers)))}${lost}`;
    },
    steps: ({ disk, state }) => {
      if (disk.entry && isTorn(disk.entry, state) && state.layers.length === 2) {
        throw new Trouble("the commit is already being merged into the disk, and can't be undone any more", {
          hint: 'set "keep-commits" in the configuration to keep the next ones',
        });
      }
      return moves.undo(disk.names, state, ownerOfDisk(disk));
    },
    done: "the last commit is undone: the next start begins with the disk as it was before",
  }, confirm);
}

/**
 * Makes the last session, which was set aside, part of the disk, as if its flag had been set.
 *
 * After a crash the session is still set aside, or committed, whole.
 *
 * @throws {Trouble} if there is none, or a session exists
 */
async function keep(occasion: Occasion, target: string | undefined): Promise<boolean> {
  return await onIdleDisks(occasion, target, {
    applies: ({ state }) => state.ended,
    nothing:
      'no session was set aside: set "keep-session" in the configuration to have the next ones set aside',
    question: () => "",
    steps: ({ disk, state }) => moves.keep(disk.names, state, ownerOfDisk(disk)),
    done: "the last session is part of the disk now: the next start begins with it",
  }, () => true);
}

/** Merges what is pending: the same for an administrator who waits for it and for an end that started it. */
async function merge(occasion: Occasion): Promise<boolean> {
  (await import("node:os")).setPriority(19);
  const merged = await mergeGuest(occasion);
  if (merged) occasion.host.print(`${occasion.domain}: nothing is left to merge`);
  return merged;
}

interface Work {
  readonly applies: (idle: Idle) => boolean;
  /** What is said where it applies to no disk. */
  readonly nothing: string;
  readonly question: (idle: Idle) => string;
  readonly steps: (idle: Idle) => Step[];
  readonly done: string;
}

async function onIdleDisks(
  occasion: Occasion,
  target: string | undefined,
  work: Work,
  confirm: Confirm,
): Promise<boolean> {
  const { run, host, domain, paths } = occasion;
  using _guest = await lock(paths.lock);
  await interruptMerge(paths);
  const entries = readNote(paths.note);
  using _folders = await lockFolders(host.settings.configFolder, entries.map(({ image }) => image));
  const disks = await idleDisks(occasion, target);
  const chosen = disks.filter(work.applies);
  if (chosen.length === 0) throw new Trouble(work.nothing);
  if (isSaved(occasion)) {
    throw new Trouble("libvirt holds a managed save of the guest, which expects its disks as they are", {
      hint: `start it, or drop the save: virsh managedsave-remove ${shellWord(domain)}`,
    });
  }
  const planned = chosen.map((idle) => ({ idle, steps: work.steps(idle) }));
  for (const { disk } of chosen) await refuseBusy(disk, occasion);
  for (const { idle } of planned) {
    const question = work.question(idle);
    if (question && !confirm(`${domain} ${idle.disk.target}: ${question}?`)) {
      throw new Trouble("nothing was changed: the question was not answered with yes", {
        hint: "where nobody can answer, use --yes",
      });
    }
  }
  for (const { idle: { disk }, steps } of planned) {
    await run.take(disk.target, steps);
    host.print(`${domain} ${disk.target}: ${work.done}`);
  }
  await updateNote(entries, occasion);
  await startMerge(chosen.map(({ disk }) => disk), occasion);
  return true;
}

/** The guest's disks, or the one that is meant, recovered and without a session. */
async function idleDisks(occasion: Occasion, target: string | undefined): Promise<Idle[]> {
  const { run, paths } = occasion;
  const config = await configOf(occasion);
  const entries = pending(readNote(paths.note), (image) => run.listing(image));
  const targets = [...new Set([...config?.disks ?? [], ...entries].map((disk) => disk.target))];
  if (target !== undefined && !targets.includes(target)) {
    const meant = nearest(target, targets);
    throw new Trouble(`the guest has no disk ${quoted(target)}, it has ${listed(targets)}`, {
      ...meant !== undefined && { hint: `did you mean ${quoted(meant)}?` },
    });
  }
  const { stages, cases } = planRecovery(entries.map((entry) => caseOfEntry(entry, config, [])), paths);
  for (const { whom, steps } of stages) await run.take(whom, steps);
  return cases.filter((disk) => target === undefined || disk.target === target).flatMap((disk) => {
    const state = stateOf(disk);
    if (state.kind === "session") {
      throw concerning(
        disk.target,
        new Trouble(`${quoted(disk.names.image)} is in a session, or was saved in one`, {
          hint: `end it first: virsh shutdown ${shellWord(occasion.domain)}`,
        }),
      );
    }
    return state.kind === "layered" ? [{ disk, state }] : [];
  });
}

async function refuseBusy({ target, names }: Case, { host }: Occasion): Promise<void> {
  const { kind } = await host.qemuImg.look(names.image);
  if (kind !== "busy") return;
  throw concerning(
    target,
    new Trouble(`${quoted(names.image)} is open in another process`, {
      hint: `find it: fuser -v ${shellWord(names.image)}`,
    }),
  );
}

function described(path: string): string {
  const info = files.look(path);
  const time = info?.mtime?.toISOString().slice(0, 16).replace("T", " ") ?? "unknown";
  return `of ${time} UTC, ${size((info?.blocks ?? 0) * 512)}`;
}
