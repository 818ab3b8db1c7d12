/**
 * Firmware and disk never come apart, whatever happens when: the guest writes the same keys to both, so they have to hold the
 * same. `SEQUENCES=10000` makes the random lives a long run, `SEED=n` repeats one.
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { read } from "../lib/host/files.ts";
import type { Step } from "../lib/state/step.ts";
import { atEveryStep, dyingAt, Failing, faults, inContext } from "./fault.ts";
import { FirmwareFixture, FirmwarePool, up } from "./firmware_fixture.ts";
import { type Circumstance, DOMAIN, exists, Fixture, LATER, LONG_AGO, type Result } from "./fixture.ts";
import { type Random, randomly } from "./random.ts";
import { Tree } from "./tree.ts";

const SEQUENCES = Number(Deno.env.get("SEQUENCES") ?? 60);
const SEED = Deno.env.get("SEED");

const keysOf = (file: string) => Object.keys(JSON.parse(read(file)!));
const firmware = (fixture: FirmwareFixture) => fixture.files(`${fixture.root}/firmware`);

/** What the guest finds from here on its first disk; its firmware has to fit. */
async function found(fixture: FirmwareFixture, ...before: string[]): Promise<string[]> {
  for (const operation of before) assertEquals((await fixture.event(operation)).code, 0);
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said], [0, []]);
  await fixture.event("started");
  return Object.keys(fixture.read(fixture.vda));
}

/** Something is cut short at each of its steps; `then` happens after each. */
async function cutShort(
  fixture: Fixture,
  what: (how: Circumstance) => Promise<Result>,
  then: () => Promise<void>,
): Promise<void> {
  const before = new Tree(fixture.root);
  const seen = new Set<string>();
  const { booted } = fixture;
  for (const fault of faults) {
    await atEveryStep(fault, async (failing) => {
      before.restore();
      await what({ perform: failing.perform, mergeDies: true });
      const { key } = new Tree(fixture.root);
      if (seen.has(key)) return;
      seen.add(key);
      // The host has died with it.
      fixture.booted = new Date(booted.getTime() + 60_000);
      await then();
      fixture.booted = booted;
    });
  }
}

Deno.test("a start that sets a session aside in place of another is cut short: the saved guest finds firmware that fits", async () => {
  using fixture = await up(false);
  await fixture.stop("saved");
  await fixture.start();
  fixture.write(fixture.vda, "second");
  await fixture.stop("saved");
  await cutShort(fixture, (how) => fixture.event("prepare", "-", how), async () => {
    const now = new Tree(fixture.root);
    for (const before of [[], ["prepare"]]) {
      for (const isTold of [false, true]) {
        now.restore();
        await inContext([before, isTold], async () => {
          for (const operation of before) await fixture.event(operation);
          if (isTold) await fixture.event("release", "failed");
          await found(fixture, "restore");
        });
      }
    }
  });
});

Deno.test("an end that is cut short, or fails, leaves firmware that fits to what is kept then", async () => {
  for (const keepSession of [false, true]) {
    using fixture = await up(false, { keys: { "keep-session": keepSession } });
    fixture.define();
    await cutShort(fixture, (how) => fixture.event("release", "shutdown", how), async () => {
      const now = new Tree(fixture.root);
      for (const words of [["keep", DOMAIN], ["recover", "--keep", DOMAIN, "--yes"]]) {
        now.restore();
        await fixture.type(words);
        await inContext(words, async () => void await found(fixture));
      }
      now.restore();
      fixture.configure({ vda: true }, LATER);
      await found(fixture);
      await fixture.event("release", "shutdown");
      await fixture.command("keep");
      await inContext("a flag that came later", async () => void await found(fixture));
    });
  }
});

Deno.test("a commit that is cut short takes the firmware with the disk or not at all, also where its flag is cleared since", async () => {
  using fixture = await up(true);
  fixture.define();
  await cutShort(fixture, (how) => fixture.event("release", "shutdown", how), async () => {
    fixture.configure({ vda: false }, LATER);
    await found(fixture);
  });
});

