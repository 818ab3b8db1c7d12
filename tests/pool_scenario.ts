/** Events of masters and seats, to be cut short anywhere, and what must be true then. */

import { assert, assertEquals } from "@std/assert";
import { type Circumstance, DOMAIN, exists } from "./fixture.ts";
import { isOperation } from "../lib/input/event.ts";
import type { Pool } from "./pool.ts";
import { namesOf } from "../lib/state/paths.ts";

export interface PoolScenario {
  readonly name: string;
  /** To just before the event. */
  readonly setUp: (pool: Pool) => Promise<void>;
  /** The words that the program is called with. */
  readonly args: readonly string[];
  /** What may come next of the first seat, up to a start that comes up. */
  readonly next: readonly (readonly (readonly [operation: string, extra: string])[])[];
  /** The version that the first seat finds then; where nothing is said, one of the master's newest two. */
  readonly finds?: "saved";
}

const fresh = ["prepare", "-"] as const;
const failed = ["release", "failed"] as const;
const restore = ["restore", "-"] as const;

/** Another seat runs on the first version, and one is saved on the second; the master has three. */
async function busyPool(pool: Pool): Promise<void> {
  await pool.start("seat2");
  await pool.commit("second");
  await pool.start("seat3");
  pool.fixture.write(pool.image("seat3"), "saved");
  await pool.stop("seat3", "saved");
  await pool.commit("third");
  pool.fixture.configure({ vda: false });
}

export const poolScenarios: readonly PoolScenario[] = [
  {
    name: "the first start on a plain master",
    setUp: () => Promise.resolve(),
    args: ["seat1", "prepare", "begin", "-"],
    next: [[failed, fresh], [fresh]],
  },
  {
    name: "a start",
    setUp: busyPool,
    args: ["seat1", "prepare", "begin", "-"],
    next: [[failed, fresh], [fresh]],
  },
  {
    name: "a start of a guest with a disk of its own",
    setUp: async (pool) => {
      await busyPool(pool);
      pool.mix("seat1");
    },
    args: ["seat1", "prepare", "begin", "-"],
    next: [[failed, fresh], [fresh]],
  },
  {
    name: "a start after a power cut",
    setUp: async (pool) => {
      await pool.start("seat1");
      await busyPool(pool);
      pool.fixture.busy.delete(pool.image("seat1"));
    },
    args: ["seat1", "prepare", "begin", "-"],
    next: [[failed, fresh], [fresh], [["release", "daemon"], fresh]],
  },
  {
    name: "an end",
    setUp: async (pool) => {
      await busyPool(pool);
      await pool.start("seat1");
      pool.fixture.busy.delete(pool.image("seat1"));
    },
    args: ["seat1", "release", "end", "shutdown"],
    next: [[fresh], [["release", "daemon"], fresh]],
  },
  {
    name: "an end that sets the session aside",
    setUp: async (pool) => {
      await busyPool(pool);
      pool.configure("seat1", { "keep-session": true });
      await pool.start("seat1");
      await pool.stop("seat1");
      await pool.start("seat1");
      pool.fixture.busy.delete(pool.image("seat1"));
    },
    args: ["seat1", "release", "end", "shutdown"],
    next: [[fresh], [["release", "daemon"], fresh]],
  },
  {
    name: "a start that sets a session aside which was left beside another one",
    setUp: async (pool) => {
      await busyPool(pool);
      pool.configure("seat1", { "keep-session": true });
      await pool.start("seat1");
      await pool.stop("seat1", "saved");
      await pool.start("seat1");
      await pool.stop("seat1");
    },
    args: ["seat1", "prepare", "begin", "-"],
    next: [[failed, fresh], [fresh]],
  },
  {
    name: "a start from a save",
    setUp: async (pool) => {
      await busyPool(pool);
      await pool.event("seat3", "restore");
    },
    args: ["seat3", "prepare", "begin", "-"],
    next: [[restore, fresh], [failed, restore, fresh]],
    finds: "saved",
  },
  {
    name: "a start in place of a saved guest",
    setUp: busyPool,
    args: ["seat3", "prepare", "begin", "-"],
    next: [[failed, restore, fresh], [restore, fresh]],
    finds: "saved",
  },
  {
    name: "a start in place of a saved guest, beside what an earlier one has set aside",
    setUp: async (pool) => {
      await busyPool(pool);
      await pool.fixture.type(["recover", "seat3", "--discard", "--yes"]);
      for (const which of ["older", "saved"]) {
        await pool.start("seat3");
        pool.fixture.write(pool.image("seat3"), which);
        await pool.stop("seat3", "saved");
      }
    },
    args: ["seat3", "prepare", "begin", "-"],
    next: [[failed, restore, fresh], [restore, fresh]],
    finds: "saved",
  },
  {
    name: "a save",
    setUp: async (pool) => {
      await busyPool(pool);
      await pool.event("seat3", "restore");
      await pool.start("seat3");
      pool.fixture.busy.delete(pool.image("seat3"));
    },
    args: ["seat3", "release", "end", "saved"],
    next: [[restore, fresh], [["release", "saved"], restore, fresh]],
    finds: "saved",
  },
  {
    name: "the end of the master's session",
    setUp: async (pool) => {
      await busyPool(pool);
      await pool.fixture.start();
      pool.fixture.write(pool.master, "version", "junk");
    },
    args: [DOMAIN, "release", "end", "shutdown"],
    next: [[fresh]],
  },
  {
    name: "the end of the master's session that is committed",
    setUp: async (pool) => {
      await busyPool(pool);
      pool.fixture.configure({ vda: true });
      await pool.fixture.start();
      pool.fixture.write(pool.master, "version", "fourth");
    },
    args: [DOMAIN, "release", "end", "shutdown"],
    next: [[fresh]],
  },
  {
    name: "an undo of the master",
    setUp: async (pool) => {
      pool.fixture.keys = { "keep-commits": 5 };
      await busyPool(pool);
    },
    args: ["undo", DOMAIN, "--yes"],
    next: [[fresh]],
  },
  {
    name: "a merge beside a saved seat",
    setUp: async (pool) => {
      await busyPool(pool);
      await pool.stop("seat2");
    },
    args: ["merge", DOMAIN],
    next: [[fresh]],
  },
  {
    name: "a merge of the last two layers",
    setUp: async (pool) => {
      await busyPool(pool);
      await pool.stop("seat2");
      await pool.fixture.type(["recover", "seat3", "--discard", "--yes"]);
    },
    args: ["merge", DOMAIN],
    next: [[fresh]],
  },
  {
    name: "a publication",
    setUp: async (pool) => {
      pool.fixture.keys = { "keep-commits": 5, publish: "by hand" };
      pool.fixture.configure({ vda: false });
      await busyPool(pool);
    },
    args: ["publish", DOMAIN],
    next: [[fresh]],
  },
];

