/**
 * The moves between states, each as the steps that make it.
 *
 * Every step is one call of the system, and between any two of them the names still say truly which files are the disk.
 * So a crash needs no handling here: whatever the names say next time is what the next event acts on.
 */

import type { Names } from "./paths.ts";
import type { Owner } from "./session_record.ts";
import { type Layers, type Listing, mergeMarks, parse, type State, topOf } from "./state.ts";
import type { Step } from "./step.ts";

/** A disk in one kind of state. */
export type Of<Kind extends State["kind"]> = Extract<State, { kind: Kind }>;

/**
 * First half of a new session: an overlay beside the image, or a copy of a file that QEMU doesn't open as an image. Undone by
 * removing what it made.
 */
export function createOverlay(
  names: Names,
  state: Of<"plain" | "layered" | "session">,
  owner: Owner,
  how: { readonly kind: "create" | "copy"; readonly template?: string | undefined } = { kind: "create" },
): Step[] {
  const [first, backing]: [Step[], string] = state.kind === "plain"
    ? [[{ kind: "link", from: names.image, to: names.layer(0) }], names.layer(0)]
    : [[], names.layer(topOf(state.layers))];
  const make: Step = how.kind === "create"
    ? { kind: how.kind, overlay: names.scratch, backing }
    : { kind: how.kind, from: how.template ?? backing, to: names.scratch };
  return [...first, ...makeScratch(names, make, owner)];
}

/** A file under the name that nobody looks for, whole before it takes another. */
export function makeScratch({ scratch }: Names, make: Step, owner: Owner): Step[] {
  return [
    make,
    { kind: "own", path: scratch, owner },
    // Otherwise a power cut could leave an empty file under the image's name.
    { kind: "sync", path: scratch },
  ];
}

function copyToScratch(names: Names, from: string, owner: Owner): Step[] {
  return makeScratch(names, { kind: "copy", from, to: names.scratch }, owner);
}

/** Second half of a new session: the overlay takes the image's name. An older session under that name is gone with it. */
export function replaceImage(names: Names): Step[] {
  return [{ kind: "rename", from: names.scratch, to: names.image }];
}

/** The file that a guest is about to write to is its session from here on: what it is now is copied aside. */
export function copyAside(names: Names, owner: Owner): Step[] {
  return [
    ...copyToScratch(names, names.image, owner),
    { kind: "rename", from: names.scratch, to: names.layer(0) },
  ];
}

/** A session begins with another file's content. */
export function replaceByCopy(names: Names, from: string, owner: Owner): Step[] {
  return [...copyToScratch(names, from, owner), ...replaceImage(names)];
}

/** Takes back what {@link createOverlay} made, from wherever it failed. */
export function removeOverlay(
  names: Names,
  before: State,
  listing: Listing,
  own: ReadonlySet<string>,
): Step[] {
  const isOwn = (path: string) => own.has(path) && listing.has(path);
  const steps: Step[] = isOwn(names.scratch) ? [{ kind: "remove", path: names.scratch }] : [];
  const now = parse(names, listing);
  return before.kind === "plain" && now.kind === "layered" && isOwn(names.layer(0))
    ? [...steps, ...flatten(names, now)]
    : steps;
}

/** Forgets a session. Its mark goes first: alone, it would be that of a session which was lost. */
export function discard(names: Names, state: Of<"session">, owner: Owner): Step[] {
  const { layers, ended, marked, master } = state;
  const top = names.layer(topOf(layers));
  const own: Step[] = [...marked ? removeMark(names) : [], ...giveBack(top, state, owner)];
  return layers.length === 1 && !ended && !master
    ? [...own, { kind: "rename", from: top, to: names.image }]
    : [...own, ...relink(names, top)];
}

/** A layer gets its owner back, unless a seat may be about to open it: libvirt has given it to that one's QEMU, too. */
export function giveBack(path: string, { master }: { readonly master?: true }, owner: Owner): Step[] {
  return master ? [] : [{ kind: "own", path, owner }];
}

/** Says beside the image, where every host sees it, that the session is to be committed. */
export function mark(names: Names): Step[] {
  return [{ kind: "link", from: names.image, to: names.mark }];
}

/** The session is not to be committed any more, or it has been. */
export function removeMark(names: Names): Step[] {
  return [{ kind: "remove", path: names.mark }];
}

/**
 * The image becomes a name of the top layer, without a moment in which there is no image. Where there is none, too: on GlusterFS a
 * link fails whose file had that name before, until it was given to another file; a rename doesn't.
 */
export function relink(names: Names, top: string): Step[] {
  return [
    { kind: "link", from: top, to: names.scratch },
    { kind: "rename", from: names.scratch, to: names.image },
  ];
}

