import { finishRecovery } from "./configure.ts";
import { checkTargets, described, type GuestCommand } from "./guest_command.ts";
import { withOrder } from "./idle_operation.ts";
import { asUserError, UserError, withContext } from "../errors.ts";
import { configOf } from "../hook/context.ts";
import { disksIn } from "../hook/definitions.ts";
import { startMerge } from "../hook/merge.ts";
import { observeListed } from "../hook/observe.ts";
import { resumePending, withPublishing } from "../hook/pending_operation.ts";
import { readOtherRecords, readOwnRecords } from "../host/session_records.ts";
import { lastCommitted } from "../state/firmware_commits.ts";
import { isTorn, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { type Layers, publishedOf, topOf } from "../state/state.ts";
import { publishAsMaster } from "../state/master_transitions.ts";
import { shellWord } from "../text.ts";

/**
 * Has seats take the newest commit of the disks at their next start, or go back by one.
 *
 * After a crash seats take the old version of all disks, or the new one of all: those with several of the masters are refused until
 * the next event of the master's guest, or `recover`, has completed it.
 *
 * @throws {UserError} if it is not done by hand, or there is no such version
 */
export async function publish(context: GuestCommand): Promise<void> {
  const { run, domain, host, paths, targets } = context;
  using _guest = await run.locks.guest();
  const isDone = (await finishRecovery(context)).some(({ verb }) => verb === "publish");
  const config = await configOf(context);
  checkTargets(targets, config?.disks ?? [], context);
  const disks = (config?.disks ?? []).filter(({ target, byHand }) =>
    targets.length === 0 ? byHand : targets.includes(target)
  );
  if (disks.length === 0) {
    throw new UserError("no disk's commits are published by hand: seats take each one at their next start", {
      hint: `to have it so: autorevert enable ${shellWord(domain)} TARGET --by-hand`,
    });
  }
  const { definedFolder, liveFolder } = host.settings;
  const defined = disksIn(definedFolder, domain) ?? disksIn(liveFolder, domain) ?? [];
  const fit = defined.map((disk) => ({ ...disk, unfit: undefined }));
  const observe = () =>
    disks.map((disk) =>
      observeListed(domain, disk, disks, fit, readOwnRecords(paths.note), host.settings.imageFolders)
    );
  {
    using _folders = await run.locks.folders(observe().map(({ names }) => names.image));
    // Whoever types it again after it was cut short doesn't mean to go back once more.
    const versions = isDone && context.options.has("back")
      ? []
      : meantBy(observe(), context).map((disk) => [disk, versionMeant(disk, context)] as const);
    await publishAll(versions, context);
  }
  await startMerge(observe().filter((disk) => stateOf(disk).kind === "layered"), context);
}

/**
 * Where none is named, only those go back whose published version was committed last: older ones were there together with that. So was
 * a disk of which nothing was committed.
 */
function meantBy(
  disks: readonly ObservedDisk[],
  { options, targets }: GuestCommand,
): readonly ObservedDisk[] {
  if (!options.has("back") || targets.length > 0) return disks;
  const committed = disks.filter((disk) => (publishedNow(disk) ?? 0) > 0);
  const all = committed.length > 0 ? committed : disks;
  return lastCommitted(all.map((disk) => ({ disk })), publishedNow).map(({ disk }) => disk);
}

/** The layer that seats begin with now. */
function publishedNow(disk: ObservedDisk): number | undefined {
  const state = stateOf(disk);
  return publishedOf(disk.names, disk.listing) ?? ("layers" in state ? topOf(state.layers) : undefined);
}

/** Several are noted first, so that what is cut short between them is completed. */
async function publishAll(
  versions: readonly (readonly [disk: ObservedDisk, number: number])[],
  context: GuestCommand,
): Promise<void> {
  const { run, domain, paths, terminal } = context;
  if (versions.length > 1) {
    const numbers = new Map(versions.map(([{ names }, number]) => [names.image, number]));
    const records = withPublishing(readOwnRecords(paths.note), numbers);
    await run.take("", [{ kind: "note", path: paths.note, records }]);
    try {
      await resumePending(context);
    } catch (error) {
      throw withOrder("publish", asUserError(error), context);
    }
  }
  for (const [{ target, names }, number] of versions) {
    await run.take(target, publishAsMaster(names, run.listing(names.image), number));
    terminal.print(
      `${domain} ${target}: published is the version ${described(names.layer(number))}; ` +
        "seats take it at their next start",
    );
  }
}

/** @throws {UserError} if there is none */
function versionMeant(disk: ObservedDisk, context: GuestCommand): number {
  try {
    const layers = layersOf(disk, context);
    return context.options.has("back") ? versionBefore(disk, layers, context) : topOf(layers);
  } catch (error) {
    throw withContext(disk.target, error);
  }
}

function layersOf(disk: ObservedDisk, { domain }: GuestCommand): Layers {
  if (!disk.byHand) {
    throw new UserError("its commits are not published by hand: seats take each one at their next start", {
      hint: `to have it so: autorevert enable ${shellWord(domain)} ${disk.target} --by-hand`,
    });
  }
  const state = stateOf(disk);
  if ("layers" in state) return state.layers;
  throw new UserError("there is no commit: seats begin with the disk as it is");
}

/** @throws {UserError} if there is none, or it is being merged */
function versionBefore(disk: ObservedDisk, layers: Layers, { paths: { note } }: GuestCommand): number {
  const { names } = disk;
  const now = publishedNow(disk)!;
  const before = layers.filter((number) => number < now).at(-1);
  if (before === undefined) {
    throw new UserError("there is no version before the published one, or it was merged");
  }
  const records = [...readOwnRecords(note), ...readOtherRecords(note, [names.image])]
    .filter(({ image }) => image === names.image);
  if (before === layers[0] && isTorn(stateOf(disk), records)) {
    throw new UserError("the version before the published one is being merged");
  }
  return before;
}
