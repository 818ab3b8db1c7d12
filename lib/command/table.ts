import { unicodeWidth } from "@std/cli/unicode-width";

/** One column of a table; the last one takes what room is left. */
export interface Column {
  readonly title: string;
  readonly cells: readonly string[];
  readonly paint?: (text: string, row: number) => string;
}

/** Narrower than this the last column is not broken into lines. */
const LEAST = 20;

/**
 * The lines of a table.
 *
 * @param width columns of the terminal, where there is one: the last column's text goes on below itself
 */
export function table(columns: readonly Column[], width = Infinity): string[] {
  const widths = columns.map(({ title, cells }) =>
    Math.max(...[title, ...cells].map((text) => unicodeWidth(text)))
  );
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const room = Math.max(LEAST, width - before);
  const rows = [-1, ...columns[0]!.cells.keys()];
  return rows.flatMap((row) => {
    const texts = columns.map(({ title, cells }) => row === -1 ? title : cells[row]!);
    const last = broken(texts.at(-1)!, room);
    return last.map((text, line) => {
      const cells = line === 0 ? [...texts.slice(0, -1), text] : [...columns.slice(1).map(() => ""), text];
      return cells.map((cell, index) => {
        const padded = index === cells.length - 1
          ? cell
          : cell + " ".repeat(widths[index]! - unicodeWidth(cell));
        return row === -1 ? padded : columns[index]!.paint?.(padded, row) ?? padded;
      }).join("  ");
    });
  });
}

function broken(text: string, room: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line === "") lines[lines.length - 1] = word;
    else if (unicodeWidth(`${line} ${word}`) <= room) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
