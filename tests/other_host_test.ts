/** A guest that another host has, too: what is kept, and what is told of its session. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dyingAt } from "./fault.ts";
import { makeBorn, stamping } from "./file_times.ts";
import { afterClockTick, type Circumstance, exists, type Fixture, LATER } from "./fixture.ts";
import { TwoHosts } from "./two_hosts.ts";

Deno.test("a session that was flagged on the other host is kept at home, where an editor had cleared the flag of it before", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  there.define();
  await hosts.start(here);
  // Changed his mind, with an editor.
  here.configure({ vda: false });
  await hosts.migrate(here, there);
  there.run();
  await there.type("commit guest");
  await hosts.migrate(there, here);
  here.write(here.vda, "kept");
  await hosts.stop(here);
  assertEquals(here.disk("vda"), { base: "vda", kept: "yes" });
});

Deno.test("the hint of a restore that is refused on another host, where the session is set aside, leads somewhere", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  here.define();
  there.define();
  await here.start();
  here.write(here.vda, "saved on");
  // Before libvirt 10.5, a save to a file.
  await here.stop("-");
  await there.event("restore");
  const { code, said } = await there.event("prepare");
  assertEquals(code, 1);
  await there.event("release", "-");
  const [, words] = /autorevert (recover --keep\|--discard guest [^ ;"]+)/.exec(said.join("\n")) ?? [];
  if (words === undefined) return;
  for (const way of ["--keep", "--discard"]) {
    const followed = await there.type(`${words.replace("--keep|--discard", way)} --yes`);
    assertEquals(followed.said, [], `${said.join("\n")}`);
  }
});

Deno.test("the refusal of a migration says that the guest was started before its disk was listed", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  Deno.removeSync(here.configFile);
  // It runs on the disk itself, and then both hosts get the configuration.
  here.define();
  here.run();
  await here.type("enable guest vda");
  await there.event("migrate");
  const { code, said } = await there.event("prepare");
  assert(code === 0 || /shut it down|was started before/.test(said.join()), said.join("\n"));
});

Deno.test("check on a host that a guest may come to doesn't have its configuration removed", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  here.define();
  await hosts.start(here);
  // The guest is defined where it runs.
  const { printed } = await there.type("check guest");
  const line = printed.filter((line) => line.includes("remove"));
  assertEquals(line.filter((line) => !/another host/.test(line)), [], printed.join("\n"));
});

Deno.test("on another host than the one that a guest was saved on no message has its session thrown away as nobody's", async () => {
  for (const reason of ["saved", "crashed"]) {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    for (const host of [here, there]) host.define();
    await hosts.start(here);
    here.write(here.vda, "saved on");
    if (reason === "saved") await hosts.stop(here, reason);
    else here.busy.clear();
    const { printed } = await there.type("check guest");
    const { code, said } = await there.event("prepare");
    assertEquals(code, 1);
    for (const text of [printed.join("\n"), said.join("\n")]) assertStringIncludes(text, "another host");
  }
});

Deno.test("the program can be removed from a host whose guests have gone to another one, or the message says how", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  await hosts.start(here);
  await hosts.migrate(here, there);
  await hosts.stop(there);
  assertEquals(here.files(), ["vda.img"]);
  // The host is emptied.
  Deno.removeSync(here.configFile);
  const script = new URL("../packaging/may-remove", import.meta.url).pathname;
  const { code, stderr } = await new Deno.Command("sh", { args: [script, here.config] }).output();
  const said = new TextDecoder().decode(stderr);
  assert(code === 0 || said.includes("another host"), said);
});

for (const way of ["--keep", "--discard"]) {
  Deno.test(`the flag of a session that was ended on another host, when its own was dead, doesn't keep the next one: recover ${way}`, async () => {
    using hosts = new TwoHosts({ vda: true }, { vda: false });
    const { here, there } = hosts;
    for (const host of [here, there]) host.define();
    await here.start();
    here.write(here.vda, "maintenance");
    // This host dies; a start on the other one is refused, and names the command.
    const { code } = await there.event("prepare");
    assertEquals(code, 1);
    await there.event("release", "failed");
    const { printed } = await there.type(`recover ${way} guest vda --yes`);
    here.boot();
    await here.start();
    here.write(here.vda, "junk");
    await here.stop();
    const told = /flag/.test(printed.join());
    assertEquals("junk" in here.disk("vda") && !told, false, printed.join("\n"));
  });
}

Deno.test("a guest that was saved on its flagged session at one host is restored at the other, also where that knows an older flagged session", async () => {
  for (const isStale of [false, true]) {
    using hosts = new TwoHosts({ vda: isStale }, { vda: false });
    const { here, there } = hosts;
    for (const host of [here, there]) host.define();
    if (isStale) {
      await here.start();
      // This host dies, and its session is ended at the other one.
      await there.type("recover --discard guest vda --yes");
      here.boot();
      here.configure({ vda: false });
    }
    there.configure({ vda: true });
    await there.start();
    there.write(there.vda, "saved on");
    await there.stop("saved");
    makeBorn(there.vda, new Date(Date.now() + 3_600_000));
    await here.event("restore");
    const { code, said } = await here.event("prepare");
    assertEquals(
      [code, here.read(here.vda)],
      [0, { base: "vda", "saved on": "yes" }],
      JSON.stringify([isStale, said]),
    );
  }
});

Deno.test("check says of a session that has gone to another host with its guest what a start says", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  for (const host of [here, there]) host.define();
  await hosts.start(here);
  await hosts.migrate(here, there);
  await hosts.stop(there, "saved");
  const { printed } = await here.type("check guest");
  const { said } = await here.event("prepare");
  assertStringIncludes(said.join("\n"), "has gone to another host");
  assertStringIncludes(printed.join("\n"), "has gone to another host");
});

Deno.test("a keep that was cut short on one host keeps nothing that another host has set aside since", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  for (const host of [here, there]) {
    host.keys = { "keep-session": true, "keep-commits": 2 };
    host.configure({ vda: false });
    host.define();
  }
  await hosts.start(here);
  here.write(here.vda, "first");
  await hosts.stop(here);
  await there.type("keep guest --yes", true, { perform: dyingAt("own") });
  // The other host goes on: that session goes, and the next one is set aside.
  await hosts.start(here);
  here.write(here.vda, "second");
  await hosts.stop(here);
  await there.start();
  assertEquals("second" in there.read(there.vda), false, JSON.stringify(there.read(there.vda)));
});

Deno.test("a saved guest whose session was thrown away on another host is not restored on the one before", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  for (const host of [here, there]) host.define();
  await hosts.start(here);
  here.write(here.vda, "first");
  await hosts.stop(here, "saved");
  // It is started without what was saved, and saved again.
  await hosts.start(here);
  here.write(here.vda, "second");
  await hosts.stop(here, "saved");
  const thrown = await there.type("recover --discard guest --yes", true);
  await here.event("restore");
  const { code } = await here.event("prepare");
  assertEquals(
    [code, "first" in here.read(here.vda)],
    [1, false],
    [...thrown.said, ...thrown.printed].join("\n"),
  );
});

Deno.test("a guest that was saved on another host is not restored on a commit that was undone here", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here, there } = hosts;
  for (const [host, flag] of [[here, true], [there, false]] as const) {
    host.keys = { "keep-commits": 2 };
    host.configure({ vda: flag });
    host.define();
  }
  // An hour lies between the two.
  const hour = new Date(Date.now() - 3_600_000);
  here.now = () => hour;
  await here.start(stamping(() => hour));
  here.write(here.vda, "commit");
  await here.stop();
  here.now = () => new Date();
  // Before libvirt 10.5: it is saved to a file on the other host.
  await hosts.start(there);
  there.write(there.vda, "saved on");
  await hosts.stop(there, "-");
  const undone = await here.type("undo guest --yes", true);
  assertEquals(undone.code, 0, undone.said.join("\n"));
  await here.event("restore");
  const { code } = await here.event("prepare");
  assertEquals(code, 1, JSON.stringify(here.read(here.vda)));
});

Deno.test("a flagged session that came by migration is committed at its end, also beside one that its start had set aside", async () => {
  using hosts = new TwoHosts({ vda: false, vdb: false }, undefined, { sharesConfig: true });
  const { here, there } = hosts;
  for (const host of [here, there]) host.define();
  await hosts.start(here);
  for (const target of ["vda", "vdb"]) here.write(here.image(target), "first");
  // The power fails, and a flag is set: it may have been meant for that session, which is set aside.
  here.busy.clear();
  for (const host of [here, there]) host.boot();
  here.configure({ vda: true, vdb: false }, LATER);
  await hosts.start(there);
  there.configure({ vda: true, vdb: false }, LATER);
  for (const target of ["vda", "vdb"]) there.write(there.image(target), "maintenance");
  // Before libvirt 10.5
  await hosts.migrate(there, here, "-");
  const { log } = await (async () => {
    here.busy.clear();
    await here.event("stopped", "-");
    return await here.event("release", "-");
  })();
  const next = await here.event("prepare");
  const found = ["vda", "vdb"].map((target) => "maintenance" in here.read(here.image(target)));
  assertEquals([found, here.flags().vda], [[true, false], false], [...log, ...next.log].join("\n"));
});

Deno.test("a session that comes from another host is discarded as any other, though this one has known an older commit", async () => {
  using hosts = new TwoHosts({ vda: true }, { vda: true });
  const { here, there } = hosts;
  for (const host of [here, there]) {
    host.keys = { "keep-commits": 3 };
    host.configure({ vda: true });
    host.define();
  }
  await hosts.start(there);
  there.write(there.vda, "commit");
  await hosts.stop(there);
  await hosts.start(here);
  here.write(here.vda, "session");
  await hosts.stop(here, "saved");
  await there.good("restore");
  await hosts.start(there);
  there.run();
  assertEquals((await there.type("commit guest --cancel")).code, 0);
  there.halt();
  await hosts.stop(there);
  await hosts.start(there);
  assertEquals(there.read(there.vda), { base: "vda", commit: "yes" });
});

/** A commit that waits to be merged by the host which has made it. */
async function committedHere(): Promise<TwoHosts> {
  const hosts = new TwoHosts({ vda: true }, { vda: false });
  const { here } = hosts;
  await hosts.start(here);
  here.write(here.vda, "commit");
  here.busy.clear();
  await here.stop("shutdown", { mergeDies: true });
  return hosts;
}

