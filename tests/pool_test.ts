import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DOMAIN, exists, Fixture, LATER, LONG_AGO } from "./fixture.ts";
import { Pool } from "./pool.ts";
import { diskXml, domainXml } from "./xml.ts";

Deno.test("a seat begins with the master at each start, and its idle image is gone", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  const before = fixture.disk("vda");
  for (let times = 0; times < 2; times++) {
    await pool.start("seat1");
    assertEquals(fixture.read(pool.image("seat1")), { ...before, "by seat1": "yes" });
    assertEquals(pool.record("seat1")?.layer, 0);
    const { code, said } = await pool.stop("seat1");
    assertEquals([code, said], [0, []]);
    assert(pool.isIdle("seat1"));
    assertEquals(fixture.disk("vda"), before);
  }
});

Deno.test("seats run on the version they began with while the master is committed, and take the newest one next", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.commit("second");
  await pool.start("seat2");
  await pool.commit("third");
  await pool.start("seat3");
  assertEquals(["seat1", "seat2", "seat3"].map((seat) => pool.version(seat)), ["first", "second", "third"]);
  await pool.stop("seat1");
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "third");
});

Deno.test("a merge waits for the seats, and goes on with the end of the last one", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.start("seat2");
  await pool.commit("second", {});
  await pool.commit("third", {});
  assertEquals(pool.layers, [0, 1, 2]);
  const { log, code } = await pool.merge();
  assertEquals(code, 1);
  assertStringIncludes(
    log.join("\n"),
    'the merge waits for the end of those who stand on the layers: "seat1" runs, "seat2" runs',
  );
  assertEquals((await pool.stop("seat1")).merge, undefined);
  assertEquals(["seat2"].map((seat) => pool.version(seat)), ["first"]);
  assertEquals((await pool.stop("seat2")).merge?.code, 0);
  assertEquals(pool.layers, [2]);
  assertEquals(pool.of(fixture.disk("vda")), "third");
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "third");
});

Deno.test("a session that is saved stands on a layer that is not merged", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("second");
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  await pool.commit("third", {});
  // What is below it may become one with it: its name stays, and what it reads as.
  assertEquals(pool.layers, [1, 2]);
  assertEquals(pool.version("seat1"), "second");
  await pool.event("seat1", "restore");
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "second");
  assertEquals(pool.record("seat1")?.layer, 1);
  await pool.stop("seat1");
  assertEquals(pool.layers, [2]);
});

Deno.test("an undo of the master takes it back for all, but not from under a session", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  fixture.keys = { "keep-commits": 3 };
  await pool.start("seat1");
  await pool.commit("second");
  await pool.start("seat2");
  const refused = await fixture.command("undo");
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.said.join("\n"), 'sessions stand on the commit: "seat2" runs');
  await pool.stop("seat2");
  assertEquals((await fixture.command("undo")).said, []);
  await pool.start("seat2");
  assertEquals([pool.version("seat1"), pool.version("seat2")], ["first", "first"]);
});

Deno.test("where it is done by hand, seats stay on the published version, and previews take each commit", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  pool.configure("seat2", { preview: true });
  fixture.keys = { publish: "by hand" };
  fixture.configure({ vda: false });
  await pool.commit("second");
  await pool.commit("third", {});
  await pool.start("seat1");
  await pool.start("seat2");
  assertEquals([pool.version("seat1"), pool.version("seat2")], ["first", "third"]);
  await pool.stop("seat1");
  await pool.stop("seat2");
  assertEquals(pool.layers, [0, 1, 2], "nothing is merged into what is published");
});

Deno.test("a seat's image that is not ours is never replaced", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  fixture.save(pool.image("seat1"), null, { own: "work" });
  const { code, said } = await pool.event("seat1", "prepare");
  assertEquals(code, 1);
  assertStringIncludes(said[0]!, "is no session on");
  assertEquals(fixture.read(pool.image("seat1")), { own: "work" });
  assertEquals(pool.record("seat1"), undefined);
  await pool.event("seat1", "release", "failed");
  assertEquals(fixture.read(pool.image("seat1")), { own: "work" });
});

