/** The real programs of QEMU, where a test needs real images. */

import { defaults } from "../lib/settings.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/**
 * With an image: a command of `qemu-io` on it, such as `read` and `write`. Without: one of `qemu-img`.
 *
 * @throws if it fails; a `read -P` does where the content is another
 */
export function qemuIo(command: readonly string[], image?: string): string {
  const [program, args] = image === undefined ? [defaults.qemuImg, [...command]] : ["qemu-io", [
    "--image-opts",
    "-c",
    command.join(" "),
    `driver=qcow2,file.filename=${optional(image)}`,
  ]];
  const { success, stdout, stderr } = new Deno.Command(program, { args }).outputSync();
  const said = text(stdout) + text(stderr);
  if (!success || said.includes("Pattern verification failed")) {
    throw new Error(`${program} ${args.join(" ")}: ${said}`);
  }
  return said;
}

/** A comma ends a value unless it is doubled. */
function optional(path: string): string {
  return path.replaceAll(",", ",,");
}

/** Another process that has an image open for writing, as a guest would, until it is disposed of. */
export async function openInQemu(image: string, format = "qcow2"): Promise<AsyncDisposable> {
  const child = new Deno.Command("qemu-io", {
    args: ["--image-opts", `driver=${format},file.filename=${optional(image)}`],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const stdin = child.stdin.getWriter();
  const stdout = child.stdout.getReader();
  // It answers only when it has the image open.
  await stdin.write(new TextEncoder().encode("length\n"));
  for (let said = ""; !/\d/.test(said);) {
    const { value, done } = await stdout.read();
    if (done) throw new Error(`qemu-io could not open ${image}`);
    said += text(value);
  }
  return {
    async [Symbol.asyncDispose]() {
      await stdin.close();
      await stdout.cancel();
      await child.status;
    },
  };
}