Deno.test("recover --keep that is cut short takes the firmware with the disk or not at all", async () => {
  using fixture = await up(false);
  fixture.define();
  const words = ["recover", "--keep", DOMAIN, "--yes"];
  await cutShort(fixture, (how) => fixture.type(words, false, how), async () => void await found(fixture));
});

Deno.test("the coming up that is cut short leaves no session of the disk aside without its firmware", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  await fixture.event("prepare");
  fixture.define();
  await cutShort(fixture, (how) => fixture.event("started", "-", how), async () => {
    await fixture.event("release", "failed");
    await fixture.command("keep");
    await found(fixture);
  });
});

Deno.test("firmware of a first start that was cut short goes back with the session that goes on", async () => {
  using fixture = new FirmwareFixture();
  fixture.disks({ vda: true });
  fixture.define();
  await cutShort(fixture, (how) => fixture.event("prepare", "-", how), async () => {
    await fixture.start();
    fixture.write(fixture.vda, "session");
    assertEquals((await fixture.type(["recover", "--discard", DOMAIN, "--yes"])).code, 0);
    assertEquals(await found(fixture), ["base"]);
    fixture.configure({ vda: true });
  });
});

Deno.test("disks that are not there at an end take their firmware nowhere", async () => {
  for (const [flag, reason, before] of [[true, "shutdown", []], [false, "-", ["restore"]]] as const) {
    using fixture = await up(flag);
    Deno.renameSync(fixture.images, `${fixture.images}.away`);
    await fixture.event("release", reason);
    Deno.renameSync(`${fixture.images}.away`, fixture.images);
    assertEquals(await found(fixture, ...before), ["base", "installed", "session"]);
  }
});

Deno.test("a disk that was detached keeps the firmware from nothing", async () => {
  using fixture = await up(false, { keys: { "keep-session": true }, targets: ["vda", "vdb"] });
  fixture.sources.delete("vdb");
  fixture.define();
  await fixture.stop();
  assertEquals((await fixture.command("keep", { target: "vda" })).code, 0);
  fixture.configure({ vda: false });
  assertEquals(await found(fixture), ["base", "installed", "session"]);
});

Deno.test("firmware that is no longer listed stays as the guest leaves it, whatever commits it had", async () => {
  using fixture = await up(true, { keys: { "keep-commits": 3 } });
  await fixture.stop();
  fixture.isListed = false;
  fixture.configure({ vda: false });
  await fixture.start();
  assertEquals(firmware(fixture), ["guest_VARS.fd", "tpm2-00.permall"]);
  fixture.write(fixture.vda, "later");
  await fixture.stop();
  const all = ["installed", "session", "later"];
  assertEquals([keysOf(fixture.variables), keysOf(fixture.tpm)], [all, all]);
});

Deno.test("a file of somebody's own in the place of idle firmware is not thrown away unasked", async () => {
  for (const [way, left] of [["--keep", ["mine"]], ["--discard", ["installed", "session"]]] as const) {
    using fixture = await up(true, { keys: { "keep-commits": 3 } });
    await fixture.stop();
    fixture.define();
    Deno.writeTextFileSync(`${fixture.root}/own`, `{"mine":"yes"}`);
    Deno.renameSync(`${fixture.root}/own`, fixture.variables);
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    assertStringIncludes(said.join("\n"), "has versions beside it, but no session of this guest has made it");
    assertStringIncludes(said.join("\n"), "autorevert recover --keep|--discard guest");
    await fixture.event("release", "failed");
    assertEquals(keysOf(fixture.variables), ["mine"]);
    assertEquals((await fixture.type(["recover", way, DOMAIN], true)).code, 0);
    if (way === "--discard") assertStringIncludes(fixture.asked.join(), "guest nvram: throw the session");
    assertEquals((await fixture.event("prepare")).code, 0);
    assertEquals(keysOf(fixture.variables), [...left]);
  }
});

Deno.test("firmware whose folder was away at the end can be ended by a command", async () => {
  using fixture = await up(false);
  const folder = `${fixture.root}/firmware`;
  Deno.renameSync(folder, `${folder}.away`);
  await fixture.event("release", "shutdown");
  Deno.renameSync(`${folder}.away`, folder);
  fixture.define();
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.event("release", "failed");
  assertEquals((await fixture.type(["recover", "--discard", DOMAIN, "--yes"])).code, 0);
  assertEquals(await found(fixture), ["base", "installed"]);
});

