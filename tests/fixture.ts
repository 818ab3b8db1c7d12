/**
 * A small fixture for an event to happen in: images, a configuration, a domain, and a `qemu-img` whose images are JSON
 * files. The events themselves, the steps and the files are the real ones.
 */

import { about } from "../lib/command/help.ts";
import { UserError } from "../lib/errors.ts";
import type { EventContext } from "../lib/hook/context.ts";
import { handle } from "../lib/hook/hook.ts";
import { mergeGuest } from "../lib/hook/merge.ts";
import { list, read, sameFile } from "../lib/host/files.ts";
import { type Host, startStamp } from "../lib/host/host.ts";
import { type Lock, lock } from "../lib/host/lock.ts";
import { Locks } from "../lib/host/locks.ts";
import { performer } from "../lib/host/perform.ts";
import type { QemuImg } from "../lib/host/qemu_img.ts";
import { Run } from "../lib/host/run.ts";
import { readRecords } from "../lib/host/session_records.ts";
import { eventOf, type Verb } from "../lib/input/event.ts";
import { defaults, type Settings } from "../lib/settings.ts";
import { guestNames, namesOf } from "../lib/state/paths.ts";
import type { PendingOperation } from "../lib/state/session_record.ts";
import { parse, type State, topOf } from "../lib/state/state.ts";
import "./file_times.ts";
import { diskXml, domainXml } from "./xml.ts";

/** What a guest sees of a disk. */
export type Content = Readonly<Record<string, string>>;

/** One image of the fake `qemu-img`. */
interface FakeImage {
  readonly backing: string | null;
  readonly data: Content;
  readonly snapshots?: readonly string[];
}

/** What came of an event. */
export interface Result {
  readonly code: number;
  /** Standard error. */
  readonly said: readonly string[];
  readonly log: readonly string[];
  /** Standard output of a dry run. */
  readonly shown: readonly string[];
  /** Standard output of a command. */
  readonly printed: readonly string[];
  /** What came of the merge that it started: a process of its own, which nobody hears. */
  readonly merge: Result | undefined;
}

/** How an event differs from an ordinary one. */
export interface Circumstance {
  readonly xml?: string;
  readonly dry?: boolean;
  readonly domain?: string;
  readonly perform?: (inner: Host["perform"]) => Host["perform"];
  /** Puts something between the program and its host. */
  readonly wrap?: (host: Host) => Host;
  /** Takes the guest whose merge is started, instead of running it. */
  readonly background?: (domain: string) => void;
  /** The merge that it starts never runs, as if its process were killed at once. */
  readonly mergeDies?: boolean;
}

/** How a command is given. */
export interface Manner extends Circumstance {
  readonly target?: string;
  /** What the administrator answers; undefined where `--yes` spares the question. */
  readonly answer?: boolean | (() => boolean);
}

export const DOMAIN = "guest";
export const NOW = new Date("2026-01-01");
/** Before any write of a session. */
export const LONG_AGO = new Date("2001-01-01");
/** After any write of a session. */
export const LATER = new Date("2099-01-01");

/**
 * Waits until what is stamped now is later than what was stamped before. Deno tells when a file was put in place in whole seconds;
 * where only the times of contents decide, some `milliseconds` are enough.
 */
export async function afterClockTick(milliseconds = 1100): Promise<void> {
  await new Promise((wake) => setTimeout(wake, milliseconds));
}

export class Fixture implements Disposable {
  readonly images: string;
  readonly config: string;
  /** The domain's disks: target and source. */
  readonly sources = new Map<string, string>();
  /** Images that another process has open. */
  busy = new Set<string>();
  /** Images that QEMU has marked as corrupt. */
  readonly corrupt = new Set<string>();
  /** Overlays that there is no space for. */
  readonly full = new Set<string>();
  /** Whether layers can be merged. */
  merges = true;
  /** Columns of the terminal. */
  width: number | undefined;
  /** What every file system is: ext4. */
  fileSystem = 0xef53;
  /** Free bytes of every file system. */
  free = Infinity;
  /** Other keys of every disk in the guest's file. */
  keys: Readonly<Record<string, unknown>> = {};
  /** What the administrator was asked. */
  readonly asked: string[] = [];
  settings: Settings;
  qemuImg: QemuImg = this.#fake();
  lock: Lock = lock;
  /** Long ago, as long as the host is up. */
  booted = LONG_AGO;
  /** The host's. */
  name = "here";
  /** The hook is installed where somebody enables a disk. */
  hasHook = true;
  /** The system's clock, unless a test says otherwise: files are made by that. */
  now: () => Date = () => new Date();

