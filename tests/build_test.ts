import { createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url).pathname;
const sources = ["build", "config.schema.json", "deno.json", "deno.lock", "lib", "main.ts", "npm"];

/** What a copy of the sources in this folder is built into: files, their bytes and the times that a program keeps. */
function built(folder: string): Map<string, string> {
  Deno.mkdirSync(`${folder}/.deno`, { recursive: true });
  const copy = (paths: string[], to: string) => {
    const { success } = new Deno.Command("cp", { args: ["-R", ...paths, to] }).outputSync();
    assert(success);
  };
  copy(sources.map((path) => ROOT + path), folder);
  // The packages come from where this process has them from.
  const network = [...Deno.readDirSync(`${ROOT}.deno`)].filter(({ isFile }) => isFile);
  copy(network.map(({ name }) => `${ROOT}.deno/${name}`), `${folder}/.deno`);
  const files = new Map<string, string>();
  for (const form of [[], ["--script"]]) {
    const { stderr, success } = new Deno.Command(`${folder}/build/deno`, {
      args: ["run", "--quiet", "--no-check", "-A", `${folder}/build/build.ts`, ...form],
      env: { DENO: Deno.execPath(), DIST: "" },
    }).outputSync();
    // Where no runtime for compiled programs is at hand, the pieces of one are.
    const said = new TextDecoder().decode(stderr);
    assert(success || said.includes("deno compile failed"), said);
  }
  const add = (path: string) => {
    const at = `${folder}/dist/${path}`;
    const { isDirectory, mtime } = Deno.statSync(at);
    if (path.startsWith("pieces")) files.set(`time of ${path}`, `${mtime?.getTime()}`);
    if (isDirectory) { for (const { name } of Deno.readDirSync(at)) add(`${path}/${name}`); }
    else files.set(path, createHash("sha256").update(Deno.readFileSync(at)).digest("hex"));
  };
  for (const { name } of Deno.readDirSync(`${folder}/dist`)) if (name !== "entry.ts") add(name);
  return files;
}

Deno.test("the same sources make the same bytes, wherever and whenever they are built", () => {
  const folder = Deno.makeTempDirSync({ prefix: "autorevert-" });
  try {
    const [one, other] = [built(`${folder}/a`), built(`${folder}/some/where/else`)];
    assert(one.has("gate") && one.has("qemu.js") && one.has("pieces/entry.js"));
    assertEquals([...one.keys()].sort(), [...other.keys()].sort());
    assertEquals([...one].filter(([path, bytes]) => other.get(path) !== bytes).map(([path]) => path), []);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
