import { concerning, Trouble } from "../errors.ts";
import { type Occasion, updateNote } from "./context.ts";
import { recoveryOf } from "./decide.ts";
import { outliveOrphan, watchForInterrupt } from "./merge_control.ts";
import { caseOfEntry } from "./observe.ts";
import { finishOrders } from "./pending_operation.ts";
import { readConfig } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import type { Control } from "../host/qemu_img.ts";
import { readNote, readOwnNote } from "../host/session_records.ts";
import type { Case } from "../state/observed_disk.ts";
import { folderOf, imageOf, namesOf } from "../state/paths.ts";
import { isTorn } from "../state/plan.ts";
import { parse, type State } from "../state/state.ts";
import { copyDown, flatten, lowestPair, takeName } from "../state/transitions.ts";
import { quoted, shellWord, size } from "../text.ts";

/** More layers than this are merged before the guest's end is over: QEMU's speed, and its limits, suffer. */
const DEEPEST = 16;

/** How long an end may take to merge them, in milliseconds: libvirt, and with it the whole host, waits for it. */
const END_PATIENCE = 60_000;
/** Beside guests that are up a merge copies only so much, in bytes per second: they shall hardly notice it. */
const GENTLY = 32 * 1024 * 1024;
/** Who wrote so short a time ago is up, in milliseconds: systems write something every few seconds. */
const JUST_NOW = 30_000;
/** How long a merge waits for another one's lock while it holds the guest's, in milliseconds. */
const LOCK_PATIENCE = 1_000;

type Layered = Extract<State, { kind: "layered" }>;

type Pair = NonNullable<ReturnType<typeof lowestPair>>;

/** A disk whose lowest two layers are to become one. */
interface Job {
  readonly disk: Case;
  readonly state: Layered;
  /** A merge of these layers was begun before and not finished. */
  readonly again: boolean;
}

/**
 * Merges the disks of a guest, one after the other, lowest pair first, until each has only the commits that are kept.
 *
 * It is a matter of space, never of meaning: cut short at any point, the disk reads the same, and doing it again
 * finishes it. It makes way for a start, within milliseconds, and what fails is reported and stays for the next time.
 * Guest and folders are locked only to choose, since copying takes long; then the layers are the merge's own.
 *
 * @param watch takes how far the merge of a disk is, in percent
 * @returns how it went; what failed has been reported
 */
export async function mergeGuest(
  occasion: Occasion,
  watch?: Watch,
): Promise<"done" | "failed" | "made way"> {
  const { run, paths } = occasion;
  const failed = new Set<string>();
  while (true) {
    using locks = new DisposableStack();
    let job: Job | undefined;
    {
      using _guest = await run.locks.guest();
      job = await begin(occasion, { isWanted: isPending, failed }, locks);
    }
    if (job === undefined) return failed.size === 0 ? "done" : "failed";
    using interrupt = watchForInterrupt(paths.stop);
    try {
      const rate = rateFor(job.disk, occasion);
      await mergePair(job, occasion, { stop: interrupt.signal, rate }, watch);
    } catch (error) {
      if (interrupt.signal.aborted) {
        run.tell(job.disk.target, "the merge makes way, and goes on after the guest's next end");
        return "made way";
      }
      run.report(concerning(job.disk.target, error));
      failed.add(job.disk.names.image);
    }
  }
}

/**
 * Merges the disks of a guest that have more layers than QEMU takes well, before its end is over. The caller holds the
 * guest's lock.
 *
 * @param patience longest time for that, in milliseconds; what is left to merge is merged in the background
 */
export async function mergeExcess(occasion: Occasion, patience = END_PATIENCE): Promise<void> {
  const { run, paths } = occasion;
  if (!readNote(paths.note).some(({ image }) => layersOf(image, occasion) > DEEPEST)) return;
  const isWanted = (_: Case, state: State | undefined): state is Layered =>
    state?.kind === "layered" && state.layers.length > DEEPEST;
  const failed = new Set<string>();
  const late = AbortSignal.timeout(patience);
  while (true) {
    using locks = new DisposableStack();
    const job = await begin(occasion, { isWanted, failed }, locks);
    if (job === undefined) return;
    const { disk: { target, names }, state } = job;
    run.tell(
      target,
      `warning: ${state.layers.length} layers, at most ${DEEPEST} are left for later: merging now`,
    );
    using interrupt = watchForInterrupt(paths.stop);
    try {
      await mergePair(job, occasion, { stop: AbortSignal.any([late, interrupt.signal]) });
    } catch (error) {
      if (late.aborted) {
        run.tell(target, `the merge takes more than ${patience / 1000} s, and goes on in the background`);
        return;
      }
      if (interrupt.signal.aborted) return;
      run.report(concerning(target, error));
      failed.add(names.image);
    }
  }
}

