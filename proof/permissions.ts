/** What the compiled program can reach: tried from the inside, watched from the outside, and with a hostile neighbour. */

import { createServer } from "node:net";
import { assert } from "@std/assert";
import { permissions, settingsFrom } from "../build/build.ts";
import { hostileTricks } from "./hostile.ts";
import { environment, inPlaces, type Places, ROOT, run } from "./places.ts";
import { ProofFixture } from "./proof_fixture.ts";
import { readRecord } from "./record.ts";
import { summarize } from "./shares.ts";
import { Tally } from "./tally.ts";

/** Not in /tmp: whatever is opened there is none of the program's business. */
const APART = "/var/tmp";

interface Outcome {
  readonly what: string;
  readonly may: boolean;
  /** `done`, or the error. */
  readonly outcome: string;
  readonly isRight: boolean;
}

/** From the inside. */
async function probe(places: Places, tally: Tally): Promise<void> {
  const { fixture, folder, qemuImg } = places;
  const settings = settingsFrom((name) => environment(places)[name]);
  const binary = `${folder}/probe`;
  run(`${ROOT}build/deno`, [
    ...["compile", "--quiet", "--no-config", "--no-lock", "--no-check", "--no-code-cache"],
    ...permissions(settings),
    ...["--output", binary, `${ROOT}proof/probe.ts`],
  ]);
  const probed = {
    images: `${fixture}/images`,
    config: `${fixture}/config`,
    save: `${fixture}/save`,
    log: `${fixture}/log`,
    outside: `${fixture}/outside`,
    qemuImg,
  };
  for (const name of ["outside", "images-other"]) Deno.mkdirSync(`${fixture}/${name}`);
  for (const name of ["images", "images-other", "config", "save", "outside"]) {
    Deno.writeTextFileSync(`${fixture}/${name}/file`, "");
  }
  Deno.writeTextFileSync(`${fixture}/outside/file.js`, "");
  using _listener = await listen(`${fixture}/outside/socket`);
  const { stdout } = await new Deno.Command(binary, { args: [JSON.stringify(probed)], stderr: "inherit" })
    .output();
  for (const { what, may, outcome, isRight } of JSON.parse(new TextDecoder().decode(stdout)) as Outcome[]) {
    const row = may ? "what it may, it can" : "what it may not, it can't";
    if (isRight) tally.passed(row);
    else tally.failed(row, what, outcome);
  }
}

async function listen(path: string): Promise<Disposable> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(path, listening));
  return { [Symbol.dispose]: () => void server.close() };
}

/** The runtime doesn't govern from which files a program imports code: this one's imports are all its own. */
function imports({ folder }: Places, tally: Tally): void {
  const pieces = `${folder}/dist/pieces`;
  for (const { name: piece } of Deno.readDirSync(pieces)) {
    const text = Deno.readTextFileSync(`${pieces}/${piece}`);
    for (const [all, name] of text.matchAll(/\bimport\(([^)]*)\)/g)) {
      if (/^"(node:\w+|\.\/[\w.-]+\.js)"$/.test(name!)) tally.passed("imports of the program");
      else tally.failed("imports of the program", piece, all);
    }
  }
}

/** A guest's whole life, with all that the program does in it. */
const life: readonly (readonly string[])[] = [
  ["guest", "prepare", "begin", "-"],
  ["guest", "start", "begin", "-"],
  ["guest", "started", "begin", "-"],
  ["guest", "stopped", "end", "-"],
  ["guest", "release", "end", "shutdown"],
  ["guest", "prepare", "begin", "-"],
  ["guest", "started", "begin", "-"],
  ["guest", "release", "end", "-"],
  ["guest", "restore", "begin", "-"],
  ["guest", "prepare", "begin", "-"],
  ["guest", "release", "end", "failed"],
  ["guest", "prepare", "begin", "-"],
  ["guest", "started", "begin", "-"],
  ["guest", "release", "end", "-"],
  ["keep", "guest"],
  ["undo", "guest", "--yes"],
  ["merge", "guest"],
];

