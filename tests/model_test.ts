/**
 * Random lives of a guest against a model of what its disk should read as. `SEQUENCES=10000` makes it a long run, `SEED=n`
 * repeats one sequence.
 */

import { assert, assertEquals } from "@std/assert";
import { lacksItsEnd, readStart } from "../lib/hook/context.ts";
import { madeAt } from "../lib/hook/observe.ts";
import { readRecords } from "../lib/host/session_records.ts";
import { guestNames, namesOf } from "../lib/state/paths.ts";
import type { Step } from "../lib/state/step.ts";
import { doHalf, Failing, type Fault } from "./fault.ts";
import { layersOf, tornOf } from "./history.ts";
import * as expected from "./model.ts";
import type { End, Model, Rules, Session } from "./model.ts";
import { type Random, randomly } from "./random.ts";
import { blocks, RealFixture } from "./real_fixture.ts";
import {
  type Circumstance,
  type Content,
  DOMAIN,
  exists,
  Fixture,
  LONG_AGO,
  type Result,
} from "./fixture.ts";

const SEQUENCES = Number(Deno.env.get("SEQUENCES") ?? 1200);
const REAL_SEQUENCES = Math.ceil(SEQUENCES / 20);
const SEED = Deno.env.get("SEED");

/** After all that the system's own clock says: what is written in a sequence has times of the sequence's own. */
const EPOCH = new Date("2100-01-01").getTime();

const ends: Readonly<Record<string, End>> = {
  shutdown: "normal",
  destroyed: "normal",
  "from snapshot": "failed",
  crashed: "failed",
  daemon: "failed",
  failed: "failed",
};

/** One thing that happens. */
interface Happening {
  readonly name: string;
  /** So many times as likely as another. */
  readonly weight?: number;
  readonly may: (model: Model) => boolean;
  /** The model after it. */
  readonly then: (model: Model, life: Life) => Model;
  /** It happens. Without a result nothing of the program has run. */
  readonly act: (life: Life, how: Circumstance) => Promise<Result | undefined>;
  /** Whether it is to be refused, where it can be. */
  readonly refused?: (model: Model, life: Life) => boolean;
}

/** One guest, from its first start on. */
class Life {
  readonly vda: string;
  readonly trace: string[] = [];
  model: Model;
  /** The end of a start that failed before it noted its first word: for the program it is the end of what lay there. */
  unnoted = false;
  #tick = 0;
  #writes = 0;

  constructor(readonly fixture: Fixture, readonly random: Random, readonly rules: Rules) {
    this.vda = fixture.vda;
    fixture.keys = { "keep-commits": rules.keepCommits, "keep-session": rules.keepSession };
    fixture.sources.set("vda", this.vda);
    fixture.configure({ vda: false }, new Date(this.now()));
    fixture.define();
    this.model = { history: [fixture.read(this.vda)], flag: false, flagged: this.now(), running: false };
  }

  now(): number {
    return EPOCH + ++this.#tick * 1000;
  }

  /** The guest writes somewhere. */
  write(): void {
    this.fixture.write(this.vda, `${this.random.below(blocks)}`, `${1 + ++this.#writes % 250}`);
    this.touch();
  }

  touch(): void {
    const now = new Date(this.now());
    Deno.utimeSync(this.vda, now, now);
  }

  /** The guest's file was written then. */
  age(time: number): void {
    Deno.utimeSync(this.fixture.configFile, new Date(time), new Date(time));
  }

  get save(): string {
    return `${this.fixture.settings.saveFolder}/${DOMAIN}.save`;
  }

