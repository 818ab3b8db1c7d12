/** Sessions and commits that an ordinary day of an administrator must not lose. */

import { assert, assertEquals } from "@std/assert";
import { Failing } from "./fault.ts";
import { snapshot } from "./tree.ts";
import { DOMAIN, exists, LATER, World } from "./world.ts";

const base = { base: "vda" };
const session = { ...base, session: "yes" };

/** A guest that is up and has written. */
async function up(flag: boolean): Promise<World & { readonly vda: string }> {
  const world = Object.assign(new World(), { vda: "" });
  world.vda = world.image("vda");
  world.disks({ vda: flag });
  await world.start();
  world.write(world.vda, "session");
  return world;
}

/** A session that was committed, and is not merged yet. */
async function committed(keys: Readonly<Record<string, unknown>>): Promise<World & { readonly vda: string }> {
  const world = await up(true);
  world.keys = keys;
  world.configure({ vda: true });
  await world.good("release", "shutdown", { mergeDies: true });
  return world;
}

Deno.test("what an external snapshot stood on is kept by the recovery that the manual names, in its order", async () => {
  using world = await up(false);
  world.sources.set("vda", `${world.images}/vda.snap`);
  await world.stop();
  world.sources.set("vda", world.vda);
  // The flag comes last, after qemu-img commit wrote to the session.
  world.configure({ vda: true }, LATER);
  await world.start();
  assertEquals(world.read(world.vda), session);
  await world.stop();
  assertEquals([world.disk("vda"), world.flags().vda], [session, false]);
});

Deno.test("a managed save that is dropped keeps its session, if its flag was set after the last write", async () => {
  for (const reason of ["saved", "-"]) {
    using world = await up(false);
    world.configure({ vda: true }, LATER);
    const save = `${world.settings.saveFolder}/${DOMAIN}.save`;
    Deno.writeTextFileSync(save, "");
    await world.stop(reason);
    Deno.removeSync(save);
    await world.start();
    assertEquals(world.read(world.vda), session, reason);
  }
});

Deno.test("a commit that fails is done after the next session, if its flag was set after the last write", async () => {
  for (const fault of ["fails before", "dies before"] as const) {
    for (let step = 0; step < 5; step++) {
      using world = await up(false);
      world.configure({ vda: true }, LATER);
      await world.event("release", "shutdown", { perform: new Failing(step, fault).perform });
      if (fault === "dies before" && step === 0) continue;
      await world.start();
      assertEquals(world.read(world.vda), session, `${fault} ${step}`);
    }
  }
});

Deno.test("a session that goes on is committed by the flag of the target that its disk has now", async () => {
  using world = await up(true);
  await world.stop("crashed");
  world.sources.clear();
  world.sources.set("sda", world.vda);
  world.configure({ sda: true });
  await world.start();
  assertEquals(world.read(world.vda), session);
  await world.stop();
  assertEquals([world.read(world.vda), world.flags().sda], [session, false]);
});

Deno.test("a guest that starts before its images are mounted finds its session when they are", async () => {
  using world = await up(true);
  const away = `${world.root}/away`;
  Deno.renameSync(world.images, away);
  Deno.mkdirSync(world.images);
  assertEquals((await world.event("prepare")).code, 1);
  await world.event("release", "failed");
  Deno.removeSync(world.images);
  Deno.renameSync(away, world.images);
  await world.start();
  assertEquals(world.read(world.vda), session);
});

Deno.test("a guest that is up when libvirtd comes back is up: its end is no end of a failed start", async () => {
  using world = new World();
  world.disks({ vda: true });
  await world.good("prepare");
  await world.good("start");
  // libvirtd died before it called the hook again.
  await world.good("reconnect");
  world.write(world.image("vda"), "session");
  await world.stop();
  assertEquals([world.disk("vda"), world.flags().vda], [session, false]);
});

