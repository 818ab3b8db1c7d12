/** What is set aside, and until when: after an end that may have been a save, at a doubtful start, by an undo. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Host } from "../lib/host/host.ts";
import { atEveryStep, Failing } from "./fault.ts";
import { makeBorn } from "./file_times.ts";
import { afterClockTick, DOMAIN, exists, Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { base, committed, session, startedLongAgo, up, upSinceLong } from "./running_guest.ts";
import { diskXml, domainXml } from "./xml.ts";

Deno.test("a managed save that is dropped keeps its session, if its flag was set after the last write", async () => {
  for (const reason of ["saved", "-"]) {
    using fixture = await up(false);
    fixture.configure({ vda: true }, LATER);
    const save = fixture.managedSave;
    Deno.writeTextFileSync(save, "");
    await fixture.stop(reason);
    Deno.removeSync(save);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), session, reason);
  }
});

/** A session or an undone commit that is set aside, and a disk that is idle. */
const asides: readonly (readonly [what: string, make: () => Promise<Fixture>])[] = [
  ["a session that was set aside", async () => {
    const fixture = await up(false);
    await fixture.stop("-");
    return fixture;
  }],
  ["an undone commit", async () => {
    const fixture = await committed({ "keep-commits": 1 });
    assertEquals((await fixture.command("undo")).code, 0);
    return fixture;
  }],
];

for (const [what, make] of asides) {
  Deno.test(`a start that fails in QEMU leaves ${what}; one that comes up forgets it`, async () => {
    using fixture = await make();
    const ended = `${fixture.vda}.autorevert-ended`;
    for (let time = 0; time < 2; time++) {
      await fixture.good("prepare");
      await fixture.good("start");
      await fixture.stop("failed");
      assertEquals(fixture.read(ended), session);
    }
    await fixture.good("prepare");
    await fixture.good("start");
    assertEquals(fixture.read(ended), session);
    await fixture.good("started");
    assertEquals(exists(ended), false);
    await fixture.stop();
    assertEquals(fixture.files().filter((name) => name.includes("ended")), []);
  });

  Deno.test(`${what} is kept after a start that failed`, async () => {
    using fixture = await make();
    await fixture.good("prepare");
    await fixture.stop("failed");
    assertEquals((await fixture.command("keep")).code, 0);
    assertEquals(fixture.disk("vda"), session);
  });

  Deno.test(`${what} goes at the end of a guest that nobody was told of that it is up`, async () => {
    using fixture = await make();
    await fixture.good("prepare");
    // libvirtd, or the hook, was killed before `started`, and the guest's end is told all the same.
    Deno.removeSync(`${fixture.config}/${DOMAIN}.starting`);
    await fixture.stop();
    assertEquals(exists(`${fixture.vda}.autorevert-ended`), false);
  });
}

Deno.test("libvirtd that finds a guest up forgets what was set aside, and fails for nothing", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  await fixture.good("prepare");
  const failing = new Failing(0, "fails before");
  const { code, said } = await fixture.event("reconnect", "-", { perform: failing.perform });
  assertEquals([code, said.length, exists(`${fixture.config}/${DOMAIN}.starting`)], [0, 1, false]);
});

Deno.test("a flagged session that no event held is set aside where the file's time speaks against it", async () => {
  using fixture = await up(false);
  // Set while it ran, and then touched; or set afterwards: nobody can tell.
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
  // It was meant, and the session that runs isn't.
  assertEquals((await fixture.type("commit --cancel guest")).code, 0);
  await fixture.stop();
  assertEquals((await fixture.command("keep")).code, 0);
  assertEquals(fixture.disk("vda"), session);
});

Deno.test("a start that sets a session aside and fails has set nothing aside", async () => {
  using fixture = await up(false);
  fixture.configure({ vda: true }, LATER);
  for (const fault of ["fails before", "dies before", "dies after"] as const) {
    for (let step = 0; step < 8; step++) {
      await fixture.event("prepare", "-", { perform: new Failing(step, fault).perform });
      await fixture.event("release", "failed");
      const places = [fixture.vda, `${fixture.vda}.autorevert-ended`].filter(exists).map((path) =>
        fixture.read(path)
      );
      assert(places.some((content) => content.session === "yes"), `${fault} ${step}`);
    }
  }
});

