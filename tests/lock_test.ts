import { assert, assertEquals, assertRejects } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import { lock } from "../lib/host/lock.ts";
import { Run } from "../lib/host/run.ts";
import type { Step } from "../lib/state/step.ts";
import { Fixture } from "./fixture.ts";

const unwatched = { sanitizeResources: false, sanitizeOps: false };

/** Runs the event loop for long enough that whatever can happen has happened. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("a lock is taken by one after the other", async () => {
  using fixture = new Fixture();
  const path = `${fixture.config}/guest.lock`;
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
  using fixture = new Fixture();
  const path = `${fixture.config}/guest.lock`;
  for (let turn = 0; turn < 3; turn++) {
    using _held = await lock(path);
  }
  assertEquals(fixture.files(fixture.config), ["guest.lock"]);
});

// What waits in vain is left to the end of the process, as it is in the hook.
Deno.test("a lock that isn't let go is given up, with a hint", { sanitizeResources: false }, async () => {
  using fixture = new Fixture();
  const path = `${fixture.config}/guest.lock`;
  {
    using _held = await lock(path);
    const trouble = await assertRejects(
      () => lock(path, { patience: 1 }),
      UserError,
      `another event holds "${path}" for more than`,
    );
    assertEquals(trouble.hint, "see in the log what it does, and try again when it is done");
    assertEquals(trouble.healedBy, "event");
  }
  await settle();
});

Deno.test("a lock that can't be opened says so", async () => {
  using fixture = new Fixture();
  await assertRejects(() => lock(`${fixture.root}/none/guest.lock`), UserError, "cannot open the lock");
});

Deno.test("each image folder is locked once, and missing ones are not", async () => {
  using fixture = new Fixture();
  {
    using _held = await fixture.lockFolders([
      `${fixture.images}/a.img`,
      `${fixture.images}/b.img`,
      `${fixture.root}/none/c.img`,
      `${fixture.root}/d.img`,
    ]);
  }
  const { ino } = Deno.statSync(fixture.images);
  const names = fixture.files(fixture.config);
  assertEquals(names.length, 2);
  assertEquals(names.includes(`${ino}.folder-lock`), true);
});

Deno.test("two events that lock the same folders in another order don't wait for each other for ever", async () => {
  using fixture = new Fixture();
  const images = [`${fixture.images}/a.img`, `${fixture.root}/b.img`, `${fixture.config}/c.img`];
  const take = async (images: string[]) => {
    for (let turn = 0; turn < 20; turn++) {
      using _held = await fixture.lockFolders(images);
      await settle();
    }
  };
  await Promise.all([take(images), take(images.toReversed())]);
});

Deno.test("an event lets go of its locks when it fails", async () => {
  using fixture = new Fixture();
  fixture.configureText("{");
  assertEquals((await fixture.event("prepare")).code, 1);
  using _guest = await lock(`${fixture.config}/guest.lock`);
});

Deno.test("an event of one guest waits for another of the same guest", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const order: string[] = [];
  const held = await lock(`${fixture.config}/guest.lock`);
  const start = fixture.event("prepare").then(() => order.push("prepare is done"));
  await settle();
  assertEquals(fixture.files(), ["vda.img"]);
  order.push("the other is done");
  held[Symbol.dispose]();
  await start;
  assertEquals(order, ["the other is done", "prepare is done"]);
});

for (const [operation, extra] of [["prepare", "-"], ["release", "shutdown"]] as const) {
  Deno.test(`${operation} waits for another guest's event on the same image folder, a dry run doesn't`, async () => {
    using fixture = new Fixture().disks({ vda: false });
    if (operation === "release") await fixture.start();
    const before = fixture.files();
    const held = await fixture.lockFolders([fixture.vda]);
    let done = false;
    const event = fixture.event(operation, extra).finally(() => done = true);
    await settle();
    assertEquals([done, fixture.files()], [false, before]);
    const { shown } = await fixture.event(operation, extra, { dry: true });
    assert(shown.length > 0);
    held[Symbol.dispose]();
    assertEquals((await event).code, 0);
    assert(fixture.files().join() !== before.join());
  });
}

Deno.test("a step without the lock of what it changes is not taken", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const performed: string[] = [];
  const perform = (step: Step) => Promise.resolve(void performed.push(step.kind));
  const run = new Run(fixture.host({ perform }), "guest");
  const [vda, other] = [fixture.vda, `${fixture.root}/other.img`];
  const onImage: Step[] = [
    { kind: "link", from: vda, to: `${vda}.backing_file` },
    { kind: "rename", from: vda, to: `${vda}.backing_file` },
    { kind: "remove", path: vda },
    { kind: "create", overlay: `${vda}.autorevert-new`, backing: vda },
    { kind: "own", path: vda, owner: { uid: 0, gid: 0, mode: 0o600 } },
  ];
  const onGuest: Step[] = [
    { kind: "note", path: fixture.note, records: [] },
    { kind: "remove", path: `${fixture.config}/guest.starting` },
    { kind: "clear", config: fixture.configFile, targets: ["vda"] },
    { kind: "configure", config: fixture.configFile, text: undefined, change: "" },
  ];
  const merge: Step = { kind: "merge", layer: `${vda}.backing_file.1`, into: `${vda}.backing_file` };
  for (const step of [...onImage, ...onGuest, merge]) {
    await assertRejects(() => run.take("", [step]), Error, `${step.kind} without the lock of`);
  }
  {
    using _guest = await run.locks.guest();
    await run.take("", onGuest);
    for (const step of onImage) await assertRejects(() => run.take("", [step]), Error, fixture.images);
    using _folders = await run.locks.folders([vda]);
    await run.take("", onImage);
    await assertRejects(() => run.take("", [{ kind: "rename", from: vda, to: other }]), Error, fixture.root);
    await assertRejects(() => run.take("", [merge]), Error, "merging");
    using _merging = await run.locks.merging();
    await run.take("", [merge]);
  }
  await assertRejects(() => run.take("", onImage), Error, "without the lock of");
  assertEquals(performed.length, onImage.length + onGuest.length + 1);
});

Deno.test("a lock that comes when nobody waits for it any more is let go", unwatched, async () => {
  using fixture = new Fixture();
  const path = `${fixture.config}/guest.lock`;
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
  using fixture = new Fixture();
  const { locks } = new Run(fixture.host(), "guest");
  using _guest = await locks.guest();
  await assertRejects(() => locks.guest(), Error, "held already");
});
