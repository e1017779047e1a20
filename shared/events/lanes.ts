/** Jobs of one key that may wait behind a job that is being repeated. The others are refused, so that they leave room for other keys. */
export const MAX_BEHIND_FAILING = 32;

/** A job that waits in its lane. */
interface Waiting {
  job: () => Promise<void>;
  /** Takes the place of the job where too many wait behind one that fails. */
  refuse: () => Promise<void>;
  resolve: (ended: Promise<void>) => void;
}

interface Lane {
  waiting: Waiting[];
  /** The job that runs has failed, and is being repeated. */
  failing: boolean;
}

/** Runs jobs of one key one after the other, in the order of the calls, and jobs of different keys side by side. */
export class Lanes {
  private readonly lanes = new Map<string, Lane>();

  /** Resolves when the job, or what took its place, has ended. */
  run(key: string, job: () => Promise<void>, refuse: () => Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const busy = this.lanes.get(key);
      const lane = busy ?? { waiting: [], failing: false };
      lane.waiting.push({ job, refuse, resolve });
      if (busy) return this.trim(busy);
      this.lanes.set(key, lane);
      void this.drive(key, lane);
    });
  }

  /** Whether a job of this key would wait for another. */
  busy(key: string): boolean {
    return this.lanes.has(key);
  }

  /** Called by the job that runs in the lane, when it has failed and will be repeated. */
  failing(key: string): void {
    const lane = this.lanes.get(key);
    if (!lane) return;
    lane.failing = true;
    this.trim(lane);
  }

  private trim({ waiting, failing }: Lane): void {
    if (!failing) return;
    for (const { refuse, resolve } of waiting.splice(MAX_BEHIND_FAILING)) resolve(refuse());
  }

  private async drive(key: string, lane: Lane): Promise<void> {
    for (let next = lane.waiting.shift(); next; next = lane.waiting.shift()) {
      const ended = next.job();
      next.resolve(ended);
      await ended.catch(() => {});
      lane.failing = false;
    }
    this.lanes.delete(key);
  }
}
