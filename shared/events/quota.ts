/** Limits how many work items a process takes, over all of its queues, before it ends. */
export interface Quota {
  /** Aborted once the process must take no further item. */
  readonly full: AbortSignal;
  /** Resolves when the quota is full and every item taken is settled. */
  readonly done: Promise<void>;
  /** Counts an item that has been taken. */
  take(): void;
  /** Marks a taken item as settled with the server, whatever its outcome. */
  settle(): void;
}

/**
 * A quota of `items`. It also ends when no item comes for `idleMs`: another process may have taken the item for which this process was
 * started, or the item was deleted with its search.
 */
export function createQuota(items: number, idleMs: number): Quota {
  const full = new AbortController();
  const { promise: done, resolve } = withResolvers();
  let taken = 0;
  let inHand = 0;
  let idle: NodeJS.Timeout | undefined;
  const close = () => {
    full.abort();
    if (inHand === 0) resolve();
  };
  const wait = () => {
    idle = setTimeout(close, idleMs);
  };
  wait();
  return {
    full: full.signal,
    done,
    take: () => {
      clearTimeout(idle);
      inHand++;
      if (++taken === items) full.abort();
    },
    settle: () => {
      inHand--;
      if (full.signal.aborted) close();
      else wait();
    },
  };
}

/** Promise.withResolvers, which Node 20 does not have. */
function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settled) => (resolve = settled));
  return { promise, resolve };
}
