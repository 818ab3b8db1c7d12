/**
 * Guests on one image, and commands: each is stopped before any of its steps while another one goes on, and that, too.
 *
 * `TRIES=n` stops each pair at so many places, `SCHEDULES=n` tries so many random orders, `SEED=n` repeats one of them.
 */

import { assertEquals } from "@std/assert";
import { type Task, Tasks } from "./tasks.ts";
import { randomly } from "./random.ts";
import { Tree } from "./tree.ts";
import { type Session, Sessions } from "./sessions.ts";
import { Fixture } from "./fixture.ts";

const TRIES = Number(Deno.env.get("TRIES") ?? 4);
const SCHEDULES = Number(Deno.env.get("SCHEDULES") ?? 300);
const SEED = Deno.env.get("SEED");

/** As many steps as a life has. */
const MOST_STEPS = 20;

/** Guests whose processes run beside each other. */
class Image {
  readonly vda: string;
  tasks = new Tasks();
  readonly #open = new Map<Task, Disposable>();

  constructor(readonly fixture: Fixture, readonly sessions: Sessions) {
    this.vda = fixture.vda;
  }

  how(task: Task, domain: string) {
    return {
      domain,
      wrap: task.wrap,
      background: (domain: string) =>
        void this.tasks.spawn(`merge of ${domain}`, async (task) => {
          await this.fixture.merge(this.how(task, domain));
        }),
    };
  }

