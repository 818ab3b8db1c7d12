/** What becomes of layers that were changed behind the program's back, with the real `qemu-img`. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { afterFirst } from "./fault.ts";
import { qemuIo } from "./qemu.ts";
import { find, realFixture, write } from "./real_fixture.ts";
import { snapshot } from "./tree.ts";
import { afterClockTick, type Fixture } from "./fixture.ts";

type Layered = Fixture;

/** A disk with commits that are not merged, the n-th of which has written the pattern n + 1 to block n. */
async function layered(commits: number): Promise<Layered & { readonly layer: (number: number) => string }> {
  const fixture = realFixture(true);
  for (let commit = 1; commit <= commits; commit++) {
    fixture.configure({ vda: true });
    await fixture.start();
    write(fixture.vda, commit, commit + 1);
    await fixture.good("release", "shutdown", { mergeDies: true });
  }
  const layer = (number: number) => `${fixture.vda}.backing_file${number === 0 ? "" : `.${number}`}`;
  return Object.assign(fixture, { layer });
}

/** Types a part of the hint as it stands. */
function type(hint: string, after: string): void {
  const command = hint.slice(hint.indexOf(after) + after.length).split("; ")[0]!;
  const { success, stderr } = new Deno.Command("sh", { args: ["-c", command] }).outputSync();
  assert(success, `${command}: ${new TextDecoder().decode(stderr)}`);
}

const flattened: readonly (readonly [how: string, flatten: (fixture: Layered) => void])[] = [
  ["was flattened", ({ vda }) => void qemuIo(["rebase", "-f", "qcow2", "-b", "", vda])],
  ["was restored from a copy of the whole", ({ vda, root }) => {
    qemuIo(["convert", "-O", "qcow2", vda, `${root}/backup`]);
    Deno.writeFileSync(vda, Deno.readFileSync(`${root}/backup`));
  }],
];

for (const [how, flatten] of flattened) {
  Deno.test(`a disk whose top layer ${how} becomes plain, and reads the same`, async () => {
    using fixture = await layered(2);
    flatten(fixture);
    const { code, said } = await fixture.merge();
    assertEquals([code, said, fixture.files()], [0, [], ["vda.img"]]);
    find(fixture.vda, 1, 2, 3);
    await fixture.start();
    find(fixture.vda, 1, 2, 3);
    await fixture.stop();
  });
}

Deno.test("a layer with internal snapshots is not merged until they are deleted", async () => {
  using fixture = await layered(1);
  for (const name of ["before update", "2"]) qemuIo(["snapshot", "-c", name, fixture.layer(1)]);
  const before = snapshot(fixture.images);
  const { code, said } = await fixture.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: "${
      fixture.layer(1)
    }" has internal snapshots, which a merge would delete: "before update", "2"`,
    `hint: delete them yourself: qemu-img snapshot -d 'before update' ${
      fixture.layer(1)
    }; or keep the commit as it is with "keep-commits"`,
  ]]);
  assertEquals(snapshot(fixture.images), before);
  type(said[1]!, "yourself: ");
  type((await fixture.merge()).said[1]!, "yourself: ");
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(fixture.files(), ["vda.img"]);
  find(fixture.vda, 1, 2);
});

Deno.test("a layer with a bitmap, to which qemu-img itself writes when it copies, is merged", async () => {
  using fixture = await layered(1);
  qemuIo(["bitmap", "--add", fixture.layer(1), "checkpoint"]);
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(fixture.files(), ["vda.img"]);
  find(fixture.vda, 1, 2);
});

Deno.test("what is written to a layer after it was copied is merged the next time", async () => {
  using fixture = await layered(1);
  const { code, said } = await fixture.merge({ perform: afterFirst("sync", () => write(fixture.vda, 2, 7)) });
  assertEquals([code, said[0]?.includes("was written to after it was merged")], [1, true]);
  find(fixture.vda, 1, 2, 7);
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(fixture.files(), ["vda.img"]);
  find(fixture.vda, 1, 2, 7);
});

