/** What the commands do with seats, and with disks as masters. */

import { listSeat, setKey } from "./config_edit.ts";
import { domains } from "./guest.ts";
import { confirm, described, type GuestCommand, isLive } from "./guest_command.ts";
import { UserError, withContext } from "../errors.ts";
import { disksIn } from "../hook/definitions.ts";
import { isSaved } from "../hook/decide.ts";
import { startMerge } from "../hook/merge.ts";
import { planCheckedRecovery } from "../hook/decide.ts";
import { configOf, isBeingStarted } from "../hook/context.ts";
import { observeListed } from "../hook/observe.ts";
import { checkClaims } from "../hook/seat_claims.ts";
import { seatDecision } from "../hook/seat_decide.ts";
import { newLayer } from "../hook/seat_layer.ts";
import { releaseMasters, seatsOn, startMastersMerges } from "../hook/seat_masters.ts";
import { observeListedSeat } from "../hook/seat_observe.ts";
import { explainSeat } from "../hook/seat_refusal.ts";
import * as files from "../host/files.ts";
import { readSeats } from "../host/seat_records.ts";
import { readOtherRecords, readOwnRecords } from "../host/session_records.ts";
import { type Config, peekDisks } from "../input/config.ts";
import { namesOf } from "../state/paths.ts";
import { isTorn } from "../state/records.ts";
import { isSeatAwaited } from "../state/seat.ts";
import { isSeatRefusal } from "../state/seat_table.ts";
import { parse, publishedOf, topOf } from "../state/state.ts";
import { stateOf } from "../state/observed_disk.ts";
import { publish as publishSteps } from "../state/transitions.ts";
import { quoted, shellWord } from "../text.ts";

/** Whether `enable` is for seats: a master is named, or all that is named are seats already. */
export function isForSeats({ options, targets }: GuestCommand, config: Config | undefined): boolean {
  const seats = config?.seats.map(({ target }) => target) ?? [];
  return options.has("master") || targets.length > 0 && targets.every((target) => seats.includes(target));
}

/**
 * Lists disks as seats of a master, after a look whether they can be, or changes what is kept of listed ones. The caller holds the
 * guest's lock.
 *
 * @returns the text of the configuration, and what it changes
 * @throws {UserError} if a start would be refused
 */
export async function enableSeats(
  config: Config | undefined,
  context: GuestCommand,
): Promise<{ readonly text: string; readonly change: string; readonly said: readonly string[] }> {
  const { domain, host, paths, options, targets } = context;
  if (targets.length === 0) {
    throw new UserError("which disks are to be seats?", {
      hint: `autorevert enable ${shellWord(domain)} TARGET --master ${
        shellWord(options.get("master") ?? "IMAGE")
      }`,
    });
  }
  const managed = targets.find((target) => config?.disks.some((disk) => disk.target === target));
  if (managed !== undefined) {
    throw withContext(
      managed,
      new UserError("it is listed with sessions and commits of its own, and can't be a seat, too", {
        hint: `take it out first: autorevert disable ${shellWord(domain)} ${managed}`,
      }),
    );
  }
  const disks = disksIn(host.settings.liveFolder, domain) ?? disksIn(host.settings.definedFolder, domain) ??
    [];
  const defined = disksIn(host.settings.definedFolder, domain) ?? disks;
  let text = files.read(paths.config);
  const said: string[] = [];
  for (const target of targets) {
    const old = config?.seats.find((seat) => seat.target === target);
    const wanted = {
      target,
      master: options.get("master") ?? old!.master,
      preview: options.has("preview") || !options.has("no-preview") && (old?.preview ?? false),
      keepSession: options.has("keep-session") ||
        !options.has("no-keep-session") && (old?.keepSession ?? false),
    };
    try {
      const seat = observeListedSeat(wanted, defined, readSeats(paths.seats), host);
      const isRunning = isLive(context) && seat.record !== undefined;
      if (!isRunning) {
        const circumstances = {
          event: "prepare",
          start: "fresh",
          end: "none",
          saved: isSeatAwaited(seat),
        } as const;
        const { decision } = await seatDecision(seat, circumstances, context);
        if (isSeatRefusal(decision)) throw explainSeat(decision, seat, domain);
        checkClaims([{ seat, decision }], context);
      }
      newLayer(seat, context);
      checkMastersDisks(seat.master.image, context);
    } catch (error) {
      throw withContext(target, error);
    }
    if (old === undefined) text = listSeat(text, target, wanted.master);
    if (old !== undefined && wanted.master !== old.master) {
      text = setKey(text!, target, "master", wanted.master);
    }
    if (wanted.preview !== (old?.preview ?? false)) text = setKey(text!, target, "preview", wanted.preview);
    if (wanted.keepSession !== (old?.keepSession ?? false)) {
      text = setKey(text!, target, "keep-session", wanted.keepSession);
    }
    said.push(`${domain} ${target}: every start begins with ${quoted(wanted.master)} from the next one on`);
  }
  return { text: text!, change: `list ${targets.join(", ")} as seats`, said };
}

