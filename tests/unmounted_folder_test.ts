/** Disks of a guest whose images lie in several folders, one of which is not mounted. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { afterClockTick, Fixture } from "./fixture.ts";

/** Puts vdb into a folder of its own, which can be taken away. @param flag of both disks */
function inTwoFolders(fixture: Fixture, flag: boolean) {
  const [second, away] = [`${fixture.root}/second`, `${fixture.root}/away`];
  Deno.mkdirSync(second);
  Deno.chmodSync(second, 0o755);
  fixture.settings = { ...fixture.settings, imageFolders: [fixture.images, second] };
  fixture.disks({ vda: flag, vdb: flag });
  const vdb = `${second}/vdb.img`;
  Deno.renameSync(fixture.image("vdb"), vdb);
  fixture.sources.set("vdb", vdb);
  fixture.define();
  return {
    vdb,
    unmount: () => {
      Deno.renameSync(second, away);
      Deno.mkdirSync(second);
    },
    mount: () => {
      Deno.removeSync(second);
      Deno.renameSync(away, second);
    },
  };
}

Deno.test("a session whose flag was set when it ended goes on also where its folder was not mounted at that end", async () => {
  using fixture = new Fixture();
  const { vdb, unmount, mount } = inTwoFolders(fixture, false);
  await fixture.start();
  fixture.write(vdb, "session");
  await afterClockTick();
  // The guest writes to its other disk only, from here on.
  fixture.configure({ vda: false, vdb: true }, new Date());
  await afterClockTick();
  fixture.write(fixture.vda, "session");
  unmount();
  await fixture.event("release", "shutdown");
  mount();
  await fixture.start();
  assertEquals(fixture.read(vdb), { base: "vdb", session: "yes" });
});

for (const verb of ["undo", "keep", "recover --keep"]) {
  Deno.test(`${verb} is done for both disks or for none, also where the folder of one is not mounted`, async () => {
    using fixture = new Fixture();
    fixture.keys = { "keep-commits": 2, "keep-session": verb === "keep" };
    const { vdb, unmount, mount } = inTwoFolders(fixture, verb === "undo");
    await fixture.start();
    for (const image of [fixture.vda, vdb]) fixture.write(image, "session");
    if (verb === "recover --keep") fixture.boot();
    else await fixture.stop();
    unmount();
    const { said, printed } = await fixture.type(`${verb} guest --yes`);
    mount();
    await fixture.start();
    const has = [fixture.vda, vdb].map((image) => "session" in fixture.read(image));
    assertEquals(new Set(has).size, 1, [...printed, ...said, has].join(" | "));
  });
}

for (const words of ["commit guest --cancel", "disable guest vdb"]) {
  Deno.test(`${words} holds, or is refused, for a session whose folder is not mounted`, async () => {
    const isCancelled = words.includes("cancel");
    using fixture = new Fixture();
    const { vdb, unmount, mount } = inTwoFolders(fixture, isCancelled);
    await fixture.start();
    for (const image of [fixture.vda, vdb]) fixture.write(image, "session");
    if (!isCancelled) fixture.configure({ vda: true, vdb: true });
    fixture.boot();
    unmount();
    const { code, printed } = await fixture.type(words);
    mount();
    if (code === 1) return;
    await fixture.start();
    const isThere = "session" in fixture.read(vdb);
    // A word that was taken back is no word; a session that is to be committed is not thrown away.
    assertEquals(isThere, !isCancelled, printed.join(" | "));
  });
}

Deno.test("a disk whose storage has died in a flagged session can be taken out of the configuration, as the hints say", async () => {
  using fixture = new Fixture();
  const { unmount } = inTwoFolders(fixture, true);
  await fixture.start();
  // The storage dies, and the guest with it.
  unmount();
  await fixture.event("release", "crashed");
  // The guest is to go on without that disk.
  fixture.sources.delete("vdb");
  fixture.define();
  const start = await fixture.event("prepare");
  assertEquals(start.code, 1);
  assertStringIncludes(start.said.join("\n"), "autorevert disable guest vdb");
  await fixture.event("release", "failed");
  const first = await fixture.type("disable guest vdb");
  if (first.code !== 0) {
    assertStringIncludes(first.said.join("\n"), "autorevert commit --cancel guest vdb");
    const cancel = await fixture.type("commit --cancel guest vdb");
    const again = await fixture.type("disable guest vdb");
    assertEquals(again.said, [], JSON.stringify([first.said, cancel.printed, cancel.said]));
  }
});

Deno.test("a session on which a guest was saved outlives a fresh start, also where its folder was not mounted at its end", async () => {
  for (const reason of ["saved", "-"]) {
    using fixture = new Fixture();
    const { vdb, unmount, mount } = inTwoFolders(fixture, false);
    await fixture.start();
    fixture.write(vdb, "session");
    unmount();
    await fixture.event("release", reason);
    mount();
    await fixture.event("prepare");
    await fixture.event("release", "failed");
    await fixture.event("restore");
    const { code } = await fixture.event("prepare");
    assertEquals([code, fixture.read(vdb)], [0, { base: "vdb", session: "yes" }], reason);
  }
});

Deno.test("no event asks for the folder of another guest's disk, whose server may not answer", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const dead = `${fixture.root}/dead`;
  const noted = { target: "vda", image: `${dead}/other.img`, started: new Date(0).toISOString() };
  Deno.writeTextFileSync(
    `${fixture.config}/other.session`,
    JSON.stringify([{ ...noted, uid: 0, gid: 0, mode: "644" }]),
  );
  const asked: string[] = [];
  const { realPathSync, lstatSync, statSync, readDirSync } = Deno;
  const watched = <Rest extends unknown[], Result>(call: (path: string | URL, ...rest: Rest) => Result) =>
  (
    path: string | URL,
    ...rest: Rest
  ) => {
    if (`${path}`.startsWith(dead)) asked.push(`${path}`);
    return call(path, ...rest);
  };
  try {
    Deno.realPathSync = watched(realPathSync);
    Deno.lstatSync = watched(lstatSync);
    Deno.statSync = watched(statSync);
    Deno.readDirSync = watched(readDirSync);
    await fixture.start();
    await fixture.stop("shutdown");
  } finally {
    Object.assign(Deno, { realPathSync, lstatSync, statSync, readDirSync });
  }
  assertEquals(asked, []);
});
