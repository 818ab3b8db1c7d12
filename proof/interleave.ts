/**
 * Guests on one image, and commands: real processes beside each other, each of which waits before every call that changes
 * a file until it is told to go on. Who goes on is drawn by lot, the same for the same seed: `SEED=n` repeats one.
 */

import { assert, assertEquals } from "@std/assert";
import { type Random, randomly } from "../tests/random.ts";
import { type Session, Sessions } from "../tests/sessions.ts";
import { DOMAIN, exists } from "../tests/fixture.ts";
import { inPlaces } from "./places.ts";
import { ProofFixture, type Tracing } from "./proof_fixture.ts";
import { isShort, share, shared } from "./shares.ts";
import { Tally } from "./tally.ts";

const SCHEDULES = Number(Deno.env.get("SCHEDULES") ?? (isShort ? 32 : 4000));
const SEED = Deno.env.get("SEED");

const guests = [DOMAIN, "second", "third"];

/** How often is looked who waits, in milliseconds. */
const INTERVAL = 1;
/** Whoever goes on does so for some calls. */
const GOES_ON = 0.8;

/** A process of the program that waits before each call. */
interface Held {
  readonly tracing: Tracing;
  /** Is there as long as it waits. */
  readonly hold: string;
  isOver: boolean;
}

/** Runs processes in an order that is drawn by lot. */
class Schedule {
  readonly #held: Held[] = [];
  #last: Held | undefined;
  #number = 0;

  constructor(readonly fixture: ProofFixture, readonly random: Random) {}

  /** Begins a process, and waits for its end. @returns its exit code */
  async call(...args: string[]): Promise<number> {
    const { root, places } = this.fixture;
    const hold = `${places.folder}/hold-${this.#number++}`;
    const tracing = this.fixture.tracing(args, ["--but", `${root}/log`, "--hold", hold]);
    const held = { tracing, hold, isOver: false };
    this.#held.push(held);
    const { code } = await tracing.end.finally(() => held.isOver = true);
    return code;
  }

