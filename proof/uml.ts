/**
 * A whole host that loses its power again and again: a kernel that is run as a process, with the compiled program, and that
 * `kill -9` ends at any time; `CUTS` times for each place of the images, 20 unless it is said. As root.
 *
 * `uml/init` is what runs there. Here stands what a guest must find: all that flagged sessions have written, and nothing else.
 */

import { assert, assertEquals } from "@std/assert";
import { ROOT, run } from "./places.ts";
import { share, summarize } from "./shares.ts";
import { Tally } from "./tally.ts";

const CUTS = Number(Deno.env.get("CUTS") ?? 20);
/** Sessions of one boot, at most. */
const SESSIONS = 3;
/** How long a boot may go on until its power is cut, in milliseconds after it is up. */
const LATEST = 30_000;
/** How long a boot may take, in milliseconds. */
const PATIENCE = 300_000;
/** A session's number is the byte that it writes. */
const MOST = 255;

/** Where the image lies, by the word that `uml/init` knows; the configuration lies on another ext4. */
const stores = [
  { word: "ext4", event: "ext4" },
  { word: "thin", event: "ext4 on a thin volume of LVM" },
  { word: "nfs", event: "NFS 4.2" },
].map((store) => ({ ...store, state: "power cuts" }));

/** A host, whose disks stay when its power is cut. */
class Machine {
  /** Blocks that must be on the guest's disk. */
  readonly #kept = new Set<number>();
  /** Sessions that have begun, and whether they were flagged. */
  readonly #sessions = new Map<number, boolean>();

  constructor(readonly system: string, readonly folder: string, readonly store: string) {
    for (const disk of ["configuration", "images"]) {
      Deno.createSync(`${folder}/${disk}`).close();
      Deno.truncateSync(`${folder}/${disk}`, 256 * 1024 * 1024);
    }
  }

  /** The last session that has begun. */
  get last(): number {
    return Math.max(0, ...this.#sessions.keys());
  }

  /** Judges a line of the console. @returns whether a start was judged */
  #judge(line: string): boolean {
    const [word, ...rest] = line.split(" ");
    if (word === "sees") {
      const seen = rest.filter(Boolean).map(Number);
      for (const number of this.#kept) assert(seen.includes(number), `session ${number} is lost: ${line}`);
      for (const number of seen) {
        assert(this.#sessions.get(number), `session ${number} should have been forgotten: ${line}`);
        // One whose power was cut before it could say so.
        this.#kept.add(number);
      }
      return true;
    }
    if (word === "begun") this.#sessions.set(Number(rest[0]), rest[1] === "flagged");
    else if (word === "wrote" && this.#sessions.get(Number(rest[0]))) this.#kept.add(Number(rest[0]));
    else if (word === "left") assertEquals(rest.filter((name) => name !== "lost+found" && name), ["vda.img"]);
    else assert(word !== "error:", line);
    return false;
  }

  /**
   * The host comes up and runs some sessions.
   *
   * @param passed is called for each start that found what it must
   * @param cut when its power is cut, in milliseconds after it is up; never if it isn't given
   * @returns whether it came to its end before
   */
  async boot(passed: () => void, cut?: number): Promise<boolean> {
    const { system, folder, store } = this;
    const count = cut === undefined ? 1 : SESSIONS;
    assert(this.last + count < MOST, "too many sessions: fewer CUTS");
    const child = new Deno.Command("setsid", {
      args: [
        `${system}/usr/bin/linux.uml`,
        ...["mem=1G", "rootfstype=hostfs", `rootflags=${system}`, "rw", "init=/start", "quiet"],
        ...["con=null", "con0=null,fd:1", `ubd0=${folder}/configuration`, `ubd1=${folder}/images`],
        ...[`work=${folder}`, `store=${store}`, `first=${this.last + 1}`, `sessions=${count}`],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let killed = false;
    const kill = () => {
      killed = true;
      run("kill", ["-9", "--", `-${child.pid}`]);
    };
    const timers = [setTimeout(kill, PATIENCE)];
    let left = "", whole = false;
    try {
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
        const lines = (left + text).split(/\r?\n/);
        left = lines.pop()!;
        for (const line of lines) {
          if (line === "up" && cut !== undefined) timers.push(setTimeout(kill, cut));
          whole ||= line.startsWith("left ");
          if (this.#judge(line)) passed();
        }
      }
    } finally {
      timers.forEach(clearTimeout);
      if (!killed) {
        try {
          kill();
        } catch { /* it has ended by itself */ }
      }
      await child.status;
    }
    assert(whole || killed && cut !== undefined, "it ended by itself, and not at its end");
    return whole;
  }
}

function build(folder: string): void {
  run(`${ROOT}build/deno`, ["run", "--quiet", "--no-check", "-A", `${ROOT}build/build.ts`], {
    IMAGE_DIRS: "/images",
    CONFIG_DIR: "/srv/config",
    SAVE_DIR: "/srv/save",
    DOMAIN_DIR: "/srv/defined",
    LIVE_DIR: "/srv/live",
    LOG: "/srv/hooks.log",
    PROGRAMS: "/proof/hook",
    DIST: `${folder}/dist`,
  });
  run("cp", [`${folder}/dist/qemu`, `${folder}/hook`]);
  run("cp", [`${ROOT}proof/uml/init`, `${folder}/init`]);
}

const begun = Date.now();
const tally = new Tally("images on", "points");
const system = run(`${ROOT}proof/uml/system`, []).trim();
const folder = Deno.makeTempDirSync({ dir: "/var/tmp", prefix: "autorevert-uml-" });
try {
  build(folder);
  for (const [, { word, event }] of share(stores)) {
    const machine = new Machine(system, folder, word);
    const passed = () => tally.passed(`${event}, starts`);
    try {
      for (let cut = 1; cut <= CUTS; cut++) {
        console.error(`cut ${cut} of ${CUTS}, after session ${machine.last}`);
        const whole = await machine.boot(passed, Math.random() * LATEST);
        tally.passed(`${event}, ${whole ? "boots to their end" : "power cuts"}`);
      }
      await machine.boot(passed);
      tally.passed(`${event}, boots to their end`);
    } catch (error) {
      tally.failed(`${event}, starts`, `${event}, session ${machine.last}`, error);
    }
  }
} finally {
  Deno.removeSync(folder, { recursive: true });
}
summarize("A whole host", tally, begun);
