import type { Command } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";
import { concerning, Trouble } from "../errors.ts";
import type { Occasion } from "../hook/context.ts";
import * as files from "../host/files.ts";
import type { Case } from "../state/observed_disk.ts";
import { listed, nearest, quoted, shellWord, size } from "../text.ts";

/** A command that works on one guest. */
export interface Errand extends Occasion {
  readonly terminal: Terminal;
  /** The disks that are meant; none of them: all that it applies to. */
  readonly targets: readonly string[];
  readonly options: Command["options"];
}

/** @throws {Trouble} if one of the targets isn't among these disks */
export function checkTargets(
  targets: readonly string[],
  disks: readonly { readonly target: string }[],
): void {
  const known = [...new Set(disks.map(({ target }) => target))];
  for (const target of targets) {
    if (known.includes(target)) continue;
    const meant = nearest(target, known);
    throw new Trouble(`the guest has no disk ${quoted(target)}, it has ${listed(known)}`, {
      ...meant !== undefined && { hint: `did you mean ${quoted(meant)}?` },
    });
  }
}

/** @throws {Trouble} unless the answer is yes */
export function ask(question: string, { options, terminal }: Errand): void {
  if (options.has("yes") || terminal.confirm(question)) return;
  throw new Trouble("nothing was changed: the question was not answered with yes", {
    hint: "where nobody can answer, use --yes",
  });
}

/** @throws {Trouble} if another process has the image open */
export async function refuseBusy({ target, names }: Case, errand: Errand): Promise<void> {
  const { kind } = await errand.host.qemuImg.look(names.image);
  if (kind !== "busy") return;
  const trouble = isLive(errand)
    ? new Trouble(`the guest runs on ${quoted(names.image)}`, {
      hint: `end it first: virsh shutdown ${shellWord(errand.domain)}`,
    })
    : new Trouble(`${quoted(names.image)} is open in another process`, {
      hint: `find it: fuser -v ${shellWord(names.image)}`,
    });
  throw concerning(target, trouble);
}

/** Whether libvirt has the guest running. */
export function isLive({ host, domain }: Errand): boolean {
  return files.look(`${host.settings.liveFolder}/${domain}.xml`) !== undefined;
}

/** All names around these disks, and which of them are one file. */
export function namesIn(disks: readonly Case[]): string {
  return JSON.stringify(disks.map(({ listing }) => [...listing].sort()));
}

/** Time and size of a session or commit. */
export function described(path: string): string {
  const info = files.look(path);
  const time = info?.mtime?.toISOString().slice(0, 16).replace("T", " ") ?? "unknown";
  return `of ${time} UTC, ${size((info?.blocks ?? 0) * 512)}`;
}
