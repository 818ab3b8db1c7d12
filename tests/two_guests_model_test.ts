/**
 * Random lives of two guests that have one image, against what each of them has to find: a guest that was saved comes back to what it
 * was saved on, or is refused; what nobody asked for is never part of the disk. `SEQUENCES=10000` makes it a long run, `SEED=n`
 * repeats one sequence.
 */

import { assert, assertEquals } from "@std/assert";
import { Failing, type Fault, faults } from "./fault.ts";
import { type Content, exists, Fixture } from "./fixture.ts";
import { bootAgain, tick } from "./boot.ts";
import { type Random, randomly } from "./random.ts";
import { namesOf } from "../lib/state/paths.ts";

const SEQUENCES = Number(Deno.env.get("SEQUENCES") ?? 60);
const SEED = Deno.env.get("SEED");
const ACTIONS = 16;
const GUESTS = ["guest", "other"] as const;

type Domain = typeof GUESTS[number];

/** The last save of a guest. */
interface Saved {
  readonly content: Content;
  readonly flagged: boolean;
  /** No guest has come up since: its restore must not be refused. */
  readonly isUntouched: boolean;
}

class Life implements Disposable {
  readonly trace: string[] = [];
  readonly fixture = new Fixture();
  readonly keys: Readonly<Record<string, unknown>>;
  /** What the disk was, newest last. */
  readonly disks: Content[];
  running:
    | {
      readonly domain: Domain;
      content: Content;
      /** Its flag is set, or was at its start, or that of the session that goes on. */
      flagged: boolean;
      /** It began with its flag set. */
      isAsked?: boolean;
    }
    | undefined;
  readonly saves = new Map<Domain, Saved>();
  /** All that a guest has had before it, as it was when its session was over, or cut, and whether it was flagged. */
  readonly had = new Map<Domain, { content: Content; flagged: boolean }[]>(
    GUESTS.map((domain) => [domain, []]),
  );
  #count = 0;

  /** @param tells libvirt says how a guest ended */
  constructor(readonly random: Random, readonly tells: boolean) {
    this.keys = {
      "keep-commits": random.below(3),
      ...random.chance(0.3) && { "keep-session": true },
    };
    this.fixture.keys = this.keys;
    this.fixture.disks({ vda: false });
    for (const domain of GUESTS) {
      this.fixture.define(domain);
      this.configure(domain, false);
    }
    this.disks = [this.fixture.disk("vda")];
  }

  [Symbol.dispose](): void {
    this.fixture[Symbol.dispose]();
  }

  get image(): string {
    return this.fixture.vda;
  }

  get disk(): Content {
    return this.disks.at(-1)!;
  }

  configure(domain: Domain, flag: boolean): void {
    const disks = [{ target: "vda", "one-shot-commit": flag, ...this.keys }];
    Deno.writeTextFileSync(`${this.fixture.config}/${domain}.json`, JSON.stringify({ disks }), {
      mode: 0o644,
    });
  }

  isListed(domain: Domain): boolean {
    return exists(`${this.fixture.config}/${domain}.json`);
  }

  flagOf(domain: Domain): boolean {
    if (!this.isListed(domain)) return false;
    const { disks } = JSON.parse(Deno.readTextFileSync(`${this.fixture.config}/${domain}.json`));
    return disks[0]["one-shot-commit"];
  }

  write(): void {
    const key = `w${++this.#count}`;
    this.fixture.write(this.image, key);
    this.running!.content = { ...this.running!.content, [key]: "yes" };
  }

