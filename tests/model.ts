/** What a disk should read as, whatever happens to the guest: the promises of the design in a few lines. */

import type { Content } from "./fixture.ts";

/** What a guest wrote between a start and its end. */
export interface Session {
  readonly content: Content;
  /** Time of its last write. */
  readonly wrote: number;
  /** An end held it back, for its flag. */
  readonly held: boolean;
  /** The flag was set when it began, or a command has said that it is for it. */
  readonly flagged: boolean;
  /** It was to be committed when its guest was saved, perhaps to go on at another host: the flag went with it. */
  readonly marked?: boolean;
  /** Its guest came back with its memory. */
  readonly restored?: boolean;
  /** A saved guest may come back for it. */
  readonly saved?: boolean;
  /** Only since `commit` has said that it is set aside: `--cancel` takes that back. */
  readonly byWord?: boolean;
  /** Its start never came up: what is set aside beside it goes once one does, or was set aside by that start. */
  readonly unborn?: "forget" | "stay" | "others" | undefined;
  /** What its start has set aside may be to be kept: its end doesn't take that one's place. */
  readonly guards?: boolean;
}

/** What a libvirt says at an end; `unsaid` by one before 10.5. */
export type End = "normal" | "failed" | "unknown";

/** How a sequence's guest is configured, and on which libvirt it runs. */
export interface Rules {
  readonly keepCommits: number;
  readonly keepSession: boolean;
  readonly tells: boolean;
}

export interface Model {
  /** What the disk was, oldest first; the last is what it is. */
  readonly history: readonly Content[];
  /** Of a guest that runs, was saved, or died. */
  readonly session?: Session | undefined;
  readonly aside?: Session | undefined;
  /** It was set aside by a start that has not come up: the next one that does leaves it. */
  readonly staysAside?: boolean;
  /** … and the session of that start guards it. */
  readonly guardsAside?: boolean;
  readonly flag: boolean;
  /** When the flag was last written. */
  readonly flagged: number;
  readonly running: boolean;
  /** What a saved guest's memory expects of its disk, and whether libvirt keeps the memory itself. */
  readonly saved?: { readonly content: Content; readonly managed: boolean } | undefined;
}

export function diskOf({ history }: Model): Content {
  return history.at(-1)!;
}

/** The session was meant to be kept: nothing but an administrator may end it otherwise. */
export function isMeant({ session, flag, flagged, running }: Model): boolean {
  return session !== undefined && (session.marked === true ||
    flag && (running || session.held || session.flagged || flagged < session.wrote));
}

/** A session that may have been meant to be kept, or to be come back for: nobody throws it away without being told to. */
export function isDoubtful(model: Model): boolean {
  const { session, flag } = model;
  return session !== undefined && (flag || session.saved === true) && !isMeant(model) &&
    session.unborn === undefined;
}

/**
 * A start begins clean, but goes on with a session that was to be kept, and sets one aside that may have been. What was
 * set aside before goes once the guest is up.
 */
export function started(model: Model, now: number, keeps: boolean): Model {
  const session = { ...begunOrMeant(model, now), guards: guards(model, keeps) };
  return {
    ...model,
    session,
    aside: asideWhenUp(model),
    staysAside: false,
    guardsAside: false,
    saved: undefined,
    running: true,
  };
}

function begunOrMeant(model: Model, now: number): Session {
  return isMeant(model)
    ? {
      ...model.session!,
      held: model.session!.held || !model.session!.unborn,
      unborn: undefined,
      saved: false,
      restored: false,
    }
    : begun(model, now, model.flag && model.session === undefined);
}

/** Whether the session guards what is set aside: one that has waited beside another goes like any other, when its time has come. */
function guards(model: Model, keeps: boolean): boolean {
  const { session, aside, flag } = model;
  if (isDoubtful(model)) return (flag || keeps) && !(session!.guards && aside !== undefined);
  return (session ? session.guards : model.staysAside && model.guardsAside) === true;
}

function asideWhenUp(model: Model): Session | undefined {
  if (isDoubtful(model)) return model.session;
  const stays = model.session ? model.session.unborn === "stay" : model.staysAside;
  return stays ? model.aside : undefined;
}

