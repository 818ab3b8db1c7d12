/**
 * A master's guest, its seats, merges and commands, whose steps come in any order, some of them killed: a seat that is up sees
 * what it began with, that was a whole version of the master, and in the end nothing stays behind.
 *
 * `SCHEDULES=n` tries so many random orders, `SEED=n` repeats one of them.
 */

import { assert, assertEquals } from "@std/assert";
import { type Content, DOMAIN, exists, Fixture, LATER } from "./fixture.ts";
import { Pool } from "./pool.ts";
import { type Random, randomly } from "./random.ts";
import { type Task, Tasks } from "./tasks.ts";

const SCHEDULES = Number(Deno.env.get("SCHEDULES") ?? 60);
const SEED = Deno.env.get("SEED");

class Classroom {
  tasks = new Tasks();
  readonly pool: Pool;
  /** Sessions of the master's guest by their number: whether what they write may become part of the disk. */
  readonly #flagged: boolean[] = [];
  /** What saved guests expect. */
  readonly #saved = new Map<string, Content>();
  readonly #open = new Map<Task, string>();

  constructor(readonly fixture: Fixture) {
    this.pool = new Pool(fixture);
  }

  how(task: Task, domain: string) {
    return {
      domain,
      ...domain !== DOMAIN && { xml: this.pool.xml(domain) },
      wrap: task.wrap,
      background: (domain: string) =>
        void this.tasks.spawn(`merge of ${domain}`, async (task) => {
          await this.fixture.merge(this.how(task, domain));
        }),
    };
  }

  kill(task: Task): void {
    task.kill();
    const image = this.#open.get(task);
    if (image !== undefined) this.fixture.busy.delete(image);
  }

  async #up(task: Task, image: string, act: () => Promise<void>): Promise<void> {
    this.#open.set(task, image);
    this.fixture.busy.add(image);
    await act();
    this.fixture.busy.delete(image);
    this.#open.delete(task);
  }

  /** A life of the master's guest. @returns whether it came up */
  async master(task: Task, flag: boolean, reason: string): Promise<boolean> {
    const { fixture, pool } = this;
    const event = async (operation: string, extra = "-") =>
      (await fixture.event(operation, extra, this.how(task, DOMAIN))).code === 0;
    fixture.configure({ vda: flag });
    if (!await event("prepare") || fixture.busy.has(pool.master)) {
      await event("release", "failed");
      return false;
    }
    await this.#up(task, pool.master, async () => {
      const number = this.#flagged.push(flag) - 1;
      await event("started");
      for (const half of ["a", "b"]) fixture.write(pool.master, `${half} ${number}`);
      await task.gate();
    });
    await event("release", reason);
    return true;
  }

  /** A life of a seat, or of what is saved of it. @returns whether it came up */
  async seat(task: Task, seat: string, reason: string): Promise<boolean> {
    const { fixture, pool } = this;
    const image = pool.image(seat);
    const event = async (operation: string, extra = "-") =>
      (await fixture.event(operation, extra, this.how(task, seat))).code === 0;
    const expected = this.#saved.get(seat);
    if (expected) await event("restore");
    if (!await event("prepare")) {
      await event("release", "failed");
      return false;
    }
    const content = fixture.read(image);
    if (expected) assertEquals(content, expected, `${seat} after its save`);
    this.#saved.delete(seat);
    this.check(content, seat);
    const isSame = () => assertEquals(fixture.read(image), content, `${seat} sees something else`);
    await this.#up(task, image, async () => {
      for (let times = 0; times < 3; times++) {
        await task.gate();
        isSame();
      }
      assert(await event("started"));
      isSame();
      await task.gate();
      isSame();
    });
    if (reason === "saved") this.#saved.set(seat, content);
    await event("release", reason);
    return true;
  }

  /** No session that was not to be kept, and none in part. */
  check(content: Content, whose: string): void {
    for (const [number, flag] of this.#flagged.entries()) {
      const halves = ["a", "b"].map((half) => `${half} ${number}` in content);
      assertEquals(halves[0], halves[1], `${whose} sees half of session ${number}`);
      assert(flag || !halves[0], `${whose} sees session ${number}, which was not to be kept`);
    }
  }

  async alone(act: (task: Task) => Promise<unknown>): Promise<void> {
    this.tasks = new Tasks();
    const task = this.tasks.spawn("alone", async (task) => void await act(task));
    await this.tasks.finishAll();
    if (task.error) throw task.error;
  }

  /** Everybody comes up and ends, and nothing stays behind. */
  async checkAfter(): Promise<void> {
    const { fixture, pool } = this;
    this.fixture.booted = LATER;
    const left = new Set([DOMAIN, ...pool.seats]);
    for (let round = 0; round < 3 && left.size > 0; round++) {
      for (const guest of left) {
        await this.alone(async (task) => {
          const isUp = guest === DOMAIN
            ? await this.master(task, false, "shutdown")
            : await this.seat(task, guest, "shutdown");
          if (isUp) left.delete(guest);
        });
      }
    }
    assertEquals([...left], [], "refused for ever");
    // What was set aside goes with the next start.
    for (const seat of pool.seats) await this.alone((task) => this.seat(task, seat, "shutdown"));
    await this.alone((task) => this.master(task, false, "shutdown"));
    await this.alone((task) => fixture.merge(this.how(task, DOMAIN)));
    this.check(fixture.disk("vda"), "the master");
    for (const seat of pool.seats) assert(pool.isIdle(seat), `${seat} is idle`);
    assertEquals(pool.layers.length, 1, "all is merged");
    const [number] = pool.layers;
    assertEquals(fixture.files(), [
      "vda.img",
      "vda.img.autorevert-master",
      `vda.img.backing_file${number === 0 ? "" : `.${number}`}`,
    ]);
    await this.alone((task) =>
      fixture.type(["disable", ...pool.seats.slice(0, 1)], true, this.how(task, "seat1"))
    );
    assert(!exists(`${fixture.config}/seat1.json`));
  }
}

