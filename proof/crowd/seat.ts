import { assert, assertEquals } from "@std/assert";
import { CONFIG, exists, Guest, ok, tellsReason } from "../../tests/e2e/libvirt.ts";
import type { Random } from "../../tests/random.ts";
import type { Killer } from "./killer.ts";
import { Member } from "./member.ts";

/** A guest of the crowd whose disk begins with that of another one, whose commits come while it runs. */
export class Seat extends Member {
  private constructor(
    guest: Guest,
    random: Random,
    killer: Killer,
    readonly master: Member,
  ) {
    super(guest, random, killer, true);
  }

  static async enlist(name: string, master: Member, random: Random, killer: Killer): Promise<Seat> {
    const guest = await Guest.define(name, { made: true });
    await autorevert("enable", name, "vda", "--master", master.guest.images[0]!);
    return new Seat(guest, random, killer, master);
  }

  override async live(until: number): Promise<void> {
    while (Date.now() < until) await this.session(false);
  }

  /** It began with what the master was at its start, or has become since, and found that until its end. */
  protected override settle(): void {
    const { guest: { name }, master } = this;
    const counted = this.guest.counts();
    const [first] = counted;
    const bases = master.countsSince(this.begun);
    assert(
      bases.includes(first! - 1),
      `${name} counted ${first} first, should be one more than ${bases.join(", ")}`,
    );
    assertEquals(counted, counted.map((_, index) => first! + index), `${name} counts on`);
  }

  protected override isExcused(since: number): boolean {
    return super.isExcused(since) || this.killer.excuses(this.master.guest.name, since);
  }

  /** Nothing is left of it. */
  override async checkEnd(): Promise<void> {
    const { guest } = this;
    // Where libvirt gives no reason, its last session is set aside until it is up again.
    if (!await tellsReason()) await autorevert("recover", "--discard", "--yes", guest.name);
    assertEquals(guest.files(), []);
    assert(!exists(`${CONFIG}/${guest.name}.seats`), `${guest.name} has left a note`);
    await autorevert("disable", guest.name);
  }
}

async function autorevert(...words: string[]): Promise<void> {
  await ok("/etc/libvirt/hooks/qemu", ...words);
}
