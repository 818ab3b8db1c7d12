import { listed, nearest, quoted, Trouble } from "./voice.ts";

/** What the command line asks for. */
export type Invocation =
  | { readonly kind: "event"; readonly event: Event; readonly dryRun: boolean }
  | { readonly kind: "command"; readonly command: Command }
  | { readonly kind: "version" }
  | { readonly kind: "help" };

/** What an administrator wants done with a guest's commits. */
export interface Command {
  readonly verb: Verb;
  readonly domain: string;
  readonly target: string | undefined;
  /** Don't ask. */
  readonly yes: boolean;
}

const verbs = ["undo", "keep", "merge"] as const;
export type Verb = typeof verbs[number];

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
  | "release"
  | "started"
  | "restore"
  | "migrate"
  /** One that libvirt has and the hook has no business with. */
  | "idle"
  | "unknown";

/** https://libvirt.org/hooks.html, "/etc/libvirt/hooks/qemu" */
const operations: Readonly<Record<string, Operation>> = {
  prepare: "prepare",
  start: "idle",
  started: "started",
  stopped: "idle",
  release: "release",
  migrate: "migrate",
  restore: "restore",
  reconnect: "idle",
  attach: "idle",
};

export const USAGE = `usage: autorevert undo DOMAIN [TARGET] [--yes]
       autorevert keep DOMAIN [TARGET]
       autorevert merge DOMAIN
       autorevert --version | --help
       qemu [--dry-run] DOMAIN OPERATION SUB-OPERATION EXTRA < DOMAIN.xml

  undo    drop the newest commit, after asking
  keep    make the last session, which was set aside, part of the disk
  merge   merge what waits for it, now

The last form is how libvirt runs it, as /etc/libvirt/hooks/qemu: OPERATION is what
happens to the guest: prepare, release, … With --dry-run it prints what it would do.

exit codes: 0 done, or nothing to do; 1 refused or failed: the guest must not start;
            2 the command line is wrong`;

/**
 * @param args the arguments
 * @throws {Usage} if they are none of the above
 */
export async function parseInvocation(args: readonly string[]): Promise<Invocation> {
  // libvirt gives exactly four, and a guest may be called "--version". But no shutoff reason is called "--dry-run":
  // whoever forgot one of the four doesn't want the event to happen.
  if (args.length === 4 && args[3] !== "--dry-run" && !isCommand(args.filter((word) => word !== "--yes"))) {
    return { kind: "event", event: eventOf(args), dryRun: false };
  }

  const { parseArgs } = await import("@std/cli/parse-args");
  const flags = ["dry-run", "yes", "version", "help"];
  const parsed: Record<string, unknown> & { _: (string | number)[] } = parseArgs([...args], {
    boolean: [...flags, "h"],
  });
  const unknown = Object.keys(parsed).find((key) => !["_", "h", ...flags].includes(key));
  if (unknown !== undefined) {
    const meant = nearest(unknown, flags);
    const given = `${unknown.length > 1 ? "--" : "-"}${unknown}`;
    throw new Usage(`unknown option ${quoted(given)}` + (meant ? `, did you mean "--${meant}"?` : ""));
  }
  const words = parsed._.map(String);
  if (parsed.version) return { kind: "version" };
  if (parsed.help || parsed.h) return { kind: "help" };
  if (isCommand(words)) {
    if (parsed["dry-run"]) throw new Usage(`--dry-run goes with an event, not with ${quoted(words[0])}`);
    if (parsed.yes && words[0] !== "undo") {
      throw new Usage(`--yes goes with "undo", not with ${quoted(words[0])}`);
    }
    return { kind: "command", command: commandOf(words, parsed.yes === true) };
  }
  if (words.length < 3) {
    const [word] = words;
    if (word === undefined) throw new Usage("no command");
    const meant = nearest(word, verbs);
    throw new Usage(
      `unknown command ${quoted(word)}, ${
        meant ? `did you mean ${quoted(meant)}?` : `there are ${listed(verbs)}`
      }`,
    );
  }
  if (words.length !== 4) {
    throw new Usage(`${words.length} arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA`);
  }
  return { kind: "event", event: eventOf(words), dryRun: parsed["dry-run"] === true };
}

/** A guest may be called "undo", too: libvirt's third argument tells. */
function isCommand([first, , third]: readonly string[]): boolean {
  return verbs.some((verb) => verb === first) && !["begin", "end", "-"].includes(third ?? "");
}

function commandOf([verb, domain, target, ...more]: readonly string[], yes: boolean): Command {
  if (domain === undefined || more.length > 0 || (verb === "merge" && target !== undefined)) {
    throw new Usage(`${verb} takes a DOMAIN${verb === "merge" ? "" : " and perhaps a TARGET"}`);
  }
  return { verb: verb as Verb, domain, target, yes };
}

/** The command line is wrong. */
export class Usage extends Trouble {
  constructor(message: string) {
    super(message, { hint: "autorevert --help tells what there is" });
  }
}

function eventOf([domain, given, _sub, extra]: readonly string[]): Event {
  const operation = Object.hasOwn(operations, given!) ? operations[given!]! : "unknown";
  return { domain: domain!, operation, given: given!, extra: extra! };
}

/**
 * A domain's name becomes a file's name.
 *
 * @throws {Trouble} if it would lead out of the configuration folder, or could forge a line of the log
 */
export function checkDomainName(domain: string): void {
  // deno-lint-ignore no-control-regex
  const hostile = domain === "" || domain === "." || domain === ".." || /[/\u0000-\u001f\u007f]/.test(domain);
  if (!hostile) return;
  throw new Trouble(`the domain is named ${quoted(domain)}, which can't be a file's name`, {
    hint: "rename it: virsh domrename OLD NEW",
  });
}
