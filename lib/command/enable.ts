import { Usage } from "./arguments.ts";
import { listDisk, setFirmware, setKey } from "./config_edit.ts";
import { configure, finishRecovery, warnOfBase } from "./configure.ts";
import { checkOwnFirmware, firmwareOption, firmwareSaid } from "./firmware.ts";
import { checkTargets, type GuestCommand, onSameDisks, optionWords } from "./guest_command.ts";
import { isBeingMerged, probeLinks } from "./inspect.ts";
import {
  checkSeatsFirmware,
  enableSeats,
  guestsWithFirmwareOf,
  leaveMasters,
  ofBoth,
  seatsMeant,
} from "./configure_seats.ts";
import { asUserError, UserError, withContext } from "../errors.ts";
import { configOf, readStart } from "../hook/context.ts";
import { planCheckedRecovery } from "../hook/checked_recovery.ts";
import { decisionFor, isSaved, whyRefused } from "../hook/decide.ts";
import { checkPublishable } from "../hook/image_path.ts";
import { imagesAtPrepare, observeAtPrepare, observeListed } from "../hook/observe.ts";
import { eventFacts } from "../hook/begin_sessions.ts";
import { disksIn, domains } from "../hook/definitions.ts";
import * as files from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import { readOwnRecords, readRecords } from "../host/session_records.ts";
import type { Config, ConfiguredDisk } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { isRefusal } from "../state/decision_table.ts";
import { bearsMark, isTorn, nameOf, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { holdPublished } from "../state/master_transitions.ts";
import { listed, nearest, quoted, recoverCommand, shellWord } from "../text.ts";

/** What `enable` sets besides: keys of a listed disk, by their names in the file. */
type Keeping = Readonly<
  Partial<{ "keep-commits": number; "keep-session": boolean; publish: "by hand" | "at once" }>
>;

/** What is known of the guest before anything changes. */
interface Before {
  readonly config: Config | undefined;
  /** The disks as libvirt has them defined. */
  readonly defined: readonly DomainDisk[];
  readonly isLive: boolean;
  /** What the command sets of it. */
  readonly firmware: boolean | undefined;
}

/**
 * Lists disks in the guest's configuration, after a look whether they can be managed, and sets what is kept of them.
 *
 * @throws {Usage} if no disk is named, and the options are for none that is listed; it names those that could be
 * @throws {UserError} if the domain or one of the disks isn't there, or a start would be refused; then nothing has changed
 */
export async function enable(context: GuestCommand): Promise<void> {
  const { run, domain, host, terminal } = context;
  const { definedFolder, liveFolder } = host.settings;
  const live = disksIn(liveFolder, domain);
  const defined = disksIn(definedFolder, domain) ?? live?.map((disk) => ({ ...disk, unfit: undefined }));
  if (defined === undefined) throw noDomain(context);
  checkTargets(context.targets, defined.filter(({ firmware }) => !firmware), context);
  const firmware = firmwareOption(defined, context);
  files.makeFolder(host.settings.configFolder);
  using _guest = await run.locks.guest();
  await finishRecovery(context);
  const config = await configOf(context);
  const seats = seatsMeant(context, config);
  if (seats !== undefined) {
    const hasFirmware = (firmware ?? config?.firmware) === true && defined.some(({ firmware }) => firmware);
    const { change, left, said, ...seated } = await enableSeats(config, hasFirmware, {
      ...context,
      targets: seats,
    });
    const text = firmware === undefined ? seated.text : setFirmware(seated.text, firmware);
    if (text !== files.read(context.paths.config)) await configure(text, change, context);
    await leaveMasters(left, context);
    for (const line of said) terminal.print(line);
  } else {
    if (firmware === true) await checkSeatsFirmware(config?.seats ?? [], defined, context);
    await enableDisks({ config, defined, isLive: live !== undefined, firmware }, context);
  }
  for (const line of firmwareSaid(firmware, config?.firmware, defined, domain)) terminal.print(line);
  if (firmware === false) await tellSeats(config, defined, context);
}

/** Says whose starts are refused from now on, since their firmware begins with this guest's. */
async function tellSeats(
  config: Config | undefined,
  defined: readonly DomainDisk[],
  context: GuestCommand,
): Promise<void> {
  const { domain, terminal } = context;
  const isOwn = ({ target }: DomainDisk) => config?.disks.some((disk) => disk.target === target);
  const images = defined.filter(isOwn).flatMap(({ file }) => file ?? []);
  const guests = await guestsWithFirmwareOf(images, context);
  if (guests.length === 0) return;
  terminal.print(
    `${domain}: starts of seats are refused from now on, since their firmware begins with this guest's: ${
      listed(guests)
    }; to leave theirs as it is, too: autorevert enable GUEST --no-firmware`,
  );
}

async function enableDisks(
  { config, defined, isLive, firmware }: Before,
  context: GuestCommand,
): Promise<void> {
  const { run, domain, host, paths, terminal } = context;
  checkNoSeat(config, context);
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
    changed: config?.changed ?? Infinity,
  };
  const images = imagesAtPrepare(domain, wanted, defined, readRecords(paths.note), host.settings);
  using _folders = await run.locks.folders(images);
  const found = observeAtPrepare(domain, wanted, defined, readOwnRecords(paths.note), host.settings);
  // As a start does with those of which no note tells.
  const { stages, disks } = await planCheckedRecovery(found, context);
  for (const { subject, steps } of stages) await run.take(subject, steps);
  for (const disk of disks.filter(({ target }) => added.includes(target))) {
    await checkStart(disk, isLive, context);
  }
  if (firmware === true && !isLive) {
    await checkOwnFirmware(disks.filter(({ firmware }) => firmware), [], context);
  }
  const meant = disks.filter(({ target }) => targets.includes(target));
  if (keeping.publish === "by hand") checkAllPublishable(meant);

  const kept = meant.filter((disk) => added.includes(disk.target) && isToBeKept(disk)).map(({ target }) =>
    target
  );
  const changes = [
    ...wanted.disks.filter(({ target }) => targets.includes(target)).flatMap((disk) =>
      changesOf(disk, keeping)
    ),
    ...kept.map((target) => ({ target, key: "one-shot-commit", value: true } as const)),
  ];
  const change = [
    ...added.length > 0 ? [`list ${added.join(", ")}`] : [],
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
    for (const { target, names } of meant) {
      await run.take(target, holdPublished(names, run.listing(names.image), keeping.publish === "by hand"));
    }
  }
  for (const disk of meant) {
    const isAdded = added.includes(disk.target);
    const isUnprotected = (isLive || isSaved(context)) && !isOwnSession(disk);
    const start = isUnprotected
      ? "every start begins clean from the next one on; until then the guest writes to the disk itself: shut it down " +
        "for that, without saving it, since after a restore the disk would go back to where it was in the midst of a run"
      : "every start begins clean from now on";
    const said = [
      ...isAdded ? [start] : [],
      ...kept.includes(disk.target) ? ["the session that lies there is kept, as was asked for before"] : [],
      ...afterKeeping(keeping, disk),
    ];
    if (said.length === 0 && isForAll) continue;
    terminal.print(`${domain} ${disk.target}: ${said.join("; ") || "is listed already"}`);
    if (isAdded) await warnOfBase(disk, context);
  }
}

