/**
 * `make bench`: measures the hook, and writes docs/performance.json and the page that is made of it.
 *
 * MERGE_GIB says how much is merged, in GiB; several sizes with commas. Arguments name the parts to be measured again.
 */

import { readResults, writePage, writeResults } from "./page.ts";
import { partsIn, type Results } from "./parts.ts";
import { ok, Place } from "./place.ts";

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
    // The merge of the last commit may still be at work there.
    await ok("umount", ["--lazy", ram]);
    await Deno.remove(folder, { recursive: true });
  }
}

/** A real-time priority, so that what else the machine does isn't measured. Merges give way, so they need others' turns. */
async function goFirst(really: boolean): Promise<void> {
  const policy = really ? ["--fifo", "--pid", "1"] : ["--other", "--pid", "0"];
  await ok("chrt", ["--all-tasks", ...policy, `${Deno.pid}`]);
}

if (Deno.uid() !== 0) {
  console.error("error: tmpfs, priorities and libvirtd need root: sudo make bench");
  Deno.exit(1);
}
await writePage(await bench(Deno.args));
