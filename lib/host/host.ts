import type { Lock } from "./lock.ts";
import type { Log } from "./log.ts";
import type { Control, QemuImg } from "./qemu_img.ts";
import type { Settings } from "../settings.ts";
import type { StartStamp, Step } from "../state/step.ts";

/** What an event needs of the system. */
export interface Host {
  readonly settings: Settings;
  readonly qemuImg: QemuImg;
  /** The file that an image stands on by its header; undefined if on nothing, or it is no qcow2 image. */
  readonly backingOf: (image: string) => string | undefined;
  /** Whether QEMU has marked an image as corrupt. */
  readonly isMarkedCorrupt: (image: string) => boolean;
  /** Does one step, durably. It alone changes anything on disk. */
  readonly perform: (step: Step, control?: Control) => Promise<void>;
  /** Free bytes of the file system that a folder lies on. */
  readonly freeBytes: (folder: string) => Promise<number>;
  /** The number by which statfs(2) names the file system that a folder lies on. */
  readonly fileSystem: (folder: string) => Promise<number>;
  readonly lock: Lock;
  readonly log: Log;
  /** A line for whoever reads standard error. */
  readonly say: (line: string) => void;
  /** A line of a dry run; undefined if the run is real. */
  readonly show: ((line: string) => void) | undefined;
  /** The domain's XML. */
  readonly readXml: () => string;
  readonly now: () => Date;
  /** When the system was booted. */
  readonly booted: () => Date;
  /** Its name: libvirt migrates between hosts with different ones only. */
  readonly name: () => string;
}

/** What tells a start of this host, and of this boot. */
export function startStamp({ name, now, booted }: Pick<Host, "name" | "now" | "booted">): StartStamp {
  return { host: name(), at: now(), booted: booted() };
}
