/**
 * Steps of this process pass it. While the parent holds this process (hold.ts), each step waits here before it begins, so that a measurement
 * on the machine is not disturbed.
 */
class Gate {
  private closed: { opened: Promise<void>; open: () => void } | undefined;
  private standing: () => void = () => {};

  /** Steps wait from now on. Calls `standing` whenever one does. */
  close(standing: () => void): void {
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

export const gate = new Gate();