/** A start that doesn't come up leaves what it found, but for a session that would have gone. */
export function failed(model: Model, keeps: boolean): Model {
  const isHeld = isMeant(model) && (model.session!.held || !model.session!.unborn);
  const session = isHeld ? { ...model.session!, held: true, saved: false } : undefined;
  const aside = isDoubtful(model) ? model.session : model.aside;
  const staysAside = isDoubtful(model) ||
    (model.session ? model.session.unborn === "stay" : model.staysAside === true);
  return {
    ...model,
    ...{ session, aside, staysAside, guardsAside: guards(model, keeps) },
    saved: undefined,
    running: false,
  };
}

/** `autorevert commit`: what it says holds, whatever becomes of the guest and of the file's time. */
export function promised(model: Model, now: number): Model {
  const { session, flag, saved } = model;
  const next = { ...model, flag: true, flagged: flag ? model.flagged : now };
  if (session === undefined) return next;
  if (!isMeant(next) && !saved?.managed) {
    const byWord = session.saved !== true || session.byWord === true;
    return isDoubtful(next) ? { ...next, session: { ...session, saved: true, byWord } } : next;
  }
  return { ...next, session: { ...session, flagged: true, marked: false } };
}

/** `autorevert commit --cancel`: what waits to be set aside since it was promised goes again. */
export function cancelled(model: Model, now: number, keeps: boolean): Model {
  const session = model.session && {
    ...model.session,
    ...{ held: false, flagged: false, marked: false },
    ...model.session.byWord && !keeps && { saved: false, byWord: false },
  };
  return { ...model, flag: false, flagged: model.flag ? now : model.flagged, session };
}

function begun(model: Model, now: number, flagged: boolean): Session {
  return { content: diskOf(model), wrote: now, held: false, flagged };
}

/** A session that waits for its guest, and for its flag if that is set. */
export function saved(model: Model, managed: boolean): Model {
  const session = model.session!;
  const isKept = model.flag || session.marked === true;
  const held = session.held || isKept;
  const goes = isKept && !managed;
  return {
    ...model,
    flag: model.flag && !goes,
    session: { ...session, held, saved: true, byWord: false, ...goes && { marked: true, flagged: false } },
    running: false,
    saved: { content: session.content, managed },
  };
}

/** A guest that comes back with its memory finds the disk that it remembers. */
export function restored(model: Model, now: number): Model {
  const isOwn = model.session?.saved || model.saved?.managed && model.session?.unborn === undefined;
  const own = model.aside === undefined || isOwn ? model.session : undefined;
  const session = own ?? model.aside ?? begun(model, now, model.flag);
  const aside = own ? model.aside : undefined;
  return {
    ...model,
    session: { ...session, unborn: undefined, saved: false, restored: true },
    aside,
    saved: undefined,
    running: true,
  };
}

/** A restore that failed, though the guest was called up: it may be tried again. */
export function unrestored(model: Model): Model {
  return { ...model, session: { ...model.session!, saved: true }, running: false };
}

/** A flagged session becomes the disk, once; another is forgotten, or set aside where it was asked for or may be needed. */
export function ended(model: Model, end: End, keeps: boolean): Model {
  const { session, history } = { ...model, session: model.session! };
  const flag = model.flag || session.marked === true;
  const idle = { ...model, session: undefined, running: false };
  if (flag && end === "failed") return { ...idle, session: { ...session, held: true } };
  if (flag) return { ...idle, history: [...history, session.content], flag: false, aside: undefined };
  if (!keeps && end !== "unknown") return idle;
  if (session.guards && model.aside !== undefined) {
    return { ...model, session: { ...session, saved: true }, running: false };
  }
  return { ...idle, aside: session, staysAside: false };
}

/** The newest commit is set aside, in place of a session that stood on it. */
export function undone(model: Model): Model {
  const aside = { content: diskOf(model), wrote: 0, held: false, flagged: false };
  return { ...model, history: model.history.slice(0, -1), aside, saved: undefined };
}

export function kept(model: Model): Model {
  return { ...model, history: [...model.history, model.aside!.content], aside: undefined };
}

/** A saved guest comes back neither onto another session than its own, nor in the place of one that ran. */
export function isLost({ session, aside, saved }: Model): boolean {
  return session !== undefined && aside !== undefined && !session.saved && session.unborn === undefined &&
    !saved?.managed;
}
