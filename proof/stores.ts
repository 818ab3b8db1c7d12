/**
 * Each event on real file systems, in loop devices: to its end, cut by a power failure, and with the image folder read-only
 * from some step on. As root, in a mount namespace of its own.
 */

import { assert } from "@std/assert";
import * as files from "../lib/host/files.ts";
import { DOMAIN, exists } from "../tests/fixture.ts";
import { type Cut, eachEvent } from "./cuts.ts";
import { inPlaces, ROOT, run } from "./places.ts";
import { ProofFixture } from "./proof_fixture.ts";
import { isShort, sample, share, shared } from "./shares.ts";
import { Tally } from "./tally.ts";
import { Trial } from "./trial.ts";

/** Of so many calls, or steps, one is tried. */
const STRIDE = Number(Deno.env.get("EVERY")) || (isShort ? 60 : 12);
/** Least size that mkfs.xfs takes, in MiB. */
const SIZE = 320;

/** A file system that is mounted. */
interface Mounted extends Disposable {
  /** What lies there is on the disk, as it would be long after it was written. */
  readonly settle: () => void;
  /** Has all that lies there lie below what is written from now on. */
  readonly lower?: () => void;
  /** The host goes off and on: what was not written to the disk is gone. */
  readonly powerCut?: () => void;
  /** Nothing of it can be reached while the returned object is there. */
  readonly unreachable?: () => Disposable;
}

interface Store {
  readonly name: string;
  /** @param folder where it is mounted; beside that it may make files */
  readonly mount: (folder: string) => Mounted;
}

function onDisk(name: string, type: string, options = "defaults"): Store {
  const mount = (folder: string): Mounted => {
    const disk = `${folder}.disk`;
    const on = () => run("mount", ["-o", `loop,${options}`, disk, folder]);
    run("truncate", ["-s", `${SIZE}M`, disk]);
    run(`mkfs.${type}`, ["-q", disk]);
    on();
    return {
      settle: () => run("sync", ["-f", folder]),
      powerCut: () => {
        // What has reached the disk by now; the rest is still in the memory of the file system.
        run("cp", ["--sparse=always", disk, `${disk}.cut`]);
        run("umount", [folder]);
        Deno.renameSync(`${disk}.cut`, disk);
        on();
      },
      [Symbol.dispose]: () => {
        run("umount", [folder]);
        Deno.removeSync(disk);
      },
    };
  };
  return { name, mount };
}

const inMemory: Store = {
  name: "tmpfs",
  mount: (folder) => {
    run("mount", ["-t", "tmpfs", "tmpfs", folder]);
    return { settle: () => {}, [Symbol.dispose]: () => void run("umount", [folder]) };
  },
};

/**
 * What lies there before an event lies in the lower of the two: each file goes up when it is changed. Without an index its
 * hard links would be torn apart by that, and a disk of several layers be refused.
 */
const inLayers: Store = {
  name: "overlay file system, index=on",
  mount: (folder) => {
    const [below, merged] = [`${folder}.layers`, folder];
    Deno.mkdirSync(below);
    run("mount", ["-t", "tmpfs", "tmpfs", below]);
    const on = () => {
      for (const name of ["lower", "upper", "work"]) Deno.mkdirSync(`${below}/${name}`, { recursive: true });
      const layers = `lowerdir=${below}/lower,upperdir=${below}/upper,workdir=${below}/work,index=on`;
      run("mount", ["-t", "overlay", "overlay", "-o", layers, merged]);
    };
    on();
    return {
      settle: () => {},
      lower: () => {
        run("cp", ["-a", merged, `${below}/settled`]);
        run("umount", [merged]);
        run("rm", ["-rf", ...["lower", "upper", "work"].map((name) => `${below}/${name}`)]);
        Deno.renameSync(`${below}/settled`, `${below}/lower`);
        on();
      },
      [Symbol.dispose]: () => {
        run("umount", [merged]);
        run("umount", [below]);
        Deno.removeSync(below);
      },
    };
  },
};