Deno.test("an empty file, and what an earlier session left, is no obstacle", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  Deno.writeTextFileSync(pool.image("seat1"), "");
  await pool.start("seat1");
  fixture.busy.clear();
  // A power cut, and the note is lost with it.
  Deno.removeSync(`${fixture.config}/seat1.seats`);
  fixture.write(pool.image("seat1"), "junk");
  await pool.start("seat1");
  assertEquals(fixture.read(pool.image("seat1"))["junk"], undefined);
});

Deno.test("a file that no note tells of keeps a merge waiting, too", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.commit("second");
  Deno.removeSync(`${fixture.config}/seat1.seats`);
  Deno.removeSync(`${fixture.config}/seat1.json`);
  const { log } = await pool.merge();
  assertStringIncludes(log.join("\n"), "stands there, and no note tells of it");
  assertEquals(pool.layers, [0, 1]);
  Deno.removeSync(pool.image("seat1"));
  assertEquals((await pool.merge()).code, 0);
  assertEquals(pool.layers, [1]);
});

Deno.test("what a power cut left is set aside, and keeps the layer that it stands on until its guest's next start", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("second");
  await pool.start("seat1");
  await pool.start("seat2");
  await pool.stop("seat2", "saved");
  await pool.commit("third");
  fixture.busy.clear();
  fixture.booted = LATER;
  await pool.merge();
  assertEquals(pool.record("seat1"), undefined);
  assertEquals(pool.record("seat2")?.layer, 1, "a saved guest may come back");
  assertEquals(pool.layers, [1, 2], "what is below it is merged");
  await fixture.type(["recover", "seat2", "--discard", "--yes"]);
  await pool.start("seat1");
  await pool.stop("seat1");
  await pool.merge();
  assertEquals(pool.layers, [2]);
});

Deno.test("a session whose end was cut short in this boot is set aside: it may have been saved", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.commit("second");
  fixture.busy.clear();
  await pool.merge();
  assertEquals(pool.record("seat1")?.waits, undefined, "its end may be told yet");
  Deno.utimeSync(pool.image("seat1"), LONG_AGO, LONG_AGO);
  await pool.merge();
  assertEquals(pool.record("seat1"), undefined);
  await pool.event("seat1", "restore");
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
});

Deno.test("a running guest is not taken for dead", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.commit("second");
  await pool.merge();
  assertEquals(pool.record("seat1")?.layer, 0);
  fixture.busy.clear();
  Deno.writeTextFileSync(`${fixture.settings.liveFolder}/seat1.xml`, "<domstatus/>");
  await pool.merge();
  assertEquals(pool.record("seat1")?.layer, 0);
});

Deno.test("a seat's session is set aside where that is configured, until its guest is up again", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  pool.configure("seat1", { "keep-session": true });
  await pool.start("seat1");
  await pool.stop("seat1");
  const ended = `${pool.image("seat1")}.autorevert-ended`;
  assertEquals(fixture.read(ended)["by seat1"], "yes");
  await pool.commit("second", {});
  assertEquals(pool.layers, [0, 1], "it stands on the base");
  assertEquals((await pool.event("seat1", "prepare")).code, 0);
  assert(exists(ended));
  await pool.event("seat1", "started");
  assert(!exists(ended));
});

Deno.test("without a reason, a session may have been saved to a file", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.stop("seat1", "-");
  await pool.commit("second", {});
  await pool.event("seat1", "restore");
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
  assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
});

Deno.test("a start in place of a saved guest sets its session aside", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  fixture.write(pool.image("seat1"), "saved");
  await pool.stop("seat1", "saved");
  await pool.commit("second");
  assertEquals((await pool.event("seat1", "prepare")).code, 0);
  assertEquals(pool.version("seat1"), "second");
  await pool.event("seat1", "release", "failed");
  await pool.event("seat1", "restore");
  await pool.start("seat1");
  assertEquals(fixture.read(pool.image("seat1"))["saved"], "yes");
});

