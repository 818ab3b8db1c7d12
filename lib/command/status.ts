import { type Case, stateOf } from "../case.ts";
import * as files from "../files.ts";
import type { Occasion } from "../hook.ts";
import { progressOf } from "../merge.ts";
import { isTorn } from "../plan.ts";
import { asTrouble, shellWord, size, type Trouble } from "../voice.ts";
import { type Column, table } from "./columns.ts";
import { type Guest, lookAt, type Situation, type View } from "./guest.ts";
import { type Colour, paint, type Terminal } from "./terminal.ts";

/**
 * Prints how the guests' disks are.
 *
 * @returns 1 if something needs attention
 */
export async function status(
  occasions: readonly Occasion[],
  json: boolean,
  terminal: Terminal,
): Promise<0 | 1> {
  const guests: GuestStatus[] = [];
  for (const occasion of occasions) guests.push(await statusOf(occasion));
  if (json) terminal.print(JSON.stringify({ guests }, undefined, 2));
  else if (guests.length > 0) { for (const line of tableOf(guests, terminal)) terminal.print(line); }
  const bad = guests.filter(({ trouble, disks }) => trouble ?? disks.some(({ trouble }) => trouble));
  if (!json) say(occasions, bad);
  return bad.length > 0 ? 1 : 0;
}

function say([first]: readonly Occasion[], bad: readonly GuestStatus[]): void {
  if (first === undefined) return;
  const names = bad.map(({ domain }) => shellWord(domain)).join(" ");
  if (bad.length > 0) first.host.say(`hint: what to do about it: autorevert check ${names}`);
}

/** What `--json` tells of a guest. The shape is documented in the manual; keys are only ever added. */
interface GuestStatus {
  readonly domain: string;
  readonly running: boolean;
  readonly trouble: string | null;
  readonly disks: readonly DiskStatus[];
}

interface DiskStatus {
  readonly target: string;
  readonly image: string | null;
  readonly situation: Situation;
  /** In words. */
  readonly state: string;
  readonly oneShotCommit: boolean;
  /** Files that are the disk: the base and the commits on it. */
  readonly layers: number;
  readonly session: Extent | null;
  readonly setAside: Extent | null;
  /** Commits that are not merged, oldest first. */
  readonly commits: readonly Extent[];
  readonly merge: { readonly percent: number } | null;
  readonly trouble: string | null;
}

interface Extent {
  readonly bytes: number;
  /** Of a session its start, of what has ended its last write; ISO 8601. */
  readonly time: string;
}

async function statusOf(occasion: Occasion): Promise<GuestStatus> {
  const guest = await lookAt(occasion);
  const disks = await Promise.all(guest.disks.map((view) => diskStatus(view, guest, occasion)));
  return { domain: guest.domain, running: guest.isLive, trouble: wordsOf(guest.trouble), disks };
}

async function diskStatus(
  { target, disk, situation, trouble }: View,
  guest: Guest,
  occasion: Occasion,
): Promise<DiskStatus> {
  const flag = guest.config?.disks.find((disk) => disk.target === target)?.commit ?? false;
  const none = { layers: 0, session: null, setAside: null, commits: [], merge: null };
  const known = disk === undefined ? none : await extentsOf(disk, occasion);
  const rest = {
    target,
    image: disk?.names.image ?? null,
    situation,
    oneShotCommit: flag,
    trouble: wordsOf(trouble),
  };
  return { ...rest, ...known, state: inWords({ ...rest, ...known }, disk) };
}

type Known = Pick<DiskStatus, "layers" | "session" | "setAside" | "commits" | "merge">;

async function extentsOf(disk: Case, occasion: Occasion): Promise<Known> {
  const { names, entry, listing } = disk;
  const state = stateOf(disk);
  const layers = "layers" in state ? state.layers : [];
  const session = state.kind === "session" ? extent(names.image, entry?.started) : null;
  return {
    layers: Math.max(1, layers.length),
    session,
    setAside: listing.has(names.ended) ? extent(names.ended) : null,
    commits: layers.slice(1).map((number) => extent(names.layer(number))),
    merge: await mergeOf(disk, occasion),
  };
}