/**
 * A volume of one brick, which lies on an ext4. The server has a network and processes of its own, and has its power always: the
 * host that loses it is the client.
 */
const served: Store = {
  name: "GlusterFS",
  mount: (folder) => {
    const brick = `${folder}.brick`;
    Deno.mkdirSync(brick);
    const disk = onDisk("", "ext4").mount(brick);
    const states = ["/run", "/var/lib/glusterd", "/var/log/glusterfs"];
    for (const state of states) run("mount", ["-t", "tmpfs", "tmpfs", state]);
    const spawn = (...args: string[]) =>
      new Deno.Command("setpriv", { args: ["--pdeathsig", "KILL", ...args], stdin: "null", stdout: "null" })
        .spawn();
    const until = (condition: string) =>
      run("timeout", ["60", "sh", "-c", `until ${condition}; do sleep 0.1; done`]);
    const kill = (child: Deno.ChildProcess) => {
      child.kill("SIGKILL");
      until(`! [ -e /proc/${child.pid} ] || grep -q '^State:.Z' /proc/${child.pid}/status`);
    };
    const inside = ["--net", "--pid", "--mount-proc", "--fork", "--kill-child"];
    const server = spawn("unshare", ...inside, `${ROOT}proof/gluster`, `${brick}/images`);
    until("[ -e /run/images-are-served ]");
    const on = () => {
      const from = ["--volfile-server=10.9.0.1", "--volfile-id=/images"];
      const child = spawn(
        ...["nsenter", "--net", "-t", `${server.pid}`],
        ...["glusterfs", "--no-daemon", "--enable-ino32", ...from, folder],
      );
      until(`mountpoint -q ${folder} && ls ${folder} > /dev/null`);
      return child;
    };
    let client = on();
    const off = () => kill(client);
    const onAgain = () => {
      run("umount", ["-l", folder]);
      client = on();
    };
    return {
      settle: () => run("sync", ["-f", folder]),
      powerCut: () => {
        off();
        onAgain();
      },
      unreachable: () => {
        off();
        return { [Symbol.dispose]: onAgain };
      },
      [Symbol.dispose]: () => {
        off();
        run("umount", ["-l", folder]);
        kill(server);
        disk[Symbol.dispose]();
        for (const state of states) run("umount", [state]);
        Deno.removeSync(brick);
      },
    };
  },
};

/** In the short run those for which nothing has to be installed. */
const stores: readonly Store[] = [
  onDisk("ext4", "ext4"),
  onDisk("xfs", "xfs"),
  onDisk("btrfs", "btrfs"),
  onDisk("btrfs with nodatacow", "btrfs", "nodatacow"),
  inMemory,
  inLayers,
  ...isShort ? [] : [served],
];

/** The images can only be read while the returned object is there. */
function readOnly(folder: string): Disposable {
  run("mount", ["--bind", folder, folder]);
  run("mount", ["-o", "remount,bind,ro", folder]);
  return { [Symbol.dispose]: () => void run("umount", [folder]) };
}

/** Runs an event or command in this process, whose storage fails from a step on; undefined if there is no such step. */
async function failing(
  cut: Cut,
  fixture: ProofFixture,
  from: number,
  fail: () => Disposable,
): Promise<number | undefined> {
  using closed = new DisposableStack();
  let steps = 0;
  const how: Parameters<ProofFixture["event"]>[2] = {
    perform: (inner) => async (step, control) => {
      if (++steps === from) closed.use(fail());
      await inner(step, control);
    },
  };
  const [first, operation, , extra] = cut.args;
  const { code } = first === DOMAIN
    ? await fixture.event(operation!, extra, how)
    : await fixture.type(cut.args, true, how);
  return steps < from ? undefined : code;
}