Deno.test("a seat is refused where the master can't be one", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  const refusal = async (seat: string) => (await pool.event(seat, "prepare")).said[0];
  pool.configure("seat1", { master: pool.image("seat1") });
  assertStringIncludes(await refusal("seat1") ?? "", "is the seat's own image");
  pool.configure("seat1", { master: `${pool.master}.backing_file` });
  assertStringIncludes(await refusal("seat1") ?? "", "has the name of a layer");
  pool.configure("seat1", { master: fixture.image("gone") });
  assertStringIncludes(await refusal("seat1") ?? "", "there is no master");
  pool.configure("seat1", { master: "/etc/passwd" });
  assertStringIncludes(await refusal("seat1") ?? "", "outside the permitted folders");
  await pool.start("seat2");
  pool.configure("seat1", { master: pool.image("seat2") });
  assertStringIncludes(await refusal("seat1") ?? "", 'is a seat of the guest "seat2"');
  pool.configure("seat1", { "one-shot-commit": true });
  assertStringIncludes(await refusal("seat1") ?? "", "is committed by its own guest");
  fixture.busy.delete(pool.image("seat2"));
  await pool.stop("seat2");
});

Deno.test("a master that is written to as it is, by a guest without the hook, is no master yet", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  fixture.busy.add(pool.master);
  const { code, said } = await pool.event("seat1", "prepare");
  assertEquals(code, 1);
  assertStringIncludes(said[0]!, "is being written to, not by a session of this hook");
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("the layer of a master that seats know never becomes plain by its own guest's end", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await fixture.start();
  fixture.write(pool.master, "junk");
  await fixture.stop();
  assertEquals(pool.layers, [0]);
  assertEquals(pool.version("seat1"), "first");
  await pool.stop("seat1");
  await fixture.start();
  await fixture.stop();
  assertEquals(pool.layers, [0]);
});

Deno.test("a start whose overlay can't be made leaves no seat behind", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  fixture.full.add(`${pool.image("seat1")}.autorevert-new`);
  assertEquals((await pool.event("seat1", "prepare")).code, 1);
  assert(pool.isIdle("seat1"));
  await pool.event("seat1", "release", "failed");
  fixture.full.clear();
  await pool.start("seat1");
});

Deno.test("a seat that starts interrupts a merge, which goes on at its end", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.stop("seat1");
  await pool.commit("second");
  const { log } = await pool.start("seat1");
  assert(log.length > 0);
  assertEquals((await pool.stop("seat1", "shutdown", { domain: "seat1" })).merge?.code, 0);
  assertEquals(pool.layers, [1]);
  assertEquals(DOMAIN, "guest");
});

/** The words of a command, with all that it says. */
async function typed(fixture: Fixture, ...words: string[]): Promise<{ code: number; text: string }> {
  const { code, said, printed } = await fixture.type(
    [...words, "--yes"].filter((word) => word !== "--yes" || ["undo", "recover"].includes(words[0]!)),
  );
  return { code, text: [...printed, ...said].join("\n") };
}

Deno.test("enable --master lists a seat, after a look at the master", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1"]);
  Deno.removeSync(`${fixture.config}/seat1.json`);
  const wrong = await typed(fixture, "enable", "seat1", "vda", "--master", fixture.image("gone"));
  assertEquals(wrong.code, 1);
  assertStringIncludes(wrong.text, "there is no master");
  const { code, text } = await typed(fixture, "enable", "seat1", "vda", "--master", pool.master, "--preview");
  assertEquals([code, text], [0, `seat1 vda: every start begins with "${pool.master}" from the next one on`]);
  assertEquals(JSON.parse(Deno.readTextFileSync(`${fixture.config}/seat1.json`)), {
    disks: [{ target: "vda", master: pool.master, preview: true }],
  });
  await typed(fixture, "enable", "seat1", "vda", "--no-preview", "--keep-session");
  assertEquals(JSON.parse(Deno.readTextFileSync(`${fixture.config}/seat1.json`)), {
    disks: [{ target: "vda", master: pool.master, preview: false, "keep-session": true }],
  });
  assertStringIncludes(
    (await typed(fixture, "enable", "guest", "vda", "--master", pool.master)).text,
    "can't be a seat, too",
  );
});

Deno.test("commits are made by the master's guest, and commands on a seat say so", async () => {
  using fixture = new Fixture();
  new Pool(fixture);
  for (const verb of ["commit", "keep", "undo", "merge", "publish"]) {
    const { code, text } = await typed(fixture, verb, "seat1");
    assertEquals(code, 1);
    assertStringIncludes(text, "is committed by its own guest");
    assertStringIncludes(text, `hint: autorevert ${verb} guest`);
  }
});