/** @throws {UserError} if one of the disks that are named is a seat, or was one and is not done with that */
function checkNoSeat(
  config: Config | undefined,
  { domain, paths, targets, options }: GuestCommand,
): void {
  const isForAll = targets.length === 0 && ofBoth.some((option) => options.has(option));
  const seat = config?.seats.find(({ target }) => isForAll || targets.includes(target));
  if (seat !== undefined) {
    throw withContext(
      seat.target,
      new UserError("it is a seat, and the others that are meant are not", { hint: "name them one by one" }),
    );
  }
  const standing = readSeats(paths.seats).find(({ target }) => targets.includes(target));
  if (standing !== undefined) {
    throw withContext(
      standing.target,
      new UserError(`a session of it stands on ${quoted(standing.master)} still`, {
        hint: `end that first, or throw it away: ${recoverCommand("--discard", domain)}`,
      }),
    );
  }
}

function checkAllPublishable(disks: readonly ObservedDisk[]): void {
  for (const { target, names } of disks) {
    try {
      checkPublishable(names.image);
    } catch (error) {
      throw withContext(target, error);
    }
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
    ...commits !== undefined && waiting > commits
      ? ["older ones are merged after the next session"]
      : commits !== undefined && isTorn(state)
      ? ["the oldest is being merged, and can't be any more"]
      : [],
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
  context: GuestCommand,
): Usage {
  const { domain, host } = context;
  const reasons: string[] = [];
  const fit = defined.filter(({ target, firmware }) => {
    if (firmware || old.includes(target)) return false;
    try {
      observeListed(
        domain,
        { target, commit: false, keepCommits: 0, keepSession: false },
        [],
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
  const targets = fit.map(({ target }) => target);
  const command = [onSameDisks("enable", { domain, targets }), ...optionWords(context)].join(" ");
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
  const { target, record } = disk;
  const state = stateOf(disk);
  if (isOwnSession(disk) && record?.held && !isToBeKept(disk)) {
    throw withContext(
      target,
      new UserError("its session may be to be kept, and nobody can tell any more", {
        hint: `end it first: ${recoverCommand("--keep|--discard", context.domain, nameOf(disk))}`,
      }),
    );
  }
  // A guest that runs has its own image open, and so has a merge.
  const isOpen = isLive && (state.kind !== "session" || isOwnSession(disk)) ||
    await isBeingMerged(disk, context);
  if (!isOpen) {
    const { decision } = await decisionFor(
      disk,
      context,
      eventFacts(disk, { start: "fresh", isFlagMeant: false, before: readStart(context.paths) }, context),
    );
    if (isRefusal(decision)) {
      const error = await whyRefused(decision, disk, context);
      const hint = decision === "refuse: in use"
        ? `${error.hint}; ${onOtherHost(context.paths.config)}`
        : error.hint;
      throw withContext(target, new UserError(error.message, { ...error, hint }));
    }
  }
  if (state.kind === "plain") await probeLinks(disk, context);
}

/** The session began before the disk was taken out of the configuration. */
function isOwnSession(disk: ObservedDisk): boolean {
  return stateOf(disk).kind === "session" && disk.record !== undefined;
}

/** Whether the session of a disk that is listed anew is to be committed: its flag was taken out with its entry. */
function isToBeKept(disk: ObservedDisk): boolean {
  return isOwnSession(disk) && (disk.record?.flagged === true || bearsMark(disk));
}

/** How a guest that runs there has its disks managed here, too. */
function onOtherHost(config: string): string {
  return `if the guest runs on another host, copy its configuration from there: ${quoted(config)}`;
}

function noDomain({ domain, host, paths }: GuestCommand): UserError {
  const known = domains(host.settings);
  const meant = nearest(domain, known);
  return new UserError(`libvirt knows no domain ${quoted(domain)}; it knows ${listed(known)}`, {
    hint: meant === undefined
      ? `define it first: virsh define ${shellWord(domain)}.xml; ${onOtherHost(paths.config)}`
      : `did you mean ${quoted(meant)}?`,
  });
}
