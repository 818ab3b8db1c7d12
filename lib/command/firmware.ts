/** What commands say of UEFI variables and TPM state. */

import { type Finding, finding } from "./finding.ts";
import type { Guest } from "./guest.ts";
import type { GuestCommand } from "./guest_command.ts";
import { asUserError, UserError } from "../errors.ts";
import { observeFirmware } from "../hook/observe.ts";
import type { DomainDisk } from "../input/domain_xml.ts";
import type { Settings } from "../settings.ts";
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

/** Firmware that stays when the disks go back, or whose start would be refused. */
export function firmwareFindings({ domain, config, defined, records }: Guest, settings: Settings): Finding[] {
  const state = stateOfFirmware(defined ?? []);
  if (config === undefined || state === undefined) return [];
  if (config.firmware === undefined) {
    const guest = shellWord(domain);
    return [finding("warning", {
      message: `its ${state} stay as each session leaves them, while its disks go back`,
      hint: `to have them go back, too: autorevert enable ${guest} --firmware; ` +
        `if that is meant: autorevert enable ${guest} --no-firmware`,
    }, domain)];
  }
  try {
    observeFirmware(config, defined!, records, settings.firmwareFolders);
    return [];
  } catch (error) {
    const problem = asUserError(error);
    return [finding("error", problem, domain, problem.subject[0])];
  }
}
