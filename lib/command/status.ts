import { wordsOf } from "./conditions.ts";
import { type GuestStatus, statusOf } from "./guest_status.ts";
import { type Column, table } from "./table.ts";
import { paint, type Terminal } from "./terminal.ts";
import type { EventContext } from "../hook/context.ts";
import type { Host } from "../host/host.ts";
import { shellWord, size } from "../text.ts";

/**
 * Prints how the guests' disks are.
 *
 * @returns 1 if something needs attention
 */
export async function status(
  contexts: readonly EventContext[],
  host: Host,
  json: boolean,
  terminal: Terminal,
): Promise<0 | 1> {
  const guests: GuestStatus[] = [];
  for (const context of contexts) guests.push(await statusOf(context));
  if (json) terminal.print(JSON.stringify({ guests }, undefined, 2));
  else if (guests.length > 0) { for (const line of tableOf(guests, terminal)) terminal.print(line); }
  const bad = guests.filter(({ trouble, disks }) => trouble ?? disks.some(({ trouble }) => trouble));
  if (!json) say(guests, bad, host);
  return bad.length > 0 ? 1 : 0;
}

function say(guests: readonly GuestStatus[], bad: readonly GuestStatus[], host: Host): void {
  const names = bad.map(({ domain }) => shellWord(domain)).join(" ");
  if (bad.length > 0) host.say(`hint: what to do about it: autorevert check ${names}`);
  if (guests.length === 0) {
    host.say(
      "hint: no guest is configured; to have a disk go back at every start: autorevert enable DOMAIN TARGET",
    );
  }
}

function tableOf(guests: readonly GuestStatus[], terminal: Terminal): string[] {
  const rows = guests.flatMap(({ domain, trouble, disks }) => [
    ...trouble === null ? [] : [{ ...unknown, domain, state: `needs attention: ${trouble}` }],
    ...disks.map((disk) => ({ ...disk, domain })),
  ]);
  const column = (title: string, cell: (row: typeof rows[number]) => string): Column => ({
    title,
    cells: rows.map(cell),
  });
  const columns: Column[] = [
    column("DOMAIN", ({ domain }) => domain),
    column("DISK", ({ target }) => target),
    column("SESSION", ({ session }) => session ? size(session.bytes) : "-"),
    column("AGE", ({ session }) => session ? age(session.time) : "-"),
    column("LAYERS", ({ layers }) => layers > 0 ? String(layers) : "-"),
    column("FLAG", ({ oneShotCommit }) => oneShotCommit ? "commit" : "-"),
    {
      ...column("STATE", ({ state }) => state),
      paint: (text, row) => paint(text, wordsOf[rows[row]!.situation].colour, terminal),
    },
  ];
  return table(columns, terminal.width);
}

/** What a guest has in its line whose disks can't be told. */
const unknown = {
  target: "-",
  session: null,
  layers: 0,
  oneShotCommit: false,
  situation: "attention",
} as const;

/** Time since then, as people say it. */
function age(time: string): string {
  const minutes = Math.max(0, Math.floor((Date.now() - Date.parse(time)) / 60_000));
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60 / 24)} days`;
}
