/** How values are shown: to people, and to a shell. */

/** A value as it is shown: in double quotes, control characters escaped, so that no name can forge a line. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return printable(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

/** A number of bytes as people read it. */
export function size(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}

/** Several values as they are shown. */
export function listed(values: Iterable<string>): string {
  return [...values].map(quoted).join(", ") || "none";
}

/** A word for a POSIX shell, on one line: hints are meant to be pasted. */
export function shellWord(word: string): string {
  if (word.search(CONTROL) !== -1) {
    return `$'${word.replaceAll(/[\\']/g, "\\$&").replaceAll(CONTROL, octal)}'`;
  }
  return /^[\w/.:@%+=-]+$/.test(word) && !word.startsWith("-") ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The command that ends a guest's session, or completes what was interrupted, for a hint. */
export function recoverCommand(
  choice: "--keep" | "--discard" | "--keep|--discard" | "complete",
  ...guestAndTarget: readonly string[]
): string {
  const option = choice === "complete" ? [] : [choice];
  return ["autorevert recover", ...option, ...guestAndTarget.map(shellWord)].join(" ");
}

/** The command that clears the flag of a disk. */
export function cancelCommand(domain: string, target: string): string {
  return `autorevert commit --cancel ${shellWord(domain)} ${shellWord(target)}`;
}

// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

function octal(text: string): string {
  return [...new TextEncoder().encode(text)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

/** Foreign text (of qemu-img, of the system) on one line. */
export function printable(text: string): string {
  return text.replaceAll(CONTROL, " ").trim();
}

/** The nearest of the known words, where one is near enough to be a slip of the finger. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
