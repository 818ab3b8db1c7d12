import { asUserError, UserError } from "../errors.ts";
import { within } from "./time_limit.ts";
import type { Repair } from "../state/step.ts";
import { printable, quoted } from "../text.ts";

/** What a look at an image without touching it tells. */
export type ImageInfo =
  /** Another process holds it open for writing. */
  | { readonly kind: "busy" }
  /** Nobody does. */
  | {
    readonly kind: "free";
    /** The file it stands on, absolute, if any. */
    readonly backing: string | undefined;
    /** A file that its data lies in, if any. */
    readonly data?: string;
    /** Size of the disk that it holds, in bytes. */
    readonly virtualSize?: number;
    /** Names of its internal snapshots, if any. */
    readonly snapshots?: readonly string[];
    /** It was not closed, and which of its clusters are in use must be counted anew before it is written to. */
    readonly isDirty?: boolean;
  }
  /** It is no qcow2 image (any more), or QEMU has found and marked it as corrupt. */
  | { readonly kind: "damaged"; readonly isMarked?: boolean };

/** What the hook needs of `qemu-img`. */
export interface QemuImg {
  /** Makes an overlay. Fails, leaving at most the overlay's file, if the backing file is no qcow2 or open elsewhere. */
  create(overlay: string, backing: string): Promise<void>;
  /**
   * Copies a layer into the one it stands on, and fails if that is another file than `into`. Killed half-way, the view
   * through the layer is unchanged.
   */
  commit(layer: string, into: string, control?: Control): Promise<void>;
  /** Frees leaked clusters, or repairs whatever can be. Killed half-way, it can be done again. */
  repair(image: string, what: Repair, control?: Control): Promise<void>;
  /**
   * @param look `unlocked` takes not even for a moment the lock by which an open image is told: it is never `busy` then; with `isRaw` a
   * file that is no qcow2 image is told as `busy`, too, where it is
   */
  info(image: string, look?: { readonly unlocked?: boolean; readonly isRaw?: boolean }): Promise<ImageInfo>;
}

/** A hand on a copy that takes its time. */
export interface Control {
  /** Kills it. */
  readonly stop?: AbortSignal;
  /** At most so many bytes per second. */
  readonly rate?: number | undefined;
  /** Takes how much of it is done, in percent. */
  readonly progress?: (percent: number) => void;
}

/** How a finished program went. */
export interface Outcome {
  readonly code: number;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Longest time in milliseconds that libvirt, and with it the whole host, may wait for one short call. */
const PATIENCE = 30_000;

/** @param program absolute path of `qemu-img` */
export function qemuImg(program: string, patience = PATIENCE): QemuImg {
  const run = (args: string[], limit: number) => execute(program, args, { limit });
  return {
    async create(overlay, backing) {
      check(
        "create",
        await run(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, overlay], patience),
      );
    },
    async commit(layer, into, { stop, rate, progress } = {}) {
      const output = (text: string) => {
        for (const [, percent] of text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)) progress?.(Number(percent));
      };
      const gently = rate === undefined ? [] : ["-r", `${rate}`];
      const args = ["commit", "-p", "-d", ...gently, "-f", "qcow2", "-b", into, layer];
      check("commit", await execute(program, args, { stop, output }));
    },
    async repair(image, what, { stop } = {}) {
      check("check", await execute(program, ["check", "-q", "-r", what, "-f", "qcow2", image], { stop }));
    },
    async info(image, { unlocked = false, isRaw = false } = {}) {
      const info = (...more: string[]) =>
        run(["info", ...more, "--output=json", "-f", "qcow2", image], patience);
      if (unlocked) {
        const forced = await info("--force-share");
        if (forced.signal !== null) check("info", forced);
        return forced.code === 0 ? described(forced.stdout) : { kind: "damaged" };
      }
      const locked = await info();
      if (locked.code === 0) return described(locked.stdout);
      if (locked.signal !== null) check("info", locked);
      // What opens only without asking for the lock is locked; no message has to be understood for that.
      const forced = await info("--force-share");
      if (forced.signal !== null) check("info", forced);
      // A lock is there the second time, too; what failed for a moment is no lock, and no damage.
      const again = await info();
      if (again.code === 0) return described(again.stdout);
      const last = forced.code === 0 ? forced : await info("--force-share");
      // What is no image fails both times, and otherwise where it is locked.
      const isLocked = last.code === 0 || isRaw && last.stderr !== again.stderr;
      return { kind: isLocked ? "busy" : "damaged" };
    },
  };
}

function described(json: string): ImageInfo {
  try {
    const info = JSON.parse(json);
    const { corrupt, "data-file": data } = info["format-specific"]?.data ?? {};
    if (corrupt === true) return { kind: "damaged", isMarked: true };
    const backing = info["full-backing-filename"] ?? info["backing-filename"];
    const snapshots = info.snapshots?.map(({ name }: { name: string }) => name) ?? [];
    return {
      kind: "free",
      backing,
      virtualSize: info["virtual-size"],
      ...data !== undefined && { data },
      ...snapshots.length > 0 && { snapshots },
      ...info["dirty-flag"] === true && { isDirty: true },
    };
  } catch (cause) {
    throw new UserError("qemu-img info answered something else than the image's description", { cause });
  }
}

function check(command: string, { code, signal, stderr }: Outcome): void {
  if (code === 0) return;
  const how = signal === null ? `failed with exit code ${code}` : `was killed by ${signal}`;
  const said = printable(stderr).slice(0, 1000);
  throw new UserError(`qemu-img ${command} ${how}${said ? `: ${said}` : ""}`);
}

/** How a program may be ended before its own end, and who reads along. */
interface Run {
  /** Longest time, in milliseconds. */
  readonly limit?: number | undefined;
  readonly stop?: AbortSignal | undefined;
  readonly output?: (text: string) => void;
}

/** Runs a program to its end, or kills it. Its environment is empty but for the locale. */
async function execute(
  program: string,
  args: string[],
  { limit = Infinity, stop, output }: Run,
): Promise<Outcome> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args,
      clearEnv: true,
      env: { LC_ALL: "C" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (cause) {
    throw new UserError(`cannot run ${quoted(program)}: ${asUserError(cause).message}`, {
      cause,
      hint: "install it (Debian: apt install qemu-utils), or build with QEMU_IMG=/path/to/qemu-img",
    });
  }
  const ended = output === undefined ? child.output() : followed(child, output);
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has just ended by itself.
    }
  };
  stop?.addEventListener("abort", kill);
  if (stop?.aborted) kill();
  const outcome = await within(limit, ended);
  stop?.removeEventListener("abort", kill);
  if (outcome === "late") {
    kill();
    // One that waits for a dead disk can't even be killed; waiting for it would hold up the whole host.
    ended.catch(() => {});
    throw new UserError(`qemu-img ${args[0]} did not answer within ${limit / 1000} s and was killed`, {
      hint: "look at the storage: the image's disk or its server may be gone",
      healedBy: "event",
    });
  }
  const { code, signal, stdout, stderr } = outcome;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, signal, stdout: text(stdout), stderr: text(stderr) };
}

/** Like `output()`, but what it says on standard output is read along while it runs. */
async function followed(child: Deno.ChildProcess, each: (text: string) => void): Promise<Deno.CommandOutput> {
  const read = child.stdout.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: each }));
  const [status, stderr] = await Promise.all([child.status, new Response(child.stderr).bytes(), read]);
  return { ...status, stdout: new Uint8Array(), stderr };
}
