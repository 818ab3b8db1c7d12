/** A start that fails: what it takes back, and what it leaves as it was. */

import { assert, assertEquals } from "@std/assert";
import { readNote } from "../lib/host/session_records.ts";
import type { Step } from "../lib/state/step.ts";
import { snapshot } from "./tree.ts";
import { session, up } from "./up.ts";
import { type Circumstance, DOMAIN, World } from "./world.ts";
import { diskXml, domainXml } from "./xml.ts";

const failingAt = (kind: Step["kind"]): Circumstance => ({
  perform: (inner) => (step) => step.kind === kind ? Promise.reject(new Error("EIO")) : inner(step),
});

Deno.test("a start is refused as a whole if one of its disks is", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  const before = snapshot(world.images);
  const raw = [diskXml("vda", world.image("vda")), diskXml("vdb", world.image("vdb"), { format: "raw" })];
  assertEquals((await world.event("prepare", "-", { xml: domainXml(raw) })).code, 1);
  assertEquals(snapshot(world.images), before);
});

Deno.test("an undo that fails, too, leaves a disk that the next start still knows", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  // After both overlays were swapped in nothing can be renamed or removed any more.
  let renames = 0;
  const { code } = await world.event("prepare", "-", {
    perform: (inner) => async (step) => {
      if (step.kind === "rename" && ++renames > 1) throw new Error("Input/output error");
      await inner(step);
    },
  });
  assertEquals(code, 1);
  await world.event("release", "failed");
  await world.start();
  for (const target of ["vda", "vdb"]) assertEquals(world.read(world.image(target)), { base: target });
  await world.stop();
  assertEquals(world.files(), ["vda.img", "vdb.img"]);
});

Deno.test("a start that follows on one that was refused is a start like any other, also where it fails", async () => {
  using world = await up(false);
  await world.stop();
  world.configureText("{");
  assertEquals((await world.event("prepare")).code, 1);
  world.configure({ vda: false });
  await world.good("prepare");
  await world.stop("failed");
  assertEquals(world.files(), ["vda.img"]);
});

Deno.test("a restore that fails at its last disk keeps the session that it had put back", async () => {
  using world = await up(false);
  await world.stop("-");
  world.save(world.image("vdb"), null, { base: "vdb" });
  world.sources.set("vdb", world.image("vdb"));
  world.configure({ vda: false, vdb: false });
  await world.good("restore");
  const last = (step: Step) => step.kind === "rename" && step.to === world.image("vdb");
  const { code } = await world.event("prepare", "-", {
    perform: (inner) => (step) => last(step) ? Promise.reject(new Error("EIO")) : inner(step),
  });
  assertEquals(code, 1);
  await world.event("release", "failed");
  await world.good("restore");
  await world.start();
  assertEquals(world.read(world.vda), session);
});

Deno.test("a start that fails leaves the note as it was, and tells one error", async () => {
  using world = new World();
  const note = `${world.config}/${DOMAIN}.session`;
  const fail = async (kind: Step["kind"]) => {
    const before = readNote(note);
    const { code, said } = await world.event("prepare", "-", failingAt(kind));
    const whom = kind === "create" ? "guest vda" : "guest";
    assertEquals([code, said, readNote(note)], [1, [`error: ${whom}: EIO`], before]);
    await world.event("release", "failed");
    assertEquals(readNote(note), before);
  };
  world.disks({ vda: false });
  for (const kind of ["note", "create"] as const) await fail(kind);
  await world.start();
  await world.stop("-");
  assertEquals(readNote(note).length, 1);
  await fail("create");
});

Deno.test("a start that fails leaves each disk as it was, a session of a power cut, too", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  await world.start();
  world.write(world.image("vda"), "session");
  world.disks({ vdb: false });
  world.configure({ vda: false, vdb: false });
  Deno.removeSync(`${world.image("vdb")}.backing_file`);
  const before = snapshot(world.images);
  for (const target of ["vda", "vdb"]) {
    const failing = (step: Step) => step.kind === "create" && step.overlay.startsWith(world.image(target));
    const { code, log, said } = await world.event("prepare", "-", {
      perform: (inner) => (step) => failing(step) ? Promise.reject(new Error("EIO")) : inner(step),
    });
    assertEquals([code, said], [1, [`error: guest ${target}: EIO`]]);
    assert(log.includes(`error: guest ${target}: EIO`));
    assertEquals(snapshot(world.images), before);
  }
});

Deno.test("a start that fails at its last disk takes the others back at once", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  const before = snapshot(world.images);
  const last = (step: Step) => step.kind === "rename" && step.to === world.image("vdb");
  await world.event("prepare", "-", {
    perform: (inner) => (step) => last(step) ? Promise.reject(new Error("EIO")) : inner(step),
  });
  assertEquals(snapshot(world.images), before);
});
