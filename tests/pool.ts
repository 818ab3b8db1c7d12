/** A master and its seats: the fixture's own guest has the master as its disk, each seat is a guest of its own. */

import {
  type Circumstance,
  type Content,
  DOMAIN,
  exists,
  Fixture,
  LATER,
  LONG_AGO,
  type Result,
} from "./fixture.ts";
import { diskXml, domainXml } from "./xml.ts";
import { allSeats } from "../lib/host/seat_records.ts";
import { lock } from "../lib/host/lock.ts";
import { guestNames, namesOf } from "../lib/state/paths.ts";
import type { SeatRecord } from "../lib/state/seat_record.ts";
import { formatStart, parseStart } from "../lib/state/step.ts";

/** A test of a master and so many seats. */
export function poolTest(
  name: string,
  seats: number,
  test: (pool: Pool, fixture: Fixture) => void | Promise<void>,
): void {
  Deno.test(name, async () => {
    using fixture = new Fixture();
    await test(new Pool(fixture, Array.from({ length: seats }, (_, index) => `seat${index + 1}`)), fixture);
  });
}

/** A seat of another host, with configurations of its own, on the same images. */
export class FarSeat implements Disposable {
  readonly host: Fixture;
  readonly image: string;
  readonly #how: Circumstance;

  constructor({ fixture, master }: Pool, readonly domain = "far") {
    this.host = new Fixture(undefined, fixture.images);
    this.host.busy = fixture.busy;
    this.host.name = "there";
    this.image = this.host.image(domain);
    const xml = domainXml([diskXml("vda", this.image)]);
    this.#how = { domain, xml };
    const config = { disks: [{ target: "vda", master }] };
    Deno.writeTextFileSync(`${this.host.config}/${domain}.json`, JSON.stringify(config));
    Deno.writeTextFileSync(`${this.host.settings.definedFolder}/${domain}.xml`, xml);
  }

