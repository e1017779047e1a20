import { Gate } from "./gate";
import { unlessAborted } from "./turns";

/** A child process that can be held between two steps. */
interface Holdable {
  hold(): void;
  release(): void;
}

/** The children of this process. While they are held, each stands still before its next step, and none is started. */
class Hold {
  private readonly running = new Set<Holdable>();
  private readonly still = new Set<Holdable>();
  /** Closed while the children are held. */
  private readonly gate = new Gate();
  private onChange: () => void = () => {};

  get isHeld(): boolean {
    return this.gate.isClosed;
  }

  /** Children that compute. */
  get computing(): number {
    return this.running.size - this.still.size;
  }

  /** Holds the children. Calls `onChange` whenever one comes to a standstill or ends. */
  hold(onChange: () => void): void {
    this.onChange = onChange;
    if (this.isHeld) return;
    this.gate.close();
    for (const child of this.running) child.hold();
  }

  release(): void {
    if (!this.isHeld) return;
    this.gate.open();
    this.onChange = () => {};
    this.still.clear();
    for (const child of this.running) child.release();
  }

  /** Waits while the children are held. Rejects with the signal's reason if it aborts. */
  released(signal: AbortSignal | undefined): Promise<void> {
    const passed = this.gate.pass();
    return signal ? unlessAborted(passed, signal) : passed;
  }

  /** Notes a child that is being started: it computes from now on. */
  forked(child: Holdable): void {
    this.running.add(child);
  }

  /** Notes that a child can be told to stand still. */
  ready(child: Holdable): void {
    if (this.isHeld) child.hold();
  }

  /** Notes that a child waits before its next step. */
  stands(child: Holdable): void {
    if (!this.isHeld) return;
    this.still.add(child);
    this.onChange();
  }

  ended(child: Holdable): void {
    this.still.delete(child);
    if (this.running.delete(child)) this.onChange();
  }
}

export const children = new Hold();