Deno.test("what another host merges while a guest is being started is taken for no blockcommit", async () => {
  using hosts = await committedHere();
  const { there } = hosts;
  await there.good("prepare");
  await there.good("start");
  await afterClockTick(20);
  // Before QEMU has opened it.
  there.write(`${there.vda}.backing_file`, "commit");
  await there.good("started");
  there.write(there.vda, "session");
  await there.stop("shutdown");
  assertEquals(there.disk("vda"), { base: "vda", commit: "yes" });
});

for (const fails of [false, true]) {
  Deno.test(`a start says that another host's merge has ended beside it, also where a look fails: ${fails}`, async () => {
    using hosts = await committedHere();
    const { here, there } = hosts;
    const { info } = there.qemuImg;
    there.qemuImg = {
      ...there.qemuImg,
      info: async (...look) => {
        if (exists(`${here.vda}.backing_file`)) {
          await here.merge();
          if (fails) throw new Error("no such file");
        }
        return await info(...look);
      },
    };
    const { code, said } = await there.event("prepare");
    assertEquals(code, 1);
    assertStringIncludes(said[0]!, "were changed by another host");
    await there.stop("failed");
    await there.start();
    there.write(there.vda, "session");
    await there.stop();
    assertEquals(there.disk("vda"), { base: "vda", commit: "yes" });
  });
}