/** Decides that a session becomes part of the disk. From here on {@link finishCommit} is all that can follow. */
export function decideCommit(names: Names, { ended }: Of<"session">, owner: Owner): Step[] {
  return [
    // It stands on what is no longer the top then.
    ...ended ? removeSetAside(names) : [],
    { kind: "own", path: names.image, owner },
    { kind: "sync", path: names.image },
    { kind: "link", from: names.image, to: names.committing },
  ];
}

/** Makes a decided commit the top layer, once its flag is cleared. */
export function finishCommit(names: Names, { layers, marked }: { layers: Layers; marked?: true }): Step[] {
  return [...marked ? removeMark(names) : [], {
    kind: "rename",
    from: names.committing,
    to: names.layer(topOf(layers) + 1),
  }];
}

/** Ends a session but keeps it until the guest is up again, where libvirt can't say whether the guest was saved. */
export function setAside(names: Names, state: Of<"session">, owner: Owner): Step[] {
  const { ended, marked } = state;
  return [
    ...marked ? removeMark(names) : [],
    ...ended ? removeSetAside(names) : [],
    ...linkAside(names),
    ...finishSetAside(names, state, owner),
  ];
}

/** The second half of {@link setAside}. */
export function finishSetAside(names: Names, state: Of<"session">, owner: Owner): Step[] {
  const top = names.layer(topOf(state.layers));
  return [...giveBack(top, state, owner), ...relink(names, top)];
}

/**
 * First half of a start that sets a dead session aside; {@link replaceImage} is the second. Cut short between the two, the session
 * is where it was, under one more name. What was set aside before must be gone.
 */
export function linkAside(names: Names): Step[] {
  return [{ kind: "link", from: names.image, to: names.ended }];
}

/**
 * Takes back what {@link linkAside} and {@link replaceImage} did, from wherever they stopped.
 *
 * @param before the names as they were: whatever else is set aside stays
 */
export function takeBackAside(names: Names, before: Listing, listing: Listing): Step[] {
  const session = before.get(names.image);
  if (listing.get(names.ended) !== session) return [];
  return listing.get(names.image) === session ? removeSetAside(names) : putBack(names);
}

/** Says beside the image, where every host's merge looks for that name, that a session which was set aside is about to take its place. */
export function announcePutBack(names: Names): Step[] {
  return [{ kind: "link", from: names.ended, to: names.scratch }];
}

/** A session that was set aside becomes the session again. */
export function putBack(names: Names): Step[] {
  return [{ kind: "rename", from: names.ended, to: names.image }];
}

/** The session that was set aside is not wanted any more. */
export function removeSetAside(names: Names): Step[] {
  return [{ kind: "remove", path: names.ended }];
}

/** Finds out whether the image's folder has hard links: they are what a start begins with. Changes nothing that lasts. */
export function probe(names: Names, listing: Listing): Step[] {
  return [
    ...listing.has(names.probe) ? [{ kind: "remove", path: names.probe } as const] : [],
    { kind: "link", from: names.image, to: names.probe },
    { kind: "remove", path: names.probe },
  ];
}

/**
 * Takes the newest commit back: it is set aside, in place of a session that stood on it. Before the rename nothing has
 * happened, after it the rest is made again. Where there is none, only what was set aside goes.
 */
export function undo(names: Names, state: Of<"layered">, owner: Owner): Step[] {
  if (state.layers.length === 1) {
    return state.ended ? [...removeSetAside(names), ...flatten(names, { ...state, ended: false })] : [];
  }
  const [next, top] = state.layers.slice(-2).map((number) => names.layer(number)) as [string, string];
  return [
    ...giveBack(next, state, owner),
    { kind: "remove", path: names.image },
    { kind: "rename", from: top, to: names.ended },
    ...relink(names, next),
  ];
}

/** Makes the session that was set aside a commit. */
export function keep(names: Names, { layers }: Of<"layered">, owner: Owner): Step[] {
  const next = names.layer(topOf(layers) + 1);
  return [
    { kind: "own", path: names.ended, owner },
    { kind: "sync", path: names.ended },
    { kind: "remove", path: names.image },
    { kind: "rename", from: names.ended, to: next },
    ...relink(names, next),
  ];
}

/** One layer that nothing stands on needs no name of its own. */
export function flatten(names: Names, { layers, ended, master }: Of<"layered">): Step[] {
  return layers.length === 1 && !ended && !master ? [{ kind: "remove", path: names.layer(layers[0]) }] : [];
}

/**
 * Of a file that is whole without them: the lowest goes first, so that the newest is there as long as one is. A merge's mark goes
 * after what may be half written.
 */
export function removeLayers(names: Names, listing: Listing): Step[] {
  const state = parse(names, listing);
  if (!("layers" in state)) return [];
  const [lowest, ...higher] = state.layers.map(names.layer);
  return [lowest!, ...mergeMarks(names, listing), ...higher].map((path) => ({ kind: "remove", path }));
}