  async event(operation: string, extra = "-", how: Circumstance = {}): Promise<Result> {
    return await this.host.event(operation, extra, { ...this.#how, ...how });
  }

  async start(): Promise<void> {
    await this.host.good("prepare", "-", this.#how);
    await this.host.good("started", "-", this.#how);
    this.host.busy.add(this.image);
  }

  async stop(reason = "shutdown"): Promise<void> {
    this.host.busy.delete(this.image);
    await this.host.good("release", reason, this.#how);
  }

  [Symbol.dispose](): void {
    this.host[Symbol.dispose]();
  }
}

export class Pool {
  readonly master: string;
  /** Seats whose guests have a disk of their own, too. */
  readonly #mixed = new Set<string>();

  constructor(readonly fixture: Fixture, readonly seats: readonly string[] = ["seat1", "seat2", "seat3"]) {
    fixture.disks({ vda: false });
    fixture.define();
    this.master = fixture.image("vda");
    for (const seat of seats) this.configure(seat);
  }

  image(seat: string): string {
    return this.fixture.image(seat);
  }

  /** Lists the guest's disk as a seat, with other keys. */
  configure(seat: string, keys: Readonly<Record<string, unknown>> = {}): void {
    const own = this.#mixed.has(seat) ? [{ target: "vdb" }] : [];
    const disks = [{ target: "vda", master: this.master, ...keys }, ...own];
    Deno.writeTextFileSync(`${this.fixture.config}/${seat}.json`, JSON.stringify({ disks }));
    const xml = `<!-- made by libvirt -->\n${this.xml(seat)}`;
    Deno.writeTextFileSync(`${this.fixture.settings.definedFolder}/${seat}.xml`, xml);
  }

  xml(seat: string): string {
    const own = this.#mixed.has(seat) ? [diskXml("vdb", this.own(seat))] : [];
    return domainXml([diskXml("vda", this.image(seat)), ...own]);
  }

  /** Gives a seat's guest a disk that is managed for itself, vdb. */
  mix(seat: string): string {
    this.#mixed.add(seat);
    this.fixture.save(this.own(seat), null, { base: "own" });
    this.configure(seat);
    return this.own(seat);
  }

  isMixed(seat: string): boolean {
    return this.#mixed.has(seat);
  }

  own(seat: string): string {
    return this.fixture.image(`own-${seat}`);
  }

  async event(seat: string, operation: string, extra = "-", how: Circumstance = {}): Promise<Result> {
    return await this.fixture.event(operation, extra, { xml: this.xml(seat), domain: seat, ...how });
  }

  /** All that libvirt calls when a seat starts, and QEMU opens its image. */
  async start(seat: string, how?: Circumstance): Promise<Result> {
    const result = await this.event(seat, "prepare", "-", how);
    if (result.code !== 0) throw new Error(result.said.join(" | "));
    await this.event(seat, "started");
    this.fixture.busy.add(this.image(seat));
    this.fixture.write(this.image(seat), `by ${seat}`);
    return result;
  }

  /** A guest that was saved comes back. */
  async restore(seat: string, how?: Circumstance): Promise<Result> {
    await this.event(seat, "restore");
    return await this.start(seat, how);
  }

  /** The host has died, with all that ran on it, and is up again: that takes minutes. */
  powerCut(booted = LATER): void {
    const { fixture } = this;
    fixture.busy.clear();
    fixture.booted = booted;
    const ended = (folder: string, ending: string) =>
      fixture.files(folder).filter((name) => name.endsWith(ending)).map((name) => `${folder}/${name}`);
    for (const path of ended(fixture.config, ".starting")) {
      const start = parseStart(Deno.readTextFileSync(path));
      const by = start.by && { ...start.by, at: LONG_AGO, booted: LONG_AGO };
      Deno.writeTextFileSync(path, formatStart({ ...start, ...by && { by } }));
      Deno.utimeSync(path, LONG_AGO, LONG_AGO);
    }
    for (const path of ended(fixture.images, ".autorevert-new")) Deno.utimeSync(path, LONG_AGO, LONG_AGO);
  }

  /**
   * As if a merge of the master were under way, by another process: it has marked what it copies, and stops when it is asked to.
   *
   * @param of the image that it copies
   */
  async mergingUntilAsked(of = this.master, stopped = () => {}): Promise<Disposable & { asked: boolean }> {
    const { merging, stop } = guestNames(this.fixture.config, DOMAIN);
    const { layer, merge } = namesOf(of);
    Deno.linkSync(layer(1), merge(1));
    const held = await lock(merging);
    const timer = setInterval(() => {
      if (!exists(stop) || under.asked) return;
      under.asked = true;
      stopped();
      held[Symbol.dispose]();
    }, 5);
    const under = {
      asked: false,
      [Symbol.dispose]: () => {
        clearInterval(timer);
        if (!under.asked) held[Symbol.dispose]();
      },
    };
    return under;
  }

  /** libvirt keeps the state of a seat's guest that runs. */
  live(seat: string): void {
    const state = `<domstatus state="running">${this.xml(seat)}</domstatus>`;
    Deno.writeTextFileSync(`${this.fixture.settings.liveFolder}/${seat}.xml`, state);
  }

  async stop(seat: string, reason = "shutdown", how?: Circumstance): Promise<Result> {
    this.fixture.busy.delete(this.image(seat));
    return await this.event(seat, "release", reason, how);
  }

  /** The master's guest runs a session that is kept; its merge runs as it would. */
  async commit(value: string, how: Circumstance = { mergeDies: true }): Promise<void> {
    const { fixture } = this;
    fixture.configure({ vda: true });
    await fixture.start();
    fixture.write(this.master, "version", value);
    await fixture.event("release", "shutdown", how);
  }

  /** What a seat's guest sees, without its own traces. */
  version(seat: string): string {
    return this.of(this.fixture.read(this.image(seat)));
  }

  of(content: Content): string {
    return content["version"] ?? "first";
  }

  record(seat: string): SeatRecord | undefined {
    const guest = allSeats(this.fixture.config).find(({ domain }) => domain === seat);
    return guest?.records === "unreadable" ? undefined : guest?.records[0];
  }

  get layers(): readonly number[] {
    const state = this.fixture.state("vda");
    return "layers" in state ? state.layers : [];
  }

  isIdle(seat: string): boolean {
    return !exists(this.image(seat)) && this.record(seat) === undefined;
  }

  async merge(how?: Circumstance): Promise<Result> {
    return await this.fixture.merge({ domain: DOMAIN, ...how });
  }
}