async function mergeOf(
  { target, names, entry, ...rest }: Case,
  { host, paths }: Occasion,
): Promise<Known["merge"]> {
  const state = stateOf({ target, names, entry, ...rest });
  if (entry === undefined || !("layers" in state) || !isTorn(entry, state)) return null;
  if ((await host.qemuImg.look(names.layer(state.layers[1]!))).kind !== "busy") return null;
  const progress = progressOf(paths.merging);
  return { percent: progress?.target === target ? progress.percent : 0 };
}

function extent(path: string, since?: string): Extent {
  const info = files.look(path);
  return { bytes: (info?.blocks ?? 0) * 512, time: since ?? (info?.mtime ?? new Date(0)).toISOString() };
}

function wordsOf(trouble: Trouble | undefined): string | null {
  return trouble === undefined ? null : asTrouble(trouble).message;
}

function inWords(disk: Omit<DiskStatus, "state">, found: Case | undefined): string {
  const { situation, oneShotCommit, setAside, commits, merge, trouble } = disk;
  if (situation === "attention") return `needs attention: ${trouble}`;
  const kept = Math.min(found?.keepCommits ?? 0, commits.length);
  const waiting = commits.length - kept;
  const count = (number: number) => number === 1 ? "a commit" : `${number} commits`;
  return [
    situations[situation],
    ...oneShotCommit ? [flagged[situation]] : [],
    ...waiting > 0
      ? [
        `${count(waiting)} ${
          merge ? `being merged, ${Math.floor(merge.percent)} %` : "waiting to be merged"
        }`,
      ]
      : [],
    ...kept > 0 ? [`${count(kept)} can be undone`] : [],
    ...setAside && situation !== "saved" ? ["last session set aside"] : [],
  ].join("; ");
}

const situations: Readonly<Record<Situation, string>> = {
  "clean": "clean",
  "running": "running on a session",
  "unprotected": "running on the disk itself until its next start",
  "saved": "saved, its session waits for it",
  "reverts": "its session died, and reverts at the next start",
  "resumes": "its session died, and goes on at the next start",
  "cut short": "cut short, and finished at the next event",
  "attention": "needs attention",
};

const next = "commit at the next session's end";
const flagged: Readonly<Record<Situation, string>> = {
  "clean": next,
  "running": "commit at its end",
  "unprotected": next,
  "saved": "commit at its end",
  "reverts": next,
  "resumes": "commit at its end",
  "cut short": "commit asked for",
  "attention": "commit asked for",
};

function tableOf(guests: readonly GuestStatus[], terminal: Terminal): string[] {
  const rows = guests.flatMap(({ domain, trouble, disks }) => [
    ...trouble === null
      ? []
      : [{ domain, target: "-", situation: "attention" as const, state: `needs attention: ${trouble}` }],
    ...disks.map((disk) => ({ domain, ...disk })),
  ]);
  const column = (title: string, cell: (row: typeof rows[number]) => string): Column => ({
    title,
    cells: rows.map(cell),
  });
  const columns: Column[] = [
    column("DOMAIN", ({ domain }) => domain),
    column("DISK", ({ target }) => target),
    column("SESSION", (row) => "session" in row && row.session ? size(row.session.bytes) : "-"),
    column("AGE", (row) => "session" in row && row.session ? age(row.session.time) : "-"),
    column("LAYERS", (row) => "layers" in row && row.layers > 0 ? String(row.layers) : "-"),
    column("FLAG", (row) => "oneShotCommit" in row && row.oneShotCommit ? "commit" : "-"),
    {
      ...column("STATE", ({ state }) => state),
      paint: (text, row) => paint(text, colours[rows[row]!.situation], terminal),
    },
  ];
  return table(columns, terminal.width);
}

const colours: Readonly<Partial<Record<Situation, Colour>>> = {
  "running": "green",
  "unprotected": "yellow",
  "saved": "blue",
  "reverts": "yellow",
  "resumes": "yellow",
  "cut short": "yellow",
  "attention": "red",
};

/** Time since then, as people say it. */
function age(time: string): string {
  const minutes = Math.max(0, Math.floor((Date.now() - Date.parse(time)) / 60_000));
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60 / 24)} days`;
}