Deno.test("what a start has set aside, and couldn't take back when it failed, stays for a whole life", async () => {
  using fixture = await up(false);
  fixture.configure({ vda: true }, LATER);
  let isSetAside = false;
  const { code } = await fixture.event("prepare", "-", {
    perform: (inner) => async (step, control) => {
      if (isSetAside && step.kind !== "note") throw new Error("Input/output error");
      await inner(step, control);
      isSetAside ||= step.kind === "rename";
      if (isSetAside && step.kind !== "note") throw new Error("Input/output error");
    },
  });
  assertEquals(code, 1);
  await fixture.start();
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`).session, "yes");
});

Deno.test("a guest that was saved to a file and comes back without its configuration finds its session, and spares the base", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  Deno.removeSync(fixture.configFile);
  await fixture.good("restore");
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), session);
  fixture.write(fixture.vda, "more");
  assertEquals(fixture.disk("vda"), base);
});

Deno.test("a guest that was saved finds its session after a start that failed, or came to nothing", async () => {
  for (const end of ["saved", "-"]) {
    for (const between of ["a start that fails", "a whole life"]) {
      using fixture = await up(false);
      await fixture.stop(end);
      if (between === "a whole life") {
        await fixture.start();
        fixture.write(fixture.vda, "fresh");
        if (end === "-") continue;
        await fixture.stop();
      } else {
        await fixture.good("prepare");
        await fixture.stop(end === "-" ? end : "failed");
      }
      await fixture.good("restore");
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), session, `${end}, ${between}`);
    }
  }
});

Deno.test("a guest that was saved finds its session after two flagged starts that never came up", async () => {
  using fixture = await up(false);
  fixture.define();
  await fixture.stop("-");
  fixture.configure({ vda: true });
  await fixture.good("prepare");
  // The power fails.
  await fixture.good("prepare");
  await fixture.stop("-");
  await fixture.good("restore");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("recover --keep asks before the session that is set aside goes with it", async () => {
  using fixture = await up(false);
  fixture.define();
  await fixture.stop("-");
  await fixture.good("prepare");
  fixture.write(fixture.vda, "newer");
  // A start takes no longer: it has died with its host.
  fixture.now = () => new Date(Date.now() + 601_000);
  assertEquals((await fixture.type("recover --keep guest", false)).code, 1);
  assertEquals(fixture.asked[0]?.includes("the one that is set aside"), true);
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
  assertEquals((await fixture.type("recover --keep guest", true)).code, 0);
  assertEquals(fixture.disk("vda"), { ...base, newer: "yes" });
});

/** A guest that was saved, and another session that runs since: the first one is set aside. */
async function upSinceSave(): Promise<Fixture> {
  const fixture = await up(false);
  fixture.define();
  await fixture.stop("saved");
  await fixture.start();
  fixture.write(fixture.vda, "newer");
  return fixture;
}
const newer = { ...base, newer: "yes" };

Deno.test("a session that commit has promised beside one set aside outlives a power cut and a start that fails", async () => {
  using fixture = await upSinceSave();
  fixture.run();
  assertEquals((await fixture.type("commit guest")).code, 0);
  fixture.halt();
  await fixture.good("prepare");
  await fixture.stop("failed");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), newer);
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [newer, false]);
});

Deno.test("a restore that libvirt announces, and refuses since the guest is up, changes nothing at its end", async () => {
  for (const flag of [false, true]) {
    using fixture = await up(flag);
    await fixture.good("restore");
    await fixture.stop();
    assertEquals(fixture.disk("vda"), flag ? session : base);
    assertEquals([fixture.flags().vda, fixture.files()], [false, ["vda.img"]]);
    assertEquals(exists(`${fixture.config}/${DOMAIN}.starting`), false);
  }
});

Deno.test("what a start sets aside stays for a whole life also if that start failed", async () => {
  using fixture = await up(false);
  await fixture.stop("saved");
  await fixture.good("prepare");
  await fixture.stop("failed");
  await fixture.start();
  assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
  await fixture.stop();
  await fixture.good("restore");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a session that is left to a saved guest outlives a start that is cut short anywhere, and its end", async () => {
  for (const end of [false, true]) {
    for (let step = 0; step < 8; step++) {
      using fixture = await up(false);
      await fixture.stop("saved");
      await fixture.event("prepare", "-", { perform: new Failing(step, "dies before").perform });
      if (end) await fixture.event("release", "failed");
      await fixture.start();
      await fixture.stop();
      await fixture.good("restore");
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), session, `${step}`);
    }
  }
});

Deno.test("a guest that was saved doesn't come back onto a session that has begun since", async () => {
  using fixture = await upSinceSave();
  fixture.booted = LATER;
  await fixture.good("restore");
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, fixture.read(fixture.vda)], [1, newer]);
  assertStringIncludes(said.join(), "autorevert recover --keep|--discard guest vda");
  await fixture.stop("failed");
  await fixture.type("recover --discard guest vda --yes");
  await fixture.good("restore");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);

  using kept = await upSinceSave();
  kept.configure({ vda: true });
  await kept.stop("crashed");
  await kept.good("restore");
  assertEquals((await kept.event("prepare")).code, 1);
  await kept.stop("failed");
  assertEquals([kept.read(kept.vda), kept.read(`${kept.vda}.autorevert-ended`)], [newer, session]);
});

Deno.test("a start of another guest that fails leaves what is set aside to the guest whose it is", async () => {
  using fixture = await up(false);
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${fixture.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  await fixture.stop("-");
  assertEquals((await fixture.event("prepare", "-", second)).code, 0);
  await fixture.event("release", "-", second);
  await fixture.good("restore");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a session of which commit says that it is set aside is so, though libvirt tells of its end before", async () => {
  for (const reason of ["failed", "crashed", "-"]) {
    using fixture = await up(false);
    fixture.define();
    assertEquals((await fixture.type("commit guest")).code, 0);
    await fixture.event("release", reason);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), base, reason);
    assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session, reason);
  }
});

Deno.test("status and recover know a session on which a guest was saved to a file", async () => {
  using fixture = (await up(false)).define();
  await fixture.stop("saved");
  const { printed } = await fixture.type("status guest");
  assert(printed.some((line) => line.includes("saved to a file")), printed.join("\n"));
  assertEquals((await fixture.type("recover guest")).printed, [
    "guest: nothing to recover",
    "guest vda: the session waits for a guest that was saved to a file, or has gone to another host",
  ]);
  await fixture.type("recover guest --discard");
  assert(fixture.asked[0]!.includes("on which a guest was saved to a file"), fixture.asked[0]);
});

Deno.test("a session that was saved with its flag goes on, though its entry in the configuration is gone", async () => {
  using fixture = new Fixture().disks({ vda: true, vdb: false });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop("saved");
  fixture.configure({ vdb: false });
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals(fixture.disk("vda"), session);
});

for (const reason of ["daemon", "crashed", "destroyed", "failed", "-"]) {
  Deno.test(`a guest whose managed save is still there finds its session again after an end: ${reason}`, async () => {
    using fixture = await up(false);
    Deno.writeTextFileSync(fixture.managedSave, "");
    await fixture.stop("saved");
    await fixture.good("restore");
    await fixture.start();
    await fixture.event("release", reason);
    await fixture.good("restore");
    await fixture.good("prepare");
    assertEquals(fixture.read(fixture.vda), session);
  });
}

Deno.test("keep refuses a session that doesn't stand on the top layer: what lies above would be lost", async () => {
  using fixture = (await up(false)).define();
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  fixture.write(fixture.vda, "newer");
  // Kept by hand, as the refusal of a session that isn't ours says.
  Deno.renameSync(fixture.vda, `${fixture.vda}.backing_file.1`);
  Deno.linkSync(`${fixture.vda}.backing_file.1`, fixture.vda);
  const { code, said } = await fixture.type("keep guest");
  assertEquals([code, said[0]!.includes("not on the top layer")], [1, true]);
  assertEquals(fixture.disk("vda"), { ...base, newer: "yes" });
});

Deno.test("what is set aside outlives a start that can't make its overlay, though the session that died is to take its place", async () => {
  for (const fault of ["full", "dies", "fails"]) {
    using fixture = await up(false);
    const ended = `${fixture.vda}.autorevert-ended`;
    await fixture.stop("saved");
    await fixture.start();
    fixture.write(fixture.vda, "second");
    // The power fails, and the flag is set for the session after that.
    fixture.configure({ vda: true }, LATER);
    if (fault === "full") fixture.full.add(`${fixture.vda}.autorevert-new`);
    const perform = new Failing(3, fault === "dies" ? "dies before" : "fails before").perform;
    assertEquals((await fixture.event("prepare", "-", fault === "full" ? {} : { perform })).code, 1);
    await fixture.event("release", "failed");
    assertEquals(
      [fixture.read(fixture.vda), fixture.read(ended)],
      [{ ...base, second: "yes" }, session],
      fault,
    );
    fixture.full.clear();
    await fixture.start();
    assertEquals([fixture.read(fixture.vda), fixture.read(ended)], [base, { ...base, second: "yes" }]);
  }
});

Deno.test("what a start has set aside stays, wherever the starts after it are cut short before the guest is up", async () => {
  await atEveryStep("dies before", async (failing) => {
    using fixture = await up(false);
    await fixture.stop("saved");
    await fixture.good("prepare");
    await fixture.event("prepare", "-", { perform: failing.perform });
    await fixture.good("prepare");
    assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
    await fixture.good("restore");
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), session);
  });
});

Deno.test("a saved guest is not restored on the base, though its disk is not configured any more", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  fixture.define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop("saved");
  fixture.configure({ vdb: false });
  assertEquals((await fixture.type("recover guest vda --discard --yes")).code, 0);
  await fixture.good("restore");
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said.join("\n").includes("would not fit to the disk")], [1, true]);
  await fixture.event("release", "failed");
  await fixture.start();
  await fixture.stop();
  // Nothing is left to wait for.
  await fixture.good("restore");
  await fixture.good("prepare");
});

for (const answer of [false, true]) {
  Deno.test(`keep asks before it joins a session with a disk that was written to since: ${answer}`, async () => {
    using fixture = await up(false);
    fixture.keys = { "keep-session": true };
    fixture.configure({ vda: false });
    fixture.define();
    await fixture.stop();
    await afterClockTick();
    fixture.write(fixture.vda, "written by hand");
    const { code } = await fixture.type("keep guest", answer);
    assertEquals([code, fixture.asked.length], [answer ? 0 : 1, 1]);
    assertEquals(fixture.disk("vda").session, answer ? "yes" : undefined);
  });
}

Deno.test("keep asks before it joins a session with a base that was put back from a backup, times and all", async () => {
  using fixture = await up(false);
  fixture.keys = { "keep-session": true };
  fixture.configure({ vda: false });
  fixture.define();
  await fixture.stop();
  const backup = `${fixture.root}/backup`;
  await afterClockTick();
  fixture.save(backup, null, { other: "disk" });
  Deno.utimeSync(backup, LONG_AGO, LONG_AGO);
  const layer = `${fixture.vda}.backing_file`;
  Deno.renameSync(backup, layer);
  Deno.removeSync(fixture.vda);
  Deno.linkSync(layer, fixture.vda);
  await fixture.type("keep guest", false);
  assertEquals([fixture.asked.length, fixture.disk("vda")], [1, { other: "disk" }]);
});

Deno.test("keep asks where a merge came after somebody had written to the disk", async () => {
  using fixture = await committed({ "keep-session": true });
  fixture.configure({ vda: false });
  fixture.define();
  await fixture.start({ mergeDies: true });
  await fixture.stop("shutdown", { mergeDies: true });
  await afterClockTick();
  fixture.write(fixture.vda, "written by hand");
  assertEquals((await fixture.merge()).said, []);
  await fixture.type("keep guest", false);
  assertEquals(fixture.asked.length, 1);
});

Deno.test("keep doesn't take what a merge has written for somebody's", async () => {
  using fixture = await committed({ "keep-session": true });
  fixture.configure({ vda: false });
  fixture.define();
  await fixture.start({ mergeDies: true });
  await fixture.stop("shutdown", { mergeDies: true });
  await afterClockTick();
  assertEquals((await fixture.merge()).said, []);
  assertEquals((await fixture.type("keep guest")).code, 0);
  assertEquals(fixture.asked, []);
});

for (const isStarted of [false, true]) {
  Deno.test(`a guest that was saved is not restored on a commit that was undone since; a start that failed between: ${isStarted}`, async () => {
    using fixture = new Fixture().disks({ vda: true });
    fixture.keys = { "keep-commits": 2 };
    fixture.configure({ vda: true });
    fixture.define();
    makeBorn(fixture.vda, new Date(LONG_AGO.getTime() - 1000));
    await startedLongAgo(fixture);
    fixture.write(fixture.vda, "commit");
    await fixture.stop("-");
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await fixture.stop("-"); // virsh save
    assertEquals((await fixture.type("undo guest --yes")).code, 0);
    if (isStarted) {
      await fixture.good("prepare");
      await fixture.event("release", "-");
    }
    const before = fixture.disk("vda");
    await fixture.good("restore");
    const { code, said } = await fixture.event("prepare");
    assertEquals([code, said.join().includes("or a commit that was undone")], [1, true]);
    await fixture.event("release", "-");
    assertEquals(fixture.disk("vda"), before);
    assertEquals((await fixture.type("keep guest")).code, 0);
    assertEquals(fixture.disk("vda"), { ...base, commit: "yes" });
    // Its session has gone with the undo.
    await fixture.good("restore");
    assertEquals((await fixture.event("prepare")).code, 1);
  });
}

Deno.test("a guest whose flagged session was committed by its save is restored on that, though it was undone since", async () => {
  using fixture = new Fixture().disks({ vda: true });
  fixture.keys = { "keep-commits": 2 };
  fixture.configure({ vda: true });
  fixture.define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop("-"); // virsh save
  assertEquals((await fixture.type("undo guest --yes")).code, 0);
  await fixture.good("restore");
  await fixture.good("prepare");
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a saved guest is restored on the session that a start has set aside, also after one that failed", async () => {
  for (const isUp of [false, true]) {
    using fixture = await upSinceLong(false);
    await fixture.stop("saved");
    await fixture.good("prepare"); // sets it aside
    if (isUp) await fixture.good("started");
    await fixture.event("release", isUp ? "shutdown" : "failed");
    await fixture.good("restore");
    await fixture.good("prepare");
    assertEquals(fixture.read(fixture.vda), session, `${isUp}`);
  }
});

for (
  const between of ["nothing", "a start that fails", "a start that is refused", "a start that is cut short"]
) {
  Deno.test(`a guest whose saved session was thrown away is not restored on another one, after ${between}`, async () => {
    using fixture = await up(false);
    fixture.define();
    await fixture.stop("saved");
    await fixture.type(`recover --discard ${DOMAIN} --yes`);
    if (between.endsWith("refused")) fixture.busy.add(fixture.vda);
    if (between !== "nothing") await fixture.event("prepare");
    fixture.busy.clear();
    if (!between.endsWith("cut short") && between !== "nothing") await fixture.stop("failed");
    await fixture.event("restore");
    assertEquals((await fixture.event("prepare")).code, 1);
  });
}

Deno.test("a guest whose saved session was thrown away is not restored on another one, wherever a start dies meanwhile", async () => {
  for (const fault of ["dies before", "dies after", "fails before"] as const) {
    await atEveryStep(fault, async (failing) => {
      using fixture = await up(false);
      fixture.define();
      await fixture.stop("saved");
      await fixture.type(`recover --discard ${DOMAIN} --yes`);
      await fixture.event("prepare", "-", { perform: failing.perform });
      await fixture.stop("failed");
      await fixture.event("restore");
      assertEquals((await fixture.event("prepare")).code, 1);
    });
  }
});

Deno.test("that a guest was saved on a flagged session is known after a start that fails", async () => {
  using fixture = await up(true);
  fixture.define();
  await fixture.stop("saved");
  await fixture.event("prepare");
  await fixture.stop("failed");
  const { asked } = await fixture.type("recover --discard guest", true).then(() => fixture);
  assert(asked.some((question) => question.includes("on which a guest was saved")), asked.join());
  await fixture.event("restore");
  assertEquals((await fixture.event("prepare")).code, 1);
});

for (const reason of ["saved", "-"]) {
  Deno.test(`a guest that was saved is not restored on the base after a start without its configuration, the end being ${reason}`, async () => {
    using fixture = await up(false);
    await fixture.stop(reason);
    const text = Deno.readTextFileSync(fixture.configFile);
    Deno.removeSync(fixture.configFile);
    const { code } = await fixture.event("prepare");
    assertEquals(code, reason === "saved" ? 1 : 0);
    await fixture.stop(reason === "saved" ? "failed" : "-");
    fixture.configureText(text);
    await fixture.event("restore");
    const restored = await fixture.event("prepare");
    if (reason === "saved") assertEquals(fixture.read(fixture.vda), session);
    else assertEquals(restored.code, 1);
  });
}

Deno.test("once a guest has come up after its saved session was thrown away, what it is saved on next is restored", async () => {
  using fixture = await up(false);
  fixture.define();
  await fixture.stop("saved");
  await fixture.type(`recover --discard ${DOMAIN} --yes`);
  await fixture.start();
  fixture.write(fixture.vda, "next");
  await fixture.stop("saved");
  await fixture.event("restore");
  await fixture.start();
  assertEquals(fixture.read(fixture.vda)["next"], "yes");
});

for (const reason of ["crashed", "destroyed", "-"]) {
  Deno.test(`a guest whose memory had not come from its file when libvirtd died is restored again, the end being ${reason}`, async () => {
    for (const flag of [false, true]) {
      using fixture = await up(flag);
      await fixture.stop("saved");
      await fixture.event("restore");
      await fixture.start(); // libvirt tells that it is up before its memory has come
      const live = `${fixture.settings.liveFolder}/${DOMAIN}.xml`;
      Deno.writeTextFileSync(live, "<domstatus state='paused' reason='migration' pid='1'>\n");
      await fixture.good("stopped");
      Deno.removeSync(live);
      await fixture.good("release", reason);
      await fixture.event("restore");
      await fixture.good("prepare");
      assertEquals(fixture.read(fixture.vda), session);
    }
  });
}

Deno.test("a restored guest that migrates away is no guest whose memory has not come", async () => {
  using fixture = await up(false);
  await fixture.stop("saved");
  await fixture.event("restore");
  await fixture.start();
  await afterClockTick();
  fixture.write(fixture.vda, "more");
  fixture.configure({ vda: true });
  const live = `${fixture.settings.liveFolder}/${DOMAIN}.xml`;
  const job = "  <job type='none' async='migration out' phase='perform3'>\n";
  Deno.writeTextFileSync(live, `<domstatus state='paused' reason='migration' pid='1'>\n${job}`);
  await fixture.good("stopped");
  Deno.removeSync(live);
  fixture.busy.add(fixture.vda);
  await fixture.good("release");
  assertEquals([exists(`${fixture.vda}.autorevert-keep`), fixture.flags()], [true, { vda: false }]);
});

for (const isWritten of [false, true]) {
  Deno.test(`a restored guest that libvirtd has found again keeps its session until it ${isWritten ? "has written" : "writes"}`, async () => {
    using fixture = await up(false);
    await fixture.stop("saved");
    await fixture.event("restore");
    await fixture.start();
    await fixture.good("reconnect");
    await afterClockTick();
    if (isWritten) fixture.write(fixture.vda, "more");
    await fixture.stop("destroyed");
    await fixture.event("restore");
    const { code } = await fixture.event("prepare");
    assertEquals([code, fixture.read(fixture.vda)], [0, isWritten ? base : session]);
  });
}

Deno.test("a session to which nobody has written since its guest was saved is set aside after a power cut, whatever was told meanwhile", async () => {
  for (const [isWritten, reason] of [[false, "saved"], [true, "saved"], [false, "-"], [true, "-"]] as const) {
    using fixture = await up(false);
    await fixture.stop(reason);
    await fixture.event("restore");
    await fixture.start();
    await afterClockTick();
    if (isWritten) fixture.write(fixture.vda, "more");
    fixture.booted = LATER;
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), base);
    assertEquals(exists(`${fixture.vda}.autorevert-ended`), !isWritten);
  }
});

for (const reason of ["failed", "-"]) {
  for (const isSaved of [true, false]) {
    Deno.test(`what is set aside outlives a start that fails when its guest is up, ${isSaved ? "and a save is restored on it" : "and can be kept"}: ${reason}`, async () => {
      for (const fault of ["dies before", "fails before"] as const) {
        await atEveryStep(fault, async (failing) => {
          using fixture = new Fixture().disks({ vda: false });
          fixture.keys = { "keep-session": !isSaved };
          fixture.configure({ vda: false });
          fixture.define();
          await fixture.start();
          fixture.write(fixture.vda, "session");
          // Also of a save, where libvirt doesn't tell.
          await fixture.stop("-");
          await fixture.good("prepare");
          await fixture.good("start");
          const starting = `${fixture.config}/guest.starting`;
          const noted = Deno.readTextFileSync(starting);
          const { code } = await fixture.event("started", "-", { perform: failing.perform });
          // libvirt takes a hook that was killed for one that has failed.
          if (!failing.struck || code === 0 && fault !== "dies before") return;
          Deno.writeTextFileSync(starting, noted);
          await fixture.stop(reason);
          if (isSaved) {
            await fixture.good("restore");
            await fixture.good("prepare");
            assertEquals(fixture.read(fixture.vda), session);
          } else {
            await fixture.type("keep guest --yes");
            assertEquals(fixture.disk("vda"), session);
          }
        });
      }
    });
  }
}

/** A session that ran beside one that is set aside, until a power cut; libvirtd had died before it could tell. */
async function ranUntold(flag: boolean): Promise<Fixture> {
  const fixture = await up(false);
  fixture.define();
  await fixture.stop("-");
  fixture.configure({ vda: flag });
  await fixture.good("prepare");
  fixture.write(fixture.vda, "next");
  const later = new Date(Date.now() + 120_000);
  Deno.utimeSync(fixture.vda, later, later);
  fixture.now = () => new Date(Date.now() + 180_000);
  fixture.booted = fixture.now();
  return fixture;
}

for (const flag of [false, true]) {
  Deno.test(`a session that ran, though nobody told that its guest was up, is not thrown away where the guest is restored on the one that is set aside, flagged ${flag}`, async () => {
    using fixture = await ranUntold(flag);
    await fixture.good("restore");
    const { code, said } = await fixture.event("prepare");
    assertEquals([code, fixture.read(fixture.vda)], [1, { ...base, next: "yes" }]);
    assertStringIncludes(said.join(), "end that one first");
  });
}

Deno.test("a flagged session that ran, though nobody told that its guest was up, outlives a start that fails", async () => {
  for (const reason of ["failed", "-"]) {
    using fixture = await ranUntold(true);
    await fixture.good("prepare");
    await fixture.stop(reason);
    assertEquals(fixture.read(fixture.vda), { ...base, next: "yes" });
  }
});

for (const reason of ["shutdown", "-"]) {
  for (const keepSession of [false, true]) {
    Deno.test(`a session that a late flag was meant for is kept by the way that the page names, and no other: ${reason}, keep-session ${keepSession}`, async () => {
      using fixture = new Fixture().disks({ vda: false, vdb: false });
      const list = (flag: boolean) =>
        fixture.configureText(
          JSON.stringify({
            disks: [
              { target: "vda", "one-shot-commit": flag, "keep-session": keepSession },
              { target: "vdb", "one-shot-commit": flag },
            ],
          }),
          new Date(),
        );
      list(false);
      fixture.define();
      await fixture.start();
      for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
      await afterClockTick();
      // A power cut comes before the guest writes again.
      list(true);
      fixture.booted = new Date();
      await fixture.start();
      fixture.run();
      for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "next");
      assertEquals((await fixture.type("commit guest --cancel")).said, []);
      fixture.halt();
      await fixture.stop(reason);
      const { said } = await fixture.type("keep guest --yes");
      if (said.length > 0) {
        assertStringIncludes(said.join(), "end it first: autorevert recover --keep|--discard guest");
        assertEquals((await fixture.type("recover --discard guest --yes")).said, []);
        assertEquals((await fixture.type("keep guest --yes")).said, []);
      }
      for (const target of ["vda", "vdb"]) {
        assertEquals(fixture.disk(target), { base: target, session: "yes" });
      }
    });
  }
}

Deno.test("a session that may have been saved to a file beside one that its start has set aside is restored, or set aside at the next start", async () => {
  for (const isRestored of [true, false]) {
    using fixture = await up(false);
    await afterClockTick();
    fixture.configure({ vda: true }, new Date());
    fixture.booted = new Date();
    fixture.define();
    await fixture.start();
    fixture.configure({ vda: false });
    fixture.write(fixture.vda, "next");
    const next = { ...base, next: "yes" };
    await fixture.stop("-");
    if (isRestored) await fixture.good("restore");
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), isRestored ? next : base);
    if (!isRestored) assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), next);
  }
});

const keepingReasons = [["-", false], ["shutdown", true], ["destroyed", true], ["crashed", true]] as const;

for (const [reason, keepSession] of keepingReasons) {
  Deno.test(`a session whose start has set another one aside waits in its place once, and the next one ends as any other: ${reason}`, async () => {
    using fixture = new Fixture().disks({ vda: false });
    fixture.keys = { "keep-session": keepSession };
    fixture.configure({ vda: false });
    fixture.define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    await afterClockTick();
    fixture.configure({ vda: true }, new Date());
    fixture.booted = new Date();
    await fixture.start();
    fixture.configure({ vda: false });
    const ended = `${fixture.vda}.autorevert-ended`;
    const found: unknown[] = [];
    for (const key of ["one", "two", "three"]) {
      fixture.write(fixture.vda, key);
      await fixture.stop(reason);
      found.push([fixture.state("vda").kind, fixture.read(ended)]);
      await fixture.start();
    }
    assertEquals(found, [
      ["session", session],
      ["layered", { ...base, two: "yes" }],
      ["layered", { ...base, three: "yes" }],
    ]);
  });
}

for (const fails of [false, true]) {
  Deno.test(`a guest whose saved session was thrown away by hand is not restored on the one that was set aside before${fails ? ", nor after a start that failed" : ""}`, async () => {
    using fixture = new Fixture().disks({ vda: false });
    fixture.define();
    await fixture.start();
    fixture.write(fixture.vda, "first");
    await fixture.stop("saved");
    await fixture.start();
    fixture.write(fixture.vda, "second");
    await fixture.stop("saved");
    await fixture.type("recover --discard guest --yes");
    if (fails) {
      await fixture.good("prepare");
      await fixture.stop("failed");
    }
    await fixture.good("restore");
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    assertStringIncludes(said.join(), "start the guest without it");
    await fixture.type("keep guest");
    await fixture.good("restore");
    assertEquals((await fixture.event("prepare")).code, 1);
  });
}

for (const fails of [false, true]) {
  Deno.test(`a session whose end could not be noted is set aside, since it may have been a save${fails ? ", also by a start that fails" : ""}`, async () => {
    using fixture = await up(false);
    await fixture.event("stopped", "saved");
    await fixture.event("release", "saved", { perform: new Failing(0, "dies before").perform });
    if (fails) {
      await fixture.good("prepare");
      await fixture.stop("failed");
      await fixture.good("restore");
      await fixture.good("prepare");
      assertEquals(fixture.read(fixture.vda), session);
      return;
    }
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), base);
    await fixture.stop();
    assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
    await fixture.start();
    await fixture.stop();
    assertEquals(fixture.files(), ["vda.img"]);
  });
}

Deno.test("a guest whose saved session was thrown away by hand after a start that was cut short over it is not restored", async () => {
  using fixture = new Fixture().disks({ vda: false });
  fixture.define();
  await fixture.start();
  await fixture.stop("saved");
  await fixture.event("prepare", "-", { perform: new Failing(1, "dies after").perform });
  fixture.booted = new Date();
  await fixture.type("recover --discard guest", true);
  assertStringIncludes(fixture.asked.join(), "on which a guest was saved to a file");
  await fixture.good("restore");
  assertEquals((await fixture.event("prepare")).code, 1);
});

Deno.test("an end waits for another guest's that holds the folder longer than a start would", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-session": true };
  fixture.disks({ vda: false });
  await fixture.start();
  const waits: (number | undefined)[] = [];
  const { lock } = fixture;
  fixture.lock = (path, wait) => {
    waits.push(wait?.patience);
    return lock(path, wait);
  };
  await fixture.stop();
  assertEquals(waits.slice(0, 2), [600_000, 600_000]);
});

for (const reason of ["crashed", "daemon", "failed"]) {
  Deno.test(`a guest that has a managed save finds its session, though its end is told as ${reason}`, async () => {
    using fixture = await up(false);
    Deno.writeTextFileSync(fixture.managedSave, "");
    await fixture.stop(reason);
    await fixture.good("restore");
    await fixture.good("prepare");
    assertEquals(fixture.read(fixture.vda), session);
  });
}

for (const isOld of [false, true]) {
  Deno.test(`a session that went on, and whose end could not be noted, is set aside, ${isOld ? "though it began before the host was booted" : "though an end had held it before"}`, async () => {
    using fixture = await up(!isOld);
    if (isOld) {
      await fixture.stop("saved");
      fixture.booted = fixture.now();
      await fixture.good("restore");
    } else {
      await fixture.stop("crashed");
    }
    await fixture.start();
    fixture.configure({ vda: false }, LATER);
    await fixture.event("release", "saved", { perform: new Failing(0, "dies before").perform });
    await fixture.good("prepare");
    assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
  });
}

for (const isManaged of [false, true]) {
  Deno.test(`a session whose save could not be noted is not thrown away by its restore, where its start had set another one aside: managed ${isManaged}`, async () => {
    using fixture = await upSinceSave();
    if (isManaged) Deno.writeTextFileSync(fixture.managedSave, "");
    await fixture.event("release", "saved", { perform: new Failing(0, "dies before").perform });
    fixture.booted = LATER;
    await fixture.good("restore");
    assertEquals((await fixture.event("prepare")).code, isManaged ? 0 : 1);
    assertEquals(fixture.read(fixture.vda), newer);
  });
}

Deno.test("the end of a save that was cut short by a loss of power notes first that it is a save", async () => {
  await atEveryStep("dies after", async (failing) => {
    using fixture = new Fixture().disks({ vda: false, vdb: true }).define();
    await fixture.start();
    for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
    await fixture.event("stopped", "saved");
    await fixture.event("release", "saved", { perform: failing.perform });
    fixture.boot();
    // A start that fails, since QEMU has no memory for it.
    await fixture.event("prepare");
    await fixture.event("release", "failed");
    await fixture.event("restore");
    if ((await fixture.event("prepare")).code !== 0) return;
    const found = ["vda", "vdb"].map((target) => fixture.read(fixture.image(target)));
    assertEquals(found, ["vda", "vdb"].map((target) => ({ base: target, session: "yes" })));
  });
});

for (const reason of ["saved", "-"]) {
  Deno.test(`a session whose guest's end was cut short in a save is set aside at a fresh start: ${reason}`, async () => {
    await atEveryStep("dies after", async (failing) => {
      using fixture = new Fixture().disks({ vda: false, vdb: true }).define();
      await fixture.start();
      for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
      await fixture.event("stopped", reason);
      await fixture.event("release", reason, { perform: failing.perform });
      await fixture.event("prepare");
      await fixture.event("release", reason === "-" ? "-" : "failed");
      await fixture.event("restore");
      if ((await fixture.event("prepare")).code !== 0) return;
      const found = ["vda", "vdb"].map((target) => fixture.read(fixture.image(target)));
      assertEquals(found, ["vda", "vdb"].map((target) => ({ base: target, session: "yes" })));
    });
  });
}

