/** The tests' fixture with real images and the real `qemu-img`, in which the compiled program can be run and cut short. */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { madeAt } from "../lib/hook/observe.ts";
import { qemuImg } from "../lib/host/qemu_img.ts";
import { list } from "../lib/host/files.ts";
import { isRecorded, wasSavedOn } from "../lib/state/observed_disk.ts";
import { namesOf } from "../lib/state/paths.ts";
import { formatRecords, parseRecords, type SessionRecord } from "../lib/state/session_record.ts";
import { formatSeats, parseSeats, type SeatRecord } from "../lib/state/seat_record.ts";
import { parse } from "../lib/state/state.ts";
import { type Places, run } from "./places.ts";
import { type Content, DOMAIN, exists } from "../tests/fixture.ts";
import { withFirmware } from "../tests/firmware_fixture.ts";
import { RealFixture } from "../tests/real_fixture.ts";
import { Tree } from "../tests/tree.ts";

/** A key of the content is a block of the disk, and a value is the byte that fills it. */
const BLOCK = 32 * 1024;
const BLOCKS = 32;
const keys: string[] = [];
const values: string[] = [""];

/** How long an event may take, with its merge and under the tracer, in milliseconds. */
const PATIENCE = 120_000;

/** What became of a run of the program under the tracer. */
export interface Traced {
  readonly code: number;
  /** Calls that counted. */
  readonly calls: number;
  /** The call that was struck: program, call and path. */
  readonly struck: string | undefined;
  readonly stderr: string;
}

/** A run of the program under the tracer that goes on beside others. */
export interface Tracing {
  /** The tracer's own process. */
  readonly id: number;
  /** When the last process of the tree has ended. */
  readonly end: Promise<Pick<Traced, "code">>;
  readonly kill: () => void;
}

/** A run of the program that may go on for ever. */
export interface Begun {
  /** Waits for the end of the program itself; how long it took, in seconds. */
  readonly hook: () => Promise<number>;
  /** Waits for something, for a short time; whether it has come. */
  readonly settled: (condition: () => boolean) => Promise<boolean>;
  /** Kills all that is left of its tree. */
  readonly end: () => Promise<void>;
}

class DiskFixture extends RealFixture {
  /** XML of other guests than the fixture's own, by their names. */
  readonly guests = new Map<string, () => string>();
  /** The compiled program's, too, as the time of the boot: each knows what the other has noted. */
  override name = Deno.hostname();
  override booted = new Date(Date.now() - Deno.osUptime() * 1000);

  constructor(readonly places: Places) {
    Deno.mkdirSync(places.fixture);
    super(places.fixture);
    this.qemuImg = qemuImg(places.qemuImg);
  }

  /** The machine isn't booted: the sessions are made older than that. */
  override boot(): void {
    const before = "1999-12-31T00:00:00.000Z";
    const records = parseRecords(this.note, Deno.readTextFileSync(this.note)).map((record): SessionRecord => {
      const made = madeAt(record.image);
      return { ...record, started: before, ...made !== undefined && { made: [made] } };
    });
    Deno.writeTextFileSync(this.note, formatRecords(records));
  }

  override save(image: string, _backing: string | null, data: Content): void {
    run("qemu-img", ["create", "-q", "-f", "qcow2", image, `${BLOCK * BLOCKS}`]);
    for (const [key, value] of Object.entries(data)) this.write(image, key, value);
  }

  override write(image: string, key: string, value = "yes"): void {
    const [block, pattern] = [numberOf(keys, key), numberOf(values, value)];
    if (block >= BLOCKS || pattern > 255) throw new Error("too many different contents");
    run("qemu-io", ["-f", "qcow2", "-c", `write -P ${pattern} ${block * BLOCK} ${BLOCK}`, image]);
  }

  override read(image: string): Content {
    const raw = `${this.places.folder}/raw`;
    run("qemu-img", ["convert", "-U", "-f", "qcow2", "-O", "raw", image, raw]);
    const bytes = Deno.readFileSync(raw);
    return Object.fromEntries(keys.flatMap((key, block) => {
      const filled = bytes.subarray(block * BLOCK, (block + 1) * BLOCK);
      const pattern = filled[0]!;
      if (!Buffer.alloc(BLOCK, pattern).equals(filled)) return [[key, "a mixture"]];
      return pattern === 0 ? [] : [[key, values[pattern]!]];
    }));
  }

  /**
   * Runs the compiled program under the tracer, to the end of the last process of its tree.
   *
   * @param how the tracer's options
   */
  async trace(args: readonly string[], how: readonly string[], xml = this.xmlFor(args)): Promise<Traced> {
    const report = `${this.places.folder}/report`;
    const traced = ["--under", this.root, "--report", report, ...how];
    const child = this.#spawn([...traced, "--", this.places.hook, ...args], xml);
    const late = setTimeout(() => kill(child), PATIENCE);
    const { code, signal, stderr } = await child.output();
    clearTimeout(late);
    if (signal !== null) throw new Error(`${args.join(" ")} did not end within ${PATIENCE / 1000} s`);
    if (code === 99) throw new Error(`the tracer failed: ${new TextDecoder().decode(stderr)}`);
    const [calls, ...struck] = Deno.readTextFileSync(report).trim().split(" ");
    return {
      code,
      calls: Number(calls),
      struck: struck.length > 0 ? struck.join(" ").replace(this.root, "") : undefined,
      stderr: new TextDecoder().decode(stderr),
    };
  }

