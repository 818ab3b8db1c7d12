/** A real libvirtd in the sandbox, and the words in which the tests speak to it. */

import { assertEquals, assertMatch } from "@std/assert";
import { disk, SECTOR } from "../../demo/guest.ts";

/** Root of the system under test: empty for the machine itself. */
const ROOT = sandboxed();
export const IMAGES = "/var/lib/libvirt/images";
export const CONFIG = "/etc/libvirt/hooks/config";
export const LOG = "/var/log/libvirt/qemu/hooks.log";
const HOOK = "/etc/libvirt/hooks/qemu";
/** On the machine itself libvirt calls the program, in the other system the gate. */
const PROGRAM = ROOT === "" ? HOOK : "/etc/libvirt/hooks/autorevert";

function sandboxed(): string {
  const root = Deno.env.get("ROOT");
  if (root === undefined) {
    throw new Error("outside the sandbox these tests would touch the host's own guests: make e2e");
  }
  return root;
}

/** A path of the system under test, as this process sees it. */
export const at = (path: string) => ROOT + path;

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command on the system under test. */
export async function run(...command: string[]): Promise<Result> {
  return await runIn(ROOT, ...command);
}

/** Where the power was cut: seconds that the machine had been up by then. Its processes run in a time namespace that began after that. */
const cuts = new Map<string, number>();