Deno.test("a session that waits beside another disk's is not taken for one that has gone to another host", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-session": true };
  fixture.disks({ vda: false, vdb: false }).define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "first");
  fixture.boot();
  // It was meant for the session that died, and is set aside; so it is taken back.
  assertEquals((await fixture.type("commit guest vda")).code, 0);
  await fixture.start();
  fixture.booted = LONG_AGO;
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "second");
  await fixture.type("commit guest vda --cancel");
  // virsh destroy
  await fixture.stop("destroyed");
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said], [0, []]);
});

Deno.test("a session that may have been saved on is set aside also where a start was killed before it had noted anything", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  // QEMU and libvirtd die, and libvirtd dies once more just when it has called the hook; the host is not booted meanwhile.
  await fixture.event("prepare", "-", { perform: new Failing(0, "dies before").perform });
  await fixture.event("prepare");
  assertEquals(fixture.files().includes("vda.img.autorevert-ended"), true);
});

Deno.test("a session that libvirt holds a managed save of is not taken for one that has gone to another host: QEMU died with libvirtd", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  Deno.writeTextFileSync(fixture.managedSave, "");
  await fixture.event("release", "daemon");
  // virsh managedsave-remove guest
  Deno.removeSync(fixture.managedSave);
  const { code, said } = await fixture.event("prepare");
  assertEquals([code, said], [0, []]);
});

