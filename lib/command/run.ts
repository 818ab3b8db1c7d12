import { type Command, parseLine, Usage } from "./arguments.ts";
import { domains, managedGuests } from "./guest.ts";
import type { Errand } from "./guest_command.ts";
import { about, help } from "./help.ts";
import type { Terminal } from "./terminal.ts";
import { asTrouble, spoken, Trouble } from "../errors.ts";
import { isManaged, type Occasion } from "../hook/context.ts";
import type { Host } from "../host/host.ts";
import { Run } from "../host/run.ts";
import { checkDomainName, type Event } from "../input/event.ts";
import { guestNames } from "../state/paths.ts";
import { listed, nearest, quoted } from "../text.ts";

/**
 * Does what an administrator types.
 *
 * @param rehearse shows what an event would do
 * @returns the exit code
 */
export async function obey(
  args: readonly string[],
  host: Host,
  terminal: Terminal,
  rehearse: (event: Event) => Promise<number>,
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
        return await rehearse(request.event);
      case "command":
        return await carryOut(request.command, host, terminal);
      default:
        return request satisfies never;
    }
  } catch (error) {
    for (const line of spoken(asRoot(asTrouble(error)))) host.say(line);
    return error instanceof Usage ? 2 : 1;
  }
}

/** Only root can read the configurations and the image folders. */
function asRoot(trouble: Trouble): Trouble {
  const { message, hint, cause, heals, whom } = trouble;
  if (hint !== undefined || !(cause instanceof Deno.errors.PermissionDenied)) return trouble;
  return new Trouble(message, { hint: "this takes root: use sudo", cause, heals, whom });
}

async function carryOut(command: Command, host: Host, terminal: Terminal): Promise<number> {
  const { verb, options, word } = command;
  switch (verb) {
    case "status":
      return await (await import("./status.ts")).status(
        occasions(command, host),
        host,
        options.has("json"),
        terminal,
      );
    case "check":
      return await (await import("./check.ts")).check(
        occasions(command, host),
        host,
        options.has("json"),
        terminal,
      );
    case "log":
      return await (await import("./log.ts")).showLog(
        command.domains[0],
        host,
        options.has("follow"),
        terminal,
      );
    case "schema":
      terminal.print((await import("./schema.ts")).schemaText());
      return 0;
    case "completion":
      terminal.print((await import("./completion.ts")).completion(word!, host.settings));
      return 0;
    default: {
      const errand: Errand = {
        ...occasionOf(command.domains[0]!, host),
        terminal,
        targets: command.targets,
        options,
      };
      try {
        return await onGuest(verb, errand) === false ? 1 : 0;
      } catch (error) {
        errand.run.report(asRoot(asTrouble(error)));
        return 1;
      }
    }
  }
}

type OneGuest = Exclude<Command["verb"], "status" | "check" | "log" | "schema" | "completion">;

/** @returns false if it failed and has reported why */
async function onGuest(verb: OneGuest, errand: Errand): Promise<boolean | void> {
  checkDomainName(errand.domain);
  if (verb !== "enable") checkManaged(errand);
  switch (verb) {
    case "undo":
      return await (await import("./undo_keep.ts")).undo(errand);
    case "keep":
      return await (await import("./undo_keep.ts")).keep(errand);
    case "merge":
      return await (await import("./merge.ts")).merge(errand);
    case "enable":
      return await (await import("./configure.ts")).enable(errand);
    case "disable":
      return await (await import("./configure.ts")).disable(errand);
    case "commit":
      return await (await import("./configure.ts")).commit(errand);
    case "recover":
      return await (await import("./recover.ts")).recover(errand);
    default:
      return verb satisfies never;
  }
}

/** The guests that are meant, or all that are managed. */
function occasions({ domains }: Command, host: Host): Occasion[] {
  const meant = domains.length > 0 ? domains : managedGuests(host.settings);
  return meant.map((domain) => {
    checkDomainName(domain);
    const occasion = occasionOf(domain, host);
    checkManaged(occasion);
    return occasion;
  });
}

function occasionOf(domain: string, host: Host): Occasion {
  const paths = guestNames(host.settings.configFolder, domain);
  return { run: new Run(host, domain), host, domain, paths, extra: "-" };
}

function checkManaged({ domain, paths, host }: Occasion): void {
  if (isManaged(paths)) return;
  const managed = managedGuests(host.settings);
  const meant = nearest(domain, managed);
  const exists = domains(host.settings).includes(domain);
  throw new Trouble(
    exists
      ? `${quoted(domain)} is a domain without a configuration; configured are ${listed(managed)}`
      : `there is no configured guest ${quoted(domain)}; there are ${listed(managed)}`,
    {
      hint: exists
        ? `to have its disks go back at every start: autorevert enable ${domain} TARGET`
        : meant === undefined
        ? "see the domains that libvirt knows: virsh list --all"
        : `did you mean ${quoted(meant)}?`,
    },
  );
}
