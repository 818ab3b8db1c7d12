/** An image on which another guest has begun a session since: nothing of it is taken for this guest's. */

import { assertEquals } from "@std/assert";
import { Fixture } from "./fixture.ts";
import { diskXml, domainXml } from "./xml.ts";

/** The guest gets another image, and its old one another guest, which runs on it. */
async function handOn(fixture: Fixture, keys: Readonly<Record<string, unknown>>) {
  const { vda } = fixture;
  fixture.save(fixture.image("new"), null, { base: "new" });
  fixture.sources.set("vda", fixture.image("new"));
  fixture.define();
  const other = { domain: "other", xml: domainXml([diskXml("vda", vda)]) };
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/other.xml`, other.xml);
  const disks = [{ target: "vda", ...keys }];
  Deno.writeTextFileSync(`${fixture.config}/other.json`, JSON.stringify({ disks }));
  await fixture.good("prepare", "-", other);
  await fixture.good("started", "-", { domain: "other" });
  fixture.write(vda, "theirs");
  return other;
}

for (const reason of ["saved", "died in maintenance"]) {
  Deno.test(`what check says of an image that was handed on throws no session of its new guest away: ${reason}`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    // Before libvirt 10.5, a shutdown: it may have been a save.
    await fixture.stop("-");
    const { vda } = fixture;
    const other = await handOn(fixture, { "one-shot-commit": reason !== "saved" });
    if (reason === "saved") await fixture.good("release", "saved", other);
    else fixture.boot();
    const { printed } = await fixture.type("check guest");
    const [, words] = /autorevert (recover [^;\n]*)/.exec(printed.join("\n")) ?? [];
    if (words !== undefined) await fixture.type(`${words.replace("--keep|--discard", "--discard")} --yes`);
    if (reason === "saved") await fixture.event("restore", "-", { domain: "other" });
    const { code, said } = await fixture.event("prepare", "-", other);
    assertEquals([code, said], [0, []], words);
    assertEquals(fixture.read(vda), { base: "vda", theirs: "yes" }, words);
  });
}

/** Two guests that have one image; before libvirt 10.5 the first one's end may have been a save. */
async function twoGuests(flagged: boolean) {
  const fixture = new Fixture();
  fixture.keys = { "keep-commits": 2 };
  fixture.disks({ vda: false }).define();
  fixture.define("other");
  await fixture.start();
  await fixture.stop("-");
  const disks = [{ target: "vda", "one-shot-commit": flagged, "keep-commits": 2 }];
  Deno.writeTextFileSync(`${fixture.config}/other.json`, JSON.stringify({ disks }));
  const other = { domain: "other" };
  await fixture.good("prepare", "-", other);
  await fixture.good("started", "-", other);
  fixture.write(fixture.vda, "theirs");
  return { fixture, other };
}

Deno.test("what check says of an image that two guests have throws no session of the other one away", async () => {
  const { fixture, other } = await twoGuests(true);
  using _fixture = fixture;
  // The power fails in the other guest's maintenance.
  fixture.boot();
  const { printed } = await fixture.type("check guest");
  const [, words] = /autorevert (recover --discard guest[^;\n]*)/.exec(printed.join("\n")) ?? [];
  if (words !== undefined) await fixture.type(`${words} --yes`);
  await fixture.good("prepare", "-", other);
  assertEquals(fixture.read(fixture.vda), { base: "vda", theirs: "yes" }, words);
});

Deno.test("keep does what it says where another guest has had the image since", async () => {
  const { fixture, other } = await twoGuests(false);
  using _fixture = fixture;
  await fixture.good("release", "-", other);
  const { code, printed } = await fixture.type("keep guest --yes");
  assertEquals([code, printed], [1, []]);
});

Deno.test("undo does what it says where another guest has had the image since", async () => {
  const { fixture, other } = await twoGuests(true);
  using _fixture = fixture;
  await fixture.good("release", "shutdown", other);
  const { code, printed } = await fixture.type("undo guest --yes");
  assertEquals([code, printed], [1, []]);
});

Deno.test("the commits that another guest keeps on an image are not merged for the guest that had it before", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  await fixture.stop("-");
  const other = await handOn(fixture, { "one-shot-commit": true, "keep-commits": 3 });
  await fixture.good("release", "shutdown", other);
  await fixture.type("merge guest");
  const undone = await fixture.type("undo other --yes");
  assertEquals([undone.code, undone.said], [0, []]);
});

for (const left of ["died", "set aside"]) {
  Deno.test(`a guest that was undefined with its storage is forgotten by the command that disable names: its session ${left}`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    await fixture.start();
    if (left === "set aside") await fixture.stop("-");
    else fixture.boot();
    for (const name of fixture.files()) Deno.removeSync(`${fixture.images}/${name}`);
    Deno.removeSync(`${fixture.settings.definedFolder}/guest.xml`);
    const { printed } = await fixture.type("disable guest");
    const [, command] = /if it is gone for good, autorevert (.*)$/.exec(printed.join())!;
    assertEquals((await fixture.type(`${command} --yes`)).code, 0);
    assertEquals(fixture.files(fixture.config).filter((name) => name.endsWith(".session")), []);
  });
}
