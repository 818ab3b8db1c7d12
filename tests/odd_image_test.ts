/** Images of every kind that qcow2 knows, with the real `qemu-img`: what they are stays, and what can't work is told early. */

import { assert, assertEquals } from "@std/assert";
import { qemuIo } from "./qemu.ts";
import { find, plain, realFixture, write } from "./real_fixture.ts";
import type { Fixture } from "./fixture.ts";

interface Description {
  readonly "cluster-size": number;
  readonly "dirty-flag": boolean;
  readonly snapshots?: readonly { readonly name: string }[];
  readonly "format-specific": { readonly data: Readonly<Record<string, unknown>> };
}

const describe = (image: string): Description => JSON.parse(qemuIo(["info", "--output=json", image]));

/** What kind an image is of, whatever it holds. */
function kindOf(image: string) {
  const { "cluster-size": cluster, snapshots, "format-specific": { data: { bitmaps, ...data } } } = describe(
    image,
  );
  const named = (list: unknown) => ((list ?? []) as { name: string }[]).map(({ name }) => name);
  return { cluster, data, snapshots: named(snapshots), bitmaps: named(bitmaps) };
}

const made = (...options: string[]) => (image: string) => {
  qemuIo(["create", "-f", "qcow2", ...options.flatMap((option) => ["-o", option]), image, "1M"]);
  write(image, 0, 1);
};

const kinds: readonly (readonly [kind: string, create: (image: string) => void])[] = [
  ["of the old format", made("compat=0.10")],
  ["with extended L2 entries", made("extended_l2=on")],
  ["with clusters of 512 bytes", made("cluster_size=512")],
  ["with clusters of 4 KiB", made("cluster_size=4k")],
  ["with clusters of 2 MiB", made("cluster_size=2M")],
  ["with lazy refcounts", made("lazy_refcounts=on")],
  ["with refcounts of one bit", made("refcount_bits=1")],
  ["compressed with zstd", made("compression_type=zstd")],
  ["with all its space allocated", made("preallocation=full")],
  ["with internal snapshots", (image) => {
    plain(image);
    for (const name of ["one", "two"]) qemuIo(["snapshot", "-c", name, image]);
  }],
  ["with bitmaps", (image) => {
    plain(image);
    qemuIo(["bitmap", "--add", image, "on"]);
    qemuIo(["bitmap", "--add", "--disable", image, "off"]);
  }],
];

for (const [kind, create] of kinds) {
  Deno.test(`an image ${kind} is reverted, committed and merged, and is one afterwards`, async () => {
    using fixture = realFixture(false, create);
    fixture.define();
    const before = kindOf(fixture.vda);
    await fixture.start();
    write(fixture.vda, 0, 9);
    await fixture.stop();
    find(fixture.vda, 1, 0);

    for (const [block, pattern] of [[1, 2], [0, 3]] as const) {
      fixture.configure({ vda: true });
      await fixture.start();
      write(fixture.vda, block, pattern);
      await fixture.stop();
    }
    assertEquals(fixture.files(), ["vda.img"]);
    assertEquals(kindOf(fixture.vda), before);
    find(fixture.vda, 3, 2, 0);
    qemuIo(["check", fixture.vda]);
    for (const { name } of describe(fixture.vda).snapshots ?? []) {
      qemuIo(["snapshot", "-a", name, fixture.vda]);
      find(fixture.vda, 1, 0);
    }
  });
}

/** Leaves an image as a QEMU does that is killed: the data is there, and what tells which clusters are in use is not. */
function writeAndDie(image: string, blocks: readonly (readonly [block: number, pattern: number])[]): void {
  const writes = blocks.flatMap(([block, pattern]) => ["-c", `write -q -P ${pattern} ${block * 64}k 64k`]);
  const args = ["-f", "qcow2", ...writes, "-c", "flush", "-c", "sigraise 9", image];
  assertEquals(new Deno.Command("qemu-io", { args }).outputSync().signal, "SIGKILL");
}

Deno.test("a base that was not closed loses nothing when a commit is merged into it", async () => {
  using fixture = realFixture(true, made("lazy_refcounts=on"));
  writeAndDie(fixture.vda, [[0, 1], [1, 2], [2, 3]]);
  assert(describe(fixture.vda)["dirty-flag"]);
  await fixture.start();
  for (const block of [3, 4, 5]) write(fixture.vda, block, block + 1);
  await fixture.stop();
  assertEquals(fixture.files(), ["vda.img"]);
  find(fixture.vda, 1, 2, 3, 4, 5, 6);
  qemuIo(["check", fixture.vda]);
});

