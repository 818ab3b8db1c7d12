/** Commands on disks of which no note tells, since the host was replaced and its images were not. */

import { assertEquals } from "@std/assert";
import { dyingAt } from "./fault.ts";
import { Fixture } from "./fixture.ts";

for (const what of ["committing", "headless"]) {
  Deno.test(`enable of a disk that an event which was cut short has left, after its note was lost: ${what}`, async () => {
    using fixture = new Fixture().disks({ vda: true }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    if (what === "committing") await fixture.event("release", "shutdown", { perform: dyingAt("clear") });
    else {
      await fixture.stop("shutdown", { mergeDies: true });
      Deno.removeSync(fixture.vda);
    }
    // The host is replaced; its images are not.
    for (const name of fixture.files(fixture.config)) Deno.removeSync(`${fixture.config}/${name}`);
    const { code, said } = await fixture.type("enable guest vda");
    assertEquals([code, said, fixture.disk("vda")], [0, [], { base: "vda", session: "yes" }]);
  });
}

Deno.test("disable merges commits of which no note tells, as it says", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 1 };
  fixture.disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop();
  // The host was replaced: images and configuration came along.
  Deno.removeSync(fixture.note);
  await fixture.type("disable guest");
  assertEquals([fixture.files(), fixture.disk("vda")], [["vda.img"], { base: "vda", session: "yes" }]);
});
