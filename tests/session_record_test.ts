import { assertEquals, assertThrows } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import { formatRecords, parseRecords, type SessionRecord } from "../lib/state/session_record.ts";
import { Fixture, LATER } from "./fixture.ts";

const record: SessionRecord = {
  target: "vda",
  image: "/images/os 中.img",
  started: "2026-01-01T00:00:00.000Z",
  owner: { uid: 64055, gid: 108, mode: 0o640 },
  held: false,
};

Deno.test("a note reads back as it was written", () => {
  const records = [record, { ...record, target: "vdb", held: true, owner: { uid: 0, gid: 0, mode: 0 } }];
  assertEquals(parseRecords("/note", formatRecords(records)), records);
  assertEquals(parseRecords("/note", formatRecords([])), []);
});

Deno.test("a note says the same whichever way its records were made, and forgets nothing of them", () => {
  const whole: Required<SessionRecord> = {
    ...record,
    firmware: true,
    made: [1, -2],
    ahead: -60_000,
    below: [6, 7],
    host: "one",
    committed: [{ layer: 1, at: "2026-01-03T00:00:00.000Z" }],
    commits: [{ layer: 2, disks: ["/images/vda.img.backing_file.3"] }],
    continued: "2026-01-02T00:00:00.000Z",
    idle: true,
    over: true,
    waits: "saved",
    flagged: true,
    flagVersion: "1",
    came: "restore",
    resumed: 3,
    visits: "again",
    left: true,
    lost: true,
    detached: true,
    aside: "stay",
    stays: true,
    undone: true,
    setsAside: 4,
    merging: 5,
    pending: { verb: "undo", top: 6, topVersion: "7" },
  };
  const reversed = Object.fromEntries(Object.entries(whole).toReversed()) as unknown as SessionRecord;
  assertEquals(parseRecords("/note", formatRecords([whole])), [whole]);
  assertEquals(formatRecords([reversed]), formatRecords([whole]));
});

const [good] = JSON.parse(formatRecords([record]));
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
    const text = JSON.stringify(value);
    const { hint } = assertThrows(() => parseRecords("/n o", text), UserError, '"/n o" is not a note');
    assertEquals(
      hint,
      "restore it, or move it away: mv '/n o' '/n o.unreadable'; " +
        "the next start, or autorevert check, then says what to do with a session that lies there",
    );
  });
}

Deno.test("session records list the disks with a session, and are gone after the last end", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: true });
  const note = fixture.note;
  await fixture.start();
  assertEquals(parseRecords(note, Deno.readTextFileSync(note)).map(({ target }) => target), ["vda", "vdb"]);
  await fixture.stop("crashed");
  assertEquals(parseRecords(note, Deno.readTextFileSync(note)).map(({ target, held }) => [target, held]), [
    ["vdb", true],
  ]);
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.files(fixture.config).includes("guest.session"), false);
});

Deno.test("a disk whose record is gone is discarded at its end, and the guest is plain from then on", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.configure({ vdb: false });
  await fixture.stop();
  await fixture.start();
  assertEquals(fixture.state("vda").kind, "plain");
  assertEquals(fixture.disk("vda"), { base: "vda" });
  await fixture.stop();
});

Deno.test("a guest whose configuration is gone after a power cut is plain from its next start on", async () => {
  using fixture = new Fixture().disks({ vda: false });
  await fixture.start();
  fixture.write(fixture.vda, "session");
  Deno.removeSync(fixture.configFile);
  fixture.booted = LATER;
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img"]);
  assertEquals(fixture.disk("vda"), { base: "vda" });
  await fixture.stop();
});

Deno.test("a broken note keeps a guest from starting, and its end from touching anything", async () => {
  using fixture = new Fixture().disks({ vda: true });
  await fixture.start();
  Deno.writeTextFileSync(fixture.note, "");
  const files = fixture.files();
  for (const [operation, code] of [["release", 0], ["prepare", 1]] as const) {
    const result = await fixture.event(operation, "shutdown");
    assertEquals([result.code, result.said.length], [code, 2]);
    assertEquals(fixture.files(), files);
  }
});
