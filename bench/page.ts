/** docs/performance.md, the numbers behind it, and its pictures. */

import { chart } from "./chart.ts";
import { goals, life, number, pythonLife } from "./goals.ts";
import type { Results } from "./parts.ts";
import { ROOT } from "./place.ts";

const DOCS = `${ROOT}docs`;
const RESULTS = `${DOCS}/performance.json`;

export async function readResults(): Promise<Record<string, unknown>> {
  return JSON.parse(await Deno.readTextFile(RESULTS));
}

export async function writeResults(results: Record<string, unknown>): Promise<void> {
  await Deno.mkdir(DOCS, { recursive: true });
  await Deno.writeTextFile(RESULTS, JSON.stringify(results, undefined, 1) + "\n");
}

export async function writePage(results: Results): Promise<void> {
  const { disks, disksAtRelease, configurations, starts } = results.growth;
  const files = {
    "performance.md": await page(results),
    "growth-disks.svg": chart("prepare", "disks of a domain", disks),
    "growth-release.svg": chart("release", "disks of a domain", disksAtRelease),
    "growth-configurations.svg": chart("prepare", "configuration files", configurations),
    "growth-starts.svg": chart("until all have started", "starts at one time", starts),
  };
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${DOCS}/${name}`, text);
}

async function page(results: Results): Promise<string> {
  const { host, events, onDisk, cycles, storm, merging, pool } = results;
  const empty = events.times["empty"]!.median;
  const event = (name: string, what = `\`${name}\``) => {
    const [ram, disk] = [events.times[name]!, onDisk.times[name]!];
    return [what, number(ram.median), number(ram.least), number(ram.median / empty), number(disk.median)];
  };
  const sizes = [...new Set(merging.merges.map(({ gib }) => gib))];
  const ways = [...new Set(merging.merges.map(({ how }) => how))];
  const rate = (how: string, gib: number, kind: string) =>
    merging.merges.find((merge) => merge.how === how && merge.gib === gib && merge.kind === kind)
      ?.mibPerSecond ?? "–";

  return `# Performance

Written by \`make bench\` on ${host.date}, from [performance.json](performance.json). Medians in milliseconds of whole
processes, started side by side in rounds in one run, at a real-time priority so that what else the machine does isn't
measured; page cache warm. Only what takes minutes (ends of large sessions, merges) shares the machine with whatever else
it did then, and is as exact as that.

${host.processor}; Linux ${host.kernel}; Deno ${host.deno}; qemu-img ${host.qemuImg}; Python ${host.python}; libvirt ${host.libvirt}.

## Goals

${
    table(
      ["", "should be", "is", "reached"],
      goals(results).map(({ what, limit, is, reached }) => [what, limit, is, reached ? "yes" : "**no**"]),
    )
  }

## Events

Images and configuration in memory (tmpfs), where an fsync costs nothing, and on this machine's disk (${host.fileSystem}).

${
    table(["", "median", "least", "in empty programs", "on the disk"], [
      event("true", "`/bin/true`"),
      event("empty", "empty program, compiled the same way"),
      event("create", "`qemu-img create`"),
      event("work", "`qemu-img create` and two `mv`, in sh"),
      event("unmanaged", "any event of a guest that isn't configured"),
      event("unmanaged alone", "the same, without the gate"),
      ...["start", "started", "stopped", "reconnect", "prepare"].map((name) => event(name)),
      event("prepare alone", "`prepare`, without the gate"),
      event("release", "`release` that reverts"),
      event("release alone", "the same, without the gate"),
      event("commit", "`release` that commits"),
      event("python", "Python original, any event"),
      event("python prepare", "Python original, `prepare`"),
      event("python release", "Python original, `release`"),
    ])
  }

A whole life of a guest, five events: ${number(life(events.times))} ms; of the Python original: ${
    number(pythonLife(events.times))
  } ms. Without the
gate each of the five would start a runtime: ${number(5 * empty)} ms.

An end, by what the session has written, on the disk. Where a session is forgotten, the file system frees its blocks:

${
    table(
      ["MiB written", "revert", "commit"],
      results.sessions.map((
        { mib, revert, commit },
      ) => [`${mib}`, number(revert.median), number(commit.median)]),
    )
  }

${
    table(
      ["peak memory", "MiB", "in empty programs"],
      Object.entries(events.memory).map((
        [name, kib],
      ) => [name, number(kib / 1024), number(kib / events.memory["empty"]!)]),
    )
  }

The binary has ${number(events.bytes.hook / 1024 ** 2)} MiB, the empty one ${
    number(events.bytes.empty / 1024 ** 2)
  }.

## Growth

![prepare and the disks of a domain](growth-disks.svg)
![release and the disks of a domain](growth-release.svg)
![prepare and the configuration files](growth-configurations.svg)
![starts at one time](growth-starts.svg)

## Under libvirt

\`virsh start --paused\` and \`virsh destroy\` of a guest with one disk, under a real libvirtd ${host.libvirt}:

${
    table(["", "ms"], [
      ["reverted by the hook", number(cycles.reverted)],
      ["reverted by `<transient/>`, the hook installed and not configured for it", number(cycles.transient)],
      ["neither, the hook installed", number(cycles.neither)],
    ])
  }

Fifty guests, all started at once with \`virsh start --paused\` (TCG), and the processor time that
the hook and its \`qemu-img\` take for that:

${
    table(
      ["", "seconds until all are up", "CPU seconds of the hook"],
      storm.map(({ how, seconds, hookSeconds }) => [how, number(seconds), number(hookSeconds)]),
    )
  }

## Seats

A seat beside a disk that is managed for itself, in ms:

${
    table(["", "in memory", "on the disk"], [
      ...([
        ["managed", "`prepare` of a managed disk"],
        ["seat", "`prepare` of a seat"],
        ["managed release", "`release` of a managed disk"],
        ["seat release", "`release` of a seat"],
      ] as const).map(([name, what]) => [
        what,
        number(pool.ram.events[name].median),
        number(pool.disk.events[name].median),
      ]),
      ...([
        ["managed", "fifty managed disks, started at once"],
        ["seats", "fifty seats of one master, started at once"],
        ["both", "both, a hundred guests at once"],
      ] as const).map((
        [name, what],
      ) => [what, number(pool.ram[name].median), number(pool.disk[name].median)]),
    ])
  }

An idle seat takes at most ${
    number(Math.max(pool.ram.idleBytes, pool.disk.idleBytes) / 1024)
  } KiB on the disk: its configuration.

## Merging a commit

MiB/s of the session's data, on this machine's disk, fsync included; a session that is one run of clusters, and one whose
clusters of 64 KiB are scattered over 60 GiB. \`hook\` is \`autorevert merge\`, which is what a commit starts.

${
    table(
      ["", ...sizes.flatMap((gib) => [`${gib} GiB contiguous`, "scattered"])],
      ways.map((how) => [
        how === "dd"
          ? "`dd conv=fsync`"
          : how === "hook"
          ? "**hook**"
          : `\`qemu-img commit\` ${how === "plain" ? "" : `\`${how}\``}`,
        ...sizes.flatMap((gib) => [`${rate(how, gib, "contiguous")}`, `${rate(how, gib, "scattered")}`]),
      ]),
    )
  }

A guest that writes 4 KiB at a time on the same disk, four requests under way: ${merging.guest.alone} writes a second alone,
${merging.guest.merging} while a commit is merged: beside a guest that is up the hook copies 32 MiB a second.

${await Deno.readTextFile(`${ROOT}bench/tried.md`)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, column) => column === 0 ? "---" : "---:")), ...rows.map(line)].join(
    "\n",
  );
}
