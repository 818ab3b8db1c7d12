/** The commands that change a guest's configuration, as an administrator could with an editor. */

import { Usage } from "./arguments.ts";
import { listDisk, setFirmware, setKey, unlistDisk } from "./config_edit.ts";
import { firmwareOption, firmwareSaid } from "./firmware.ts";
import { domains, inspectGuest, namedDisks } from "./guest.ts";
import { checkTargets, type GuestCommand } from "./guest_command.ts";
import { type InspectedDisk, isBeingMerged, probeLinks } from "./inspect.ts";
import { checkNoSeats, enableSeats, isForSeats, leaveMasters, tellDisabledSeats } from "./configure_seats.ts";
import { asUserError, messageLines, UserError, withContext } from "../errors.ts";
import { configOf } from "../hook/context.ts";
import { disksIn } from "../hook/definitions.ts";
import { releaseMasters } from "../hook/seat_masters.ts";
import { decisionFor, planCheckedRecovery, whyRefused } from "../hook/decide.ts";
import { startMerge } from "../hook/merge.ts";
import { checkPublishable } from "../hook/image_path.ts";
import { checkBase } from "../hook/merge_checks.ts";
import { imagesAtPrepare, observeAtPrepare, observeListed, observeRecorded } from "../hook/observe.ts";
import { eventFacts } from "../hook/prepare.ts";
import * as files from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import { readOwnRecords, readRecords } from "../host/session_records.ts";
import { type Config, type ConfiguredDisk, parseConfig } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { isRefusal } from "../state/decision_table.ts";
import { isMarked, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { formatRecords } from "../state/session_record.ts";
import { holdPublished } from "../state/transitions.ts";
import { listed, nearest, quoted, shellWord } from "../text.ts";

/** What `enable` sets besides: keys of a listed disk, by their names in the file. */
type Keeping = Readonly<
  Partial<{ "keep-commits": number; "keep-session": boolean; publish: "by hand" | "at once" }>
>;

/**
 * Lists disks in the guest's configuration, after a look whether they can be managed, and sets what is kept of them.
 *
 * @throws {Usage} if no disk is named, and the options are for none that is listed; it names those that could be
 * @throws {UserError} if the domain or one of the disks isn't there, or a start would be refused; then nothing has changed
 */
export async function enable(context: GuestCommand): Promise<void> {
  const { run, domain, host, paths, terminal } = context;
  const { definedFolder, liveFolder } = host.settings;
  const live = disksIn(liveFolder, domain);
  const defined = disksIn(definedFolder, domain) ?? live?.map((disk) => ({ ...disk, unfit: undefined }));
  if (defined === undefined) throw noDomain(context);
  checkTargets(context.targets, defined.filter(({ firmware }) => !firmware));

  const firmware = firmwareOption(defined, context);
  using _guest = await run.locks.guest();
  await finishRecovery(context);
  const config = await configOf(context);
  if (isForSeats(context, config)) {
    const { text: seats, change, said } = await enableSeats(config, context);
    const text = firmware === undefined ? seats : setFirmware(seats, firmware);
    if (text !== files.read(paths.config)) await configure(text, change, context);
    for (const line of [...said, ...firmwareSaid(firmware, config?.firmware, defined, domain)]) {
      terminal.print(line);
    }
    return;
  }
  const seat = config?.seats.find(({ target }) => context.targets.includes(target))?.target;
  if (seat !== undefined) {
    throw withContext(
      seat,
      new UserError("it is a seat, and the others that are named are not", { hint: "name them one by one" }),
    );
  }
  const standing = readSeats(paths.seats).find(({ target }) => context.targets.includes(target));
  if (standing !== undefined) {
    throw withContext(
      standing.target,
      new UserError(`a session of it stands on ${quoted(standing.master)} still`, {
        hint: `end that first, or throw it away: autorevert recover --discard ${shellWord(domain)}`,
      }),
    );
  }
  const old = config?.disks.map(({ target }) => target) ?? [];
  const keeping = keepingIn(context);
  const isForAll = context.targets.length === 0 &&
    (firmware !== undefined || Object.keys(keeping).length > 0);
  const targets = isForAll ? old : [...new Set(context.targets)];
  if (targets.length === 0 && (firmware === undefined || config === undefined)) {
    throw nothingNamed(defined, old, context);
  }
  const added = targets.filter((target) => !old.includes(target));
  const usual = { commit: false, keepCommits: 0, keepSession: false };
  const wanted = {
    seats: [],
    disks: [...config?.disks ?? [], ...added.map((target) => ({ target, ...usual }))],
    firmware: firmware ?? config?.firmware,
  };
  const before = readRecords(paths.note);
  using _folders = await run.locks.folders(imagesAtPrepare(wanted, defined, before, host.settings));
  const disks = observeAtPrepare(domain, wanted, defined, readOwnRecords(paths.note), host.settings);
  for (const disk of disks.filter(({ target }) => added.includes(target))) {
    await checkStart(disk, live !== undefined, context);
  }
  if (keeping.publish === "by hand") {
    for (const { target, names } of disks.filter(({ target }) => targets.includes(target))) {
      try {
        checkPublishable(names.image);
      } catch (error) {
        throw withContext(target, error);
      }
    }
  }
  const unprotected = disks.filter((disk) => live !== undefined && !isOwnSession(disk));
  const changes = wanted.disks.filter(({ target }) => targets.includes(target)).flatMap((disk) =>
    changesOf(disk, keeping)
  );
  const listing = added.length > 0 ? [`list ${added.join(", ")}`] : [];
  const change = [
    ...listing,
    ...changes.map(({ target, key, value }) => `set "${key}" of ${target} to ${JSON.stringify(value)}`),
    ...wanted.firmware === config?.firmware ? [] : [`set "firmware" to ${firmware}`],
  ];
  const listedText = changes.reduce(
    (text, { target, key, value }) => setKey(text!, target, key, value),
    added.reduce(listDisk, files.read(paths.config)),
  );
  const text = firmware === undefined ? listedText : setFirmware(listedText!, firmware);
  if (change.length > 0) await configure(text, change.join(", "), context);
  if (keeping.publish !== undefined) {
    for (const { target, names } of disks.filter(({ target }) => targets.includes(target))) {
      await run.take(target, holdPublished(names, run.listing(names.image), keeping.publish === "by hand"));
    }
  }
  for (const target of targets) {
    const what = !added.includes(target)
      ? []
      : unprotected.every((disk) => disk.target !== target)
      ? ["every start begins clean from now on"]
      : ["every start begins clean from the next one on; until then the guest writes to the disk itself"];
    const disk = disks.find((disk) => disk.target === target)!;
    const said = [...what, ...afterKeeping(keeping, disk)];
    if (said.length === 0 && isForAll) continue;
    terminal.print(`${domain} ${target}: ${said.join("; ") || "is listed already"}`);
    if (added.includes(target)) await warnOfBase(disk, context);
  }
  for (const line of firmwareSaid(firmware, wanted.firmware, defined, domain)) terminal.print(line);
}

/** A disk with which no commit can be merged goes back well, but is nothing to commit to. */
export async function warnOfBase(disk: ObservedDisk, { host, domain }: GuestCommand): Promise<void> {
  try {
    await checkBase(disk, { host });
  } catch (error) {
    const [first, ...rest] = messageLines(withContext(domain, withContext(disk.target, error)));
    for (const line of [first!.replace(/^error/, "warning"), ...rest]) host.say(line);
  }
}

function keepingIn({ options }: GuestCommand): Keeping {
  const commits = options.get("keep-commits");
  return {
    ...commits !== undefined && { "keep-commits": Number(commits) },
    ...options.has("keep-session") && { "keep-session": true },
    ...options.has("no-keep-session") && { "keep-session": false },
    ...options.has("by-hand") && { publish: "by hand" },
    ...options.has("no-by-hand") && { publish: "at once" },
  };
}

/** The keys of a disk that get another value. */
function changesOf({ target, keepCommits, keepSession, byHand }: ConfiguredDisk, keeping: Keeping) {
  const { publish } = keeping;
  const { "keep-commits": commits = keepCommits, "keep-session": session = keepSession } = keeping;
  return [
    ...commits === keepCommits ? [] : [{ target, key: "keep-commits", value: commits } as const],
    ...session === keepSession ? [] : [{ target, key: "keep-session", value: session } as const],
    ...publish === undefined || (publish === "by hand") === (byHand ?? false)
      ? []
      : [{ target, key: "publish", value: publish } as const],
  ];
}

/** What becomes of commits and sessions from now on. */
function afterKeeping(keeping: Keeping, disk: ObservedDisk): string[] {
  const { "keep-commits": commits, "keep-session": session, publish } = keeping;
  const state = stateOf(disk);
  const waiting = "layers" in state ? state.layers.length - 1 : 0;
  return [
    ...commits === undefined ? [] : [
      commits === 0
        ? "no commit can be undone"
        : commits === 1
        ? "the newest commit can be undone"
        : `the ${commits} newest commits can be undone`,
    ],
    ...commits !== undefined && waiting > commits ? ["older ones are merged after the next session"] : [],
    ...session === undefined ? [] : [
      session ? "an ended session is set aside until the guest is up again" : "an ended session is forgotten",
    ],
    ...publish === undefined ? [] : [
      publish === "by hand"
        ? "seats take a commit when it is published: autorevert publish"
        : "seats take each commit at their next start",
    ],
  ];
}

/** Names the disks that could be listed; the next command to type lists them all. */
function nothingNamed(
  defined: readonly DomainDisk[],
  old: readonly string[],
  { domain, host }: GuestCommand,
): Usage {
  const reasons: string[] = [];
  const fit = defined.filter(({ target, firmware }) => {
    if (firmware || old.includes(target)) return false;
    try {
      observeListed(
        { target, commit: false, keepCommits: 0, keepSession: false },
        defined,
        [],
        host.settings.imageFolders,
      );
      return true;
    } catch (error) {
      reasons.push(`${quoted(target)} can't be managed: ${asUserError(error).message}`);
      return false;
    }
  });
  const command = ["autorevert", "enable", domain, ...fit.map(({ target }) => target)].map(shellWord).join(
    " ",
  );
  const could = fit.length > 0
    ? `which disks? There ${fit.length === 1 ? "is" : "are"} ${
      fit.map(({ target, file }) => `${target} (${quoted(file)})`).join(", ")
    }`
    : "there is no other disk that could go back at every start";
  return new Usage(
    [could, ...old.map((target) => `${quoted(target)} is listed already`), ...reasons].join("; "),
    "enable",
    fit.length > 0 ? command : undefined,
  );
}

/** A start would be refused, or the folder has no hard links: better known now. */
async function checkStart(disk: ObservedDisk, isLive: boolean, context: GuestCommand): Promise<void> {
  const { target } = disk;
  const state = stateOf(disk);
  // A guest that runs has its own image open, and so has a merge.
  const isOpen = isLive && (state.kind !== "session" || isOwnSession(disk)) ||
    await isBeingMerged(disk, context);
  if (!isOpen) {
    const { decision } = await decisionFor(disk, context, eventFacts(disk, "fresh", false));
    if (isRefusal(decision)) throw withContext(target, await whyRefused(decision, disk, context));
  }
  if (state.kind === "plain") await probeLinks(disk, context);
}

/** The session began before the disk was taken out of the configuration. */
function isOwnSession(disk: ObservedDisk): boolean {
  return stateOf(disk).kind === "session" && disk.record !== undefined;
}

function noDomain({ domain, host }: GuestCommand): UserError {
  const known = domains(host.settings);
  const meant = nearest(domain, known);
  return new UserError(`libvirt knows no domain ${quoted(domain)}; it knows ${listed(known)}`, {
    hint: meant === undefined
      ? `define it first: virsh define ${shellWord(domain)}.xml`
      : `did you mean ${quoted(meant)}?`,
  });
}

/** A commit that was cut short clears its flag with the next event, which tells it by the time of the file: done before any change. */
export async function finishRecovery(context: GuestCommand): Promise<void> {
  const { run, paths } = context;
  using _folders = await run.locks.folders(readRecords(paths.note).map(({ image }) => image));
  const config = await configOf(context);
  const disks = observeRecorded(readOwnRecords(paths.note), config, namedDisks(context));
  for (const { subject, steps } of (await planCheckedRecovery(disks, context)).stages) {
    await run.take(subject, steps);
  }
}

/**
 * Takes disks out of the guest's configuration; with the last of them the file goes.
 *
 * @throws {UserError} if a session that is there is to be committed: it would be lost
 */
export async function disable(context: GuestCommand): Promise<void> {
  const { run, domain, paths, terminal } = context;
  using _guest = await run.locks.guest();
  await finishRecovery(context);
  const { config, meant } = await listedDisks(context);
  const seats = config.seats.filter(({ target }) =>
    context.targets.length === 0 || context.targets.includes(target)
  );
  const views = await inspectListed(meant, context);
  for (const { target, disk } of views) {
    if (disk !== undefined) checkNoSeats(disk.names.image, target, context);
  }
  for (const { target, condition, disk } of views) {
    const { commit } = config.disks.find((disk) => disk.target === target)!;
    const isMeant = commit || disk !== undefined && (isMarked(disk) || disk.record?.held);
    const isThere = disk === undefined || ["session", "committing"].includes(stateOf(disk).kind);
    if (!isMeant || !isThere || condition === "reverts" || condition === "unprotected") continue;
    throw withContext(
      target,
      new UserError("its session is to be committed, and would be lost", {
        hint: `let it end first, or give it up: autorevert commit --cancel ${shellWord(domain)} ${target}`,
      }),
    );
  }
  const targets = views.map(({ target }) => target);
  const out = [...targets, ...seats.map(({ target }) => target)];
  const text = out.length === config.disks.length + config.seats.length
    ? undefined
    : out.reduce(unlistDisk, files.read(paths.config)!);
  await configure(text, `take out ${out.join(", ")}`, context);
  tellDisabledSeats(seats, context);
  await releaseMasters(views.flatMap(({ disk }) => disk?.names ?? []), context, { ownGuest: true });
  await leaveMasters(seats.map(({ master }) => master), context);
  for (const view of views) terminal.print(`${domain} ${view.target}: ${afterDisable(view)}`);
  await startMerge(views.flatMap(({ disk }) => disk ? [{ ...disk, keepCommits: 0 }] : []), context);
}

function afterDisable({ condition, disk }: InspectedDisk): string {
  const state = disk && stateOf(disk);
  const also = [
    state && "ended" in state && state.ended && "the session that was set aside goes at its next start",
    state?.kind === "layered" && state.layers.length > 1 && "its commits are merged in the background",
  ].filter(Boolean);
  switch (condition) {
    case "running":
    case "saved":
      return "this session is still thrown away when it ends; then the disk is left alone";
    case "awaited":
      return "its session, on which a guest was saved, is thrown away at the next start; then the disk is left alone";
    case "reverts":
    case "resumes":
      return "the session that died is thrown away at the next start; then the disk is left alone";
    default:
      return ["is left alone from now on", ...also].join("; ");
  }
}

/** The disks that are meant, out of those that the configuration lists. */
export async function listedDisks(
  context: GuestCommand,
): Promise<{ config: Config; meant: readonly ConfiguredDisk[] }> {
  const { targets, paths } = context;
  const config = await configOf(context);
  if (config === undefined) {
    throw new UserError(`there is no configuration ${quoted(paths.config)} any more`, {
      hint: `make it again: autorevert enable ${shellWord(context.domain)} TARGET`,
    });
  }
  checkTargets(targets, [...config.disks, ...config.seats]);
  const meant = config.disks.filter(({ target }) => targets.length === 0 || targets.includes(target));
  return { config, meant };
}

/** How these disks are now. */
export async function inspectListed(
  listed: readonly ConfiguredDisk[],
  context: GuestCommand,
): Promise<InspectedDisk[]> {
  const { disks, problem } = await inspectGuest(context);
  const unknown = { disk: undefined, condition: "attention", problem } as const;
  return listed.map(({ target }) => disks.find((disk) => disk.target === target) ?? { target, ...unknown });
}

/** A flag that is older than a session's last write is meant for that session: the file's time says so only until it is changed. */
async function holdResumed(context: GuestCommand): Promise<void> {
  const { run, paths } = context;
  const resumed = (await inspectGuest(context)).disks
    .flatMap(({ condition, disk }) => condition === "resumes" && disk ? disk.names.image : []);
  const before = readOwnRecords(paths.note);
  const records = before.map((record) => resumed.includes(record.image) ? { ...record, held: true } : record);
  if (formatRecords(records) === formatRecords(before)) return;
  await run.take("", [{ kind: "note", path: paths.note, records }]);
}

/** Gives the guest's file another text, but never one that isn't valid. */
export async function configure(
  text: string | undefined,
  change: string,
  context: GuestCommand,
): Promise<void> {
  const { run, paths } = context;
  if (text !== undefined) await parseConfig(paths.config, text);
  await holdResumed(context);
  await run.take("", [{ kind: "configure", config: paths.config, text, change }]);
}
