/**
 * Makes the hook: `dist/qemu` by `deno compile`, or with `--script` one file of JavaScript for hosts that have Deno.
 * Both are the same bundle, and both carry the same permissions. The places are taken from the environment, as `make`
 * exports them.
 */
import { gate } from "../lib/hook/gate.ts";
import { defaults, foldersOfHooks, type Settings } from "../lib/settings.ts";
import { settle, settled } from "./pieces.ts";
import project from "../deno.json" with { type: "json" };

const ROOT = new URL("..", import.meta.url).pathname;
const DIST = Deno.env.get("DIST") || `${ROOT}dist`;
/** Linux reads so much of a script's first line and silently drops the rest: BINPRM_BUF_SIZE, less one. */
const LONGEST_FIRST_LINE = 255;
/** How the binary is compiled. */
export const COMPILE = [
  ...["--quiet", "--no-config", "--no-lock", "--no-check"],
  // Otherwise a program that runs as root would load bytecode from a predictable name in /tmp.
  "--no-code-cache",
  // An event is over before machine code that V8 would make could be of use; without that it needs no right to make any,
  // which SELinux calls execmem.
  "--v8-flags=--single-threaded,--jitless",
];

/** @throws if a place could not be told from two in a list of permissions, or is not absolute */
export function settingsFrom(env: (name: string) => string | undefined): Settings {
  const places = (name: string, usual: readonly string[]) => {
    const paths = env(name)?.split(",").map((path) => path.replace(/(?<=.)\/+$/, "")) ?? usual;
    for (const path of paths) {
      if (/^(\/[\w.@%+=:-]+)+$/.test(path)) continue;
      throw new Error(
        `${name}: is ${
          JSON.stringify(path)
        }, should be an absolute path of letters, digits and ._@%+=:-\nhint: give another, or forget those of the last build: make clean`,
      );
    }
    return paths;
  };
  const place = (name: string, usual: string) => {
    const [path, ...more] = places(name, [usual]);
    if (more.length > 0) throw new Error(`${name}: should be one path`);
    return path!;
  };
  const owner = Number(env("CONFIG_OWNER") || defaults.configOwner);
  if (!Number.isInteger(owner) || owner < 0) throw new Error("CONFIG_OWNER: should be a user id");
  return {
    version: project.version,
    imageFolders: places("IMAGE_DIRS", defaults.imageFolders),
    firmwareFolders: env("FIRMWARE_DIRS") === "" ? [] : places("FIRMWARE_DIRS", defaults.firmwareFolders),
    configFolder: place("CONFIG_DIR", defaults.configFolder),
    saveFolder: place("SAVE_DIR", defaults.saveFolder),
    definedFolder: place("DOMAIN_DIR", defaults.definedFolder),
    liveFolder: place("LIVE_DIR", defaults.liveFolder),
    daemons: places("DAEMONS", defaults.daemons),
    log: place("LOG", defaults.log),
    programs: places("PROGRAMS", defaults.programs),
    gated: place("GATED", defaults.gated),
    packaged: defaults.packaged,
    qemuImg: place("QEMU_IMG", defaults.qemuImg),
    confinement: defaults.confinement,
    configOwner: owner,
  };
}

/** All that the hook may do, and nothing more. */
export function permissions(settings: Settings): string[] {
  const { imageFolders, firmwareFolders, configFolder, saveFolder, log, qemuImg } = settings;
  const { definedFolder, liveFolder, daemons } = settings;
  const programs = [...settings.programs, settings.gated, settings.packaged];
  // What events need comes first; the rest is for the administrator's questions.
  const readable = [
    imageFolders,
    firmwareFolders,
    configFolder,
    saveFolder,
    definedFolder,
    liveFolder,
    daemons,
    log,
    programs,
    foldersOfHooks(settings),
    Object.values(settings.confinement),
  ];
  return [
    "--no-prompt",
    `-R=${readable.flat().join(",")}`,
    `-W=${[...imageFolders, ...firmwareFolders, configFolder, log].join(",")}`,
    `--allow-run=${[qemuImg, ...programs].join(",")}`,
    // How much room there is for a merge, to be nice while it runs, and which host notes a start, and in which boot.
    "-S=statfs,setPriority,osUptime,hostname",
    // How wide an answer may be.
    "-E=COLUMNS",
  ];
}

