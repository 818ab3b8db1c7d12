/** Many guests that start at once under a real libvirtd, with the hook and with what else there is. Run inside sandbox.sh. */

import { at, CONFIG, Guest, ok, run, startLibvirtd, stopLibvirtd, virsh } from "../tests/e2e/libvirt.ts";
import { median } from "./measure.ts";

export interface Storm {
  readonly how: string;
  /** From the first `virsh start` until all guests are up. */
  readonly seconds: number;
  /** Of the processor, in all events of these starts, with what the hook runs. */
  readonly hookSeconds: number;
}

const GUESTS = 50;
const ROUNDS = 3;
const HOOK = "/etc/libvirt/hooks/qemu";
const TIMES = "/run/times";

/** A hook that does what another one does, and notes what that takes of the processor. */
function timed(command: string): string {
  return `#!/bin/sh\nexec time -q -a -o ${TIMES} -f '%U %S' ${command}\n`;
}

const python = `python3 ${
  new URL("original.py", import.meta.url).pathname
} ${CONFIG}/"$1".json /run/original.log "$1" "$2"`;

/** What is compared: the hook's text, and what a disk's XML says besides. */
const ways = [
  { how: "this hook", hook: timed('/run/gate "$@"'), transient: false },
  { how: "the Python original", hook: timed(python), transient: false },
  { how: "`<transient/>`, no hook", hook: undefined, transient: true },
  { how: "neither", hook: undefined, transient: false },
];

function hookSeconds(): number {
  const noted = Deno.readTextFileSync(at(TIMES)).match(/\d+\.\d+/g) ?? [];
  Deno.writeTextFileSync(at(TIMES), "");
  return noted.reduce((sum, seconds) => sum + Number(seconds), 0);
}

async function storm(guests: readonly Guest[]): Promise<Omit<Storm, "how">> {
  Deno.writeTextFileSync(at(TIMES), "");
  const begun = performance.now();
  await Promise.all(guests.map(({ name }) => virsh("start", "--paused", name)));
  const seconds = (performance.now() - begun) / 1000;
  const measured = { seconds, hookSeconds: hookSeconds() };
  for (const { name } of guests) await virsh("destroy", name);
  return measured;
}

/** Guests of its own for each way: what one leaves beside an image is not the other's. */
async function define(way: number): Promise<Guest[]> {
  const guests: Guest[] = [];
  for (let number = 0; number < GUESTS; number++) {
    const guest = await Guest.define(`storm-${way}-${number}`, { stay: true });
    guest.configure({ vda: false });
    guests.push(guest);
    if (!ways[way]!.transient) continue;
    const xml = await virsh("dumpxml", "--inactive", guest.name);
    Deno.writeTextFileSync(at("/run/storm.xml"), xml.replace("<target ", "<transient/><target "));
    await virsh("define", "/run/storm.xml");
  }
  return guests;
}

await startLibvirtd();
try {
  await ok("mv", HOOK, "/run/gate");
  const guests: Guest[][] = [];
  for (const way of ways.keys()) guests.push(await define(way));
  const rounds = new Map<string, Omit<Storm, "how">[]>(ways.map(({ how }) => [how, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [way, { how, hook }] of ways.entries()) {
      if (hook === undefined) await ok("rm", "-f", HOOK);
      else Deno.writeTextFileSync(at(HOOK), hook, { mode: 0o755 });
      // It looks for hooks when it starts.
      await stopLibvirtd();
      await ok("libvirtd", "--daemon");
      while ((await run("virsh", "-q", "list")).code !== 0);
      rounds.get(how)!.push(await storm(guests[way]!));
    }
  }
  const results = [...rounds].map(([how, list]): Storm => ({
    how,
    seconds: median(list.map(({ seconds }) => seconds)),
    hookSeconds: median(list.map(({ hookSeconds }) => hookSeconds)),
  }));
  console.log(JSON.stringify(results));
} finally {
  await stopLibvirtd("SIGKILL");
}
