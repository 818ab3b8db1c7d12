import { type Host, performer } from "./lib/host.ts";
import { type Event, eventOf } from "./lib/invocation.ts";
import { handle } from "./lib/hook.ts";
import { fileLog } from "./lib/log.ts";
import { qemuImg } from "./lib/qemu_img.ts";
import { defaults, type Settings } from "./lib/settings.ts";

/** The program, for the places that a build fixes. */
export async function main(settings: Settings): Promise<never> {
  const event = eventOf(Deno.args);
  Deno.exit(event === undefined ? await command(settings) : await handle(event, realHost(settings)));
}

/** What an administrator types. None of it is loaded for an event. */
async function command(settings: Settings): Promise<number> {
  const { obey } = await import("./lib/command/obey.ts");
  const { realTerminal } = await import("./lib/command/terminal.ts");
  return await obey(
    Deno.args,
    realHost(settings),
    realTerminal(),
    (event: Event) =>
      handle(event, { ...realHost(settings), log: () => {}, show: (line) => console.log(line) }),
  );
}

function realHost(settings: Settings): Host {
  const program = qemuImg(settings.qemuImg);
  const now = () => new Date();
  return {
    settings,
    qemuImg: program,
    perform: performer(program, (domain) => startMerge(settings, domain)),
    freeBytes: async (folder) => {
      const { bavail, bsize } = (await import("node:fs")).statfsSync(folder);
      return bavail * bsize;
    },
    log: fileLog(settings.log, now),
    say: (line) => console.error(line),
    show: undefined,
    readXml: readStandardInput,
    now,
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
function startMerge({ programs }: Settings, domain: string): void {
  const self = Deno.build.standalone ? Deno.execPath() : programs[0]!;
  new Deno.Command(self, {
    args: ["merge", "--", domain],
    detached: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn().unref();
}

if (import.meta.main) await main(defaults);
