import type { GuestCommand } from "./guest_command.ts";
import { noteIdleDisks } from "./noteless_disks.ts";
import type { Terminal } from "./terminal.ts";
import { UserError } from "../errors.ts";
import { configOf } from "../hook/context.ts";
import { observeRecorded } from "../hook/observe.ts";
import { mergeGuest } from "../hook/merge.ts";
import { progressOf } from "../hook/merge_progress.ts";
import { mergeBlock } from "../hook/standing.ts";
import * as files from "../host/files.ts";
import { readRecordsInForce } from "../host/session_records.ts";
import { isAway } from "../state/observed_disk.ts";
import { namesOf } from "../state/paths.ts";
import { parse } from "../state/state.ts";
import { quoted, shellWord } from "../text.ts";

/**
 * Merges what is pending: the same for an administrator who waits for it and for the end of a guest that started it.
 *
 * @returns whether nothing is left to merge; what failed has been reported
 * @throws {UserError} if it had to make way
 */
export async function merge(context: GuestCommand): Promise<boolean> {
  const { domain, terminal } = context;
  (await import("node:os")).setPriority(19);
  await follow(context);
  {
    using _guest = await context.run.locks.guest();
    await noteIdleDisks(context);
  }
  const outcome = await mergeGuest(
    context,
    (target, percent) => show(`${domain} ${target}`, percent, terminal),
  );
  terminal.draw?.(() => "");
  if (outcome === "interrupted") {
    throw new UserError("merge interrupted by a start; resumes after the guest's next end", {
      healedBy: "event",
    });
  }
  if (outcome === "waits") {
    const told = readRecordsInForce(context.paths.note).flatMap(({ target, image }) => {
      const names = namesOf(image);
      const state = parse(names, context.run.listing(image));
      const block = state.kind === "layered" && state.layers.length > 1
        ? mergeBlock(names, state, context)
        : undefined;
      return block === undefined ? [] : [`${domain} ${target}: ${block.message}`];
    });
    for (const line of told) terminal.print(line);
    if (told.length > 0) terminal.print(`${domain}: what ends that: autorevert check ${shellWord(domain)}`);
    return true;
  }
  if (outcome === "done") {
    const waiting = await belowSessions(context);
    const lines = waiting.length > 0 ? waiting : [`${domain}: nothing is left to merge`];
    for (const line of lines) terminal.print(line);
  }
  return outcome === "done";
}

/** What is merged only when a session has ended, or its folder is mounted. */
async function belowSessions(context: GuestCommand): Promise<string[]> {
  const { domain, paths, run } = context;
  const config = await configOf(context).catch(() => "unreadable" as const);
  return observeRecorded(readRecordsInForce(paths.note), config, "unreadable").flatMap((disk) => {
    if (isAway(disk)) {
      return [
        `${domain} ${disk.target}: there is no image ${
          quoted(disk.names.image)
        }, and its folder may not be mounted`,
      ];
    }
    const state = parse(disk.names, run.listing(disk.names.image));
    const commits = state.kind === "session" ? state.layers.length - 1 - disk.keepCommits : 0;
    const what = commits === 1 ? "a commit waits" : `${commits} commits wait`;
    return commits > 0 ? [`${domain} ${disk.target}: ${what} for the end of the session`] : [];
  });
}

/** Waits for the merge that is under way in another process. */
async function follow({ host, domain, paths, terminal }: GuestCommand): Promise<void> {
  if (files.lstat(paths.merging) === undefined) return;
  const timer = setInterval(() => {
    const progress = progressOf(paths.merging);
    if (progress) show(`${domain} ${progress.target}`, progress.percent, terminal);
  }, 200);
  (await host.lock(paths.merging, { patience: Infinity }))[Symbol.dispose]();
  clearInterval(timer);
}

function show(subject: string, percent: number, { draw }: Terminal): void {
  const text = `${subject}: merging, ${Math.floor(percent)} % `;
  draw?.((width) => {
    const room = Math.min(40, width - text.length - 3);
    if (room < 5) return text;
    const full = Math.round(room * percent / 100);
    return `${text}[${"#".repeat(full)}${" ".repeat(room - full)}]`;
  });
}