for (const isUp of [true, false]) {
  Deno.test(`a guest that goes back to an external snapshot with memory ${isUp ? "finds its session" : "after its end has its session set aside, until the start after that"}`, async () => {
    using fixture = await up(false);
    const snapshot = `${fixture.images}/vda.snap`;
    fixture.save(snapshot, fixture.vda, { later: "yes" });
    fixture.sources.set("vda", snapshot);
    const reason = isUp ? "from snapshot" : "destroyed";
    await fixture.event("stopped", reason);
    await fixture.event("release", reason);
    // libvirt starts it on the disk of the snapshot, and gives it a new overlay when QEMU is there.
    fixture.sources.set("vda", fixture.vda);
    await fixture.start();
    const place = isUp ? fixture.vda : `${fixture.vda}.autorevert-ended`;
    assertEquals(fixture.read(place), session);
    await fixture.stop("shutdown");
    assertEquals(exists(`${fixture.vda}.autorevert-ended`), !isUp);
  });
}

Deno.test("a guest that was saved on an external snapshot is restored as the message says", async () => {
  using fixture = await up(false);
  const snapshot = `${fixture.images}/vda.snap`;
  fixture.save(snapshot, fixture.vda, { later: "yes" });
  fixture.sources.set("vda", snapshot);
  fixture.define();
  // A save has an XML of its own, with what lies below.
  const inside =
    `<backingStore type="file"><format type="qcow2"/><source file="${fixture.vda}"/></backingStore>`;
  const xml = domainXml([diskXml("vda", snapshot, { inside })]);
  await fixture.event("release", "saved", { xml });
  await fixture.event("restore", "-", { xml });
  const { code, said } = await fixture.event("prepare", "-", { xml });
  await fixture.event("release", "failed", { xml });
  assertEquals(code, 1);
  const [, command] = /is restored after: autorevert (disable .*)$/m.exec(said.join("\n"))!;
  assertEquals((await fixture.type(command!)).code, 0);
  await fixture.good("restore", "-", { xml });
  await fixture.good("prepare", "-", { xml });
  assertEquals(fixture.read(snapshot), { ...session, later: "yes" });
});

