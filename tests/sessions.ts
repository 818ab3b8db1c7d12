/** The sessions of several guests on one image, and what must have become of them. */

import { assert, assertEquals } from "@std/assert";
import type { Content, Fixture } from "./fixture.ts";

/** What a guest wrote between a start and its end. */
export interface Session {
  readonly key: string;
  readonly guest: string;
  /** Whether it may be, and whether it must be, part of the disk. */
  may: boolean;
  must: boolean;
}

/** An image that several guests are configured for. */
export class Sessions {
  /** A command may have taken a commit back, or added a session that was set aside. */
  isEdited = false;
  /** Guests of which a command has set the flag: nobody knows for which of their sessions. */
  readonly flagged = new Set<string>();
  readonly #all: Session[];

  constructor(
    readonly fixture: Fixture,
    readonly guests: readonly string[],
    before: readonly Session[] = [],
  ) {
    this.#all = before.map((session) => ({ ...session }));
    for (const guest of guests) {
      this.configure(guest, false);
      fixture.define(guest);
    }
  }

  get all(): readonly Session[] {
    return this.#all;
  }

  configure(guest: string, flag: boolean): void {
    const disk = { "target": "vda", "one-shot-commit": flag };
    Deno.writeTextFileSync(`${this.fixture.config}/${guest}.json`, JSON.stringify({ disks: [disk] }));
  }

  begin(guest: string): Session {
    const session = { key: `${guest} ${this.#all.length}`, guest, may: this.#flagOf(guest), must: false };
    this.#all.push(session);
    return session;
  }

  /** Its end was told of, and went as it should. */
  end(session: Session): void {
    session.must = session.may && !this.#flagOf(session.guest);
  }

  /** What a guest finds: all that was committed, and nothing that was thrown away. */
  check(content: Content, own?: Session): void {
    assertEquals(content.base, "vda");
    for (const session of this.#all) {
      if (session === own || this.isEdited) continue;
      const has = session.key in content;
      assert(
        has ? session.may || this.flagged.has(session.guest) : !session.must,
        `${session.key} is ${has ? "" : "not "}there`,
      );
    }
  }

  #flagOf(guest: string): boolean {
    return Deno.readTextFileSync(`${this.fixture.config}/${guest}.json`).includes("true");
  }
}
