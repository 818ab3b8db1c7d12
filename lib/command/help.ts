import type { Settings } from "../settings.ts";
import { type Verb, verbs } from "../input/event.ts";
import { commandSpecs, short, valued } from "./commands.ts";
import { operandsOf } from "./arguments.ts";

const EXIT = `exit codes: 0 done, or nothing to do; 1 refused, failed, or something needs attention;
            2 the command line is wrong`;

/** All commands, or all about one. */
export function help(verb?: Verb): string {
  return verb === undefined ? overview() : helpOf(verb);
}

function overview(): string {
  const commands = verbs.map((verb) => [usageOf(verb), commandSpecs[verb].summary] as const);
  const width = Math.max(...commands.map(([usage]) => usage.length));
  return `Virtual machine disks that come back clean at every boot.

usage: autorevert COMMAND [WORD...] [OPTION...]
       autorevert COMMAND --help
       autorevert --version
       qemu [--dry-run] DOMAIN OPERATION SUB-OPERATION EXTRA < DOMAIN.xml

${commands.map(([usage, summary]) => `  ${usage.padEnd(width)}  ${summary}`).join("\n")}

A guest without TARGETs means all its disks that are listed.
The last form is how libvirt runs it, as /etc/libvirt/hooks/qemu: OPERATION is what
happens to the guest: prepare, release, … With --dry-run it prints what it would do.

${EXIT}`;
}

function usageOf(verb: Verb): string {
  return `${verb} ${operandsOf(commandSpecs[verb])}`.trim();
}

function helpOf(verb: Verb): string {
  const { text, options } = commandSpecs[verb];
  const letterOf = (option: string) => Object.keys(short).find((letter) => short[letter] === option);
  const named = (option: string) =>
    Object.hasOwn(valued, option) ? `${option} ${valued[option] === "path" ? "IMAGE" : "N"}` : option;
  const all = Object.entries({ ...options, help: "this text" });
  const width = Math.max(...all.map(([option]) => named(option).length));
  const lines = all.map(([option, does]) => {
    const letter = letterOf(option);
    return `  ${letter === undefined ? "    " : `-${letter}, `}--${named(option).padEnd(width)}  ${does}`;
  });
  return `usage: autorevert ${usageOf(verb)}${Object.keys(options).length > 0 ? " [OPTION...]" : ""}

${text}

${lines.join("\n")}

${EXIT}`;
}

/** Version and places: what a build was made for. */
export function about(
  { version, imageFolders, firmwareFolders, configFolder, saveFolder, log, qemuImg }: Settings,
): string {
  const inLines = (folders: readonly string[]) => folders.join("\n                ");
  return `autorevert ${version}
image folders   ${inLines(imageFolders)}
firmware        ${inLines(firmwareFolders) || "stays as it is"}
configuration   ${configFolder}
managed saves   ${saveFolder}
log             ${log}
qemu-img        ${qemuImg}`;
}
