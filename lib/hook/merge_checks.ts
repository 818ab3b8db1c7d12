import { UserError, withContext } from "../errors.ts";
import type { EventContext } from "./context.ts";
import * as files from "../host/files.ts";
import type { ObservedDisk } from "../state/observed_disk.ts";
import { folderOf } from "../state/paths.ts";
import type { State } from "../state/state.ts";
import { lowestPair } from "../state/transitions.ts";
import { quoted, shellWord, size } from "../text.ts";

export type Layered = Extract<State, { kind: "layered" }>;

type Pair = NonNullable<ReturnType<typeof lowestPair>>;

/** A disk whose lowest two layers are to become one. */
export interface Job {
  readonly disk: ObservedDisk;
  readonly state: Layered;
  /** A merge of these layers was begun before and not finished. */
  readonly again: boolean;
}

/** Asked before the lower layer is noted as torn: a merge that can't begin keeps no commit from being undone. */
export async function canBegin({ disk, state, again }: Job, context: EventContext): Promise<boolean> {
  try {
    const pair = lowestPair(disk.names, state)!;
    if (!again) await checkPair(pair, context);
    await checkData(pair, context);
    await checkSpace(pair.upper, context);
    return true;
  } catch (error) {
    context.run.report(withContext(disk.target, error));
    return false;
  }
}

/** `qemu-img commit` writes to the file that is named in the upper layer, wherever that lies. */
async function checkPair({ lower, upper }: Pair, { host }: EventContext): Promise<void> {
  const look = await host.qemuImg.info(upper);
  if (look.kind === "busy") throw new UserError(`${quoted(upper)} is open in another process`);
  const backing = look.kind === "free" ? look.backing : undefined;
  if (backing !== undefined && files.sameFile(backing, lower)) return;
  throw new UserError(
    `${quoted(upper)} stands on ${backing === undefined ? "no file" : quoted(backing)}, should be ${
      quoted(lower)
    }`,
    {
      hint: `if the layers were copied, moved or renamed together: qemu-img rebase -u -f qcow2 -F qcow2 -b ${
        shellWord(lower)
      } ${shellWord(upper)}`,
    },
  );
}

/** Data in another file would be written there, or read from there, as root: qemu-img takes its name from the layer. */
async function checkData({ lower, upper }: Pair, { host }: EventContext): Promise<void> {
  for (const layer of [lower, upper]) {
    const look = await host.qemuImg.info(layer);
    if (look.kind !== "free" || look.data === undefined) continue;
    throw new UserError(`${quoted(layer)} has its data in ${quoted(look.data)}, and can't be merged`, {
      hint: `have it in one file: qemu-img convert -O qcow2 ${shellWord(layer)} NEW`,
    });
  }
}

/** The lower layer may grow by all that the upper one holds; half a merge helps nobody, and a full disk harms others. */
async function checkSpace(upper: string, { host, domain }: EventContext): Promise<void> {
  const needed = (files.lstat(upper)?.blocks ?? 0) * 512;
  const folder = folderOf(upper);
  const free = await host.freeBytes(folder);
  if (free >= needed) return;
  throw new UserError(
    `to merge ${quoted(upper)} up to ${size(needed)} are needed in ${quoted(folder)}, ${size(free)} are free`,
    { hint: `make room for ${size(needed - free)} more, then: autorevert merge ${shellWord(domain)}` },
  );
}