/** What the hook itself may open beyond its own places: what the loader and the runtime look at to start. */
const runtime =
  /^\/(lib|lib64|usr\/lib|usr\/local\/lib|etc\/ld\.so|proc\/|sys\/|dev\/(null|urandom)$|usr\/share\/locale|etc\/localtime)/;

/** From the outside: paths by program, as "read", "write" or "run". */
async function watch(fixture: ProofFixture, places: Places, tally: Tally): Promise<Map<string, Set<string>>> {
  const opened = new Map<string, Set<string>>();
  const record = `${places.folder}/record`;
  fixture.disks({ vda: true });
  for (const [at, args] of life.entries()) {
    if (at === 5) fixture.keys = { "keep-commits": 1 };
    if (at === 5) fixture.configure({ vda: false });
    const { code, stderr } = await fixture.trace(args, [
      "--under",
      "",
      "--calls",
      "open",
      "--record",
      record,
    ]);
    assert(code === 0, `${args.join(" ")}: ${stderr}`);
    for (const { program, call, path, to, result, flags = 0 } of readRecord(record)) {
      // A file that is synced was opened before.
      if (/^f(data)?sync$/.test(call)) continue;
      const writes = !(call === "openat" || call === "open") || (flags & 0o103) !== 0;
      const how = call.startsWith("exec") ? "run" : writes ? "write" : "read";
      for (const one of to === undefined ? [path] : [path, to]) {
        const by = program === "tracer" ? "qemu" : program;
        const isOk = by !== "qemu" && how === "read" || mayTouch(one, how, places);
        if (isOk) tally.passed("calls of a whole life");
        else tally.failed("calls of a whole life", args.join(" "), `${by} ${call} ${one}`);
        const shown = normal(one, places) + (result < 0 ? " (not there)" : "");
        const key = `${by}: ${how}`;
        opened.set(key, (opened.get(key) ?? new Set()).add(shown));
      }
    }
  }
  return opened;
}

function mayTouch(path: string, how: string, { fixture, hook, qemuImg, folder }: Places): boolean {
  const isIn = (...names: string[]) => names.some((name) => `${path}/`.startsWith(`${fixture}/${name}/`));
  if (how === "run") return path === qemuImg || path === hook;
  if (how === "write") return isIn("images", "config", "log") || path === "/dev/null";
  return isIn("images", "config", "save", "defined", "live", "libvirtd.pid", "log") || path === hook ||
    path === folder || runtime.test(path);
}

/** Without what differs from machine to machine and from run to run. */
function normal(path: string, { fixture, hook, folder }: Places): string {
  return path
    .replace(hook, "the program")
    .replace(`${fixture}/images`, "IMAGES")
    .replace(`${fixture}/config`, "CONFIG")
    .replace(`${fixture}/save`, "SAVES")
    .replace(`${fixture}/defined`, "DOMAINS")
    .replace(`${fixture}/live`, "LIVE")
    .replace(`${fixture}/libvirtd.pid`, "DAEMON")
    .replace(`${fixture}/log`, "LOG")
    .replace(folder, "FOLDER")
    .replace(/^\/proc\/\d+/, "/proc/self")
    .replace(/\/task\/\d+/, "/task/…")
    .replace(/\d+\.folder-lock/, "<inode>.folder-lock")
    .replace(/^\/(usr\/)?lib\/.*\.so[.\d]*( |$)/, "system libraries");
}

const begun = Date.now();
const tally = new Tally("tried", "points");
await inPlaces(async (places) => {
  {
    using _world = new ProofFixture(places);
    await probe(places, tally);
    imports(places, tally);
  }
  let opened: Map<string, Set<string>>;
  {
    using fixture = new ProofFixture(places);
    opened = await watch(fixture, places, tally);
  }
  for (const [key, paths] of [...opened].sort(([a], [b]) => a < b ? -1 : 1)) {
    console.log(`${key}\n  ${[...paths].sort().join("\n  ")}`);
  }
  await hostileTricks(places, tally);
}, { parent: APART });
summarize("What the program can reach", tally, begun);