  /** @param images the folder of the images: another host's, too, where it is shared */
  constructor(readonly root = temporaryFolder(), images = `${root}/images`) {
    this.images = images;
    this.config = `${root}/config`;
    this.settings = {
      ...defaults,
      imageFolders: [this.images],
      configFolder: this.config,
      saveFolder: `${root}/save`,
      definedFolder: `${root}/defined`,
      liveFolder: `${root}/live`,
      daemons: [`${root}/libvirtd.pid`],
      programs: [`${root}/qemu`],
      packaged: `${root}/packaged`,
      log: `${root}/log`,
      confinement: {
        appArmor: `${root}/apparmor.d`,
        seLinux: `${root}/selinux`,
        seLinuxModules: `${root}/selinux-modules`,
        audit: `${root}/audit.log`,
      },
      configOwner: Deno.uid() ?? 0,
    };
    const { saveFolder, definedFolder, liveFolder } = this.settings;
    for (const folder of [this.images, this.config, saveFolder, definedFolder, liveFolder]) {
      if (!exists(folder)) makeFolder(folder);
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }

  /** Path of the image that `target` has unless a test says otherwise. */
  image(target: string): string {
    return `${this.images}/${target}.img`;
  }

  /** Image of the first disk, as nearly all tests have it. */
  get vda(): string {
    return this.image("vda");
  }

  /** The guest's session records. */
  get note(): string {
    return `${this.config}/${DOMAIN}.session`;
  }

  /** Where libvirt keeps a managed save of the guest. */
  get managedSave(): string {
    return `${this.settings.saveFolder}/${DOMAIN}.save`;
  }

  get configFile(): string {
    return `${this.config}/${DOMAIN}.json`;
  }

  /** Images for these targets, the guest's file listing them with their flags, and their content. */
  disks(flags: Readonly<Record<string, boolean>>): this {
    for (const target of Object.keys(flags)) {
      this.save(this.image(target), null, { base: target });
      this.sources.set(target, this.image(target));
    }
    this.configure(flags);
    return this;
  }

  configure(flags: Readonly<Record<string, boolean>>, changed = LONG_AGO): void {
    const disks = Object.entries(flags).map(([target, commit]) => ({
      target,
      "one-shot-commit": commit,
      ...this.keys,
    }));
    this.configureText(JSON.stringify({ disks }, undefined, 2), changed);
  }

  configureText(text: string, changed = LONG_AGO): void {
    Deno.writeTextFileSync(this.configFile, text);
    Deno.chmodSync(this.configFile, 0o644);
    Deno.utimeSync(this.configFile, changed, changed);
  }

  /** The flags as they stand in the guest's file. */
  flags(): Record<string, boolean> {
    const { disks } = JSON.parse(read(this.configFile)!);
    return Object.fromEntries(
      disks.map((disk: Record<string, unknown>) => [disk.target, disk["one-shot-commit"]]),
    );
  }

  /** What the guest sees through an image, following the backing files by their paths as QEMU does. */
  read(image: string): Content {
    const { backing, data } = load(image);
    return { ...backing === null ? {} : this.read(backing), ...data };
  }

  /** What an image stands on by its header; undefined for what is no image. */
  backingOf(image: string): string | undefined {
    try {
      return load(image).backing ?? undefined;
    } catch {
      return undefined;
    }
  }

  /** The guest writes. */
  write(image: string, key: string, value = "yes"): void {
    const { backing, data } = load(image);
    this.save(image, backing, { ...data, [key]: value });
  }

  /** What a merge that is killed has done by then. */
  copyHalf({ layer }: { layer: string; into: string }): void {
    copyDown(layer, 0.5);
  }

  save(image: string, backing: string | null, data: Content): void {
    Deno.writeTextFileSync(image, JSON.stringify({ backing, data } satisfies FakeImage));
  }

  state(target: string): State {
    const image = this.image(target);
    return parse(namesOf(image), list(image));
  }

  /** An order that is noted for a disk and not done yet. */
  ordered(target: string): PendingOperation["verb"] | undefined {
    const pending = this.#pending(target);
    const state = this.state(target);
    return "layers" in state && pending?.top === topOf(state.layers) ? pending.verb : undefined;
  }

  /** An order that is noted for a disk, and may be done: the same command completes it. */
  completes(target: string): PendingOperation["verb"] | undefined {
    return this.#pending(target)?.verb;
  }

  #pending(target: string): PendingOperation | undefined {
    return readRecords(guestNames(this.config, DOMAIN).note)
      .find(({ image }) => image === this.image(target))?.pending;
  }

