/** What is promised of a guest's firmware at each event, by what is decided of its disks and seats. */

import { assertEquals } from "@std/assert";
import type { Decision, Facts } from "../lib/state/decision_table.ts";
import { firmwareAtPrepare, firmwareAtRelease } from "../lib/state/firmware.ts";
import type { ObservedDisk } from "../lib/state/observed_disk.ts";
import { namesOf } from "../lib/state/paths.ts";
import type { DecidedSeat } from "../lib/state/seat.ts";
import type { SeatDecision } from "../lib/state/seat_table.ts";
import type { SessionRecord } from "../lib/state/session_record.ts";
import type { Listing } from "../lib/state/state.ts";

const image = "/nvram/guest.fd";
const names = namesOf(image);
const record: SessionRecord = {
  target: "nvram",
  image,
  started: "2026-01-01T00:00:00.000Z",
  owner: { uid: 0, gid: 0, mode: 0o600 },
  held: false,
  firmware: true,
};
const file: ObservedDisk = {
  target: "nvram",
  names,
  record,
  firmware: true,
  listed: true,
  flag: "clear",
  keepCommits: 0,
  keepSession: false,
  source: "same",
  listing: new Map(),
  made: 5,
  owner: record.owner,
};
const plain: Listing = new Map([[image, 1]]);
const layered: Listing = new Map([[image, 1], [names.layer(0), 1]]);
const session: Listing = new Map([[image, 100], [names.layer(0), 1]]);
const stray: Listing = new Map([[image, 1], [names.committing, 100]]);
const aside = (listing: Listing): Listing => new Map([...listing, [names.ended, 200]]);

const of = (listing: Listing, differs: Partial<ObservedDisk> = {}) => ({ ...file, listing, ...differs });
const noted = (differs: Partial<SessionRecord>) => ({ record: { ...record, ...differs } });
const idle = noted({ idle: true });
const unknown = { record: undefined };
const unlisted = { listed: false };
/** A start was about to set it aside when it was cut short; with another file set aside, or since. */
const waits = noted({ aside: "stay", setsAside: 5 });
const done = noted({ aside: "stay", setsAside: 7 });

interface Start {
  readonly disks?: readonly Decision[];
  readonly seats?: readonly SeatDecision[];
  readonly start?: "fresh" | "resume" | "migrate";
}

const atStart: readonly (readonly [Start, ObservedDisk, Decision])[] = [
  [{ disks: ["keep"] }, of(session), "keep"],
  [{ seats: ["keep"] }, of(session), "keep"],
  [{ disks: ["resume"] }, of(session), "resume"],
  [{ disks: ["put back"] }, of(aside(layered)), "put back"],
  [{ disks: ["keep"] }, of(aside(layered)), "put back"],
  [{ disks: ["put back"] }, of(aside(session)), "put back"],
  [{ disks: ["put back"] }, of(aside(session), waits), "keep"],
  [{ disks: ["keep"] }, of(aside(session)), "keep"],
  [{ disks: ["keep"] }, of(aside(session), noted({ aside: "forget" })), "put back"],
  [{ disks: ["resume"] }, of(aside(session), noted({ aside: "forget" })), "resume"],
  [{ disks: ["keep"] }, of(plain), "new session"],
  [{ disks: ["keep"] }, of(stray), "nothing"],
  [{ disks: ["keep"] }, of(plain, unlisted), "nothing"],
  [{ disks: ["keep"], start: "migrate" }, of(plain), "refuse: no session to migrate"],
  [{ disks: ["keep"], start: "migrate" }, of(plain, unlisted), "nothing"],
  [{ disks: ["keep"], start: "migrate" }, of(session), "keep"],
  [{ disks: ["keep"], start: "migrate" }, of(session, { target: "tpm" }), "refuse: TPM to migrate"],
  [{ disks: ["keep"], start: "migrate" }, of(session, { target: "tpm", ...unlisted }), "keep"],
  [{ disks: ["keep"], start: "resume" }, of(session, { target: "tpm" }), "keep"],
  [{ disks: ["new session"] }, of(plain), "new session"],
  [{ disks: ["new session"] }, of(session), "new session"],
  [{ disks: ["new session"] }, of(session, idle), "refuse: not ours"],
  [{ disks: ["new session"] }, of(session, unknown), "refuse: not ours"],
  [{ disks: ["new session"] }, of(stray), "refuse: stray commit"],
  [{ disks: ["new session"] }, of(session, waits), "set aside, new session"],
  [{ disks: ["new session"] }, of(aside(session), waits), "set aside, new session"],
  [{ disks: ["set aside, new session"] }, of(session), "set aside, new session"],
  [{ disks: ["set aside, new session"] }, of(aside(session)), "set aside, new session"],
  [{ disks: ["set aside, new session"] }, of(aside(session), waits), "set aside, new session"],
  [{ disks: ["set aside, new session"] }, of(aside(session), done), "new session"],
  [{ disks: ["set aside, new session"] }, of(plain), "new session"],
  [{ disks: ["new session"] }, of(session, unlisted), "discard"],
  [{ disks: ["new session"] }, of(session, { ...unlisted, ...idle }), "let go"],
  [{ disks: ["new session"] }, of(plain, unlisted), "let go"],
  [{ disks: ["set aside, new session"] }, of(session, unlisted), "set aside, new session"],
  [{ disks: ["set aside, new session"] }, of(session, { ...unlisted, ...idle }), "let go"],
  [{ seats: ["set aside, new session"] }, of(session, unknown), "set aside, new session"],
  [{ seats: ["set aside, new session"] }, of(session, idle), "refuse: not ours"],
  [{ disks: ["set aside, new session"] }, of(session, unknown), "refuse: not ours"],
];

