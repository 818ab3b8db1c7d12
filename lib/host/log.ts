import { printable } from "../text.ts";

/** Takes one line, without time or line end. */
export type Log = (line: string) => void;

/**
 * A log that appends to a file, opened at the first line. It never fails: an event does its work on a host whose
 * `/var` is full, too. Concurrent hooks don't tear each other's lines, since each is one write at the end.
 */
export function fileLog(path: string, now: () => Date): Log {
  let file: Deno.FsFile | undefined;
  return (line) => {
    try {
      file ??= Deno.openSync(path, { append: true, create: true, mode: 0o600 });
      file.writeSync(new TextEncoder().encode(`${timestamp(now())}: ${printable(line)}\n`));
    } catch {
      // Nothing is left to tell it to.
    }
  };
}

/** Time as libvirt's own logs write it. */
function timestamp(time: Date): string {
  return time.toISOString().replace("T", " ").replace("Z", "+0000");
}
