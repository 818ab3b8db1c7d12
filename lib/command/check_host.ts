import { confinementFindings, CONSEQUENCE, isPackaged } from "./check_confinement.ts";
import { type Finding, finding } from "./finding.ts";
import { about } from "./help.ts";
import { asUserError, UserError } from "../errors.ts";
import { gate, isGate } from "../hook/gate.ts";
import * as files from "../host/files.ts";
import type { Host } from "../host/host.ts";
import { foldersOfHooks, type Settings } from "../settings.ts";
import { quoted, shellWord } from "../text.ts";

/** Longest time in milliseconds that a program may take to tell its version. */
const PATIENCE = 10_000;

/** What is wrong with the hook, with libvirtd, with qemu-img, and with what confines them. */
export async function hostFindings(host: Host): Promise<Finding[]> {
  const { settings } = host;
  return [
    ...await hookFindings(host),
    ...await failing(() => checkQemuImg(settings)),
    ...await failing(() => confinementFindings(settings), "warning"),
  ];
}

/** Why libvirt doesn't call the hook, or the wrong one. */
export async function hookFindings({ settings }: Host): Promise<Finding[]> {
  return [
    ...await failing(() => checkHook(settings)),
    ...await failing(() => checkDaemon(settings), "warning"),
  ];
}

/** What a look finds, and why it can't be had. */
async function failing(
  look: () => Promise<void> | void | Finding[],
  severity: Finding["severity"] = "error",
): Promise<Finding[]> {
  try {
    return await look() ?? [];
  } catch (error) {
    return [finding(severity, asUserError(error))];
  }
}

async function checkHook(settings: Settings): Promise<void> {
  const { programs } = settings;
  const there = programs.filter((program) => files.lstat(program) !== undefined);
  const install = isPackaged(settings) ? REINSTALL : "make install";
  if (there.length === 0) {
    const byHand = `make install, or by hand: install -m 755 dist/qemu ${shellWord(programs[0]!)}`;
    throw new UserError(`the hook is not installed: there is no ${quoted(programs[0])}`, {
      hint: isPackaged(settings) ? REINSTALL : byHand,
    });
  }
  const gates = there.map((hook) => gateAt(hook, install));
  const gated = [settings.gated, settings.packaged].find((path) => files.lstat(path) !== undefined);
  const isGated = gates.some((text) => text !== undefined);
  if (isGated && gated === undefined) {
    throw new UserError(`the hook calls ${quoted(settings.gated)}, which is not there`, {
      hint: install,
    });
  }
  if (isGated) checkMode(gated!, install);
  const versions = await Promise.all(there.map(versionOf));
  if (there.some((_, index) => gates[index] !== undefined && versions[index] === "")) {
    throw new UserError(`the hook calls ${quoted(gated)}, which doesn't tell its version`, {
      hint: `see why: ${shellWord(gated!)} --version; then ${install}`,
    });
  }
  const ours = there.filter((_, index) => versions[index]!.startsWith("autorevert "));
  const sizes = [...ours, ...gated === undefined ? [] : [gated]].map((path) => files.stat(path)?.size);
  const isCopy = (path: string) => {
    const text = script(path);
    return text === undefined ? sizes.includes(files.stat(path)?.size) : isGate(text);
  };
  const [program, second = otherHook(settings, isCopy)] = ours;
  if (program === undefined) {
    throw new UserError(`${quoted(there[0])} is another hook: libvirt doesn't call this one`, {
      hint: isPackaged(settings) ? REINSTALL : "put this one beside it: make install",
    });
  }
  if (second !== undefined) {
    throw new UserError(`the hook is installed twice, as ${quoted(program)} and ${quoted(second)}`, {
      hint: `remove one: rm ${shellWord(isPackaged(settings) && there.includes(second) ? program : second)}`,
    });
  }
  const other = there.find((path) => !ours.includes(path) && isReverting(path)) ??
    otherHook(settings, isReverting);
  if (other !== undefined) {
    throw new UserError(`${quoted(other)} is another hook that reverts disks: both change the same images`, {
      hint: `shut its guests down, then take it away: mv ${shellWord(other)} /root/`,
    });
  }
  const index = there.indexOf(program);
  if (versions[index] !== about(settings) || ![undefined, gate(settings)].includes(gates[index])) {
    throw new UserError(`${quoted(program)} is another build than this command`, {
      hint: `compare ${
        shellWord(program)
      } --version with autorevert --version, and install the one you want: ${install}`,
    });
  }
}

