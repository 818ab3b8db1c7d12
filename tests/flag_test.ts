/** Which session a flag is for, where its file was put in place with an old time, or its commit came to nothing. */

import { assertEquals } from "@std/assert";
import { atEveryStep, dyingAt, failingAt } from "./fault.ts";
import { afterClockTick, Fixture, LATER } from "./fixture.ts";
import { base, session, up } from "./running_guest.ts";
import { domainXml } from "./xml.ts";

const HOUR = 3_600_000;

/** A configuration that was written an hour ago, to be put in place for a session that is to be kept. */
function prepared(fixture: Fixture): string {
  const path = `${fixture.root}/guest.json.commit`;
  Deno.writeTextFileSync(path, JSON.stringify({ disks: [{ target: "vda", "one-shot-commit": true }] }));
  const written = new Date(Date.now() - HOUR);
  Deno.utimeSync(path, written, written);
  return path;
}

async function run(...command: string[]): Promise<void> {
  const { success } = await new Deno.Command(command[0]!, { args: command.slice(1) }).output();
  assertEquals(success, true);
}

for (const how of [["mv"], ["cp", "-p"]]) {
  Deno.test(`a flag that ${how[0]} puts in place after a session died, with its old time, is not taken for that session's`, async () => {
    using fixture = await up(false);
    const path = prepared(fixture);
    await afterClockTick();
    await run(...how, path, fixture.configFile);
    await fixture.start();
    assertEquals([fixture.read(fixture.vda), fixture.read(`${fixture.vda}.autorevert-ended`)], [
      base,
      session,
    ]);
  });
}

Deno.test("a file that is put in place for each session that is to be kept has each of them kept, though a commit was cut short", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const path = prepared(fixture);
  for (const key of ["one", "two"]) {
    await afterClockTick();
    await run("cp", "-p", path, fixture.configFile);
    await fixture.start();
    fixture.write(fixture.vda, key);
    await fixture.event("release", "shutdown", {
      perform: dyingAt((step) =>
        key === "one" && step.kind === "rename" && step.from.endsWith("-committing")
      ),
    });
    assertEquals(fixture.flags(), { vda: false });
  }
  assertEquals(fixture.disk("vda"), { ...base, one: "yes", two: "yes" });
});

for (const layers of [1, 2]) {
  Deno.test(`a flag stays whose commit failed, and whose session was thrown away by hand: ${layers} layers`, async () => {
    using fixture = new Fixture().disks({ vda: false });
    fixture.keys = { "keep-commits": 3 };
    const disk = { ...base, ...layers > 1 && { first: "yes" } };
    if (layers > 1) {
      fixture.configure({ vda: true });
      await fixture.start();
      fixture.write(fixture.vda, "first");
      await fixture.stop();
    }
    await afterClockTick();
    fixture.configure({ vda: true });
    await fixture.start();
    fixture.write(fixture.vda, "junk");
    await fixture.event("release", "shutdown", {
      perform: failingAt((step) => step.kind === "link" && step.to.endsWith("-committing")),
    });
    // As README says.
    const { vda } = fixture;
    if (layers > 1) await run("ln", "-f", `${vda}.backing_file.1`, vda);
    else await run("mv", `${vda}.backing_file`, vda);
    await run("rm", `${vda}.autorevert-keep`);
    await fixture.start();
    fixture.write(vda, "second");
    await fixture.stop();
    assertEquals([fixture.disk("vda"), fixture.flags()], [{ ...disk, second: "yes" }, { vda: false }]);
  });
}

for (const cut of ["crash", "power cut"]) {
  Deno.test(`an editor clears the flag of a session that was resumed after a ${cut}`, async () => {
    using fixture = await up(false);
    fixture.configure({ vda: true });
    fixture.write(fixture.vda, "more");
    if (cut === "crash") await fixture.stop("crashed");
    else fixture.booted = new Date(fixture.booted.getTime() + 60_000);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda).more, "yes");
    fixture.configure({ vda: false });
    await fixture.stop();
    assertEquals(fixture.disk("vda"), base);
  });
}

