/** The folders of one proof, and the program that is built for them. */

export const ROOT = new URL("..", import.meta.url).pathname;

/** Where the fixture of a proof lies, and what is built for it. */
export interface Places {
  readonly folder: string;
  /** Holds images, configuration and log: all that the program may touch. */
  readonly fixture: string;
  readonly tracer: string;
  readonly hook: string;
  readonly qemuImg: string;
}

/**
 * Builds the tracer and the hook for a folder of their own, which `use` gets and which is gone afterwards.
 *
 * It must not lie below /dev, where Deno asks for all permissions.
 */
export async function inPlaces<T>(
  use: (places: Places) => Promise<T>,
  { qemuImg = "/usr/bin/qemu-img", parent = "/tmp", fixture = "fixture" }: {
    qemuImg?: string | ((folder: string) => string);
    parent?: string;
    /** Path of the fixture in the folder. */
    fixture?: string;
  } = {},
): Promise<T> {
  const folder = Deno.realPathSync(Deno.makeTempDirSync({ dir: parent, prefix: "autorevert-proof-" }));
  try {
    const places = {
      folder,
      fixture: `${folder}/${fixture}`,
      tracer: `${folder}/tracer`,
      hook: `${folder}/dist/qemu`,
      qemuImg: typeof qemuImg === "string" ? qemuImg : qemuImg(folder),
    };
    buildTracer(places.tracer);
    build(places);
    return await use(places);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** What the build is told, for a hook whose places are in the fixture. */
export function environment({ fixture, folder, hook, qemuImg }: Places): Record<string, string> {
  return {
    IMAGE_DIRS: `${fixture}/images`,
    FIRMWARE_DIRS: `${fixture}/firmware`,
    CONFIG_DIR: `${fixture}/config`,
    SAVE_DIR: `${fixture}/save`,
    DOMAIN_DIR: `${fixture}/defined`,
    LIVE_DIR: `${fixture}/live`,
    DAEMONS: `${fixture}/libvirtd.pid`,
    LOG: `${fixture}/log`,
    QEMU_IMG: qemuImg,
    CONFIG_OWNER: String(Deno.uid()),
    PROGRAMS: hook,
    DIST: `${folder}/dist`,
  };
}

function build(places: Places): void {
  run(
    `${ROOT}build/deno`,
    ["run", "--quiet", "--no-check", "-A", `${ROOT}build/build.ts`],
    environment(places),
  );
}

function buildTracer(tracer: string): void {
  run("gcc", ["-O2", "-Wall", "-Wextra", "-Werror", "-o", tracer, `${ROOT}proof/tracer.c`]);
}

/** @throws with what it said, if it fails */
export function run(program: string, args: readonly string[], env: Record<string, string> = {}): string {
  const { success, stdout, stderr } = new Deno.Command(program, { args: [...args], env }).outputSync();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${text(stdout)}${text(stderr)}`);
  return text(stdout);
}
