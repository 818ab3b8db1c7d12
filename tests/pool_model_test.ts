/**
 * Random histories of a master and its seats, one thing after the other, some of them killed, against a model of what each of them
 * should read: a seat begins with what is newest, or published, and finds that until its end, also after a save.
 *
 * `SEQUENCES=n` makes it a long run, `SEED=n` repeats one sequence.
 */

import { assert, assertEquals } from "@std/assert";
import { Failing, type Fault } from "./fault.ts";
import {
  type Circumstance,
  type Content,
  DOMAIN,
  exists,
  Fixture,
  LONG_AGO,
  type Result,
} from "./fixture.ts";
import { tornOf } from "./history.ts";
import { Pool } from "./pool.ts";
import { type Random, randomly } from "./random.ts";
import { list } from "../lib/host/files.ts";
import { namesOf } from "../lib/state/paths.ts";
import { publishedOf } from "../lib/state/state.ts";

const SEQUENCES = Number(Deno.env.get("SEQUENCES") ?? 100);
const SEED = Deno.env.get("SEED");
const deaths: readonly Fault[] = ["dies before", "dies within", "dies after"];

/** What is promised of a seat. */
interface Seat {
  readonly name: string;
  listed: boolean;
  preview: boolean;
  /** What its guest sees, as long as it runs. */
  running?: Content | undefined;
  /** What its guest expects that was saved. */
  saved?: Content | undefined;
  /** The hook was killed before it had noted that: the next start takes the session for one that died. */
  unnoted?: boolean;
}

class Room {
  readonly pool: Pool;
  readonly seats: readonly Seat[];
  readonly trace: string[] = [];
  /** Whether libvirt tells why a guest has ended. */
  readonly tells: boolean;
  readonly keepCommits: number;
  /** Versions of the master, each as it reads. */
  readonly history: Content[];
  /** The one that seats begin with, where that is done by hand. */
  published: Content | undefined;
  /** The session of the master's guest. */
  session: { readonly content: Content; readonly flagged: boolean; readonly up: boolean } | undefined;
  #writes = 0;

  constructor(readonly fixture: Fixture, readonly random: Random) {
    this.pool = new Pool(fixture);
    this.seats = this.pool.seats.map((name) => ({ name, listed: true, preview: false }));
    this.tells = random.chance(0.6);
    this.keepCommits = random.below(3);
    this.configure(false);
    this.history = [fixture.disk("vda")];
  }

  get newest(): Content {
    return this.history.at(-1)!;
  }

