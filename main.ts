import { type Host, performer } from "./lib/host.ts";
import { parseInvocation, USAGE, Usage } from "./lib/invocation.ts";
import { handle } from "./lib/hook.ts";
import { fileLog } from "./lib/log.ts";
import { qemuImg } from "./lib/qemu_img.ts";
import { defaults, type Settings } from "./lib/settings.ts";
import { spoken } from "./lib/voice.ts";

/** The program, for the places that a build fixes. */
export async function main(settings: Settings): Promise<never> {
  try {
    const invocation = await parseInvocation(Deno.args);
    switch (invocation.kind) {
      case "help":
        console.log(USAGE);
        Deno.exit(0);
        break;
      case "version":
        console.log(about(settings));
        Deno.exit(0);
        break;
      case "event":
        Deno.exit(await handle(invocation.event, realHost(settings, invocation.dryRun)));
        break;
      case "command":
        Deno.exit(
          await (await import("./lib/command.ts")).obey(invocation.command, realHost(settings, false)),
        );
    }
  } catch (error) {
    if (!(error instanceof Usage)) throw error;
    console.error(spoken(error).join("\n"));
    Deno.exit(2);
  }
}

function realHost(settings: Settings, dryRun: boolean): Host {
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
    print: (line) => console.log(line),
    confirm,
    log: dryRun ? () => {} : fileLog(settings.log, now),
    say: (line) => console.error(line),
    show: dryRun ? (line) => console.log(line) : undefined,
    readXml: () => new Response(Deno.stdin.readable).text(),
    now,
  };
}

/** A process of its own that outlives this one, and that libvirt doesn't wait for. */
function startMerge({ programs }: Settings, domain: string): void {
  const self = Deno.build.standalone ? Deno.execPath() : programs[0]!;
  new Deno.Command(self, {
    args: ["merge", domain],
    detached: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn().unref();
}

function about({ version, imageFolders, configFolder, saveFolder, log, qemuImg }: Settings): string {
  return `autorevert ${version}
image folders   ${imageFolders.join("\n                ")}
configuration   ${configFolder}
managed saves   ${saveFolder}
log             ${log}
qemu-img        ${qemuImg}`;
}

if (import.meta.main) await main(defaults);
