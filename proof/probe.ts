/** Compiled with the hook's own permissions, it tries what the hook must not be able to do, and what it must. */

interface Attempt {
  readonly what: string;
  readonly may: boolean;
  /** What the refusal says, where the runtime doesn't pass on the error of Deno. */
  readonly says?: RegExp;
  readonly act: () => unknown;
}

/** Where what it tries lies; the proof that compiles it gives them. */
const { images, config, save, log, outside, qemuImg } = JSON.parse(Deno.args[0]!) as Record<string, string>;

const run = (program: string, args: string[], env?: Record<string, string>) => () => {
  new Deno.Command(program, { args, clearEnv: true, ...env && { env }, stdout: "null", stderr: "null" })
    .outputSync();
};

const attempts: Attempt[] = [
  { what: "read an image", may: true, act: () => Deno.readFileSync(`${images}/file`) },
  { what: "list the image folder", may: true, act: () => [...Deno.readDirSync(images!)] },
  { what: "write an image", may: true, act: () => Deno.writeTextFileSync(`${images}/file`, "") },
  { what: "write a configuration", may: true, act: () => Deno.writeTextFileSync(`${config}/file`, "") },
  { what: "look for a managed save", may: true, act: () => Deno.lstatSync(`${save}/file`) },
  { what: "append to the log", may: true, act: () => Deno.writeTextFileSync(log!, "", { append: true }) },
  { what: "read the log", may: true, act: () => Deno.readTextFileSync(log!) },
  { what: "look how wide an answer may be", may: true, act: () => Deno.env.get("COLUMNS") },
  { what: "ask for the host's name", may: true, act: () => Deno.hostname() },
  { what: "run qemu-img", may: true, act: run(qemuImg!, ["--version"]) },

  { what: "read /etc/passwd", may: false, act: () => Deno.readTextFileSync("/etc/passwd") },
  { what: "read /etc/shadow", may: false, act: () => Deno.readTextFileSync("/etc/shadow") },
  { what: "read its environment in /proc", may: false, act: () => Deno.readFileSync("/proc/self/environ") },
  { what: "read its memory in /proc", may: false, act: () => Deno.openSync("/proc/self/mem") },
  { what: "list /", may: false, act: () => [...Deno.readDirSync("/")] },
  { what: "list /tmp", may: false, act: () => [...Deno.readDirSync("/tmp")] },
  { what: "look at a file outside", may: false, act: () => Deno.lstatSync(`${outside}/file`) },
  { what: "read a file outside", may: false, act: () => Deno.readTextFileSync(`${outside}/file`) },
  {
    what: "read a file outside by way of ..",
    may: false,
    act: () => Deno.readTextFileSync(`${images}/../outside/file`),
  },
  {
    what: "read in a folder whose name begins like the image folder's",
    may: false,
    act: () => Deno.readTextFileSync(`${images}-other/file`),
  },
  { what: "resolve a path outside", may: false, act: () => Deno.realPathSync(`${outside}/file`) },
  { what: "write a managed save", may: false, act: () => Deno.writeTextFileSync(`${save}/file`, "") },
  { what: "write a file outside", may: false, act: () => Deno.writeTextFileSync(`${outside}/new`, "") },
  { what: "write in /tmp", may: false, act: () => Deno.writeTextFileSync("/tmp/autorevert-probe", "") },
  { what: "make a temporary file", may: false, act: () => Deno.makeTempFileSync() },
  { what: "write into /etc/libvirt", may: false, act: () => Deno.writeTextFileSync("/etc/libvirt/new", "") },
  { what: "remove a file outside", may: false, act: () => Deno.removeSync(`${outside}/file`) },
  { what: "chmod a file outside", may: false, act: () => Deno.chmodSync(`${outside}/file`, 0o666) },
  { what: "chown a file outside", may: false, act: () => Deno.chownSync(`${outside}/file`, 1, 1) },
  {
    what: "rename a file from outside",
    may: false,
    act: () => Deno.renameSync(`${outside}/file`, `${images}/new`),
  },
  {
    what: "link a file from outside",
    may: false,
    act: () => Deno.linkSync(`${outside}/file`, `${images}/new`),
  },
  {
    what: "make a symbolic link to outside",
    may: false,
    act: () => Deno.symlinkSync(`${outside}/file`, `${images}/new`),
  },
  { what: "run a shell", may: false, act: run("/bin/sh", ["-c", "true"]) },
  { what: "run qemu-img by its name", may: false, act: run("env", ["qemu-img"]) },
  { what: "run a file from the image folder", may: false, act: run(`${images}/file`, []) },
  {
    what: "run qemu-img with a library of somebody's own",
    may: false,
    act: run(qemuImg!, ["--version"], { LD_PRELOAD: `${images}/file` }),
  },
  { what: "send a signal", may: false, act: () => Deno.kill(Deno.ppid, "SIGCONT") },
  { what: "load a library", may: false, act: () => Deno.dlopen("libc.so.6", {}) },
  { what: "load a library from the image folder", may: false, act: () => Deno.dlopen(`${images}/file`, {}) },
  { what: "read a variable of the environment", may: false, act: () => Deno.env.get("HOME") },
  { what: "read the whole environment", may: false, act: () => Deno.env.toObject() },
  { what: "set a variable of the environment", may: false, act: () => Deno.env.set("LD_PRELOAD", "x") },
  { what: "connect to a host", may: false, act: () => Deno.connect({ hostname: "127.0.0.1", port: 9 }) },
  {
    what: "connect to a socket outside",
    may: false,
    // Somebody listens there: without a permission in the way it would be done.
    says: /connect UNKNOWN|^NotCapable/,
    act: () => connectTo(`${outside}/socket`),
  },
  { what: "listen on a port", may: false, act: () => Deno.listen({ port: 0 }) },
  { what: "ask for a host's address", may: false, act: () => Deno.resolveDns("localhost", "A") },
  { what: "fetch a page", may: false, act: () => fetch("http://127.0.0.1:8009/") },
  {
    what: "import a module from the net",
    may: false,
    says: /Module not found/,
    act: () => import(String("http://127.0.0.1:9/x.js")),
  },
  { what: "ask for the network's interfaces", may: false, act: () => Deno.networkInterfaces() },
  { what: "ask for its user", may: false, act: () => Deno.uid() },
  {
    what: "get a permission by asking",
    may: false,
    act: () => {
      const { state } = Deno.permissions.requestSync({ name: "read", path: "/" });
      if (state !== "granted") throw new Deno.errors.NotCapable(state);
    },
  },
];

/** A Unix socket, by node's interface: Deno's own is not stable. */
async function connectTo(path: string): Promise<void> {
  const { connect } = await import("node:net");
  await new Promise<void>((connected, failed) => {
    connect({ path }, connected).on("error", failed);
  });
}

const outcomes = [];
for (const { what, may, act, says = /^NotCapable/ } of attempts) {
  let outcome = "done";
  try {
    await act();
  } catch (error) {
    outcome = `${(error as Error).name}: ${(error as Error).message}`;
  }
  outcomes.push({ what, may, outcome, isRight: may ? outcome === "done" : says.test(outcome) });
}
console.log(JSON.stringify(outcomes));
// A socket that was let through would keep it alive.
Deno.exit(0);
