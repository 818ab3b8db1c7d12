import { concerning, Trouble } from "../errors.ts";
import type { Occasion } from "./context.ts";
import * as files from "../host/files.ts";
import { otherNotes } from "../host/session_records.ts";
import { decide, type Facts, type Row } from "../state/decision_table.ts";
import { type Case, isUnborn, stateOf } from "../state/observed_disk.ts";
import { imageOf, layerNumber, namesOf } from "../state/paths.ts";
import { type Decided, joiningCommit, planRecovery, type Recovery } from "../state/plan.ts";
import { parse, topOf } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

/** The facts that depend on the event, not on the disk. */
export type Circumstances = Pick<Facts, "event" | "start" | "end" | "held">;

/** What a cut-short event left, after a look at the sessions that would be committed with others. Changes nothing. */
export async function recoveryOf(found: readonly Case[], occasion: Occasion): Promise<Recovery> {
  for (const disk of found) await checkOwner(disk, occasion);
  const strangers = new Set<string>();
  for (const disk of joiningCommit(found)) {
    const look = await lookAt(disk, occasion);
    if (look === "sound") continue;
    strangers.add(disk.names.image);
    occasion.run.tell(disk.target, `not committed with the guest's other disks: ${strange[look]}`);
  }
  return planRecovery(found, occasion.paths, strangers);
}

/**
 * A commit is finished by the guest whose session it is, since the flag that was set for it is in that guest's file.
 *
 * @throws {Trouble} if that is another guest; then a process of that guest's finishes it meanwhile
 */
async function checkOwner(
  { target, names: { image }, entry, ...disk }: Case,
  occasion: Occasion,
): Promise<void> {
  const { run, paths } = occasion;
  if (entry !== undefined || parse(namesOf(image), disk.listing).kind !== "committing") return;
  const others = otherNotes(paths.note).flatMap(({ domain, entries }) =>
    entries.filter((entry) => entry.image === image).map(({ started }) => ({ domain, started }))
  );
  const newest = others.toSorted((a, b) => a.started < b.started ? -1 : 1).at(-1);
  if (newest === undefined) return;
  await run.tryTo(target, () => [{ kind: "background", domain: newest.domain }]);
  throw concerning(
    target,
    new Trouble(
      `a commit of the guest ${quoted(newest.domain)} on ${
        quoted(image)
      } was cut short, and is being finished`,
      { hint: `try again; by hand: autorevert recover ${shellWord(newest.domain)}`, heals: "event" },
    ),
  );
}

const strange: Readonly<Record<Exclude<NonNullable<Facts["look"]>, "sound">, string>> = {
  busy: "it is open in another process",
  moved: "it stands on files with another path",
  replaced: "another file was put in the session's place",
  damaged: "it is no readable qcow2 image",
};

/** Finds out what is to happen to each disk, looking up only what the table asks for. Changes nothing. */
export async function decideAll(
  cases: readonly Case[],
  occasion: Occasion,
  circumstances: (disk: Case) => Circumstances,
): Promise<Decided[]> {
  const decided: Decided[] = [];
  // Each may take a process.
  const rows = await Promise.all(cases.map((disk) => rowFor(disk, occasion, circumstances(disk))));
  for (const [index, disk] of cases.entries()) {
    const { fate, because } = rows[index]!;
    decided.push({ disk, fate });
    if (fate !== "nothing") occasion.run.tell(disk.target, `${fate}: ${because}`);
    if (fate === "leave to a person") {
      const show = `virsh domblklist --inactive ${shellWord(occasion.domain)}`;
      occasion.run.tell(
        disk.target,
        `hint: ${quoted(disk.names.image)} is kept; see what the domain names now: ${show}`,
      );
    }
  }
  return decided;
}

/** The row of the table that decides about a disk. */
export async function rowFor(
  disk: Case,
  occasion: Occasion,
  circumstances: Circumstances,
): Promise<Omit<Row, "when">> {
  const state = stateOf(disk);
  if (state.kind === "committing" || state.kind === "headless") {
    if (circumstances.event === "prepare") {
      throw concerning(disk.target, new Trouble(`${quoted(disk.names.image)} could not be recovered`));
    }
    return { fate: "leave", because: "it could not be recovered yet" };
  }
  let facts: Facts = {
    ...circumstances,
    state: state.kind,
    ended: "ended" in state && state.ended,
    ours: disk.entry !== undefined,
    unborn: isUnborn(disk),
    listed: disk.listed,
    flag: disk.flag,
    keeps: disk.keepSession,
    source: disk.source,
  };
  while (true) {
    const verdict = decide(facts);
    if ("row" in verdict) return verdict.row;
    facts = verdict.lookUp === "saved"
      ? { ...facts, saved: isSaved(occasion) }
      : { ...facts, look: await lookAt(disk, occasion) };
  }
}

/** Whether libvirt holds a managed save of the guest. */
export function isSaved({ host, domain }: Occasion): boolean {
  return files.look(`${host.settings.saveFolder}/${domain}.save`) !== undefined;
}

/** What an image is at a closer look. */
export async function lookAt(disk: Case, { host }: Occasion): Promise<NonNullable<Facts["look"]>> {
  const state = stateOf(disk);
  const { image, committing, layer } = disk.names;
  const top = "layers" in state ? [layer(topOf(state.layers))] : [];
  // A plan is worked out on the names as they will be: an image that is made again isn't there yet.
  const there = [image, committing, ...top].find((path) => files.look(path) !== undefined) ?? image;
  const look = await host.qemuImg.look(there);
  if (look.kind !== "free") return look.kind;
  const { backing } = look;
  // It would be made its own backing file, and qemu-img follow it round and round.
  if (!("layers" in state)) return layerNumber(image, backing ?? "") === undefined ? "sound" : "moved";
  const layers = state.layers.map(layer);
  const below = layers.at(state.kind === "session" ? -1 : -2);
  if (below === undefined || backing !== undefined && files.isOne(backing, below)) return "sound";
  const isMoved = backing !== undefined && imageOf(backing) !== undefined &&
    !layers.some((path) => files.isOne(backing, path));
  return isMoved ? "moved" : "replaced";
}
