import { UserError } from "../errors.ts";
import { type Host, startStamp } from "./host.ts";
import { lstat, resolve } from "./files.ts";
import { lock } from "./lock.ts";
import { fileLog } from "./log.ts";
import { performer } from "./perform.ts";
import { backingOf, isMarkedCorrupt } from "./qcow2.ts";
import { qemuImg } from "./qemu_img.ts";
import type { Settings } from "../settings.ts";
import { listed, quoted, shellWord } from "../text.ts";

/** The system itself, for the paths that a build fixes. */
export function realHost(settings: Settings): Host {
  const program = qemuImg(settings.qemuImg);
  const now = () => new Date();
  const here = {
    name: () => Deno.hostname(),
    now,
    booted: () => new Date(Date.now() - Deno.osUptime() * 1000),
  };
  return {
    ...here,
    settings,
    qemuImg: program,
    backingOf,
    isMarkedCorrupt,
    perform: performer(program, (domain) => startMerge(settings, domain), () => startStamp(here)),
    freeBytes: async (folder) => {
      const { bavail, bsize } = (await import("node:fs")).statfsSync(folder);
      return bavail * bsize;
    },
    fileSystem: async (folder) => (await import("node:fs")).statfsSync(folder).type >>> 0,
    lock,
    log: fileLog(settings.log, now),
    say: (line) => console.error(line),
    show: undefined,
    readXml: readStandardInput,
  };
}

/** All at once: streams cost more than the reading. */
function readStandardInput(): string {
  const decoder = new TextDecoder();
  const piece = new Uint8Array(64 * 1024);
  let text = "";
  for (let size = Deno.stdin.readSync(piece); size !== null; size = Deno.stdin.readSync(piece)) {
    text += decoder.decode(piece.subarray(0, size), { stream: true });
  }
  return text + decoder.decode();
}

/** A process of its own that outlives this one, and that libvirt doesn't wait for. */
function startMerge({ programs, gated, packaged }: Settings, domain: string): void {
  const places = [...programs, gated, packaged];
  // The name that it may run: /usr/sbin is another name of /usr/bin on some systems.
  // One that was replaced since it was called leaves the merge to the new one.
  const self = Deno.build.standalone
    ? Deno.execPath().replace(/ \(deleted\)$/, "")
    : new URL(Deno.mainModule).pathname;
  const isSelf = (path: string) => path === self || (lstat(path) !== undefined && resolve(path) === self);
  const program = places.find(isSelf) ?? (Deno.build.standalone ? self : programs[0]!);
  try {
    new Deno.Command(program, {
      args: ["merge", "--", domain],
      detached: true,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn().unref();
  } catch (cause) {
    throw cause instanceof Deno.errors.NotCapable ? notAllowed(self, domain, places) : cause;
  }
}

/** The program may run itself only where the build says that it is installed. */
function notAllowed(self: string, domain: string, places: readonly string[]): UserError {
  return new UserError(
    `${quoted(self)} can't merge in the background: that can be done only by the program at ${
      listed(places)
    }`,
    { hint: `merge now: ${shellWord(self)} merge ${shellWord(domain)}` },
  );
}
