import { type Guest, lookAt } from "./guest.ts";
import { ask, checkTargets, described, type Errand, namesIn, refuseBusy } from "./guest_command.ts";
import { concerning, Trouble } from "../errors.ts";
import { updateNote } from "../hook/context.ts";
import { isSaved, lookAt as lookAtDisk, recoveryOf } from "../hook/decide.ts";
import { startMerge } from "../hook/merge.ts";
import { interruptMerges } from "../hook/merge_control.ts";
import { finishOrders } from "../hook/pending_operation.ts";
import { refusal } from "../hook/refusal.ts";
import { type Case, stateOf } from "../state/observed_disk.ts";
import { planCommit, planDiscard } from "../state/plan.ts";
import type { Entry } from "../state/session_record.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * Finishes what was cut short, as the guest's next event would, and ends a session that lies there, if the
 * administrator says how. After a crash the next event, or the same command, goes on from there.
 *
 * @throws {Trouble} if a session is to be ended that a process or a saved guest needs, or that is no session
 */
export async function recover(errand: Errand): Promise<void> {
  const { run, domain, targets, options, terminal } = errand;
  // Nobody's start or end waits for an answer.
  const asked = options.has("discard") ? await askToDiscard(errand) : undefined;
  using _guest = await run.locks.guest();
  const images = (await lookAt(errand)).disks.flatMap(({ disk }) => disk ? [disk.names.image] : []);
  using _folders = await run.locks.folders(images);
  await interruptMerges(errand, images);

  const orders = await finishOrders(errand);
  if (orders.length > 0) terminal.print(`${domain}: ${orders[0]!.verb} was cut short, and is done now`);
  const guest = await lookAt(errand);
  const found = guest.disks.flatMap(({ disk }) => disk ?? []);
  checkTargets(targets, guest.disks);
  const { stages, cases } = await recoveryOf(found, errand);
  for (const { whom, steps } of stages) {
    await run.take(whom, steps);
    terminal.print(`${domain} ${whom}: what was cut short is finished`);
  }
  const sessions = sessionsOf(cases, targets);
  if (options.has("keep") || options.has("discard")) {
    if (asked !== undefined && namesIn(sessions) !== asked) {
      throw new Trouble("nothing was thrown away: the disks are not any more what the question was about", {
        hint: "try again",
      });
    }
    await endSessions(sessions, guest, errand);
  } else if (stages.length === 0 && orders.length === 0) {
    tellNothing(sessions, guest, errand);
  }
  await startMerge(cases, errand);
}

/** @returns the names that the question was about */
async function askToDiscard(errand: Errand): Promise<string> {
  const { domain, targets } = errand;
  const disks = (await lookAt(errand)).disks.flatMap(({ disk }) => disk ?? []);
  const sessions = sessionsOf((await recoveryOf(disks, errand)).cases, targets);
  await checkSessions(sessions, errand);
  for (const { target, names } of sessions) {
    ask(`${domain} ${target}: throw the session ${described(names.image)}, away?`, errand);
  }
  return namesIn(sessions);
}

function sessionsOf(disks: readonly Case[], targets: Errand["targets"]): Case[] {
  const meant = disks.filter(({ target }) => targets.length === 0 || targets.includes(target));
  return meant.filter((disk) => stateOf(disk).kind === "session");
}

function tellNothing(sessions: readonly Case[], guest: Guest, { domain, terminal }: Errand): void {
  terminal.print(`${domain}: nothing was cut short`);
  if (guest.isLive) return;
  for (const { target } of sessions) {
    terminal.print(
      `${domain} ${target}: a session lies there; to end it now: autorevert recover --keep|--discard ${
        shellWord(domain)
      } ${target}`,
    );
  }
}

async function endSessions(sessions: readonly Case[], { entries }: Guest, errand: Errand): Promise<void> {
  const { run, domain, host, paths, options, terminal } = errand;
  await checkSessions(sessions, errand);
  const ours = sessions.map((disk): Entry =>
    disk.entry ?? {
      target: disk.target,
      image: disk.names.image,
      started: host.now().toISOString(),
      owner: disk.owner,
      held: false,
    }
  );
  const note = [...entries.filter(({ image }) => ours.every((entry) => entry.image !== image)), ...ours];
  if (options.has("keep")) {
    // The note comes last: a session that it knows, but that isn't decided yet, would go at the next start.
    const { whom, steps } = planCommit([], sessions, paths);
    await run.take(whom, steps);
  } else {
    for (const disk of sessions) await run.take(disk.target, planDiscard(disk));
  }
  const outcome = options.has("keep")
    ? "the session is part of the disk now: the next start begins with it"
    : "the session is thrown away: the next start begins without it";
  for (const { target } of sessions) terminal.print(`${domain} ${target}: ${outcome}`);
  await updateNote(note, errand);
}

async function checkSessions(sessions: readonly Case[], errand: Errand): Promise<void> {
  if (sessions.length === 0) throw new Trouble("no session lies there");
  if (isSaved(errand)) {
    throw new Trouble("libvirt holds a managed save of the guest, which expects its session", {
      hint: `start it, or drop the save: virsh managedsave-remove ${shellWord(errand.domain)}`,
    });
  }
  for (const disk of sessions) await checkSession(disk, errand);
}

/** Only a file that stands on the top layer, and that nobody has open, is a session. */
async function checkSession(disk: Case, errand: Errand): Promise<void> {
  await refuseBusy(disk, errand);
  const look = await lookAtDisk(disk, errand);
  if (look === "moved" || look === "replaced") {
    throw concerning(disk.target, refusal(`refuse: ${look}`, disk));
  }
  if (look === "damaged" && errand.options.has("keep")) {
    throw concerning(
      disk.target,
      new Trouble(`${quoted(disk.names.image)} is no readable qcow2 image any more`, {
        hint: `try to mend it: qemu-img check -r all ${
          shellWord(disk.names.image)
        }; or give it up with --discard`,
      }),
    );
  }
}
