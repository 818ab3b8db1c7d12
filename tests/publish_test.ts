/** Which versions of a master `publish` gives to seats, and which it refuses. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { atEveryStep, dyingAt } from "./fault.ts";
import { Fixture } from "./fixture.ts";
import { type Pool, poolTest } from "./pool.ts";
import { namesOf } from "../lib/state/paths.ts";
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

for (const then of ["publish guest", "enable guest vda --no-by-hand"]) {
  poolTest(
    `the name of another version that a backup has brought back goes with what is published: ${then}`,
    1,
    async (pool, fixture) => {
      await commitTwo(pool, fixture);
      await fixture.type("publish guest");
      const { published } = namesOf(pool.master);
      Deno.writeTextFileSync(published(1), "");
      await pool.commit("three");
      assertEquals((await fixture.type(then)).said, []);
      await pool.start("seat1");
      assertEquals(pool.version("seat1"), "three");
    },
  );
}

/** A guest with two disks that are published by hand, and a seat that has both as masters. */
class TwoMasters implements Disposable {
  readonly fixture = new Fixture();
  readonly #targets = ["vda", "vdb"];
  readonly #xml: string;

  constructor() {
    const { fixture } = this;
    fixture.keys = { "keep-commits": 3, publish: "by hand" };
    fixture.disks({ vda: false, vdb: false }).define();
    this.#xml = domainXml(this.#targets.map((target) => diskXml(target, fixture.image(`seat-${target}`))));
    const disks = this.#targets.map((target) => ({ target, master: fixture.image(target) }));
    Deno.writeTextFileSync(`${fixture.config}/seat.json`, JSON.stringify({ disks }));
    Deno.writeTextFileSync(`${fixture.settings.definedFolder}/seat.xml`, this.#xml);
  }

  /** What the seat finds in a life, or why it doesn't start. */
  async versions(): Promise<string> {
    const { fixture } = this;
    const { code, said } = await fixture.event("prepare", "-", { domain: "seat", xml: this.#xml });
    if (code !== 0) {
      await fixture.event("release", "failed", { domain: "seat", xml: this.#xml });
      return said.join("\n");
    }
    await fixture.good("started", "-", { domain: "seat" });
    const read = this.#targets.map((target) =>
      fixture.read(fixture.image(`seat-${target}`))["version"] ?? "none"
    );
    await fixture.good("release", "shutdown", { domain: "seat", xml: this.#xml });
    return read.join(" ");
  }

  /** A session of the masters' guest, of which these disks are committed. */
  async session(version: string, ...flagged: string[]): Promise<void> {
    const { fixture } = this;
    fixture.configure(Object.fromEntries(this.#targets.map((target) => [target, flagged.includes(target)])));
    await fixture.start();
    for (const target of flagged) fixture.write(fixture.image(target), "version", version);
    await fixture.event("release", "shutdown", { mergeDies: true });
    fixture.configure({ vda: false, vdb: false });
  }

  [Symbol.dispose](): void {
    this.fixture[Symbol.dispose]();
  }
}

Deno.test("seats never begin with versions of a guest's disks that were not there together: publish --back", async () => {
  using masters = new TwoMasters();
  const { fixture } = masters;
  const seen = [await masters.versions()];
  for (const [version, ...flagged] of [["1", "vda", "vdb"], ["2", "vda"]] as const) {
    await masters.session(version, ...flagged);
    await fixture.type("publish guest");
    seen.push(await masters.versions());
  }
  assertEquals(seen, ["none none", "1 1", "2 1"]);
  await fixture.type("publish --back guest");
  assertEquals(await masters.versions(), "1 1");
});

Deno.test("nor does a disk of which nothing was committed keep the other from going back", async () => {
  using masters = new TwoMasters();
  const { fixture } = masters;
  await masters.versions();
  await masters.session("1", "vda");
  await fixture.type("publish guest");
  assertEquals(await masters.versions(), "1 none");
  const { said } = await fixture.type("undo guest --yes");
  const [, way] = /autorevert (publish --back .*)$/.exec(said.join("\n"))!;
  assertEquals((await fixture.type(way!)).said, []);
  assertEquals(await masters.versions(), "none none");
});

const CUT =
  'error: seat: a commit, undo, keep or publish of "guest", whose disks are the masters, was cut short\n' +
  "hint: complete it: autorevert recover guest";

for (const fault of ["dies before", "dies after", "fails before"] as const) {
  Deno.test(`nor where publish is cut short between them, which is completed: it ${fault} a step`, async () => {
    await atEveryStep(fault, async ({ perform }) => {
      using masters = new TwoMasters();
      const { fixture } = masters;
      await masters.versions();
      await masters.session("1", "vda", "vdb");
      await fixture.type("publish guest", true, { perform });
      const now = await masters.versions();
      assert(["none none", "1 1", CUT].includes(now), now);
      await fixture.type("recover guest");
      assertEquals(await masters.versions(), now === CUT ? "1 1" : now);
      await masters.session("2", "vda", "vdb");
      assertEquals(await masters.versions(), now === CUT ? "1 1" : now);
    });
  });
}

/** Between the two disks. */
const halfway = () => dyingAt((step) => step.kind === "rename" && step.from.includes("vdb"));

Deno.test("going back that was cut short goes back by one when it is typed again, also while the guest runs", async () => {
  using masters = new TwoMasters();
  const { fixture } = masters;
  await masters.versions();
  for (const version of ["1", "2"]) await masters.session(version, "vda", "vdb");
  await fixture.type("publish guest");
  assertEquals(await masters.versions(), "2 2");
  await fixture.type("publish --back guest", true, { perform: halfway() });
  assertEquals(await masters.versions(), CUT);
  await fixture.type("publish --back guest");
  assertEquals(await masters.versions(), "1 1");
  await fixture.start();
  await fixture.type("publish guest", true, { perform: halfway() });
  assertEquals(await masters.versions(), CUT);
  await fixture.event("release", "shutdown");
  assertEquals(await masters.versions(), CUT);
  assertStringIncludes(
    (await fixture.type("check guest")).printed.join("\n"),
    "now: autorevert recover guest",
  );
  await fixture.start();
  assertEquals(await masters.versions(), "2 2");
});
