/**
 * Images on NFS 4.2, on a host that loses its power again and again: a kernel that is run as a process, with server, client
 * and the compiled program, and that `kill -9` ends at any time; `CUTS` times, 30 unless it is said. As root.
 *
 * `nfs/init` is what runs there. Here stands what a guest must find: all that flagged sessions have written, and nothing else.
 */

import { assert, assertEquals } from "@std/assert";
import { ROOT, run } from "./places.ts";
import { summarize } from "./shares.ts";
import { Tally } from "./tally.ts";

const CUTS = Number(Deno.env.get("CUTS") ?? 30);
/** Sessions of one boot, at most. */
const SESSIONS = 3;
/** How long a boot may go on until its power is cut, in milliseconds after it is up. */
const LATEST = 30_000;
/** How long a boot may take, in milliseconds. */
const PATIENCE = 300_000;
/** A session's number is the byte that it writes. */
const MOST = 255;

const begun = Date.now();
const tally = new Tally("what", "points");
const system = run(`${ROOT}proof/nfs/system`, []).trim();
const folder = Deno.makeTempDirSync({ dir: "/var/tmp", prefix: "autorevert-nfs-" });

/** Blocks that must be on the disk. */
const kept = new Set<number>();
/** Sessions that have begun, and whether they were flagged. */
const sessions = new Map<number, boolean>();

/** Judges a line of the console. */
function judge(line: string): void {
  const [word, ...rest] = line.split(" ");
  if (word === "sees") {
    const seen = rest.filter(Boolean).map(Number);
    for (const number of kept) assert(seen.includes(number), `session ${number} is lost: ${line}`);
    for (const number of seen) {
      assert(sessions.get(number), `session ${number} should have been forgotten: ${line}`);
      // One whose power was cut before it could say so.
      kept.add(number);
    }
    tally.passed("starts");
  } else if (word === "begun") sessions.set(Number(rest[0]), rest[1] === "flagged");
  else if (word === "wrote" && sessions.get(Number(rest[0]))) kept.add(Number(rest[0]));
  else if (word === "left") assertEquals(rest.filter(Boolean), ["vda.img"]);
  else assert(word !== "error:", line);
}

/**
 * The host comes up and runs some sessions.
 *
 * @param cut when its power is cut, in milliseconds after it is up; never if it isn't given
 * @returns whether it came to its end before
 */
async function boot(cut?: number): Promise<boolean> {
  const first = Math.max(0, ...sessions.keys()) + 1;
  const count = cut === undefined ? 1 : SESSIONS;
  assert(first + count <= MOST, "too many sessions: fewer CUTS");
  const child = new Deno.Command("setsid", {
    args: [
      `${system}/usr/bin/linux.uml`,
      ...["mem=1G", "rootfstype=hostfs", `rootflags=${system}`, "rw", "init=/start", "quiet"],
      ...["con=null", "con0=null,fd:1", `ubd0=${folder}/disk`, `work=${folder}`],
      ...[`first=${first}`, `sessions=${count}`],
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
        judge(line);
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

try {
  const build = ["run", "--quiet", "--no-check", "-A", `${ROOT}build/build.ts`];
  run(`${ROOT}build/deno`, build, {
    IMAGE_DIRS: "/nfs",
    CONFIG_DIR: "/srv/config",
    SAVE_DIR: "/srv/save",
    DOMAIN_DIR: "/srv/defined",
    LIVE_DIR: "/srv/live",
    LOG: "/srv/hooks.log",
    PROGRAMS: "/proof/hook",
    DIST: `${folder}/dist`,
  });
  run("cp", [`${folder}/dist/qemu`, `${folder}/hook`]);
  run("cp", [`${ROOT}proof/nfs/init`, `${folder}/init`]);
  run("truncate", ["-s", "256M", `${folder}/disk`]);
  run("mkfs.ext4", ["-q", `${folder}/disk`]);
  for (let cut = 1; cut <= CUTS; cut++) {
    console.error(`cut ${cut} of ${CUTS}, after session ${Math.max(0, ...sessions.keys())}`);
    tally.passed(await boot(Math.random() * LATEST) ? "boots to their end" : "power cuts");
  }
  await boot();
  tally.passed("boots to their end");
} catch (error) {
  tally.failed("starts", `session ${Math.max(0, ...sessions.keys())}`, error);
} finally {
  Deno.removeSync(folder, { recursive: true });
}
summarize("NFS 4.2", tally, begun);