  /** A start, or a restore; undefined where it was refused or came to nothing. */
  async begin(domain: Domain, isRestore: boolean, how: "up" | "fails" | Fault): Promise<Content | undefined> {
    const { fixture } = this;
    if (isRestore) await fixture.event("restore", "-", { domain });
    const failing = how === "up" || how === "fails" ? undefined : new Failing(this.random.below(8), how);
    const { code, said } = await fixture.event("prepare", "-", {
      domain,
      ...failing && { perform: failing.perform },
    });
    const isDead = failing?.struck && failing.fault.startsWith("dies");
    if (code !== 0 || isDead) {
      this.trace.push(`  is ${failing?.struck ? `cut short: ${how}` : "refused"}: ${said[0] ?? ""}`);
      if (!isDead || this.random.chance(0.5)) {
        await fixture.event("release", this.tells ? "failed" : "-", { domain });
      } else await this.cut();
      return undefined;
    }
    if (how === "fails") {
      await fixture.event("release", this.tells ? "failed" : "-", { domain });
      return undefined;
    }
    const content = fixture.read(this.image);
    assertEquals((await fixture.event("started", "-", { domain })).said, []);
    fixture.busy.add(this.image);
    this.running = { domain, content, flagged: false };
    for (const [other, save] of this.saves) this.saves.set(other, { ...save, isUntouched: false });
    return content;
  }

  async start(domain: Domain): Promise<void> {
    // A guest whose disk isn't listed would write to the disk itself.
    if (!this.isListed(domain)) this.configure(domain, false);
    const how = this.random.one(["up", "up", "up", "fails", ...faults] as const);
    const flag = this.flagOf(domain);
    const content = await this.begin(domain, false, how);
    if (content === undefined) return;
    // Its own flagged session may go on.
    const own = this.had.get(domain)!.filter(({ flagged }) => flagged || flag).map(({ content }) => content);
    const isKnown = [this.disk, ...own].some((one) => isSame(one, content));
    assert(
      isKnown,
      `${domain} begins with ${JSON.stringify(content)}, the disk is ${JSON.stringify(this.disk)}`,
    );
    this.running!.flagged = flag || !isSame(content, this.disk);
    this.running!.isAsked = flag;
    // Only the last save of a guest fits to its session.
    this.saves.delete(domain);
    this.write();
  }

  async restore(domain: Domain): Promise<void> {
    const save = this.saves.get(domain);
    if (save === undefined) return;
    const how = save.isUntouched ? "up" : this.random.one(["up", "up", "fails", ...faults] as const);
    const content = await this.begin(domain, true, how);
    if (content === undefined) {
      assert(!save.isUntouched, "nobody has been up since it was saved");
      return;
    }
    assertEquals(content, save.content, "what it was saved on");
    this.saves.delete(domain);
    this.running!.flagged = save.flagged || this.flagOf(domain);
  }

  async end(reason: string): Promise<void> {
    const { domain, content, isAsked = false } = this.running!;
    const { fixture } = this;
    fixture.busy.delete(this.image);
    const isSave = reason === "saved";
    const flag = this.flagOf(domain);
    const flagged = this.running!.flagged || flag;
    await fixture.event("release", this.tells ? reason : "-", { domain });
    this.running = undefined;
    this.had.get(domain)!.push({ content, flagged });
    this.look([content], flagged ? "asked for" : undefined);
    const isCommitted = reason === "shutdown" && flag && isAsked;
    if (isCommitted) assertEquals(this.disk, content, "asked for");
    // Before libvirt 10.5 the save of a flagged guest commits, and its restore fits as long as nobody else commits.
    if (isSave && (this.tells || !flag)) this.saves.set(domain, { content, flagged, isUntouched: true });
  }

  /** The power fails. */
  async cut(): Promise<void> {
    const { running } = this;
    if (running) {
      const { domain, content, flagged } = running;
      this.had.get(domain)!.push({ content, flagged: flagged || this.flagOf(domain) });
    }
    this.fixture.busy.delete(this.image);
    this.running = undefined;
    await bootAgain(this.fixture);
  }

  /** What the disk is now: what it was, or one of these where that was asked for. */
  look(others: readonly Content[], why: string | undefined): void {
    const { kind } = this.fixture.state("vda");
    if (kind === "committing" || kind === "headless") return;
    const now = this.fixture.disk("vda");
    if (isSame(now, this.disk)) return;
    assert(
      why !== undefined,
      `nobody has asked for ${JSON.stringify(now)}, it was ${JSON.stringify(this.disk)}`,
    );
    assert(
      others.some((one) => isSame(one, now)),
      `${why}: ${JSON.stringify(now)} of ${JSON.stringify(others)}`,
    );
    this.disks.push(now);
  }

