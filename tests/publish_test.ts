/** Which versions of a master `publish` gives to seats, and which it refuses. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { dyingAt } from "./fault.ts";
import { Fixture } from "./fixture.ts";
import { type Pool, poolTest } from "./pool.ts";
import { diskXml, domainXml } from "./xml.ts";

/** A master by hand, on which a seat has run, with two commits. */
async function commitTwo(pool: Pool, fixture: Fixture): Promise<void> {
  fixture.keys = { publish: "by hand", "keep-commits": 3 };
  fixture.configure({ vda: false });
  await pool.start("seat1");
  await pool.stop("seat1");
  for (const version of ["one", "two"]) await pool.commit(version);
}

poolTest(
  "publish of a disk that the guest hasn't says so, and does nothing for another one",
  1,
  async (pool, fixture) => {
    await commitTwo(pool, fixture);
    for (const words of ["publish guest vdx", "publish guest vda vdx"]) {
      const { code, said } = await fixture.type(words);
      assertEquals(code, 1, words);
      assertStringIncludes(said.join("\n"), 'the guest has no disk "vdx"', words);
    }
  },
);

poolTest(
  "no seat begins with a commit that an undo which was cut short is about to take",
  1,
  async (pool, fixture) => {
    await commitTwo(pool, fixture);
    fixture.configure({ vda: false });
    await fixture.type("undo guest --yes", true, { perform: dyingAt("remove") });
    await fixture.type("publish guest");
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await fixture.type("recover guest");
    const { code, said } = await (async () => {
      await pool.event("seat1", "restore");
      return await pool.event("seat1", "prepare");
    })();
    assertEquals([code, said], [0, []]);
  },
);

Deno.test("seats never begin with versions of a guest's disks that were not there together: publish --back", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3, publish: "by hand" };
  fixture.disks({ vda: false, vdb: false }).define();
  const targets = ["vda", "vdb"];
  const xml = domainXml(targets.map((target) => diskXml(target, fixture.image(`seat-${target}`))));
  const disks = targets.map((target) => ({ target, master: fixture.image(target) }));
  Deno.writeTextFileSync(`${fixture.config}/seat.json`, JSON.stringify({ disks }));
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat.xml`, xml);
  const versions = async () => {
    await fixture.good("prepare", "-", { domain: "seat", xml });
    await fixture.good("started", "-", { domain: "seat" });
    const read = targets.map((target) => fixture.read(fixture.image(`seat-${target}`))["version"] ?? "none");
    await fixture.good("release", "shutdown", { domain: "seat", xml });
    return read.join(" ");
  };
  const session = async (version: string, ...flagged: string[]) => {
    fixture.configure(Object.fromEntries(targets.map((target) => [target, flagged.includes(target)])));
    await fixture.start();
    for (const target of flagged) fixture.write(fixture.image(target), "version", version);
    await fixture.event("release", "shutdown", { mergeDies: true });
    await fixture.type("publish guest");
  };
  const seen = [await versions()];
  await session("1", "vda", "vdb");
  seen.push(await versions());
  await session("2", "vda");
  seen.push(await versions());
  assertEquals(seen, ["none none", "1 1", "2 1"]);
  await fixture.type("publish --back guest");
  assertEquals(await versions(), "1 1");
});
