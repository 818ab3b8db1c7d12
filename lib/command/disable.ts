import { takeBack } from "./commit.ts";
import { unlistDisk } from "./config_edit.ts";
import { configure, finishRecovery, inspectListed, listedDisks } from "./configure.ts";
import { checkNoSeats, checkNothingAside, leaveMasters, tellDisabledSeats } from "./configure_seats.ts";
import type { GuestCommand } from "./guest_command.ts";
import type { InspectedDisk } from "./inspect.ts";
import { UserError, withContext } from "../errors.ts";
import { keptForAnother } from "../hook/kept_commits.ts";
import { startMerge } from "../hook/merge.ts";
import { othersSession } from "../hook/session_owner.ts";
import { releaseMasters } from "../hook/seat_masters.ts";
import * as files from "../host/files.ts";
import { isAway, isMarked, isRecorded, isSessionAway, nameOf, stateOf } from "../state/observed_disk.ts";
import { hasEnded } from "../state/state.ts";
import { cancelCommand, recoverCommand } from "../text.ts";

/**
 * Takes disks out of the guest's configuration; with the last of them the file goes.
 *
 * @throws {UserError} if a session that is there is to be committed: it would be lost; or one of a seat is set aside
 */
export async function disable(context: GuestCommand): Promise<void> {
  const { run, domain, paths, terminal } = context;
  using _guest = await run.locks.guest();
  await finishRecovery(context);
  const { config, meant } = await listedDisks(context);
  const seats = config.seats.filter(({ target }) =>
    context.targets.length === 0 || context.targets.includes(target)
  );
  checkNothingAside(seats, context);
  const views = await inspectListed(meant, context);
  for (const { target, disk } of views) {
    if (disk !== undefined) checkNoSeats(disk.names.image, target, context);
  }
  for (const { target, condition, disk } of views) {
    const { commit } = config.disks.find((disk) => disk.target === target)!;
    const isMeant = commit || disk !== undefined && (isMarked(disk) || disk.record?.held && isRecorded(disk));
    const isThere = disk === undefined || ["session", "committing"].includes(stateOf(disk).kind) ||
      isSessionAway(disk);
    if (disk !== undefined && othersSession(disk, context) !== undefined) continue;
    if (!isMeant || !isThere || condition === "reverts" || condition === "unprotected") continue;
    throw withContext(
      target,
      new UserError("its session is to be committed, and would be lost", {
        hint: `let it end first, or give it up: ${cancelCommand(domain, target)}`,
      }),
    );
  }
  // What it says of them must hold without the configuration.
  await takeBack(views, context);
  const targets = views.map(({ target }) => target);
  const out = [...targets, ...seats.map(({ target }) => target)];
  const text = out.length === config.disks.length + config.seats.length
    ? undefined
    : out.reduce(unlistDisk, files.read(paths.config)!);
  await configure(text, `take out ${out.join(", ")}`, context);
  tellDisabledSeats(seats, context);
  await releaseMasters(views.flatMap(({ disk }) => disk?.names ?? []), context);
  await leaveMasters(seats.map(({ master }) => master), context);
  for (const view of views) terminal.print(`${domain} ${view.target}: ${afterDisable(view, context)}`);
  await startMerge(views.flatMap(({ disk }) => disk ? [{ ...disk, keepCommits: 0 }] : []), context);
}

function afterDisable({ target, condition, disk }: InspectedDisk, context: GuestCommand): string {
  const { domain } = context;
  const state = disk && stateOf(disk);
  const name = disk === undefined ? target : nameOf(disk);
  const also = [
    state && hasEnded(state) && "the session that was set aside goes at its next start",
    state?.kind === "layered" && state.layers.length > 1 &&
    (keptForAnother(disk!.names, state, context)
      ? "its commits stay, as another guest keeps them"
      : "its commits are merged in the background"),
  ].filter(Boolean);
  switch (condition) {
    case "running":
    case "saved":
      return "this session is still thrown away when it ends; then the disk is left alone";
    case "awaited":
    case "goes on":
      return "its session stays for the guest that was saved on it, and a start without that is refused; to end it: " +
        recoverCommand("--keep|--discard", domain, name);
    case "is set aside":
      return "its session may be to be kept, and a start is refused until it is ended: " +
        recoverCommand("--keep|--discard", domain, name);
    case "reverts":
    case "resumes":
      return ["the session that died is thrown away at the next start; then the disk is left alone", ...also]
        .join("; ");
    case "elsewhere":
    case "attention":
      if (disk !== undefined && isAway(disk)) {
        return "is left alone from now on; nothing of it can be seen: if it is gone for good, " +
          recoverCommand("--discard", domain, name);
      }
      if (state?.kind === "session" && (disk?.source === "gone" || disk?.source === "other")) {
        const why = disk.source === "gone"
          ? "the disk was detached and another guest may have it"
          : "the domain names another file, which may stand on it";
        return `its session stays, since ${why}; to end it: ${
          recoverCommand("--keep|--discard", domain, name)
        }`;
      }
      if (state?.kind === "session") {
        return "the session that lies there is thrown away when it ends; then the disk is left alone";
      }
      return "is left alone from now on";
    default:
      return ["is left alone from now on", ...also].join("; ");
  }
}