Deno.test("recover of one of two disks leaves the firmware to the other", async () => {
  using fixture = await up(false, { targets: ["vda", "vdb"] });
  fixture.define();
  assertEquals((await fixture.type(["recover", "--discard", DOMAIN, "vdb", "--yes"])).code, 0);
  assertEquals((await fixture.type(["recover", "--keep", DOMAIN, "vda", "--yes"])).code, 0);
  assertEquals(await found(fixture), ["base", "installed", "session"]);
});

Deno.test("what an undo sets aside is not kept with firmware of another session", async () => {
  using fixture = new FirmwareFixture();
  fixture.isListed = false;
  fixture.keys = { "keep-commits": 3, "keep-session": true };
  fixture.disks({ vda: true });
  await fixture.start();
  fixture.write(fixture.vda, "commit");
  await fixture.stop();
  // Listed from now on: it has no version without the commit.
  fixture.isListed = true;
  fixture.configure({ vda: false });
  for (const file of [fixture.variables, fixture.tpm]) Deno.writeTextFileSync(file, `{"commit":"yes"}`);
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop();
  fixture.define();
  const idle = new Tree(fixture.root);
  await cutShort(fixture, (how) => fixture.command("undo", how), async () => {
    await fixture.command("recover");
    await fixture.command("keep");
    await found(fixture);
  });
  idle.restore();
  assertEquals((await fixture.command("undo")).code, 0);
  assertEquals((await fixture.command("keep")).code, 0);
  assertEquals(await found(fixture), ["base", "commit"]);
});

Deno.test("firmware has as many versions as its disk has commits, also where these can't be merged", async () => {
  using fixture = new FirmwareFixture();
  fixture.merges = false;
  fixture.disks({ vda: true });
  for (let commit = 0; commit < 18; commit++) {
    fixture.configure({ vda: true });
    await fixture.start();
    fixture.write(fixture.vda, `${commit}`);
    await fixture.event("release", "shutdown");
  }
  fixture.define();
  for (let commit = 17; commit > 0; commit--) assertEquals((await fixture.command("undo")).code, 0);
  assertEquals(await found(fixture), ["base", "0"].sort());
});

Deno.test("a merge of firmware that is cut short keeps its newest version, and is done by the next one", async () => {
  using fixture = await up(true, { keys: { "keep-commits": 1 } });
  await fixture.stop("shutdown", { mergeDies: true });
  await cutShort(fixture, (how) => fixture.merge(how), async () => {
    assertEquals(await found(fixture), ["base", "installed", "session"]);
    await fixture.stop();
    assertEquals(await found(fixture), ["base", "installed", "session"]);
    await fixture.stop();
    fixture.define();
    assertEquals((await fixture.command("undo")).code, 0);
    assertEquals(await found(fixture), ["base", "installed"]);
  });
});

Deno.test("firmware whose merge was cut short leaves nothing beside it once it is no longer listed", async () => {
  using fixture = await up(true);
  await fixture.event("release", "shutdown", { mergeDies: true });
  fixture.isListed = false;
  await cutShort(fixture, (how) => fixture.merge(how), async () => {
    fixture.configure({ vda: false });
    await fixture.start();
    assertEquals(firmware(fixture), ["guest_VARS.fd", "tpm2-00.permall"]);
    assertEquals(keysOf(fixture.variables), ["installed", "session"]);
  });
});

Deno.test("firmware keeps its versions as long as one of its disks can't be seen", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 1 };
  fixture.disks({ vda: true });
  await fixture.start();
  fixture.write(fixture.vda, "one");
  await fixture.stop();
  Deno.renameSync(fixture.images, `${fixture.images}.away`);
  Deno.mkdirSync(fixture.images);
  await fixture.merge();
  Deno.removeSync(fixture.images);
  Deno.renameSync(`${fixture.images}.away`, fixture.images);
  fixture.define();
  assertEquals((await fixture.command("undo")).code, 0);
  assertEquals(await found(fixture), ["base"]);
});