Deno.test("the last seat that is taken out lets its master be an ordinary disk", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1", "seat2"]);
  await pool.start("seat1");
  await pool.commit("second");
  await pool.commit("third");
  const refused = await typed(fixture, "disable", "guest");
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.text, "it is the master of seats: seat1 vda, seat2 vda");
  await typed(fixture, "disable", "seat2");
  assertEquals((await typed(fixture, "disable", "seat1")).text.includes("still thrown away"), true);
  assertEquals(pool.layers, [0, 1, 2]);
  assertEquals((await pool.stop("seat1")).merge?.code, 0);
  assertEquals(fixture.files(), ["vda.img"]);
  assertEquals(pool.of(fixture.disk("vda")), "third");
});

Deno.test("status says which version a seat runs on, and check who is in the way of a merge", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  pool.live("seat1");
  await pool.commit("second");
  await pool.commit("third");
  const { text } = await typed(fixture, "status");
  assertStringIncludes(text, "running on a session, of vda.img, 2 commits behind");
  assertStringIncludes(text, "clean, a seat of vda.img");
  assertStringIncludes(text, "2 commits waiting to be merged, for the end of seat1; a seat stands on it");
  const json = JSON.parse((await typed(fixture, "status", "--json")).text);
  const disks = json.guests.flatMap(({ disks }: { disks: { seat?: unknown }[] }) => disks);
  assertEquals(disks[1].seat, { master: pool.master, layer: 0, behind: 2 });
  assertEquals([disks[0].stoodOnBy, disks[0].waitsFor], [1, ["seat1"]]);
  const check = await typed(fixture, "check");
  assertStringIncludes(
    check.text,
    '2 commits wait to be merged: the merge waits for the end of those who stand on the layers: "seat1" runs',
  );
});

Deno.test("check warns of a master whose guest is not listed", async () => {
  using fixture = new Fixture();
  new Pool(fixture);
  Deno.removeSync(fixture.configFile);
  const { text } = await typed(fixture, "check");
  assertStringIncludes(text, 'is vda of "guest", which is not listed');
  assertStringIncludes(text, "autorevert enable guest vda");
});

Deno.test("publish moves all seats on, or back", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  fixture.keys = { "keep-commits": 3 };
  fixture.configure({ vda: false });
  assertStringIncludes((await typed(fixture, "publish", "guest")).text, "enable guest TARGET --by-hand");
  fixture.keys = { "keep-commits": 3, publish: "by hand" };
  await pool.commit("second");
  await pool.commit("third");
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
  assertEquals((await typed(fixture, "publish", "guest")).code, 0);
  await pool.start("seat2");
  assertEquals([pool.version("seat1"), pool.version("seat2")], ["first", "third"]);
  await pool.stop("seat2");
  const undo = await typed(fixture, "undo", "guest");
  assertStringIncludes(undo.text, "the commit is the published version");
  assertStringIncludes(undo.text, "autorevert publish --back guest");
  assertEquals((await typed(fixture, "publish", "guest", "--back")).code, 0);
  await pool.start("seat2");
  assertEquals(pool.version("seat2"), "second");
  assertEquals((await typed(fixture, "undo", "guest")).code, 0);
});

Deno.test("recover --discard throws a seat's session away, of a guest that is shut off", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  assertStringIncludes(
    (await typed(fixture, "recover", "seat1", "--discard")).text,
    "is open in another process",
  );
  await pool.stop("seat1", "saved");
  await pool.commit("second");
  assertEquals((await typed(fixture, "recover", "seat1", "--discard")).code, 0);
  assert(pool.isIdle("seat1"));
  await pool.merge();
  assertEquals(pool.layers, [1]);
});

Deno.test("a master that is not listed any more does not start as long as seats stand on it", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.commit("second");
  fixture.configureText(JSON.stringify({ disks: [{ target: "vdb" }] }));
  Deno.removeSync(fixture.configFile);
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  assertStringIncludes(said[0]!, "seats stand on");
  assertEquals(pool.version("seat1"), "first");
});

Deno.test("a start asks a merge of the master to stop, whichever guest it is of, before it stands on a layer", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("second");
  using merge = await pool.mergingUntilAsked(
    pool.master,
    () => assertEquals(pool.record("seat1"), undefined),
  );
  await pool.start("seat1");
  assert(merge.asked);
});

