import { managedGuests } from "./guest.ts";
import type { Terminal } from "./terminal.ts";
import { UserError } from "../errors.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { listed, nearest, quoted } from "../text.ts";

/** How often a log that is followed is looked at, in milliseconds. */
const INTERVAL = 300;

/**
 * Prints the hook's log, or what it tells of one guest.
 *
 * @param follow wait for more, also of a log that is rotated, until the process is ended
 * @throws {UserError} if nobody knows the guest
 */
export async function showLog(
  domain: string | undefined,
  { settings }: Host,
  follow: boolean,
  terminal: Terminal,
): Promise<0> {
  const { log } = settings;
  const concerns = domain === undefined ? () => true : linesOf(domain, managedGuests(settings));
  let text = files.read(log) ?? "";
  const shown = text.split("\n").filter((line) => line !== "" && concerns(line));
  if (domain !== undefined && shown.length === 0) checkKnown(domain, managedGuests(settings));
  for (const line of shown) terminal.print(line);
  while (follow) {
    await new Promise((wake) => setTimeout(wake, INTERVAL));
    const now = files.read(log) ?? "";
    const begin = now.startsWith(text) ? text.length : 0;
    // A line that is being written comes whole the next time.
    text = now.slice(0, now.lastIndexOf("\n") + 1);
    for (const line of text.slice(begin).split("\n")) if (line !== "" && concerns(line)) terminal.print(line);
  }
  return 0;
}

/**
 * Which lines are a guest's; a hint goes with the error before it.
 *
 * @param all names of guests, of which one may begin with that of this one and a space
 */
export function linesOf(domain: string, all: readonly string[] = []): (line: string) => boolean {
  const own = patternOf(domain);
  const longer = all.filter((name) => name.startsWith(`${domain} `)).map(patternOf);
  let before = false;
  return (line) => {
    if (!/^.{23}\+0000: hint: /.test(line)) {
      before = own.test(line) && !longer.some((other) => other.test(line));
    }
    return before;
  };
}

function patternOf(domain: string): RegExp {
  const name = domain.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return new RegExp(`^.{23}\\+0000: (?:error: )?${name}(?: [^\\s/]+)*: `);
}

function checkKnown(domain: string, managed: readonly string[]): void {
  if (managed.includes(domain)) return;
  const meant = nearest(domain, managed);
  throw new UserError(`the log tells nothing of ${quoted(domain)}; there are ${listed(managed)}`, {
    ...meant !== undefined && { hint: `did you mean ${quoted(meant)}?` },
  });
}
