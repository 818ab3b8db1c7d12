/** Points tried and points failed, by event. */

export interface Count {
  tried: number;
  failed: number;
}

export class Tally {
  readonly #rows = new Map<string, Count>();
  #failures = 0;

  /** @param title of the first column, and what is counted */
  constructor(readonly title: string, readonly points = "points") {}

  passed(row: string, points = 1): void {
    this.#row(row).tried += points;
  }

  failed(row: string, where: string, why: unknown): void {
    const count = this.#row(row);
    count.tried++;
    count.failed++;
    // The first few tell what is wrong; the table tells the rest.
    if (this.#failures++ < 20) console.error(`FAILED: ${where}\n  ${reasons(why).join("\n  ")}`);
  }

  add(rows: readonly (readonly [string, Count])[]): void {
    for (const [row, { tried, failed }] of rows) {
      const count = this.#row(row);
      count.tried += tried;
      count.failed += failed;
    }
  }

  get rows(): [string, Count][] {
    return [...this.#rows];
  }

  get total(): Count {
    return [...this.#rows.values()].reduce(
      (sum, { tried, failed }) => ({ tried: sum.tried + tried, failed: sum.failed + failed }),
      { tried: 0, failed: 0 },
    );
  }

  /** A table in Markdown. */
  get table(): string {
    const { tried, failed } = this.total;
    return [
      `| ${this.title} | ${this.points} | failed |`,
      "| --- | ---: | ---: |",
      ...[...this.#rows].map(([row, { tried, failed }]) => `| ${row} | ${tried} | ${failed} |`),
      `| **all** | **${tried}** | **${failed}** |`,
    ].join("\n");
  }

  #row(row: string): Count {
    const count = this.#rows.get(row) ?? { tried: 0, failed: 0 };
    this.#rows.set(row, count);
    return count;
  }
}

/** An error's message and those of its causes. */
function reasons(error: unknown): string[] {
  if (!(error instanceof Error)) return [String(error)];
  return [error.message, ...error.cause === undefined ? [] : reasons(error.cause)];
}
