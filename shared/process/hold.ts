/** A child process that can be held between two steps. */
interface Holdable {
  hold(): void;
  release(): void;
}

/** The children of this process. While they are held, each stands still before its next step, and none is started. */
class Hold {
  private readonly running = new Set<Holdable>();
  private readonly still = new Set<Holdable>();
  private held: { released: Promise<void>; release: () => void } | undefined;
  private onChange: () => void = () => {};

  get isHeld(): boolean {
    return this.held !== undefined;
  }

  /** Children that compute. */
  get computing(): number {
    return this.running.size - this.still.size;
  }

  /** Holds the children. Calls `onChange` whenever one comes to a standstill or ends. */
  hold(onChange: () => void): void {
    this.onChange = onChange;
    if (this.held) return;
    let release: () => void = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    this.held = { released, release };
    for (const child of this.running) child.hold();
  }

  release(): void {
    if (!this.held) return;
    this.held.release();
    this.held = undefined;
    this.onChange = () => {};
    this.still.clear();
    for (const child of this.running) child.release();
  }

  /** Waits while the children are held. Rejects with the signal's reason if it aborts. */
  async released(signal: AbortSignal | undefined): Promise<void> {
    while (this.held) {
      const { released } = this.held;
      let onAbort = () => {};
      const aborted = new Promise<never>((_resolve, reject) => {
        onAbort = () => reject(signal?.reason as Error);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
      await Promise.race([released, aborted]).finally(() => signal?.removeEventListener("abort", onAbort));
    }
  }

  /** Notes a child that is being started: it computes from now on. */
  forked(child: Holdable): void {
    this.running.add(child);
  }

  /** Notes that a child can be told to stand still. */
  ready(child: Holdable): void {
    if (this.held) child.hold();
  }

  /** Notes that a child waits before its next step. */
  stands(child: Holdable): void {
    if (!this.held) return;
    this.still.add(child);
    this.onChange();
  }

  ended(child: Holdable): void {
    this.still.delete(child);
    if (this.running.delete(child)) this.onChange();
  }
}

export const children = new Hold();
