import { realPath } from "./check_guest.ts";
import { type Finding, finding } from "./finding.ts";
import type { Guest } from "./guest.ts";
import { UserError } from "../errors.ts";
import type { EventContext } from "../hook/context.ts";
import { isSaved } from "../hook/decide.ts";
import { disksIn, domains, guestOf, readableDisksIn } from "../hook/definitions.ts";
import { isPending } from "../hook/merge_choice.ts";
import { inTheWay, mergeBlock, seatName, type Standing, standingOn } from "../hook/standing.ts";
import * as files from "../host/files.ts";
import { peekDisks } from "../input/config.ts";
import { folderOf, imageOf } from "../state/paths.ts";
import { stateOf } from "../state/observed_disk.ts";
import { listed, quoted, recoverCommand, shellWord } from "../text.ts";

/** What is wrong with a guest's seats, and what keeps the commits of its disks from being merged. */
export function seatFindings({ domain, seats, disks }: Guest, context: EventContext): Finding[] {
  const found: Finding[] = [];
  for (const { target, problem, seat, master } of seats) {
    if (problem !== undefined) found.push(finding("error", problem, domain, target));
    const image = seat?.names.image ?? master;
    if (files.lstat(folderOf(image))?.dev === files.lstat(folderOf(master))?.dev) continue;
    const note = new UserError(
      `${quoted(image)} lies on another file system than its master ${quoted(master)}`,
      {
        hint:
          "if other hosts have the master, too, keep the seat where they see it: otherwise they merge what it stands on",
      },
    );
    found.push(finding("note", note, domain, target));
  }
  for (const { target, disk } of disks) {
    if (disk === undefined) continue;
    const state = stateOf(disk);
    if (!isPending(disk, state)) continue;
    const block = mergeBlock(disk.names, state, context);
    if (block === undefined) continue;
    const waiting = state.layers.length - 1 - disk.keepCommits;
    const what = `${waiting} commit${waiting === 1 ? " waits" : "s wait"} to be merged`;
    const note = new UserError(`${what}: ${block.message}`, {
      hint: [block.hint, ...endsOfIdle(inTheWay(standingOn(disk.names, context), state), context)]
        .filter((way) => way !== undefined).join("; ") ||
        "nothing is wrong: the merge goes on by itself when the last of them has ended",
    });
    found.push(finding("note", note, domain, target));
  }
  return found;
}

/** How sessions end that are in the way and that no guest runs on: set aside, or saved. They wait for what may never come. */
export function endsOfIdle(blocking: readonly Standing[], context: EventContext): string[] {
  const seats = imagesOfSeats(context);
  const aside = blocking.filter(({ how }) => how === "set aside").map(({ file }) => file);
  const forsaken = aside.filter((file) => !seats.has(imageOf(file)!));
  const seatsOf = (paths: readonly string[]) => paths.flatMap((file) => seats.get(imageOf(file)!) ?? []);
  const isBeside = (file: string) => (files.lstat(imageOf(file)!)?.size ?? 0) > 0;
  const waiting = seatsOf(aside.filter((file) => !isBeside(file)));
  const beside = seatsOf(aside.filter(isBeside));
  const guestsOf = (seats: readonly Seat[]) => listed(new Set(seats.map(({ domain }) => domain).sort()));
  const saved = blocking.flatMap(({ domain, target, file, how }) =>
    how === "saved" ? [{ domain: domain!, target: target!, file }] : []
  );
  const isHeld = (domain: string) => isSaved({ ...context, domain });
  return [
    ...waiting.length > 0
      ? [
        `what is set aside goes with the next start of ${
          guestsOf(waiting)
        }; to have it gone now, unless a guest was saved on it: ${discardingAll(waiting)}`,
      ]
      : [],
    // What would throw that away now ends the session, too.
    ...beside.length > 0
      ? [
        `what is set aside beside a session goes once that has ended and the guest has been started again: ${
          guestsOf(beside)
        }`,
      ]
      : [],
    ...[...new Set(saved.map(({ domain }) => domain).filter(isHeld))].map((domain) =>
      `${quoted(domain)} comes back with: virsh start ${shellWord(domain)}`
    ),
    ...saved.filter(({ domain }) => !isHeld(domain)).map((seat) =>
      `${quoted(seat.domain)} comes back with virsh restore FILE; where there is no such file any more: ` +
      recoverCommand("--discard", seat.domain, seatName(seat, context))
    ),
    ...forsaken.length > 0
      ? [
        `${listed(forsaken)} belong${forsaken.length === 1 ? "s" : ""} to no seat that is configured here: ` +
        "unless another host's guest uses it, or one was saved on it, remove it: rm " +
        forsaken.map(shellWord).join(" "),
      ]
      : [],
  ];
}