/** A call that fails as on a disk without room. */
const failing = (...kinds: string[]) => ({
  perform: (inner: Host["perform"]): Host["perform"] => async (step, control) => {
    if (kinds.includes(step.kind)) throw new Error("No space left on device");
    await inner(step, control);
  },
});

for (const keeps of [false, true]) {
  Deno.test(`a save that has filled the disk of the notes leaves its session, also to a start that fails; keep-session: ${keeps}`, async () => {
    using fixture = await up(false);
    fixture.keys = { "keep-session": keeps };
    fixture.configure({ vda: false });
    await fixture.event("release", "saved", failing("note", "starting"));
    fixture.boot();
    await fixture.good("prepare");
    await fixture.good("release", "failed");
    await fixture.good("restore");
    await fixture.good("prepare");
    assertEquals(fixture.read(fixture.vda), session);
  });
}

for (const reason of ["shutdown", "crashed"]) {
  Deno.test(`a session to be kept that an end could not set aside is set aside by the next start: ${reason}`, async () => {
    using fixture = await up(false);
    fixture.keys = { "keep-session": true };
    fixture.configure({ vda: false });
    await fixture.event("release", reason, failing("link"));
    await fixture.good("prepare");
    assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
  });
}

for (const how of ["undone", "set aside"]) {
  Deno.test(`the hint of a keep leads on where a blockpull has changed what is ${how}`, async () => {
    using fixture = await committed({ "keep-commits": 5, "keep-session": true });
    fixture.define();
    fixture.configure({ vda: how === "undone" });
    await fixture.start();
    // virsh blockpull guest vda --base vda.img.backing_file
    fixture.save(fixture.vda, `${fixture.vda}.backing_file`, { session: "yes", second: "yes" });
    await fixture.stop();
    if (how === "undone") await fixture.command("undo");
    const { said } = await fixture.command("keep");
    assertStringIncludes(
      said.join(),
      `qemu-img rebase -f qcow2 -F qcow2 -b ${fixture.vda}.backing_file.1 ${fixture.vda}.autorevert-ended`,
    );
  });
}

