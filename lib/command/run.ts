import { type Command, parseLine, Usage } from "./arguments.ts";
import { check } from "./check.ts";
import { commit } from "./commit.ts";
import { completion } from "./completion.ts";
import { disable } from "./disable.ts";
import { enable } from "./enable.ts";
import { managedGuests } from "./guest.ts";
import { domains } from "../hook/definitions.ts";
import { type GuestCommand, refuseOnSeats } from "./guest_command.ts";
import { about, help } from "./help.ts";
import { keep } from "./keep.ts";
import { showLog } from "./log.ts";
import { merge } from "./merge.ts";
import { publish } from "./publish.ts";
import { recover } from "./recover.ts";
import { schemaText } from "./schema.ts";
import { status } from "./status.ts";
import type { Terminal } from "./terminal.ts";
import { undo } from "./undo.ts";
import { asUserError, messageLines, UserError } from "../errors.ts";
import { type EventContext, isManaged } from "../hook/context.ts";
import { checkConfigFolder } from "../host/config_file.ts";
import type { Host } from "../host/host.ts";
import { Run } from "../host/run.ts";
import { checkDomainName, type Event } from "../input/event.ts";
import { guestNames } from "../state/paths.ts";
import { listed, nearest, quoted, shellWord } from "../text.ts";

/**
 * Does what an administrator types.
 *
 * @param dryRun shows what an event would do
 * @returns the exit code
 */
export async function runCommand(
  args: readonly string[],
  host: Host,
  terminal: Terminal,
  dryRun: (event: Event) => Promise<number>,
): Promise<number> {
  try {
    const request = await parseLine(args);
    switch (request.kind) {
      case "help":
        terminal.print(help(request.of));
        return 0;
      case "version":
        terminal.print(about(host.settings));
        return 0;
      case "dry run":
        return await dryRun(request.event);
      case "command":
        return await dispatch(request.command, host, terminal);
      default:
        return request satisfies never;
    }
  } catch (error) {
    for (const line of messageLines(asRoot(asUserError(error)))) host.say(line);
    return error instanceof Usage ? 2 : 1;
  }
}

/** Only root can read the configurations and the image folders. */
function asRoot(error: UserError): UserError {
  const { message, hint, cause, healedBy, subject } = error;
  if (hint !== undefined || !(cause instanceof Deno.errors.PermissionDenied)) return error;
  return new UserError(message, { hint: "must be run as root: use sudo", cause, healedBy, subject });
}

async function dispatch(command: Command, host: Host, terminal: Terminal): Promise<number> {
  const { verb, options, word } = command;
  switch (verb) {
    case "status":
      return await status(contexts(command, host), host, options.has("json"), terminal);
    case "check":
      return await check(contexts(command, host), host, options.has("json"), terminal);
    case "log":
      return await showLog(command.domains[0], host, options.has("follow"), terminal);
    case "schema":
      terminal.print(schemaText());
      return 0;
    case "completion":
      terminal.print(completion(word!, host.settings));
      return 0;
    default: {
      const context: GuestCommand = {
        ...contextOf(command.domains[0]!, host),
        terminal,
        targets: command.targets,
        options,
      };
      try {
        return await onGuest(verb, context) === false ? 1 : 0;
      } catch (error) {
        context.run.report(asRoot(asUserError(error)));
        return error instanceof Usage ? 2 : 1;
      }
    }
  }
}

/** Commands on one guest; false if one failed and has reported why. */
const ofOneGuest = { publish, undo, keep, merge, enable, disable, commit, recover };

async function onGuest(verb: keyof typeof ofOneGuest, context: GuestCommand): Promise<boolean | void> {
  checkConfigFolder(context.host.settings.configFolder);
  checkDomainName(context.domain);
  if (verb !== "enable") checkManaged(context);
  if (["commit", "keep", "undo", "merge", "publish"].includes(verb)) await refuseOnSeats(verb, context);
  return await ofOneGuest[verb](context);
}

/** The guests that are meant, or all that are managed. */
function contexts({ domains }: Command, host: Host): EventContext[] {
  checkConfigFolder(host.settings.configFolder);
  const meant = domains.length > 0 ? domains : managedGuests(host.settings);
  return meant.map((domain) => {
    checkDomainName(domain);
    const context = contextOf(domain, host);
    checkManaged(context);
    return context;
  });
}

function contextOf(domain: string, host: Host): EventContext {
  const paths = guestNames(host.settings.configFolder, domain);
  return { run: new Run(host, domain), host, domain, paths, begun: host.now(), extra: "-" };
}

function checkManaged({ domain, paths, host }: EventContext): void {
  if (isManaged(paths)) return;
  const managed = managedGuests(host.settings);
  const meant = nearest(domain, managed);
  const exists = domains(host.settings).includes(domain);
  throw new UserError(
    exists
      ? `the guest ${quoted(domain)} has no configuration; guests that have one: ${listed(managed)}`
      : `there is no configured guest ${quoted(domain)}; there are ${listed(managed)}`,
    {
      hint: exists
        ? `see which of its disks could go back at every start: autorevert enable ${shellWord(domain)}`
        : meant === undefined
        ? "see the domains that libvirt knows: virsh list --all"
        : `did you mean ${quoted(meant)}?`,
    },
  );
}
