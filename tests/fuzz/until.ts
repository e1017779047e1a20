import { setTimeout as pause } from "node:timers/promises";

/** Calls `look` until `accept` accepts its value; throws with the last one after `limitMs`. */
export async function until<T>(
  what: string,
  limitMs: number,
  look: () => T | Promise<T>,
  accept: (seen: T) => boolean,
): Promise<T> {
  for (const deadline = Date.now() + limitMs; ; await pause(50)) {
    const seen = await look();
    if (accept(seen)) return seen;
    if (Date.now() > deadline)
      throw new Error(`${what}: not within ${limitMs / 1000} s; last seen: ${JSON.stringify(seen)}`);
  }
}
