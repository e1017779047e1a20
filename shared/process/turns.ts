/** One at a time, in the order of asking: what would measure, slow or crowd out each other side by side. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();
  private count = 0;

  /** How many run or wait. */
  get pending(): number {
    return this.count;
  }

  /** Runs `job` when all before it have ended; who aborts while waiting leaves the queue with the signal's reason. */
  async take<T>(job: () => Promise<T>, signal: AbortSignal): Promise<T> {
    let release: () => void = () => {};
    const mine = new Promise<void>((resolve) => (release = resolve));
    const before = this.last;
    // Both: a turn that was given up must not let the next one past those before it.
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
}

async function unlessAborted(turn: Promise<unknown>, signal: AbortSignal): Promise<void> {
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
