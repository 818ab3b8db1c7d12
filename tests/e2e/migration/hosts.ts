/** Two hosts, each with a libvirtd and a hook of its own, that share the folder of their images. */

import { assertEquals, assertMatch } from "@std/assert";
import { exists } from "../../fixture.ts";
import { makeFatImage } from "../firmware/guest.ts";
import { CONFIG, IMAGES, LOG, makeImage, type Result, runIn, until } from "../libvirt.ts";
import { countsIn } from "../../../demo/uefi.ts";

export const NVRAM = "/var/lib/libvirt/qemu/nvram";

type Flags = Readonly<Record<string, boolean>>;

export class Machine {
  /** As `virsh` of the machine that runs the tests reaches it. */
  readonly uri: string;

  /** @param root where its system lies; empty for the machine itself */
  constructor(readonly name: string, readonly root: string) {
    this.uri = `qemu+unix:///system?socket=${root}/run/libvirt/libvirt-sock`;
  }

  /** A path of its system, as this process sees it. */
  at(path: string): string {
    return this.root + path;
  }

  async run(...command: string[]): Promise<Result> {
    return await runIn(this.root, ...command);
  }

  async ok(...command: string[]): Promise<string> {
    return succeeded(command, await this.run(...command), this);
  }

  async virsh(...args: string[]): Promise<string> {
    return succeeded(args, await this.tryVirsh(...args), this);
  }

  async tryVirsh(...args: string[]): Promise<Result> {
    return await runIn("", "virsh", "-q", "-c", this.uri, ...args);
  }

  async autorevert(...args: string[]): Promise<string> {
    return await this.ok("/etc/libvirt/hooks/autorevert", ...args);
  }

  /** @param hook the program; none where the host has no hook */
  async boot(hook: string | undefined = "dist/qemu"): Promise<void> {
    Deno.mkdirSync(this.at(CONFIG), { recursive: true, mode: 0o755 });
    if (hook !== undefined) {
      const files = { autorevert: hook, qemu: "dist/gate" };
      for (const [name, made] of Object.entries(files)) {
        await runIn("", "install", "-m", "755", made, this.at(`/etc/libvirt/hooks/${name}`));
      }
    }
    await this.startLibvirtd();
  }

  async startLibvirtd(): Promise<void> {
    // A host name of its own: libvirt refuses to migrate to the same host.
    const start = `hostname ${this.name}; exec chroot ${this.root || "/"} libvirtd --daemon`;
    succeeded([start], await runIn("", "unshare", "--uts", "sh", "-c", start), this);
    await until(`libvirtd of ${this.name} answers`, async () => (await this.tryVirsh("list")).code === 0);
  }

  get libvirtd(): number {
    return Number(Deno.readTextFileSync(this.at("/run/libvirtd.pid")));
  }

  /** The QEMU of a guest. */
  qemu(guest: string): number {
    return Number(Deno.readTextFileSync(this.at(`/run/libvirt/qemu/${guest}.pid`)));
  }

  async killLibvirtd(): Promise<void> {
    const pid = this.libvirtd;
    Deno.kill(pid, "SIGKILL");
    await until("libvirtd is gone", () => Promise.resolve(!exists(`/proc/${pid}/exe`)));
  }

  /** From libvirt 10.5 on a hook is told why a guest ended. */
  async tellsReason(): Promise<boolean> {
    const [, major, minor] = /(\d+)\.(\d+)/.exec(await this.ok("libvirtd", "--version"))!;
    return Number(major) * 1000 + Number(minor) >= 10005;
  }

  log(): string {
    return exists(this.at(LOG)) ? Deno.readTextFileSync(this.at(LOG)) : "";
  }
}

function succeeded(command: readonly string[], { code, stdout, stderr }: Result, host: Machine) {
  assertEquals(code, 0, `${host.name}: ${command.join(" ")}: ${stderr || stdout}\n${host.log()}`);
  return stdout;
}

const roots = [Deno.env.get("ROOT"), Deno.env.get("SECOND")];
if (roots.includes(undefined)) throw new Error("these tests need two hosts: make e2e");
export const [one, two] = roots.map((root, index) => new Machine(`host${index + 1}`, root!)) as [
  Machine,
  Machine,
];

/** Why a start is refused for a while where the other host merges. */
const TAKEN = /open in another process|Could not open|changed by another host|is still written by/;

interface MigratingOptions {
  readonly disks?: number;
  readonly keys?: Readonly<Record<string, unknown>>;
  /** Its QEMU is root's: only that may have userfaultfd(2), which post-copy needs. */
  readonly isRoot?: boolean;
  /** Of its images. */
  readonly folder?: string;
  /** Its disk is a seat of this master. */
  readonly master?: string;
  /** It has UEFI, and counts its boots in a variable and in a file on its disk. */
  readonly firmware?: { readonly tpm: boolean };
}