/** What a step of the program has done to names is there when the power fails right after it. */
function checkNames(folder: string, powerCut: () => void): void {
  const [one, two, three] = ["one", "two", "three"].map((name) => `${folder}/${name}`) as [
    string,
    string,
    string,
  ];
  files.write(one, "content", { durable: true });
  files.link(one, two);
  powerCut();
  assert(files.read(one) === "content" && files.sameFile(one, two), "a link is there after a power cut");
  files.rename(two, three);
  powerCut();
  assert(!exists(two) && files.sameFile(one, three), "a rename is there after a power cut");
  files.remove(one);
  powerCut();
  assert(!exists(one) && files.read(three) === "content", "a removal is there after a power cut");
  files.remove(three);
}

// Each share has a mount namespace of its own.
if (Deno.env.has("PROOF_CLAIMS") && !Deno.env.has("PROOF_STORES")) {
  const { code } = await new Deno.Command("unshare", {
    args: [
      "--mount",
      "--propagation",
      "private",
      `${ROOT}build/deno`,
      "run",
      "--quiet",
      "--no-check",
      "-A",
      import.meta.url,
    ],
    env: { PROOF_STORES: "1" },
  }).spawn().status;
  Deno.exit(code);
}

if (!isShort) run(`${ROOT}build/need`, ["glusterd:glusterfs-server", "glusterfs:glusterfs-client"]);

await shared(import.meta.url, "Real file systems", new Tally("file system", "points"), async (tally) => {
  await inPlaces(async (places) => {
    // In the short run each store has an event of its own.
    const list = stores.flatMap((store, number) =>
      sample(eachEvent()).filter((_, at) => !isShort || at === number).map((cut) => ({
        store,
        cut,
        event: store.name,
        state: `${cut.event}, ${cut.state}`,
      }))
    );
    const folder = `${places.folder}/store`;
    Deno.mkdirSync(folder);
    for (const [index, { store, cut, event, state }] of share(list)) {
      using mounted = store.mount(folder);
      const fixture = new ProofFixture(places);
      const trial = await Trial.of(cut, fixture);
      const laid = () => {
        fixture.restore(trial.before, mounted.lower);
        mounted.settle();
      };
      /** @returns whether there may be a point after this one */
      const attempt = async (row: string, where: string, point: () => Promise<boolean>) => {
        try {
          if (!await point()) return false;
          tally.passed(row);
        } catch (error) {
          tally.failed(row, `${event}: ${state}, ${where}`, error);
          return false;
        }
        return true;
      };
      const { powerCut } = mounted;
      if (powerCut !== undefined) {
        await attempt(`${event}, power cut`, "names after a power cut", () => {
          checkNames(folder, powerCut);
          return Promise.resolve(true);
        });
      }
      const first = 1 + index * 17 % STRIDE;

      await attempt(event, "to its end", async () => {
        laid();
        const { code } = await fixture.trace(cut.args, []);
        await trial.check("fault", code === 0);
        return true;
      });
      const failures = { "read-only": () => readOnly(fixture.images), "out of reach": mounted.unreachable };
      for (const [how, fail] of Object.entries(failures)) {
        for (let step = 1 + index % 3, more = fail !== undefined; more; step += 3) {
          more = await attempt(`${event}, ${how}`, `${how} from step ${step} on`, async () => {
            laid();
            const code = await failing(cut, fixture, step, fail!);
            if (code === undefined) return false;
            await trial.check("fault", code === 0);
            return true;
          });
        }
      }
      for (let call = first, more = powerCut !== undefined; more; call += STRIDE) {
        more = await attempt(`${event}, power cut`, `power cut before call ${call}`, async () => {
          laid();
          const { struck } = await fixture.trace(cut.args, ["--kill-at", `${call}`]);
          if (struck === undefined) return false;
          powerCut!();
          await trial.check("reboot");
          return true;
        });
      }
    }
  }, { fixture: "store/fixture" });
});