for (const cut of ["note", "rename"]) {
  for (const next of ["restore", "start"]) {
    Deno.test(`a saved guest's session stays for its next ${next} where a restore beside a dead start ends at its ${cut}`, async () => {
      using fixture = await up(false);
      fixture.define();
      await fixture.good("release", "saved");
      await fixture.good("prepare");
      fixture.boot();
      await fixture.good("restore");
      let isDead = false;
      await fixture.event("prepare", "-", {
        perform: (inner) => async (step, control) => {
          if (isDead || step.kind === cut && cut === "rename") throw new Error("Input/output error");
          await inner(step, control);
          isDead = step.kind === cut;
        },
      });
      if (isDead) fixture.boot();
      else await fixture.good("release", "failed");
      if (next === "restore") await fixture.good("restore");
      await fixture.good("prepare");
      const file = next === "restore" ? fixture.vda : `${fixture.vda}.autorevert-ended`;
      assertEquals(fixture.read(file), session);
    });
  }
}

Deno.test("no restore comes up on a session that recover --keep kept in place of the guest's own, wherever it is cut short", async () => {
  for (const fault of ["dies before", "dies after"] as const) {
    await atEveryStep(fault, async (failing) => {
      using fixture = await up(false);
      fixture.define();
      await fixture.good("release", "saved");
      await fixture.good("prepare");
      fixture.boot();
      await fixture.type("recover --keep guest", true, { perform: failing.perform });
      await fixture.good("restore");
      const { code } = await fixture.event("prepare");
      if (code === 0) assertEquals(fixture.read(fixture.vda), session);
    });
  }
});