/** Runs a command on the system in a folder; empty for the machine itself. */
export async function runIn(root: string, ...command: string[]): Promise<Result> {
  const cut = cuts.get(root);
  const [program, ...args] = [
    ...cut === undefined ? [] : ["unshare", "--time", "--boottime", `-${cut}`],
    ...root === "" ? command : ["chroot", root, ...command],
  ];
  const env = { LC_ALL: "C", PATH: "/run/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root" };
  const { code, stdout, stderr } = await new Deno.Command(program!, {
    args,
    env,
    clearEnv: true,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Runs a command that has to succeed; gives its output. */
export async function ok(...command: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...command);
  assertEquals(code, 0, `${command.join(" ")}: ${stderr || stdout}\n${logTail()}`);
  return stdout;
}

export const virsh = (...args: string[]) => ok("virsh", "-q", ...args);

/** `virsh start` and the like that has to fail; gives what the administrator sees. */
export async function refused(...args: string[]): Promise<string> {
  const { code, stderr } = await run("virsh", "-q", ...args);
  assertEquals(code, 1, `virsh ${args.join(" ")} should have failed`);
  return stderr;
}

function logTail(): string {
  try {
    return Deno.readTextFileSync(at(LOG)).split("\n").slice(-25).join("\n");
  } catch {
    return "";
  }
}

/** Puts the hook in place and starts libvirtd. */
export async function startLibvirtd(): Promise<void> {
  Deno.mkdirSync(at(CONFIG), { recursive: true, mode: 0o755 });
  for (const [made, path] of PROGRAM === HOOK ? [["qemu", HOOK]] : [["qemu", PROGRAM], ["gate", HOOK]]) {
    Deno.copyFileSync(new URL(`../../dist/${made}`, import.meta.url), at(path!));
    Deno.chmodSync(at(path!), 0o755);
  }
  await ok("mkdir", "-p", "/run/bin");
  await ok("ln", "-sfn", PROGRAM, "/run/bin/autorevert");
  await startDaemon();
}

/** Starts libvirtd with the hook that is there. */
export async function startDaemon(): Promise<void> {
  await ok("libvirtd", "--daemon");
  await until("libvirtd answers", async () => (await run("virsh", "-q", "list")).code === 0);
}

export async function stopLibvirtd(signal: Deno.Signal = "SIGTERM"): Promise<void> {
  await run("pkill", signal.replace("SIG", "-"), "-x", "libvirtd");
  // It sometimes hangs at its end, with nothing left to do.
  await run("timeout", "10", "sh", "-c", "while pgrep -x libvirtd; do sleep 0.05; done");
  await run("pkill", "-9", "-x", "libvirtd");
  await until("libvirtd has ended", async () => (await run("pgrep", "-x", "libvirtd")).code !== 0);
}

/**
 * All at once and without a hook: libvirtd, the hook, qemu-img and QEMU. Then the host comes up again.
 *
 * @param disks what becomes of the host's file systems meanwhile
 */
export async function powerCut(disks?: () => Promise<void>): Promise<void> {
  await cutPower(disks);
  await startLibvirtd();
}

/** The same, while libvirtd isn't up yet. */
export async function cutPower(disks: () => Promise<void> = () => Promise.resolve()): Promise<void> {
  const victims = "libvirtd|hooks/(qemu|autorevert)|qemu-img|qemu-system";
  await run("pkill", "-9", "-f", victims);
  await until("all is dead", async () => (await run("pgrep", "-f", victims)).code !== 0);
  for (const gone of ["/run/libvirt", "/run/libvirtd.pid"]) await ok("rm", "-rf", gone);
  await disks();
  // The system tells whole seconds, rounded up: what was begun before must be older than the boot all the same.
  await new Promise((wake) => setTimeout(wake, 2_500));
  cuts.set(ROOT, Deno.osUptime() - 1);
}

/** Waits for something that takes a moment; a condition that never comes is a failure. */
export async function until(what: string, holds: () => Promise<boolean>, seconds = 15): Promise<void> {
  for (let tries = 0; tries < 20 * seconds; tries++) {
    if (await holds()) return;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  throw new Error(`in vain waited until ${what}\n${logTail()}`);
}

/** Major and minor version of the libvirt under test. */
async function libvirtVersion(): Promise<number> {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(await ok("libvirtd", "--version"))!;
  return Number(major) * 1000 + Number(minor);
}

/** From libvirt 10.5 on a hook is told why a guest ended. */
export async function tellsReason(): Promise<boolean> {
  return await libvirtVersion() >= 10005;
}

interface GuestOptions {
  /** Count again at every key instead of powering off. */
  stay?: boolean;
  /** One image for each disk, vda first. */
  images?: string[];
  /** The images exist already. */
  made?: boolean;
  /** QEMU doesn't start with it. */
  broken?: boolean;
  /** Its configuration; without one it is left alone. */
  flags?: Record<string, boolean>;
}

const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("'", "&apos;");

/** A guest with the counting boot sector, defined and with its images made. */
export class Guest {
  readonly images: string[];

  protected constructor(readonly name: string, options: GuestOptions) {
    this.images = (options.images ?? [`${name}.img`]).map((name) => `${IMAGES}/${name}`);
  }

  static async define(name: string, options: GuestOptions = {}): Promise<Guest> {
    const guest = new Guest(name, options);
    if (!options.made) { for (const image of guest.images) await makeImage(image, options.stay ?? false); }
    await guest.redefine(options.broken);
    if (options.flags) guest.configure(options.flags);
    return guest;
  }

  /** Defines the domain with its images as at first, whatever its disks have become. */
  async redefine(broken = false): Promise<void> {
    const { stdout } = await run("virsh", "-q", "domuuid", this.name);
    Deno.writeTextFileSync(at("/run/guest.xml"), this.#xml(stdout.trim(), broken));
    await virsh("define", "/run/guest.xml");
  }

  /** In MiB. */
  protected readonly memory: number = 8;
  /** Attributes of its disks' drivers. */
  protected readonly driver: string = "";
  /** What it boots instead of its first disk. */
  protected get kernel(): string {
    return "";
  }
  /** Devices besides its disks. */
  protected readonly devices: string = "";

  #xml(uuid: string, broken: boolean): string {
    const disks = this.images.map((image, index) =>
      `<disk type='file' device='disk'><driver name='qemu' type='qcow2'${this.driver}/><source file='${
        escaped(image)
      }'/>` +
      `<target dev='vd${"abcdef"[index]}' bus='virtio'/><boot order='${index + 1}'/></disk>`
    );
    const extra = broken ? "<qemu:commandline><qemu:arg value='-no-such-option'/></qemu:commandline>" : "";
    return `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>${
      uuid && `<uuid>${uuid}</uuid>`
    }<name>${escaped(this.name)}</name><memory unit='MiB'>${this.memory}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type>${this.kernel}</os><features><acpi/><apic/></features>
<on_crash>destroy</on_crash><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>${disks.join("\n")}
${this.devices}<controller type='usb' model='none'/><memballoon model='none'/>
<serial type='file'><source path='${this.#serial}'/></serial></devices>${extra}</domain>`;
  }

  get #serial(): string {
    return `/run/${encodeURIComponent(this.name)}.serial`;
  }

  /** Writes the guest's configuration; targets with their flags, and what else is set for all of them. */
  configure(flags: Record<string, boolean>, more: Record<string, unknown> = {}): void {
    const disks = Object.entries(flags).map(([target, commit]) => ({
      target,
      "one-shot-commit": commit,
      ...more,
    }));
    Deno.writeTextFileSync(at(`${CONFIG}/${this.name}.json`), JSON.stringify({ disks }), { mode: 0o644 });
  }

  unconfigure(): void {
    Deno.removeSync(at(`${CONFIG}/${this.name}.json`));
  }

  /** The flags as they are in the file now. */
  flags(): Record<string, boolean> {
    const { disks } = JSON.parse(Deno.readTextFileSync(at(`${CONFIG}/${this.name}.json`)));
    return Object.fromEntries(
      disks.map((disk: Record<string, unknown>) => [disk.target, disk["one-shot-commit"]]),
    );
  }

  /** Starts it, and gives what it counted first: one number a disk. */
  async start(): Promise<string> {
    await this.powerOn();
    return await this.counted();
  }

  protected async powerOn(...how: string[]): Promise<void> {
    // A new file: after a power cut libvirt still remembers whom it gave the old one.
    await ok("rm", "-f", this.#serial);
    this.#forgetOutput();
    // Paused: a guest that is off again after 0.1 s confuses libvirt's own start.
    await virsh("start", "--paused", ...how, this.name);
    await virsh("resume", this.name);
  }

  /** Starts it, however often that is refused until a killed merge's qemu-img has come to its end. */
  async startPatiently(): Promise<string> {
    await until(`${this.name} may start`, async () => {
      const { code, stderr } = await run("virsh", "-q", "start", "--paused", this.name);
      if (code !== 0) assertMatch(stderr, /is still written by the qemu-img of a merge that was killed/);
      return code === 0;
    });
    this.#forgetOutput();
    await virsh("resume", this.name);
    return await this.counted();
  }

  /** A whole session of a guest that powers off by itself. */
  async boot(): Promise<string> {
    const counted = await this.start();
    await this.off();
    return counted;
  }

  /** Presses a key, at which a guest that stays counts again. */
  async key(): Promise<string> {
    this.#forgetOutput();
    await virsh("send-key", this.name, "KEY_A");
    return await this.counted();
  }

  /** Writes to the first disk from outside the guest's own code, as its kernel would. */
  async write(kilobytes: number): Promise<void> {
    const device = "/machine/peripheral/virtio-disk0/virtio-backend";
    const command = `qemu-io -d ${device} "write -P 7 64k ${kilobytes}k"`;
    await virsh("qemu-monitor-command", this.name, "--hmp", command);
  }

  /** Waits until its merge has come to its end. */
  async merged(): Promise<void> {
    await until(
      `${this.name} is merged`,
      async () => !this.files().some((name) => /backing_file\.\d/.test(name)) && await this.#isUnlocked(),
    );
  }

  /** Waits for what the guest prints, by default one line. */
  async counted(expected = /\n$/, seconds?: number): Promise<string> {
    let output = "";
    await until(`${this.name} counts`, () => {
      output = Deno.readTextFileSync(at(this.#serial));
      return Promise.resolve(expected.test(output));
    }, seconds);
    return output.trim();
  }

  /** Waits until the guest is off and its release hook is done. */
  async off(): Promise<void> {
    await until(
      `${this.name} is off`,
      async () => (await virsh("domstate", this.name)).trim() === "shut off",
    );
    await this.idle();
  }

  /** Waits until no hook works for this guest: its lock is free. */
  async idle(): Promise<void> {
    await ok("flock", "--wait", "10", `${CONFIG}/${this.name}.lock`, "true");
  }

  async #isUnlocked(): Promise<boolean> {
    const locks = ["lock", "merging"].map((suffix) => `${CONFIG}/${this.name}.${suffix}`).filter(exists);
    for (const lock of locks) if ((await run("flock", "--nonblock", lock, "true")).code !== 0) return false;
    return true;
  }

  async destroy(): Promise<void> {
    await virsh("destroy", this.name);
    await this.off();
  }

  /** Ends, after which it has {@link reverted} to these counts. */
  async endsAs(...counts: number[]): Promise<void> {
    await this.destroy();
    await this.reverted(...counts);
  }

  #forgetOutput(): void {
    Deno.writeTextFileSync(at(this.#serial), "");
  }

  /** The next start writes its counts into a new file: after a crash libvirt still remembers whom it gave the old one. */
  async forgetCounts(): Promise<void> {
    await ok("rm", "-f", this.#serial);
  }

  /** What it has counted since, as far as it is printed; the first disk. */
  counts(): number[] {
    return this.lines().map(Number);
  }

  /** The whole lines that it has printed since its start. */
  protected lines(): string[] {
    try {
      return Deno.readTextFileSync(at(this.#serial)).split(/\r?\n/).slice(0, -1);
    } catch {
      return [];
    }
  }

  /** What is there of the guest's files, names without the folder, and of its notes. */
  files(): string[] {
    return [...Deno.readDirSync(at(IMAGES))].map(({ name }) => name)
      .filter((name) => this.images.some((image) => `${IMAGES}/${name}`.startsWith(image))).sort();
  }

  notes(): string[] {
    return [".session", ".starting"].filter((note) => exists(`${CONFIG}/${this.name}${note}`));
  }

  /** Asserts that nothing is left but the images themselves: each holds this count, and no session is noted. */
  async isPlain(...counts: number[]): Promise<void> {
    await this.merged();
    assertEquals(this.files(), this.images.map((image) => image.slice(IMAGES.length + 1)).sort());
    assertEquals(this.notes(), []);
    for (const [index, count] of counts.entries()) assertEquals(await countOn(this.images[index]!), count);
  }

  /**
   * Asserts that the disks have these counts and nothing of the last session stays for good: where libvirt gives no
   * reason, a session is set aside until the guest is up again, or its configuration is gone.
   */
  async reverted(...counts: number[]): Promise<void> {
    if (!await tellsReason()) await this.nextStartWithoutConfiguration();
    await this.isPlain(...counts);
  }

  /** A guest that is up, and does nothing: what it left is forgotten. */
  async nextStartWithoutConfiguration(): Promise<void> {
    const path = `${CONFIG}/${this.name}.json`;
    const away = `${path}.away`;
    if (exists(path)) Deno.renameSync(at(path), at(away));
    await virsh("start", "--paused", this.name);
    await this.destroy();
    if (exists(away)) Deno.renameSync(at(away), at(path));
  }

  async killQemu(): Promise<void> {
    await ok("pkill", "-9", "-f", `qemu-system.*guest=${this.name},`);
  }

  async showsBackingFile(): Promise<void> {
    assertMatch(await virsh("dumpxml", this.name), /backing_file/);
  }
}

export function exists(path: string): boolean {
  try {
    Deno.lstatSync(at(path));
    return true;
  } catch {
    return false;
  }
}

/**
 * Slows every merge down to so many kilobytes a second, until the returned object is disposed of.
 *
 * @param root the system's
 */
export async function slowMerges(kilobytes: number, root = ROOT): Promise<AsyncDisposable> {
  const program = "/usr/bin/qemu-img";
  const slow = `#!/bin/sh
if [ "$1" = commit ]; then exec /run/qemu-img.real "$@" -r ${kilobytes * 1024}; fi
exec /run/qemu-img.real "$@"
`;
  const outside = async (...command: string[]) => {
    const { code, stderr } = await runIn("", ...command);
    assertEquals(code, 0, stderr);
  };
  await outside("cp", "--remove-destination", root + program, `${root}/run/qemu-img.real`);
  Deno.writeTextFileSync(`${root}/run/qemu-img.slow`, slow, { mode: 0o755 });
  await outside("mount", "--bind", `${root}/run/qemu-img.slow`, root + program);
  return { [Symbol.asyncDispose]: () => outside("umount", "--lazy", root + program) };
}

/** A qcow2 image with the counting guest. */
export async function makeImage(image: string, stay: boolean): Promise<void> {
  Deno.writeFileSync(at("/run/disk.raw"), disk({ stay }));
  await ok("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "/run/disk.raw", image);
}

/** The count that lies on an image, seen through its layers. */
export async function countOn(image: string): Promise<number> {
  const raw = "/run/count.raw";
  await ok("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", image, raw);
  const bytes = Deno.readFileSync(at(raw));
  return new DataView(bytes.buffer).getUint16(SECTOR, true);
}
