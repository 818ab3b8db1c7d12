/** Sessions and commits that an ordinary day of an administrator must not lose. */

import { assert, assertEquals } from "@std/assert";
import { Failing } from "./fault.ts";
import { DOMAIN, exists, Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { namesOf } from "../lib/state/paths.ts";
import { snapshot } from "./tree.ts";

const base = { base: "vda" };
const session = { ...base, session: "yes" };

/** A guest that is up and has written. */
async function up(flag: boolean): Promise<Fixture & { readonly vda: string }> {
  const fixture = Object.assign(new Fixture(), { vda: "" });
  fixture.vda = fixture.image("vda");
  fixture.disks({ vda: flag });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  return fixture;
}

/** A session that was committed, and is not merged yet. */
async function committed(
  keys: Readonly<Record<string, unknown>>,
): Promise<Fixture & { readonly vda: string }> {
  const fixture = await up(true);
  fixture.keys = keys;
  fixture.configure({ vda: true });
  await fixture.good("release", "shutdown", { mergeDies: true });
  return fixture;
}

Deno.test("what an external snapshot stood on is kept by the recovery that the manual names, in its order", async () => {
  using fixture = await up(false);
  fixture.sources.set("vda", `${fixture.images}/vda.snap`);
  await fixture.stop();
  fixture.sources.set("vda", fixture.vda);
  // The flag comes last, after qemu-img commit wrote to the session.
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false]);
});

Deno.test("a managed save that is dropped keeps its session, if its flag was set after the last write", async () => {
  for (const reason of ["saved", "-"]) {
    using fixture = await up(false);
    fixture.configure({ vda: true }, LATER);
    const save = `${fixture.settings.saveFolder}/${DOMAIN}.save`;
    Deno.writeTextFileSync(save, "");
    await fixture.stop(reason);
    Deno.removeSync(save);
    await fixture.start();
    assertEquals(fixture.read(fixture.vda), session, reason);
  }
});

Deno.test("a commit that fails is done after the next session, if its flag was set after the last write", async () => {
  for (const fault of ["fails before", "dies before"] as const) {
    for (let step = 0; step < 5; step++) {
      using fixture = await up(false);
      fixture.configure({ vda: true }, LATER);
      await fixture.event("release", "shutdown", { perform: new Failing(step, fault).perform });
      if (fault === "dies before" && step === 0) continue;
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), session, `${fault} ${step}`);
    }
  }
});

Deno.test("a session that goes on is committed by the flag of the target that its disk has now", async () => {
  using fixture = await up(true);
  await fixture.stop("crashed");
  fixture.sources.clear();
  fixture.sources.set("sda", fixture.vda);
  fixture.configure({ sda: true });
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals([fixture.read(fixture.vda), fixture.flags().sda], [session, false]);
});

Deno.test("a guest that starts before its images are mounted finds its session when they are", async () => {
  using fixture = await up(true);
  const away = `${fixture.root}/away`;
  Deno.renameSync(fixture.images, away);
  Deno.mkdirSync(fixture.images);
  assertEquals((await fixture.event("prepare")).code, 1);
  await fixture.event("release", "failed");
  Deno.removeSync(fixture.images);
  Deno.renameSync(away, fixture.images);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
});

Deno.test("a guest that is up when libvirtd comes back is up: its end is no end of a failed start", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: true });
  await fixture.good("prepare");
  await fixture.good("start");
  // libvirtd died before it called the hook again.
  await fixture.good("reconnect");
  fixture.write(fixture.image("vda"), "session");
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false]);
});

