/** How fast a commit is merged, and what a guest on the same disk notices of it. */

import { median } from "./measure.ts";
import { type Guest, ok, type Place, QEMU_IMG } from "./place.ts";

const GIB = 1024 ** 3;

export interface Merge {
  readonly gib: number;
  readonly kind: "contiguous" | "scattered";
  readonly how: string;
  readonly mibPerSecond: number;
}

/** Options of `qemu-img commit` that are tried with the smallest size alone. Without `-d` it empties the overlay. */
const others = ["-d", "-t none", "-t writethrough", "-t unsafe"];

/** Medians of so many rounds, in each of which every way has its turn: a disk's speed changes by the minute. */
const ROUNDS = 3;

/** One way of copying. */
interface Way {
  readonly how: string;
  readonly before: () => Promise<void>;
  readonly run: () => Promise<unknown>;
}

/** @param sizes in GiB */
export async function measureMerges(place: Place, sizes: readonly number[]) {
  const merges: Merge[] = [];
  const guest = await place.guest("merged");
  const [image] = guest.images;
  const file = `${place.folder}/dd`;
  for (const gib of sizes) {
    for (const kind of ["contiguous", "scattered"] as const) {
      const qemuImg = (options: string): Way => ({
        how: options || "plain",
        before: () => overlayOn(guest, gib, kind),
        run: () =>
          ok("sh", ["-c", `${QEMU_IMG} commit ${options} -f qcow2 ${overlayOf(guest)} && sync ${image}`]),
      });
      const ways: Way[] = [
        qemuImg(""),
        {
          how: "hook",
          before: () => commit(guest, gib, kind),
          run: () => ok(place.hook, ["merge", guest.name]),
        },
        ...gib === sizes[0] ? others.map(qemuImg) : [],
        ...kind === "contiguous"
          ? [{
            how: "dd",
            before: () => remove(file),
            run: () => ok("dd", ["if=/dev/zero", `of=${file}`, "bs=1M", `count=${gib * 1024}`, "conv=fsync"]),
          }]
          : [],
      ];
      const times = new Map<string, number[]>(ways.map(({ how }) => [how, []]));
      for (let round = 0; round < ROUNDS; round++) {
        for (const { how, before, run } of ways) {
          await before();
          times.get(how)!.push(await timed(run));
          if (how === "hook" && !place.isPlain(guest)) throw new Error("the hook left something to merge");
        }
      }
      for (const [how, list] of times) {
        merges.push({ gib, kind, how, mibPerSecond: Math.round(gib * 1024 / median(list)) });
      }
    }
  }
  await remove(file);
  return { merges, guest: await noticed(guest, place) };
}

/** A session that is committed, merged nowhere yet: the merge that the hook starts is asked to stop. */
async function commit(guest: Guest, gib: number, kind: Merge["kind"]): Promise<void> {
  await renew(guest);
  const kept = JSON.parse(await Deno.readTextFile(guest.configuration));
  kept.disks[0] = { ...kept.disks[0], "one-shot-commit": true, "keep-commits": 1 };
  await Deno.writeTextFile(guest.configuration, JSON.stringify(kept));
  await guest.start();
  await fill(guest.images[0]!, gib, kind);
  await guest.handle("release", "end", "shutdown");
  guest.configure(false);
}

const overlayOf = (guest: Guest) => `${guest.images[0]}.overlay`;

async function overlayOn(guest: Guest, gib: number, kind: Merge["kind"]): Promise<void> {
  await renew(guest);
  const names = ["-b", guest.images[0]!, overlayOf(guest)];
  await ok(QEMU_IMG, ["create", "-q", "-f", "qcow2", "-F", "qcow2", ...names]);
  await fill(overlayOf(guest), gib, kind);
}

async function remove(file: string): Promise<void> {
  await ok("rm", ["-f", file]);
}

async function renew(guest: Guest): Promise<void> {
  await remove(overlayOf(guest));
  await ok(QEMU_IMG, ["create", "-q", "-f", "qcow2", guest.images[0]!, "64G"]);
}

/** Writes in pieces of 64 KiB, one after the other or each in a place of its own. */
async function fill(image: string, gib: number, kind: Merge["kind"]): Promise<void> {
  const piece = 64 * 1024;
  const pieces = gib * GIB / piece;
  const options = ["bench", "-q", "-w", "-t", "none", "-n", "-f", "qcow2", "-d", "16", "-s", `${piece}`];
  const apart = kind === "contiguous" ? piece : Math.floor(60 / gib) * piece;
  await ok(QEMU_IMG, [...options, "-S", `${apart}`, "-c", `${pieces}`, "--pattern=7", image]);
  await ok("sync", [image]);
}

/** How long it takes, in seconds. */
async function timed(run: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await run();
  return (performance.now() - begun) / 1000;
}

/** Writes a second of a guest on the same disk, while nothing else happens and while a commit is merged. */
async function noticed(guest: Guest, place: Place): Promise<{ alone: number; merging: number }> {
  const other = (await place.guest("other")).images[0]!;
  const requests = 10_000;
  const options = ["-w", "-t", "none", "-f", "qcow2", "-d", "4", "-s", "4096", "-S", "1052672"];
  const writes = () => timed(() => ok(QEMU_IMG, ["bench", ...options, "-c", `${requests}`, other]));
  await writes();
  const list = { alone: [] as number[], merging: [] as number[] };
  for (let run = 0; run < 3; run++) {
    list.alone.push(requests / await writes());
    await commit(guest, 1, "scattered");
    // The guest is up when the merge begins.
    await writes();
    let merges = true;
    const merge = ok(place.hook, ["merge", guest.name]).finally(() => merges = false);
    const begun = performance.now();
    let done = 0;
    for (; merges; done += requests) await writes();
    list.merging.push(done * 1000 / (performance.now() - begun));
    await merge;
  }
  return { alone: Math.round(median(list.alone)), merging: Math.round(median(list.merging)) };
}
