import { assert, assertEquals } from "@std/assert";
import { Guest, run } from "../../tests/e2e/libvirt.ts";
import type { Random } from "../../tests/random.ts";
import { type Killer, sleep } from "./killer.ts";

/** Milliseconds within which everything happens, on a machine that is busy with fifty guests. */
const PATIENCE = 180_000;

/** A guest of the crowd, and what has to be on its disk. */
export class Member {
  /** The count that the next session begins with, less one. */
  #count = 0;
  /** Where something died while the guest counted, it may have counted once more. */
  #perhaps = 0;
  /** What its disk may have held, and from when on that is known. */
  readonly #history: { readonly at: number; readonly counts: readonly number[] }[] = [];
  sessions = 0;
  commits = 0;
  refusals = 0;

  protected constructor(
    readonly guest: Guest,
    readonly random: Random,
    readonly killer: Killer,
    readonly stays: boolean,
  ) {}

  static async define(name: string, random: Random, killer: Killer): Promise<Member> {
    const stay = random.chance(0.5);
    const guest = await Guest.define(name, { stay });
    guest.configure({ vda: false });
    return new Member(guest, random, killer, stay);
  }

  /** What its disk may have held at any time since then, without sessions that are forgotten. */
  countsSince(then: number): number[] {
    const last = this.#history.findLastIndex(({ at }) => at < then);
    const known = last === -1
      ? [[0], ...this.#history.map(({ counts }) => counts)]
      : this.#history.slice(last)
        .map(({ counts }) => counts);
    // Of what is counted just now, all may be on the disk before it is known here, and one more than is printed.
    return [...known.flat(), ...this.guest.counts().flatMap((count) => [count, count + 1])];
  }

  /** @param before what its disk holds until its next event, where its end was cut short */
  #note(...before: readonly number[]): void {
    this.#history.push({ at: Date.now(), counts: [...before, this.#count, this.#count + this.#perhaps] });
  }

  get count(): number {
    return this.#count;
  }

  /** Sessions, one after the other; one in five is flagged. */
  async live(until: number): Promise<void> {
    while (Date.now() < until) await this.session(this.random.chance(0.2));
  }

  /** One session from its start to its end, whatever dies. */
  async session(flagged: boolean): Promise<void> {
    const { guest, random } = this;
    // A flag that is still set is that of a session that goes on.
    if (flagged && !this.#isFlagged) guest.configure({ vda: true });
    if (!await this.#start()) return;
    this.sessions++;
    const keys = this.stays ? random.below(3) : 0;
    for (let key = 0; key < keys; key++) {
      await virsh("send-key", guest.name, "KEY_A");
      await sleep(random.below(300));
    }
    if (this.stays) await virsh("destroy", guest.name);
    await this.#off(this.stays);
    this.settle();
  }

  get #isFlagged(): boolean {
    return this.guest.flags().vda!;
  }

  /** @returns whether it runs; a start may fail only where something died */
  async #start(): Promise<boolean> {
    const { guest } = this;
    const begun = Date.now();
    this.begun = begun;
    this.#wasFlagged = this.#isFlagged;
    await guest.forgetCounts();
    while (true) {
      const { code, stderr } = await virsh("start", "--paused", guest.name);
      if (code === 0) break;
      this.refusals++;
      const killedMerge = /is still written by the qemu-img of a merge that was killed/.test(stderr);
      const excused = this.isExcused(begun - 10_000) || killedMerge;
      assert(excused, `${guest.name} was refused, and nothing had died: ${stderr}`);
      assert(Date.now() < begun + PATIENCE, `${guest.name} is refused for good: ${stderr}`);
      await sleep(200);
      // The daemon that died may have started it all the same.
      if (await this.#state() !== "shut off") break;
    }
    await virsh("resume", guest.name);
    const patience = Date.now() + PATIENCE;
    while (guest.counts().length === 0) {
      const state = await this.#state();
      if (state === "shut off" && guest.counts().length === 0) {
        assert(
          this.isExcused(begun - 10_000),
          `${guest.name} is off and has not counted, and nothing had died`,
        );
        await this.#off(false);
        if (this.#wasFlagged) this.#perhaps = 1;
        this.#note();
        return false;
      }
      if (state === "paused") await virsh("resume", guest.name);
      assert(Date.now() < patience, `${guest.name} doesn't count`);
      await sleep(100);
    }
    return true;
  }

  #wasFlagged = false;
  /** When its last start was asked for. */
  protected begun = 0;

  /** Waits until it is off and no hook works for it. */
  async #off(destroy: boolean): Promise<void> {
    const patience = Date.now() + PATIENCE;
    for (let state = ""; state !== "shut off"; state = await this.#state()) {
      assert(Date.now() < patience, `${this.guest.name} doesn't end`);
      await sleep(100);
      // Where the daemon died between the two, it doesn't know that its guest went on, and has powered off.
      if (destroy || state === "paused" && this.isExcused(this.begun)) {
        await virsh("destroy", this.guest.name);
      }
    }
    await run("flock", "--wait", "60", `/etc/libvirt/hooks/config/${this.guest.name}.lock`, "true");
  }

  /** What the session counted, and so what the disk is now. */
  protected settle(): void {
    const counted = this.guest.counts();
    const [first] = counted;
    const bases = this.#perhaps ? [this.#count, this.#count + this.#perhaps] : [this.#count];
    assert(
      bases.some((base) => first === base + 1),
      `${this.guest.name} counted ${first} first, should be ${bases.map((base) => base + 1).join(" or ")}`,
    );
    assertEquals(counted, counted.map((_, index) => first! + index), `${this.guest.name} counts on`);
    this.#count = first! - 1;
    this.#perhaps = 0;
    if (!this.#wasFlagged) return this.#note();
    const before = this.isExcused(this.begun) ? [this.#count] : [];
    this.#count = counted.at(-1)!;
    this.#perhaps = 1;
    this.commits++;
    this.#note(...before);
  }

  /** Whether something died since then that a start of it may have noticed. */
  protected isExcused(since: number): boolean {
    return this.killer.excuses(this.guest.name, since);
  }

  /** `shut off`, `running` …; waits while there is no daemon to ask. */
  async #state(): Promise<string> {
    for (let tries = 0; tries < 600; tries++) {
      const { code, stdout } = await virsh("domstate", this.guest.name);
      if (code === 0) return stdout.trim();
      await sleep(200);
    }
    throw new Error(`${this.guest.name} has no state`);
  }

  /** What goes on comes to its end, and two clean cycles follow. */
  async finish(): Promise<void> {
    await virsh("destroy", this.guest.name);
    await this.#off(true);
    await this.session(false);
    await this.session(false);
  }

  /** Nothing is left but the image, and it has its count. */
  async checkEnd(): Promise<void> {
    assertEquals(this.#isFlagged, false, `${this.guest.name}: a session that has ended is not flagged`);
    await this.guest.reverted(this.#count);
    const { code, stdout } = await run("qemu-img", "check", "-q", this.guest.images[0]!);
    assertEquals(code, 0, `${this.guest.name}: ${stdout}`);
  }
}

const virsh = (...words: string[]) => run("virsh", "-q", ...words);
