import type { Condition } from "./inspect.ts";
import type { Colour } from "./terminal.ts";

/** What the commands say of a disk in some condition. */
interface Words {
  /** `status`: how it is, and what its flag means then. */
  readonly state: string;
  readonly flagged: string;
  readonly colour?: Colour;
  /** `commit` and `commit --cancel`: what happens next. The guest is `DOMAIN` there, the disk `TARGET`. */
  readonly commit: string;
  readonly cancel: string;
}

const next = "commit at the next session's end";
const kept = "the next session will be kept when it ends";
const forgotten = "the next session will be forgotten when it ends";
const died = "the session that died will be forgotten at the next start";

export const wordsOf: Readonly<Record<Condition, Words>> = {
  "clean": { state: "clean", flagged: next, commit: kept, cancel: forgotten },
  "running": {
    state: "running on a session",
    flagged: "commit at its end",
    colour: "green",
    commit: "this session will be kept when it ends",
    cancel: "this session will be forgotten when it ends",
  },
  "unprotected": {
    state: "running on the disk itself until its next start",
    flagged: next,
    colour: "yellow",
    commit: kept,
    cancel: forgotten,
  },
  "saved": {
    state: "saved, its session waits for it",
    flagged: "commit at its end",
    colour: "blue",
    commit: "the session of the saved guest will be kept when it ends",
    cancel: "the session of the saved guest will be forgotten when it ends",
  },
  "awaited": {
    state: "saved to a file, or migrated; session set aside at a fresh start",
    flagged: next,
    colour: "blue",
    commit: kept,
    cancel:
      "the session on which the guest was saved, or with which it has gone, will be forgotten when it ends",
  },
  "goes on": {
    state: "saved to a file, or migrated; session goes on at a fresh start, too",
    flagged: "commit at its end",
    colour: "blue",
    commit: "the session on which the guest was saved, or with which it has gone, will be kept when it ends",
    cancel:
      "the session on which the guest was saved, or with which it has gone, will be forgotten when it ends",
  },
  "elsewhere": {
    state: "its session runs on another host",
    flagged: "commit at its end",
    colour: "blue",
    commit:
      "where both hosts have one folder of configurations, the session that goes on elsewhere will be kept when it ends; " +
      "otherwise the next one here will be, and for that one type this there",
    cancel:
      "the next session here will be forgotten when it ends; for the one that goes on elsewhere, type this there",
  },
  "reverts": {
    state: "unclean shutdown; session discarded at the next start",
    flagged: next,
    colour: "yellow",
    commit: kept,
    cancel: died,
  },
  "is set aside": {
    state: "unclean shutdown; session set aside at the next start",
    flagged: next,
    colour: "yellow",
    commit: `${kept}; the one that died is set aside at the next start; ` +
      "to keep it instead: autorevert recover --keep DOMAIN TARGET, then autorevert commit --cancel DOMAIN TARGET",
    cancel: died,
  },
  "resumes": {
    state: "unclean shutdown; session resumes at the next start",
    flagged: "commit at its end",
    colour: "yellow",
    commit: "the session that died goes on at the next start, and will be kept when it ends",
    cancel: died,
  },
  "cut short": {
    state: "interrupted; completes at the next start or stop",
    flagged: "commit asked for",
    colour: "yellow",
    commit: kept,
    cancel: forgotten,
  },
  "attention": {
    state: "needs attention",
    flagged: "commit asked for",
    colour: "red",
    commit:
      "the flag is set; but something is wrong, and nobody can tell for which session: autorevert check DOMAIN",
    cancel: forgotten,
  },
};
