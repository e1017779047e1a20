import type { Example } from "./example";

/**
 * Keeps decoded examples up to a number of bytes. Nothing is evicted: an epoch visits every example once in random order,
 * so what came first is worth as much as what came last, and a fixed set gives every epoch the same share of hits.
 */
export class ExampleCache {
  private readonly kept = new Map<string, Example>();
  private bytes = 0;

  constructor(private readonly capacityBytes: number) {}

  async get(key: string, load: () => Promise<Example>): Promise<Example> {
    const known = this.kept.get(key);
    if (known !== undefined) return known;
    const example = await load();
    const size = example.image.length + example.label.length;
    if (!this.kept.has(key) && this.bytes + size <= this.capacityBytes) {
      this.kept.set(key, example);
      this.bytes += size;
    }
    return example;
  }

  get usedBytes(): number {
    return this.bytes;
  }
}
