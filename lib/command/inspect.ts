import { asTrouble, Trouble } from "../errors.ts";
import type { Occasion } from "../hook/context.ts";
import { isSaved, rowFor } from "../hook/decide.ts";
import { orphaned } from "../hook/merge_control.ts";
import { sourceOf } from "../hook/observe.ts";
import { circumstances } from "../hook/prepare.ts";
import { refusal } from "../hook/refusal.ts";
import { isHeld } from "../host/lock.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { type Fate, refuses } from "../state/decision_table.ts";
import { type Case, stateOf } from "../state/observed_disk.ts";
import { isTorn, planRecovery } from "../state/plan.ts";
import { quoted, shellWord } from "../text.ts";

/** A disk of a guest. */
export interface View {
  readonly target: string;
  /** Undefined where it can't even be told which image it is. */
  readonly disk: Case | undefined;
  readonly situation: Situation;
  /** What keeps it from starting, or should be dealt with. */
  readonly trouble: Trouble | undefined;
  /** What the next start would do with it, where the table was asked. */
  readonly fate?: Fate;
}

/** How a disk is, by what happens to it next. */
export type Situation =
  | "clean"
  /** A guest runs on a session. */
  | "running"
  /** The guest runs on the disk itself: it was started before the disk was listed. */
  | "unprotected"
  /** Its session waits for a saved guest. */
  | "saved"
  /** A session died without a word, and goes at the next start. */
  | "reverts"
  /** A flagged session died, and goes on at the next start. */
  | "resumes"
  /** Something was cut short, and is finished at the next event. */
  | "cut short"
  | "attention";

/** A disk, and what stands against it. */
export interface Seen {
  readonly target: string;
  readonly disk: Case | undefined;
  readonly error?: unknown;
}

/** What the guest's files say besides its disks. */
interface Surroundings {
  readonly config: Config | undefined;
  /** The disks of the guest that runs. */
  readonly live: readonly DomainDisk[] | undefined;
}

/** Judges how a disk is. */
export async function viewOf(seen: Seen, surroundings: Surroundings, occasion: Occasion): Promise<View> {
  const { target, disk } = seen;
  try {
    if (disk !== undefined) checkSource(disk, surroundings.live, occasion);
    if (disk === undefined || seen.error !== undefined) throw seen.error;
    return { target, disk, ...await judge(disk, surroundings, occasion) };
  } catch (error) {
    return { target, disk, situation: "attention", trouble: readable(error) };
  }
}

/** @throws what only root may read: nothing can be said of a guest then */
export function readable(error: unknown): Trouble {
  const trouble = asTrouble(error);
  if (trouble.cause instanceof Deno.errors.PermissionDenied) throw trouble;
  return trouble;
}

async function judge(
  disk: Case,
  { config, live }: Surroundings,
  occasion: Occasion,
): Promise<Pick<View, "situation" | "trouble" | "fate">> {
  const fine = (situation: Situation, fate?: Fate) => ({
    situation,
    trouble: undefined,
    ...fate && { fate },
  });
  const { stages, cases } = planRecovery([disk], occasion.paths);
  const recovered = cases[0]!;
  const state = stateOf(recovered);
  // libvirt's file of a guest that runs outlives a QEMU that was killed together with libvirtd.
  if (live && await isOpen(disk, occasion)) {
    if (state.kind === "session" && disk.entry) return fine("running");
    if (state.kind === "plain" || state.kind === "layered") return fine("unprotected");
  }
  const isMerged = await isBeingMerged(recovered, occasion);
  if (isMerged && "layers" in state && !await isHeld(occasion.paths.merging, occasion.host.lock)) {
    return { situation: "attention", trouble: orphaned(recovered.names.layer(state.layers[0])) };
  }
  const start = isSaved(occasion) ? "resume" : "fresh";
  const { fate, because } = await rowFor(recovered, occasion, circumstances(recovered, start, config));
  // A merge has the top layer open if that is the one it merges, and the next start interrupts it.
  if (fate === "refuse: in use" && isMerged) return fine("clean");
  if (refuses(fate)) return { situation: "attention", trouble: refusal(fate, recovered), fate };
  const situation = situationOf(fate, state.kind === "session");
  if (situation === "attention") {
    return { situation, trouble: new Trouble(`it is left as it is: ${because}`), fate };
  }
  return fine(stages.length > 0 ? "cut short" : situation, fate);
}

/** @throws {Trouble} if the guest that runs writes to another file: after an external snapshot, or a blockcopy */
function checkSource(disk: Case, live: Surroundings["live"], { domain }: Occasion): void {
  const { target, names: { image } } = disk;
  if (live === undefined || sourceOf({ target, image }, live) !== "other") return;
  const file = live.find((disk) => disk.target === target)?.file;
  throw new Trouble(
    `the guest writes to ${
      file === undefined ? "no file" : quoted(file)
    } now, which may stand on the session ${quoted(image)}`,
    {
      hint:
        `after an external snapshot, bring it back into the session: virsh blockcommit ${
          shellWord(domain)
        } ${target} ` +
        `--base ${shellWord(image)} --top ${shellWord(file ?? "")} --active --pivot`,
    },
  );
}

/** Whether a `qemu-img` works on the merge that the note tells of. */
export async function isBeingMerged(disk: Case, { host }: Occasion): Promise<boolean> {
  const { names, entry } = disk;
  const state = stateOf(disk);
  if (entry === undefined || !("layers" in state) || !isTorn(entry, state)) return false;
  return (await host.qemuImg.look(names.layer(state.layers[1]!))).kind === "busy";
}

async function isOpen({ names }: Case, { host }: Occasion): Promise<boolean> {
  return (await host.qemuImg.look(names.image)).kind === "busy";
}

/** What the next start would do says how the disk is now. */
function situationOf(fate: Fate, isSession: boolean): Situation {
  switch (fate) {
    case "keep":
    case "put back":
      return "saved";
    case "resume":
      return "resumes";
    case "freeze":
    case "discard":
    case "set aside, freeze":
      return isSession ? "reverts" : "clean";
    case "leave":
    case "leave to a person":
      return "attention";
    default:
      return "clean";
  }
}
