/**
 * `make bench`: measures the hook, and writes docs/performance.json and the page that is made of it.
 *
 * MERGE_GIB says how much is merged, in GiB; several sizes with commas. Arguments name the parts to be measured again.
 */
import { measureEvents } from "./events.ts";
import { measureGrowth } from "./growth.ts";
import { measureMerges } from "./merges.ts";
import { readResults, writePage, writeResults } from "./page.ts";
import { ok, Place, ROOT } from "./place.ts";
import { measureSessions } from "./sessions.ts";
import { measureVersions } from "./versions.ts";

export type Results = { [Part in keyof Parts]: Awaited<ReturnType<Parts[Part]>> };

type Parts = ReturnType<typeof partsIn>;

function partsIn(place: Place, onDisk: Place) {
  const sizes = (Deno.env.get("MERGE_GIB") || "1").split(",").map(Number);
  return {
    host: () => host(onDisk.folder),
    events: () => measureEvents(place),
    onDisk: () => measureEvents(onDisk),
    versions: () => measureVersions(place),
    growth: () => measureGrowth(place),
    cycles,
    sessions: () => measureSessions(onDisk),
    // In a folder of its own: beside images that were written just now a merge goes slowly.
    merging: async () => measureMerges(await Place.make(`${onDisk.folder}/apart`, onDisk.programs), sizes),
  };
}

/** Measures the parts with these names, all of them where none is given; the others stay what they were. */
async function bench(names: readonly string[]): Promise<Results> {
  const folder = await Deno.makeTempDir({ dir: "/var/tmp", prefix: "autorevert-bench-" });
  const ram = `${folder}/ram`;
  await Deno.mkdir(ram);
  await ok("mount", ["-t", "tmpfs", "tmpfs", ram]);
  try {
    const place = await Place.make(`${ram}/place`, `${folder}/programs`);
    const onDisk = await Place.make(`${folder}/disk`, `${folder}/programs-disk`);
    const results: Record<string, unknown> = names.length === 0 ? {} : await readResults();
    for (const [name, measure] of Object.entries(partsIn(place, onDisk))) {
      if (names.length > 0 && !names.includes(name)) continue;
      await goFirst(!["sessions", "merging"].includes(name));
      const begun = performance.now();
      results[name] = await measure();
      await writeResults(results);
      console.error(`${name}: ${((performance.now() - begun) / 1000).toFixed(0)} s`);
    }
    return results as Results;
  } finally {
    await ok("umount", [ram]);
    await Deno.remove(folder, { recursive: true });
  }
}

/** A real-time priority, so that what else the machine does isn't measured. Merges give way, so they need others' turns. */
async function goFirst(really: boolean): Promise<void> {
  const policy = really ? ["--fifo", "--pid", "1"] : ["--other", "--pid", "0"];
  await ok("chrt", ["--all-tasks", ...policy, `${Deno.pid}`]);
}

/** Under the libvirt of this machine, where no guest of its own is touched. */
async function cycles(): Promise<Record<"reverted" | "transient" | "neither", number>> {
  const run = [`${ROOT}build/deno`, "run", "-A", "--no-check", "--quiet", `${ROOT}bench/cycles.ts`];
  return JSON.parse(await ok(`${ROOT}tests/e2e/sandbox.sh`, ["/", ...run]));
}

async function host(folder: string) {
  const model = /model name\s*: (.*)/.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1] ?? "unknown";
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: `${navigator.hardwareConcurrency} × ${model}`,
    kernel: Deno.osRelease(),
    fileSystem: (await ok("stat", ["-f", "-c", "%T", folder])).trim(),
    deno: Deno.version.deno,
    qemuImg: /version (\S+)/.exec(await ok("qemu-img", ["--version"]))![1]!,
    python: (await ok("/usr/bin/python3", ["--version"])).trim().replace("Python ", ""),
    libvirt: (await ok("libvirtd", ["--version"])).trim().replace(/^.* /, ""),
  };
}

if (Deno.uid() !== 0) {
  console.error("error: tmpfs, priorities and libvirtd need root: sudo make bench");
  Deno.exit(1);
}
await writePage(await bench(Deno.args));
