import { assert, assertEquals, assertRejects } from "@std/assert";
import { lock, lockFolders } from "../lib/lock.ts";
import { Trouble } from "../lib/voice.ts";
import { World } from "./world.ts";

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
      () => lock(path, 1),
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
    using _held = await lockFolders(world.config, [
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
      using _held = await lockFolders(world.config, images);
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
    const held = await lockFolders(world.config, [world.image("vda")]);
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
