import { setTimeout as pause } from "node:timers/promises";

/** Ends a test that hangs. It is so long that no test fails because a machine is slow. */
export const PATIENCE_MS = 300_000;

/** Calls `look` until `accept` accepts its value (by default any truthy one), and returns that value. */
export async function until<T>(look: () => T | Promise<T>, accept: (seen: T) => boolean = Boolean): Promise<T> {
  for (const deadline = Date.now() + PATIENCE_MS; ; await pause(10)) {
    const seen = await look();
    if (accept(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms; last seen: ${JSON.stringify(seen)}`);
  }
}

/** Aborts after PATIENCE_MS, for waits that take a signal. */
export const patience = (): AbortSignal => AbortSignal.timeout(PATIENCE_MS);
