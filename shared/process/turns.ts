import { LatheError } from "./errors";

const MAX_ROUNDS = 8;

/** Runs jobs one at a time, in the order of the calls: jobs that would disturb each other side by side. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();
  private nextTake = new AbortController();
  private count = 0;

  /** Number of jobs that run or wait. */
  get pending(): number {
    return this.count;
  }

  /** Runs `job` when all earlier jobs have ended. An abort while it waits rejects with the signal's reason. */
  async take<T>(job: () => Promise<T>, signal: AbortSignal): Promise<T> {
    this.nextTake.abort();
    this.nextTake = new AbortController();
    let release: () => void = () => {};
    const mine = new Promise<void>((resolve) => (release = resolve));
    const before = this.last;
    // Waits for both, so that a turn that was given up does not let the next one overtake earlier jobs.
    this.last = Promise.all([before, mine]);
    this.count++;
    try {
      await unlessAborted(before, signal);
      return await job();
    } finally {
      this.count--;
      release();
    }
  }

  /**
   * Waits until no job runs or waits, or `signal` aborts. The returned signal aborts at the next call of take(). While jobs keep coming,
   * it returns after `MAX_ROUNDS` queues of them, so that a caller who takes a turn next is not passed over for ever.
   */
  async free(signal: AbortSignal): Promise<AbortSignal> {
    for (let round = 0; this.count > 0 && !signal.aborted && round < MAX_ROUNDS; round++)
      await unlessAborted(this.last, signal).catch(() => {});
    return this.nextTake.signal;
  }
}

/** How long a client should wait that was not admitted. */
const RETRY_AFTER_MS = 5_000;

/** Throws RESOURCE_EXHAUSTED with `reason` and RetryInfo if `limit` jobs run or wait already; `jobs` names them in the message. */
export function admit(pending: number, limit: number, jobs: string, reason: string): void {
  if (pending < limit) return;
  const message = `${pending} ${jobs} run or wait, at most ${limit} may; call again later`;
  throw new LatheError("RESOURCE_EXHAUSTED", message, { reason, retryAfterMs: RETRY_AFTER_MS });
}

/** Waits for a turn. Rejects with the signal's reason if it aborts before. */
export async function unlessAborted(turn: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  let onAbort = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    await Promise.race([turn, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