  /** What there is, as a model. A commit that is decided has happened. */
  observe({ isUp = false } = {}): Model {
    const { fixture, vda } = this;
    const decided = `${vda}.autorevert-committing`;
    const committing = exists(decided);
    const disk = committing ? fixture.read(decided) : fixture.disk("vda");
    const [record] = readRecords(fixture.note);
    const inode = (path: string) => exists(path) ? Deno.statSync(path).ino : undefined;
    const ended = inode(`${vda}.autorevert-ended`);
    // As long as the session is there that a start was about to set aside, an older one may be.
    const isOlder = record?.setsAside !== undefined && record.setsAside === madeAt(vda);
    const isApart = ended !== undefined && ended !== inode(vda) && !isOlder;
    // An end that was cut short as it set the session aside; what comes next completes that.
    const isEnding = ended !== undefined && ended === inode(vda) && record !== undefined &&
      record.aside === undefined;
    const start = readStart(guestNames(fixture.config, DOMAIN));
    const host = { booted: () => fixture.booted };
    const sessionIn = (path: string): Session => ({
      content: fixture.read(path),
      wrote: Deno.statSync(path).mtime!.getTime(),
      held: record?.held ?? false,
      flagged: record?.flagged ?? false,
      marked: inode(`${vda}.autorevert-keep`) === inode(path) && record?.flagged !== true,
      restored: record?.came === "restore",
      // Cut short before it was set aside, it still is at the next start.
      saved: record?.waits !== undefined ||
        path === vda &&
          (record?.aside === "stay" && !isApart || !isUp && lacksItsEnd(record, start, { host })),
      byWord: record?.waits === true,
      unborn: path === vda && isApart ? record?.aside : undefined,
      guards: record?.stays === true && isApart,
    });
    const pending = fixture.ordered("vda");
    const top = namesOf(vda).layer(layersOf(fixture, "vda").at(-1) ?? 0);
    // What is to be undone is about to be set aside, whatever has become of its other name.
    const beside = pending === "undo" ? top : `${vda}.autorevert-ended`;
    const ofItself = pending === "keep" || pending !== "undo" && inode(beside) === inode(vda);
    return {
      ...this.model,
      history: [disk],
      flag: committing ? false : fixture.flags().vda!,
      flagged: Deno.statSync(fixture.configFile).mtime!.getTime(),
      session: fixture.state("vda").kind === "session" && !isEnding ? sessionIn(vda) : undefined,
      staysAside: record?.aside === "stay" && fixture.state("vda").kind !== "session",
      aside: exists(beside) && (isEnding || !ofItself) ? sessionIn(beside) : undefined,
    };
  }

  /** A power cut, or only the program was killed: a start that failed by it has its end. */
  async afterCrash(name: string): Promise<string> {
    const starting = `${this.fixture.config}/${DOMAIN}.starting`;
    // Of a restore that failed in its first call libvirt tells nothing more.
    const wasStart = name.includes("start") || name === "restore" && exists(starting);
    if (wasStart && this.random.chance(0.5)) {
      this.unnoted = !exists(starting);
      await this.fixture.event("stopped", this.reason("failed"));
      await this.fixture.event("release", this.reason("failed"));
      return "and libvirt goes on";
    }
    this.boot();
    return "with the whole host";
  }

  /** All sessions of before are dead, until a guest is up again: notes are written by the system's clock, and disks later. */
  boot(): void {
    this.fixture.booted = new Date(Math.max(this.now(), this.fixture.booted.getTime()) + 60_000);
  }

  reason(reason: string): string {
    return this.rules.tells ? reason : "-";
  }
}

const idle = ({ running }: Model) => !running;
const running = ({ running }: Model) => running;
const isManaged = ({ saved }: Model) => saved?.managed === true;

async function all(fixture: Fixture, how: Circumstance, ...operations: string[]): Promise<Result> {
  let result: Result | undefined;
  for (const operation of operations) {
    result = await fixture.event(operation, "-", how);
    if (result.code !== 0) return result;
  }
  return result!;
}

function endOf(name: string, reason: string): Happening {
  return {
    name,
    // Only to a guest that was called up before its memory came.
    may: (model) => running(model) && (reason !== "failed" || model.session?.restored === true),
    then: (model, { rules }) =>
      reason === "failed" && rules.tells
        ? expected.unrestored(model)
        : expected.ended(model, rules.tells ? ends[reason]! : "unknown", rules.keepSession),
    act: async ({ fixture, ...life }, how) => {
      const extra = life.rules.tells ? reason : "-";
      await fixture.event("stopped", extra);
      return await fixture.event("release", extra, how);
    },
  };
}

