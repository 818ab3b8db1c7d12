import type { EventContext } from "./context.ts";
import { markedCorrupt, openElsewhere } from "./image_errors.ts";
import { isMissing, missingError } from "./layer_names.ts";
import { explainMisplaced } from "./misplaced_image.ts";
import {
  becomingLayer,
  discarding,
  flagOfNext,
  hasGap,
  layers,
  rebasing,
  takingBack,
  topLayer,
  waysOut,
} from "./ways_out.ts";
import { standingOn, tellStanding } from "./standing.ts";
import { UserError, withContext } from "../errors.ts";
import * as files from "../host/files.ts";
import type { Refusal } from "../state/decision_table.ts";
import {
  bearsMark,
  isMadeForIt,
  isMaster,
  nameOf,
  type ObservedDisk,
  stateOf,
} from "../state/observed_disk.ts";
import { mergeMarks, topOf } from "../state/state.ts";
import { quoted, recoverCommand, shellWord } from "../text.ts";

/** The same as {@link refusal}, after a look for what has a better way out: a layer that is missing, or a mark that tells of corruption. */
export async function explain(
  kind: Refusal,
  disk: ObservedDisk,
  context: EventContext,
): Promise<UserError> {
  const { host, domain } = context;
  const { image } = disk.names;
  const lost = kind === "refuse: not ours" ? lostLayer(disk, context) : undefined;
  if (lost !== undefined) return lost;
  if (kind === "refuse: unreadable" || kind === "refuse: damaged") {
    const look = await host.qemuImg.info(image);
    const otherwise = kind === "refuse: damaged"
      ? `give it up: ${recoverCommand("--discard", domain, nameOf(disk))}`
      : takingBack(disk, context) ?? "restore it from a backup";
    if (look.kind === "damaged" && look.isMarked) return markedCorrupt(image, otherwise);
    const below = look.kind === "free" ? look.backing : undefined;
    if (isMissing(below, host.settings.imageFolders)) return missingError(image, below);
  }
  if (kind === "refuse: unreadable") {
    return new UserError(`${quoted(image)} is no readable qcow2 image`, {
      hint: `see what it is: qemu-img info ${shellWord(image)}; and mend it, or ${
        takingBack(disk, context) ?? "correct the domain with virsh edit"
      }`,
    });
  }
  if (kind !== "refuse: moved" && kind !== "refuse: replaced") return refusal(kind, disk, domain);
  const error = await explainMisplaced(kind, disk, context);
  return error ?? refusal(kind, disk, domain);
}

/** Why a start is refused, for one disk, with what an administrator can do about it. */
function refusal(
  kind: Exclude<Refusal, "refuse: unreadable">,
  disk: ObservedDisk,
  domain: string,
): UserError {
  if (kind === "refuse: in use") return openElsewhere(disk.names.image, "event");
  const [message, hint] = messageAndHint(kind, disk, domain);
  return new UserError(message, { hint });
}

