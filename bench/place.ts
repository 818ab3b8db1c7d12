/** Where the measured hook lives: a temporary folder, with a build of its own for it. */

import { domainXml, target } from "./domain.ts";

export const ROOT = new URL("..", import.meta.url).pathname;
export const QEMU_IMG = "/usr/bin/qemu-img";

/** Runs a command that has to succeed; gives its output. */
export async function ok(program: string, args: string[] = [], input = ""): Promise<string> {
  const child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  // A hook that has nothing to do doesn't read its input.
  await writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { success, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${text(stderr)}`);
  return text(stdout);
}

/** Images, configuration and log in one folder, and the hook that was built for them. */
export class Place {
  readonly images: string;
  readonly config: string;
  /** What libvirt calls: the gate. */
  readonly hook: string;
  /** What the gate calls where there is something to do. */
  readonly program: string;

  private constructor(readonly folder: string, readonly programs: string) {
    this.images = `${folder}/images`;
    this.config = `${folder}/config`;
    this.hook = `${programs}/hook`;
    this.program = `${programs}/autorevert`;
  }

  /** @param programs an existing folder for the binaries */
  static async make(folder: string, programs: string): Promise<Place> {
    const place = new Place(folder, programs);
    for (const made of [programs, place.images, place.config, `${folder}/save`]) {
      await Deno.mkdir(made, { recursive: true, mode: 0o755 });
    }
    await place.#build();
    // As it is installed: a copy. How a file came to be decides how the kernel maps it, for 2 ms of 30.
    await ok("cp", [`${programs}/dist/qemu`, place.program]);
    await ok("cp", [`${programs}/dist/gate`, place.hook]);
    return place;
  }

  /** Whether nothing is beside the guest's images. */
  isPlain({ name, images }: Guest): boolean {
    return [...Deno.readDirSync(this.images)].filter((file) => file.name.startsWith(`${name}-`)).length ===
      images.length;
  }

  async #build(): Promise<void> {
    const env = {
      IMAGE_DIRS: this.images,
      CONFIG_DIR: this.config,
      SAVE_DIR: `${this.folder}/save`,
      DOMAIN_DIR: `${this.folder}/defined`,
      LIVE_DIR: `${this.folder}/live`,
      DAEMONS: `${this.folder}/libvirtd.pid`,
      LOG: `${this.folder}/hooks.log`,
      PROGRAMS: this.hook,
      GATED: this.program,
      DIST: `${this.programs}/dist`,
      QEMU_IMG,
    };
    const args = ["run", "--quiet", "--no-check", "-A", `${ROOT}build/build.ts`];
    const { success } = await new Deno.Command(`${ROOT}build/deno`, { args, env }).output();
    if (!success) throw new Error("the build failed: make build tells why");
  }

  /** A guest with its images and its configuration, as libvirt knows it. */
  async guest(name: string, disks = 1): Promise<Guest> {
    const images = Array.from({ length: disks }, (_, disk) => `${this.images}/${name}-${disk}.img`);
    for (const image of images) await ok(QEMU_IMG, ["create", "-q", "-f", "qcow2", image, "64G"]);
    const guest = new Guest(this, name, images);
    guest.configure(false);
    await Deno.writeTextFile(guest.xml, domainXml(name, images));
    return guest;
  }

  /** A guest whose disk is a seat of another guest's; its image isn't there. */
  async seat(name: string, { images: [master] }: Guest): Promise<Guest> {
    const guest = new Guest(this, name, [`${this.images}/${name}-0.img`]);
    const text = JSON.stringify({ disks: [{ target: target(0), master }] }, undefined, 2);
    Deno.writeTextFileSync(guest.configuration, text, { mode: 0o644 });
    await Deno.writeTextFile(guest.xml, domainXml(name, guest.images));
    return guest;
  }

  /** What is there of a guest's images, of what lies beside them and of its notes, in bytes on the disk. */
  bytesOf({ name }: Guest): number {
    const own = (folder: string, begins: string) =>
      [...Deno.readDirSync(folder)].filter((file) => file.name.startsWith(begins))
        .reduce((sum, file) => sum + (Deno.lstatSync(`${folder}/${file.name}`).blocks ?? 0) * 512, 0);
    return own(this.images, `${name}-`) + own(this.config, `${name}.`);
  }
}

export class Guest {
  constructor(readonly place: Place, readonly name: string, readonly images: readonly string[]) {}

  get xml(): string {
    return `${this.place.folder}/${this.name}.xml`;
  }

  get configuration(): string {
    return `${this.place.config}/${this.name}.json`;
  }

  configure(commit: boolean): void {
    const disks = this.images.map((_, disk) => ({ target: target(disk), "one-shot-commit": commit }));
    Deno.writeTextFileSync(this.configuration, JSON.stringify({ disks }, undefined, 2), { mode: 0o644 });
  }

  /** The command line of an event. */
  event(operation: string, ...more: string[]): string[] {
    return [this.place.hook, this.name, operation, ...more];
  }

  async handle(operation: string, ...more: string[]): Promise<void> {
    const [program, ...args] = this.event(operation, ...more);
    await ok(program!, args, await Deno.readTextFile(this.xml));
  }

  async start(): Promise<void> {
    await this.handle("prepare", "begin", "-");
    await this.handle("started", "begin", "-");
  }
}