/** Takes the scenario's event, in this process. A merge that it starts never runs. */
export async function takeEvent({ args }: PoolScenario, pool: Pool, how: Circumstance): Promise<void> {
  const [first, operation, , extra] = args;
  const rest = { ...how, mergeDies: true };
  if (first === "merge") await pool.merge(how);
  else if (!isOperation(operation)) await pool.fixture.type(args, true, rest);
  else if (first === DOMAIN) await pool.fixture.event(operation!, extra, rest);
  else await pool.event(first!, operation!, extra, rest);
}

/** What others have, set down before the event. */
export class PoolExpectations {
  readonly #others: ReadonlyMap<string, string>;

  constructor(readonly pool: Pool, readonly scenario: PoolScenario) {
    const { fixture } = pool;
    this.#others = new Map(
      ["seat2", "seat3"].filter((seat) => exists(pool.image(seat)))
        .map((seat) => [seat, JSON.stringify(fixture.read(pool.image(seat)))]),
    );
  }

  /** What runs, and what is saved, reads as before, and each session stands on a layer that is there. */
  checkOthers(): void {
    const { pool, pool: { fixture } } = this;
    for (const [seat, content] of this.#others) {
      const { image, ended } = namesOf(pool.image(seat));
      const has = (path: string) => exists(path) && JSON.stringify(fixture.read(path)) === content;
      assert([image, ended].some(has), `${seat} has lost its session`);
    }
  }

  /** After these events, a seat runs beside whatever the master does, and in the end nothing is left. */
  async checkLives(sequence: PoolScenario["next"][number]): Promise<void> {
    const { pool, pool: { fixture }, scenario: { finds } } = this;
    const seat = finds === "saved" ? "seat3" : "seat1";
    for (const [operation, extra] of sequence) {
      const { code, said } = await pool.event(seat, operation, extra);
      if (operation === "prepare") assertEquals([code, said], [0, []]);
    }
    await pool.event(seat, "started");
    if (finds === "saved") assertEquals(fixture.read(pool.image(seat))["saved"], "yes");
    const version = pool.version(seat);
    const record = pool.record(seat);
    const { layer } = namesOf(pool.master);
    const own = pool.isMixed(seat) ? pool.own(seat) : undefined;
    if (own) assertEquals(fixture.backingOf(own), namesOf(own).layer(0));
    assertEquals(version, pool.of(fixture.read(layer(record!.layer))));
    fixture.busy.add(pool.image(seat));
    // Whatever the master does now, what runs stays as it is.
    await fixture.type(["recover", DOMAIN]);
    await pool.commit("later", {});
    assertEquals(pool.version(seat), version);
    await pool.merge();
    assertEquals(pool.version(seat), version);
    if (finds !== "saved") this.checkOthers();
    // When all have ended, nothing is left but the master, and one more life is as any other.
    fixture.keys = {};
    fixture.configure({ vda: false });
    for (const one of pool.seats) {
      if (fixture.busy.has(pool.image(one))) await pool.stop(one);
      if (pool.record(one)?.waits) await pool.event(one, "restore");
      await pool.start(one);
      await pool.stop(one);
      pool.configure(one);
      await pool.start(one);
      await pool.stop(one);
      assert(pool.isIdle(one), `${one} is idle`);
    }
    await fixture.start();
    await fixture.stop();
    await pool.merge();
    assertEquals(pool.layers.length, 1, "all is merged");
    assertEquals(pool.of(fixture.disk("vda")), "later");
    const [number] = pool.layers;
    assertEquals(fixture.files(), [
      ...own ? [own.slice(own.lastIndexOf("/") + 1)] : [],
      "vda.img",
      "vda.img.autorevert-master",
      `vda.img.backing_file${number === 0 ? "" : `.${number}`}`,
    ]);
    if (own) assertEquals(fixture.read(own), { base: "own" });
    assertEquals(fixture.files(fixture.config).filter((name) => /\.(seats|starting)$/.test(name)), []);
  }
}