function saveTo(managed: boolean): Happening {
  return {
    name: managed ? "managed save" : "save to a file",
    may: running,
    then: (model, { rules }) => {
      if (rules.tells || managed) return expected.saved(model, managed);
      return {
        ...expected.ended(model, "unknown", false),
        saved: { content: model.session!.content, managed },
      };
    },
    act: async (life, how) => {
      if (managed) Deno.writeTextFileSync(life.save, "");
      return await life.fixture.event("release", life.reason("saved"), how);
    },
  };
}

const setFlag = (flag: boolean): Happening => ({
  name: flag ? "set the flag" : "clear the flag",
  weight: flag ? 3 : 1,
  may: () => true,
  then: (model, life) => ({ ...model, flag, flagged: life.now() }),
  act: ({ fixture }) => Promise.resolve(void fixture.configure({ vda: flag })).then(() => undefined),
});

/** `autorevert commit`. Of a real image nobody can tell that a guest has it open. */
const word = (cancel: boolean): Happening => ({
  name: cancel ? "take the word back" : "give the word",
  weight: cancel ? 1 : 2,
  may: () => true,
  then: (model, life) =>
    cancel
      ? expected.cancelled(model, life.now(), life.rules.keepSession)
      : expected.promised(model, life.now()),
  act: async (life, { perform = (inner) => inner, ...how }) => {
    const { fixture, model } = life;
    // The file is written by the system's clock.
    const timed: Circumstance["perform"] = (inner) => async (step, control) => {
      await perform(inner)(step, control);
      if (step.kind === "configure") life.age(life.now());
    };
    if (model.running) fixture.run();
    const words = ["commit", DOMAIN, ...cancel ? ["--cancel"] : []];
    const result = await fixture.type(words, false, { ...how, perform: timed });
    if (model.running) fixture.halt();
    return result;
  },
});

const happenings: readonly Happening[] = [
  {
    name: "start",
    weight: 6,
    may: (model) => idle(model) && !isManaged(model),
    then: (model, life) => expected.started(model, life.now(), life.rules.keepSession),
    act: (life, how) => all(life.fixture, how, "prepare", "start", "started"),
  },
  {
    name: "start that fails",
    may: (model) => idle(model) && !isManaged(model),
    then: (model, life) => expected.failed(model, life.rules.keepSession),
    act: async (life, how) => {
      const { code } = await all(life.fixture, how, "prepare");
      const end = await life.fixture.event("release", life.reason("failed"), how);
      return { ...end, code };
    },
  },
  {
    name: "restore",
    weight: 6,
    may: (model) => idle(model) && model.saved !== undefined,
    refused: expected.isLost,
    then: (model, life) => expected.restored(model, life.now()),
    act: async (life, how) => {
      const result = await all(life.fixture, how, "restore", "prepare", "start", "started");
      return result;
    },
  },
  {
    name: "drop the saved state",
    may: isManaged,
    then: (model) => ({ ...model, saved: undefined }),
    act: ({ save }) => Promise.resolve(void Deno.removeSync(save)).then(() => undefined),
  },
  {
    name: "write",
    weight: 8,
    may: running,
    then: (model) => model,
    act: (life) => Promise.resolve(life.write()).then(() => undefined),
  },
  endOf("shutdown", "shutdown"),
  endOf("destroy", "destroyed"),
  endOf("crash of the guest", "crashed"),
  endOf("end with the daemon", "daemon"),
  endOf("failure of the guest", "failed"),
  saveTo(true),
  saveTo(false),
  {
    name: "power cut",
    may: running,
    then: (model) => ({ ...model, running: false }),
    act: (life) => Promise.resolve(life.boot()).then(() => undefined),
  },
  setFlag(true),
  setFlag(false),
  word(false),
  word(true),
  {
    name: "merge",
    may: () => true,
    then: (model) => model,
    act: ({ fixture }, how) => fixture.merge(how),
  },
  {
    name: "undo",
    weight: 2,
    may: () => true,
    refused: (model, { fixture }) => {
      const state = fixture.state("vda");
      const decided = state.kind === "committing" ? 1 : 0;
      const pending = fixture.ordered("vda");
      if (fixture.completes("vda") === "undo") return false;
      const layers = layersOf(fixture, "vda").length + decided + (pending === "keep" ? 1 : 0);
      return model.session !== undefined || isManaged(model) || layers < 2 ||
        layers === 2 && tornOf(fixture, "vda");
    },
    // One that was cut short is done, and no other.
    then: (model, { fixture }) => fixture.completes("vda") === "undo" ? model : expected.undone(model),
    act: ({ fixture }, how) => fixture.command("undo", how),
  },
  {
    name: "keep",
    weight: 2,
    may: () => true,
    refused: (model, { fixture }) =>
      fixture.completes("vda") !== "keep" &&
      (model.session !== undefined || isManaged(model) || model.aside === undefined),
    then: (model, { fixture }) => fixture.completes("vda") === "keep" ? model : expected.kept(model),
    act: ({ fixture }, how) => fixture.command("keep", how),
  },
];