Deno.test("a reconnect never fails, since libvirt would kill the guest", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: true });
  await fixture.start();
  Deno.mkdirSync(`${fixture.config}/${DOMAIN}.starting/in-the-way`, { recursive: true });
  const { code, said } = await fixture.event("reconnect");
  assertEquals([code, said.length], [0, 1]);
});
Deno.test("a merge doesn't begin where the upper layer stands on another disk's file", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  const other = `${fixture.images}/other.img.backing_file`;
  const [lower, upper] = [`${fixture.vda}.backing_file`, `${fixture.vda}.backing_file.1`];
  fixture.save(other, null, base);
  fixture.save(upper, other, { session: "yes" });
  const before = snapshot(fixture.images);
  const { code, said } = await fixture.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: "${upper}" stands on "${other}", should be "${lower}"`,
    "hint: if the layers were copied, moved or renamed together: " +
    `qemu-img rebase -u -f qcow2 -F qcow2 -b ${lower} ${upper}`,
  ]]);
  assertEquals(snapshot(fixture.images), before);
});

Deno.test("a guest doesn't take another one's session on the same image for its own of long ago", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: false });
  const vda = fixture.image("vda");
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${fixture.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  for (const operation of ["prepare", "started", "release"]) await fixture.event(operation, "-", second);
  assertEquals(exists(`${vda}.autorevert-ended`), true);
  fixture.configure({ vda: true });
  await fixture.start();
  fixture.write(vda, "session");
  assertEquals((await fixture.event("prepare", "-", second)).code, 1);
  await fixture.event("release", "failed", second);
  await fixture.start();
  assertEquals(fixture.read(vda), session);
  await fixture.stop();
  assertEquals(fixture.disk("vda"), session);
});

Deno.test("a guest leaves an image alone that it had long ago and another one has now", async () => {
  for (const end of ["saved", "-"]) {
    using fixture = await up(false);
    await fixture.stop("-");
    const note = `${fixture.config}/${DOMAIN}.session`;
    Deno.removeSync(fixture.configFile);
    const second = { domain: "second" };
    Deno.writeTextFileSync(`${fixture.config}/second.json`, '{"disks": [{"target": "vda"}]}');
    for (const operation of ["prepare", "started"]) await fixture.event(operation, "-", second);
    fixture.write(fixture.vda, "session", "second's");

    fixture.sources.clear();
    await fixture.good("prepare");
    await fixture.good("started");
    await fixture.stop(end);
    assertEquals(fixture.read(fixture.vda), { ...base, session: "second's" });
    assertEquals(exists(note), false);
  }
});

Deno.test("undo of one guest knows that another's merge has torn the layer below", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  const { tearing } = await import("./fault.ts");
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${fixture.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  await fixture.merge({ perform: tearing(fixture) });
  await fixture.event("prepare", "-", second);
  await fixture.event("started", "-", second);
  await fixture.event("release", "shutdown", { ...second, mergeDies: true });
  const { code } = await fixture.command("undo", second);
  assertEquals([code, fixture.disk("vda")], [1, session]);
});

Deno.test("a power cut keeps a session that was meant, though the file was edited after its last write", async () => {
  using begun = await up(true);
  begun.configure({ vda: true }, LATER);
  await begun.start();
  assertEquals(begun.read(begun.vda), session);

  using running = await up(false);
  running.define();
  running.run();
  assertEquals((await running.type(["commit", DOMAIN])).code, 0);
  running.halt();
  running.configure({ vda: true }, LATER);
  await running.start();
  assertEquals(running.read(running.vda), session);

  using cancelled = await up(true);
  cancelled.define();
  cancelled.run();
  assertEquals((await cancelled.type(["commit", "--cancel", DOMAIN])).code, 0);
  cancelled.halt();
  cancelled.configure({ vda: true }, LATER);
  await cancelled.start();
  assertEquals(cancelled.disk("vda"), cancelled.read(cancelled.vda));
});

/** What libvirt keeps of a guest that it has saved itself. */
const saveOf = ({ settings }: Fixture) => `${settings.saveFolder}/${DOMAIN}.save`;

for (const when of ["runs", "is saved", "died and goes on"] as const) {
  Deno.test(`commit keeps its word on the session of a guest that ${when}, whatever becomes of it and of the file`, async () => {
    for (const end of ["saved", "-"]) {
      using fixture = await up(when === "died and goes on");
      fixture.define();
      if (when === "runs") fixture.run();
      else {
        if (when === "is saved") Deno.writeTextFileSync(saveOf(fixture), "");
        await fixture.stop(when === "is saved" ? end : "crashed");
      }
      const { code, printed } = await fixture.type(["commit", DOMAIN]);
      assertEquals([code, printed.length], [0, 1]);
      if (when === "runs") fixture.halt();
      if (when === "is saved") Deno.removeSync(saveOf(fixture));
      // An editor, a backup or touch.
      fixture.configure({ vda: true }, LATER);
      await fixture.start();
      assertEquals(fixture.read(fixture.vda), session, end);
      await fixture.stop();
      assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false], end);
    }
  });
}

Deno.test("commit --cancel takes its word back, also of a session that an event held", async () => {
  using fixture = await up(true);
  fixture.define();
  await fixture.stop("crashed");
  assertEquals((await fixture.type(["commit", "--cancel", DOMAIN])).code, 0);
  fixture.configure({ vda: true }, LATER);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), base);
});

/** A session or an undone commit that is set aside, and a disk that is idle. */
const asides: readonly (readonly [what: string, make: () => Promise<Fixture & { readonly vda: string }>])[] =
  [
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
  assertEquals((await fixture.type(["commit", "--cancel", DOMAIN])).code, 0);
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

Deno.test("recovery commits no file that somebody put in a session's place, nor one that is open or damaged", async () => {
  const strangers: Readonly<Record<string, (fixture: Fixture, vdb: string) => void>> = {
    "another file": (fixture, vdb) => fixture.save(vdb, null, { stranger: "yes" }),
    "no qcow2": (_, vdb) => Deno.writeTextFileSync(vdb, "raw"),
    "in use": (fixture, vdb) => void fixture.busy.add(vdb),
  };
  for (const [what, arrange] of Object.entries(strangers)) {
    for (const next of ["prepare", "release"]) {
      using fixture = new Fixture();
      fixture.disks({ vda: true, vdb: true });
      await fixture.start();
      for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
      // The commit of the first disk is decided, and nothing more.
      await fixture.event("release", "shutdown", { perform: new Failing(4, "dies before").perform });
      assertEquals([fixture.state("vda").kind, fixture.state("vdb").kind], ["committing", "session"]);
      const vdb = fixture.image("vdb");
      arrange(fixture, vdb);
      const inode = Deno.statSync(vdb).ino;
      await fixture.event(next, next === "release" ? "shutdown" : "-", { mergeDies: true });
      // A start is refused before it changes anything.
      const decided = `${fixture.image("vda")}.autorevert-committing`;
      const vda = next === "prepare" ? fixture.read(decided) : fixture.disk("vda");
      assertEquals(vda, { base: "vda", session: "yes" }, what);
      assertEquals(fixture.disk("vdb"), { base: "vdb" }, what);
      assertEquals(
        [Deno.statSync(vdb).ino, fixture.flags()],
        [inode, { vda: next === "prepare", vdb: true }],
        what,
      );
    }
  }
});

Deno.test("an overlay that names its layer by another path is ended as the hint says", async () => {
  for (const end of ["--keep", "--discard"]) {
    using fixture = new Fixture();
    fixture.disks({ vda: false });
    fixture.define();
    const vda = fixture.image("vda");
    Deno.symlinkSync(fixture.images, `${fixture.root}/vm`);
    // As the Python hook leaves it after a crash, where the domain's XML names the image by way of a link.
    Deno.renameSync(vda, `${vda}.backing_file`);
    fixture.save(vda, `${fixture.root}/vm/vda.img.backing_file`, { session: "yes" });
    const { printed } = await fixture.type(["check", DOMAIN]);
    assertEquals(printed.filter((line) => line.includes(`autorevert recover ${end} ${DOMAIN}`)).length, 1);
    const { code, said } = await fixture.type(["recover", end, DOMAIN, "--yes"]);
    assertEquals([code, said], [0, []]);
    assertEquals(fixture.disk("vda"), end === "--keep" ? session : base);
  }
});

Deno.test("an overlay is made under a name that nothing has: what is there is left alone", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: false });
  const vda = fixture.image("vda");
  const scratch = `${vda}.autorevert-new`;
  const { code } = await fixture.event("prepare", "-", {
    perform: (inner) => async (step, control) => {
      // Somebody links the disk to that name, just before.
      if (step.kind === "create") Deno.linkSync(vda, scratch);
      await inner(step, control);
    },
  });
  assertEquals(code, 1);
  await fixture.event("release", "failed");
  assertEquals(fixture.read(vda), base);
  await fixture.start();
  assertEquals(fixture.read(vda), base);
});

Deno.test("the name that a look for hard links left behind goes with the next event", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: false });
  const vda = fixture.image("vda");
  Deno.linkSync(vda, `${vda}.autorevert-probe`);
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vda.img.backing_file"]);
});

/** What an administrator moves into the session's place: an image of another time. */
function putInPlace(fixture: Fixture, vda: string): void {
  const other = `${fixture.images}/new.img`;
  fixture.save(other, null, { golden: "yes" });
  Deno.renameSync(other, vda);
}

for (const reason of ["shutdown", "crashed", "-", "failed"]) {
  for (const flag of [false, true]) {
    Deno.test(`an image that is moved into the place of a ${flag ? "flagged " : ""}session stays at an end: ${reason}`, async () => {
      using fixture = new Fixture();
      fixture.now = () => LONG_AGO;
      fixture.disks({ vda: flag });
      const vda = fixture.image("vda");
      await fixture.good("prepare");
      if (reason !== "failed") await fixture.good("started");
      putInPlace(fixture, vda);
      await fixture.event("release", reason);
      assertEquals(fixture.read(vda), { golden: "yes" });
      assertEquals(fixture.flags().vda, flag);
      const { code, said } = await fixture.event("prepare");
      assertEquals(
        [code, said.some((line) => line.includes("another file was put in the session's place"))],
        [1, true],
      );
    });
  }
}

Deno.test("a note that tells of a folder that is gone keeps no guest from starting, nor a command from working", async () => {
  using fixture = await up(false);
  await fixture.stop("-");
  const moved = `${fixture.root}/moved`;
  Deno.renameSync(fixture.images, moved);
  fixture.settings = { ...fixture.settings, imageFolders: [moved] };
  const vda = `${moved}/vda.img`;
  for (const name of ["vda.img.autorevert-ended", "vda.img.backing_file"]) {
    Deno.removeSync(`${moved}/${name}`);
  }
  fixture.sources.set("vda", vda);
  fixture.define();
  for (
    const words of [["commit", DOMAIN], ["commit", "--cancel", DOMAIN], ["disable", DOMAIN], [
      "enable",
      DOMAIN,
      "vda",
    ]]
  ) {
    assertEquals((await fixture.type(words)).code, 0, words.join(" "));
  }
  await fixture.start();
  fixture.write(vda, "session");
  await fixture.stop();
  assertEquals(fixture.read(vda), base);
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

Deno.test("recover commits nothing as long as the configuration can't be read: its flag would commit the next session, too", async () => {
  using fixture = await up(true);
  fixture.define();
  fixture.configureText("{");
  await fixture.event("release", "shutdown");
  assertEquals((await fixture.type(["recover", "--keep", DOMAIN])).code, 1);
  assertEquals(fixture.read(fixture.vda), session);
  fixture.configure({ vda: true });
  assertEquals((await fixture.type(["recover", "--keep", DOMAIN])).code, 0);
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [session, false]);
});

Deno.test("a flagged session goes on under the target that its disk was given meanwhile", async () => {
  using fixture = await up(true);
  const xml = fixture.xml();
  // virsh edit, for the next start.
  fixture.sources.clear();
  fixture.sources.set("sda", fixture.vda);
  fixture.configure({ sda: true });
  await fixture.good("release", "shutdown", { xml });
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.start();
  assertEquals(fixture.read(fixture.vda), session);
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags().sda], [session, false]);
});

Deno.test("commit after a commit that was cut short is for the next session", async () => {
  for (const step of [4, 5]) {
    using fixture = await up(true);
    fixture.define();
    await fixture.event("release", "shutdown", { perform: new Failing(step, "dies before").perform });
    assertEquals((await fixture.type(["commit", DOMAIN])).code, 0);
    await fixture.start();
    fixture.write(fixture.vda, "next");
    await fixture.stop();
    assertEquals([fixture.disk("vda"), fixture.flags().vda], [{ ...session, next: "yes" }, false], `${step}`);
  }
});

Deno.test("another guest's session is neither thrown away nor committed by what a guest of the same image is advised", async () => {
  using fixture = await up(true);
  await fixture.stop("crashed");
  Deno.writeTextFileSync(`${fixture.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  fixture.define("second");
  const hint = `hint: start that guest and end it, or: autorevert recover --keep|--discard ${DOMAIN}`;
  assertEquals((await fixture.event("prepare", "-", { domain: "second" })).said[1], hint);
  assertEquals((await fixture.type(["check", "second"])).printed.includes(hint), true);
  for (const way of ["--keep", "--discard"]) {
    assertEquals((await fixture.type(["recover", way, "second", "--yes"])).code, 1);
  }
  assertEquals(fixture.read(fixture.vda), session);
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

/** A file that stands on the image, and the domain names it now. */
function snapshotOn(fixture: Fixture): string {
  const snap = `${fixture.images}/vda.snap`;
  fixture.save(snap, fixture.image("vda"), { snap: "yes" });
  fixture.sources.set("vda", snap);
  fixture.define();
  return snap;
}

Deno.test("undo and keep leave a disk alone that an external snapshot stands on", async () => {
  for (const verb of ["undo", "keep"] as const) {
    using fixture = verb === "undo" ? await committed({ "keep-commits": 1 }) : await up(false);
    if (verb === "keep") await fixture.stop("-");
    const snap = snapshotOn(fixture);
    const before = fixture.read(snap);
    const { code, said } = await fixture.command(verb);
    assertEquals([code, said[0]?.includes("the domain names another file, which may stand on")], [1, true]);
    assertEquals(fixture.read(snap), before);
  }
});

Deno.test("recover neither proposes nor ends a session that an external snapshot stands on", async () => {
  using fixture = await up(false);
  const snap = snapshotOn(fixture);
  await fixture.stop();
  const before = fixture.read(snap);
  assertEquals((await fixture.type(["recover", DOMAIN])).printed, [`${DOMAIN}: nothing to recover`]);
  for (const way of ["--keep", "--discard"]) {
    assertEquals((await fixture.type(["recover", way, DOMAIN, "--yes"])).code, 1);
  }
  assertEquals(fixture.read(snap), before);
});

Deno.test("recover --discard takes the flag with the session that it was meant for", async () => {
  using fixture = await up(true);
  fixture.define();
  await fixture.stop("crashed");
  assertEquals((await fixture.type(["recover", "--discard", DOMAIN, "--yes"])).code, 0);
  assertEquals([fixture.disk("vda"), fixture.flags().vda], [base, false]);
});

Deno.test("recover of one guest knows what another one's merge has torn", async () => {
  using fixture = await committed({ "keep-commits": 0 });
  const { tearing } = await import("./fault.ts");
  await fixture.merge({ perform: tearing(fixture) });
  const { layer, image } = namesOf(fixture.vda);
  Deno.removeSync(image);
  fixture.save(image, layer(1), { session: "foreign" });
  Deno.removeSync(fixture.configFile);
  const second = { domain: "second" };
  Deno.writeTextFileSync(
    `${fixture.config}/second.json`,
    '{"disks": [{"target": "vda", "keep-commits": 1}]}',
  );
  fixture.define("second");
  const note = `${fixture.config}/${DOMAIN}.session`;
  const away = Deno.readTextFileSync(note);
  Deno.writeTextFileSync(note, away);
  const { code } = await fixture.type(["recover", "--discard", DOMAIN, "--yes"]);
  assertEquals(code, 0);
  assertEquals((await fixture.command("undo", second)).code, 1);
  assertEquals(fixture.disk("vda"), session);
});
