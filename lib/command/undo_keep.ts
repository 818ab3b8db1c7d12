/** The commands on a guest's commits: `undo` and `keep`. */

import { ask, checkTargets, described, type Errand, isLive, namesIn, refuseBusy } from "./guest_command.ts";
import { concerning, Trouble } from "../errors.ts";
import { configOf, updateNote } from "../hook/context.ts";
import { isSaved, recoveryOf } from "../hook/decide.ts";
import { startMerge } from "../hook/merge.ts";
import { interruptMerges } from "../hook/merge_control.ts";
import { caseOfEntry } from "../hook/observe.ts";
import { finishOrders, ordering } from "../hook/pending_operation.ts";
import { readNote, readOtherNotes, readOwnNote } from "../host/session_records.ts";
import { type Case, stateOf } from "../state/observed_disk.ts";
import { isTorn, pending } from "../state/plan.ts";
import type { Order } from "../state/session_record.ts";
import { type State, topOf } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

type Layered = Extract<State, { kind: "layered" }>;

/** A disk that a command can work on. */
interface Idle {
  readonly disk: Case;
  readonly state: Layered;
}

/**
 * Takes back the newest commit of a disk, or of each of the guest's disks that has one, and sets it aside.
 *
 * After a crash the commits are all there, or all taken back with the next event of the guest.
 *
 * @throws {Trouble} if a session exists, a saved guest needs the commit, or it is already being merged
 */
export async function undo(errand: Errand): Promise<void> {
  await onIdleDisks(errand, {
    verb: "undo",
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
    check: ({ disk, state }) => {
      // A merge that another guest of the image began has torn the same layer.
      const entries = [...disk.entry ? [disk.entry] : [], ...readOtherNotes(errand.paths.note)];
      const isBegun = entries.some((entry) => entry.image === disk.names.image && isTorn(entry, state));
      if (isBegun && state.layers.length === 2) {
        throw new Trouble("the commit is already being merged into the disk, and can't be undone any more", {
          hint: `to have the next ones kept, set "keep-commits" in ${shellWord(errand.paths.config)}`,
        });
      }
    },
    done: "the last commit is undone: the next start begins with the disk as it was before",
  });
}

/**
 * Makes the last session, which was set aside, part of the disk, as if its flag had been set.
 *
 * After a crash the sessions are all set aside, or all committed with the next event of the guest.
 *
 * @throws {Trouble} if there is none, or a session exists
 */
export async function keep(errand: Errand): Promise<void> {
  await onIdleDisks(errand, {
    verb: "keep",
    applies: ({ state }) => state.ended,
    nothing: "no session was set aside",
    key: "keep-session",
    done: "the last session is part of the disk now: the next start begins with it",
  });
}

interface Work {
  readonly verb: Order["verb"];
  readonly applies: (idle: Idle) => boolean;
  /** What is said where it applies to no disk. */
  readonly nothing: string;
  /** The key of the configuration that makes it apply. */
  readonly key: "keep-commits" | "keep-session";
  /** Asked before something that can't be taken back for good. */
  readonly question?: (idle: Idle) => string;
  /** Throws where it can't be done to a disk that it applies to. */
  readonly check?: (idle: Idle) => void;
  readonly done: string;
}

async function onIdleDisks(errand: Errand, work: Work): Promise<void> {
  const { domain, terminal } = errand;
  // Nobody's start or end waits for an answer.
  const asked = await onceLocked(errand, async () => {
    const done = await finishOrders(errand);
    if (!done.some(({ verb }) => verb === work.verb)) return await choose(work, errand);
    terminal.print(`${domain}: ${work.verb} was cut short before, and is done now`);
    return undefined;
  });
  if (asked === undefined) return;
  for (const idle of asked) {
    if (work.question) ask(`${domain} ${idle.disk.target}: ${work.question(idle)}?`, errand);
  }
  await onceLocked(errand, async () => {
    const chosen = await choose(work, errand);
    if (namesIn(disksOf(chosen)) !== namesIn(disksOf(asked))) {
      throw new Trouble("nothing was changed: the disks are not any more what the question was about", {
        hint: `try again: autorevert ${work.verb} ${shellWord(domain)}`,
      });
    }
    await follow(chosen, work, errand);
  });
}

async function onceLocked<T>(errand: Errand, act: () => Promise<T>): Promise<T> {
  const { run, paths } = errand;
  using _guest = await run.locks.guest();
  const images = readNote(paths.note).map(({ image }) => image);
  using _folders = await run.locks.folders(images);
  await interruptMerges(errand, images);
  return await act();
}

const disksOf = (idle: readonly Idle[]) => idle.map(({ disk }) => disk);

/** The disks that it is to be done to, each of them fit for it. */
async function choose(work: Work, errand: Errand): Promise<Idle[]> {
  const chosen = (await idleDisks(errand)).filter(work.applies);
  if (chosen.length === 0) throw await nothingFor(work, errand);
  if (isSaved(errand)) {
    throw new Trouble("libvirt holds a managed save of the guest, which expects its disks as they are", {
      hint: `start it, or drop the save: virsh managedsave-remove ${shellWord(errand.domain)}`,
    });
  }
  for (const idle of chosen) work.check?.(idle);
  for (const { disk } of chosen) await refuseBusy(disk, errand);
  return chosen;
}

async function follow(chosen: readonly Idle[], work: Work, errand: Errand): Promise<void> {
  const { run, domain, paths, terminal } = errand;
  const states = new Map(chosen.map(({ disk, state }) => [disk.names.image, state]));
  const entries = ordering(readOwnNote(paths.note), work.verb, states);
  await run.take("", [{ kind: "note", path: paths.note, entries }]);
  await finishOrders(errand);
  for (const { disk } of chosen) terminal.print(`${domain} ${disk.target}: ${work.done}`);
  await updateNote(readOwnNote(paths.note), errand);
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

/** What ends the session that lies there, whatever state its guest is in. */
function sessionsEnd(errand: Errand): string {
  const guest = shellWord(errand.domain);
  if (isLive(errand)) return `end it first: virsh shutdown ${guest}`;
  if (isSaved(errand)) {
    return `start the guest and end it, or drop the save: virsh managedsave-remove ${guest}`;
  }
  return `end it first: autorevert recover --keep|--discard ${guest}`;
}

/** The guest's disks, or those that are meant, recovered and without a session. */
async function idleDisks(errand: Errand): Promise<Idle[]> {
  const { run, paths, targets: meant } = errand;
  const config = await configOf(errand);
  const entries = pending(readOwnNote(paths.note), (image) => run.listing(image));
  checkTargets(meant, [...config?.disks ?? [], ...entries]);
  const { stages, cases } = await recoveryOf(
    entries.map((entry) => caseOfEntry(entry, config, [])),
    errand,
  );
  for (const { whom, steps } of stages) await run.take(whom, steps);
  return cases.filter(({ target }) => meant.length === 0 || meant.includes(target)).flatMap((disk) => {
    const state = stateOf(disk);
    if (state.kind === "session") {
      throw concerning(
        disk.target,
        new Trouble(`${quoted(disk.names.image)} is in a session, or was saved in one`, {
          hint: sessionsEnd(errand),
        }),
      );
    }
    return state.kind === "layered" ? [{ disk, state }] : [];
  });
}
