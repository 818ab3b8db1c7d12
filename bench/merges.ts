/** How fast a commit is merged, and what a guest on the same disk notices of it. */

import { type Guest, ok, type Place, QEMU_IMG } from "./place.ts";

const GIB = 1024 ** 3;

export interface Merge {
  readonly gib: number;
  readonly kind: "contiguous" | "scattered";
  readonly how: string;
  readonly mibPerSecond: number;
}

/** The ways of `qemu-img commit` that are tried, with the smallest size all of them. */
const ways: Readonly<Record<string, string[]>> = {
  "plain": [],
  "-t none": ["-t", "none"],
  "-t writethrough": ["-t", "writethrough"],
  "-t unsafe": ["-t", "unsafe"],
};

/** @param sizes in GiB */
export async function measureMerges(place: Place, sizes: readonly number[]) {
  const merges: Merge[] = [];
  const guest = await place.guest("merged");
  for (const gib of sizes) {
    for (const kind of ["contiguous", "scattered"] as const) {
      const add = (how: string, seconds: number) =>
        merges.push({ gib, kind, how, mibPerSecond: rate(gib, seconds) });
      for (const [how, options] of Object.entries(ways)) {
        if (how !== "plain" && gib !== sizes[0]) continue;
        const overlay = await overlayOn(guest, gib, kind);
        add(
          how,
          await timed("sh", [
            "-c",
            `${QEMU_IMG} commit ${options.join(" ")} -d -f qcow2 ${overlay} && sync ${guest.images[0]}`,
          ]),
        );
        await Deno.remove(overlay);
      }
      await commit(guest, gib, kind);
      add("hook", await timed(place.hook, ["merge", guest.name]));
      if (!place.isPlain(guest)) throw new Error("the hook left something to merge");
    }
    const file = `${place.images}/dd.img`;
    const written = await timed("dd", [
      "if=/dev/zero",
      `of=${file}`,
      "bs=1M",
      `count=${gib * 1024}`,
      "conv=fsync",
      "status=none",
    ]);
    merges.push({ gib, kind: "contiguous", how: "dd", mibPerSecond: rate(gib, written) });
    await Deno.remove(file);
  }
  return { merges, guest: await noticed(guest, place) };
}

function rate(gib: number, seconds: number): number {
  return Math.round(gib * 1024 / seconds);
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

async function overlayOn(guest: Guest, gib: number, kind: Merge["kind"]): Promise<string> {
  await renew(guest);
  const overlay = `${guest.images[0]}.overlay`;
  await ok(QEMU_IMG, ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", guest.images[0]!, overlay]);
  await fill(overlay, gib, kind);
  return overlay;
}

async function renew(guest: Guest): Promise<void> {
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

async function timed(program: string, args: string[]): Promise<number> {
  const begun = performance.now();
  await ok(program, args);
  return (performance.now() - begun) / 1000;
}

/** Writes a second of a guest on the same disk, while nothing else happens and while a commit is merged. */
async function noticed(guest: Guest, place: Place): Promise<{ alone: number; merging: number }> {
  const other = (await place.guest("other")).images[0]!;
  const requests = 10_000;
  const writes = () =>
    timed(QEMU_IMG, [
      "bench",
      "-w",
      "-t",
      "none",
      "-f",
      "qcow2",
      "-d",
      "4",
      "-s",
      "4096",
      "-S",
      "1052672",
      "-c",
      `${requests}`,
      other,
    ]);
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
  const median = (numbers: number[]) => Math.round(numbers.toSorted((a, b) => a - b)[1]!);
  return { alone: median(list.alone), merging: median(list.merging) };
}