Deno.test("a seat that starts after its master was cut short has firmware that fits, or is refused", async () => {
  using fixture = new FirmwareFixture();
  const seats = new FirmwarePool(fixture, ["seat1"]);
  Deno.writeTextFileSync(seats.variables("seat1"), "{}");
  fixture.keys = { "keep-commits": 3 };
  await seats.commit("one");
  await seats.start("seat1");
  fixture.configure({ vda: true });
  await fixture.start();
  fixture.write(fixture.vda, "version", "two");
  await seats.stop("seat1");
  fixture.define();
  const acts = [
    (how: Circumstance) => fixture.event("release", "shutdown", how),
    (how: Circumstance) => fixture.command("undo", how),
    (how: Circumstance) => fixture.command("keep", how),
  ];
  for (const act of acts) {
    const before = new Tree(fixture.root);
    await cutShort(fixture, act, async () => {
      fixture.busy.clear();
      const { code, said } = await seats.event("seat1", "prepare");
      if (code === 0) assertEquals(seats.content("seat1"), { version: seats.version("seat1") });
      else assertStringIncludes(said.join("\n"), "was cut short");
    });
    before.restore();
    assertEquals((await act({})).code, 0);
  }
});

Deno.test("a dead session of a seat is thrown away with its firmware", async () => {
  using fixture = new FirmwareFixture();
  const seats = new FirmwarePool(fixture, ["seat1"]);
  Deno.writeTextFileSync(seats.variables("seat1"), `{"own":"yes"}`);
  await seats.commit("one");
  await seats.start("seat1");
  seats.powerCut();
  const dead = new Tree(fixture.root);
  const recover = (...targets: string[]) =>
    fixture.type(["recover", "--discard", "seat1", ...targets, "--yes"], false, { domain: "seat1" });
  assertEquals((await recover()).code, 0);
  assertEquals(seats.content("seat1"), { own: "yes" });
  dead.restore();
  assertEquals((await recover("vda")).code, 0);
  await seats.start("seat1");
  await seats.stop("seat1");
  assertEquals(seats.content("seat1"), { own: "yes" });
});

/** A guest that lives on at random. */
class Life {
  readonly trace: string[] = [];
  #writes = 0;
  /** It runs, by libvirt. */
  isUp = false;
  /** A start was cut short, or failed: what lies there may be of different ages until one is through. */
  isHalfBegun = false;
  /** A save that can be restored: managed, or to a file. */
  saved: "managed" | "file" | undefined;

  constructor(
    readonly fixture: FirmwareFixture,
    readonly random: Random,
    readonly targets: readonly string[],
    readonly isCut: boolean,
  ) {}

  configure(flag: boolean, changed = LONG_AGO): void {
    this.fixture.configure(Object.fromEntries(this.targets.map((target) => [target, flag])), changed);
  }

  write(): void {
    this.#writes++;
    for (const target of this.targets) this.fixture.write(this.fixture.image(target), `${this.#writes}`);
  }

  /** The guest sees what it has. */
  look(): void {
    const { fixture, targets } = this;
    const keysOf = (target: string) =>
      Object.keys(Fixture.prototype.read.call(fixture, fixture.image(target)));
    const [first, ...others] = targets.map((target) =>
      keysOf(target).filter((key) => key !== "base").sort().join()
    );
    // Where an end or a start failed for one of them, the disks themselves are of different ages.
    if (others.every((other) => other === first)) fixture.read(fixture.image("vda"));
  }

  /** How the next call goes; `struck` says afterwards whether it was cut short. */
  fault(): { how: Circumstance; struck: () => boolean } {
    const { random } = this;
    if (!this.isCut || random.chance(0.7)) return { how: {}, struck: () => false };
    const failing = new Failing(random.below(random.chance(0.5) ? 8 : 30), random.one(faults));
    return {
      how: { perform: failing.perform, mergeDies: random.chance(0.5) },
      struck: () => failing.struck && failing.fault.startsWith("dies"),
    };
  }

