import type { Errand } from "./guest_command.ts";
import type { Terminal } from "./terminal.ts";
import { Trouble } from "../errors.ts";
import { mergeGuest, progressOf } from "../hook/merge.ts";
import * as files from "../host/files.ts";

/**
 * Merges what is pending: the same for an administrator who waits for it and for the end of a guest that started it.
 *
 * @returns whether nothing is left to merge; what failed has been reported
 * @throws {Trouble} if it had to make way
 */
export async function merge(errand: Errand): Promise<boolean> {
  const { domain, terminal } = errand;
  (await import("node:os")).setPriority(19);
  await follow(errand);
  const outcome = await mergeGuest(
    errand,
    (target, percent) => show(`${domain} ${target}`, percent, terminal),
  );
  terminal.draw?.(() => "");
  if (outcome === "made way") {
    throw new Trouble("the merge made way for the guest, and goes on after its next end", { heals: "event" });
  }
  if (outcome === "done") terminal.print(`${domain}: nothing is left to merge`);
  return outcome === "done";
}

/** Waits for the merge that is under way in another process. */
async function follow({ host, domain, paths, terminal }: Errand): Promise<void> {
  if (files.look(paths.merging) === undefined) return;
  const timer = setInterval(() => {
    const progress = progressOf(paths.merging);
    if (progress) show(`${domain} ${progress.target}`, progress.percent, terminal);
  }, 200);
  (await host.lock(paths.merging, { patience: Infinity }))[Symbol.dispose]();
  clearInterval(timer);
}

function show(whom: string, percent: number, { draw }: Terminal): void {
  const text = `${whom}: merging, ${Math.floor(percent)} % `;
  draw?.((width) => {
    const room = Math.min(40, width - text.length - 3);
    if (room < 5) return text;
    const full = Math.round(room * percent / 100);
    return `${text}[${"#".repeat(full)}${" ".repeat(room - full)}]`;
  });
}
