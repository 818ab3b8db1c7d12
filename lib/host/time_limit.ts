/**
 * Waits, but not for ever. `setTimeout` would do, too: loading it takes a program of Deno 2.9 half as long as starting.
 *
 * @param limit longest wait, in milliseconds
 * @param stop ends the wait at once
 * @returns "late" if the wait was ended; what was waited for goes on
 */
export async function within<T>(limit: number, waited: Promise<T>, stop?: AbortSignal): Promise<T | "late"> {
  const { promise: late, resolve } = Promise.withResolvers<"late">();
  const giveUp = () => resolve("late");
  const ends = [...limit === Infinity ? [] : [AbortSignal.timeout(limit)], ...stop ? [stop] : []];
  for (const end of ends) end.addEventListener("abort", giveUp);
  try {
    return await Promise.race([waited, late]);
  } finally {
    for (const end of ends) end.removeEventListener("abort", giveUp);
  }
}
