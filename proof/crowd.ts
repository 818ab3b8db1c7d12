/**
 * A crowd of guests under each libvirt there is, in the sandbox of the end-to-end tests: in the short run under the machine's
 * own. `ROOTS` names the systems.
 */

const root = new URL("..", import.meta.url).pathname;

if (Deno.uid() !== 0) {
  console.error("error: libvirtd needs root: sudo make proof PART=crowd");
  Deno.exit(1);
}
const roots = Deno.env.get("ROOTS")?.split(" ") ?? ["/", ...Deno.env.get("SHORT") === "1" ? [] : trixie()];
let failed = false;
for (const system of roots) {
  const { success } = await new Deno.Command(`${root}tests/e2e/sandbox.sh`, {
    args: [system, `${root}build/deno`, "run", "--quiet", "--no-check", "-A", `${root}proof/crowd/crowd.ts`],
    cwd: root,
  }).spawn().status;
  failed ||= !success;
}
Deno.exit(failed ? 1 : 0);

/** Debian 13 in a folder, where it can be had. */
function trixie(): string[] {
  const { success, stdout } = new Deno.Command(`${root}tests/e2e/trixie`).outputSync();
  return success ? [new TextDecoder().decode(stdout).trim()] : [];
}