  async type(line: string, domain: Domain): Promise<void> {
    const { code, said } = await this.fixture.type(`${line} ${domain} --yes`);
    this.trace.push(`  ${code} ${said[0] ?? ""}`);
    if (code !== 0) return this.look([], undefined);
    const own = this.had.get(domain)!.map(({ content }) => content);
    if (line === "undo") return this.look([...this.disks, ...own], "undone");
    if (line === "recover --discard") {
      this.saves.delete(domain);
      return this.look([], undefined);
    }
    // Its memory fits to that only as long as nobody else commits.
    this.saves.delete(domain);
    this.look(own, "kept");
  }

  async act(): Promise<void> {
    const domain = this.random.one(GUESTS);
    const always = ["flag", "merge", "cut"];
    const actions = this.running
      ? [...always, "write", "shutdown", "shutdown", "saved", "saved", "crashed", "start", "restore"]
      : [
        ...always,
        ...["start", "start", "start", "start", "restore", "restore", "restore", "restore"],
        ...["keep", "undo", "recover --keep", "recover --discard", "recover", "disable"],
      ];
    const action = this.random.one(actions);
    this.trace.push(`${action} ${domain}`);
    switch (action) {
      case "start":
      case "restore":
        return await (this.running ? this.tryBeside(domain, action) : this[action](domain));
      case "write":
        return this.write();
      case "shutdown":
      case "crashed":
      case "saved":
        return await this.end(action);
      case "cut":
        return await this.cut();
      case "flag":
        return this.configure(domain, !this.flagOf(domain));
      case "merge":
        return void await this.fixture.merge({ domain });
      case "disable":
        return void await this.fixture.type(["disable", domain]);
      default:
        return await this.type(action, domain);
    }
  }

  /** While a guest is up, another one is refused: by QEMU, where its disk isn't listed. */
  async tryBeside(domain: Domain, action: "start" | "restore"): Promise<void> {
    if (domain === this.running!.domain) return;
    if (action === "restore") await this.fixture.event("restore", "-", { domain });
    const { code } = await this.fixture.event("prepare", "-", { domain });
    if (this.isListed(domain)) assertEquals(code, 1);
    await this.fixture.event("release", this.tells ? "failed" : "-", { domain });
    assertEquals(this.fixture.read(this.image), this.running!.content);
  }

  /** Whether what a guest was saved on is there: in its place, set aside, or as the disk itself. */
  has(content: Content): boolean {
    const { image, ended } = namesOf(this.image);
    return [image, ended].some((path) => exists(path) && isSame(this.fixture.read(path), content));
  }
}

function isSame(a: Content, b: Content): boolean {
  const sorted = (one: Content) => JSON.stringify(Object.entries(one).toSorted());
  return sorted(a) === sorted(b);
}

async function sequence(seed: number, tells: boolean): Promise<void> {
  using life = new Life(randomly(seed), tells);
  try {
    for (let count = 0; count < ACTIONS; count++) {
      await tick();
      await life.act();
      const lost = [...life.saves.values()].find(({ content, isUntouched }) =>
        isUntouched && !life.has(content)
      );
      assertEquals(lost, undefined, "a session that a guest was saved on, and nobody has begun one since");
      if (life.running === undefined) life.look([], undefined);
    }
  } catch (cause) {
    const repeat = `SEED=${seed} build/deno test -A tests/two_guests_model_test.ts`;
    throw new Error(`${repeat}\n${life.fixture.root}\n${life.trace.join("\n")}`, { cause });
  }
}

for (const tells of [true, false]) {
  Deno.test(`${SEQUENCES} random lives of two guests on one image, ${tells ? "told" : "not told"} how they end: each finds what it was saved on, or is refused`, async () => {
    for (const seed of SEED === undefined ? Array(SEQUENCES).keys() : [Number(SEED)]) {
      await sequence(seed, tells);
    }
  });
}
