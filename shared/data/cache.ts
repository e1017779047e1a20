/**
 * Keeps what has been decoded up to a number of bytes. Nothing is evicted: an epoch visits every example once in random order,
 * so what came first is worth as much as what came last, and a fixed set gives every epoch the same share of hits.
 */
export class DecodedCache<T> {
  private readonly kept = new Map<string, T>();
  private readonly loading = new Map<string, Promise<T>>();
  private bytes = 0;

  constructor(
    private readonly capacityBytes: number,
    private readonly sizeOf: (item: T) => number,
  ) {}

  /** What is kept, or is being loaded, under a key; else it is loaded. */
  get(key: string, load: () => Promise<T>): Promise<T> {
    const known = this.kept.get(key);
    if (known !== undefined) return Promise.resolve(known);
    const coming = this.loading.get(key) ?? this.load(key, load);
    this.loading.set(key, coming);
    return coming;
  }

  private async load(key: string, load: () => Promise<T>): Promise<T> {
    try {
      // Not at once: the promise must stand in the list before it can be taken off.
      const item = await Promise.resolve().then(load);
      const size = this.sizeOf(item);
      if (this.bytes + size <= this.capacityBytes) {
        this.kept.set(key, item);
        this.bytes += size;
      }
      return item;
    } finally {
      this.loading.delete(key);
    }
  }

  get usedBytes(): number {
    return this.bytes;
  }
}