const HOUR = 3_600_000;

/** What happens to a host an hour ago. */
async function hourAgo(host: Fixture, act: (how: Circumstance) => Promise<unknown>): Promise<void> {
  const then = new Date(Date.now() - HOUR);
  host.now = () => then;
  await act(stamping(() => then));
  host.now = () => new Date();
}

/** A flagged session has gone from the second host to the first one, an hour ago, and has ended there. */
async function flaggedStay({ here, there }: TwoHosts, targets: readonly string[]): Promise<void> {
  const flags = (flag: boolean) => Object.fromEntries(targets.map((target) => [target, flag]));
  here.configure(flags(false));
  there.configure(flags(true));
  await hourAgo(there, async (how) => await there.start(how));
  for (const operation of ["migrate", "prepare", "start", "started"]) await here.good(operation);
  await there.stop("migrated");
  await here.stop();
}

for (
  const before of ["a commit that is kept", "an earlier stay", "the session itself, which came from here"]
) {
  Deno.test(`a commit that the other host has cut short leaves the flag of this one to its own session; noted here is ${before}`, async () => {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    for (const host of [here, there]) {
      host.keys = { "keep-commits": 2 };
      host.configure({ vda: false });
    }
    if (before === "a commit that is kept") {
      there.configure({ vda: true });
      await there.start();
      await there.stop();
    }
    if (before === "an earlier stay") await flaggedStay(hosts, ["vda"]);
    here.configure({ vda: true });
    if (before.startsWith("the session")) {
      await hosts.start(there);
      await hosts.migrate(there, here);
    } else await hosts.start(here);
    here.write(here.vda, "one");
    here.busy.clear();
    await here.event("release", "shutdown", { perform: dyingAt("clear") });
    assertEquals(here.state("vda").kind, "committing");
    there.configure({ vda: true }, LATER);
    await there.start();
    there.write(there.vda, "two");
    await there.stop();
    assertEquals(there.disk("vda"), { base: "vda", one: "yes", two: "yes" });
  });
}