  /** QEMU opens the image: what it writes goes there, whatever becomes of the name. */
  open(task: Task): Disposable & { readonly write: (key: string) => void } | undefined {
    if (this.#open.size > 0) return undefined;
    const { fixture, vda } = this;
    const content = fixture.read(vda);
    const file = Deno.openSync(vda, { read: true, write: true });
    fixture.busy.add(vda);
    const qemu = {
      write: (key: string) => {
        const is = JSON.parse(Deno.readTextFileSync(vda));
        const bytes = new TextEncoder().encode(JSON.stringify({ ...is, data: { ...is.data, [key]: "yes" } }));
        file.seekSync(0, Deno.SeekMode.Start);
        file.truncateSync();
        file.writeSync(bytes);
        assertEquals(fixture.read(vda), { ...content, [key]: "yes" }, "the image is another file meanwhile");
      },
      [Symbol.dispose]: () => {
        file.close();
        fixture.busy.delete(vda);
        this.#open.delete(task);
      },
    };
    this.#open.set(task, qemu);
    return qemu;
  }

  /** A hook that is killed, or with its guest a whole host. */
  kill(task: Task): void {
    task.kill();
    this.#open.get(task)?.[Symbol.dispose]();
  }

  /** A whole life of a guest as libvirt tells of it. @returns whether it came up */
  async live(task: Task, guest: string, flag: boolean, reason: string): Promise<boolean> {
    const { fixture } = this;
    const how = this.how(task, guest);
    const event = async (operation: string, extra = "-") =>
      (await fixture.event(operation, extra, how)).code === 0;
    const fail = async () => {
      await event("stopped", reason === "-" ? reason : "failed");
      await event("release", reason === "-" ? reason : "failed");
      return false;
    };
    this.sessions.configure(guest, flag);
    if (!await event("prepare")) return await fail();
    await task.gate();
    if (reason === "no start") return await fail();
    let session: Session;
    {
      using qemu = this.open(task);
      if (qemu === undefined) return await fail();
      session = this.sessions.begin(guest);
      this.sessions.check(fixture.read(this.vda), session);
      await task.gate();
      await event("started");
      qemu.write(session.key);
      await task.gate();
    }
    await event("stopped", reason);
    await event("release", reason);
    this.sessions.end(session);
    return true;
  }
}

/** Something that happens beside something else. */
interface Act {
  readonly name: string;
  readonly does: (image: Image, task: Task, guest: string) => Promise<unknown>;
}

const life = (flag: boolean, reason: string): Act => ({
  name: `${flag ? "flagged " : ""}life, ${reason}`,
  does: (image, task, guest) => image.live(task, guest, flag, reason),
});

const command = (...words: string[]): Act => ({
  name: words.join(" "),
  does: async (image, task, guest) => {
    if (["undo", "keep", "recover"].includes(words[0]!)) image.sessions.isEdited = true;
    if (words[0] === "commit") image.sessions.flagged.add(guest);
    const [verb, ...more] = words;
    await image.fixture.type([verb!, guest, ...more], true, image.how(task, guest));
  },
});

const lives = [
  life(false, "shutdown"),
  life(true, "shutdown"),
  life(false, "-"),
  life(true, "-"),
  life(false, "no start"),
];
const commands = [
  command("check"),
  command("status"),
  command("recover"),
  command("recover", "--discard", "--yes"),
  command("undo", "--yes"),
  command("keep"),
  command("merge"),
  command("enable", "vda"),
  command("commit"),
];

/** How the image is before. */
const befores: readonly (readonly [string, (image: Image) => Promise<void>])[] = [
  ["plain", () => Promise.resolve()],
  ["with commits", async (image) => {
    for (const guest of image.sessions.guests.slice(0, 2)) {
      await alone(image, (task) => image.live(task, guest, true, "shutdown"), "without merges");
    }
    image.sessions.configure(image.sessions.guests[0]!, false);
  }],
  ["with a session set aside", async (image) => {
    await alone(image, (task) => image.live(task, image.sessions.guests[0]!, false, "-"));
  }],
];

async function alone(
  image: Image,
  does: (task: Task) => Promise<unknown>,
  merges?: "without merges",
): Promise<void> {
  image.tasks = new Tasks();
  const task = image.tasks.spawn("alone", async (task) => void await does(task));
  if (merges) { while (!task.isOver) await task.go(); }
  else await image.tasks.finishAll();
  if (task.error) throw task.error;
}

/** Whatever happened: the disk is whole, every guest comes up in the end, and nothing stays behind. */
async function checkAfter(image: Image): Promise<void> {
  const { fixture, sessions } = image;
  const refused = new Set(sessions.guests);
  // A session that died keeps the others waiting until its own guest has dealt with it.
  for (let round = 0; round < 3 && refused.size > 0; round++) {
    for (const guest of sessions.guests) {
      await alone(image, async (task) => {
        if (await image.live(task, guest, false, "shutdown")) refused.delete(guest);
      });
    }
  }
  assertEquals([...refused], [], "refused for ever");
  for (const guest of sessions.guests) await alone(image, (task) => fixture.merge(image.how(task, guest)));
  assertEquals(fixture.files(), ["vda.img"]);
  sessions.check(fixture.read(image.vda));
}

/** Who goes on once both were stopped. */
type Order = "the first" | "anyone" | "the second: the first is killed";
const orders: readonly Order[] = ["the first", "anyone", "the second: the first is killed"];

/** Which of its steps each is stopped before. */
interface Stops {
  readonly first: number;
  readonly second: number;
}

/** Both are stopped, the second as soon as the first was; then all go on to their end. */
async function interleave(
  image: Image,
  [first, second]: [Act, Act],
  stops: Stops,
  order: Order,
): Promise<void> {
  const [a, b] = image.sessions.guests as [string, string];
  const tasks = image.tasks = new Tasks();
  const spawn = ({ name, does }: Act, guest: string) =>
    tasks.spawn(`${name} of ${guest}`, async (task) => void await does(image, task, guest));
  const one = spawn(first, a);
  await tasks.goTo(one, stops.first);
  if (order.includes("killed") && !one.isOver) image.kill(one);
  await tasks.goTo(spawn(second, b), stops.second);
  const random = randomly(stops.first + stops.second);
  await tasks.finishAll((ready) => order === "anyone" ? random.one(ready) : ready[0]!);
}

function imageOf(fixture: Fixture, ...guests: string[]): Image {
  fixture.disks({ vda: false });
  return new Image(fixture, new Sessions(fixture, guests));
}

const unwatched = { sanitizeOps: false, sanitizeResources: false };

/** Tries a pair at these places, from the same files each time. */
class Pairs {
  readonly #tree: Tree;
  /** Outcomes that were judged already: what lies there, and what must become of it. */
  readonly #seen = new Set<string>();

