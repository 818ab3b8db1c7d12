/** Random numbers that are the same for the same seed. */
export interface Random {
  readonly chance: (share: number) => boolean;
  /** A whole number from 0 on. */
  readonly below: (limit: number) => number;
  readonly one: <T>(of: readonly T[]) => T;
}

export function randomly(seed: number): Random {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return { chance: (share) => next() < share, below, one: (of) => of[below(of.length)]! };
}