Deno.test("a commit that the other host has cut short takes no session along that was not flagged there, though a flagged one was here before", async () => {
  using hosts = new TwoHosts({ vda: false, vdb: false });
  const { here, there } = hosts;
  await flaggedStay(hosts, ["vda", "vdb"]);
  here.configure({ vda: true, vdb: false });
  await hosts.start(here);
  for (const target of ["vda", "vdb"]) here.write(here.image(target), "one");
  here.busy.clear();
  await here.event("release", "shutdown", { perform: dyingAt("clear") });
  assertEquals([here.state("vda").kind, here.state("vdb").kind], ["committing", "session"]);
  there.configure({ vda: true, vdb: true }, LATER);
  await there.event("prepare");
  assertEquals("one" in there.read(`${there.image("vdb")}.backing_file`), false);
  assertEquals(there.flags(), { vda: true, vdb: true });
});

for (const way of ["--keep", "--discard"]) {
  Deno.test(`recover ${way} of a session that the other host has begun leaves the flag of this one to its next session, though a flagged one has gone there before`, async () => {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    await flaggedStay(hosts, ["vda"]);
    await hosts.start(here);
    here.write(here.vda, "one");
    here.busy.clear();
    there.configure({ vda: true }, LATER);
    const { printed } = await there.type(`recover ${way} guest --yes`);
    assertStringIncludes(printed.join("\n"), "the flag stays");
    assertEquals(there.flags(), { vda: true });
  });

  for (const before of ["a commit that is kept", "an earlier stay"]) {
    Deno.test(`recover ${way} of another host's flagged session says that its flag is still set there; noted here is ${before}`, async () => {
      using hosts = new TwoHosts({ vda: false });
      const { here, there } = hosts;
      if (before === "an earlier stay") await flaggedStay(hosts, ["vda"]);
      else {
        there.keys = { "keep-commits": 2 };
        there.configure({ vda: true });
        await there.start();
        await there.stop();
      }
      here.configure({ vda: true });
      await hosts.start(here);
      here.write(here.vda, "maintenance");
      here.busy.clear();
      const { printed } = await there.type(`recover ${way} guest vda --yes`);
      assertStringIncludes(printed.join("\n"), "where it began its flag is still set");
    });
  }
}

Deno.test("disks can be taken out while their guest runs at the other host, though a flagged session has gone there before", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  there.define();
  await flaggedStay(hosts, ["vda"]);
  await hosts.start(here);
  const { code, said } = await there.type("disable guest");
  assertEquals([code, said], [0, []]);
});