/** What makes a script of the bundle. Where the permissions don't fit into the first line, a shell passes them. */
export function scriptHead(settings: Settings): string {
  const command = `deno run ${permissions(settings).join(" ")}`;
  const line = `#!/usr/bin/env -S ${command}\n`;
  if (line.length <= LONGEST_FIRST_LINE) return line;
  return `#!/bin/sh\n":" /*; exec ${command} "$0" "$@" # */;\n`;
}

async function deno(args: string[], env: Record<string, string> = {}): Promise<boolean> {
  return (await new Deno.Command(Deno.execPath(), { args, cwd: DIST, env }).spawn().status).success;
}

/**
 * Makes the binary of the pieces. The runtime's symbols, a quarter of it, are left out before: a compiled program is
 * behind the runtime in its file, and would go with them.
 */
async function compile(settings: Settings): Promise<void> {
  const args = ["compile", ...COMPILE, ...permissions(settings), "--output", "qemu", "pieces/entry.js"];
  const runtime = Deno.env.get("DENORT_BIN");
  if (runtime !== undefined && await isDone("strip", "-o", "denort", runtime)) {
    const isMade = await deno(args, { DENORT_BIN: `${DIST}/denort` });
    await Deno.remove(`${DIST}/denort`);
    if (isMade && await isDone(`${DIST}/qemu`, "--version")) return;
    console.error("note: the program doesn't run on a runtime without symbols, and gets it as it is");
  }
  if (await deno(args)) return;
  throw new Error(
    "deno compile failed\nhint: if its runtime can't be downloaded, name one of the same version: DENORT_BIN=/path/to/denort make build; " +
      "or use the script: make bundle",
  );
}

async function isDone(program: string, ...args: string[]): Promise<boolean> {
  const command = new Deno.Command(program, { args, cwd: DIST, stdout: "null", stderr: "null" });
  return await command.output().then(({ success }) => success, () => false);
}

async function build(): Promise<void> {
  const settings = settingsFrom(Deno.env.get);
  const resolution = (Deno.env.get("RESOLUTION") ?? "").split(" ").filter(Boolean);
  await Deno.mkdir(DIST, { recursive: true });
  const entry = `import { main } from ${JSON.stringify(`${ROOT}main.ts`)};\nawait main(${
    JSON.stringify(settings, undefined, 2)
  });\n`;
  await Deno.writeTextFile(`${DIST}/entry.ts`, entry);
  await Deno.writeTextFile(`${DIST}/gate`, gate(settings), { mode: 0o755 });
  const bundle = async (...output: string[]) => {
    if (!await deno(["bundle", "--quiet", ...resolution, ...output, "entry.ts"])) {
      throw new Error("deno bundle failed");
    }
  };
  if (Deno.args.includes("--script")) {
    await bundle("--output", "qemu.bundle.js");
    const script = settled(await Deno.readTextFile(`${DIST}/qemu.bundle.js`));
    await Deno.writeTextFile(`${DIST}/qemu.bundle.js`, script);
    await Deno.writeTextFile(`${DIST}/qemu.js`, scriptHead(settings) + script, { mode: 0o755 });
  } else {
    // In pieces: most events need the first only, and V8 reads all of a file before it runs any of it.
    const pieces = `${DIST}/pieces`;
    await Deno.remove(pieces, { recursive: true }).catch(() => {});
    await bundle("--minify", "--code-splitting", "--outdir", pieces);
    await settle(pieces, "entry.js");
    await compile(settings);
  }
}

if (import.meta.main) {
  try {
    await build();
  } catch (error) {
    console.error(`error: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