  /** Lets one after the other go on, as long as these are not done. */
  async run(acts: readonly Promise<unknown>[]): Promise<void> {
    let isDone = false;
    const all = Promise.all(acts).finally(() => isDone = true);
    // It is waited for below.
    all.catch(() => {});
    while (!isDone) {
      const alive = this.#held.filter(({ isOver }) => !isOver);
      const waiting = alive.filter(({ hold }) => exists(hold));
      if (waiting.length > 0 && alive.every((held) => waiting.includes(held) || waitsForLock(held.tracing))) {
        const goesOn = this.#last && waiting.includes(this.#last) && this.random.chance(GOES_ON);
        this.#last = goesOn ? this.#last! : this.random.one(waiting);
        Deno.removeSync(this.#last.hold);
      }
      await new Promise((wake) => setTimeout(wake, INTERVAL));
    }
    for (const { tracing, isOver } of this.#held) if (!isOver) tracing.kill();
    await all;
  }
}

/** Whether a process of this tree waits for a lock. */
function waitsForLock({ id }: Tracing): boolean {
  const waiting = Deno.readTextFileSync("/proc/locks").matchAll(/-> FLOCK +ADVISORY +\w+ +(\d+) /g);
  return [...waiting].some(([, waiter]) => {
    try {
      return Deno.readTextFileSync(`/proc/${waiter}/status`).includes(`\nTracerPid:\t${id}\n`);
    } catch {
      return false;
    }
  });
}

type Call = Schedule["call"];

/** What happens to a guest. */
interface Act {
  readonly name: string;
  readonly does: (sessions: Sessions, guest: string, call: Call) => Promise<void>;
}

/** All that libvirt calls in a life of a guest. @returns whether it came up */
async function live(sessions: Sessions, guest: string, reason: string, call: Call): Promise<boolean> {
  const { fixture } = sessions;
  const vda = fixture.vda;
  const fail = async () => {
    await call(guest, "release", "end", reason === "-" ? reason : "failed");
    return false;
  };
  if (await call(guest, "prepare", "begin", "-") !== 0 || reason === "no start") return await fail();
  const session: Session = sessions.begin(guest);
  sessions.check(fixture.read(vda), session);
  await call(guest, "started", "begin", "-");
  fixture.write(vda, session.key);
  await call(guest, "release", "end", reason);
  sessions.end(session);
  return true;
}

const life = (flag: boolean, reason: string): Act => ({
  name: `${flag ? "a flagged life" : "a life"}, ${reason}`,
  does: async (sessions, guest, call) => {
    sessions.configure(guest, flag);
    await live(sessions, guest, reason, call);
  },
});

const command = (verb: string, ...more: string[]): Act => ({
  name: `"${[verb, ...more].join(" ")}"`,
  does: async (sessions, guest, call) => {
    if (["recover", "undo", "keep"].includes(verb)) sessions.isEdited = true;
    await call(verb, guest, ...more);
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
  ...["check", "status", "merge", "recover", "keep"].map((verb) => command(verb)),
  command("recover", "--discard", "--yes"),
  command("undo", "--yes"),
];

/** The events of the proof's own process, one after the other. */
const alone = ({ fixture }: Sessions): Call => async (domain, operation, _, extra) => {
  const { code, merge } = await fixture.event(operation!, extra, { domain: domain! });
  assert(merge === undefined || merge.code === 0, merge?.said.join(" "));
  return code;
};

/** How the image is before. */
const befores: Readonly<Record<string, (sessions: Sessions) => Promise<void>>> = {
  "plain": () => Promise.resolve(),
  "two commits": async (sessions) => {
    const { fixture } = sessions;
    for (const domain of guests.slice(0, 2)) {
      sessions.configure(domain, true);
      const call: Call = async (_, operation, __, extra) =>
        (await fixture.event(operation!, extra, { domain, mergeDies: true })).code;
      await live(sessions, domain, "shutdown", call);
    }
  },
  "a session set aside": async (sessions) => {
    await live(sessions, guests[0]!, "-", alone(sessions));
  },
};

/** Whatever happened: every guest comes up in the end, the disk is whole, and nothing stays behind. */
async function judge(sessions: Sessions): Promise<void> {
  const fixture = sessions.fixture as ProofFixture;
  fixture.checkImages({ leaks: true });
  const refused = new Set(guests);
  // A session that died keeps the others waiting until its own guest has dealt with it.
  for (let round = 0; round < 3 && refused.size > 0; round++) {
    for (const guest of guests) {
      sessions.configure(guest, false);
      if (await live(sessions, guest, "shutdown", alone(sessions))) refused.delete(guest);
    }
  }
  assertEquals([...refused], [], "refused for ever");
  for (const domain of guests) await fixture.merge({ domain });
  assertEquals(fixture.files(), ["vda.img"]);
  sessions.check(fixture.read(fixture.vda));
  fixture.checkImages({ leaks: true });
}

/** What happens in one schedule: to each of two or three guests something, and commands whenever they like. */
function draw(
  random: Random,
): { readonly before: string; readonly acts: readonly (readonly [string, Act[]])[] } {
  const before = random.one(Object.keys(befores));
  const many = 2 + random.below(2);
  const acts = guests.slice(0, many).map((guest, index): [string, Act[]] => {
    const some = index === 0 || random.chance(0.6) ? lives : commands;
    // Most of them are refused as long as another guest is up.
    return [guest, Array.from({ length: 1 + random.below(index === 0 ? 2 : 5) }, () => random.one(some))];
  });
  return { before, acts };
}

async function trySchedule(fixture: ProofFixture, seed: number): Promise<string> {
  const random = randomly(seed);
  const { before, acts } = draw(random);
  fixture.disks({ vda: false });
  const sessions = new Sessions(fixture, guests);
  await befores[before]!(sessions);
  const schedule = new Schedule(fixture, random);
  const call: Call = (...args) => schedule.call(...args);
  await schedule.run(acts.map(async ([guest, some]) => {
    for (const { does } of some) await does(sessions, guest, call);
  }));
  await judge(sessions);
  return `${acts.length} guests, ${before}`;
}

const seeds = SEED === undefined ? [...Array(SCHEDULES).keys()] : [Number(SEED)];
const all = seeds.map((seed) => ({ event: `schedule ${seed}`, state: "", seed }));

await shared(
  import.meta.url,
  "Processes of several guests, call by call",
  new Tally("what", "schedules"),
  async (tally) => {
    await inPlaces(async (places) => {
      for (const [, { seed }] of share(all)) {
        try {
          using fixture = new ProofFixture(places);
          tally.passed(await trySchedule(fixture, seed));
        } catch (error) {
          const { before, acts } = draw(randomly(seed));
          const told = acts.map(([guest, some]) =>
            `${some.map(({ name }) => name).join(", then ")} of ${guest}`
          );
          tally.failed(
            `${acts.length} guests, ${before}`,
            `SEED=${seed}: ${before}: ${told.join("; ")}`,
            error,
          );
        }
      }
    });
  },
);