for (
  const [what, keys, reason] of [["keep-session", { "keep-session": true }, "shutdown"], [
    "no reason",
    {},
    "-",
  ]] as const
) {
  Deno.test(`an end that has begun to set a session aside is completed after a power cut: ${what}`, async () => {
    let begun = 0;
    await atEveryStep("dies before", async (failing) => {
      using fixture = new Fixture().disks({ vda: false, vdb: false });
      fixture.keys = keys;
      fixture.configure({ vda: false, vdb: false });
      await fixture.start();
      fixture.write(fixture.vda, "session");
      await fixture.good("stopped", reason);
      await fixture.event("release", reason, { perform: failing.perform });
      fixture.boot();
      const ended = `${fixture.vda}.autorevert-ended`;
      const isBegun = exists(ended);
      await fixture.good("prepare");
      assertEquals([exists(ended), fixture.read(fixture.vda)], [isBegun, base]);
      if (isBegun) assertEquals(fixture.read(ended), session, `${++begun}`);
    });
    assertEquals(begun > 3, true);
  });
}

/** What keeps an end from telling what is to become of a session that is to be set aside. */
const unknown = {
  "its configuration can't be read": (fixture: Fixture) => Deno.writeTextFileSync(fixture.configFile, "{"),
  "its XML can't be read": () => ({ xml: "<" }),
  "its disk was detached": () => ({ xml: domainXml([]) }),
  "its folder isn't mounted": ({ images }: Fixture) => Deno.renameSync(images, `${images}.away`),
};

