/** The commands that change a guest's configuration, as an administrator could with an editor. */

import { listDisk, setFlag, unlistDisk } from "./config_edit.ts";
import { disksIn, domains, lookAt } from "./guest.ts";
import { checkTargets, type Errand } from "./guest_command.ts";
import { isBeingMerged, type Situation, type View } from "./inspect.ts";
import { concerning, Trouble } from "../errors.ts";
import { configOf } from "../hook/context.ts";
import { rowFor } from "../hook/decide.ts";
import { startMerge } from "../hook/merge.ts";
import { casesAtPrepare } from "../hook/observe.ts";
import { circumstances } from "../hook/prepare.ts";
import { refusal } from "../hook/refusal.ts";
import * as files from "../host/files.ts";
import { readOwnNote } from "../host/session_records.ts";
import { type Config, type ConfiguredDisk, parseConfig } from "../input/config.ts";
import { refuses } from "../state/decision_table.ts";
import { type Case, stateOf } from "../state/observed_disk.ts";
import type { Entry } from "../state/session_record.ts";
import { probe } from "../state/transitions.ts";
import { listed, nearest, quoted, shellWord } from "../text.ts";

/**
 * Lists disks in the guest's configuration, after a look whether they can be frozen.
 *
 * @throws {Trouble} if the domain or one of the disks isn't there, or a start would be refused; then nothing has changed
 */
export async function enable(errand: Errand): Promise<void> {
  const { run, domain, host, paths, targets, terminal } = errand;
  const { definedFolder, liveFolder } = host.settings;
  const live = disksIn(liveFolder, domain);
  const defined = disksIn(definedFolder, domain) ?? live?.map((disk) => ({ ...disk, unfit: undefined }));
  if (defined === undefined) throw noDomain(errand);
  checkTargets(targets, defined);

  using _guest = await run.locks.guest();
  const config = await configOf(errand);
  const old = config?.disks.map(({ target }) => target) ?? [];
  const added = [...new Set(targets)].filter((target) => !old.includes(target));
  const usual = { commit: false, keepCommits: 0, keepSession: false };
  const wanted = {
    disks: [...config?.disks ?? [], ...added.map((target) => ({ target, ...usual }))],
    changed: Infinity,
  };
  const gather = () => casesAtPrepare(domain, wanted, defined, readOwnNote(paths.note), host.settings);
  using _folders = await run.locks.folders(gather().map(({ names }) => names.image));
  const cases = gather();
  for (const disk of cases.filter(({ target }) => added.includes(target))) {
    await checkFreeze(disk, live !== undefined, errand);
  }
  const unprotected = cases.filter((disk) => live !== undefined && !isOwnSession(disk));
  const text = added.reduce(listDisk, files.read(paths.config));
  if (added.length > 0) await configure(text, `list ${added.join(", ")}`, errand);
  for (const target of targets) {
    const what = !added.includes(target)
      ? "is listed already"
      : unprotected.every((disk) => disk.target !== target)
      ? "every start begins clean from now on"
      : "every start begins clean from the next one on; until then the guest writes to the disk itself";
    terminal.print(`${domain} ${target}: ${what}`);
  }
}

/** A start would be refused, or the folder has no hard links: better known now. */
async function checkFreeze(disk: Case, isLive: boolean, errand: Errand): Promise<void> {
  const { run } = errand;
  const { names, target } = disk;
  const state = stateOf(disk);
  // A guest that runs has its own image open, and so has a merge.
  const isOpen = isLive && (state.kind !== "session" || isOwnSession(disk)) ||
    await isBeingMerged(disk, errand);
  if (!isOpen) {
    const { fate } = await rowFor(disk, errand, circumstances(disk, "fresh", undefined));
    if (refuses(fate)) throw concerning(target, refusal(fate, disk));
  }
  if (state.kind === "plain") await run.tryOut(target, probe(names, disk.listing));
}

/** The session began before the disk was taken out of the configuration. */
function isOwnSession(disk: Case): boolean {
  return stateOf(disk).kind === "session" && disk.entry !== undefined;
}

function noDomain({ domain, host }: Errand): Trouble {
  const known = domains(host.settings);
  const meant = nearest(domain, known);
  return new Trouble(`libvirt knows no domain ${quoted(domain)}; it knows ${listed(known)}`, {
    hint: meant === undefined
      ? `define it first: virsh define ${shellWord(domain)}.xml`
      : `did you mean ${quoted(meant)}?`,
  });
}

/** Sets the commit flags of disks, or clears them. */
export async function commit(errand: Errand): Promise<void> {
  const { run, domain, paths, options, terminal } = errand;
  const flag = !options.has("cancel");
  using _guest = await run.locks.guest();
  const { meant } = await listedDisks(errand);
  const changed = meant.filter(({ commit }) => commit !== flag);
  if (changed.length > 0) {
    const targets = changed.map(({ target }) => target);
    const text = targets.reduce((text, target) => setFlag(text, target, flag), files.read(paths.config)!);
    await configure(text, `${flag ? "set" : "clear"} "one-shot-commit" of ${targets.join(", ")}`, errand);
  }
  // As the next event will find them, with the flags as they are now.
  const views = await viewsOf(meant, errand);
  await noteWord(views, flag, errand);
  for (const view of views) {
    terminal.print(
      `${domain} ${view.target}: ${flag ? willKeep(view, errand) : willForget(view.situation)}`,
    );
  }
}