function layersOf(image: string, { run }: Occasion): number {
  const state = parse(namesOf(image), run.listing(image));
  return "layers" in state ? state.layers.length : 0;
}

/** Which disks a merge is for. */
interface Choice {
  readonly isWanted: (disk: Case, state: State | undefined) => state is Layered;
  /** Images that have failed; takes those that can't be begun. */
  readonly failed: Set<string>;
}

/**
 * Chooses what is merged next, and notes it. The caller holds the guest's lock.
 *
 * @param locks takes the lock of the layers, which is held from here to the end of the merge
 * @returns undefined if nothing is left that could be merged
 */
async function begin(
  occasion: Occasion,
  { isWanted, failed }: Choice,
  locks: DisposableStack,
): Promise<Job | undefined> {
  const { run, paths } = occasion;
  using _folders = await run.locks.folders(readNote(paths.note).map(({ image }) => image));
  locks.use(await run.locks.merging({ patience: LOCK_PATIENCE }));
  // Whoever asked for this held a folder, and has got what it waited for, or is dead.
  if (!run.isDry) files.removeIfThere(paths.stop);
  for (const job of await jobsOf(occasion, isWanted)) {
    const { image } = job.disk.names;
    if (failed.has(image)) continue;
    if (await canBegin(job, occasion) && await run.tryTo(job.disk.target, () => [mark(job, occasion)])) {
      return job;
    }
    failed.add(image);
  }
  await updateNote(readNote(paths.note), occasion);
  return undefined;
}

/** Starts a merge as a process of its own, if one of these disks waits for it. */
export async function startMerge(disks: readonly Case[], occasion: Occasion): Promise<void> {
  const { run, domain } = occasion;
  const waits = disks.some((disk) => isPending(disk, layered(disk, occasion)));
  if (waits) await run.tryTo("", () => [{ kind: "background", domain }]);
}

function isPending({ keepCommits }: Case, state: State | undefined): state is Layered {
  return state?.kind === "layered" && state.layers.length - 1 > keepCommits;
}

/** A name that nothing needs goes. The caller holds the folder's lock. */
export async function flattenIdle(disk: Case, occasion: Occasion): Promise<void> {
  await occasion.run.tryTo(disk.target, () => {
    const state = layered(disk, occasion);
    return state ? flatten(disk.names, state) : [];
  });
}

async function jobsOf(occasion: Occasion, isWanted: Choice["isWanted"]): Promise<Job[]> {
  const { run, host, paths } = occasion;
  const config = await readConfig(paths.config, host.settings.configOwner);
  await finishOrders(occasion);
  // A merge that was cut short may have left a disk without its image, which would look as if nothing were to merge.
  const found = readOwnNote(paths.note).map((entry) => caseOfEntry(entry, config, []));
  for (const { whom, steps } of (await recoveryOf(found, occasion)).stages) {
    await run.tryTo(whom, () => steps);
  }
  const jobs: Job[] = [];
  for (const disk of found) {
    await flattenIdle(disk, occasion);
    const state = layered(disk, occasion);
    if (isWanted(disk, state)) jobs.push({ disk, state, again: isTorn(disk.entry!, state) });
  }
  return jobs;
}

/** Notes, before the first byte is copied, that the lower layer is torn from now on: a commit on it can't be undone. */
function mark({ disk, state }: Job, { paths }: Occasion) {
  const entries = readNote(paths.note).map((entry) =>
    entry.image === disk.names.image ? { ...entry, merging: state.layers[1]! } : entry
  );
  return { kind: "note", path: paths.note, entries } as const;
}

/** A merge goes at full speed, unless another guest that is up would notice. */
function rateFor({ target, names }: Case, { run, host, paths }: Occasion): number | undefined {
  const own = readNote(paths.note).map(({ image }) => image);
  const isUp = (path: string) => {
    const written = files.look(path)?.mtime?.getTime() ?? 0;
    return imageOf(path) === undefined && Math.abs(host.now().getTime() - written) < JUST_NOW;
  };
  const other = files.besides(names.image).find((path) => !own.includes(path) && isUp(path));
  if (other === undefined) return undefined;
  run.tell(target, `merging at ${size(GENTLY)}/s: ${quoted(other)} is being written to`);
  return GENTLY;
}

