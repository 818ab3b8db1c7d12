/** The program as a process of its own, with the permissions of a build. */

import { permissions } from "../build/build.ts";
import { qemuImg } from "../lib/host/qemu_img.ts";
import { defaults } from "../lib/settings.ts";
import { shellWord } from "../lib/text.ts";
import { qemuIo } from "./qemu.ts";
import { Fixture, temporaryFolder } from "./fixture.ts";

/**
 * How this very process finds its packages, as `build/deno` says. The lock saves the program questions to a registry that
 * it could only ask with this process's environment.
 */
const resolution = Deno.env.get("RESOLUTION")!.split(" ");

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Makes the program for the places of a fixture. */
export function install(fixture: Fixture): string {
  const record = `${fixture.root}/record.ts`;
  const program = `${fixture.root}/autorevert`;
  const settings = { ...fixture.settings, programs: [program] };
  const main = JSON.stringify(import.meta.resolve("../main.ts"));
  Deno.writeTextFileSync(record, `import { main } from ${main};\nawait main(${JSON.stringify(settings)});\n`);
  const command = [Deno.execPath(), ...["run", "--quiet", ...resolution, ...permissions(settings), record]];
  // The program that it starts to merge: itself.
  Deno.writeTextFileSync(program, `#!/bin/sh\nexec ${command.map(shellWord).join(" ")} "$@"\n`, {
    mode: 0o755,
  });
  return program;
}

/** A file that was just written is busy as long as a process that another test starts meanwhile hasn't come to its own program. */
async function spawned(command: Deno.Command): Promise<Deno.ChildProcess> {
  for (let tries = 20;; tries--) {
    try {
      return command.spawn();
    } catch (error) {
      if (tries === 0 || !String(error).includes("Text file busy")) throw error;
      await new Promise((wait) => setTimeout(wait, 50));
    }
  }
}

/** Runs the program for the places of a fixture. */
export async function run(fixture: Fixture, args: readonly string[], xml = ""): Promise<Ran> {
  const child = await spawned(
    new Deno.Command(install(fixture), {
      args: [...args],
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }),
  );
  const stdin = child.stdin.getWriter();
  // An event that doesn't care for the XML ends without reading it.
  await stdin.write(new TextEncoder().encode(xml)).catch(() => {});
  await stdin.close().catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Not in memory: below /dev Deno asks for all permissions, whatever was granted. */
export const outsideDev = () => new Fixture(temporaryFolder("/tmp"));

/** A guest with a real image, and its flag set. */
export function fixtureWithDisk(): Fixture {
  const fixture = outsideDev();
  fixture.qemuImg = qemuImg(defaults.qemuImg);
  qemuIo(["create", "-f", "qcow2", fixture.vda, "1M"]);
  fixture.sources.set("vda", fixture.vda);
  fixture.configure({ vda: true });
  return fixture;
}
