/** A guest with UEFI variables and a TPM, which change with its disk. */

import { assertEquals } from "@std/assert";
import { read } from "../lib/host/files.ts";
import { type Circumstance, type Content, exists, Fixture, LONG_AGO } from "./fixture.ts";
import { Pool } from "./pool.ts";

// deno-lint-ignore no-explicit-any
type Constructor = new (...given: any[]) => Fixture;

/** Fixtures whose guest, if it has firmware, writes what it writes to its first disk to that, too. */
export function withFirmware<Base extends Constructor>(base: Base) {
  return class extends base {
    hasFirmware = false;
    /** The guest's file says that its firmware belongs to the disks. */
    isListed = true;

    /** Gives the guest firmware, of which libvirt has made the files already if it `isMade`. */
    addFirmware({ isMade = false } = {}): this {
      this.hasFirmware = true;
      this.settings = { ...this.settings, firmwareFolders: [`${this.root}/firmware`] };
      Deno.mkdirSync(`${this.root}/firmware`);
      if (isMade) this.#make();
      return this;
    }

    get variables(): string {
      return `${this.root}/firmware/guest_VARS.fd`;
    }

    get tpm(): string {
      return `${this.root}/firmware/tpm2-00.permall`;
    }

    #make(): void {
      for (const file of [this.variables, this.tpm]) {
        if (!exists(file)) Deno.writeTextFileSync(file, "{}", { mode: 0o640 });
      }
    }

    override xml(): string {
      if (!this.hasFirmware) return super.xml();
      return super.xml().replace(
        "<devices>",
        `<os><nvram template="/none">${this.variables}</nvram></os><devices>
        <tpm model="tpm-crb"><backend type="emulator" version="2.0">
          <source type="dir" path="${this.root}/firmware"/></backend></tpm>`,
      );
    }

    override configureText(text: string, changed = LONG_AGO): void {
      if (!this.hasFirmware || !this.isListed) return super.configureText(text, changed);
      super.configureText(JSON.stringify({ ...JSON.parse(text), firmware: true }, undefined, 2), changed);
    }

    /** libvirt makes what is missing between `prepare` and `start`. */
    override async event(operation: string, extra?: string, how?: Circumstance) {
      const result = await super.event(operation, extra, how);
      if (!this.hasFirmware || operation !== "prepare" || result.code !== 0) return result;
      this.#make();
      const started = await super.event("start", "-", how);
      return { ...result, ...started, said: [...result.said, ...started.said] };
    }

    override write(image: string, key: string, value = "yes"): void {
      super.write(image, key, value);
      if (!this.hasFirmware || image !== this.image("vda")) return;
      const change = (file: string) => JSON.stringify({ ...JSON.parse(read(file) ?? "{}"), [key]: value });
      Deno.writeTextFileSync(this.variables, change(this.variables));
      // swtpm gives the file its name by a rename.
      Deno.writeTextFileSync(`${this.root}/firmware/TMP`, change(this.tpm));
      Deno.renameSync(`${this.root}/firmware/TMP`, this.tpm);
    }

    /** Names beside the images, and those that an idle firmware shouldn't have. */
    override files(folder?: string): string[] {
      const firmware = folder === undefined && this.hasFirmware ? super.files(`${this.root}/firmware`) : [];
      const left = firmware.filter((name) => !["guest_VARS.fd", "tpm2-00.permall"].includes(name));
      return [...super.files(folder), ...left];
    }

    /** What the guest sees of a disk: of its first one also that the firmware fits to it. */
    override read(image: string): Content {
      const content = super.read(image);
      if (this.hasFirmware && image === this.image("vda") && this.state("vda").kind === "session") {
        const { base: _, ...written } = content;
        for (const file of [this.variables, this.tpm]) {
          const { base: __, ...kept } = JSON.parse(read(file) ?? "{}");
          assertEquals(kept, written, `${file} beside the disk`);
        }
      }
      return content;
    }
  };
}

/** A guest with firmware that has not been started yet. */
export class FirmwareFixture extends withFirmware(Fixture) {
  constructor() {
    super();
    this.addFirmware();
  }
}

/** A guest with firmware and these disks that is up, and has written to them since. */
export async function up(flag: boolean, { keys = {}, targets = ["vda"] } = {}): Promise<FirmwareFixture> {
  const fixture = new FirmwareFixture();
  const all = (flag: boolean) => Object.fromEntries(targets.map((target) => [target, flag]));
  fixture.keys = keys;
  fixture.disks(all(true));
  await fixture.start();
  for (const target of targets) fixture.write(fixture.image(target), "installed");
  await fixture.stop();
  fixture.configure(all(flag));
  await fixture.start();
  for (const target of targets) fixture.write(fixture.image(target), "session");
  return fixture;
}

/** The master's guest has firmware, and so has its seat. */
export class FirmwarePool extends Pool {
  override xml(seat: string): string {
    return this.withVariables(seat, super.xml(seat));
  }

  /** The domain has its variables, and other disks. */
  withVariables(seat: string, xml: string): string {
    return xml.replace("<devices>", `<os><nvram>${this.variables(seat)}</nvram></os><devices>`);
  }

  override configure(seat: string, keys: Readonly<Record<string, unknown>> = {}): void {
    super.configure(seat, keys);
    const path = `${this.fixture.config}/${seat}.json`;
    Deno.writeTextFileSync(path, JSON.stringify({ ...JSON.parse(read(path)!), firmware: true }));
  }

  variables(seat: string): string {
    return `${this.fixture.root}/firmware/${seat}_VARS.fd`;
  }

  content(seat: string): unknown {
    return JSON.parse(read(this.variables(seat))!);
  }

  files(seat: string): string[] {
    return this.fixture.files(`${this.fixture.root}/firmware`).filter((name) => name.startsWith(seat));
  }
}