async function mergePair(
  { disk, state, again }: Job,
  occasion: Occasion,
  control: Control & { readonly stop: AbortSignal },
  watch?: Watch,
): Promise<void> {
  const { run, host } = occasion;
  const { target, names } = disk;
  const { lower, upper } = lowestPair(names, state)!;
  if (again) await outliveOrphan(lower, occasion, { patience: Infinity, signal: control.stop });
  const bytes = (files.look(upper)?.blocks ?? 0) * 512;
  const begun = host.now().getTime();
  await run.take(target, copyDown(names, state, disk.owner, again), {
    ...control,
    progress: reporter(occasion, target, watch),
  });
  const seconds = (host.now().getTime() - begun) / 1000;
  run.tell(
    target,
    `merged ${size(bytes)} in ${seconds.toFixed(1)} s, ${size(bytes / Math.max(seconds, 0.001))}/s`,
  );

  // Names change only under the folder's lock, after another look.
  using _folder = await run.locks.folders([names.image], control);
  const now = layered(disk, occasion);
  if (now?.layers.join() !== state.layers.join()) return;
  await run.take(target, takeName(names, state));
}

function layered({ names }: Case, { run }: Occasion): Layered | undefined {
  const state = parse(names, run.listing(names.image));
  return state.kind === "layered" ? state : undefined;
}

/** Asked before the lower layer is noted as torn: a merge that can't begin keeps no commit from being undone. */
async function canBegin({ disk, state, again }: Job, occasion: Occasion): Promise<boolean> {
  try {
    const pair = lowestPair(disk.names, state)!;
    if (!again) await checkPair(pair, occasion);
    await checkData(pair, occasion);
    await checkSpace(pair.upper, occasion);
    return true;
  } catch (error) {
    occasion.run.report(concerning(disk.target, error));
    return false;
  }
}

/** `qemu-img commit` writes to the file that is named in the upper layer, wherever that lies. */
async function checkPair({ lower, upper }: Pair, { host }: Occasion): Promise<void> {
  const look = await host.qemuImg.look(upper);
  if (look.kind === "busy") throw new Trouble(`${quoted(upper)} is open in another process`);
  const backing = look.kind === "free" ? look.backing : undefined;
  if (backing !== undefined && files.isOne(backing, lower)) return;
  throw new Trouble(
    `${quoted(upper)} stands on ${backing === undefined ? "no file" : quoted(backing)}, should be ${
      quoted(lower)
    }`,
    {
      hint: `if the layers were copied, moved or renamed together: qemu-img rebase -u -f qcow2 -F qcow2 -b ${
        shellWord(lower)
      } ${shellWord(upper)}`,
    },
  );
}

/** Data in another file would be written there, or read from there, as root: qemu-img takes its name from the layer. */
async function checkData({ lower, upper }: Pair, { host }: Occasion): Promise<void> {
  for (const layer of [lower, upper]) {
    const look = await host.qemuImg.look(layer);
    if (look.kind !== "free" || look.data === undefined) continue;
    throw new Trouble(`${quoted(layer)} has its data in ${quoted(look.data)}, and can't be merged`, {
      hint: `have it in one file: qemu-img convert -O qcow2 ${shellWord(layer)} NEW`,
    });
  }
}

/** The lower layer may grow by all that the upper one holds; half a merge helps nobody, and a full disk harms others. */
async function checkSpace(upper: string, { host, domain }: Occasion): Promise<void> {
  const needed = (files.look(upper)?.blocks ?? 0) * 512;
  const folder = folderOf(upper);
  const free = await host.freeBytes(folder);
  if (free >= needed) return;
  throw new Trouble(
    `to merge ${quoted(upper)} up to ${size(needed)} are needed in ${quoted(folder)}, ${size(free)} are free`,
    { hint: `make room for ${size(needed - free)} more, then: autorevert merge ${shellWord(domain)}` },
  );
}

/** Tells of the progress in the log, every 10 % or 30 s, and always to whoever watches. */
function reporter(
  { run, host, paths }: Occasion,
  target: string,
  watch: Watch | undefined,
): NonNullable<Control["progress"]> {
  let told = { percent: 0, at: host.now().getTime() };
  return (percent) => {
    watch?.(target, percent);
    files.jot(paths.merging, `${target} ${percent}`);
    const at = host.now().getTime();
    if (percent - told.percent < 10 && at - told.at < 30_000) return;
    told = { percent, at };
    run.tell(target, `merging, ${Math.floor(percent)} %`);
  };
}

/** Takes how far the merge of a disk is, in percent. */
export type Watch = (target: string, percent: number) => void;

/** How far the merge is that holds this lock, as it says there itself. */
export function progressOf(
  merging: string,
): { readonly target: string; readonly percent: number } | undefined {
  const [target, percent] = (files.read(merging) ?? "").split(" ");
  return percent === undefined ? undefined : { target: target!, percent: Number.parseFloat(percent) };
}
