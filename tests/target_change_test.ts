/** Disks whose targets change between two sessions, as `virsh edit` does: a flag names a target, but is meant for a session. */

import { assertEquals } from "@std/assert";
import { dyingAt } from "./fault.ts";
import { exists, Fixture } from "./fixture.ts";

/** Two disks, of which the first may be flagged, in a session in which both were written to. */
async function bothUp(flag: boolean): Promise<{ fixture: Fixture; first: string; second: string }> {
  const fixture = new Fixture().disks({ vda: flag, vdb: false });
  fixture.define();
  await fixture.start();
  const [first, second] = [fixture.vda, fixture.image("vdb")];
  for (const image of [first, second]) fixture.write(image, "session");
  return { fixture, first, second };
}

/** The domain names these images now. */
function edit(fixture: Fixture, sources: Readonly<Record<string, string>>): void {
  fixture.sources.clear();
  for (const [target, image] of Object.entries(sources)) fixture.sources.set(target, image);
  fixture.define();
}

function hasSession(fixture: Fixture, image: string): boolean {
  return fixture.read(image).session === "yes";
}

for (const isCrash of [true, false]) {
  const after = isCrash ? "a crash" : "a power cut";
  for (const isMoved of [false, true]) {
    const flag = isMoved ? "its flag with it" : "its flag stays";
    Deno.test(`a session flagged by an editor is kept or set aside after ${after}, where two targets change, ${flag}`, async () => {
      const { fixture, first, second } = await bothUp(false);
      using _fixture = fixture;
      fixture.configure({ vda: true, vdb: false });
      if (isCrash) await fixture.stop("crashed");
      edit(fixture, { vda: second, vdb: first });
      if (isMoved) fixture.configure({ vda: false, vdb: true }, new Date());
      await fixture.start();
      const aside = `${first}.autorevert-ended`;
      assertEquals(hasSession(fixture, exists(aside) ? aside : first), true);
    });
  }

  for (const isNew of [false, true]) {
    const what = isNew ? "a new disk has" : "the other disk has";
    Deno.test(`a session that was to be committed goes on after ${after}, though ${what} its target, and no other one`, async () => {
      const { fixture, first, second } = await bothUp(true);
      using _fixture = fixture;
      if (isCrash) await fixture.stop("crashed");
      const other = isNew ? `${fixture.images}/new.img` : second;
      if (isNew) fixture.save(other, null, { base: "new" });
      edit(fixture, { vda: other, vdb: first });
      await fixture.start();
      assertEquals([hasSession(fixture, first), hasSession(fixture, other)], [true, false]);
      await fixture.stop();
      assertEquals([hasSession(fixture, first), hasSession(fixture, other)], [true, false]);
      assertEquals(fixture.flags(), { vda: false, vdb: false });
    });
  }
}

Deno.test("a session flagged by an editor is not thrown away where its disk has a target that is not listed", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const other = `${fixture.images}/other.img`;
  fixture.save(other, null, { base: "other" });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.configure({ vda: true });
  edit(fixture, { vda: other, vdb: fixture.vda });
  const { said } = await fixture.event("prepare");
  assertEquals(
    said[1],
    "hint: put the configuration back, or end the session: autorevert recover --keep|--discard guest vda",
  );
  assertEquals(hasSession(fixture, fixture.vda), true);
});

for (const isListed of [false, true]) {
  Deno.test(`a commit that was cut short uses up the flag of the target that it had, ${isListed ? "which is another disk's now" : "listed no more"}`, async () => {
    const { fixture, first, second } = await bothUp(true);
    using _fixture = fixture;
    await fixture.event("stopped", "shutdown");
    await fixture.event("release", "shutdown", { perform: dyingAt("clear") });
    edit(fixture, isListed ? { vda: second, vdb: first } : { sda: first, vdb: second });
    if (!isListed) fixture.configure({ sda: true, vdb: false }, new Date());
    await fixture.start();
    for (const image of [first, second]) fixture.write(image, "next");
    await fixture.stop();
    assertEquals(fixture.read(first), { base: "vda", session: "yes", ...!isListed && { next: "yes" } });
    assertEquals(fixture.read(second), { base: "vdb" });
  });
}
