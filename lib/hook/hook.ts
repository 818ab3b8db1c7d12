import { checkElsewhere, type EventContext, noteTurnedAway, PATIENT, readStart } from "./context.ts";
import { isNoop } from "./filter.ts";
import { copyNewFirmware } from "./new_firmware.ts";
import { prepare } from "./prepare.ts";
import { release } from "./release.ts";
import { started } from "./started.ts";
import { noteMissingMemory } from "./missing_memory.ts";
import { checkConfigFolder } from "../host/config_file.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { Run } from "../host/run.ts";
import { checkDomainName, type Event, type Operation } from "../input/event.ts";
import { guestNames } from "../state/paths.ts";
import { startingStep } from "../state/step.ts";
import { quoted } from "../text.ts";

// In one piece with it: each piece that is loaded costs an event its share of a millisecond.
export { realHost } from "../host/real_host.ts";

/**
 * Does what an event asks for.
 *
 * @returns the exit code: 1 only where failing is the safe answer, 0 otherwise, whatever went wrong
 */
export async function handle(event: Event, host: Host): Promise<0 | 1> {
  if (isNoop(event, host.settings)) return 0;
  const { domain, operation, given, extra } = event;
  const run = new Run(host, domain);
  try {
    checkDomainName(domain);
    const paths = guestNames(host.settings.configFolder, domain);
    if (operation === "unknown") {
      run.logInfo("", `unknown operation ${quoted(given)}: nothing to do`);
      return 0;
    }
    const context = { run, host, domain, paths, begun: host.now(), extra };
    if (operation === "started" || operation === "reconnect") {
      return await up(operation, context);
    }

    checkConfigFolder(host.settings.configFolder);
    using _guest = await lockGuest(operation, context);
    switch (operation) {
      case "restore":
      case "migrate":
        checkElsewhere(context);
        await run.take("", [startingStep(paths, operation === "restore" ? "resume" : "migrate")]);
        return 0;
      case "prepare":
        checkTurn(context);
        return await prepare(context);
      case "start":
        await copyNewFirmware(context);
        return 0;
      case "stopped":
        await noteMissingMemory(context);
        return 0;
      case "release":
        await release(context);
        return 0;
      case "idle":
        return 0;
      default:
        return operation satisfies never;
    }
  } catch (error) {
    run.report(error);
    // What `started` couldn't remove would make the end of this session look like the end of a start that failed.
    // A hook that fails at a reconnect kills the guest.
    return ["stopped", "release", "unknown", "reconnect"].includes(operation) ? 0 : 1;
  }
}

/** The guest is up, or libvirtd finds it up: its end is not the end of a start that failed. */
async function up(operation: "started" | "reconnect", context: EventContext): Promise<0 | 1> {
  const { run, paths } = context;
  if (readStart(paths)?.more.includes("update")) {
    try {
      await started(context);
    } catch (error) {
      run.report(error);
      // libvirt ends the guest then, and tells of a start that failed. One that it finds up stays so whatever is said.
      if (operation === "started") return 1;
    }
  }
  if (!run.isDry) files.removeIfThere(paths.starting);
  return 0;
}

/** One event of a guest at a time. A start that gives up waiting is refused like any other. */
async function lockGuest(operation: Operation, context: EventContext): Promise<Disposable | undefined> {
  const { run, paths } = context;
  try {
    return await run.locks.guest(operation === "release" ? PATIENT : undefined);
  } catch (error) {
    // Otherwise the release that follows would take the session for that of a guest which crashed.
    if (operation === "prepare") {
      checkTurn(context);
      await run.takeOrReport("", () => [startingStep(paths, "refused")]);
    }
    throw error;
  }
}

/** @throws {UserError} if another host is starting the guest: what is noted of that start is left as it is */
function checkTurn(context: EventContext): void {
  try {
    checkElsewhere(context);
  } catch (error) {
    noteTurnedAway(context, true);
    throw error;
  }
  noteTurnedAway(context, false);
}
