/** What has to be on stable storage before the next step: each primitive waits for it. */

import { assertEquals } from "@std/assert";
import * as files from "../lib/host/files.ts";
import { type Circumstance, Fixture } from "./fixture.ts";

/** The files and folders that are synced while something runs, by their names. */
function synced(fixture: Fixture, run: () => void): string[] {
  const names = new Map<number, string>();
  const inodes: number[] = [];
  const { syncSync } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.syncSync = function () {
    inodes.push(this.statSync().ino!);
    syncSync.call(this);
  };
  try {
    run();
  } finally {
    Deno.FsFile.prototype.syncSync = syncSync;
  }
  for (const path of [fixture.images, ...fixture.files().map((name) => `${fixture.images}/${name}`)]) {
    names.set(
      Deno.statSync(path).ino!,
      path === fixture.images ? "the folder" : path.slice(fixture.images.length + 1),
    );
  }
  return inodes.map((inode) => names.get(inode) ?? "another");
}

const owner = { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0, mode: 0o600 };

const cases: Readonly<
  Record<string, readonly [run: (one: string, two: string) => void, expected: readonly string[]]>
> = {
  "a link": [(one, two) => files.link(one, two), ["the folder"]],
  "a rename": [(one, two) => files.rename(one, two), ["the folder"]],
  "a removal": [(one) => files.remove(one), ["the folder"]],
  "a sync": [(one) => files.sync(one), ["vda.img"]],
  "a text": [(_, two) => files.write(two, "text", { durable: true, owner }), ["two", "the folder"]],
  "a text for a moment": [(_, two) => files.write(two, "text", { durable: false }), []],
  "a removal for a moment": [(one) => files.removeIfThere(one), []],
};

for (const [what, [run, expected]] of Object.entries(cases)) {
  Deno.test(`${what} waits for ${expected.join(" and then ") || "nothing"} to be on stable storage`, () => {
    using fixture = new Fixture().disks({ vda: false });
    assertEquals(synced(fixture, () => run(fixture.vda, `${fixture.images}/two`)), [...expected]);
  });
}

/** What each step of a start and of a committing end waits for. */
const waits: Readonly<Record<string, readonly string[]>> = {
  note: ["file", "folder"],
  starting: [],
  link: ["folder"],
  create: [],
  own: [],
  sync: ["file"],
  rename: ["folder"],
  remove: ["folder"],
  clear: ["file", "folder"],
  background: [],
};

Deno.test("the note and a cleared flag are on stable storage before the next step, the word of a start need not be", async () => {
  using fixture = new Fixture().disks({ vda: true });
  const order: string[] = [];
  const { syncSync } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.syncSync = function () {
    order.push(this.statSync().isDirectory ? "folder" : "file");
    syncSync.call(this);
  };
  const steps: [kind: string, synced: string[]][] = [];
  const perform: NonNullable<Circumstance["perform"]> = (inner) => async (step, control) => {
    order.length = 0;
    await inner(step, control);
    steps.push([step.kind, [...order]]);
  };
  try {
    await fixture.good("prepare", "-", { perform });
    await fixture.good("started");
    await fixture.good("release", "shutdown", { perform, mergeDies: true });
  } finally {
    Deno.FsFile.prototype.syncSync = syncSync;
  }
  assertEquals(steps, steps.map(([kind]) => [kind, waits[kind]]));
  assertEquals(new Set(steps.map(([kind]) => kind)), new Set(Object.keys(waits)));
});