for (const way of ["throw", "keep"]) {
  Deno.test(`the refusal of a session that another host has begun says that its flag may be set still there, for who ends it as it says: ${way}`, async () => {
    using hosts = new TwoHosts({ vda: true }, { vda: false });
    const { here, there } = hosts;
    await hosts.start(here);
    here.write(here.vda, "maintenance");
    // This host dies.
    here.busy.clear();
    const { said } = await there.event("prepare");
    const hint = said[1]!;
    const [, command] = (way === "throw" ? /to throw \S+ away: ([^;]*);/ : /as part of the disk: ([^;]*)/)
      .exec(hint)!;
    assertEquals(new Deno.Command("sh", { args: ["-c", command!] }).outputSync().success, true);
    const [, cancel] = /where it began .*: autorevert (commit --cancel guest vda)$/.exec(hint)!;
    here.boot();
    await here.type(cancel!);
    await here.start();
    here.write(here.vda, "junk");
    await here.stop();
    assertEquals(here.disk("vda"), { base: "vda", ...way === "keep" && { maintenance: "yes" } });
  });
}

for (const before of ["nothing", "a commit that is kept", "an earlier stay"]) {
  Deno.test(`recover --discard asks before it throws away a session on which a guest may be saved at another host; noted here is ${before}`, async () => {
    using hosts = new TwoHosts({ vda: false });
    const { here, there } = hosts;
    for (const host of [here, there]) host.define();
    if (before === "an earlier stay") await flaggedStay(hosts, ["vda"]);
    if (before === "a commit that is kept") {
      there.keys = { "keep-commits": 2 };
      there.configure({ vda: true });
      await there.start();
      await there.stop();
    }
    await hosts.start(here);
    here.write(here.vda, "saved on");
    await hosts.stop(here, "saved");
    const { code } = await there.type("recover --discard guest");
    assertEquals(code, 1);
    assertStringIncludes(there.asked.join(), "another host");
    assertEquals("saved on" in here.read(here.vda), true);
  });
}

Deno.test("a guest that was saved on its flagged session at one host is restored at the other, from which it has gone to that one before", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  await flaggedStay(hosts, ["vda"]);
  here.configure({ vda: true });
  await hosts.start(here);
  here.write(here.vda, "saved on");
  await hosts.stop(here, "saved");
  await there.good("restore");
  await hosts.start(there);
  assertEquals(there.read(there.vda), { base: "vda", "saved on": "yes" });
  // It is as any other from then on.
  there.run();
  assertEquals((await there.type("commit guest --cancel")).code, 0);
  there.halt();
  await hosts.stop(there);
  assertEquals([there.state("vda").kind, there.read(there.vda)], ["plain", { base: "vda" }]);
});

for (const end of ["shutdown", "crashed", "-", "migrated"]) {
  for (const flag of [false, true]) {
    Deno.test(`a managed save isn't restored whose session was thrown away at the other host, once the guest has come from there: it ends ${end}, flag ${flag}`, async () => {
      using hosts = new TwoHosts({ vda: false });
      const { here, there } = hosts;
      there.define();
      await hourAgo(here, async (how) => await here.start(how));
      here.write(here.vda, "first");
      Deno.writeTextFileSync(here.managedSave, "");
      await here.stop("saved");
      await there.type("recover --discard guest --yes");
      there.configure({ vda: flag });
      await afterClockTick(20);
      await hosts.start(there);
      there.write(there.vda, "second");
      await hosts.migrate(there, here);
      if (end === "migrated") {
        await hosts.migrate(here, there);
        await hosts.stop(there, "saved");
      } else await hosts.stop(here, end);
      await here.event("restore");
      const { code } = await here.event("prepare");
      assertEquals(code, 1, JSON.stringify(here.read(here.vda)));
    });
  }
}

Deno.test("a guest that was saved at the host to which it had come is restored there", async () => {
  using hosts = new TwoHosts({ vda: false });
  const { here, there } = hosts;
  await hosts.start(there);
  await hosts.migrate(there, here);
  here.write(here.vda, "saved on");
  await afterClockTick(20);
  Deno.writeTextFileSync(here.managedSave, "");
  // libvirtd has died with the guest before it could tell.
  await hosts.stop(here, "crashed");
  await here.good("restore");
  await here.good("prepare");
  assertEquals("saved on" in here.read(here.vda), true);
});