  /** The disk itself, without a session, by the invariant. What is pending counts as done. */
  disk(target: string): Content {
    const state = this.state(target);
    const image = this.image(target);
    const pending = this.ordered(target);
    if (pending === "keep") return this.read(namesOf(image).ended);
    if (pending === "undo" && "layers" in state) return this.read(namesOf(image).layer(state.layers.at(-2)!));
    if ("layers" in state) return this.read(namesOf(image).layer(topOf(state.layers)));
    if (state.kind !== "plain") throw new Error(`${image} is ${state.kind}`);
    return this.read(image);
  }

  xml(): string {
    return domainXml([...this.sources].map(([target, file]) => diskXml(target, file)));
  }

  async event(operation: string, extra = "-", how: Circumstance = {}): Promise<Result> {
    const { domain = DOMAIN } = how;
    const event = eventOf([domain, operation, "begin", extra]);
    if (event === undefined) throw new Error(`${operation} is no event`);
    return await this.#run((host) => handle(event, host), how);
  }

  /** libvirt keeps the domain's definition, by which an administrator's command finds its disks. */
  define(domain = DOMAIN): this {
    const path = `${this.settings.definedFolder}/${domain}.xml`;
    Deno.writeTextFileSync(path, `<!-- made by libvirt -->\n${this.xml()}`);
    return this;
  }

  /** The guest runs: libvirt keeps its state, and QEMU has its images open. */
  run(how = "running"): void {
    const state = `<domstatus state='${how}' reason='booted' pid='1'>${this.xml()}</domstatus>\n`;
    Deno.writeTextFileSync(`${this.settings.liveFolder}/${DOMAIN}.xml`, state);
    for (const image of this.sources.values()) this.busy.add(image);
  }

  /** The guest has ended, however. */
  halt(): void {
    Deno.removeSync(`${this.settings.liveFolder}/${DOMAIN}.xml`);
    this.busy.clear();
  }

  /** What an administrator asks of the guest. */
  async command(verb: Verb, { target, answer, ...how }: Manner = {}): Promise<Result> {
    const { domain = DOMAIN } = how;
    const words = [verb, domain, ...target === undefined ? [] : [target]];
    return await this.type(
      [...words, ...verb === "undo" && answer === undefined ? ["--yes"] : []],
      answer,
      how,
    );
  }

