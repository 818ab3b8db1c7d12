import { assertEquals, assertThrows } from "@std/assert";
import { Trouble } from "../lib/errors.ts";
import { type Entry, formatNote, parseNote } from "../lib/state/session_record.ts";
import { World } from "./world.ts";

const entry: Entry = {
  target: "vda",
  image: "/images/os 中.img",
  started: "2026-01-01T00:00:00.000Z",
  owner: { uid: 64055, gid: 108, mode: 0o640 },
  held: false,
};

Deno.test("a note reads back as it was written", () => {
  const entries = [entry, { ...entry, target: "vdb", held: true, owner: { uid: 0, gid: 0, mode: 0 } }];
  assertEquals(parseNote("/note", formatNote(entries)), entries);
  assertEquals(parseNote("/note", formatNote([])), []);
});

const [good] = JSON.parse(formatNote([entry]));
const broken: readonly (readonly [string, unknown])[] = [
  ["is no list", {}],
  ["lists a text", ["vda"]],
  ["lists nothing", [null]],
  ["has a relative path", [{ ...good, image: "os.img" }]],
  ["has no image", [{ ...good, image: undefined }]],
  ["has a negative owner", [{ ...good, uid: -1 }]],
  ["has a fraction of a group", [{ ...good, gid: 0.5 }]],
  ["has a mode that is no mode", [{ ...good, mode: "rw" }]],
  ["has a mode as a number", [{ ...good, mode: 640 }]],
];

for (const [what, value] of broken) {
  Deno.test(`a note that ${what} is not taken`, () => {
    const trouble = assertThrows(
      () => parseNote("/n o", JSON.stringify(value)),
      Trouble,
      '"/n o" is not a note',
    );
    assertEquals(
      trouble.hint,
      `restore it, or if no disk of the guest has a ".backing_file" beside it: rm '/n o'`,
    );
  });
}

Deno.test("a note lists what was frozen while it is, and is gone after the last end", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: true });
  const note = `${world.config}/guest.session`;
  await world.start();
  assertEquals(parseNote(note, Deno.readTextFileSync(note)).map(({ target }) => target), ["vda", "vdb"]);
  await world.stop("crashed");
  assertEquals(parseNote(note, Deno.readTextFileSync(note)).map(({ target, held }) => [target, held]), [
    ["vdb", true],
  ]);
  await world.start();
  await world.stop();
  assertEquals(world.files(world.config).includes("guest.session"), false);
});

Deno.test("a disk whose entry is gone is discarded at its end, and the guest is plain from then on", async () => {
  using world = new World();
  world.disks({ vda: true, vdb: false });
  await world.start();
  world.write(world.image("vda"), "session");
  world.configure({ vdb: false });
  await world.stop();
  await world.start();
  assertEquals(world.state("vda").kind, "plain");
  assertEquals(world.disk("vda"), { base: "vda" });
  await world.stop();
});

Deno.test("a guest whose configuration is gone after a power cut is plain from its next start on", async () => {
  using world = new World();
  world.disks({ vda: false });
  await world.start();
  world.write(world.image("vda"), "session");
  Deno.removeSync(world.configFile);
  await world.start();
  assertEquals(world.files(), ["vda.img"]);
  assertEquals(world.disk("vda"), { base: "vda" });
  await world.stop();
});

Deno.test("a broken note keeps a guest from starting, and its end from touching anything", async () => {
  using world = new World();
  world.disks({ vda: true });
  await world.start();
  Deno.writeTextFileSync(`${world.config}/guest.session`, "");
  const files = world.files();
  for (const [operation, code] of [["release", 0], ["prepare", 1]] as const) {
    const result = await world.event(operation, "shutdown");
    assertEquals([result.code, result.said.length], [code, 2]);
    assertEquals(world.files(), files);
  }
});
