import { type Finding, finding } from "./finding.ts";
import { type Guest, managedGuests } from "./guest.ts";
import { type InspectedDisk, probeLinks } from "./inspect.ts";
import { asUserError, UserError } from "../errors.ts";
import type { EventContext } from "../hook/context.ts";
import { disksIn, domains } from "../hook/definitions.ts";
import { isPending } from "../hook/merge_choice.ts";
import { checkBase, wayToMerge } from "../hook/merge_checks.ts";
import * as files from "../host/files.ts";
import type { Settings } from "../settings.ts";
import { isTorn, nameOf, type ObservedDisk, stateOf } from "../state/observed_disk.ts";
import { listed, nearest, quoted, recoverCommand, shellWord } from "../text.ts";

/** What is wrong with a guest and its disks. */
export async function guestFindings(guest: Guest, context: EventContext): Promise<Finding[]> {
  const { domain } = guest;
  const found: Finding[] = [];
  if (guest.defined === undefined) return [finding("error", unknownDomain(guest, context), domain)];
  if (guest.problem) found.push(finding("error", guest.problem, domain));
  for (const view of guest.disks) {
    const problem = conditionProblem(view, domain) ?? await whileIdle(view, guest, context, checkLinks);
    if (problem) found.push(finding(isError(view) ? "error" : "warning", problem, domain, view.target));
    const waits = problem
      ? undefined
      : await whileIdle(view, guest, context, checkMerge) ?? await baseProblem(view, context);
    if (waits) found.push(finding("warning", waits, domain, view.target));
  }
  return found;
}

function isError({ condition }: InspectedDisk): boolean {
  return condition !== "unprotected" && condition !== "cut short";
}

function conditionProblem(
  { target, disk, condition, problem, decision }: InspectedDisk,
  domain: string,
): UserError | undefined {
  const guest = shellWord(domain);
  // One that names `recover` itself says whose the session is.
  if (decision === "refuse: not ours" && !problem!.hint?.includes("autorevert recover")) {
    const name = disk ? nameOf(disk) : target;
    return new UserError(problem!.message, {
      hint: `to throw it away: ${recoverCommand("--discard", domain, name)}; ` +
        `to keep it as part of the disk: ${recoverCommand("--keep", domain, name)}`,
    });
  }
  if (condition === "unprotected") {
    return new UserError(
      "the guest writes to the disk itself: it was started before the disk was listed, or libvirt didn't call the hook",
      { hint: `shut it down and start it again: virsh shutdown ${guest}` },
    );
  }
  if (condition === "cut short") {
    return new UserError("an event was interrupted; the next start or stop completes it", {
      hint: `now: ${recoverCommand("complete", domain)}`,
    });
  }
  return problem;
}

/** What a check throws for a disk that nobody uses, while nobody else can change it. */
async function whileIdle(
  { disk, condition }: InspectedDisk,
  { isLive }: Guest,
  context: EventContext,
  check: (disk: ObservedDisk, context: EventContext) => Promise<void>,
): Promise<UserError | undefined> {
  if (disk === undefined || condition !== "clean" || isLive) return undefined;
  const { run } = context;
  try {
    using _guest = await run.locks.guest();
    using _folder = await run.locks.folders([disk.names.image]);
    await check({ ...disk, listing: files.list(disk.names.image) }, context);
    return undefined;
  } catch (error) {
    return asUserError(error);
  }
}

/** Why no commit could be merged with the disk, whether it is in use or not. */
async function baseProblem({ disk }: InspectedDisk, context: EventContext): Promise<UserError | undefined> {
  try {
    if (disk !== undefined) await checkBase(disk, context);
    return undefined;
  } catch (error) {
    return asUserError(error);
  }
}

async function checkLinks(disk: ObservedDisk, context: EventContext): Promise<void> {
  if (stateOf(disk).kind === "plain") await probeLinks(disk, context);
}

/** Whether the commits that wait for a merge can be merged. */
async function checkMerge(disk: ObservedDisk, context: EventContext): Promise<void> {
  const state = stateOf(disk);
  if (!isPending(disk, state)) return;
  const again = isTorn(state, disk.record ? [disk.record] : []);
  await wayToMerge({ disk, state, again }, context);
}