/** A disk that is configured as a seat. */
interface Seat {
  readonly domain: string;
  readonly target: string;
}

/** One command, or for each target a loop of it. */
function discardingAll(seats: readonly Seat[]): string {
  const targets = [...new Set(seats.map(({ target }) => target))].sort();
  return targets.map((target) => {
    const theirs = seats.filter((seat) => seat.target === target).map(({ domain }) => domain);
    const [only, ...more] = [...new Set(theirs)].sort();
    if (more.length === 0) return recoverCommand("--discard", only!, target);
    const guests = [only!, ...more].map(shellWord).join(" ");
    return `for guest in ${guests}; do autorevert recover --discard "$guest" ${shellWord(target)}; done`;
  }).join("; ");
}

/** Images of the disks that are configured as seats, valid or not, each with its guest and target. */
function imagesOfSeats({ host: { settings } }: EventContext): ReadonlyMap<string, Seat> {
  const images = domains(settings).flatMap((domain) => {
    const text = files.read(`${settings.configFolder}/${domain}.json`) ?? "{}";
    const seats = (peekDisks(text) ?? []).filter(({ master }) => master !== undefined);
    const disks = readableDisksIn(settings.definedFolder, domain) ?? [];
    return disks.filter((disk) => seats.some(({ target }) => target === disk.target))
      .flatMap(({ file, target }) =>
        file === undefined ? [] : [[realPath(file), { domain, target }] as const]
      );
  });
  return new Map(images);
}

/** Masters whose own guest would write into what seats stand on, since the hook does not know it. */
export function masterFindings(
  guests: readonly {
    readonly domain: string;
    readonly seats: readonly { readonly master: string; readonly target: string }[];
  }[],
  context: Pick<EventContext, "host">,
): Finding[] {
  const { definedFolder, configFolder } = context.host.settings;
  const masters = new Map<string, readonly [domain: string, target: string]>();
  for (const { domain, seats } of guests) {
    for (const { master, target } of seats) if (!masters.has(master)) masters.set(master, [domain, target]);
  }
  return [...masters].flatMap(([master, [domain, target]]) => {
    const owner = guestOf(master, context);
    if (owner === undefined) {
      const note = new UserError(`the master ${quoted(master)} is no guest's disk: nobody can commit to it`);
      return [finding("note", note, domain, target)];
    }
    const disk = (disksIn(definedFolder, owner) ?? []).find(({ file }) =>
      file !== undefined && (file === master || files.sameFile(file, master))
    )!;
    const text = files.read(`${configFolder}/${owner}.json`);
    // A file that isn't valid is told of by itself.
    const known = text === undefined ? [] : peekDisks(text);
    if (known === undefined || known.some(({ target }) => target === disk.target)) return [];
    const problem = new UserError(
      `the master ${quoted(master)} is ${disk.target} of ${
        quoted(owner)
      }, which is not listed: its guest would write ` +
        "into what seats stand on",
      { hint: `autorevert enable ${shellWord(owner)} ${disk.target}` },
    );
    return [finding("warning", problem, domain, target)];
  });
}