  /** Begins a run of the compiled program under the tracer. @param how the tracer's options */
  tracing(args: readonly string[], how: readonly string[]): Tracing {
    const child = this.#spawn(["--under", this.root, ...how, "--", this.places.hook, ...args]);
    const late = setTimeout(() => kill(child), PATIENCE);
    const end = child.output().then(({ code, signal, stderr }) => {
      clearTimeout(late);
      if (signal !== null) throw new Error(`${args.join(" ")} did not end within ${PATIENCE / 1000} s`);
      if (code === 99) throw new Error(`the tracer failed: ${new TextDecoder().decode(stderr)}`);
      return { code };
    });
    end.catch(() => {});
    return { id: child.pid, end, kill: () => kill(child) };
  }

  /** Runs the compiled program without waiting for it or its tree, which dies with its tracer. */
  begin(args: readonly string[]): Begun {
    const { folder, hook } = this.places;
    const code = `${folder}/code`;
    removeIfThere(code);
    const child = this.#spawn([
      ...["--under", this.root, "--", "/bin/sh", "-c", `"$@"; echo $? > ${code}`, "sh", hook],
      ...args,
    ]);
    const begun = Date.now();
    const until = async (condition: () => boolean, patience: number) => {
      for (const late = Date.now() + patience; Date.now() < late;) {
        if (condition()) return true;
        await new Promise((wake) => setTimeout(wake, 50));
      }
      return condition();
    };
    let ended: Promise<unknown> | undefined;
    return {
      hook: async () => {
        if (await until(() => exists(code), PATIENCE)) return (Date.now() - begun) / 1000;
        throw new Error(`${args.join(" ")} did not end within ${PATIENCE / 1000} s`);
      },
      settled: (condition) => until(condition, 2_000),
      end: async () => {
        if (ended === undefined) {
          ended = child.output();
          kill(child);
        }
        await ended;
        // Its tracees die with it, but not before it.
        await new Promise((wake) => setTimeout(wake, 100));
      },
    };
  }

  /** The domain's XML, by the words of an event. */
  xmlFor([domain]: readonly string[]): string {
    return this.guests.get(domain ?? "")?.() ?? this.xml();
  }

  #spawn(args: readonly string[], xml = this.xml()): Deno.ChildProcess {
    const child = new Deno.Command(this.places.tracer, {
      args: [...args],
      clearEnv: true,
      // Without a HOME Deno 2.9 asks the system for one.
      env: { LC_ALL: "C", PATH: "/usr/bin:/bin", HOME: "/" },
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    // A command doesn't read its input, nor does an event that was cut short before.
    writer.write(new TextEncoder().encode(xml)).then(() => writer.close()).catch(() => {});
    return child;
  }

  /** All files as they are, to be had again. A log tells times, and no event reads it. */
  tree(): Tree {
    removeIfThere(`${this.root}/log`);
    for (const name of this.files(this.config)) {
      const path = `${this.config}/${name}`;
      if (name.endsWith(".session")) tellFiles(path, disks, namedFiles);
      if (name.endsWith(".seats")) tellFiles(path, seats, namedSeat);
      if (/\.(session|seats)(\.autorevert-new)?$/.test(name)) withoutTime(path);
      if (/\.starting(\.autorevert-new)?$/.test(name)) withoutStamp(path);
    }
    return new Tree(this.root);
  }

  /** @param moved makes all files anew elsewhere, before the notes tell of them */
  restore(tree: Tree, moved?: () => void): void {
    // The compiled program is told the truth.
    tree.restore({ born: false });
    moved?.();
    for (const name of this.files(this.config)) {
      const path = `${this.config}/${name}`;
      if (name.endsWith(".session")) tellFiles(path, disks, filesNow);
      if (name.endsWith(".seats")) tellFiles(path, seats, seatNow);
    }
    // The word of a start that comes from a save is of use for two minutes.
    const starting = `${this.config}/${DOMAIN}.starting`;
    if (this.files(this.config).includes(`${DOMAIN}.starting`)) {
      Deno.utimeSync(starting, new Date(), new Date());
    }
  }

  /** @param leaks whether clusters may be lost, as they are when a program is killed that writes an image */
  checkImages({ leaks }: { leaks: boolean }): void {
    for (const name of this.files(this.images)) {
      // An overlay that has not taken its name is deleted by whoever finds it.
      if (name.endsWith(".autorevert-new")) continue;
      // Empty files, whose names say all.
      if (/\.autorevert-(master|published\.\d+)$/.test(name)) continue;
      const { code, said } = check(`${this.images}/${name}`);
      if (code === 0 || leaks && code === 3) continue;
      throw new Error(`qemu-img check ${name} ends with ${code}: ${said}`);
    }
  }
}

