/** Two hosts with one folder of configurations, and so with one set of notes. */

import { assertEquals } from "@std/assert";
import { DOMAIN, exists, Fixture } from "./fixture.ts";
import { Pool } from "./pool.ts";
import { TwoHosts } from "./two_hosts.ts";

/** What libvirt of this host keeps in its own folder of a guest that it has saved. */
function writeSave({ settings, now }: Fixture, domain: string): void {
  const path = `${settings.saveFolder}/${domain}.save`;
  Deno.writeTextFileSync(path, "");
  Deno.utimeSync(path, now(), now());
}

for (const how of ["saved", "power cut", "refused in between"]) {
  Deno.test(`a managed save of one host is not restored on the session that the other has begun since: ${how}`, async () => {
    using hosts = new TwoHosts({ vda: false }, undefined, { sharesConfig: true });
    const { here, there } = hosts;
    for (const host of [here, there]) host.define();
    await hosts.start(here);
    here.write(here.vda, "first");
    writeSave(here, DOMAIN);
    await hosts.stop(here, "saved");
    await hosts.start(there);
    there.write(there.vda, "second");
    if (how === "saved") {
      writeSave(there, DOMAIN);
      await hosts.stop(there, "saved");
    } else if (how === "power cut") {
      there.busy.clear();
      there.boot();
    } else {
      // libvirt-guests of the first host: QEMU doesn't get the lock.
      await here.event("restore");
      await here.event("prepare");
      await here.event("release", "failed");
      await hosts.stop(there);
    }
    await here.event("restore");
    const { code, said } = await here.event("prepare");
    const found = here.read(here.vda);
    assertEquals(code === 0 && "second" in found, false, JSON.stringify([code, said, found]));
  });
}

/** The same with a pool of seats. */
class TwoPools implements Disposable {
  readonly first = new Fixture();
  readonly second = new Fixture(undefined, this.first.images);
  readonly here = new Pool(this.first);
  readonly there: Pool;

  constructor() {
    this.second.name = "there";
    this.second.settings = { ...this.second.settings, configFolder: this.first.config };
    Object.assign(this.second, { config: this.first.config, busy: this.first.busy });
    this.there = new Pool(this.second);
  }

  [Symbol.dispose](): void {
    this.first[Symbol.dispose]();
    this.second[Symbol.dispose]();
  }
}

for (const how of ["saved", "power cut", "refused in between"]) {
  Deno.test(`nor is that of a guest with a seat: ${how}`, async () => {
    using hosts = new TwoPools();
    const { here, there, first, second } = hosts;
    const image = here.image("seat1");
    await here.start("seat1");
    first.write(image, "session", "first");
    writeSave(first, "seat1");
    await here.stop("seat1", "saved");
    await there.start("seat1");
    second.write(image, "session", "second");
    if (how === "saved") {
      writeSave(second, "seat1");
      await there.stop("seat1", "saved");
    } else if (how === "power cut") {
      first.busy.clear();
      second.boot();
    } else {
      await here.event("seat1", "restore");
      await here.event("seat1", "prepare");
      await here.event("seat1", "release", "failed");
      await there.stop("seat1");
    }
    await here.event("seat1", "restore");
    const { code, said } = await here.event("seat1", "prepare");
    const found = exists(image) ? first.read(image) : {};
    assertEquals(code === 0 && found["session"] === "second", false, JSON.stringify([code, said, found]));
  });
}

for (const flag of [false, true]) {
  Deno.test(`an end that is told late ends no session that the other host has begun meanwhile: flag ${flag}`, async () => {
    using hosts = new TwoHosts({ vda: flag }, undefined, { sharesConfig: true });
    const { here, there } = hosts;
    for (const host of [here, there]) host.define();
    await hosts.start(here);
    here.write(here.vda, "first");
    // QEMU has ended; the other host's start has the guest's lock first.
    here.busy.clear();
    await there.event("prepare");
    const at = there.state("vda").kind;
    await here.event("stopped", "shutdown");
    const { log } = await here.event("release", "shutdown");
    await there.event("started");
    assertEquals([at, there.state("vda").kind], ["session", "session"], log.join("\n"));
  });
}

for (const flag of [false, true]) {
  for (const start of ["restore", "fresh", "migrate"]) {
    Deno.test(`a ${start} start that fails at one host, since the guest runs at the other, changes nothing of that one's end: flag ${flag}`, async () => {
      using hosts = new TwoHosts({ vda: flag }, undefined, { sharesConfig: true });
      const { here, there } = hosts;
      for (const host of [here, there]) host.define();
      await hosts.start(here);
      here.write(here.vda, "first");
      await hosts.stop(here, "saved");
      await there.good("restore");
      await hosts.start(there);
      there.write(there.vda, "second");
      if (start !== "fresh") await here.event(start);
      await here.event("prepare");
      await here.event("release", "failed");
      await hosts.stop(there);
      const state = there.state("vda");
      const committed = state.kind !== "session" && "second" in there.disk("vda");
      assertEquals([state.kind === "session", committed], [false, flag]);
    });
  }
}