Deno.test("a dry run of a start shows what it would do, and changes nothing", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  const before = fixture.files();
  const { code, shown } = await pool.event("seat1", "prepare", "-", { dry: true });
  assertEquals(code, 0);
  const verbs = shown.map((line) => line.split(": ")[1]!.split(" ")[0]);
  assertEquals(verbs, ["new", "mark", "link", "note", "create", "own", "sync", "note", "rename", "note"]);
  assertEquals([fixture.files(), fixture.files(fixture.config).includes("seat1.seats")], [before, false]);
});

Deno.test("a guest may have a seat beside a disk that is managed for itself: both begin, or none", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1"]);
  fixture.save(fixture.image("own"), null, { own: "yes" });
  const xml = domainXml([diskXml("vda", pool.image("seat1")), diskXml("vdb", fixture.image("own"))]);
  Deno.writeTextFileSync(
    `${fixture.config}/seat1.json`,
    JSON.stringify({ disks: [{ target: "vda", master: pool.master }, { target: "vdb" }] }),
  );
  const event = (operation: string, extra = "-") => fixture.event(operation, extra, { xml, domain: "seat1" });
  fixture.full.add(`${fixture.image("own")}.autorevert-new`);
  assertEquals((await event("prepare")).code, 1);
  assert(pool.isIdle("seat1"));
  await event("release", "failed");
  fixture.full.clear();
  assertEquals((await event("prepare")).said, []);
  await event("started");
  assertEquals(fixture.backingOf(fixture.image("own")), `${fixture.image("own")}.backing_file`);
  assertEquals(pool.record("seat1")?.layer, 0);
  assertEquals((await event("release", "shutdown")).said, []);
  assert(pool.isIdle("seat1"));
  assertEquals(fixture.read(fixture.image("own")), { own: "yes" });
  assertEquals(fixture.files(fixture.config).filter((name) => /\.(session|seats|starting)$/.test(name)), []);
});

Deno.test("commits are kept however many layers wait for a seat", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1"]);
  await pool.start("seat1");
  for (let number = 1; number <= 20; number++) await pool.commit(`${number}`, {});
  assertEquals(pool.layers.length, 21);
  assertEquals(pool.of(fixture.disk("vda")), "20");
  assertEquals(pool.version("seat1"), "first");
  await pool.stop("seat1");
  assertEquals(pool.layers, [20]);
});

Deno.test("a lease of a start that came to nothing ends with the host, also where libvirt knows no such domain", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1"]);
  await pool.start("seat1");
  await pool.commit("second");
  fixture.busy.clear();
  Deno.removeSync(`${fixture.settings.definedFolder}/seat1.xml`);
  fixture.booted = LATER;
  await pool.merge();
  assertEquals(pool.layers, [0, 1], "a file is there, and nobody can tell what stands on it");
  Deno.removeSync(pool.image("seat1"));
  await pool.merge();
  assertEquals([pool.layers, pool.record("seat1")], [[1], undefined]);
});

Deno.test("between the start and the coming up of a guest that was saved, no merge takes the layers that it opens", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("second");
  await pool.commit("third");
  await pool.start("seat1");
  await pool.stop("seat1", "saved", { mergeDies: true });
  await pool.event("seat1", "restore");
  assertEquals((await pool.event("seat1", "prepare")).code, 0);
  fixture.busy.add(pool.image("seat1"));
  assertEquals(pool.layers, [0, 1, 2]);
  await pool.merge();
  assertEquals(pool.layers, [0, 1, 2], "merged below a guest that is starting");
});

Deno.test("nor does one that the end of another seat would start", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("second");
  await pool.commit("third");
  await pool.start("seat2");
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  await pool.event("seat1", "restore");
  assertEquals((await pool.event("seat1", "prepare")).code, 0);
  fixture.busy.add(pool.image("seat1"));
  assertEquals(pool.layers, [0, 1, 2]);
  await pool.stop("seat2");
  assertEquals(pool.layers, [0, 1, 2], "merged below a guest that is starting");
});

Deno.test("a start that is refused after it has stopped a merge has it go on", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("second");
  using merge = await pool.mergingUntilAsked();
  const started: string[] = [];
  const background = (domain: string) => void started.push(domain);
  const { code, said } = await pool.event("seat1", "prepare", "-", {
    background,
    perform: (inner) => (step, control) => {
      if (step.kind === "seats") return Promise.reject(new Error("No space left on device"));
      return inner(step, control);
    },
  });
  assert(merge.asked);
  assertEquals(code, 1, said.join());
  await pool.event("seat1", "release", "failed", { background });
  assertEquals(started, [DOMAIN]);
});

