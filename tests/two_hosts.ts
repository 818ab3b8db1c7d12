/** Two hosts with a hook and a configuration each, which share the folder of the images. */

import { DOMAIN, Fixture } from "./fixture.ts";

export class TwoHosts implements Disposable {
  readonly here = new Fixture();
  readonly there: Fixture;

  /**
   * Makes the guest's disks; each host's file has flags of its own.
   *
   * @param sharesConfig both have one folder of configurations
   */
  constructor(
    flags: Readonly<Record<string, boolean>>,
    flagsThere: Readonly<Record<string, boolean>> = flags,
    { sharesConfig = false } = {},
  ) {
    this.there = new Fixture(undefined, this.here.images);
    this.there.busy = this.here.busy;
    this.there.name = "there";
    this.here.disks(flags);
    for (const [target, image] of this.here.sources) this.there.sources.set(target, image);
    if (sharesConfig) {
      this.there.settings = { ...this.there.settings, configFolder: this.here.config };
      Object.assign(this.there, { config: this.here.config });
    } else this.there.configure(flagsThere);
  }

  /** A start, after which a QEMU has the disks open. */
  async start(host: Fixture): Promise<void> {
    await host.start();
    for (const image of host.sources.values()) host.busy.add(image);
  }

  async stop(host: Fixture, reason = "shutdown"): Promise<void> {
    host.busy.clear();
    await host.stop(reason);
  }

  /** What the second host's hook is told before any memory has come. */
  async announce(to: Fixture): Promise<void> {
    for (const operation of ["migrate", "prepare", "start", "started"]) await to.good(operation);
  }

  /** A live migration: from then on the QEMU of the other host has the disks open. */
  async migrate(from: Fixture, to: Fixture, reason = "migrated"): Promise<void> {
    await this.announce(to);
    await from.stop(reason);
  }

  /**
   * One that fails when the source has given up its images' locks already, and gets them again only when the target's end is over.
   * Of a guest whose memory has not come libvirt's file says so until `stopped`.
   */
  async failLate(to: Fixture, reason: string, status = "state='paused' reason='migration'"): Promise<void> {
    await this.announce(to);
    const live = `${to.settings.liveFolder}/${DOMAIN}.xml`;
    Deno.writeTextFileSync(
      live,
      `<domstatus ${status} pid='1'>\n  <job type='none' async='migration in' phase='finish3'>\n`,
    );
    const busy = [...to.busy];
    to.busy.clear();
    await to.good("stopped");
    Deno.removeSync(live);
    await to.good("release", reason);
    for (const image of busy) to.busy.add(image);
  }

  /** One that is given up; the guest runs on where it was. */
  async abort(to: Fixture, reason = "failed"): Promise<void> {
    await this.announce(to);
    await to.stop(reason);
  }

  [Symbol.dispose](): void {
    this.here[Symbol.dispose]();
    this.there[Symbol.dispose]();
  }
}
