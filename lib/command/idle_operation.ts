/** An operation on idle disks: what it is, and why it is refused, with what an administrator can do about that. */

import { namedDisks } from "./guest.ts";
import { type GuestCommand, isLive, onSameDisks } from "./guest_command.ts";
import { disksAtNextStart } from "./noteless_disks.ts";
import { UserError, withContext } from "../errors.ts";
import { configOf } from "../hook/context.ts";
import { isSaved } from "../hook/decide.ts";
import { openElsewhere, rebase, rebaseReading } from "../hook/image_errors.ts";
import { isLowerLayer, layerNamed } from "../hook/layer_names.ts";
import { observeRecorded } from "../hook/observe.ts";
import { otherOwner } from "../hook/session_owner.ts";
import * as files from "../host/files.ts";
import { readRecordsInForce } from "../host/session_records.ts";
import { type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { type State, topOf } from "../state/state.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

export type Layered = Extract<State, { kind: "layered" }>;

/** A disk that a command can work on. */
export interface Idle {
  readonly disk: ObservedDisk;
  readonly state: Layered;
}

/** What a command does to idle disks, as far as it differs. */
export interface Operation {
  readonly verb: "undo" | "keep";
  readonly applies: (idle: Idle) => boolean;
  /** Those that are meant, of the disks that it applies to. */
  readonly among?: (idle: Idle[]) => Idle[];
  /** What a disk has that is listed and isn't meant, where none is named. */
  readonly others: string;
  /** What is said where it applies to no disk. */
  readonly nothing: string;
  /** The key of the configuration that makes it apply. */
  readonly key: "keep-commits" | "keep-session";
  /** Asked before something that can't be taken back for good. */
  readonly question: (idle: Idle, all: readonly Idle[]) => string | undefined;
  /** Throws where it can't be done to a disk that it applies to. */
  readonly check?: (idle: Idle) => void;
  readonly done: string;
}

/** Why nothing is done to a disk that goes by another target at its guest's next start. */
export function renamedDisk(
  { target, names: { image } }: ObservedDisk,
  verb: Operation["verb"],
  { domain }: GuestCommand,
): UserError {
  return withContext(
    target,
    new UserError(`the disk that was ${target}, ${quoted(image)}, has another target now`, {
      hint: verb === "keep"
        ? `name none: autorevert keep ${shellWord(domain)}; a start would throw away what is to be kept`
        : "start the guest and shut it down first: then its disks go by the targets that they have now",
    }),
  );
}

/** @throws {UserError} if the session that was set aside stands on another layer than the top: what lies above it would be lost */
export async function checkEnded(
  { disk: { target, names }, state }: Idle,
  { host }: GuestCommand,
): Promise<void> {
  const look = await host.qemuImg.info(names.ended);
  if (look.kind === "busy") throw withContext(target, openElsewhere(names.ended));
  const backing = look.kind === "free" ? look.backing : undefined;
  const top = names.layer(topOf(state.layers));
  // One that stands on nothing is a whole disk.
  const isWhole = look.kind === "free" && backing === undefined;
  if (isWhole || backing !== undefined && files.sameFile(backing, top)) return;
  throw withContext(
    target,
    new UserError(
      `the session that was set aside stands on ${
        backing === undefined ? "no readable file" : quoted(backing)
      }, not on the top layer ${quoted(top)}`,
      {
        hint: backing !== undefined && layerNamed(names, backing) === top
          ? `if the files were copied, moved or renamed together: ${rebase(names.ended, top)}`
          : isLowerLayer(backing, names, state.layers)
          ? `after a blockpull or a blockcommit, have it stand on that, and read as it does: ${
            rebaseReading(names.ended, top)
          }`
          : `see what stands on what: qemu-img info --backing-chain ${shellWord(names.ended)}`,
      },
    ),
  );
}

/** The error of an operation that was noted: it is done all the same. */
export function withOrder(
  verb: Operation["verb"] | "publish",
  error: UserError,
  context: GuestCommand,
): UserError {
  const back = verb === "undo" ? `; to have the commit back after that: ${onSameDisks("keep", context)}` : "";
  const stands = `the ${verb} is completed at the next start, end or merge, or now: ${
    recoverCommand("complete", context.domain)
  }${back}`;
  return new UserError(error.message, {
    cause: error,
    subject: error.subject,
    hint: [error.hint, stands].filter(Boolean).join("; "),
  });
}

/** Why it is done to no disk. */
export async function nothingFor(
  { verb, applies, nothing, key }: Operation,
  context: GuestCommand,
): Promise<UserError> {
  const config = await configOf(context);
  const disks = config?.disks ?? [];
  const isSet = disks.some(({ target, keepCommits, keepSession }) =>
    (context.targets.length === 0 || context.targets.includes(target)) &&
    (key === "keep-commits" ? keepCommits > 0 : keepSession)
  );
  const unlisted = observeRecorded(readRecordsInForce(context.paths.note), config, namedDisks(context))
    .filter((disk) => {
      const state = stateOf(disk);
      const isNamed = [...disks.map(({ target }) => target), ...context.targets].includes(disk.target);
      return !disk.firmware && !isNamed && state.kind === "layered" && applies({ disk, state });
    });
  const owner = await ownerElsewhere(applies, context);
  const hint = owner !== undefined
    ? `what lies beside ${quoted(owner.image)} is noted for another guest: autorevert ${verb} ${
      shellWord(owner.domain)
    }`
    : unlisted.length > 0
    ? `a disk that isn't configured any more has to be named: ${
      onSameDisks(verb, { ...context, targets: unlisted.map(({ target }) => target) })
    }`
    : isSet
    ? undefined
    : enableKeeping(key, context);
  return new UserError(nothing, { hint });
}

/** Another guest that has one of the images, and whose note tells of what lies there. */
async function ownerElsewhere(
  applies: Operation["applies"],
  context: GuestCommand,
): Promise<{ readonly domain: string; readonly image: string } | undefined> {
  for (const disk of await disksAtNextStart(context)) {
    const state = stateOf(disk);
    if (disk.record !== undefined || state.kind !== "layered" || !applies({ disk, state })) continue;
    const { image } = disk.names;
    const owner = otherOwner(image, context);
    if (owner !== undefined) return { domain: owner.domain, image };
  }
  return undefined;
}

/** What has the next commits, or sessions, of the disks that are meant kept. */
export function enableKeeping(key: Operation["key"], context: GuestCommand): string {
  const option = key === "keep-commits" ? "--keep-commits 1" : "--keep-session";
  return `to have the next ones kept: ${onSameDisks("enable", context)} ${option}`;
}

/** What ends the session that lies there, whatever state its guest is in. */
export function sessionsEnd(verb: Operation["verb"], context: GuestCommand): string {
  const guest = shellWord(context.domain);
  if (isLive(context)) {
    return verb === "keep"
      ? `to have it kept at its end: ${onSameDisks("commit", context)}`
      : `end it first: virsh shutdown ${guest}`;
  }
  if (isSaved(context)) {
    return `start the guest and end it, or drop the save: virsh managedsave-remove ${guest}`;
  }
  return `end it first: ${onSameDisks("recover --keep|--discard", context)}`;
}