Deno.test("a seat that was restored, has left and is over elsewhere does not keep the end of others from starting the merge", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  await pool.event("seat1", "restore");
  await pool.start("seat1");
  await pool.start("seat2");
  await pool.commit("second", {});
  await pool.stop("seat1", "migrated");
  Deno.removeSync(pool.image("seat1"));
  assertEquals((await pool.stop("seat2")).merge?.code, 0, "no merge was started");
  assertEquals(pool.layers, [1]);
});

Deno.test("after a power cut, the end of the last seat that runs starts the merge", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("zero");
  await pool.start("seat1");
  await pool.start("seat2");
  await pool.commit("second", {});
  fixture.busy.clear();
  fixture.booted = LATER;
  fixture.now = () => new Date(LATER.getTime() + 1000);
  await pool.start("seat2");
  const { merge } = await pool.stop("seat2");
  assert(merge !== undefined, "a dead seat's note");
  assertEquals(pool.layers, [1, 2], "the dead one is set aside, and keeps what it stands on");
});

Deno.test("a guest that was saved in the moment of a power cut still finds its session after a merge", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.commit("second");
  fixture.busy.clear();
  // The memory is saved to a file; the power fails while the hook is about to note it.
  await pool.event("seat1", "release", "saved", {
    perform: () => () => Promise.reject(new Error("power cut")),
  });
  fixture.booted = LATER;
  await pool.merge();
  await pool.event("seat1", "restore");
  const { code, said } = await pool.event("seat1", "prepare");
  assertEquals([code, said], [0, []]);
});

Deno.test("a read-only snapshot of the images in a hidden folder keeps no merge waiting", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  fixture.keys = { "keep-commits": 0 };
  await pool.commit("second");
  await pool.start("seat1");
  const folder = `${fixture.images}/.snapshots/1/snapshot`;
  Deno.mkdirSync(folder, { recursive: true });
  Deno.copyFileSync(pool.image("seat1"), `${folder}/seat1.img`);
  await pool.stop("seat1");
  await pool.commit("third", {});
  await pool.merge();
  assertEquals(pool.layers, [2]);
});

Deno.test("nor an undo", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  fixture.keys = { "keep-commits": 3 };
  await pool.commit("second");
  await pool.start("seat1");
  const folder = `${fixture.images}/.snapshots/1/snapshot`;
  Deno.mkdirSync(folder, { recursive: true });
  Deno.copyFileSync(pool.image("seat1"), `${folder}/seat1.img`);
  await pool.stop("seat1");
  assertEquals((await fixture.command("undo")).said, []);
});

Deno.test("a guest that has nothing to do with seats can be disabled, whatever stands on its layers", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: false });
  fixture.define();
  await fixture.start();
  // A copy of the session, made by an administrator.
  Deno.copyFileSync(fixture.vda, `${fixture.images}/copy.img`);
  await fixture.stop();
  const { code, said, printed } = await fixture.type(["disable", DOMAIN]);
  assertEquals([code, said], [0, []], printed.join("\n"));
});

Deno.test("and beside a configuration that is not valid", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: false });
  fixture.define();
  Deno.writeTextFileSync(`${fixture.config}/other.json`, '{"disks": {"target": "vda", "master": "/x"}}');
  await fixture.start();
  await fixture.stop();
  const { code, said, printed } = await fixture.type(["disable", DOMAIN]);
  assertEquals([code, said], [0, []], printed.join("\n"));
});

Deno.test("what is published by hand is not forgotten when the last seat is taken out and put in again", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1"]);
  fixture.keys = { publish: "by hand", "keep-commits": 5 };
  fixture.configure({ vda: false });
  await pool.commit("second");
  await pool.commit("third");
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
  await pool.stop("seat1");
  await fixture.type(["disable", "seat1"]);
  await fixture.type(["enable", "seat1", "vda", "--master", pool.master]);
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
});

Deno.test("a session of a master by hand that is kept afterwards is not published", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1"]);
  fixture.keys = { "keep-session": true, "keep-commits": 5 };
  fixture.configure({ vda: false });
  await pool.start("seat1");
  await pool.stop("seat1");
  await fixture.start();
  fixture.write(pool.master, "version", "second");
  fixture.keys = { "keep-session": true, "keep-commits": 5, publish: "by hand" };
  fixture.configure({ vda: false });
  await fixture.stop();
  const kept = await fixture.command("keep");
  assertEquals(kept.code, 0, kept.said.join());
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
});