  constructor(readonly fixture: Fixture, readonly sessions: Sessions) {
    this.#tree = new Tree(fixture.root);
  }

  async attempt(acts: [Act, Act], stops: Stops, order: Order): Promise<void> {
    const { fixture, sessions: { guests, all } } = this;
    this.#tree.restore();
    const image = new Image(fixture, new Sessions(fixture, guests, all));
    this.#tree.restore();
    try {
      await interleave(image, acts, stops, order);
      const key = new Tree(fixture.root).key + JSON.stringify([image.sessions.all, image.sessions.isEdited]);
      if (this.#seen.has(key)) return;
      this.#seen.add(key);
      await checkAfter(image);
    } catch (cause) {
      const names = acts.map(({ name }) => name).join(" beside ");
      throw new Error(`${names}, stopped before ${JSON.stringify(stops)}, then ${order}`, { cause });
    }
  }
}

for (const [before, make] of befores) {
  for (const first of [...lives, ...commands]) {
    const name =
      `${first.name} on an image ${before}, stopped anywhere beside another guest, loses and mixes nothing`;
    Deno.test(name, unwatched, async () => {
      using fixture = new Fixture();
      const image = imageOf(fixture, "guest", "second");
      await make(image);
      const pairs = new Pairs(fixture, image.sessions);
      const random = randomly(SEED === undefined ? 0 : Number(SEED));
      for (const second of first.name.includes("life") ? [...lives, ...commands] : lives) {
        for (let time = 0; time < TRIES; time++) {
          const stops = { first: random.below(MOST_STEPS), second: random.below(MOST_STEPS) };
          await pairs.attempt([first, second], stops, random.one(orders));
        }
      }
    });
  }
}

for (const first of lives.slice(0, 3)) {
  Deno.test(
    `the end of a ${first.name} and another guest's start, step between step, lose and mix nothing`,
    unwatched,
    async () => {
      using fixture = new Fixture();
      const { sessions } = imageOf(fixture, "guest", "second");
      const pairs = new Pairs(fixture, sessions);
      // Before them the guest comes up.
      for (let end = 7; end < 16; end++) {
        for (let start = 0; start < 8; start++) {
          await pairs.attempt([first, lives[0]!], { first: end, second: start }, "the first");
        }
      }
    },
  );
}

Deno.test(
  `${SCHEDULES} random orders of three guests and their commands lose and mix nothing`,
  unwatched,
  async () => {
    for (const seed of SEED === undefined ? Array(SCHEDULES).keys() : [Number(SEED)]) {
      using fixture = new Fixture();
      const image = imageOf(fixture, "guest", "second", "third");
      const random = randomly(seed);
      const acts: string[] = [];
      try {
        await random.one(befores)[1](image);
        image.tasks = new Tasks();
        const all = image.sessions.guests.flatMap((guest) => {
          // libvirt tells of one guest's events one after the other; commands come whenever they like.
          const some = (acts: readonly Act[]) =>
            Array.from({ length: random.below(3) }, () => random.one(acts));
          return [some(lives), some(commands)].filter((some) => some.length > 0).map((some) => {
            const name = `${some.map(({ name }) => name).join(", ")} of ${guest}`;
            acts.push(name);
            return image.tasks.spawn(name, async (task) => {
              for (const { does } of some) await does(image, task, guest);
            });
          });
        });
        const killed = all.length > 0 && random.chance(0.3) ? random.one(all) : undefined;
        const at = random.below(40);
        await image.tasks.finishAll((ready) => {
          if (killed !== undefined && !killed.isOver && killed.calls === at) {
            image.kill(killed);
            return undefined;
          }
          return random.one(ready);
        });
        await checkAfter(image);
      } catch (cause) {
        throw new Error(`SEED=${seed} build/deno test -A tests/interleave_test.ts: ${acts.join("; ")}`, {
          cause,
        });
      }
    }
  },
);
