/** Holds up whoever passes it while it is closed. */
export class Gate {
  private closed: { opened: Promise<void>; open: () => void } | undefined;
  private standing: () => void = () => {};

  get isClosed(): boolean {
    return this.closed !== undefined;
  }

  /** Calls `standing` whenever somebody waits from now on. */
  close(standing: () => void = () => {}): void {
    this.standing = standing;
    if (this.closed) return;
    let open: () => void = () => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    this.closed = { opened, open };
  }

  open(): void {
    this.closed?.open();
    this.closed = undefined;
  }

  /** Waits while the gate is closed. */
  async pass(): Promise<void> {
    while (this.closed) {
      this.standing();
      await this.closed.opened;
    }
  }
}

/**
 * Steps of this process pass it. While the parent holds this process (hold.ts), each step waits here before it begins, so that a measurement
 * on the machine is not disturbed.
 */
export const gate = new Gate();
