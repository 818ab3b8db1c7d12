/** What becomes of a command that asks, however it is answered, and of one that goes on with what was cut short. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dyingAt } from "./fault.ts";
import { DOMAIN, exists, Fixture } from "./fixture.ts";
import { poolTest } from "./pool.ts";
import { fixtureWithDisk, install } from "./program.ts";
import { lock } from "../lib/host/lock.ts";
import { guestNames } from "../lib/state/paths.ts";

/** What the terminal shows of a command that is typed there, and answered. */
async function answered(line: string, answer: string): Promise<string> {
  const { NO_COLOR: _, ...inherited } = Deno.env.toObject();
  const child = new Deno.Command("script", {
    args: ["-qec", line, "/dev/null"],
    env: { ...inherited, TERM: "xterm" },
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(`${answer}\n`));
  const timer = setTimeout(() => child.kill(), 20_000);
  const { stdout } = await child.output();
  clearTimeout(timer);
  await writer.close().catch(() => {});
  return new TextDecoder().decode(stdout);
}

Deno.test("a question that is answered with yes is answered with yes", async () => {
  using fixture = fixtureWithDisk();
  fixture.define();
  await fixture.start();
  const shown = await answered(`${install(fixture)} recover --discard guest`, "yes");
  assertStringIncludes(shown, "the session is thrown away");
});

Deno.test("a question is seen where the answer of the command goes into a file, and is no part of that", async () => {
  using fixture = fixtureWithDisk();
  fixture.define();
  await fixture.start();
  const file = `${fixture.root}/answer`;
  const shown = await answered(`${install(fixture)} recover --discard guest > ${file}`, "y");
  assertStringIncludes(shown, "away?");
  assert(!Deno.readTextFileSync(file).includes("away?"));
});

Deno.test("a merge that made way for an undo goes on after it, also where the question is answered with no", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  for (const _ of ["first", "second"]) {
    fixture.configure({ vda: true });
    await fixture.start();
    await fixture.stop("shutdown", { mergeDies: true });
  }
  Deno.linkSync(`${fixture.vda}.backing_file.1`, `${fixture.vda}.autorevert-merge.1`);
  const { merging, stop } = guestNames(fixture.config, DOMAIN);
  const held = await lock(merging);
  let isAsked = false;
  const timer = setInterval(() => {
    if (isAsked || !exists(stop)) return;
    isAsked = true;
    held[Symbol.dispose]();
  }, 5);
  const started: string[] = [];
  const { said } = await fixture.type("undo guest", false, {
    background: (domain) => void started.push(domain),
  });
  clearInterval(timer);
  assertStringIncludes(said.join("\n"), "not answered with yes");
  assertEquals([isAsked, started], [true, [DOMAIN]]);
});

poolTest(
  "recover doesn't say that nothing was changed after it has thrown a seat's session away",
  1,
  async (pool, fixture) => {
    pool.mix("seat1");
    await pool.start("seat1");
    pool.powerCut();
    let questions = 0;
    const { said } = await fixture.type("recover --discard seat1", () => questions++ === 0);
    assert(
      pool.record("seat1") !== undefined || !said.join("\n").includes("nothing was changed"),
      said.join("\n"),
    );
  },
);

Deno.test("a keep of one disk is done also where that of another one was cut short before", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-session": true };
  fixture.disks({ vda: false, vdb: false }).define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
  await fixture.stop();
  await fixture.type("keep guest vda", false, { perform: dyingAt("rename") });
  const { code, printed } = await fixture.type("keep guest vdb");
  assert(code !== 0 || "session" in fixture.disk("vdb"), printed.join("\n"));
});
