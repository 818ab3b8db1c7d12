import { guestFindings, sharedImages } from "./check_guest.ts";
import { clonesOn, leftovers, spaceFindings, untriedStores } from "./check_storage.ts";
import { masterFindings, seatFindings } from "./check_seats.ts";
import { firmwareFindings } from "./firmware.ts";
import { hostFindings } from "./check_host.ts";
import type { Finding } from "./finding.ts";
import { inspectGuest } from "./guest.ts";
import { paint, type Terminal } from "./terminal.ts";
import { asUserError, messageLines, UserError } from "../errors.ts";
import type { EventContext } from "../hook/context.ts";
import type { Host } from "../host/host.ts";

/**
 * Finds what is wrong before it hurts. Changes nothing, but for a name that is made and removed again to see whether a
 * folder has hard links.
 *
 * @param contexts the guests to look at
 * @returns 1 if it found something
 */
export async function check(
  contexts: readonly EventContext[],
  host: Host,
  json: boolean,
  terminal: Terminal,
): Promise<0 | 1> {
  const findings = await hostFindings(host);
  const guests = [];
  for (const context of contexts) {
    const guest = await inspectGuest(context);
    guests.push(guest);
    findings.push(...await guestFindings(guest, context), ...seatFindings(guest, context));
    findings.push(...await firmwareFindings(guest, context));
  }
  findings.push(
    ...masterFindings(guests, { host }),
    ...sharedImages(guests, host.settings),
    ...await spaceFindings(guests, host),
    ...clonesOn(guests, host),
    ...leftovers(guests, host),
    ...await untriedStores(guests, host),
  );
  const wrong = findings.filter(({ severity }) => severity !== "note");
  const disks = guests.flatMap(({ disks, seats }) => [...disks, ...seats]).length;
  if (json) {
    terminal.print(JSON.stringify({ guests: guests.length, disks, findings }, undefined, 2));
  } else {
    for (const line of findings.flatMap((finding) => inWords(finding, terminal))) terminal.print(line);
    const what = `${plural(guests.length, "guest")}, ${plural(disks, "disk")}`;
    terminal.print(wrong.length === 0 ? `${what}: nothing is wrong` : `${what}: ${counted(wrong)}`);
  }
  return wrong.length === 0 ? 0 : 1;
}

const colours = { error: "red", warning: "yellow", note: undefined } as const;

function inWords({ severity, domain, target, message, hint }: Finding, terminal: Terminal): string[] {
  const subject = [domain, target].filter((name) => name !== null);
  const [first, ...rest] = messageLines(
    asUserError(new UserError(message, { subject, ...hint !== null && { hint } })),
  );
  const word = paint(severity, colours[severity], terminal);
  return [first!.replace(/^error/, word), ...rest];
}

function counted(findings: readonly Finding[]): string {
  const errors = findings.filter(({ severity }) => severity === "error").length;
  return `${plural(errors, "error")}, ${plural(findings.length - errors, "warning")}`;
}

function plural(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
