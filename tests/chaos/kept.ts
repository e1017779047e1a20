import { setTimeout as pause } from "node:timers/promises";
import type { Child } from "../../cli/stack/child";

type Start = (signal: AbortSignal) => Promise<Child>;

const RESTART_MS = 100;

/** A process that is started again whenever it ends, without the limit of `lathe up`. */
export class Kept {
  /** Ends of the process, and failed starts. */
  deaths = 0;
  /** Whether the process serves. */
  up = true;
  private readonly stopping = new AbortController();
  private readonly keeping: Promise<void>;

  private constructor(
    /** The current process; during a restart, the previous one. */
    public child: Child,
    private readonly restart: Start,
  ) {
    this.keeping = this.keep();
  }

  static async start(start: Start): Promise<Kept> {
    return new Kept(await start(new AbortController().signal), start);
  }

  async stop(graceMs: number): Promise<void> {
    this.stopping.abort();
    await this.child.stop(graceMs);
    await this.keeping;
    await this.child.stop(graceMs);
  }

  private async keep(): Promise<void> {
    const { signal } = this.stopping;
    for (;;) {
      if (this.child.running) await this.child.exited;
      if (signal.aborted) return;
      this.up = false;
      this.deaths++;
      await pause(RESTART_MS);
      try {
        this.child = await this.restart(signal);
        this.up = true;
      } catch {
        // Killed while it started, or NATS does not answer yet: the next turn starts it again.
      }
    }
  }
}
