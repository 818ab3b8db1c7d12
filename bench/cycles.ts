/** Whole cycles of a guest under a real libvirtd: the hook's, `<transient/>`, and neither. Run inside sandbox.sh. */

import { at, Guest, startLibvirtd, stopLibvirtd, virsh } from "../tests/e2e/libvirt.ts";
import { median, repeated, type Times } from "./measure.ts";

const ROUNDS = 4;
const RUNS = 5;

await startLibvirtd();
try {
  const reverted = await Guest.define("reverted", { stay: true });
  reverted.configure({ vda: false });
  const transient = await Guest.define("transient", { stay: true });
  const xml = await virsh("dumpxml", "--inactive", transient.name);
  Deno.writeTextFileSync(at("/run/transient.xml"), xml.replace("<target ", "<transient/><target "));
  await virsh("define", "/run/transient.xml");
  const neither = await Guest.define("neither", { stay: true });

  const results: Record<string, Times[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name } of [reverted, transient, neither]) {
      (results[name] ??= []).push(
        await repeated(RUNS, async () => {
          await virsh("start", "--paused", name);
          await virsh("destroy", name);
        }),
      );
    }
  }
  const medians = Object.entries(results).map(([name, rounds]) => {
    const ofRounds = rounds.map((round) => round.median);
    return [name, median(ofRounds)];
  });
  console.log(JSON.stringify(Object.fromEntries(medians)));
} finally {
  await stopLibvirtd("SIGKILL");
}