const deaths: readonly Fault[] = ["dies before", "dies within", "dies after"];

async function happen(life: Life, { name, then, act, refused }: Happening): Promise<void> {
  const { fixture, random, model: before } = life;
  const isRefused = refused?.(before, life) ?? false;
  const after = isRefused ? before : then(before, life);
  const dies = random.chance(0.25);
  const failing = new Failing(random.below(14), random.one(deaths), half(fixture));
  const mergeDies = random.chance(0.2);
  life.trace.push(name);
  const result = await act(life, dies ? { perform: failing.perform } : { mergeDies });

  if (failing.struck) {
    const how = await life.afterCrash(name);
    life.trace.push(`  ${failing.fault} at step ${failing.at}, ${how}`);
    // A new overlay has the time of the system's clock.
    if (fixture.state("vda").kind === "session" && Deno.statSync(life.vda).mtime!.getTime() < EPOCH) {
      life.touch();
    }
    const { rules } = life;
    const other = life.unnoted && before.session
      ? {
        ...rules.tells ? before : expected.ended(before, "unknown", rules.keepSession),
        saved: after.saved,
      }
      : after;
    life.unnoted = false;
    life.model = adopted(life.observe(), before, other);
  } else {
    assertEquals(result?.code ?? 0, isRefused ? 1 : 0, `${name}: ${result?.said.join(" ")}`);
    if (name === "write") life.model = { ...before, session: life.observe({ isUp: true }).session! };
    else life.model = after;
    if (/flag|word/.test(name)) life.age(after.flagged);
    const fresh = after.session && !before.session && !before.running && after.running;
    const anew = after.session !== undefined && after.running &&
      after.session.wrote !== before.session?.wrote;
    if ((fresh || anew) && after.session.wrote !== before.aside?.wrote) {
      Deno.utimeSync(life.vda, new Date(after.session.wrote), new Date(after.session.wrote));
    }
    check(life.observe(), life.model);
    // What nobody wrote to can't be told from what it stands on.
    if (life.model.running && !before.running) {
      life.write();
      life.model = { ...life.model, session: life.observe({ isUp: true }).session };
    }
  }
  if (life.model.running && exists(life.save)) Deno.removeSync(life.save);
  if (life.model.running) fixture.booted = LONG_AGO;
}

function check(is: Model, should: Model): void {
  const shown = (model: Model) => ({
    disk: expected.diskOf(model),
    session: model.session?.content,
    aside: model.aside?.content,
    flag: model.flag,
  });
  assertEquals(shown(is), shown(should));
}

