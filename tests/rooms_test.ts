/** The rooms of lib, and which of them may import from which: data runs one way, and no import runs in a circle. */

import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url);

/** What each room may import from, besides itself and what lies beside the rooms. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  state: [],
  input: [],
  host: ["state", "input"],
  hook: ["state", "input", "host"],
  command: ["state", "input", "host", "hook"],
};

/** Modules of this project, by path, each with those that it imports. */
const imports = graph();

function graph(): ReadonlyMap<string, readonly string[]> {
  const modules = ["main.ts", ...["lib", "build", "demo", "bench", "tests", "proof"].flatMap(sources)];
  const all = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    const lines = modules.map((path) => `import type {} from ${JSON.stringify(new URL(path, ROOT).href)};\n`);
    Deno.writeTextFileSync(all, lines.join(""));
    const { RESOLUTION = "" } = Deno.env.toObject();
    const { stdout } = new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", ...RESOLUTION.split(" ").filter(Boolean), all],
      cwd: ROOT,
    }).outputSync();
    const { modules: found } = JSON.parse(new TextDecoder().decode(stdout)) as Info;
    return new Map(found.flatMap(({ specifier, dependencies = [] }) => {
      const path = pathOf(specifier);
      if (path === undefined) return [];
      const targets = dependencies.flatMap(({ code, type }) => pathOf((code ?? type)?.specifier) ?? []);
      return [[path, targets] as const];
    }));
  } finally {
    Deno.removeSync(all);
  }
}

/** What `deno info --json` tells, as far as it matters here. */
interface Info {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly { readonly code?: Target; readonly type?: Target }[];
  }[];
}

interface Target {
  readonly specifier?: string;
}

function pathOf(specifier: string | undefined): string | undefined {
  return specifier?.startsWith(ROOT.href) ? specifier.slice(ROOT.href.length) : undefined;
}

function sources(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? sources(`${folder}/${name}`) : name.endsWith(".ts") ? [`${folder}/${name}`] : []
  );
}

function roomOf(path: string): string | undefined {
  return /^lib\/(\w+)\//.exec(path)?.[1];
}

Deno.test("every module of lib is in a room, or is one of those that all rooms use", () => {
  const modules = sources("lib");
  assert(modules.length > 40 && modules.every((path) => imports.has(path)));
  const beside = modules.filter((path) => roomOf(path) === undefined).sort();
  assertEquals(beside, ["lib/errors.ts", "lib/settings.ts", "lib/text.ts"]);
  assertEquals([...new Set(modules.flatMap((path) => roomOf(path) ?? []))].sort(), Object.keys(rooms).sort());
});

Deno.test("rooms import only from those that they may", () => {
  for (const [path, targets] of imports) {
    if (!path.startsWith("lib/")) continue;
    const room = roomOf(path);
    const allowed = room === undefined ? [] : [room, ...rooms[room]!];
    for (const target of targets) {
      // The schema is data, and npm/ stands in for packages.
      assert(/^(?:lib|npm)\/|\.json$/.test(target), `${path} imports ${target}`);
      const to = roomOf(target);
      assert(to === undefined || allowed.includes(to), `${path} imports ${target}, against the direction`);
    }
  }
});

Deno.test("no import runs in a circle", () => {
  const done = new Set<string>();
  const follow = (path: string, way: readonly string[]) => {
    assert(!way.includes(path), `a circle of imports: ${[...way, path].join(" → ")}`);
    if (done.has(path)) return;
    for (const target of imports.get(path) ?? []) follow(target, [...way, path]);
    done.add(path);
  };
  for (const path of imports.keys()) follow(path, []);
  assert(done.size > 100);
});

Deno.test("what is pure asks the system for nothing", () => {
  for (const path of sources("lib/state")) {
    const text = Deno.readTextFileSync(new URL(path, ROOT));
    assertEquals(/\bDeno\.|"node:/.exec(text), null, path);
  }
});