Deno.test("a reconnect never fails, since libvirt would kill the guest", async () => {
  using world = new World();
  world.disks({ vda: true });
  await world.start();
  Deno.mkdirSync(`${world.config}/${DOMAIN}.starting/in-the-way`, { recursive: true });
  const { code, said } = await world.event("reconnect");
  assertEquals([code, said.length], [0, 1]);
});
Deno.test("a merge doesn't begin where the upper layer stands on another disk's file", async () => {
  using world = await committed({ "keep-commits": 0 });
  const other = `${world.images}/other.img.backing_file`;
  const [lower, upper] = [`${world.vda}.backing_file`, `${world.vda}.backing_file.1`];
  world.save(other, null, base);
  world.save(upper, other, { session: "yes" });
  const before = snapshot(world.images);
  const { code, said } = await world.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: "${upper}" stands on "${other}", should be "${lower}"`,
    "hint: if the layers were copied, moved or renamed together: " +
    `qemu-img rebase -u -f qcow2 -F qcow2 -b ${lower} ${upper}`,
  ]]);
  assertEquals(snapshot(world.images), before);
});

Deno.test("a guest doesn't take another one's session on the same image for its own of long ago", async () => {
  using world = new World();
  world.disks({ vda: false });
  const vda = world.image("vda");
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${world.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  for (const operation of ["prepare", "started", "release"]) await world.event(operation, "-", second);
  assertEquals(exists(`${vda}.autorevert-ended`), true);
  world.configure({ vda: true });
  await world.start();
  world.write(vda, "session");
  assertEquals((await world.event("prepare", "-", second)).code, 1);
  await world.event("release", "failed", second);
  await world.start();
  assertEquals(world.read(vda), session);
  await world.stop();
  assertEquals(world.disk("vda"), session);
});

Deno.test("a guest leaves an image alone that it had long ago and another one has now", async () => {
  for (const end of ["saved", "-"]) {
    using world = await up(false);
    await world.stop("-");
    const note = `${world.config}/${DOMAIN}.session`;
    Deno.removeSync(world.configFile);
    const second = { domain: "second" };
    Deno.writeTextFileSync(`${world.config}/second.json`, '{"disks": [{"target": "vda"}]}');
    for (const operation of ["prepare", "started"]) await world.event(operation, "-", second);
    world.write(world.vda, "session", "second's");

    world.sources.clear();
    await world.good("prepare");
    await world.good("started");
    await world.stop(end);
    assertEquals(world.read(world.vda), { ...base, session: "second's" });
    assertEquals(exists(note), false);
  }
});

Deno.test("undo of one guest knows that another's merge has torn the layer below", async () => {
  using world = await committed({ "keep-commits": 0 });
  const { tearing } = await import("./fault.ts");
  const second = { domain: "second" };
  Deno.writeTextFileSync(`${world.config}/second.json`, '{"disks": [{"target": "vda"}]}');
  await world.merge({ perform: tearing(world) });
  await world.event("prepare", "-", second);
  await world.event("started", "-", second);
  await world.event("release", "shutdown", { ...second, mergeDies: true });
  const { code } = await world.command("undo", second);
  assertEquals([code, world.disk("vda")], [1, session]);
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
const saveOf = ({ settings }: World) => `${settings.saveFolder}/${DOMAIN}.save`;

for (const when of ["runs", "is saved", "died and goes on"] as const) {
  Deno.test(`commit keeps its word on the session of a guest that ${when}, whatever becomes of it and of the file`, async () => {
    for (const end of ["saved", "-"]) {
      using world = await up(when === "died and goes on");
      world.define();
      if (when === "runs") world.run();
      else {
        if (when === "is saved") Deno.writeTextFileSync(saveOf(world), "");
        await world.stop(when === "is saved" ? end : "crashed");
      }
      const { code, printed } = await world.type(["commit", DOMAIN]);
      assertEquals([code, printed.length], [0, 1]);
      if (when === "runs") world.halt();
      if (when === "is saved") Deno.removeSync(saveOf(world));
      // An editor, a backup or touch.
      world.configure({ vda: true }, LATER);
      await world.start();
      assertEquals(world.read(world.vda), session, end);
      await world.stop();
      assertEquals([world.disk("vda"), world.flags().vda], [session, false], end);
    }
  });
}

Deno.test("commit --cancel takes its word back, also of a session that an event held", async () => {
  using world = await up(true);
  world.define();
  await world.stop("crashed");
  assertEquals((await world.type(["commit", "--cancel", DOMAIN])).code, 0);
  world.configure({ vda: true }, LATER);
  await world.start();
  assertEquals(world.read(world.vda), base);
});

/** A session or an undone commit that is set aside, and a disk that is idle. */
const asides: readonly (readonly [what: string, make: () => Promise<World & { readonly vda: string }>])[] = [
  ["a session that was set aside", async () => {
    const world = await up(false);
    await world.stop("-");
    return world;
  }],
  ["an undone commit", async () => {
    const world = await committed({ "keep-commits": 1 });
    assertEquals((await world.command("undo")).code, 0);
    return world;
  }],
];

for (const [what, make] of asides) {
  Deno.test(`a start that fails in QEMU leaves ${what}; one that comes up forgets it`, async () => {
    using world = await make();
    const ended = `${world.vda}.autorevert-ended`;
    for (let time = 0; time < 2; time++) {
      await world.good("prepare");
      await world.good("start");
      await world.stop("failed");
      assertEquals(world.read(ended), session);
    }
    await world.good("prepare");
    await world.good("start");
    assertEquals(world.read(ended), session);
    await world.good("started");
    assertEquals(exists(ended), false);
    await world.stop();
    assertEquals(world.files().filter((name) => name.includes("ended")), []);
  });

  Deno.test(`${what} is kept after a start that failed`, async () => {
    using world = await make();
    await world.good("prepare");
    await world.stop("failed");
    assertEquals((await world.command("keep")).code, 0);
    assertEquals(world.disk("vda"), session);
  });

  Deno.test(`${what} goes at the end of a guest that nobody was told of that it is up`, async () => {
    using world = await make();
    await world.good("prepare");
    // libvirtd, or the hook, was killed before `started`, and the guest's end is told all the same.
    Deno.removeSync(`${world.config}/${DOMAIN}.starting`);
    await world.stop();
    assertEquals(exists(`${world.vda}.autorevert-ended`), false);
  });
}

Deno.test("libvirtd that finds a guest up forgets what was set aside, and fails for nothing", async () => {
  using world = await up(false);
  await world.stop("-");
  await world.good("prepare");
  const failing = new Failing(0, "fails before");
  const { code, said } = await world.event("reconnect", "-", { perform: failing.perform });
  assertEquals([code, said.length, exists(`${world.config}/${DOMAIN}.starting`)], [0, 1, false]);
});

Deno.test("a flagged session that no event held is set aside where the file's time speaks against it", async () => {
  using world = await up(false);
  // Set while it ran, and then touched; or set afterwards: nobody can tell.
  world.configure({ vda: true }, LATER);
  await world.start();
  assertEquals(world.read(world.vda), base);
  assertEquals(world.read(`${world.vda}.autorevert-ended`), session);
  // It was meant, and the session that runs isn't.
  assertEquals((await world.type(["commit", "--cancel", DOMAIN])).code, 0);
  await world.stop();
  assertEquals((await world.command("keep")).code, 0);
  assertEquals(world.disk("vda"), session);
});

Deno.test("a start that sets a session aside and fails has set nothing aside", async () => {
  using world = await up(false);
  world.configure({ vda: true }, LATER);
  for (const fault of ["fails before", "dies before", "dies after"] as const) {
    for (let step = 0; step < 8; step++) {
      await world.event("prepare", "-", { perform: new Failing(step, fault).perform });
      await world.event("release", "failed");
      const places = [world.vda, `${world.vda}.autorevert-ended`].filter(exists).map((path) =>
        world.read(path)
      );
      assert(places.some((content) => content.session === "yes"), `${fault} ${step}`);
    }
  }
});

Deno.test("recovery commits no file that somebody put in a session's place, nor one that is open or damaged", async () => {
  const strangers: Readonly<Record<string, (world: World, vdb: string) => void>> = {
    "another file": (world, vdb) => world.save(vdb, null, { stranger: "yes" }),
    "no qcow2": (_, vdb) => Deno.writeTextFileSync(vdb, "raw"),
    "in use": (world, vdb) => void world.busy.add(vdb),
  };
  for (const [what, arrange] of Object.entries(strangers)) {
    for (const next of ["prepare", "release"]) {
      using world = new World();
      world.disks({ vda: true, vdb: true });
      await world.start();
      for (const target of ["vda", "vdb"]) world.write(world.image(target), "session");
      // The commit of the first disk is decided, and nothing more.
      await world.event("release", "shutdown", { perform: new Failing(4, "dies before").perform });
      assertEquals([world.state("vda").kind, world.state("vdb").kind], ["committing", "session"]);
      const vdb = world.image("vdb");
      arrange(world, vdb);
      const inode = Deno.statSync(vdb).ino;
      await world.event(next, next === "release" ? "shutdown" : "-", { mergeDies: true });
      // A start is refused before it changes anything.
      const decided = `${world.image("vda")}.autorevert-committing`;
      const vda = next === "prepare" ? world.read(decided) : world.disk("vda");
      assertEquals(vda, { base: "vda", session: "yes" }, what);
      assertEquals(world.disk("vdb"), { base: "vdb" }, what);
      assertEquals(
        [Deno.statSync(vdb).ino, world.flags()],
        [inode, { vda: next === "prepare", vdb: true }],
        what,
      );
    }
  }
});

Deno.test("an overlay that names its layer by another path is ended as the hint says", async () => {
  for (const end of ["--keep", "--discard"]) {
    using world = new World();
    world.disks({ vda: false });
    world.define();
    const vda = world.image("vda");
    Deno.symlinkSync(world.images, `${world.root}/vm`);
    // As the Python hook leaves it after a crash, where the domain's XML names the image by way of a link.
    Deno.renameSync(vda, `${vda}.backing_file`);
    world.save(vda, `${world.root}/vm/vda.img.backing_file`, { session: "yes" });
    const { printed } = await world.type(["check", DOMAIN]);
    assertEquals(printed.filter((line) => line.includes(`autorevert recover ${end} ${DOMAIN}`)).length, 1);
    const { code, said } = await world.type(["recover", end, DOMAIN, "--yes"]);
    assertEquals([code, said], [0, []]);
    assertEquals(world.disk("vda"), end === "--keep" ? session : base);
  }
});

Deno.test("an overlay is made under a name that nothing has: what is there is left alone", async () => {
  using world = new World();
  world.disks({ vda: false });
  const vda = world.image("vda");
  const scratch = `${vda}.autorevert-new`;
  const { code } = await world.event("prepare", "-", {
    perform: (inner) => async (step, control) => {
      // Somebody links the disk to that name, just before.
      if (step.kind === "create") Deno.linkSync(vda, scratch);
      await inner(step, control);
    },
  });
  assertEquals(code, 1);
  await world.event("release", "failed");
  assertEquals(world.read(vda), base);
  await world.start();
  assertEquals(world.read(vda), base);
});

Deno.test("the name that a look for hard links left behind goes with the next event", async () => {
  using world = new World();
  world.disks({ vda: false });
  const vda = world.image("vda");
  Deno.linkSync(vda, `${vda}.autorevert-probe`);
  await world.start();
  assertEquals(world.files(), ["vda.img", "vda.img.backing_file"]);
});