  /** The guest's file, with the flag and what else is set. */
  configure(flag: boolean): void {
    this.fixture.keys = { "keep-commits": this.keepCommits, ...this.published && { publish: "by hand" } };
    // Each time the file is another version.
    this.fixture.configure({ vda: flag }, new Date(LONG_AGO.getTime() + ++this.#writes * 1000));
  }

  reason(reason: string): string {
    return this.tells ? reason : "-";
  }

  save({ name }: Seat): string {
    return `${this.fixture.settings.saveFolder}/${name}.save`;
  }

  write(image: string): Content {
    this.fixture.write(image, `write ${++this.#writes}`);
    return this.fixture.read(image);
  }

  /** The host dies with all that runs, and is up again. Some time passes, as file systems tell it. */
  async powerCut(): Promise<void> {
    await pause();
    for (const seat of this.seats) seat.running = undefined;
    if (this.session) this.session = { ...this.session, up: false };
    this.pool.powerCut(new Date());
    await pause();
  }

  /** What runs, and what is saved, is there as it was, and so is the master. */
  check(): void {
    const { fixture, pool } = this;
    for (const { name, running, saved } of this.seats) {
      const { image, ended } = namesOf(pool.image(name));
      if (running) assertEquals(fixture.read(image), running, `${name} sees something else`);
      const has = (path: string) => exists(path) && same(fixture.read(path), saved);
      assert(saved === undefined || [image, ended].some(has), `${name} has lost what it was saved on`);
    }
    if (this.session?.up) assertEquals(fixture.read(pool.master), this.session.content);
    const state = fixture.state("vda");
    if (state.kind !== "committing") assertEquals(fixture.disk("vda"), this.newest, "the master");
  }

  /** After a kill the master is as before it or as after it. */
  async adopt(
    { history, published, session }: Pick<Room, "history" | "published" | "session">,
  ): Promise<void> {
    const { fixture, pool } = this;
    await fixture.type(["recover", DOMAIN]);
    const disk = fixture.disk("vda");
    const isAfter = same(disk, history.at(-1)) && !same(disk, this.newest);
    assert(isAfter || same(disk, this.newest), `the master is a mixture: ${JSON.stringify(disk)}`);
    if (isAfter) {
      this.history.splice(0, Infinity, ...history);
      this.session = session;
    }
    const { kind } = fixture.state("vda");
    const meant = this.session?.flagged && !isAfter;
    assert(!meant || kind === "session", "a session that was to be kept is lost");
    assertEquals(fixture.flags().vda, meant ?? false, "the flag goes with the commit");
    if (kind !== "session") this.session = undefined;
    else if (this.session === undefined && session) this.session = { ...session, up: false };
    const number = publishedOf(namesOf(pool.master), list(pool.master));
    const now = number === undefined ? undefined : fixture.read(namesOf(pool.master).layer(number));
    assert([this.published, published].some((one) => same(one, now)), "another version is published");
    this.published = now;
  }

  /** Everybody ends, and nothing stays behind. */
  async finish(): Promise<void> {
    const { fixture, pool } = this;
    await this.powerCut();
    for (const seat of this.seats) {
      if (!seat.listed) await fixture.type(["enable", seat.name, "vda", "--master", pool.master]);
      const { name, saved } = seat;
      for (const isSaved of [saved !== undefined, false, false]) {
        if (isSaved) await pool.event(name, "restore");
        const { code, said } = await toldWhich(this, seat, await pool.event(name, "prepare"));
        assertEquals([code, said], [0, []], `${name} in the end`);
        if (isSaved) assertEquals(fixture.read(pool.image(name)), saved);
        await pool.event(name, "started");
        await pool.event(name, "release", "shutdown");
      }
      if (exists(this.save(seat))) Deno.removeSync(this.save(seat));
    }
    if (this.published) await fixture.type(["enable", DOMAIN, "vda", "--no-by-hand"]);
    const last = this.session?.flagged ? this.session.content : this.newest;
    this.published = undefined;
    if (!this.session?.flagged) this.configure(false);
    await fixture.start();
    await fixture.stop();
    fixture.keys = {};
    fixture.configure({ vda: false });
    await fixture.start();
    await fixture.stop();
    await pool.merge();
    assertEquals(fixture.disk("vda"), last);
    const [number, ...more] = pool.layers;
    assertEquals(more, [], "all is merged");
    assertEquals(fixture.files(), [
      "vda.img",
      "vda.img.autorevert-master",
      `vda.img.backing_file${number === 0 ? "" : `.${number}`}`,
    ]);
    assertEquals(fixture.files(fixture.config).filter((name) => /\.(seats|starting)$/.test(name)), []);
  }
}

const same = (a: Content | undefined, b: Content | undefined) =>
  JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
const sorted = (content: Content | undefined) =>
  content && Object.entries(content).toSorted(([a], [b]) => a < b ? -1 : 1);
const pause = () => new Promise((wake) => setTimeout(wake, 12));

/** One thing that may happen. */
interface Happening {
  readonly name: string;
  readonly weight?: number;
  readonly may: (room: Room) => boolean;
  /** It happens, and the model follows; `how` may have the program killed. */
  readonly act: (room: Room, how: Circumstance & { readonly struck: () => boolean }) => Promise<void>;
}

function ofSeat(
  name: string,
  may: (seat: Seat) => boolean,
  act: (room: Room, seat: Seat, how: Parameters<Happening["act"]>[1]) => Promise<void>,
  weight = 1,
): Happening {
  return {
    name,
    weight,
    may: ({ seats }) => seats.some(may),
    act: async (room, how) => {
      const seat = room.random.one(room.seats.filter(may));
      room.trace.push(`  ${seat.name}`);
      await act(room, seat, how);
    },
  };
}

const isOff = ({ running, listed }: Seat) => running === undefined && listed;

/**
 * Where nobody can tell on which of two sessions a guest was saved, its start is refused. Somebody who knows puts the other one away,
 * and restores it again.
 */
async function toldWhich(room: Room, seat: Seat, result: Result): Promise<Result> {
  const { fixture, pool } = room;
  if (!result.said[0]?.includes("nobody can tell on which session the guest was saved")) return result;
  assert(!room.tells || seat.unnoted, `${seat.name}: its save was noted`);
  assert(!exists(room.save(seat)), `${seat.name}: libvirt holds its save`);
  await pool.event(seat.name, "release", room.reason("failed"));
  const { image, ended } = namesOf(pool.image(seat.name));
  if (same(fixture.read(image), seat.saved)) Deno.removeSync(ended);
  else Deno.renameSync(ended, image);
  await pool.event(seat.name, "restore");
  return await pool.event(seat.name, "prepare");
}

/** A start, from whatever lies there. @returns whether it came up */
async function start(
  room: Room,
  seat: Seat,
  operations: readonly string[],
  how: Parameters<Happening["act"]>[1],
): Promise<boolean> {
  const { pool } = room;
  const { name } = seat;
  for (const operation of operations) {
    const result = await pool.event(name, operation, "-", how);
    if (how.struck()) return false;
    const { code, said } = await toldWhich(room, seat, result);
    assertEquals([code, said], [0, []], `${operation} of ${name}`);
  }
  return true;
}

function comesUp(room: Room, seat: Seat): void {
  const image = room.pool.image(seat.name);
  room.fixture.busy.add(image);
  seat.running = room.write(image);
}

/** libvirt is told that the hook failed, or nobody is told anything any more. */
async function startFails(room: Room, seat: Seat): Promise<void> {
  if (room.random.chance(0.5)) return await room.powerCut();
  await room.pool.event(seat.name, "release", room.reason("failed"));
}

function endOf(reason: string, weight = 1): Happening {
  return ofSeat(`end, ${reason}`, ({ running }) => running !== undefined, async (room, seat, how) => {
    seat.running = undefined;
    const { code } = await room.pool.stop(seat.name, room.reason(reason), how);
    assertEquals(code, 0);
    if (how.struck() && room.random.chance(0.5)) await room.powerCut();
  }, weight);
}

function saveOf(managed: boolean): Happening {
  return ofSeat(
    managed ? "managed save" : "save",
    ({ running }) => running !== undefined,
    async (room, seat, how) => {
      [seat.saved, seat.running] = [seat.running, undefined];
      if (managed) Deno.writeTextFileSync(room.save(seat), "");
      await room.pool.stop(seat.name, room.reason("saved"), how);
      seat.unnoted = how.struck();
      if (how.struck() && room.random.chance(0.5)) await room.powerCut();
    },
    2,
  );
}

/** A command whose effect the model knows where it succeeds; `why` tells whether it may be refused. */
function command(
  words: (room: Room) => readonly string[],
  { may = () => true, mayFail, then }: {
    readonly may?: (room: Room) => boolean;
    readonly mayFail: (room: Room, result: Result) => boolean;
    readonly then: (room: Room) => Partial<Pick<Room, "history" | "published">>;
  },
): Happening {
  return {
    name: "command",
    weight: 2,
    may,
    act: async (room, how) => {
      const typed = words(room);
      room.trace.push(`  ${typed.join(" ")}`);
      const isRefusable = (result: Result) => mayFail(room, result);
      const before = { history: [...room.history], published: room.published, session: room.session };
      const result = await room.fixture.type([...typed], true, how);
      if (how.struck()) {
        if (room.random.chance(0.5)) await room.powerCut();
        return await room.adopt({ ...before, ...then(room) });
      }
      if (result.code !== 0) return assert(isRefusable(result), result.said.join(" "));
      const after = then(room);
      if (after.history) room.history.splice(0, Infinity, ...after.history);
      if ("published" in after) room.published = after.published;
    },
  };
}

/** The version before the published one that is a layer still. */
function versionBefore({ fixture, pool, published, newest }: Room): Content | undefined {
  const contents = pool.layers.map((number) => fixture.read(namesOf(pool.master).layer(number)));
  const at = contents.findLastIndex((content) => same(content, published ?? newest));
  return contents[at - 1];
}

const isPublished = ({ published }: Room) => published !== undefined;
const isIdle = ({ session }: Room) => session === undefined;

const happenings: readonly Happening[] = [
  ofSeat("start", isOff, async (room, seat, how) => {
    const { fixture, pool, published, newest } = room;
    if (exists(room.save(seat))) Deno.removeSync(room.save(seat));
    if (seat.unnoted) seat.saved = undefined;
    if (!await start(room, seat, ["prepare"], how)) return await startFails(room, seat);
    const expected = seat.preview ? newest : published ?? newest;
    assertEquals(fixture.read(pool.image(seat.name)), expected, `${seat.name} begins with something else`);
    if (room.random.chance(0.15)) return await startFails(room, seat);
    // From here on nobody comes back for an older session.
    seat.saved = undefined;
    if (!await start(room, seat, ["started"], how)) return await startFails(room, seat);
    comesUp(room, seat);
  }, 8),
  ofSeat(
    "restore",
    ({ running, saved }) => running === undefined && saved !== undefined,
    async (room, seat, how) => {
      const { fixture, pool } = room;
      if (!await start(room, seat, ["restore", "prepare"], how)) return await startFails(room, seat);
      assertEquals(
        fixture.read(pool.image(seat.name)),
        seat.saved,
        `${seat.name} comes back to something else`,
      );
      if (room.random.chance(0.15)) return await startFails(room, seat);
      seat.saved = undefined;
      if (!await start(room, seat, ["started"], how)) return await startFails(room, seat);
      if (exists(room.save(seat))) Deno.removeSync(room.save(seat));
      comesUp(room, seat);
    },
    5,
  ),
  endOf("shutdown", 3),
  endOf("destroyed"),
  endOf("crashed"),
  saveOf(true),
  saveOf(false),
  ofSeat("recover --discard", ({ running }) => running === undefined, async (room, seat, how) => {
    const { code, said } = await room.fixture.type(["recover", seat.name, "--discard", "--yes"], true, how);
    if (how.struck()) return void (seat.saved = undefined);
    const mayFail = exists(room.save(seat)) || exists(`${room.fixture.config}/${seat.name}.starting`) ||
      !seat.listed;
    assert(code === 0 || mayFail, said.join(" "));
    if (code === 0) seat.saved = undefined;
  }),
  ofSeat("preview", isOff, async (room, seat) => {
    const word = seat.preview ? "--no-preview" : "--preview";
    assertEquals((await room.fixture.type(["enable", seat.name, "vda", word])).code, 0);
    seat.preview = !seat.preview;
  }),
  ofSeat("disable", ({ saved, ...seat }) => isOff(seat) && saved === undefined, async (room, seat) => {
    const { code, said } = await room.fixture.type(["disable", seat.name]);
    if (said[0]?.includes("its last session is set aside")) return;
    assertEquals(code, 0, said.join(" "));
    seat.listed = seat.preview = false;
  }),
  ofSeat("enable", ({ listed }) => !listed, async (room, seat) => {
    const words = ["enable", seat.name, "vda", "--master", room.pool.master];
    const { code, said } = await room.fixture.type(words);
    assertEquals([code, said], [0, []]);
    seat.listed = true;
  }, 3),
  { name: "power cut", weight: 2, may: () => true, act: (room) => room.powerCut() },
  {
    name: "master starts",
    weight: 6,
    may: ({ session }) => session === undefined || !session.up,
    act: async (room, how) => {
      const { fixture, pool, newest } = room;
      // The flag of a session that has died is that session's.
      const resumes = room.session?.flagged ? room.session : undefined;
      const flagged = resumes !== undefined || room.session === undefined && room.random.chance(0.7);
      if (!resumes) room.configure(flagged);
      const { code, said } = await fixture.event("prepare", "-", how);
      if (how.struck()) {
        if (room.random.chance(0.5)) await room.powerCut();
        else await fixture.event("release", room.reason("failed"));
        if (!resumes) {
          await fixture.type(["commit", "--cancel", DOMAIN]);
          room.session = undefined;
        }
        // It may have begun, and is then ended by its next start.
        if (fixture.state("vda").kind === "session" && !resumes) {
          room.session = { content: fixture.read(pool.master), flagged: false, up: false };
        }
        return;
      }
      assertEquals([code, said], [0, []]);
      await fixture.event("started");
      fixture.busy.add(pool.master);
      assertEquals(fixture.read(pool.master), resumes?.content ?? newest);
      room.session = { content: room.write(pool.master), flagged, up: true };
    },
  },
  {
    name: "master ends",
    weight: 5,
    may: ({ session }) => session?.up === true,
    act: async (room, how) => {
      const { fixture, pool, history } = room;
      const { content, flagged } = room.session!;
      fixture.busy.delete(pool.master);
      await fixture.event("stopped", room.reason("shutdown"));
      await fixture.event("release", room.reason("shutdown"), how);
      const after = flagged ? [...history, content] : [...history];
      room.session = { content, flagged, up: false };
      if (how.struck()) {
        if (room.random.chance(0.5)) await room.powerCut();
        return await room.adopt({ history: after, published: room.published, session: undefined });
      }
      history.splice(0, Infinity, ...after);
      room.session = undefined;
    },
  },
  {
    name: "merge",
    weight: 2,
    may: () => true,
    act: async ({ pool }, how) => void await pool.merge(how),
  },
  command(() => ["undo", DOMAIN, "--yes"], {
    may: isIdle,
    mayFail: (room) => {
      const { fixture, pool, seats } = room;
      const { image, ended } = { image: "", ended: ".autorevert-ended" };
      const stands = seats.some(({ name }) =>
        [image, ended].some((suffix) => exists(pool.image(name) + suffix)) || pool.record(name) !== undefined
      );
      return pool.layers.length < 2 || tornOf(fixture, "vda") || same(room.published, room.newest) || stands;
    },
    then: ({ history }) => ({ history: history.slice(0, -1) }),
  }),
  command(() => ["publish", DOMAIN], {
    may: isPublished,
    mayFail: ({ pool }) => pool.layers.length === 0,
    then: ({ newest }) => ({ published: newest }),
  }),
  {
    name: "publish --back",
    may: isPublished,
    act: async (room, how) => {
      const before = versionBefore(room);
      const { code, said } = await room.fixture.type(["publish", "--back", DOMAIN], true, how);
      if (how.struck()) {
        return await room.adopt({ history: room.history, published: before, session: room.session });
      }
      assert(
        code === 0 ? before !== undefined : before === undefined || tornOf(room.fixture, "vda"),
        said.join(),
      );
      if (code === 0) room.published = before;
    },
  },
  {
    name: "by hand",
    may: isIdle,
    act: async (room) => {
      const word = isPublished(room) ? "--no-by-hand" : "--by-hand";
      const { code, said } = await room.fixture.type(["enable", DOMAIN, "vda", word]);
      assertEquals([code, said], [0, []]);
      room.published = isPublished(room) ? undefined : room.newest;
    },
  },
];

async function happen(room: Room, { name, act }: Happening): Promise<void> {
  const { random } = room;
  const failing = new Failing(random.below(14), random.one(deaths));
  const isKilled = random.chance(0.2);
  room.trace.push(name);
  await act(room, {
    ...isKilled ? { perform: failing.perform } : { mergeDies: random.chance(0.2) },
    struck: () => failing.struck,
  });
  if (failing.struck) room.trace.push(`  ${failing.fault} at step ${failing.at}`);
  room.check();
}

Deno.test(`${SEQUENCES} random histories of a master and its seats go as the model says`, async () => {
  for (const seed of SEED === undefined ? Array(SEQUENCES).keys() : [Number(SEED)]) {
    using fixture = new Fixture();
    const random = randomly(seed);
    const room = new Room(fixture, random);
    try {
      for (let left = 10 + random.below(20); left > 0; left--) {
        const may = happenings.filter(({ may }) => may(room));
        await happen(room, random.one(may.flatMap((one) => Array<Happening>(one.weight ?? 1).fill(one))));
      }
      room.trace.push("the end");
      await room.finish();
    } catch (cause) {
      const repeat = `SEED=${seed} build/deno test -A tests/pool_model_test.ts`;
      throw new Error(`${repeat}\ntells: ${room.tells}\n${room.trace.join("\n")}`, { cause });
    }
  }
});
