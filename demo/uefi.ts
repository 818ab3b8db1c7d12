/** A guest with UEFI, whose firmware counts the boots in its variables and in a file on the disk. */

const ID = "6a1c3e3c-8b0e-4a53-9d8f-0b6ad0f6a7c1";

/** The most that it counts. */
const MOST = 6;

/**
 * The script that the firmware's shell runs at each boot: it counts to the first variable that isn't there, makes that one, and writes
 * the count to the disk. It prints `disk N`, what it found there, and `counted N`.
 *
 * @param stays it doesn't power off
 */
export function startupScript({ stays }: { stays: boolean }): string {
  const lines = [
    "@echo -off",
    "fs0:",
    "if exist count.txt then",
    "  type count.txt",
    "endif",
    "set -v n 0",
    ...Array.from({ length: MOST }, (_, index) => index + 1).flatMap((number) => [
      "if %n% eq 0 then",
      `  setvar Boot${number} -guid ${ID}`,
      "  if %lasterror% ne 0x0 then",
      `    setvar Boot${number} -guid ${ID} -nv -bs -rt =0x01`,
      `    set -v n ${number}`,
      "  endif",
      "endif",
    ]),
    "echo disk %n% > count.txt",
    "echo counted %n%",
    ...stays ? [] : ["reset -s"],
  ];
  return lines.map((line) => `${line}\r\n`).join("");
}

/** The boot that it is, by its variables, and the last one, by its disk. */
export interface Counts {
  readonly counted: number;
  readonly disk: number;
}

/** What that script has printed on the serial port. */
export function countsIn(output: string): Counts {
  const number = (word: string) => Number(new RegExp(`${word} (\\d)`).exec(output)?.[1] ?? 0);
  return { counted: number("counted"), disk: number("disk") };
}