for (const [{ disks = [], seats = [], start = "fresh" }, file, decision] of atStart) {
  const { listing: _, names: __, ...shown } = file;
  const what = JSON.stringify([{ disks, seats, start }, [...file.listing.keys()], shown]);
  Deno.test(`firmware at a start, ${what}: ${decision}`, () => {
    const decided = firmwareAtPrepare([{ ...file, firmware: false }, file], disks, seats, start);
    assertEquals(decided, [{ disk: file, decision }]);
  });
}

interface End {
  readonly disks?: readonly (readonly [Decision, Partial<ObservedDisk>?])[];
  readonly seats?: readonly (readonly [SeatDecision, "gone" | "detached"] | readonly [SeatDecision])[];
  readonly start?: Facts["start"];
}

const atEnd: readonly (readonly [End, ObservedDisk, Decision])[] = [
  [{ disks: [["commit"], ["discard"]] }, of(session), "commit"],
  [{ disks: [["set aside"], ["discard"]] }, of(session), "set aside"],
  [{ disks: [["discard"]] }, of(session), "discard"],
  ...(["hold", "leave", "pass on", "leave to a person"] as const).map((decision) =>
    [{ disks: [[decision], ["set aside"]] }, of(session), "leave"] as const
  ),
  ...(["refused", "resume", "migrate"] as const).map((start) =>
    [{ disks: [["discard"]], start }, of(session), "leave"] as const
  ),
  [{ disks: [["discard"]], start: "fresh" }, of(session, waits), "leave"],
  [{ disks: [["discard"]], start: "fresh" }, of(session), "discard"],
  [{ disks: [["discard"]] }, of(session, waits), "discard"],
  [{ disks: [["discard"]] }, of(layered), "nothing"],
  [{ disks: [["discard"]] }, of(session, idle), "nothing"],
  [{ disks: [["discard"]] }, of(session, unknown), "nothing"],
  [{ disks: [["nothing"]] }, of(session), "leave"],
  [{ disks: [["nothing", { source: "other" }]] }, of(session), "discard"],
  [{ disks: [["nothing", { listing: plain }], ["nothing", { listing: layered }]] }, of(session), "discard"],
  [{ disks: [["leave", { source: "gone" }], ["discard"]] }, of(session), "discard"],
  [{ disks: [["leave", { source: "gone" }]] }, of(session), "leave"],
  [{ disks: [["leave", { source: "gone" }]], seats: [["discard"]] }, of(session), "discard"],
  [{ disks: [["discard"]], seats: [["leave"]] }, of(session), "leave"],
  [{ disks: [["discard"]], seats: [["leave", "gone"], ["leave", "detached"]] }, of(session), "discard"],
  [{ seats: [["leave", "gone"]] }, of(session), "leave"],
];

for (const [{ disks = [], seats = [], start = "up" }, file, decision] of atEnd) {
  const what = JSON.stringify([{ disks, seats, start }, [...file.listing.keys()], file.record ?? null]);
  Deno.test(`firmware at an end, ${what}: ${decision}`, () => {
    const ofDisks = disks.map(([decision, differs]) => ({
      disk: { ...file, firmware: false, listing: new Map(), source: "same" as const, ...differs },
      decision,
    }));
    const ofSeats = seats.map(([decision, how]) => ({
      seat: { source: how === "gone" ? "gone" : "same", record: { detached: how === "detached" } },
      decision,
    })) as unknown as DecidedSeat[];
    assertEquals(firmwareAtRelease([file], ofDisks, ofSeats, start), [{ disk: file, decision }]);
  });
}