function messageAndHint(
  kind: Exclude<Refusal, "refuse: in use" | "refuse: unreadable">,
  disk: ObservedDisk,
  domain: string,
): [message: string, hint: string] {
  const { names, target } = disk;
  const guest = shellWord(domain);
  const image = quoted(names.image);
  const [word, ended, committing, old] = [
    names.image,
    names.ended,
    names.committing,
    files.nameForOld(names.image),
  ]
    .map(shellWord);
  switch (kind) {
    case "refuse: missing":
      return [
        `there is no image ${image}`,
        "mount its folder, restore it, or correct the domain with virsh edit",
      ];
    case "refuse: not ours":
      return [
        `${image} stands on ${
          quoted(topLayer(disk))
        }, but no session of this guest was begun by this hook, unless on another host`,
        waysOut(disk, domain),
      ];
    case "refuse: replaced": {
      // Seats stand on the layers of a master.
      const making = isMaster(disk)
        ? `to make it the master's newest version, beside those that seats stand on: ${
          becomingLayer(disk, domain)
        }`
        : "to make it the disk, move the layers away: " +
          `mkdir ${old} && mv ${
            [...layers(disk), ...mergeMarks(names, disk.listing)].map(shellWord).join(" ")
          } ${old}${flagOfNext(disk, domain)}`;
      const waysOut = [
        ...disk.listing.has(names.mark) && !bearsMark(disk)
          ? [
            `to have the session back that is to be committed: ${files.movingAway(names.image)} && ln ${
              shellWord(names.mark)
            } ${word}`,
          ]
          : [],
        `to throw ${word} away: ${discarding(disk)}`,
        making,
      ].join("; ");
      const [what, hint] = isMadeForIt(disk)
        ? [
          "another one was copied over the session, or a blockpull has changed what it stands on",
          `see what that is: qemu-img info --backing-chain ${word}; ${waysOut}`,
        ]
        : ["another file was put in the session's place", waysOut];
      return [`${image} is no overlay on ${quoted(topLayer(disk))}: ${what}`, hint];
    }
    case "refuse: moved":
      return [
        `${image} stands on files with another path: its layers were copied, moved or renamed`,
        layers(disk).length === 0 || hasGap(disk)
          ? `bring back what it stands on: qemu-img info -U ${word} names it`
          : `if all of them lie here, tell each which one it stands on: ${rebasing(disk)}`,
      ];
    case "refuse: seats":
      return [
        `seats stand on ${image}, which is not configured any more`,
        `list it again: autorevert enable ${guest} ${
          shellWord(target)
        }; or end the seats, and take them out: ` +
        "autorevert disable",
      ];
    case "refuse: not configured":
      return [
        `${image} is a session that may be to be kept, and its disk is not configured any more`,
        `put the configuration back, or end the session: ${
          recoverCommand("--keep|--discard", domain, nameOf(disk))
        }`,
      ];
    case "refuse: another target":
      return [
        `${image} is a session that began as ${disk.record?.target}, and it may have been meant by the flag of that`,
        `end the session: ${
          recoverCommand("--keep|--discard", domain, nameOf(disk))
        }; or name it as before: virsh edit ${guest}`,
      ];
    case "refuse: damaged":
      return [
        `${image} is a session that was to be committed, but no readable qcow2 image any more`,
        `try to mend it: qemu-img check -r all ${word}; or give it up: ${
          recoverCommand("--discard", domain, nameOf(disk))
        }`,
      ];
    case "refuse: stray commit":
      return [
        `there is a decided commit ${quoted(names.committing)}, but no layer for it to stand on`,
        `bring its backing file back, or give it up: rm ${committing}`,
      ];
    case "refuse: nothing to resume":
      if (disk.listing.has(names.ended) && stateOf(disk).kind !== "plain") {
        return [
          `the session of ${image} that the guest was saved on is gone: ${
            quoted(names.ended)
          } is another one, ` +
          "or a commit that was undone, and its memory would not fit to the disk",
          "drop what was saved: virsh managedsave-remove, or start the guest without it" +
          (disk.record?.lost
            ? ""
            : `; if it was saved on just that all the same: autorevert keep ${guest}, and restore it then`),
        ];
      }
      return disk.listing.has(names.ended)
        ? [
          `${quoted(names.ended)} is the session the guest was saved on, but its layers are gone`,
          `bring its backing file back, or drop the saved guest and its session: rm ${ended}`,
        ]
        : [
          `the session of ${image} that the guest was saved on is gone: its memory would not fit to the disk`,
          "drop what was saved: virsh managedsave-remove, or start the guest without it",
        ];
    case "refuse: not its session":
      if (stateOf(disk).kind === "layered") {
        return [
          `a session is set aside beside ${image}, and nothing is noted here of the guest that was saved on it`,
          `restore it on the host where it was saved; or if it was this guest: autorevert keep ${guest} ${
            shellWord(nameOf(disk))
          }, and restore it then`,
        ];
      }
      return [
        `the session that the guest was saved on is set aside beside ${image}, and another one has begun since`,
        `see all that is there: ls -l ${word}*; end that one first: ` +
        recoverCommand("--keep|--discard", domain, nameOf(disk)),
      ];
    case "refuse: no session to migrate":
      return [
        `the guest migrates here without the session of ${image} that it runs on`,
        "migrate on shared storage, between hosts that both have this hook and the guest's configuration; a guest that was " +
        "started before its disk was listed there has none: shut it down and start it first; " +
        "a start just after an offline migration: try again",
      ];
    case "refuse: TPM to migrate":
      return [
        `libvirt removes ${image} where a migration fails, with what the guest would go back to`,
        "shut the guest down, and start it on the other host",
      ];
    default:
      return kind satisfies never;
  }
}

/** Why a master's session is not thrown away: it may be the layer that others stand on, of which only the image's name is left. */
export function lostLayer(disk: ObservedDisk, context: Pick<EventContext, "host">): UserError | undefined {
  const { names } = disk;
  const state = stateOf(disk);
  if (state.kind !== "session" || !isMaster(disk)) return undefined;
  const next = topOf(state.layers) + 1;
  const standing = standingOn(names, context).filter(({ layer }) => layer === next);
  if (standing.length === 0) return undefined;
  const [image, layer] = [names.image, names.layer(next)];
  return new UserError(
    `${quoted(layer)} is missing, on which sessions stand: ${tellStanding(standing)}; ${
      quoted(image)
    } may be that file`,
    { hint: `if it is, give it the name back: ln ${shellWord(image)} ${shellWord(layer)}` },
  );
}

/** Why nothing is done to a disk in whose place the domain names another file. */
export function otherFile(disk: ObservedDisk, domain: string): UserError {
  const { target, names: { image } } = disk;
  const isSession = stateOf(disk).kind === "session";
  return withContext(
    target,
    new UserError(`the domain names another file, which may stand on ${quoted(image)}`, {
      hint:
        `see what it names: virsh domblklist --inactive ${shellWord(domain)}; after an external snapshot, ` +
        `bring that back${
          isSession
            ? " into the session"
            // They would see it change.
            : isMaster(disk)
            ? ", once the sessions of its seats have ended, also those that are saved or set aside,"
            : ""
        } first, with virsh blockcommit, or while the guest is shut off: ` +
        `qemu-img commit -b ${shellWord(image)} SNAPSHOT; if nothing stands on it: ` +
        recoverCommand(isSession ? "--keep|--discard" : "--discard", domain, image),
    }),
  );
}

/** What becomes of a restore that came to nothing before its `prepare`, of which libvirt doesn't tell. */
export function announcedRestore({ domain, paths }: EventContext): UserError {
  return new UserError("a restore of the guest was announced, and the next start is taken for it", {
    hint:
      `if it has failed, start the guest as it is: virsh restore FILE; to start it without its memory, first rm ${
        shellWord(paths.starting)
      }; to see what libvirt says: virsh domstate --reason ${shellWord(domain)}`,
    healedBy: "event",
  });
}
