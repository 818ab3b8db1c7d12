/** A curve as SVG: sizes against milliseconds, both axes logarithmic, with the line that "linear" would be. */

import type { Point } from "./growth.ts";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [420, 260, 60, 40, 34, 20];

export function chart(title: string, unit: string, points: readonly Point[]): string {
  const sizes = points.map(({ size }) => size);
  const times = points.map(({ times }) => times.median);
  const first = times[0]!;
  const most = Math.max(...times) * 1.5;
  const least = Math.min(...times) / 1.5;
  const x = (size: number) =>
    LEFT + (WIDTH - LEFT - RIGHT) * Math.log(size / sizes[0]!) / Math.log(sizes.at(-1)! / sizes[0]!);
  const y = (time: number) =>
    HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * Math.log(time / least) / Math.log(most / least);
  const line = (pairs: [number, number][]) =>
    pairs.map(([size, time]) => `${x(size).toFixed(1)},${y(time).toFixed(1)}`).join(" ");

  const end = Math.min(sizes.at(-1)!, sizes[0]! * most / first);
  const text = (at: [number, number], anchor: string, words: string) =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" text-anchor="${anchor}">${words}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${text([LEFT, 20], "start", `<tspan font-weight="bold">${title}</tspan>, ms`)}
<path d="M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}" fill="none" stroke="#888"/>
<polyline points="${
    line([[sizes[0]!, first], [end, first * end / sizes[0]!]])
  }" fill="none" stroke="#bbb" stroke-dasharray="4 4"/>
<polyline points="${
    line(points.map((point) => [point.size, point.times.median]))
  }" fill="none" stroke="#06c" stroke-width="2"/>
${
    points.map(({ size, times: { median } }) =>
      `<circle cx="${x(size).toFixed(1)}" cy="${y(median).toFixed(1)}" r="3" fill="#06c"/>` +
      text([x(size), y(median) - 8], "middle", median.toFixed(0)) +
      text([x(size), HEIGHT - BOTTOM + 16], "middle", `${size}`)
    ).join("\n")
  }
${text([(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6], "middle", `${unit}; dashed: linear`)}
</svg>
`;
}