/** A session that the flag is said to be for is meant, whatever becomes of its guest and of the file before it ends. */
async function noteWord(views: readonly View[], flag: boolean, { run, paths }: Errand): Promise<void> {
  const images = views.filter((view) => !flag || hasWord(view)).map(({ disk }) => disk?.names.image);
  const before = readOwnNote(paths.note);
  const entries = before.map((entry): Entry => {
    if (!images.includes(entry.image)) return entry;
    const { flagged: _, ...rest } = entry;
    return flag ? { ...rest, flagged: true } : { ...rest, held: false };
  });
  if (JSON.stringify(entries) === JSON.stringify(before)) return;
  await run.take("", [{ kind: "note", path: paths.note, entries }]);
}

/** Whether the flag is said to be for the session that lies there. */
function hasWord({ situation, disk }: View): boolean {
  if (disk === undefined || stateOf(disk).kind !== "session") return false;
  return situation === "running" || situation === "saved" || situation === "resumes";
}

function willKeep(view: View, { domain }: Errand): string {
  const { situation, target } = view;
  switch (situation) {
    case "running":
      return "this session will be kept when it ends";
    case "saved":
      return hasWord(view)
        ? "the session of the saved guest will be kept when it ends"
        : "the next session will be kept when it ends";
    case "resumes":
      return "the session that died goes on at the next start, and will be kept when it ends";
    case "reverts":
      return "the next session will be kept when it ends; the one that died is set aside at the next start; " +
        `to keep it instead: autorevert recover --keep ${shellWord(domain)} ${target}`;
    case "unprotected":
    case "clean":
    case "cut short":
      return "the next session will be kept when it ends";
    case "attention":
      return `the next session will be kept when it ends; but something is wrong, see: autorevert check ${
        shellWord(domain)
      }`;
    default:
      return situation satisfies never;
  }
}

function willForget(situation: Situation): string {
  switch (situation) {
    case "running":
      return "this session will be forgotten when it ends";
    case "saved":
      return "the session of the saved guest will be forgotten when it ends";
    case "resumes":
    case "reverts":
      return "the session that died will be forgotten at the next start";
    default:
      return "the next session will be forgotten when it ends";
  }
}

/**
 * Takes disks out of the guest's configuration; with the last of them the file goes.
 *
 * @throws {Trouble} if a session that is there is to be committed: it would be lost
 */
export async function disable(errand: Errand): Promise<void> {
  const { run, domain, paths, terminal } = errand;
  using _guest = await run.locks.guest();
  const { config, meant } = await listedDisks(errand);
  const views = await viewsOf(meant, errand);
  for (const { target, situation } of views) {
    const { commit } = config.disks.find((disk) => disk.target === target)!;
    if (!commit || !["running", "saved", "resumes", "cut short"].includes(situation)) continue;
    throw concerning(
      target,
      new Trouble("its session is to be committed, and would be lost", {
        hint: `let it end first, or give it up: autorevert commit --cancel ${shellWord(domain)} ${target}`,
      }),
    );
  }
  const targets = views.map(({ target }) => target);
  const text = targets.length === config.disks.length
    ? undefined
    : targets.reduce(unlistDisk, files.read(paths.config)!);
  await configure(text, `take out ${targets.join(", ")}`, errand);
  for (const view of views) terminal.print(`${domain} ${view.target}: ${willBePlain(view)}`);
  await startMerge(views.flatMap(({ disk }) => disk ? [{ ...disk, keepCommits: 0 }] : []), errand);
}

function willBePlain({ situation, disk }: View): string {
  const state = disk && stateOf(disk);
  const also = [
    state && "ended" in state && state.ended && "the session that was set aside goes at its next start",
    state?.kind === "layered" && state.layers.length > 1 && "its commits are merged in the background",
  ].filter(Boolean);
  switch (situation) {
    case "running":
    case "saved":
      return "this session is still thrown away when it ends; then the disk is left alone";
    case "reverts":
    case "resumes":
      return "the session that died is thrown away at the next start; then the disk is left alone";
    default:
      return ["is left alone from now on", ...also].join("; ");
  }
}

/** The disks that are meant, out of those that the configuration lists. */
async function listedDisks(errand: Errand): Promise<{ config: Config; meant: readonly ConfiguredDisk[] }> {
  const { targets, paths } = errand;
  const config = await configOf(errand);
  if (config === undefined) {
    throw new Trouble(`there is no configuration ${quoted(paths.config)} any more`, {
      hint: `make it again: autorevert enable ${shellWord(errand.domain)} TARGET`,
    });
  }
  checkTargets(targets, config.disks);
  const meant = config.disks.filter(({ target }) => targets.length === 0 || targets.includes(target));
  return { config, meant };
}

/** How these disks are now. */
async function viewsOf(listed: readonly ConfiguredDisk[], errand: Errand): Promise<View[]> {
  const { disks } = await lookAt(errand);
  return listed.map(({ target }) => disks.find((disk) => disk.target === target)!);
}

/** Gives the guest's file another text, but never one that isn't valid. */
async function configure(text: string | undefined, change: string, { run, paths }: Errand): Promise<void> {
  if (text !== undefined) await parseConfig(paths.config, text);
  await run.take("", [{ kind: "configure", config: paths.config, text, change }]);
}
