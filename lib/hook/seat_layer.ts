/** Which layer of its master a seat stands on. */

import type { EventContext } from "./context.ts";
import { guestOf } from "./definitions.ts";
import { masterGuests } from "./seat_masters.ts";
import { isLayerName } from "./seat_observe.ts";
import { layerStoodOn } from "./standing.ts";
import { UserError, withContext } from "../errors.ts";
import { markedCorrupt, rebase, rebaseToNothing } from "./image_errors.ts";
import * as files from "../host/files.ts";
import { folderOf, type Names, namesOf } from "../state/paths.ts";
import { beginsSeat, type DecidedSeat, type ObservedSeat, type StandsOn } from "../state/seat.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { parse, publishedOf, type State, topOf } from "../state/state.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** @throws {UserError} if the master is used as it is, without layers: by a guest that the hook doesn't manage, or none of qcow2 */
export async function checkPlainMaster(
  { target, master }: ObservedSeat,
  { run, host }: EventContext,
): Promise<void> {
  if (parse(master, run.listing(master.image)).kind !== "plain") return;
  const { kind } = await host.qemuImg.info(master.image);
  if (kind === "free") return;
  const word = shellWord(master.image);
  throw withContext(
    target,
    kind === "busy"
      ? new UserError(
        `the master ${quoted(master.image)} is being written to, not by a session of this hook`,
        {
          hint: `find out by whom: fuser -v ${word}; end that, and list the master for its own guest: ` +
            "autorevert enable DOMAIN TARGET",
          healedBy: "event",
        },
      )
      : new UserError(`the master ${quoted(master.image)} is no readable qcow2 image`, {
        hint: `see what it is: qemu-img info ${word}`,
      }),
  );
}

/** @throws {UserError} if there is no layer that the seat could stand on */
export function layerFor({ seat, decision }: DecidedSeat, context: EventContext): StandsOn | undefined {
  try {
    if (beginsSeat(decision)) return newLayer(seat, context);
    if (decision !== "keep" && decision !== "put back") return undefined;
    const on = decision === "keep" ? seat.standsOn : seat.endedStandsOn;
    if (on === undefined) return undefined;
    const layer = namesOf(on.master).layer(on.layer);
    if (files.lstat(layer) === undefined) {
      throw new UserError(
        `${quoted(layer)} is missing, which the session of ${quoted(seat.names.image)} stands on`,
        {
          hint: `bring it back; what stands on what: qemu-img info -U --backing-chain ${
            shellWord(seat.names.image)
          }`,
        },
      );
    }
    return on;
  } catch (error) {
    throw withContext(seat.target, error);
  }
}

/**
 * Disks of one guest are committed, undone, kept and published together. Where that was cut short, some are done and others are not.
 *
 * @throws {UserError} if sessions are about to begin with such masters
 */
export function checkOneVersion(masters: readonly Names[], context: EventContext): void {
  const images = new Set(masters.map(({ image }) => image));
  const isCommitting = (image: string) =>
    parse(namesOf(image), context.run.listing(image)).kind === "committing";
  // Of its guest this host may know nothing.
  const alone = images.size > 1
    ? [...images].find((image) => isCommitting(image) && masterGuests(namesOf(image), context).length === 0)
    : undefined;
  if (alone !== undefined) {
    throw new UserError(`a commit of the master ${quoted(alone)} was cut short on its host`, {
      hint: "complete it there: autorevert recover DOMAIN",
      healedBy: "event",
    });
  }
  const noted = [...images].flatMap((image) => masterGuests(namesOf(image), context));
  for (const guest of new Set(noted.map(({ domain }) => domain))) {
    const records = noted.filter(({ domain }) => domain === guest).flatMap(({ records }) => records);
    const isCut = ({ image, pending }: SessionRecord) => pending !== undefined || isCommitting(image);
    if (records.length < 2 || !records.some(isCut)) continue;
    throw new UserError(
      `a commit, undo, keep or publish of ${quoted(guest)}, whose disks are the masters, was cut short`,
      {
        hint: `complete it: ${recoverCommand("complete", guest)}`,
        healedBy: "event",
      },
    );
  }
}

/**
 * What a session that begins now stands on.
 *
 * @throws {UserError} if the master is gone or can't be one, or nobody would see that the session stands on it
 */
export function newLayer({ names, master, preview }: ObservedSeat, context: EventContext): StandsOn {
  const { run, host } = context;
  const folders = [...host.settings.imageFolders, folderOf(master.image)];
  if (files.isHidden(names.image, folders)) {
    throw new UserError(
      `${
        quoted(names.image)
      } lies in a hidden folder: its master would be merged with no look at what is set aside there`,
      {
        hint: `name an image in a folder without a dot before its name: virsh edit ${
          shellWord(context.domain)
        }`,
      },
    );
  }
  const listing = run.listing(master.image);
  const state = parse(master, listing);
  if (state.kind === "missing" || state.kind === "stray") {
    throw new UserError(`there is no master ${quoted(master.image)}`, {
      hint: 'restore it, or correct "master" in the configuration',
    });
  }
  const lowest = "layers" in state ? master.layer(state.layers[0]) : master.image;
  if (isLayerName(host.backingOf(lowest))) {
    throw new UserError(
      `the master ${quoted(master.image)} stands on a layer of another disk: it is, or was, a seat`,
      {
        hint: `name that disk as "master", or have this one stand on nothing: ${rebaseToNothing(lowest)}`,
      },
    );
  }
  if (!("layers" in state)) return { master: master.image, layer: 0 };
  const layer = chooseLayer(master, state, preview, context);
  if (host.isMarkedCorrupt(master.layer(layer))) {
    const guest = shellWord(guestOf(master.image, context) ?? "DOMAIN");
    throw markedCorrupt(
      master.layer(layer),
      `have seats begin with an earlier version: autorevert undo ${guest}, or autorevert publish --back ${guest}`,
    );
  }
  checkChain(master, state.layers.filter((number) => number <= layer), context);
  return { master: master.image, layer };
}

/** @throws {UserError} if one of these layers of the master stands on another disk's, which would change under the session */
function checkChain(master: Names, numbers: readonly number[], { host }: EventContext): void {
  const isMoved = (number: number) => {
    const backing = host.backingOf(master.layer(number));
    return backing !== undefined && layerStoodOn(master, backing) === undefined;
  };
  const upper = numbers.slice(1);
  if (!upper.some(isMoved)) return;
  throw new UserError(
    `the layers of the master ${
      quoted(master.image)
    } stand on files with another path: they were copied, moved or renamed`,
    {
      hint: `if all of them lie here, tell each which one it stands on: ${
        upper.map((number, index) => rebase(master.layer(number), master.layer(numbers[index]!))).join(" && ")
      }`,
    },
  );
}

function chooseLayer(
  master: Names,
  { layers }: Extract<State, { layers: unknown }>,
  preview: boolean,
  context: EventContext,
): number {
  const published = publishedOf(master, context.run.listing(master.image));
  if (published !== undefined && !preview) {
    if (layers.includes(published)) return published;
    throw new UserError(
      `the published version of ${quoted(master.image)} is gone: ${quoted(master.layer(published))}`,
      {
        hint: "publish the newest one: autorevert publish DOMAIN",
      },
    );
  }
  const records = masterGuests(master, context).flatMap(({ records }) => records);
  // It is decided that the newest commit goes, and will be done by the master's next event.
  const isUndone = records.some(({ pending }) => pending?.verb === "undo" && pending.top === topOf(layers));
  return isUndone ? layers.at(-2) ?? topOf(layers) : topOf(layers);
}