/** What is there after a crash: as before it or as after it, and never less than was to be kept. */
function adopted(is: Model, before: Model, after: Model): Model {
  const same = (a: Content | undefined, b: Content | undefined) =>
    JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
  const disk = expected.diskOf(is);
  const [was, becomes] = [expected.diskOf(before), expected.diskOf(after)];
  assert(same(disk, was) || same(disk, becomes), `the disk is a mixture: ${JSON.stringify(disk)}`);
  const happened = same(was, becomes)
    ? after.flag === is.flag && same(after.aside?.content, is.aside?.content)
    : same(disk, becomes);
  const left = happened ? after : before;
  assertEquals(is.flag, left.flag, "a flag is cleared with its commit, and only then");

  const precious = expected.isMeant(before) || expected.isDoubtful(before) || before.saved !== undefined ||
    after.saved !== undefined;
  const content = before.session?.content ?? before.saved?.content;
  if (
    precious && content && !before.history.some((old) => same(old, content)) && after.saved === before.saved
  ) {
    const aside = before.saved || after.saved || expected.isDoubtful(before) ? [is.aside?.content] : [];
    const places = [is.session?.content, disk, ...aside];
    assert(places.some((place) => same(place, content)), "what was to be kept is lost");
  }
  for (const session of [is.session, is.aside]) {
    const known = [before.session, after.session, before.aside, after.aside].map((session) =>
      session?.content
    );
    if (session) {
      assert([...known, was, becomes].some((one) => same(one, session.content)), "a session is a mixture");
    }
  }
  const saved = after.saved ?? before.saved;
  const restorable = saved &&
    [is.session?.content, is.aside?.content, disk].some((one) => same(one, saved.content));
  return { ...is, history: left.history, running: false, saved: restorable ? saved : undefined };
}

function sorted(content: Content | undefined): unknown {
  return content && Object.entries(content).sort(([a], [b]) => a < b ? -1 : 1);
}

function half(fixture: Fixture): (step: Step) => void {
  return fixture instanceof RealFixture
    ? (step) =>
      step.kind === "merge" ? fixture.copyHalf(step) : step.kind === "create" ? undefined : doHalf(step)
    : doHalf;
}

/** One sequence; how many things happened in it. */
async function sequence(fixture: Fixture, seed: number): Promise<number> {
  const random = randomly(seed);
  const rules = { keepCommits: random.below(3), keepSession: random.chance(0.3), tells: random.chance(0.5) };
  const life = new Life(fixture, random, rules);
  const count = 5 + random.below(11);
  try {
    for (let time = 0; time < count; time++) {
      const may = happenings.filter(({ may, name }) =>
        // A flag that is written while a commit is decided is taken for the one that was decided.
        may(life.model) && !(/flag|word/.test(name) && exists(`${life.vda}.autorevert-committing`)) &&
        !(name.includes("word") && life.model.running && fixture instanceof RealFixture)
      );
      await happen(life, random.one(may.flatMap((one) => Array(one.weight ?? 1).fill(one))));
    }
    return count;
  } catch (cause) {
    const repeat = `SEED=${seed} build/deno test -A tests/model_test.ts`;
    throw new Error(`${repeat}\n${JSON.stringify(rules)}\n${life.trace.join("\n")}`, { cause });
  }
}

async function sequences(count: number, make: () => Fixture): Promise<number> {
  let happened = 0;
  for (const seed of SEED === undefined ? Array(count).keys() : [Number(SEED)]) {
    using fixture = make();
    happened += await sequence(fixture, seed);
  }
  return happened;
}

Deno.test(`${SEQUENCES} random lives go as the model says`, async () => {
  const happened = await sequences(SEQUENCES, () => {
    const fixture = new Fixture();
    fixture.save(fixture.vda, null, { "0": "base" });
    return fixture;
  });
  assert(SEED !== undefined || happened >= SEQUENCES * 5, `${happened}`);
});

Deno.test(`${REAL_SEQUENCES} random lives go as the model says, on the real qemu-img`, async () => {
  await sequences(REAL_SEQUENCES, () => new RealFixture());
});