/** A guest's configuration goes by its name: after a `virsh domrename` it is left behind. */
function unknownDomain({ domain, records, seats }: Guest, { host: { settings } }: EventContext): UserError {
  const known = domains(settings);
  const images = new Set([
    ...records.map(({ image }) => image),
    ...seats.flatMap(({ seat }) => seat?.names.image ?? []),
  ]);
  const free = known.filter((name) => !managedGuests(settings).includes(name));
  const left = ["json", "session", "seats"].map((suffix) => `${settings.configFolder}/${domain}.${suffix}`)
    .filter((path) => files.lstat(path) !== undefined);
  const move = (to: string) =>
    left.map((path) => [path, path.replace(`/${domain}.`, `/${to}.`)] as const)
      .filter(([, to]) => files.lstat(to) === undefined)
      .map(([from, to]) => `mv ${shellWord(from)} ${shellWord(to)}`).join(" && ");
  // Another guest may have the image in common. Its configuration may have been renamed alone.
  const renamed = [...free, ...known].find((name) =>
    move(name) !== "" && sources(name, settings).some((file) => images.has(file))
  );
  // One with a similar name has other images than those that are noted.
  const meant = renamed ?? (images.size === 0 ? nearest(domain, free) : undefined);
  const names = left.map(shellWord).join(" and ");
  const rename = meant === undefined
    ? `if it was renamed, rename ${names} with it`
    : `if it is called ${quoted(meant)} now: ${move(meant)}`;
  return new UserError(`libvirt knows no such domain; without a configuration are ${listed(free)}`, {
    hint:
      `if it comes here from another host, leave this as it is; ${rename}; if it is gone, remove ${names}`,
  });
}

function sources(domain: string, { definedFolder, liveFolder }: Settings): string[] {
  try {
    return (disksIn(definedFolder, domain) ?? disksIn(liveFolder, domain) ?? []).flatMap(({ file }) =>
      file ?? []
    );
  } catch {
    // Another domain's broken definition is not this one's matter.
    return [];
  }
}

/** Which images each domain names. */
export function imagesOfDomains(settings: Settings) {
  return domains(settings).map((domain) => ({ domain, images: sources(domain, settings).map(realPath) }));
}

function othersWith(image: string, domain: string, users: ReturnType<typeof imagesOfDomains>): string[] {
  return users.filter((user) => user.domain !== domain && user.images.includes(image))
    .map((user) => user.domain);
}

/** @throws {UserError} if another guest has the image of this one's seat */
export function checkSeatsImage(
  image: string,
  domain: string,
  users: ReturnType<typeof imagesOfDomains>,
): void {
  const others = othersWith(image, domain, users);
  if (others.length === 0) return;
  throw new UserError(`${quoted(image)}, the image of a seat, is a disk of ${listed(others)}, too`, {
    hint: `give each its own image: virsh edit ${shellWord(others[0]!)}`,
  });
}

/** Images of seats that another guest has, too: one would begin with, or throw away, what the other has saved. */
function sharedSeats(guests: readonly Guest[], users: ReturnType<typeof imagesOfDomains>): Finding[] {
  return guests.flatMap(({ domain, seats }) =>
    seats.flatMap(({ target, seat }) => {
      if (seat === undefined) return [];
      try {
        checkSeatsImage(seat.names.image, domain, users);
        return [];
      } catch (error) {
        return [finding("error", asUserError(error), domain, target)];
      }
    })
  );
}

/** Images that a second disk has, too: each disk would write, or stand on, what is the other's. */
export function sharedImages(guests: readonly Guest[], settings: Settings): Finding[] {
  const users = imagesOfDomains(settings);
  const managed = managedGuests(settings);
  const known = new Set<string>();
  const shared = guests.flatMap(({ domain, disks }) =>
    disks.flatMap(({ target, disk }) => {
      const image = disk?.listed ? disk.names.image : undefined;
      if (image === undefined || known.has(image)) return [];
      known.add(image);
      const others = othersWith(image, domain, users);
      const [other] = others;
      if (other === undefined) return [];
      const shared = `${quoted(image)} is a disk of ${listed(others)}, too`;
      const hint = `give each its own image: virsh edit ${shellWord(other)}`;
      const problem = managed.includes(other)
        ? {
          message: `${shared}: only one guest can run at a time, and each finds what another one commits`,
          hint,
        }
        : {
          message: `${shared}, which would write to it without the hook`,
          hint: `${hint}; or: autorevert enable ${shellWord(other)}`,
        };
      return [finding("warning", problem, domain, target)];
    })
  );
  return [...shared, ...sharedSeats(guests, users)];
}

/** The file behind a path, links resolved, as far as the program may look. */
export function realPath(path: string): string {
  try {
    return files.resolve(path);
  } catch {
    return path;
  }
}
