/** The clock of the images' file system is not the host's: a server's may be minutes ahead or behind. */

import { assertEquals } from "@std/assert";
import { readRecords } from "../lib/host/session_records.ts";
import { stamping } from "./file_times.ts";
import { type Circumstance, Fixture, LONG_AGO } from "./fixture.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A guest whose images lie on a server that is so far ahead, in milliseconds. */
class Remote {
  readonly fixture = new Fixture();
  now = new Date("2030-01-01").getTime();

  constructor(readonly ahead: number, flag: boolean) {
    this.fixture.disks({ vda: flag });
    this.fixture.configure({ vda: flag }, new Date(this.now - 24 * HOUR));
    this.fixture.now = () => new Date(this.now);
    this.fixture.booted = new Date(this.now - HOUR);
  }

  readonly how: Circumstance = { ...stamping(() => this.#server), mergeDies: true };

  /** The guest writes, after so many milliseconds. */
  write(after: number): void {
    this.now += after;
    this.fixture.write(this.fixture.vda, "session");
    Deno.utimeSync(this.fixture.vda, this.#server, this.#server);
  }

  get #server(): Date {
    return new Date(this.now + this.ahead);
  }

  [Symbol.dispose](): void {
    this.fixture[Symbol.dispose]();
  }
}

for (const ahead of [-5 * MINUTE, 5 * MINUTE]) {
  Deno.test(`a flagged guest that ran while libvirtd was dead is committed, though the server is ${ahead / MINUTE} min ahead`, async () => {
    using remote = new Remote(ahead, true);
    const { fixture, how } = remote;
    await fixture.good("prepare", "-", how);
    await fixture.good("start", "-", how);
    assertEquals(readRecords(fixture.note)[0]?.ahead, ahead);
    remote.write(3 * MINUTE);
    remote.now += 1000;
    await fixture.stop("-", how);
    assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" });
  });
}

Deno.test("a flag that is set after a power cut is for the next session, though the server is 5 min ahead", async () => {
  using remote = new Remote(5 * MINUTE, false);
  const { fixture, how } = remote;
  await fixture.start(how);
  remote.write(HOUR);
  remote.now += MINUTE;
  fixture.booted = new Date(remote.now);
  remote.now += MINUTE;
  fixture.configure({ vda: true }, new Date(remote.now));
  remote.now += MINUTE;
  await fixture.start(how);
  assertEquals(fixture.read(fixture.vda), { base: "vda" });
});

Deno.test("a clock that was ahead as another guest of the image ran is none of the file system's: a flag set after a power cut is for the next session", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 1 };
  fixture.disks({ vda: true });
  const ahead = () => new Date(Date.now() + 8 * 3_600_000);
  fixture.now = ahead;
  await fixture.start(stamping(ahead));
  fixture.write(fixture.vda, "first");
  await fixture.stop();
  fixture.now = () => new Date();
  const second = { domain: "second" };
  const config = `${fixture.config}/second.json`;
  Deno.writeTextFileSync(config, '{"disks": [{"target": "vda"}]}');
  Deno.utimeSync(config, LONG_AGO, LONG_AGO);
  await fixture.start(second);
  fixture.write(fixture.vda, "junk");
  fixture.boot();
  Deno.writeTextFileSync(config, '{"disks": [{"target": "vda", "one-shot-commit": true}]}');
  const soon = new Date(Date.now() + MINUTE);
  Deno.utimeSync(config, soon, soon);
  await fixture.start(second);
  assertEquals(fixture.read(fixture.vda), { base: "vda", first: "yes" });
});
