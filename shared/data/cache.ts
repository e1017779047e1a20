/**
 * Keeps decoded items up to a number of bytes. Nothing is evicted: an epoch visits every example once in random order, so all items are
 * equally likely to be needed, and a fixed set gives every epoch the same share of hits.
 */
export class DecodedCache<T> {
  private readonly kept = new Map<string, T>();
  private readonly loading = new Map<string, Promise<T>>();
  private bytes = 0;

  constructor(
    private readonly capacityBytes: number,
    private readonly sizeOf: (item: T) => number,
  ) {}

  /** Returns the item of a key if it is kept or being loaded; else loads it. */
  get(key: string, load: () => Promise<T>): Promise<T> {
    const known = this.kept.get(key);
    if (known !== undefined) return Promise.resolve(known);
    const coming = this.loading.get(key) ?? this.load(key, load);
    this.loading.set(key, coming);
    return coming;
  }

  private async load(key: string, load: () => Promise<T>): Promise<T> {
    try {
      // Deferred, so that get() has entered this promise in `loading` before it is deleted there.
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