/** {@link DiskFixture}, whose guest may have firmware. */
export class ProofFixture extends withFirmware(DiskFixture) {}

interface Checked {
  readonly code: number;
  readonly said: string;
}

/** By content: most files of a guest are the same most of the time. */
const checked = new Map<string, Checked>();

function check(image: string): Checked {
  const digest = createHash("sha1").update(Deno.readFileSync(image)).digest("hex");
  const before = checked.get(digest);
  if (before !== undefined) return before;
  const { code, stdout, stderr } = new Deno.Command("qemu-img", {
    args: ["check", "-U", "-f", "qcow2", image],
  }).outputSync();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const now = { code, said: text(stdout) + text(stderr) };
  checked.set(digest, now);
  return now;
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/**
 * The start of a session is the only time in a file that is written anew each time. No file is younger than this one. The time
 * in a version of the configuration is that file's, which stays; so does that of a session of before the boot.
 */
function withoutTime(path: string): void {
  const { mtime } = Deno.lstatSync(path);
  const text = Deno.readTextFileSync(path);
  const blank = text.replaceAll(/(?<!bytes of |since )2\d{3}-\d\d-\d\dT[\d:.]+Z/g, "2126-01-01T00:00:00.000Z")
    // When the configuration was put in place can't be had again.
    .replaceAll(/(bytes of ([\d:.TZ-]+), in place since )[\d:.TZ-]+/g, "$1$2");
  if (blank === text) return;
  Deno.writeTextFileSync(path, blank);
  Deno.utimeSync(path, mtime!, mtime!);
}

/** By what a record tells the session and what is set aside: when these files were made. */
type Told = Pick<SessionRecord, "made" | "setsAside">;

/** Stand for these times in a tree that is to be had again: the files are made anew then. */
const SESSION = 1;
const ENDED = 2;
const ANOTHER = 3;

function namedFiles(record: SessionRecord): Told {
  const { image } = record;
  const [made, endedMade] = [image, namesOf(image).ended].map(madeAt);
  const isSession = !record.firmware && parse(namesOf(image), list(image)).kind === "session";
  const isOwn = endedMade !== undefined && record.setsAside !== endedMade &&
    wasSavedOn({ endedMade, record });
  const told = [
    ...isSession ? [isRecorded({ made, record }) ? SESSION : ANOTHER] : [],
    ...isOwn ? [ENDED] : [],
  ];
  return {
    ...told.length > 0 && { made: told },
    ...endedMade !== undefined && record.setsAside === endedMade && { setsAside: ENDED },
  };
}

function filesNow({ image, made, setsAside }: SessionRecord): Told {
  const [session, ended] = [image, namesOf(image).ended].map(madeAt);
  return {
    ...made &&
      {
        made: made.map((time) => time === SESSION ? session ?? time : time === ENDED ? ended ?? time : time),
      },
    ...setsAside !== undefined && ended !== undefined && { setsAside: ended },
  };
}

function namedSeat({ image, made }: SeatRecord): Pick<SeatRecord, "made"> {
  if (made === undefined) return {};
  const [session, ended] = [image, namesOf(image).ended].map(madeAt);
  return { made: made === session ? SESSION : made === ended ? ENDED : ANOTHER };
}

function seatNow({ image, made }: SeatRecord): Pick<SeatRecord, "made"> {
  if (made === undefined) return {};
  const [session = made, ended = made] = [image, namesOf(image).ended].map(madeAt);
  return { made: made === SESSION ? session : made === ENDED ? ended : made };
}

const disks = {
  parse: parseRecords,
  format: formatRecords,
  without: ({ made: _, setsAside: __, ...rest }: SessionRecord) => rest,
};
const seats = {
  parse: parseSeats,
  format: formatSeats,
  without: ({ made: _, ...rest }: SeatRecord) => rest,
};

/** Notes anew of each disk which files are meant. What was cut short is left as it is. */
function tellFiles<One>(
  path: string,
  { parse, format, without }: {
    readonly parse: (path: string, text: string) => One[];
    readonly format: (records: readonly One[]) => string;
    readonly without: (record: One) => Partial<One>;
  },
  told: (record: One) => Partial<One>,
): void {
  const { mtime } = Deno.lstatSync(path);
  const text = Deno.readTextFileSync(path);
  let next: string;
  try {
    next = format(parse(path, text).map((record) => ({ ...without(record), ...told(record) }) as One));
  } catch {
    return;
  }
  if (next === text) return;
  Deno.writeTextFileSync(path, next);
  Deno.utimeSync(path, mtime!, mtime!);
}

/** A start as an earlier version notes it, without the time and the boot. */
function withoutStamp(path: string): void {
  const { mtime } = Deno.lstatSync(path);
  Deno.writeTextFileSync(path, Deno.readTextFileSync(path).replace(/^(\w+) .*/, "$1"));
  Deno.utimeSync(path, mtime!, mtime!);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function numberOf(list: string[], text: string): number {
  const at = list.indexOf(text);
  return at === -1 ? list.push(text) - 1 : at;
}