Deno.test("a restore of a seat whose master was changed asks the old one's merge to stop", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("second");
  await pool.start("seat1");
  await pool.stop("seat1", "saved", { mergeDies: true });
  fixture.save(fixture.image("new"), null, { version: "new" });
  pool.configure("seat1", { master: fixture.image("new") });
  using merge = await pool.mergingUntilAsked();
  await pool.event("seat1", "restore");
  const { code, said } = await pool.event("seat1", "prepare");
  assertEquals([code, said], [0, []]);
  assertEquals(pool.record("seat1")?.master, pool.master);
  assert(merge.asked, "the merge of what it stands on goes on");
});

Deno.test("a master whose seats are gone, and which is not listed any more, is plain after a life", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1"]);
  await pool.start("seat1");
  await pool.stop("seat1");
  Deno.removeSync(`${fixture.config}/seat1.json`);
  await fixture.start();
  await fixture.stop();
  await fixture.type(["disable", DOMAIN]);
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("a guest whose coming up was not noted is not taken for saved", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.commit("second");
  await pool.commit("third");
  await pool.start("seat1");
  await pool.stop("seat1", "saved", { mergeDies: true });
  await pool.event("seat1", "restore");
  assertEquals((await pool.event("seat1", "prepare")).code, 0);
  await pool.event("seat1", "started", "-", { perform: () => () => Promise.reject(new Error("killed")) });
  fixture.busy.add(pool.image("seat1"));
  fixture.run();
  Deno.writeTextFileSync(`${fixture.settings.liveFolder}/seat1.xml`, `<domstatus state='running'/>`);
  await pool.merge();
  assertEquals(pool.layers, [0, 1, 2]);
});

Deno.test("a guest that was renamed after a power cut starts", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture, ["seat1"]);
  await pool.start("seat1");
  fixture.busy.clear();
  fixture.booted = LATER;
  const xml = pool.xml("seat1");
  Deno.renameSync(`${fixture.config}/seat1.json`, `${fixture.config}/seat9.json`);
  Deno.renameSync(
    `${fixture.settings.definedFolder}/seat1.xml`,
    `${fixture.settings.definedFolder}/seat9.xml`,
  );
  const { code, said } = await fixture.event("prepare", "-", { xml, domain: "seat9" });
  assertEquals([code, said], [0, []]);
  assertEquals(fixture.files(fixture.config).filter((name) => name.endsWith(".seats")), ["seat9.seats"]);
});

Deno.test("a saved seat is not made a disk of its own, by a command or an editor", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  await typed(fixture, "disable", "seat1");
  const { code, text } = await typed(fixture, "enable", "seat1", "vda");
  assertEquals(code, 1);
  assertStringIncludes(text, "a session of it stands on");
  Deno.writeTextFileSync(`${fixture.config}/seat1.json`, JSON.stringify({ disks: [{ target: "vda" }] }));
  await pool.event("seat1", "restore");
  const refused = await pool.event("seat1", "prepare");
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.said[0]!, "is listed as a disk of its own");
  assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
});

Deno.test("recover --discard leaves a seat that is being started", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.event("seat1", "prepare");
  await fixture.type(["recover", "seat1", "--discard", "--yes"]);
  assert(exists(pool.image("seat1")));
});

Deno.test("a seat that was restored in this boot is not taken for one of an earlier boot", async () => {
  using fixture = new Fixture();
  const pool = new Pool(fixture);
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  await new Promise((wake) => setTimeout(wake, 20));
  fixture.booted = new Date();
  await new Promise((wake) => setTimeout(wake, 20));
  await pool.event("seat1", "restore");
  await pool.start("seat1");
  await pool.commit("second", {});
  // It is saved to a file: QEMU has ended, and the merge comes before the hook.
  fixture.busy.clear();
  await pool.merge();
  assertEquals(pool.record("seat1")?.layer, 0, "its end may be told yet");
  await pool.event("seat1", "release", "saved");
  await pool.event("seat1", "restore");
  assertEquals((await pool.event("seat1", "prepare")).said, []);
  assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
});
