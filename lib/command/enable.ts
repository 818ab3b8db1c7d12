import { listDisk, setFirmware, setKey } from "./config_edit.ts";
import { hookFindings } from "./check_host.ts";
import { masterFindings } from "./check_seats.ts";
import { configure, finishRecovery, warnOfBase } from "./configure.ts";
import {
  checkSeatsFirmware,
  enableSeats,
  guestsWithFirmwareOf,
  leaveMasters,
  seatsMeant,
} from "./configure_seats.ts";
import {
  checkAllPublishable,
  checkNoSeat,
  checkStart,
  isOwnSession,
  isToBeKept,
  noDomain,
  nothingNamed,
} from "./enable_checks.ts";
import { checkOwnFirmware, firmwareOption, firmwareSaid } from "./firmware.ts";
import { checkTargets, type GuestCommand } from "./guest_command.ts";
import { afterKeeping, changesOf, keepingIn } from "./keeping.ts";
import { planCheckedRecovery } from "../hook/checked_recovery.ts";
import { configOf } from "../hook/context.ts";
import { isSaved } from "../hook/decide.ts";
import { disksIn } from "../hook/definitions.ts";
import { imagesAtPrepare, observeAtPrepare } from "../hook/observe.ts";
import * as files from "../host/files.ts";
import { readOwnRecords, readRecords } from "../host/session_records.ts";
import type { Config } from "../input/config.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { holdPublished } from "../state/master_transitions.ts";
import { listed } from "../text.ts";

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
    await tellMasters(seats, context);
  } else {
    if (firmware === true) await checkSeatsFirmware(config?.seats ?? [], defined, context);
    await enableDisks({ config, defined, isLive: live !== undefined, firmware }, context);
  }
  for (const line of firmwareSaid(firmware, config?.firmware, defined, domain)) terminal.print(line);
  if (firmware === false) await tellSeats(config, defined, context);
  await warnOfHook(context);
}

/** What was just said comes true only where libvirt calls the hook. */
async function warnOfHook({ host }: GuestCommand): Promise<void> {
  for (const { message, hint } of await hookFindings(host)) {
    host.say(`warning: ${message}`);
    if (hint !== null) host.say(`hint: ${hint}`);
  }
}

/** What is wrong with the masters of these seats. */
async function tellMasters(targets: readonly string[], context: GuestCommand): Promise<void> {
  const { domain, terminal } = context;
  const seats = (await configOf(context))?.seats.filter(({ target }) => targets.includes(target)) ?? [];
  for (const { message, hint, target } of masterFindings([{ domain, seats }], context)) {
    terminal.print(`${domain} ${target}: ${[message, hint].filter(Boolean).join("; ")}`);
  }
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
    await checkOwnFirmware(disks.filter(({ firmware }) => firmware), [], [], context);
  }
  const meant = disks.filter(({ target, listed }) => listed && targets.includes(target));
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
