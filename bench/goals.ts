/** What the hook should reach, and whether it does. */

import type { Point } from "./growth.ts";
import { median } from "./measure.ts";
import type { Results } from "./parts.ts";

export interface Goal {
  readonly what: string;
  readonly limit: string;
  readonly is: string;
  readonly reached: boolean;
}

export function goals({ events, growth, sessions, merging, pool }: Results): Goal[] {
  const { times, memory, bytes } = events;
  const ms = (name: string) => times[name]!.median;
  const empty = ms("empty");
  const atMost = (what: string, is: number, limit: number, unit: string): Goal => ({
    what,
    limit: `at most ${number(limit)}${unit}`,
    is: `${number(is)}${unit}`,
    reached: is <= limit,
  });
  return [
    atMost("a whole life, in those of the Python original", life(times) / pythonLife(times), 0.5, ""),
    atMost("an unmanaged guest's event, in the Python original's", ms("unmanaged") / ms("python"), 0.05, ""),
    atMost("the same without the gate", ms("unmanaged alone") / ms("python"), 0.42, ""),
    atMost(
      "`prepare`: empty program + `qemu-img create` + 12 ms",
      ms("prepare"),
      empty + ms("create") + 12,
      " ms",
    ),
    atMost("`release` that reverts: empty program + 10 ms", ms("release"), empty + 10, " ms"),
    atMost("`release` that commits: 3 ms more than one that reverts", ms("commit"), ms("release") + 3, " ms"),
    atMost(
      `\`release\` that commits ${
        sessions.at(-1)!.mib
      } MiB: 3 ms more than one that commits nothing, on the disk`,
      sessions.at(-1)!.commit.median,
      sessions[0]!.commit.median + 3,
      " ms",
    ),
    atMost("peak memory at `prepare`, in empty programs", memory["prepare"]! / memory["empty"]!, 1.1, ""),
    atMost("size of the binary, in empty programs as Deno makes them", bytes.hook / bytes.empty, 1, ""),
    ...Object.entries({ "in memory": pool.ram, "on the disk": pool.disk }).map(([where, { events }]) =>
      atMost(
        `\`prepare\` of a seat, in that of a managed disk, ${where}`,
        events.seat.median / events.managed.median,
        1.1,
        "",
      )
    ),
    atMost(
      "bytes on the disk of an idle seat, the most of fifty",
      Math.max(pool.ram.idleBytes, pool.disk.idleBytes) / 1024,
      64,
      " KiB",
    ),
    ...Object.entries({
      "disks of a domain": growth.disks,
      "configuration files": growth.configurations,
      "starts at one time": growth.starts,
    }).map(([what, points]) =>
      atMost(`growth with the ${what}, in linear growth`, againstLinear(points), 1, "")
    ),
    {
      what: "merge, against plain `qemu-img commit`",
      limit: "at least 1, within 3 %",
      is: number(againstPlain(merging.merges)),
      reached: againstPlain(merging.merges) >= 0.97,
    },
    atMost(
      "I/O that a guest on the same disk loses to a merge",
      100 * (1 - merging.guest.merging / merging.guest.alone),
      10,
      " %",
    ),
  ];
}

type Times = Results["events"]["times"];

/** The five events of a guest that starts and ends. */
export function life(times: Times): number {
  return ["prepare", "start", "started", "stopped", "release"].reduce(
    (sum, name) => sum + times[name]!.median,
    0,
  );
}

export function pythonLife(times: Times): number {
  return times["python prepare"]!.median + 3 * times["python"]!.median + times["python release"]!.median;
}

/** The largest of the points, against what the first would have grown to. */
function againstLinear(points: readonly Point[]): number {
  const [first, last] = [points[0]!, points.at(-1)!];
  return last.times.median / (first.times.median * last.size / first.size);
}

/** The speed of the hook's merges in that of `qemu-img commit`: the median of all sizes and kinds. */
function againstPlain(merges: Results["merging"]["merges"]): number {
  const ratios = merges.filter(({ how }) => how === "hook").map((merge) =>
    merge.mibPerSecond /
    merges.find(({ how, gib, kind }) => how === "plain" && gib === merge.gib && kind === merge.kind)!
      .mibPerSecond
  );
  return median(ratios);
}

export function number(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
