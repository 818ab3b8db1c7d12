import type { EventContext } from "./context.ts";
import * as files from "../host/files.ts";
import type { Control } from "../host/qemu_img.ts";

/** Tells of the progress in the log, every 10 % or 30 s, and always to whoever watches. */
export function reporter(
  { run, host, paths }: EventContext,
  target: string,
  watch: Watch | undefined,
): NonNullable<Control["progress"]> {
  let told = { percent: 0, at: host.now().getTime() };
  return (percent) => {
    watch?.(target, percent);
    files.writeProgress(paths.merging, `${target} ${percent}`);
    const at = host.now().getTime();
    if (percent - told.percent < 10 && at - told.at < 30_000) return;
    told = { percent, at };
    run.logInfo(target, `merging, ${Math.floor(percent)} %`);
  };
}

/** Takes how far the merge of a disk is, in percent. */
export type Watch = (target: string, percent: number) => void;

/** How far the merge is that holds this lock, as it says there itself. */
export function progressOf(
  merging: string,
): { readonly target: string; readonly percent: number } | undefined {
  const [target, percent] = (files.read(merging) ?? "").split(" ");
  return percent === undefined ? undefined : { target: target!, percent: Number.parseFloat(percent) };
}
