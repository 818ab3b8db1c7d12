/** What an end costs, by what the session has written: libvirt waits for it. */

import { repeated, type Times } from "./measure.ts";
import { ok, type Place } from "./place.ts";

export interface Session {
  readonly mib: number;
  readonly revert: Times;
  readonly commit: Times;
}

/** What is written at a time, in MiB. */
const PIECE = 64;

export async function measureSessions(place: Place): Promise<Session[]> {
  const guest = await place.guest("sessions");
  const [image] = guest.images;
  const run = async (mib: number, commit: boolean) => {
    while (!place.isPlain(guest)) await new Promise((wake) => setTimeout(wake, 50));
    guest.configure(commit);
    await guest.start();
    for (let at = 0; at < mib; at += PIECE) {
      await ok("qemu-io", ["-t", "none", "-f", "qcow2", "-c", `write -q ${at}M ${PIECE}M`, image!]);
    }
    await ok("sync", [image!]);
  };
  const end = () => guest.handle("release", "end", "shutdown");
  const sessions: Session[] = [];
  for (const mib of [0, 64, 1024]) {
    const revert = await repeated(5, end, () => run(mib, false));
    const commit = await repeated(5, end, () => run(mib, true));
    sessions.push({ mib, revert, commit });
  }
  await run(0, false);
  await end();
  return sessions;
}