/** @throws {UserError} if the master is a seat's image by another guest's configuration */
function checkMastersDisks(master: string, { host }: GuestCommand): void {
  const { definedFolder, configFolder } = host.settings;
  for (const domain of domains(host.settings)) {
    const text = files.read(`${configFolder}/${domain}.json`) ?? "";
    if (!text.includes('"master"')) continue;
    const seats = peekDisks(text) ?? [];
    for (const disk of disksIn(definedFolder, domain) ?? []) {
      const isSeat = seats.some(({ target, master }) => target === disk.target && master !== undefined);
      if (!isSeat || disk.file === undefined || !files.sameFile(disk.file, master)) continue;
      throw new UserError(
        `${quoted(master)} is a seat of the guest ${quoted(domain)}, and can't be a master, too`,
      );
    }
  }
}

/** Says what becomes of seats that are taken out of the configuration. */
export function tellDisabledSeats(seats: Config["seats"], { paths, domain, terminal }: GuestCommand): void {
  const records = readSeats(paths.seats);
  for (const { target } of seats) {
    const session = records.some((record) => record.target === target)
      ? "this session is still thrown away when it ends; "
      : "";
    terminal.print(
      `${domain} ${target}: is no seat any more; ${session}it needs an image of its own before its next start`,
    );
  }
}

/** After a seat is gone from the configuration: its master may become an ordinary disk, and its merges may go on. */
export async function leaveMasters(masters: readonly string[], context: GuestCommand): Promise<void> {
  const names = masters.map((master) => namesOf(files.resolveIfThere(master) ?? master));
  await releaseMasters(names, context);
  await startMastersMerges(names, context);
}

/** @throws {UserError} if a disk that is to be left alone is a master: its guest would write into what seats stand on */
export function checkNoSeats(image: string, target: string, context: GuestCommand): void {
  const seats = seatsOn(namesOf(image), context);
  if (seats.length === 0) return;
  throw withContext(
    target,
    new UserError(`it is the master of seats: ${seats.join(", ")}`, {
      hint: "take those out first: autorevert disable GUEST TARGET",
    }),
  );
}

/** @throws {UserError} for a command on commits of a guest's seats: it says where those are made */
export async function refuseOnSeats(verb: string, context: GuestCommand): Promise<void> {
  const config = await configOf(context).catch(() => undefined);
  const seats = config?.seats ?? [];
  const meant = seats.find(({ target }) => context.targets.includes(target)) ??
    ((config?.disks.length ?? 0) === 0 && context.targets.length === 0 ? seats[0] : undefined);
  if (meant === undefined) return;
  const guest = guestOf(meant.master, context);
  throw withContext(
    meant.target,
    new UserError(
      `it is a seat of ${quoted(meant.master)}: what is kept of that is committed by its own guest`,
      {
        hint: `autorevert ${verb} ${guest === undefined ? "DOMAIN" : shellWord(guest)}`,
      },
    ),
  );
}

/** The guest that has an image as its own disk, by the domains' definitions. */
export function guestOf(image: string, { host }: Pick<GuestCommand, "host">): string | undefined {
  return domains(host.settings).find((domain) => {
    try {
      return (disksIn(host.settings.definedFolder, domain) ?? []).some(({ file }) =>
        file !== undefined && (file === image || files.sameFile(file, image))
      );
    } catch {
      return false;
    }
  });
}

/**
 * Has seats take the newest commit of the disks at their next start, or go back by one.
 *
 * One rename: after a crash seats take the old version or the new one.
 *
 * @throws {UserError} if it is not done by hand, or there is no such version
 */
export async function publish(context: GuestCommand): Promise<void> {
  const { run, domain, host, paths, targets, options, terminal } = context;
  using _guest = await run.locks.guest();
  const config = await configOf(context);
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
    disks.map((disk) => observeListed(disk, fit, readOwnRecords(paths.note), host.settings.imageFolders));
  {
    using _folders = await run.locks.folders(observe().map(({ names }) => names.image));
    const found = observe();
    for (const { subject, steps } of (await planCheckedRecovery(found, context)).stages) {
      await run.take(subject, steps);
    }
    for (const { target, names, byHand } of observe()) {
      if (!byHand) {
        throw withContext(
          target,
          new UserError("its commits are not published by hand: seats take each one at their next start", {
            hint: `to have it so: autorevert enable ${shellWord(domain)} ${target} --by-hand`,
          }),
        );
      }
      const listing = run.listing(names.image);
      const state = parse(names, listing);
      if (!("layers" in state)) {
        throw withContext(target, new UserError("there is no commit: seats begin with the disk as it is"));
      }
      const before = publishedOf(names, listing);
      const lower = state.layers.filter((number) => number < (before ?? topOf(state.layers))).at(-1);
      const number = options.has("back") ? lower : topOf(state.layers);
      if (number === undefined) {
        throw withContext(
          target,
          new UserError("there is no version before the published one: it was merged"),
        );
      }
      const records = [...readOwnRecords(paths.note), ...readOtherRecords(paths.note, [names.image])];
      if (
        isTorn(state, records.filter(({ image }) => image === names.image)) && number === state.layers[0]
      ) {
        throw withContext(target, new UserError("the version before the published one is being merged"));
      }
      const mark = listing.has(names.master) ? [] : [{ kind: "mark", path: names.master } as const];
      await run.take(target, [...mark, ...publishSteps(names, listing, number)]);
      terminal.print(
        `${domain} ${target}: published is the version ${described(names.layer(number))}; ` +
          "seats take it at their next start",
      );
    }
  }
  await startMerge(observe().filter((disk) => stateOf(disk).kind === "layered"), context);
}