  /** What an administrator types, and answers if asked. */
  async type(
    line: string | readonly string[],
    answer: Manner["answer"] = false,
    how: Circumstance = {},
  ): Promise<Result> {
    const confirm = (question: string) => {
      this.asked.push(question);
      return typeof answer === "function" ? answer() : answer;
    };
    const words = typeof line === "string" ? line.split(" ") : line;
    if (words[0] === "enable" && this.hasHook) this.#installHook();
    const { runCommand } = await import("../lib/command/run.ts");
    return await this.#run((host, print) => {
      const terminal = { print, confirm, width: this.width, colour: false, draw: undefined };
      return runCommand(words, host, terminal, (event) => handle(event, host));
    }, how);
  }

  #installHook(): void {
    const [hook] = this.settings.programs;
    if (exists(hook!)) return;
    Deno.writeTextFileSync(hook!, `#!/bin/sh\ncat <<'END'\n${about(this.settings)}\nEND\n`, { mode: 0o755 });
  }

  /** The host comes up again: whatever session lies there, its guest is dead. */
  boot(): void {
    this.booted = LATER;
  }

  /** The process that an end starts to merge what is pending. */
  async merge(how: Circumstance = {}): Promise<Result> {
    const { domain = DOMAIN } = how;
    return await this.#run(async (host) => {
      const context = this.context(host, domain);
      try {
        return await mergeGuest(context) === "done" ? 0 : 1;
      } catch (error) {
        context.run.report(error);
        return 1;
      }
    }, how);
  }

  /** What an event needs of the system; `other` takes the place of a part of it. */
  host(other: Partial<Host> = {}): Host {
    return {
      settings: this.settings,
      qemuImg: this.qemuImg,
      backingOf: (image) => this.backingOf(image),
      isMarkedCorrupt: (image) => this.corrupt.has(image),
      perform: this.#performer(() => {}),
      freeBytes: () => Promise.resolve(this.free),
      fileSystem: () => Promise.resolve(this.fileSystem),
      lock: this.lock,
      log: () => {},
      say: () => {},
      show: undefined,
      readXml: () => this.xml(),
      now: () => this.now(),
      booted: () => this.booted,
      name: () => this.name,
      ...other,
    };
  }

  #performer(background: (domain: string) => void): Host["perform"] {
    return performer(
      this.qemuImg,
      background,
      () => startStamp({ name: () => this.name, now: () => this.now(), booted: () => this.booted }),
    );
  }

  context(host: Host, domain = DOMAIN): EventContext {
    const paths = guestNames(this.config, domain);
    return { run: new Run(host, domain), host, domain, paths, begun: host.now(), extra: "-" };
  }

  async #run(
    act: (host: Host, print: (text: string) => void) => Promise<number>,
    how: Circumstance,
  ): Promise<Result> {
    const {
      xml = this.xml(),
      dry = false,
      perform = (inner) => inner,
      wrap = (host) => host,
      mergeDies = false,
    } = how;
    const said: string[] = [];
    const log: string[] = [];
    const shown: string[] = [];
    const printed: string[] = [];
    const merges: string[] = [];
    const { background = (domain) => void merges.push(domain) } = how;
    const host = this.host({
      perform: perform(this.#performer(background)),
      log: (line) => log.push(line),
      say: (line) => said.push(line),
      show: dry ? (line) => shown.push(line) : undefined,
      readXml: () => xml,
    });
    const code = await act(wrap(host), (text) => printed.push(...text.split("\n")));
    const [domain] = merges;
    const merge = domain !== undefined && !mergeDies ? await this.merge({ ...how, domain }) : undefined;
    return { code, said, log, shown, printed, merge };
  }

  /** All that libvirt calls when a guest starts. */
  async start(how?: Circumstance): Promise<void> {
    await this.good("prepare", "-", how);
    await this.good("start", "-", guestOf(how));
    await this.good("started", "-", guestOf(how));
  }

  /** All that libvirt calls when a guest ends. */
  async stop(reason = "shutdown", how?: Circumstance): Promise<void> {
    await this.good("stopped", reason, guestOf(how));
    await this.good("release", reason, how);
  }

  /** An event that has nothing to complain of. */
  async good(operation: string, extra = "-", how?: Circumstance): Promise<Result> {
    const result = await this.event(operation, extra, how);
    for (const { code, said } of result.merge ? [result, result.merge] : [result]) {
      if (code !== 0 || said.length > 0) {
        throw new Error(`${operation} ${extra}: exit ${code}: ${said.join(" | ")}`);
      }
    }
    return result;
  }

  /** Another guest's event, as far as it keeps this one's waiting. */
  async lockFolders(images: readonly string[]): Promise<Disposable> {
    const host = { lock, settings: this.settings, show: undefined };
    return await new Locks(host, guestNames(this.config, "another")).folders(images);
  }

  /** Names in a folder, sorted. */
  files(folder = this.images): string[] {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  }

  /** A file is open under all of its names. */
  #isBusy(image: string): boolean {
    return [...this.busy].some((path) => sameFile(path, image));
  }

  #fake(): QemuImg {
    return {
      create: (overlay, backing) =>
        soon(() => {
          load(backing);
          if (this.full.has(overlay)) {
            throw new UserError("qemu-img create failed with exit code 1: No space left on device");
          }
          this.save(overlay, backing, {});
        }),
      commit: (layer) =>
        soon(() => {
          if (!this.merges) {
            throw new UserError("qemu-img commit failed with exit code 1: Input/output error");
          }
          if (this.#isBusy(load(layer).backing!)) throw new UserError('Failed to get "write" lock');
          copyDown(layer, 1);
        }),
      repair: (image) => soon(() => void load(image)),
      info: (image, { unlocked = false } = {}) =>
        soon(() => {
          if (!unlocked && this.#isBusy(image)) return { kind: "busy" };
          try {
            const { backing, snapshots } = load(image);
            return { kind: "free", backing: backing ?? undefined, ...snapshots && { snapshots } };
          } catch {
            return { kind: "damaged" };
          }
        }),
    };
  }
}

/** Which guest something happens to, whatever else happens at one of its events. */
function guestOf({ domain, xml }: Circumstance = {}): Circumstance {
  return { ...domain !== undefined && { domain }, ...xml !== undefined && { xml } };
}

/** Copies this share of a layer's data into the one it stands on. */
export function copyDown(layer: string, share: number): void {
  const { backing, data } = load(layer);
  const below = load(backing!);
  const records = Object.entries(data);
  const copied = Object.fromEntries(records.slice(0, Math.ceil(records.length * share)));
  Deno.writeTextFileSync(backing!, JSON.stringify({ ...below, data: { ...below.data, ...copied } }));
}

/** A folder of the test's own: in memory where that is possible, since the hook waits for the disk often. */
export function temporaryFolder(parent = exists("/dev/shm") ? "/dev/shm" : "/tmp"): string {
  return Deno.realPathSync(Deno.makeTempDirSync({ dir: parent, prefix: "autorevert-" }));
}

function makeFolder(path: string): void {
  Deno.mkdirSync(path);
  Deno.chmodSync(path, 0o755);
}

export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function load(image: string): FakeImage {
  return JSON.parse(Deno.readTextFileSync(image));
}

function soon<T>(call: () => T): Promise<T> {
  return new Promise((resolve) => resolve(call()));
}
