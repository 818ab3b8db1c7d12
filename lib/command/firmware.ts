/** What commands say of UEFI variables and TPM state. */

import { type Finding, finding } from "./finding.ts";
import type { Guest } from "./guest.ts";
import type { GuestCommand } from "./guest_command.ts";
import { asReadable, type Condition, goesOn } from "./inspect.ts";
import { UserError, withContext } from "../errors.ts";
import type { EventContext } from "../hook/context.ts";
import { whyRefused } from "../hook/decide.ts";
import { checkMergeMarks } from "../hook/marks.ts";
import { wayToMerge } from "../hook/merge_checks.ts";
import { isPending } from "../hook/merge_choice.ts";
import { observeFirmware, withFirmwareKept } from "../hook/observe.ts";
import { firmwareOfMaster } from "../hook/seat_firmware.ts";
import { Run } from "../host/run.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import { type Decision, isRefusal } from "../state/decision_table.ts";
import { firmwareAtPrepare } from "../state/firmware.ts";
import type { SeatDecision } from "../state/seat_table.ts";
import { isTorn, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { shellWord } from "../text.ts";

const words: Readonly<Record<string, string>> = { nvram: "UEFI variables", tpm: "TPM state" };

/** What firmware state a domain has, in words; undefined if it has none. */
function stateOfFirmware(disks: readonly DomainDisk[]): string | undefined {
  const kinds = new Set(disks.filter(({ firmware }) => firmware).map(({ target }) => words[target]));
  return kinds.size === 0 ? undefined : [...kinds].join(" and ");
}

/**
 * What `--firmware` and `--no-firmware` ask for; undefined if neither is given.
 *
 * @throws {UserError} if the domain has no such state
 */
export function firmwareOption(
  defined: readonly DomainDisk[],
  { options, domain }: GuestCommand,
): boolean | undefined {
  if (options.has("no-firmware")) return false;
  if (!options.has("firmware")) return undefined;
  if (stateOfFirmware(defined) === undefined) {
    throw new UserError("the domain has neither UEFI variables nor an emulated TPM", {
      hint: `see what it has: virsh dumpxml --inactive ${shellWord(domain)}; and leave out --firmware`,
    });
  }
  return true;
}

/**
 * What becomes of the firmware's state from now on; nothing if the domain has none.
 *
 * @param option what this command sets
 * @param listed what the configuration says
 */
export function firmwareSaid(
  option: boolean | undefined,
  listed: boolean | undefined,
  defined: readonly DomainDisk[],
  domain: string,
): string[] {
  const state = stateOfFirmware(defined);
  if (state === undefined) return [];
  if (option === true) return [`${domain}: its ${state} go back with its disks, from the next session on`];
  if (option === false) return [`${domain}: its ${state} stay as each session leaves them`];
  if (listed !== undefined) return [];
  return [
    `${domain}: its ${state} stay as each session leaves them; ` +
    `to have them go back with the disks: autorevert enable ${shellWord(domain)} --firmware`,
  ];
}

/** Firmware that stays when the disks go back, or for which the next start is refused. */
export async function firmwareFindings(guest: Guest, context: EventContext): Promise<Finding[]> {
  const { domain, config, defined } = guest;
  const state = stateOfFirmware(defined ?? []);
  if (config === undefined || state === undefined) return [];
  if (config.firmware === undefined) {
    const word = shellWord(domain);
    return [finding("warning", {
      message: `its ${state} stay as each session leaves them, while its disks go back`,
      hint: `to have them go back, too: autorevert enable ${word} --firmware; ` +
        `if that is meant: autorevert enable ${word} --no-firmware`,
    }, domain)];
  }
  const problem = await firmwareProblem(guest, context);
  if (problem !== undefined) return [finding("error", problem, domain, problem.subject[0])];
  const unmerged = await mergeProblem(guest, context);
  return unmerged === undefined ? [] : [finding("warning", unmerged, domain, unmerged.subject[0])];
}

/** Why commits of the firmware that wait for a merge can't be merged. */
async function mergeProblem(guest: Guest, context: EventContext): Promise<UserError | undefined> {
  const disks = guest.disks.flatMap(({ disk }) => disk ?? []);
  for (const disk of withFirmwareKept([...disks, ...guest.firmware])) {
    const state = stateOf(disk);
    if (!disk.firmware || !isPending(disk, state)) continue;
    try {
      await wayToMerge({ disk, state, again: isTorn(state) }, context);
    } catch (error) {
      return asReadable(withContext(disk.target, error));
    }
  }
  return undefined;
}

/** Why the guest's next start is refused for its firmware, if it is. */
export async function firmwareProblem(
  { config, defined, records, isLive, disks, seats }: Guest,
  context: EventContext,
): Promise<UserError | undefined> {
  // Looked at only: nothing is logged.
  const dry = { ...context.host, show: () => {} };
  const looking = { ...context, host: dry, run: new Run(dry, context.domain) };
  const isComing = [...disks, ...seats].some(({ condition }) => comesBack.includes(condition));
  const decisions: Decision[] = disks.some(goesOn) ? ["resume"] : [];
  try {
    const files = observeFirmware(config, defined ?? [], records, context.host.settings.firmwareFolders);
    const ofSeats = seats.flatMap(({ condition }) =>
      condition === "awaited" || condition === "is set aside" ? "set aside, new session" as const : []
    );
    if (!isLive && !isComing) await checkOwnFirmware(files, decisions, ofSeats, looking);
    const on = isComing || files.length === 0 ? undefined : seats.find(({ seat }) => seat?.listed)?.on;
    if (on !== undefined) await firmwareOfMaster(on, looking);
    return undefined;
  } catch (error) {
    return asReadable(error);
  }
}

/** The guest goes on with the firmware of its session. */
const comesBack: readonly Condition[] = ["saved", "elsewhere"];

/** @throws {UserError} if a start that decides this of the disks is refused for one of these files */
export async function checkOwnFirmware(
  files: readonly ObservedDisk[],
  decisions: readonly Decision[],
  ofSeats: readonly SeatDecision[],
  context: EventContext,
): Promise<void> {
  for (const file of files) checkMergeMarks(file);
  for (const { disk, decision } of firmwareAtPrepare(files, decisions, ofSeats, "fresh")) {
    if (isRefusal(decision)) throw withContext(disk.target, await whyRefused(decision, disk, context));
  }
}