/**
 * Throws the sessions of a guest's seats away, after asking, with what is set aside: of one that is shut off and not saved.
 *
 * @returns whether the guest has seats
 */
export async function recoverSeats(context: GuestCommand): Promise<boolean> {
  const { run, domain, host, paths, options, terminal, targets } = context;
  const config = await configOf(context).catch(() => undefined);
  const records = readSeats(paths.seats);
  const defined = disksIn(host.settings.definedFolder, domain) ?? [];
  const seats = [
    ...(config?.seats ?? []).flatMap((seat) => {
      try {
        const { target, names, master } = observeListedSeat(seat, defined, records, host);
        return [{ target, names, master: master.image }];
      } catch (error) {
        run.report(withContext(seat.target, error));
        return [];
      }
    }),
    ...records.map(({ target, image, master }) => ({ target, names: namesOf(image), master })),
  ].filter(({ names }, index, all) => all.findIndex((one) => one.names.image === names.image) === index)
    .filter(({ target }) => targets.length === 0 || targets.includes(target));
  if (seats.length === 0) return false;
  if (options.has("keep")) await refuseOnSeats("commit", { ...context, targets: [seats[0]!.target] });
  const there = seats.map((seat) => ({
    ...seat,
    files: [seat.names.image, seat.names.ended, seat.names.scratch].filter((path) => files.lstat(path)),
  })).filter(({ files, names }) => files.length > 0 || records.some(({ image }) => image === names.image));
  if (there.length === 0 || isLive(context) && !options.has("discard")) {
    terminal.print(`${domain}: nothing to recover`);
    return true;
  }
  if (!options.has("discard")) {
    for (const { target } of there) {
      terminal.print(
        `${domain} ${target}: a session lies there; to end it now: autorevert recover --discard ${
          shellWord(domain)
        } ${target}`,
      );
    }
    return true;
  }
  for (const { target, files } of there) {
    if (files.length > 0) {
      confirm(`${domain} ${target}: throw the session ${described(files[0]!)}, away?`, context);
    }
  }
  using _guest = await run.locks.guest();
  if (isBeingStarted(context)) {
    throw new UserError("the guest is being started", {
      hint: "wait until it is up, or has failed",
      healedBy: "event",
    });
  }
  if (isLive(context) || isSaved(context)) {
    throw new UserError(
      isLive(context)
        ? "the guest runs"
        : "libvirt holds a managed save of the guest, which expects its session",
      {
        hint: isLive(context)
          ? `end it first: virsh shutdown ${shellWord(domain)}`
          : `start it, or drop the save: virsh managedsave-remove ${shellWord(domain)}`,
      },
    );
  }
  for (const { target, names, master } of there) {
    if (records.some(({ image, left }) => left && image === names.image)) {
      throw withContext(
        target,
        new UserError("its guest has migrated, and runs on the session at another host, or ended there", {
          hint: "end it there, or start it here",
        }),
      );
    }
    const backing = host.backingOf(names.image);
    const size = files.lstat(names.image)?.size ?? 0;
    if (size > 0 && backing?.startsWith(`${master}.`) !== true) {
      throw withContext(target, new UserError(`${quoted(names.image)} is no session on ${quoted(master)}`));
    }
    if (size > 0 && (await host.qemuImg.info(names.image)).kind === "busy") {
      throw withContext(
        target,
        new UserError(`${quoted(names.image)} is open in another process`, {
          hint: `find it: fuser -v ${shellWord(names.image)}`,
        }),
      );
    }
  }
  run.locks.claim(there.map(({ names }) => names.image));
  for (const { target, names } of there) {
    const paths = [names.image, names.ended, names.scratch].filter((path) => files.lstat(path) !== undefined);
    await run.take(target, paths.map((path) => ({ kind: "remove", path })));
    terminal.print(`${domain} ${target}: the session is thrown away`);
  }
  const gone = there.map(({ names }) => names.image);
  const left = readSeats(paths.seats).filter(({ image }) => !gone.includes(image));
  await run.take("", [{ kind: "seats", path: paths.seats, records: left }]);
  await startMastersMerges(there.map(({ master }) => namesOf(master)), context);
  return true;
}