/**
 * A hook under any other name where libvirt runs every executable file: an editor's copy, say, or what was moved out of the way.
 *
 * @param isMeant whether it is looked for
 */
function otherHook(settings: Settings, isMeant: (path: string) => boolean): string | undefined {
  return foldersOfHooks(settings)
    .flatMap((folder) => files.listNames(folder).map((name) => `${folder}/${name}`))
    .find((path) => !settings.programs.includes(path) && isExecutable(path) && isMeant(path));
}

/** Whether a script is a hook that does the same, as the Python hook of this name did. */
function isReverting(hook: string): boolean {
  return /\.backing_file|one-shot-commit/.test(script(hook) ?? "");
}

function isExecutable(path: string): boolean {
  const { isFile, mode } = files.lstat(path) ?? {};
  return isFile === true && ((mode ?? 0) & 0o111) !== 0;
}

const REINSTALL =
  "install the package's file again: apt install --reinstall ./autorevert_*.deb, or: dnf reinstall ./autorevert-*.rpm";

/** Far longer than any gate, and far shorter than the program. */
const LONGEST_GATE = 64 * 1024;

/** The text of a gate, if this hook is one. */
function gateAt(hook: string, install: string): string | undefined {
  const text = script(hook);
  const found = text !== undefined && isGate(text) ? text : undefined;
  // An installation that finds that it can't be executed has switched it off.
  checkMode(hook, found === undefined ? undefined : install);
  return found;
}

/** The text of what is too short to be the program. */
function script(hook: string): string | undefined {
  const { size } = files.stat(hook) ?? { size: 0 };
  return size < LONGEST_GATE ? files.read(hook) : undefined;
}

function checkMode(program: string, install = `chmod 755 ${shellWord(program)}`): void {
  const { mode } = files.stat(program) ?? {};
  if (((mode ?? 0) & 0o111) === 0) {
    throw new UserError(
      `${quoted(program)} is not marked as executable: guests start without it, or not at all`,
      { hint: install },
    );
  }
  if (((mode ?? 0) & 0o022) !== 0) {
    throw new UserError(`${quoted(program)} can be written by others than root, and runs as root`, {
      hint: `chmod 755 ${shellWord(program)}`,
    });
  }
}

/** What a hook calls itself; empty if it doesn't say. */
async function versionOf(hook: string): Promise<string> {
  try {
    return (await output(hook, "--version")).trim();
  } catch (cause) {
    throw new UserError(`${quoted(hook)} can't be executed: ${CONSEQUENCE}`, {
      cause,
      hint: `see why: ${shellWord(hook)} --version; is it mounted with noexec? findmnt -T ${shellWord(hook)}`,
    });
  }
}

async function output(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(program, {
    args,
    clearEnv: true,
    stdin: "null",
    stderr: "null",
    signal: AbortSignal.timeout(PATIENCE),
  }).output();
  return new TextDecoder().decode(stdout);
}

/** libvirtd looks for hooks only when it starts. Once it has called this one, there is nothing to warn of. */
function checkDaemon({ daemons, programs, log }: Settings): void {
  const installed = Math.max(...programs.map((program) => files.lstat(program)?.ctime?.getTime() ?? 0));
  for (const daemon of daemons) {
    const started = files.lstat(daemon)?.mtime?.getTime();
    if (started === undefined || started >= installed) continue;
    const calls = (files.read(log) ?? "").split("\n").filter((line) => line.includes(": new session: "));
    if (calls.some((line) => Date.parse(line.slice(0, 19).replace(" ", "T") + "Z") > started)) continue;
    const name = /([^/]+)\.pid$/.exec(daemon)?.[1] ?? daemon;
    throw new UserError(
      `${name} was started before the hook was installed, and looks for hooks only when it starts`,
      { hint: `systemctl restart ${name}; guests run on` },
    );
  }
}

async function checkQemuImg({ qemuImg }: Settings): Promise<void> {
  const hint = "install it (Debian: apt install qemu-utils), or build with QEMU_IMG=/path/to/qemu-img";
  let said: string;
  try {
    said = await output(qemuImg, "--version");
  } catch (cause) {
    throw new UserError(`cannot run ${quoted(qemuImg)}: ${asUserError(cause).message}`, { cause, hint });
  }
  if (!said.startsWith("qemu-img ")) throw new UserError(`${quoted(qemuImg)} is no qemu-img`, { hint });
}