/** A guest that counts at every key, on either host. */
export class MigratingGuest {
  readonly images: readonly string[];
  readonly #keys: Readonly<Record<string, unknown>>;
  readonly #isRoot: boolean;
  readonly #master: string | undefined;
  readonly #firmware: MigratingOptions["firmware"];
  readonly #uuid = crypto.randomUUID();

  private constructor(
    readonly name: string,
    { disks = 1, keys = {}, isRoot = false, folder = IMAGES, master, firmware }: MigratingOptions,
  ) {
    this.images = [..."abc"].slice(0, disks).map((letter) => `${folder}/${name}-${letter}.img`);
    this.#keys = keys;
    this.#isRoot = isRoot;
    this.#master = master;
    this.#firmware = firmware;
  }

  static async make(name: string, options: MigratingOptions = {}): Promise<MigratingGuest> {
    const guest = new MigratingGuest(name, options);
    if (options.firmware) await makeFatImage(guest.images[0]!, { stays: true });
    else if (options.master === undefined) { for (const image of guest.images) await makeImage(image, true); }
    return guest;
  }

  get #serial(): string {
    return `/run/${this.name}.serial`;
  }

  /** A machine and a CPU that both QEMUs have. */
  #xml(): string {
    const disks = this.images.map((image, index) =>
      `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/>` +
      `<target dev='vd${"abc"[index]}' bus='virtio'/><boot order='${index + 1}'/></disk>`
    );
    const label = this.#isRoot
      ? "<seclabel type='static' model='dac' relabel='yes'><label>+0:+0</label></seclabel>"
      : "";
    const uefi = this.#firmware
      ? "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>" +
        "<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>"
      : "";
    const tpm = this.#firmware?.tpm
      ? "<tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'/></tpm>"
      : "";
    const memory = this.#firmware ? 128 : 64;
    return `<domain type='qemu'><name>${this.name}</name><uuid>${this.#uuid}</uuid><memory unit='MiB'>${memory}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>${uefi}</os><features><acpi/><apic/></features>
<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
<on_crash>destroy</on_crash><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>${disks.join("\n")}
${tpm}<controller type='usb' model='none'/><memballoon model='none'/>
<serial type='file'><source path='${this.#serial}'/></serial></devices>${label}</domain>`;
  }

  /** @param firmware whether its firmware goes with its disks there, if it has any */
  configure(
    host: Machine,
    flags: Flags = {},
    keys: Readonly<Record<string, unknown>> = {},
    firmware = this.#firmware !== undefined,
  ): void {
    const disks = this.#master === undefined
      ? Object.entries(flags).map(([target, commit]) => ({
        target,
        "one-shot-commit": commit,
        ...this.#keys,
        ...keys,
      }))
      : [{ target: "vda", master: this.#master, ...this.#keys, ...keys }];
    const path = host.at(`${CONFIG}/${this.name}.json`);
    Deno.writeTextFileSync(path, JSON.stringify({ disks, ...firmware && { firmware } }), { mode: 0o644 });
  }

  flags(host: Machine): Flags {
    const { disks } = JSON.parse(Deno.readTextFileSync(host.at(`${CONFIG}/${this.name}.json`)));
    return Object.fromEntries(
      disks.map((disk: Record<string, unknown>) => [disk.target, disk["one-shot-commit"]]),
    );
  }

  /** Starts it; gives what it counts first. */
  async start(host: Machine): Promise<string> {
    // As long as the other host merges, the start is refused.
    await until(`${this.name} starts`, async () => {
      const { code, stderr } = await this.tryStart(host);
      if (code !== 0) assertMatch(stderr, TAKEN);
      return code === 0;
    });
    return await this.counted(host);
  }

  async tryStart(host: Machine): Promise<Result> {
    if ((await host.tryVirsh("domuuid", this.name)).code !== 0) {
      Deno.writeTextFileSync(host.at("/run/guest.xml"), this.#xml());
      await host.virsh("define", host.at("/run/guest.xml"));
    }
    this.#forgetOutput(host);
    return await host.tryVirsh("start", this.name);
  }

  async restore(host: Machine, save: string): Promise<void> {
    this.#forgetOutput(host);
    // As long as the other host merges, the start is refused.
    await until(`${this.name} is restored`, async () => (await host.tryVirsh("restore", save)).code === 0);
    await this.idle(host);
  }

  async key(host: Machine): Promise<string> {
    this.#forgetOutput(host);
    await host.virsh("send-key", this.name, "KEY_A");
    return await this.counted(host);
  }

  /** Writes to the first disk from outside the guest's own code, as its kernel would. */
  async write(host: Machine, kilobytes: number): Promise<void> {
    const device = "/machine/peripheral/virtio-disk0/virtio-backend";
    const command = `qemu-io -d ${device} "write -P 7 64k ${kilobytes}k"`;
    await host.virsh("qemu-monitor-command", this.name, "--hmp", command);
  }

  async counted(host: Machine): Promise<string> {
    const [line, seconds] = this.#firmware ? [/counted \d/, 60] as const : [/\n$/, 15] as const;
    let output = "";
    await until(`${this.name} counts on ${host.name}`, () => {
      output = Deno.readTextFileSync(host.at(this.#serial));
      return Promise.resolve(line.test(output));
    }, seconds);
    if (!this.#firmware) return output.trim();
    const { counted, disk } = countsIn(output);
    return `${counted}, disk ${disk}`;
  }

  /** Boots anew where it runs. */
  async reset(host: Machine): Promise<string> {
    this.#forgetOutput(host);
    await host.virsh("reset", this.name);
    return await this.counted(host);
  }

  /** Hashes of its variables, and of its TPM's state if it has one. */
  async firmware(host: Machine, suffix = ""): Promise<string[]> {
    const tpm = `/var/lib/libvirt/swtpm/${this.#uuid}/tpm2/tpm2-00.permall`;
    const paths = [`${NVRAM}/${this.name}_VARS.fd`, ...this.#firmware?.tpm ? [tpm] : []];
    const hashes = paths.map(async (path) => (await host.ok("sha256sum", path + suffix)).split(" ")[0]!);
    return await Promise.all(hashes);
  }

  async tryMigrate(from: Machine, to: Machine, ...flags: string[]): Promise<Result> {
    this.#forgetOutput(to);
    return await from.tryVirsh(
      ...["migrate", "--live", "--unsafe", "--persistent", "--undefinesource", ...flags],
      ...[this.name, to.uri, "--migrateuri", "tcp://127.0.0.1"],
    );
  }

  /** A migration that is under way, and takes so long that something can happen in its middle. */
  async beginMigration(
    from: Machine,
    to: Machine,
    ...flags: string[]
  ): Promise<{ readonly migration: Promise<Result> }> {
    await from.virsh("migrate-setspeed", this.name, "1");
    const migration = this.tryMigrate(from, to, ...flags);
    await until(
      "it migrates",
      async () => (await to.tryVirsh("domstate", this.name)).stdout.includes("paused"),
    );
    return { migration };
  }

  /** Waits until the memory is on its way. */
  async isUnderWay(from: Machine): Promise<void> {
    await until(
      "memory goes over",
      async () => (await from.tryVirsh("domjobinfo", this.name)).stdout.includes("Memory processed"),
    );
  }

  /** Has it go on at the target at once, while its memory still comes. */
  async startPostCopy(from: Machine): Promise<void> {
    await until(
      "post-copy begins",
      async () => (await from.tryVirsh("migrate-postcopy", this.name)).code === 0,
    );
  }

  async migrate(from: Machine, to: Machine, ...flags: string[]): Promise<void> {
    const { code, stderr } = await this.tryMigrate(from, to, ...flags);
    assertEquals(code, 0, `${stderr}\n${from.log()}\n${to.log()}`);
    await this.idle(from);
    await this.idle(to);
  }

  async destroy(host: Machine): Promise<void> {
    await host.virsh("destroy", this.name);
    await this.idle(host);
  }

  async isOff(host: Machine): Promise<boolean> {
    const { stdout } = await host.tryVirsh("list", "--name");
    return !stdout.split("\n").includes(this.name);
  }

  /** Waits until no hook or merge works for this guest. */
  async idle(host: Machine): Promise<void> {
    for (const lock of ["lock", "merging"]) {
      const path = host.at(`${CONFIG}/${this.name}.${lock}`);
      if (exists(path)) await runIn("", "flock", "--wait", "20", path, "true");
    }
  }

  /** What lies in the image folder of this guest, without its name. */
  files(): string[] {
    return [...Deno.readDirSync(one.at(IMAGES))].map(({ name }) => name)
      .filter((name) => name.startsWith(`${this.name}-`)).map((name) => name.slice(this.name.length + 1))
      .sort();
  }

  notes(host: Machine): string[] {
    return [...Deno.readDirSync(host.at(CONFIG))].map(({ name }) => name)
      .filter((name) => ["session", "seats", "starting"].some((note) => name === `${this.name}.${note}`))
      .sort();
  }

  #forgetOutput(host: Machine): void {
    Deno.writeTextFileSync(host.at(this.#serial), "");
  }
}
