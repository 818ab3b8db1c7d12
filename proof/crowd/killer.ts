import type { Random } from "../../tests/random.ts";

/** What is killed, and how often compared with the others. */
const kinds = { hook: 4, merge: 2, "qemu-img": 3, qemu: 3, libvirtd: 1 } as const;
export type Kind = keyof typeof kinds;

interface Victim {
  readonly pid: number;
  readonly kind: Kind;
  readonly words: readonly string[];
}

/** A process that was killed with -9. */
interface Death {
  /** Milliseconds; of a daemon, when another has taken its place, which can take long on a busy machine. */
  at: number;
  readonly kind: Kind;
  readonly words: readonly string[];
}

/** Kills processes of the sandbox at random moments, and remembers which. */
export class Killer {
  readonly deaths: Death[] = [];

  constructor(readonly random: Random, readonly revive: () => Promise<void>) {}

  /** @param pause longest time between two deaths, in milliseconds */
  async rage(until: number, pause: number): Promise<void> {
    while (Date.now() < until) {
      await sleep(this.random.below(pause));
      const kind = this.random.one(
        Object.entries(kinds).flatMap(([kind, often]) => Array(often).fill(kind as Kind)),
      );
      // What lives for a moment only has to be waited for.
      const patience = Date.now() + 2000;
      let prey: Victim[] = [];
      while (prey.length === 0 && Date.now() < patience) {
        prey = victims().filter((victim) => victim.kind === kind);
        if (prey.length === 0) await sleep(5);
      }
      if (prey.length === 0) continue;
      if (kind === "hook" || kind === "qemu-img") await sleep(this.random.below(60));
      const victim = this.random.one(prey);
      try {
        Deno.kill(victim.pid, "SIGKILL");
      } catch {
        continue; // It came to its end by itself.
      }
      const death: Death = { at: Date.now(), kind, words: victim.words };
      this.deaths.push(death);
      if (kind !== "libvirtd") continue;
      death.at = Infinity;
      await this.revive();
      death.at = Date.now();
    }
  }

  /** Whether something died since then that this guest can have noticed. */
  excuses(name: string, since: number): boolean {
    return this.deaths.some(({ at, kind, words }) =>
      at >= since && (kind === "libvirtd" || concerns(words, name))
    );
  }

  /** How many of each kind died. */
  tally(): string {
    return Object.keys(kinds).map((kind) =>
      `${this.deaths.filter((death) => death.kind === kind).length} ${kind}`
    ).join(", ");
  }
}

function concerns(words: readonly string[], name: string): boolean {
  return words.some((word) =>
    word === name || word.includes(`guest=${name},`) || word.includes(`/${name}.img`)
  );
}

/** All processes of the sandbox that can be killed. */
function victims(): Victim[] {
  const found: Victim[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const words = wordsOf(name);
    const kind = kindOf(words);
    if (kind) found.push({ pid: Number(name), kind, words });
  }
  return found;
}

function wordsOf(pid: string): string[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0").filter((word) => word !== "");
  } catch {
    return []; // It came to its end by itself.
  }
}

function kindOf([program = "", first]: readonly string[]): Kind | undefined {
  if (program.endsWith("/hooks/qemu")) return first === "merge" ? "merge" : "hook";
  if (program.endsWith("/qemu-img")) return "qemu-img";
  if (program.includes("qemu-system-")) return "qemu";
  return /(^|\/)libvirtd$/.test(program) ? "libvirtd" : undefined;
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, milliseconds));
}
