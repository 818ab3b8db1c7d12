/**
 * Random lives of a seat on one and on two hosts with one folder of images, of which the first has the master: a guest that was saved
 * comes back to its own session, or is refused. `SEQUENCES=10000` makes it a long run, `SEED=n` repeats one sequence.
 */

import { assert, assertEquals } from "@std/assert";
import { bootAgain, tick } from "./boot.ts";
import { exists, Fixture } from "./fixture.ts";
import { Pool } from "./pool.ts";
import { type Random, randomly } from "./random.ts";
import { namesOf } from "../lib/state/paths.ts";

const SEQUENCES = Number(Deno.env.get("SEQUENCES") ?? 40);
const SEED = Deno.env.get("SEED");
const ACTIONS = 14;
const SEAT = "seat1";

/** A save that its host may restore. */
interface Saved {
  readonly host: number;
  readonly work: string;
  readonly version: string;
  /** How many sessions have come up since: the first one leaves this save's in place. */
  sessionsSince: number;
}

class Life implements Disposable {
  readonly trace: string[] = [];
  readonly fixtures: readonly Fixture[];
  readonly pools: readonly Pool[];
  running: { host: number; work: string; readonly version: string } | undefined;
  saves: Saved[] = [];
  #count = 0;

  constructor(readonly random: Random, hosts: number) {
    const first = new Fixture();
    first.keys = { "keep-commits": 2 };
    const others = Array.from({ length: hosts - 1 }, () => new Fixture(undefined, first.images));
    this.fixtures = [first, ...others];
    this.pools = this.fixtures.map((fixture) => new Pool(fixture, [SEAT]));
    for (const other of others) {
      Object.assign(other, { name: "there", busy: first.busy });
      Deno.removeSync(other.configFile);
    }
  }

  [Symbol.dispose](): void {
    for (const fixture of this.fixtures.toReversed()) fixture[Symbol.dispose]();
  }

  get first(): Pool {
    return this.pools[0]!;
  }

  get image(): string {
    return this.first.image(SEAT);
  }

  /** Whether a session with this content is there, in its place or set aside. */
  has(work: string): boolean {
    const { image, ended } = namesOf(this.image);
    return [image, ended].some((path) => exists(path) && this.first.fixture.read(path)["work"] === work);
  }

  write(host: number): string {
    const work = `w${++this.#count}`;
    this.fixtures[host]!.write(this.image, "work", work);
    return work;
  }

  async start(host: number): Promise<void> {
    const pool = this.pools[host]!;
    if ((await pool.event(SEAT, "prepare")).code !== 0) {
      this.trace.push("is refused");
      await pool.event(SEAT, "release", "failed");
      return;
    }
    assertEquals((await pool.event(SEAT, "started")).said, []);
    const version = pool.version(SEAT);
    assertEquals(version, this.first.of(this.first.fixture.disk("vda")), "begins with the newest commit");
    pool.fixture.busy.add(this.image);
    this.running = { host, work: this.write(host), version };
    for (const save of this.saves) save.sessionsSince++;
  }

  async save(): Promise<void> {
    const { host, work, version } = this.running!;
    assertEquals(this.pools[host]!.version(SEAT), version, "the version that it began with");
    await this.pools[host]!.stop(SEAT, "saved");
    this.saves.push({ host, work, version, sessionsSince: 0 });
    this.running = undefined;
  }

  async restore(host: number): Promise<void> {
    const pool = this.pools[host]!;
    const mine = this.saves.findLast((save) => save.host === host);
    // Two sessions later nothing of it is promised.
    if (mine === undefined || mine.sessionsSince > 1) return;
    await pool.event(SEAT, "restore");
    if ((await pool.event(SEAT, "prepare")).code !== 0) {
      this.trace.push("is refused");
      await pool.event(SEAT, "release", "failed");
      assert(this.has(mine.work), `${mine.work} is lost`);
      return;
    }
    const { work } = pool.fixture.read(this.image);
    assertEquals([work, pool.version(SEAT)], [mine.work, mine.version], "what it was saved on");
    assertEquals((await pool.event(SEAT, "started")).said, []);
    pool.fixture.busy.add(this.image);
    this.running = { host, work: mine.work, version: mine.version };
    // Only the last save of a guest fits its session: which of two files is restored nobody tells the hook.
    this.saves = this.saves.filter((save) => save.host !== host);
    for (const save of this.saves) save.sessionsSince++;
  }

  async migrate(isNoted: boolean): Promise<void> {
    const from = this.running!.host;
    const to = 1 - from;
    for (const operation of ["migrate", "prepare", "started"]) {
      assertEquals((await this.pools[to]!.event(SEAT, operation)).said, []);
    }
    await tick();
    this.running = { ...this.running!, host: to, work: this.write(to) };
    if (isNoted) await this.pools[from]!.event(SEAT, "release", "migrated");
    else await bootAgain(this.fixtures[from]!);
  }

  async cut(host: number): Promise<void> {
    if (this.running?.host === host) {
      this.first.fixture.busy.delete(this.image);
      this.running = undefined;
    }
    await bootAgain(this.fixtures[host]!);
  }

  async act(): Promise<void> {
    const host = this.random.below(this.pools.length);
    const always = ["merge", "commit", "undo", "cut"];
    const actions = this.running === undefined
      ? [...always, "start", "start", "start", "restore", "restore", "restore"]
      : [
        ...always,
        "write",
        "save",
        "save",
        "stop",
        ...this.pools.length > 1 ? ["migrate", "lost migrate"] : [],
      ];
    const action = this.random.one(actions);
    this.trace.push(`${action} at host ${host}`);
    switch (action) {
      case "start":
        return await this.start(host);
      case "restore":
        return await this.restore(host);
      case "write":
        this.running!.work = this.write(this.running!.host);
        return;
      case "save":
        return await this.save();
      case "stop":
        await this.pools[this.running!.host]!.stop(SEAT, "shutdown");
        this.running = undefined;
        return;
      case "migrate":
        return await this.migrate(true);
      case "lost migrate":
        return await this.migrate(false);
      case "cut":
        return await this.cut(host);
      case "merge":
        return void await this.first.merge();
      case "commit":
        return void await this.first.commit(`v${++this.#count}`, {});
      case "undo":
        this.first.fixture.configure({ vda: false });
        return void await this.first.fixture.type(["undo", "guest", "--yes"]);
    }
  }
}

async function sequence(seed: number, hosts: number): Promise<void> {
  using life = new Life(randomly(seed), hosts);
  try {
    for (let count = 0; count < ACTIONS; count++) {
      await tick();
      await life.act();
      const lost = life.saves.find(({ work, sessionsSince }) => sessionsSince === 0 && !life.has(work));
      assertEquals(lost, undefined, "a session that was saved on, and begun anew by nobody since");
    }
  } catch (cause) {
    const repeat = `SEED=${seed} build/deno test -A tests/two_hosts_pool_model_test.ts`;
    throw new Error(`${repeat}\n${life.trace.join("\n")}`, { cause });
  }
}

for (const hosts of [1, 2]) {
  Deno.test(`${SEQUENCES} random lives of a seat on ${hosts} host${hosts === 1 ? "" : "s"}: a saved guest comes back to its own session, or is refused`, async () => {
    for (const seed of SEED === undefined ? Array(SEQUENCES).keys() : [Number(SEED)]) {
      await sequence(seed, hosts);
    }
  });
}