Deno.test("a start is refused from an image that is marked as corrupt, and enable and check say so before", async () => {
  using fixture = realFixture(false);
  fixture.define();
  mark(fixture.vda);
  const said: [string, string] = [
    `"${fixture.vda}" is marked as corrupt: QEMU found a contradiction in its tables`,
    `hint: copy it, and mend it: qemu-img check -r all ${fixture.vda}; or restore it from a backup`,
  ];
  assertEquals((await fixture.event("prepare")).said, [`error: guest vda: ${said[0]}`, said[1]]);
  await fixture.good("release", "failed");
  assert((await fixture.type("check")).printed.includes(`error: guest vda: ${said[0]}`));
  Deno.removeSync(fixture.configFile);
  assertEquals((await fixture.type("enable guest vda")).said, [`error: guest vda: ${said[0]}`, said[1]]);
  qemuIo(["check", "-r", "all", fixture.vda]);
  assertEquals((await fixture.type("enable guest vda")).code, 0);
  await fixture.start();
});

Deno.test("nothing is merged into a base that is marked as corrupt, until it is mended", async () => {
  using fixture = realFixture(true);
  await fixture.start();
  write(fixture.vda, 1, 2);
  await fixture.good("release", "shutdown", { mergeDies: true });
  const base = `${fixture.vda}.backing_file`;
  mark(base);
  const before = Deno.readFileSync(base);
  const { code, said } = await fixture.merge();
  assertEquals([code, said], [1, [
    `error: guest vda: "${base}" is marked as corrupt: QEMU found a contradiction in its tables`,
    `hint: copy it, and mend it: qemu-img check -r all ${base}; or restore it from a backup`,
  ]]);
  assertEquals(Deno.readFileSync(base), before);
  qemuIo(["check", "-r", "all", base]);
  assertEquals((await fixture.merge()).code, 0);
  find(fixture.vda, 1, 2);
});

/** Sets the bit that QEMU sets where it finds an image corrupt. */
function mark(image: string): void {
  using file = Deno.openSync(image, { write: true });
  file.seekSync(79, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array([2]));
}

for (const raw of ["on", "off"]) {
  Deno.test(`that no commit can be merged with data in another file (raw=${raw}) is said by enable, commit, check and a start`, async () => {
    using fixture = realFixture(
      false,
      (image) => made(`data_file=${image}.data,data_file_raw=${raw}`)(image),
    );
    fixture.define();
    Deno.removeSync(fixture.configFile);
    const what = `"${fixture.vda}" has its data in "${fixture.vda}.data": no commit can be merged with it`;
    const warning = [
      `warning: guest vda: ${what}`,
      `hint: have it in one file: qemu-img convert -O qcow2 ${fixture.vda} NEW`,
    ];
    const enabled = await fixture.type("enable guest vda");
    assertEquals([enabled.code, enabled.said], [0, warning]);
    assertEquals((await fixture.type("check guest")).printed.slice(-3, -1), warning);
    const { log } = await fixture.good("prepare");
    assert(log.includes(`guest vda: warning: ${what}`), log.join("\n"));
    write(fixture.vda, 0, 9);
    await fixture.stop();
    find(fixture.vda, 1);

    assertEquals((await fixture.type("commit guest")).said, warning);
    await fixture.start();
    write(fixture.vda, 1, 2);
    const { merge } = await fixture.event("release", "shutdown");
    assertEquals([merge?.code, merge?.said[0]?.includes("no commit can be merged with it")], [1, true]);
    await fixture.start();
    find(fixture.vda, 1, 2);
  });
}

const grown: readonly (readonly [when: string, grow: (fixture: Fixture) => Promise<void> | void])[] = [
  ["is idle", ({ vda }) => void qemuIo(["resize", "-q", vda, "2M"])],
  ["has a commit that waits", async (fixture) => {
    fixture.configure({ vda: true });
    await fixture.start();
    await fixture.good("release", "shutdown", { mergeDies: true });
    qemuIo(["resize", "-q", fixture.vda, "2M"]);
  }],
];

for (const [when, grow] of grown) {
  Deno.test(`a disk that is made larger while it ${when} is as large in the next session, and after a commit`, async () => {
    using fixture = realFixture(false);
    await grow(fixture);
    fixture.configure({ vda: true });
    await fixture.start();
    write(fixture.vda, 31, 5);
    await fixture.stop();
    assertEquals(fixture.files(), ["vda.img"]);
    qemuIo(["read", "-P", "5", "1984k", "64k"], fixture.vda);
    find(fixture.vda, 1);
    qemuIo(["check", fixture.vda]);
  });
}
