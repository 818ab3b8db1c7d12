import { UserError } from "../errors.ts";
import { quoted } from "../text.ts";

/** One call by libvirt. */
export interface Event {
  readonly domain: string;
  readonly operation: Operation;
  /** The operation as it was given: libvirt may learn new ones. */
  readonly given: string;
  /** Shutoff reason at release, from libvirt 10.5 on; `-` otherwise. */
  readonly extra: string;
}

export type Operation =
  | "prepare"
  /** QEMU is about to be started; what libvirt makes for it is there. */
  | "start"
  | "release"
  | "started"
  /** The same, told by a libvirtd that was away meanwhile. */
  | "reconnect"
  /** Its QEMU has ended, and libvirt's file of it is still there. */
  | "stopped"
  | "restore"
  | "migrate"
  /** One that libvirt has and the hook has no business with. */
  | "idle"
  | "unknown";

/** https://libvirt.org/hooks.html, "/etc/libvirt/hooks/qemu" */
const operations: Readonly<Record<string, Operation>> = {
  prepare: "prepare",
  start: "start",
  started: "started",
  stopped: "stopped",
  release: "release",
  migrate: "migrate",
  restore: "restore",
  reconnect: "reconnect",
  attach: "idle",
};

/** What an administrator types first. */
export const verbs = [
  ...["status", "check", "enable", "disable", "commit", "keep", "undo", "publish", "merge", "recover"],
  ...["log", "schema", "completion"],
] as const;
export type Verb = typeof verbs[number];

/** The third word of libvirt's calls: virHookSubop in src/util/virhook.c. */
const subOperations = ["begin", "end", "-"];

/** What libvirt asks for, if it is libvirt that calls. A guest may be called "--version" or "undo". */
export function eventOf(args: readonly string[]): Event | undefined {
  const [domain, given, sub, extra] = args;
  // No shutoff reason is called "--dry-run": whoever forgot one of the four doesn't want the event to happen.
  if (args.length !== 4 || !subOperations.includes(sub!) || extra === "--dry-run") return undefined;
  const operation = Object.hasOwn(operations, given!) ? operations[given!]! : "unknown";
  // libvirt says so of a start that a libvirtd which died has left, too.
  return { domain: domain!, operation, given: given!, extra: extra === "unknown" ? "-" : extra! };
}

/** Whether this is an operation of libvirt's. */
export function isOperation(word: string | undefined): boolean {
  return word !== undefined && Object.hasOwn(operations, word);
}

export function isVerb(word: string): word is Verb {
  return verbs.some((verb) => verb === word);
}

/**
 * A domain's name becomes a file's name.
 *
 * @throws {UserError} if it would lead out of the configuration folder, or could forge a line of the log
 */
export function checkDomainName(domain: string): void {
  // deno-lint-ignore no-control-regex
  const hostile = domain === "" || domain === "." || domain === ".." || /[/\u0000-\u001f\u007f]/.test(domain);
  if (!hostile) return;
  throw new UserError(`the domain is named ${quoted(domain)}, which can't be a file's name`, {
    hint: "rename it: virsh domrename OLD NEW",
  });
}