  /** A call of the program; cut short, the host may have died with it. */
  async call(
    what: string,
    act: (how: Circumstance) => Promise<{ code: number }>,
  ): Promise<"done" | "refused" | "cut"> {
    const { how, struck } = this.fault();
    const { code } = await act(how);
    const outcome = struck() ? "cut" : code === 0 ? "done" : "refused";
    this.trace.push(`${what}: ${outcome}`);
    return outcome;
  }

  powerCut(): void {
    const { fixture } = this;
    this.isUp = false;
    fixture.busy.clear();
    fixture.booted = new Date(fixture.booted.getTime() + 60_000);
  }

  async start(isResumed: boolean): Promise<void> {
    const { fixture } = this;
    const operations = [...isResumed ? ["restore"] : [], "prepare", "started"];
    for (const operation of operations) {
      const came = await this.call(operation, (how) => fixture.event(operation, "-", how));
      if (operation === "prepare") this.isHalfBegun = came !== "done";
      if (came === "cut" && this.random.chance(0.5)) {
        this.trace.push("power cut");
        return this.powerCut();
      }
      if (came === "done") continue;
      if (
        operation !== "restore" &&
        (await this.call("release failed", (how) => fixture.event("release", "failed", how))) === "cut"
      ) {
        this.powerCut();
      }
      return;
    }
    this.isUp = true;
    this.look();
    if (isResumed) this.saved = undefined;
    if (isResumed && exists(fixture.managedSave)) Deno.removeSync(fixture.managedSave);
  }

  async stop(reason: string): Promise<void> {
    const { fixture } = this;
    const isManaged = reason === "saved" && this.random.chance(0.5);
    if (isManaged) Deno.writeTextFileSync(fixture.managedSave, "");
    if (reason === "saved") this.saved = isManaged ? "managed" : "file";
    if (reason === "-" && this.random.chance(0.5)) this.saved = "file";
    this.isUp = false;
    if ((await this.call(`release ${reason}`, (how) => fixture.event("release", reason, how))) === "cut") {
      this.powerCut();
    }
  }

  async step(): Promise<void> {
    const { fixture, random } = this;
    if (this.isUp) {
      const next = random.below(10);
      if (next < 3) return this.write();
      if (next < 7) {
        return await this.stop(
          random.one([
            "shutdown",
            "shutdown",
            "destroyed",
            "crashed",
            "failed",
            "saved",
            "saved",
            "-",
            "daemon",
          ]),
        );
      }
      if (next === 7) {
        this.trace.push("power cut");
        return this.powerCut();
      }
      if (next === 8) {
        const flag = random.chance(0.6);
        this.trace.push(`flag ${flag}`);
        return this.configure(flag, random.one([LONG_AGO, LATER]));
      }
      return void await this.call("commit", (how) => fixture.command("commit", how));
    }
    const next = random.below(12);
    if (next < 5) {
      return await this.start(this.saved !== undefined && (this.saved === "managed" || random.chance(0.5)));
    }
    if (next === 5) {
      const flag = random.chance(0.6);
      this.trace.push(`flag ${flag}`);
      return this.configure(flag, random.one([LONG_AGO, LATER]));
    }
    if (next === 6) return void await this.call("undo", (how) => fixture.command("undo", how));
    if (next === 7) return void await this.call("keep", (how) => fixture.command("keep", how));
    if (next === 8 && random.chance(0.5)) {
      return void await this.call("recover", (how) => fixture.command("recover", how));
    }
    if (next === 8) {
      const way = this.isHalfBegun ? "--discard" : random.one(["--keep", "--discard"]);
      const words = ["recover", way, "guest", "--yes"];
      return void await this.call(words.join(" "), (how) => fixture.type(words, false, how));
    }
    if (next === 9) return void await this.call("merge", (how) => fixture.merge(how));
    if (next === 10 && this.saved === "managed") {
      this.trace.push("save removed");
      Deno.removeSync(fixture.managedSave);
      this.saved = undefined;
      return;
    }
  }

