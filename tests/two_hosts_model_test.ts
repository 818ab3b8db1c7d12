/**
 * Random lives of a guest on two hosts with one folder of images, against what its disk should read as. `SEQUENCES=10000` makes it a
 * long run, `SEED=n` repeats one sequence.
 */

import { assertEquals } from "@std/assert";
import { tearing } from "./fault.ts";
import type { Content, Fixture } from "./fixture.ts";
import { type Random, randomly } from "./random.ts";
import { TwoHosts } from "./two_hosts.ts";

const SEQUENCES = Number(Deno.env.get("SEQUENCES") ?? 150);
const SEED = Deno.env.get("SEED");
const ACTIONS = 25;

/** One guest, and what it should be like. */
class Life implements Disposable {
  readonly hosts = new TwoHosts({ vda: false });
  readonly both = [this.hosts.here, this.hosts.there];
  readonly trace: string[] = [];
  /** What the disk was, oldest first; the last is what it is. */
  readonly history: Content[] = [this.hosts.here.disk("vda")];
  /** Which host the guest runs on, and what it sees. */
  running: { readonly host: Fixture; content: Content; readonly came: boolean } | undefined;
  /** The session was flagged when it began, or where it came from. */
  isMeant = false;
  #writes = 0;

  constructor(readonly random: Random, readonly tells: boolean, readonly keepCommits: number) {
    for (const host of this.both) {
      host.keys = { "keep-commits": keepCommits };
      host.configure({ vda: false });
    }
  }

  [Symbol.dispose](): void {
    this.hosts[Symbol.dispose]();
  }

  other(host: Fixture): Fixture {
    return this.both.find((one) => one !== host)!;
  }

  reason(reason: string): string {
    return this.tells ? reason : "-";
  }

  get disk(): Content {
    return this.history.at(-1)!;
  }

  async act(): Promise<void> {
    const host = this.running?.host ?? this.random.one(this.both);
    const actions = this.running ? whileUp : whileOff;
    const name = this.random.one(Object.keys(actions));
    this.trace.push(`${name} on ${this.both.indexOf(host)}`);
    await actions[name]!(this, host);
    if (this.running) assertEquals(host.read(host.vda), this.running.content);
    else assertEquals(host.disk("vda"), this.disk);
  }

  write(): void {
    const { host } = this.running!;
    host.write(host.vda, `${this.random.below(4)}`, `${++this.#writes}`);
    this.running!.content = host.read(host.vda);
  }

  /** A start finds the disk, or after a power cut the session that is to be kept. */
  async start(host: Fixture, content: Content): Promise<void> {
    await this.hosts.start(host);
    this.running = { host, content, came: false };
  }

  /** It is refused where there is nothing that could be undone. */
  async undo(host: Fixture): Promise<void> {
    const { code } = await host.type("undo guest --yes", undefined, { mergeDies: true });
    if (code === 0) this.history.pop();
  }

  flagOf(host: Fixture): boolean {
    return host.flags().vda!;
  }
}

type Actions = Readonly<Record<string, (life: Life, host: Fixture) => Promise<void> | void>>;

const whileOff: Actions = {
  "a flag": (life, host) => host.configure({ vda: life.random.chance(0.7) }),
  "a start": async (life, host) => {
    life.isMeant = life.flagOf(host);
    await life.start(host, life.disk);
  },
  "a merge": async (_, host) => void await host.merge(),
  "a merge that is killed": async (_, host) => void await host.merge({ perform: tearing(host) }),
  "an undo": (life, host) => life.undo(host),
  "a merge that is killed, and an undo": async (life, host) => {
    await host.merge({ perform: tearing(host) });
    await life.undo(life.random.one(life.both));
  },
};

const whileUp: Actions = {
  "a write": (life) => life.write(),
  "a migration": async (life, host) => {
    const to = life.other(host);
    const isFlagged = life.flagOf(host);
    // Without a reason an end can't be told from an aborted migration's, where the session has come.
    const isPassedOn = isFlagged && (life.tells || !life.running!.came);
    await life.hosts.migrate(host, to, life.reason("migrated"));
    life.isMeant ||= isPassedOn;
    assertEquals(life.flagOf(host), isFlagged && !isPassedOn);
    life.running = { host: to, content: life.running!.content, came: true };
  },
  "a migration that is aborted": (life, host) => life.hosts.abort(life.other(host), life.reason("failed")),
  "a migration that fails late": (life, host) => life.hosts.failLate(life.other(host), life.reason("failed")),
  "a power cut": async (life, host) => {
    host.busy.clear();
    life.isMeant ||= life.flagOf(host);
    await life.start(host, life.isMeant ? life.running!.content : life.disk);
  },
  "an end": async (life, host) => {
    if (life.isMeant || life.flagOf(host)) life.history.push(life.running!.content);
    host.busy.clear();
    await host.good("stopped");
    await host.good("release", life.reason("shutdown"), { mergeDies: true });
    life.running = undefined;
    assertEquals(life.flagOf(host), false);
  },
};

Deno.test(`${SEQUENCES} random lives on two hosts go as they should`, async () => {
  const seeds = SEED === undefined ? Array.from({ length: SEQUENCES }, (_, index) => index) : [Number(SEED)];
  for (const seed of seeds) {
    const random = randomly(seed);
    using life = new Life(random, random.chance(0.5), random.below(2));
    try {
      for (let action = 0; action < ACTIONS; action++) await life.act();
    } catch (cause) {
      throw new Error(`SEED=${seed}: ${life.trace.join(", ")}`, { cause });
    }
  }
});
