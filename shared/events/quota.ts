/** How many work items a process takes before it ends, over all of its queues. */
export interface Quota {
  /** Aborted once no further item is to be taken: nobody needs to pull any more. */
  readonly full: AbortSignal;
  /** Resolves when no further item is taken and none is in hand. */
  readonly done: Promise<void>;
  /** An item has been taken. */
  take(): void;
  /** The item that was taken is settled with the server, however it ended. */
  settle(): void;
}

/**
 * A quota of `items`, which also ends where none comes for `idleMs`: a process that was started for an item may find it gone, carried out
 * by another or deleted with its search.
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