  /** Whatever comes now, the guest finds firmware that fits. */
  async judge(): Promise<void> {
    const { fixture } = this;
    if (this.isUp || this.random.chance(0.6)) return;
    const tree = new Tree(fixture.root);
    const attempt = async (name: string, prelude: () => Promise<unknown>) => {
      await inContext([...this.trace, `judged: ${name}`], async () => {
        await prelude();
        if ((await fixture.event("prepare")).code !== 0) return;
        await fixture.event("started");
        this.look();
      });
      tree.restore();
    };
    await attempt("start", () => Promise.resolve());
    await attempt("keep", () => fixture.command("keep"));
    await attempt("undo", () => fixture.command("undo"));
    await attempt("undo, keep", async () => {
      await fixture.command("undo");
      await fixture.command("keep");
    });
    if (this.saved !== undefined) await attempt("restore", () => fixture.event("restore"));
    for (const way of this.isHalfBegun ? ["--discard"] : ["--keep", "--discard"]) {
      await attempt(way, () => fixture.type(["recover", way, "guest", "--yes"]));
    }
  }
}

async function live(seed: number): Promise<void> {
  const random = randomly(seed);
  using fixture = new FirmwareFixture();
  const targets = random.chance(0.5) ? ["vda"] : ["vda", "vdb"];
  fixture.keys = { "keep-commits": random.below(4), "keep-session": random.chance(0.4) };
  const life = new Life(fixture, random, targets, seed % 3 > 0);
  fixture.disks(Object.fromEntries(targets.map((target) => [target, false])));
  fixture.define();
  await inContext(`SEED=${seed}`, async () => {
    for (let steps = 5 + random.below(25); steps > 0; steps--) {
      await inContext(life.trace, () => life.step());
      await life.judge();
    }
  });
}

Deno.test("firmware fits to its disk at every point of random lives", async () => {
  const seeds = SEED !== undefined ? [Number(SEED)] : Array.from({ length: SEQUENCES }, (_, seed) => seed);
  for (const seed of seeds) await live(seed);
});

/** Cut short by a power cut after the step. */
function cutAfter(isLast: (step: Step) => boolean): Circumstance {
  let isDone = false;
  return {
    perform: (inner) => async (step, control) => {
      if (isDone) throw new Error("power cut");
      await inner(step, control);
      isDone = isLast(step);
    },
  };
}

function filesOfFirmware(fixture: FirmwareFixture): string[] {
  return [fixture.variables, fixture.tpm].map((path) => Deno.readTextFileSync(path));
}

for (const isKept of [false, true]) {
  Deno.test(`committed firmware has a session of its own when a saved guest comes back, one of whose disks was ${isKept ? "kept since" : "committed"}`, async () => {
    using fixture = new FirmwareFixture();
    fixture.keys = { "keep-commits": 2 };
    fixture.disks({ vda: !isKept, vdb: false });
    fixture.define();
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "one");
    await fixture.stop("-"); // virsh save
    if (isKept) await fixture.type("keep guest vda");
    await fixture.good("restore");
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "two");
    await fixture.stop("-");
    assertEquals([fixture.disk("vda"), fixture.disk("vdb")], [{ base: "vda", one: "yes" }, { base: "vdb" }]);
    assertEquals(JSON.parse(filesOfFirmware(fixture)[0]!), { one: "yes" });
  });
}

Deno.test("a start that was cut short between UEFI variables and TPM leaves them together, whatever commands follow", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 3, "keep-session": true };
  fixture.disks({ vda: true, vdb: false });
  fixture.define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "one");
  await fixture.stop();
  await fixture.event(
    "prepare",
    "-",
    cutAfter((step) => step.kind === "rename" && step.to === fixture.variables),
  );
  fixture.booted = LATER;
  assertEquals((await fixture.type("keep guest --yes")).code, 0);
  assertEquals((await fixture.type("undo guest --yes")).code, 0);
  const [variables, tpm] = filesOfFirmware(fixture);
  assertEquals(variables, tpm);
});

Deno.test("an undo leaves firmware alone that is managed no more, also after a start that was cut short between UEFI variables and TPM", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: true });
  fixture.define();
  await fixture.start();
  fixture.write(fixture.vda, "one");
  await fixture.stop();
  fixture.isListed = false;
  fixture.configure({ vda: false });
  const lowest = `${fixture.variables}.backing_file`;
  await fixture.event("prepare", "-", cutAfter((step) => step.kind === "remove" && step.path === lowest));
  fixture.booted = LATER;
  assertEquals((await fixture.type("undo guest --yes")).code, 0);
  const [variables, tpm] = filesOfFirmware(fixture);
  assertEquals(variables, tpm);
});