for (const [what, spoil] of Object.entries(unknown)) {
  for (
    const [keepSession, reason] of [[true, "shutdown"], [true, "crashed"], [true, "-"], [false, "-"]] as const
  ) {
    Deno.test(`a session that is to be set aside is so at the next start, where ${what} at the end: ${keepSession}, ${reason}`, async () => {
      using fixture = new Fixture();
      fixture.keys = { "keep-session": keepSession };
      fixture.disks({ vda: false }).define();
      await fixture.start();
      fixture.write(fixture.vda, "session");
      await fixture.event("release", reason, spoil(fixture) ?? {});
      if (exists(`${fixture.images}.away`)) Deno.renameSync(`${fixture.images}.away`, fixture.images);
      fixture.configure({ vda: false }, new Date());
      await fixture.good("prepare");
      assertEquals(fixture.read(`${fixture.vda}.autorevert-ended`), session);
      await fixture.good("start");
      await fixture.stop("failed");
      await fixture.good("restore");
      await fixture.good("prepare");
      assertEquals(fixture.read(fixture.vda), session);
    });
  }
}

for (const reason of ["-", "saved"]) {
  for (const between of ["fails", "dies with its host"]) {
    Deno.test(`a saved guest is restored on what keep has made of its session, also after a start that ${between}: ${reason}`, async () => {
      using fixture = (await up(false)).define();
      await fixture.stop(reason);
      await fixture.good("prepare");
      if (between === "fails") await fixture.event("release", reason === "-" ? "-" : "failed");
      else {
        fixture.boot();
        await fixture.type("recover guest --discard --yes");
      }
      await fixture.type("keep guest --yes");
      assertEquals(fixture.disk("vda"), session);
      await fixture.good("restore");
      await fixture.good("prepare");
      assertEquals(fixture.read(fixture.vda), session);
    });
  }
}
