import { assert, assertEquals, assertRejects } from "@std/assert";
import { Trouble } from "../lib/errors.ts";
import type { Host } from "../lib/host/host.ts";
import { lock } from "../lib/host/lock.ts";
import { Run } from "../lib/host/run.ts";
import type { Step } from "../lib/state/step.ts";
import { World } from "./world.ts";

const unwatched = { sanitizeResources: false, sanitizeOps: false };

function hostOf({ settings, qemuImg }: World): Host {
  return {
    settings,
    qemuImg,
    perform: () => Promise.resolve(),
    freeBytes: () => Promise.resolve(Infinity),
    lock,
    log: () => {},
    say: () => {},
    show: undefined,
    readXml: () => "",
    now: () => new Date(),
  };
}

/** Runs the event loop for long enough that whatever can happen has happened. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("a lock is taken by one after the other", async () => {
  using world = new World();
  const path = `${world.config}/guest.lock`;
  const order: string[] = [];
  const first = await lock(path);
  const second = lock(path).then((held) => {
    order.push("second has it");
    return held;
  });
  await settle();
  order.push("first lets go");
  first[Symbol.dispose]();
  using _second = await second;
  assertEquals(order, ["first lets go", "second has it"]);
});

Deno.test("a lock is free again after its holder, and its file stays", async () => {
  using world = new World();
  const path = `${world.config}/guest.lock`;
  for (let turn = 0; turn < 3; turn++) {
    using _held = await lock(path);
  }
  assertEquals(world.files(world.config), ["guest.lock"]);
});

// What waits in vain is left to the end of the process, as it is in the hook.
Deno.test("a lock that isn't let go is given up, with a hint", { sanitizeResources: false }, async () => {
  using world = new World();
  const path = `${world.config}/guest.lock`;
  {
    using _held = await lock(path);
    const trouble = await assertRejects(
      () => lock(path, { patience: 1 }),
      Trouble,
      `another event holds "${path}" for more than`,
    );
    assertEquals(trouble.hint, "see in the log what it does, and try again when it is done");
    assertEquals(trouble.heals, "event");
  }
  await settle();
});

Deno.test("a lock that can't be opened says so", async () => {
  using world = new World();
  await assertRejects(() => lock(`${world.root}/none/guest.lock`), Trouble, "cannot open the lock");
});

Deno.test("each image folder is locked once, and missing ones are not", async () => {
  using world = new World();
  {
    using _held = await world.lockFolders([
      `${world.images}/a.img`,
      `${world.images}/b.img`,
      `${world.root}/none/c.img`,
      `${world.root}/d.img`,
    ]);
  }
  const { dev, ino } = Deno.statSync(world.images);
  const names = world.files(world.config);
  assertEquals(names.length, 2);
  assertEquals(names.includes(`${dev}-${ino}.folder-lock`), true);
});

Deno.test("two events that lock the same folders in another order don't wait for each other for ever", async () => {
  using world = new World();
  const images = [`${world.images}/a.img`, `${world.root}/b.img`, `${world.config}/c.img`];
  const take = async (images: string[]) => {
    for (let turn = 0; turn < 20; turn++) {
      using _held = await world.lockFolders(images);
      await settle();
    }
  };
  await Promise.all([take(images), take(images.toReversed())]);
});

Deno.test("an event lets go of its locks when it fails", async () => {
  using world = new World();
  world.configureText("{");
  assertEquals((await world.event("prepare")).code, 1);
  using _guest = await lock(`${world.config}/guest.lock`);
});

Deno.test("an event of one guest waits for another of the same guest", async () => {
  using world = new World();
  world.disks({ vda: false });
  const order: string[] = [];
  const held = await lock(`${world.config}/guest.lock`);
  const start = world.event("prepare").then(() => order.push("prepare is done"));
  await settle();
  assertEquals(world.files(), ["vda.img"]);
  order.push("the other is done");
  held[Symbol.dispose]();
  await start;
  assertEquals(order, ["the other is done", "prepare is done"]);
});

for (const [operation, extra] of [["prepare", "-"], ["release", "shutdown"]] as const) {
  Deno.test(`${operation} waits for another guest's event on the same image folder, a dry run doesn't`, async () => {
    using world = new World();
    world.disks({ vda: false });
    if (operation === "release") await world.start();
    const before = world.files();
    const held = await world.lockFolders([world.image("vda")]);
    let done = false;
    const event = world.event(operation, extra).finally(() => done = true);
    await settle();
    assertEquals([done, world.files()], [false, before]);
    const { shown } = await world.event(operation, extra, { dry: true });
    assert(shown.length > 0);
    held[Symbol.dispose]();
    assertEquals((await event).code, 0);
    assert(world.files().join() !== before.join());
  });
}

Deno.test("a step without the lock of what it changes is not taken", async () => {
  using world = new World();
  world.disks({ vda: false });
  const performed: string[] = [];
  const host = { ...hostOf(world), perform: (step: Step) => Promise.resolve(void performed.push(step.kind)) };
  const run = new Run(host, "guest");
  const [vda, other] = [world.image("vda"), `${world.root}/other.img`];
  const onImage: Step[] = [
    { kind: "link", from: vda, to: `${vda}.backing_file` },
    { kind: "rename", from: vda, to: `${vda}.backing_file` },
    { kind: "remove", path: vda },
    { kind: "create", overlay: `${vda}.autorevert-new`, backing: vda },
    { kind: "own", path: vda, owner: { uid: 0, gid: 0, mode: 0o600 } },
  ];
  const onGuest: Step[] = [
    { kind: "note", path: `${world.config}/guest.session`, entries: [] },
    { kind: "remove", path: `${world.config}/guest.starting` },
    { kind: "clear", config: world.configFile, targets: ["vda"] },
    { kind: "configure", config: world.configFile, text: undefined, change: "" },
  ];
  const merge: Step = { kind: "merge", layer: `${vda}.backing_file.1`, into: `${vda}.backing_file` };
  for (const step of [...onImage, ...onGuest, merge]) {
    await assertRejects(() => run.take("", [step]), Error, `${step.kind} without the lock of`);
  }
  {
    using _guest = await run.locks.guest();
    await run.take("", onGuest);
    for (const step of onImage) await assertRejects(() => run.take("", [step]), Error, world.images);
    using _folders = await run.locks.folders([vda]);
    await run.take("", onImage);
    await assertRejects(() => run.take("", [{ kind: "rename", from: vda, to: other }]), Error, world.root);
    await assertRejects(() => run.take("", [merge]), Error, "merging");
    using _merging = await run.locks.merging();
    await run.take("", [merge]);
  }
  await assertRejects(() => run.take("", onImage), Error, "without the lock of");
  assertEquals(performed.length, onImage.length + onGuest.length + 1);
});

Deno.test("a lock that comes when nobody waits for it any more is let go", unwatched, async () => {
  using world = new World();
  const path = `${world.config}/guest.lock`;
  const stop = new AbortController();
  const held = await lock(path);
  const waiting = assertRejects(() => lock(path, { stop: stop.signal }), Error, "make way");
  await settle();
  stop.abort(new Error("make way"));
  await waiting;
  held[Symbol.dispose]();
  using _next = await lock(path, { patience: 5_000 });
});

Deno.test("the same lock is not taken twice", async () => {
  using world = new World();
  const { locks } = new Run(hostOf(world), "guest");
  using _guest = await locks.guest();
  await assertRejects(() => locks.guest(), Error, "held already");
});