Deno.test("an end and the start after it, both cut short, leave the firmware set aside with the disk", async () => {
  using fixture = await up(false);
  fixture.define();
  const { vda, tpm } = fixture;
  const content = fixture.read(vda);
  await fixture.event("release", "-", {
    perform: dyingAt((step) => step.kind === "link" && step.from === tpm),
  });
  await fixture.event("prepare", "-", { perform: new Failing(1, "dies before").perform });
  fixture.booted = LATER;
  assertEquals((await fixture.type("keep guest")).code, 0);
  assertEquals(fixture.disk("vda"), content);
  const [variables, state] = filesOfFirmware(fixture);
  assertEquals(variables, state);
});

Deno.test("firmware that was committed has a session when a saved guest comes back, whatever is listed by then", async () => {
  using fixture = await up(false, { targets: ["vda", "vdb"] });
  await fixture.stop("-");
  await fixture.type("keep guest vdb", true);
  await fixture.type("disable guest vdb", true);
  await fixture.event("restore");
  await fixture.start();
  fixture.write(fixture.vda, "later");
  await fixture.stop();
  assertEquals(keysOf(fixture.variables).includes("later"), false);
});

for (const how of ["died", "has ended, but for its firmware"]) {
  Deno.test(`what is said of another guest's session, of one disk and one firmware file, can be typed, and helps: it ${how}`, async () => {
    using fixture = new FirmwareFixture();
    fixture.disks({ vda: false }).define();
    const other = { domain: "other", xml: fixture.xml() };
    Deno.copyFileSync(fixture.configFile, `${fixture.config}/other.json`);
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/other.xml`, other.xml);
    for (const operation of ["prepare", "started"]) await fixture.event(operation, "-", other);
    if (how === "died") fixture.boot();
    else {
      const isFirmware = (step: Step) =>
        "to" in step && step.to.includes("VARS") || "path" in step && step.path.includes("VARS");
      await fixture.event("release", "shutdown", { ...other, perform: dyingAt(isFirmware) });
    }
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    await fixture.event("release", "failed");
    const [command] = /recover --keep\|--discard [^;]*/.exec(said.join("\n"))!;
    assertEquals((await fixture.type(`${command.replace("--keep|", "")} --yes`)).said, [], said.join("\n"));
    assertEquals((await fixture.event("prepare")).said, []);
  });
}

Deno.test("undo of another guest of the image leaves no firmware at a commit that is taken back", async () => {
  using fixture = new FirmwareFixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "commit");
  await fixture.stop();
  const other = { domain: "other" };
  Deno.writeTextFileSync(
    `${fixture.config}/other.json`,
    JSON.stringify({ disks: [{ target: "vda", "keep-commits": 2 }] }),
  );
  await fixture.start(other);
  await fixture.stop("shutdown", other);
  assertEquals((await fixture.type("undo other --yes")).said, [
    'error: other vda: firmware of the guest "guest" was committed with it, and would stay as it is',
    "hint: start that guest and shut it down, then: autorevert undo guest",
  ]);
  await fixture.start();
  await fixture.stop();
  assertEquals((await fixture.type("undo guest --yes")).said, []);
  await fixture.start();
  assertEquals("commit" in fixture.read(fixture.vda), false);
});

Deno.test("a saved guest finds its firmware though that doesn't go with its disks any more, and a start in between has failed", async () => {
  using fixture = await up(false);
  fixture.define();
  await fixture.stop("saved");
  assertEquals((await fixture.type("enable guest --no-firmware")).said, []);
  await fixture.event("prepare");
  await fixture.event("release", "failed");
  await fixture.event("restore");
  await fixture.start();
  assertEquals(keysOf(fixture.variables).includes("session"), true);
  for (let times = 0; times < 2; times++) {
    await fixture.stop();
    await fixture.start();
  }
  await fixture.stop();
  assertEquals([keysOf(fixture.variables).includes("session"), fixture.files()], [false, ["vda.img"]]);
});