type Act = readonly [name: string, does: (room: Classroom, task: Task) => Promise<unknown>];

const ends = ["shutdown", "crashed", "-", "saved"];

function actsOf(guest: string, random: Random): Act {
  const reason = random.one(ends);
  if (guest !== DOMAIN) return [`${guest}: life, ${reason}`, (room, task) => room.seat(task, guest, reason)];
  const flag = random.chance(0.6);
  const end = reason === "saved" ? "shutdown" : reason;
  return [`master: ${flag ? "flagged " : ""}life, ${end}`, (room, task) => room.master(task, flag, end)];
}

const commands: readonly Act[] = [["undo"], ["merge"], ["check"], ["status"], ["recover"]].map(([verb]) => [
  `${verb}`,
  (room, task) => {
    const yes = ["undo", "recover"].includes(verb!) ? ["--yes"] : [];
    return room.fixture.type([verb!, DOMAIN, ...yes], true, room.how(task, DOMAIN));
  },
]);

Deno.test(
  `${SCHEDULES} random orders of a master, its seats and commands lose and mix nothing`,
  { sanitizeOps: false, sanitizeResources: false },
  async () => {
    for (const seed of SEED === undefined ? Array(SCHEDULES).keys() : [Number(SEED)]) {
      using fixture = new Fixture();
      const room = new Classroom(fixture);
      const random = randomly(seed);
      fixture.keys = { "keep-commits": random.below(3) };
      const names: string[] = [];
      try {
        for (let before = random.below(3); before > 0; before--) {
          await room.alone((task) => room.master(task, true, "shutdown"));
        }
        room.tasks = new Tasks();
        const all = [DOMAIN, ...room.pool.seats, "command"].flatMap((guest) => {
          const acts = Array.from(
            { length: random.below(4) },
            () => guest === "command" ? random.one(commands) : actsOf(guest, random),
          );
          if (acts.length === 0) return [];
          names.push(acts.map(([name]) => name).join(", "));
          return [
            room.tasks.spawn(guest, async (task) => {
              for (const [, does] of acts) await does(room, task);
            }),
          ];
        });
        const killed = all.length > 0 && random.chance(0.4) ? random.one(all) : undefined;
        const at = random.below(60);
        await room.tasks.finishAll((ready) => {
          if (killed !== undefined && !killed.isOver && killed.calls === at) {
            room.kill(killed);
            return undefined;
          }
          return random.one(ready);
        });
        fixture.keys = {};
        await room.checkAfter();
      } catch (cause) {
        throw new Error(
          `SEED=${seed} build/deno test -A tests/pool_interleave_test.ts: ${names.join("; ")}`,
          {
            cause,
          },
        );
      }
    }
  },
);