for (const reason of ["shutdown", "crashed", "-"]) {
  Deno.test(`a session whose flag an editor has cleared is not kept, wherever its end and that of one that is kept is cut short: ${reason}`, async () => {
    for (const cleared of ["vda", "vdb"]) {
      for (const fault of ["dies before", "fails before"] as const) {
        await atEveryStep(fault, async (failing) => {
          using fixture = new Fixture().disks({ vda: true, vdb: true });
          fixture.define();
          await fixture.start();
          const image = fixture.image(cleared);
          fixture.write(image, "session");
          fixture.configure({ vda: true, vdb: true, [cleared]: false });
          await fixture.event("stopped", reason);
          await fixture.event("release", reason, { perform: failing.perform });
          await fixture.start();
          assertEquals(fixture.read(image), { base: cleared });
          await fixture.stop();
          assertEquals(fixture.disk(cleared), { base: cleared });
        });
      }
    }
  });

  Deno.test(`a session whose flag an editor has cleared is not kept where its end finds the folder read-only: ${reason}`, async () => {
    using fixture = await up(true);
    fixture.configure({ vda: false });
    await fixture.event("stopped", reason);
    await fixture.event("release", reason, {
      perform: failingAt((step) => JSON.stringify(step).includes(`${fixture.vda}.`) && step.kind !== "note"),
    });
    assertEquals(fixture.state("vda").kind, "session");
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), base);
  });
}

for (const restores of [0, 1, 2]) {
  Deno.test(`a flag that came after a saved session is not taken for that session's, though ${restores} restores have failed since, of which one began a session for another disk`, async () => {
    using fixture = new Fixture().disks({ vda: false, vdb: false });
    fixture.configure({ vda: false });
    fixture.define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop("saved");
    await afterClockTick();
    fixture.configure({ vda: true, vdb: false }, new Date());
    await afterClockTick();
    for (let failed = 0; failed < restores; failed++) {
      await fixture.good("restore");
      await fixture.good("prepare");
      await fixture.stop("failed");
    }
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), base);
  });
}

Deno.test("a flag that an editor sets after an end which could not read it is for the next session, unless the session began with it", async () => {
  for (const flag of [false, true]) {
    using fixture = await up(flag);
    Deno.writeTextFileSync(fixture.configFile, "{");
    await fixture.event("release", "shutdown");
    fixture.configure({ vda: true }, LATER);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), flag ? session : base);
  }
});

Deno.test("a flag that an editor had cleared before a save, and sets after a power cut, is for the next session", async () => {
  using fixture = await up(true);
  fixture.configure({ vda: false });
  await fixture.stop("saved");
  await fixture.good("restore");
  await fixture.start();
  fixture.boot();
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
});

Deno.test("a flag that an editor had cleared before an end keeps no session that could not be ended: under an external snapshot, or detached", async () => {
  for (const how of ["snapshot", "detached"]) {
    using fixture = (await up(true)).define();
    const image = fixture.vda;
    fixture.configure({ vda: false });
    if (how === "snapshot") {
      const snapshot = `${fixture.images}/snapshot.img`;
      fixture.save(snapshot, image, {});
      fixture.sources.set("vda", snapshot);
      await fixture.define().stop();
      fixture.sources.set("vda", image);
    } else {
      await fixture.event("release", "shutdown", { xml: domainXml([]) });
      fixture.sources.delete("vda");
      fixture.sources.set("sda", image);
      fixture.configure({ sda: false });
    }
    await fixture.define().start();
    assertEquals(fixture.read(image), base, how);
  }
});

for (const line of ["enable guest --keep-session", "enable guest vda --keep-commits 1", "commit guest vdb"]) {
  Deno.test(`a flag that an editor has set before the guest's last write counts after a power cut, whatever a command has changed since: ${line}`, async () => {
    using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
    await fixture.start();
    fixture.run();
    fixture.configure({ vda: true, vdb: false }, new Date());
    await afterClockTick(50);
    fixture.write(fixture.vda, "session");
    await afterClockTick();
    assertEquals((await fixture.type(line)).code, 0);
    fixture.halt();
    fixture.boot();
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), session);
  });
}