Deno.test("internal snapshots of the layer that is merged into stay as they were", async () => {
  using fixture = await layered(0);
  qemuIo(["snapshot", "-c", "old", fixture.vda]);
  await fixture.start();
  write(fixture.vda, 0, 9);
  await fixture.stop();
  assertEquals(fixture.files(), ["vda.img"]);
  find(fixture.vda, 9);
  qemuIo(["snapshot", "-a", "old", fixture.vda]);
  find(fixture.vda, 1);
});

Deno.test("a lowest layer with internal snapshots doesn't go unasked", async () => {
  using fixture = await layered(1);
  qemuIo(["snapshot", "-c", "old", fixture.layer(0)]);
  qemuIo(["rebase", "-f", "qcow2", "-b", "", fixture.layer(1)]);
  const { code, said } = await fixture.merge();
  assertEquals(code, 1);
  assert(said[0]!.includes(`"${fixture.layer(0)}" has internal snapshots`), said[0]);
  type(said[1]!, "yourself: ");
  assertEquals((await fixture.merge()).code, 0);
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("a layer that was made smaller is not merged into a larger one; the hint's command mends it", async () => {
  using fixture = await layered(2);
  qemuIo(["resize", "-q", "--shrink", fixture.layer(1), "512k"]);
  const before = snapshot(fixture.images);
  const { code, said } = await fixture.merge();
  assertEquals([code, said[0]], [
    1,
    `error: guest vda: "${fixture.layer(1)}" holds a disk of 512.0 KiB, smaller than "${
      fixture.layer(0)
    }" with 1.0 MiB`,
  ]);
  assertEquals(snapshot(fixture.images), before);
  type(said[1]!, "needs: ");
  const merged = await fixture.merge();
  assertEquals([merged.code, merged.said, fixture.files()], [0, [], ["vda.img"]]);
  find(fixture.vda, 1, 2, 3);
});

Deno.test("layers of which a lower one was committed into the base by hand are merged once the hint's command was typed", async () => {
  using fixture = await layered(2);
  // virsh blockcommit --top .backing_file.1 --base .backing_file: QEMU has what stands on the top stand on the base then.
  qemuIo(["commit", "-d", fixture.layer(1)]);
  qemuIo(["rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", fixture.layer(0), fixture.layer(2)]);
  const { code, said } = await fixture.merge();
  assertEquals(code, 1);
  type(said.at(-1)!, "and read as it does: ");
  find(fixture.layer(2), 1, 2, 3);
  const { code: again, said: more } = await fixture.merge();
  assertEquals([again, more, fixture.files()], [0, [], ["vda.img"]]);
  find(fixture.vda, 1, 2, 3);
});

for (const way of ["--keep", "--discard"]) {
  Deno.test(`a session under which lower layers were committed into the base is ended by the hint's commands: ${way}`, async () => {
    using fixture = await layered(2);
    fixture.keys = { "keep-commits": 2 };
    fixture.configure({ vda: false });
    fixture.define();
    await fixture.start();
    write(fixture.vda, 3, 9);
    await afterClockTick(50);
    // virsh blockcommit --top .backing_file.2 --base .backing_file
    qemuIo(["commit", "-d", "-b", fixture.layer(0), fixture.layer(2)]);
    qemuIo(["rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", fixture.layer(0), fixture.vda]);
    await fixture.stop();
    const { code, said } = await fixture.event("prepare");
    assertEquals(code, 1);
    await fixture.good("release", "failed");
    type(said[1]!.replace("; then, ", "; "), "have it stand on all layers: ");
    assertStringIncludes(said[1]!, `autorevert recover ${way} guest vda`);
    assertEquals((await fixture.type(`recover ${way} guest vda --yes`)).said, []);
    await fixture.start();
    find(fixture.vda, 1, 2, 3, way === "--keep" ? 9 : 0);
  });
}
