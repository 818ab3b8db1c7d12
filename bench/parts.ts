/** The parts of a measurement, and what each yields. */

import { measureEvents } from "./events.ts";
import { measureGrowth } from "./growth.ts";
import { measureMerges } from "./merges.ts";
import { ok, Place, ROOT } from "./place.ts";
import { measurePool } from "./pool.ts";
import { measureSessions } from "./sessions.ts";
import type { Storm } from "./storm.ts";

export type Results = { [Part in keyof Parts]: Awaited<ReturnType<Parts[Part]>> };

type Parts = ReturnType<typeof partsIn>;

export function partsIn(place: Place, onDisk: Place) {
  const sizes = (Deno.env.get("MERGE_GIB") || "1").split(",").map(Number);
  return {
    host: () => host(onDisk.folder),
    events: () => measureEvents(place),
    onDisk: () => measureEvents(onDisk),
    growth: () => measureGrowth(place),
    cycles: () => underLibvirt<Record<"reverted" | "transient" | "neither", number>>("cycles.ts"),
    storm: () => underLibvirt<Storm[]>("storm.ts"),
    pool: async () => ({ ram: await measurePool(place), disk: await measurePool(onDisk) }),
    sessions: () => measureSessions(onDisk),
    // In a folder of its own: beside images that were written just now a merge goes slowly.
    merging: async () => measureMerges(await Place.make(`${onDisk.folder}/apart`, onDisk.programs), sizes),
  };
}

/** Under the libvirt of this machine, where no guest of its own is touched. */
async function underLibvirt<Measured>(file: string): Promise<Measured> {
  const run = [`${ROOT}build/deno`, "run", "-A", "--no-check", "--quiet", `${ROOT}bench/${file}`];
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
