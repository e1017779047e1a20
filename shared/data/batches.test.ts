import { assembleBatch } from "./assemble";
import { batches, type BatchOptions } from "./batches";
import type { Batch, BatchOrder, Split } from "./dataset";

/** A split in memory whose example i has the value i everywhere. It records the requests. */
function split(length: number, fail?: number): { split: Split; orders: BatchOrder[]; spares: (Batch | undefined)[] } {
  const size = { height: 8, width: 8 };
  const orders: BatchOrder[] = [];
  const spares: (Batch | undefined)[] = [];
  const example = (index: number) => ({
    image: new Uint8Array(192).fill(index),
    label: new Uint8Array(64).fill(index),
  });
  const assemble = (order: BatchOrder, spare?: Batch): Promise<Batch> => {
    orders.push(order);
    spares.push(spare);
    if (orders.length - 1 === fail) return Promise.reject(new Error("file is gone"));
    return Promise.resolve(assembleBatch(order.indices.map(example), size, order));
  };
  const countPixels = () => Promise.resolve([]);
  return {
    orders,
    spares,
    split: { length, ...size, name: String, example: (i) => Promise.resolve(example(i)), assemble, countPixels },
  };
}

/** A linear congruential generator. */
function random(seed: number): NonNullable<BatchOptions["random"]> & { state: number } {
  const generator = {
    state: seed,
    next: () => (generator.state = (generator.state * 1103515245 + 12345) % 2147483648) / 2147483648,
    integer: (n: number) => Math.floor(generator.next() * n),
    shuffle: <T>(array: T[]) => {
      for (let i = array.length - 1; i > 0; i--) {
        const j = generator.integer(i + 1);
        [array[i], array[j]] = [array[j]!, array[i]!];
      }
    },
  };
  return generator;
}

async function collect(of: Split, options: Partial<BatchOptions>): Promise<Batch[]> {
  const all: Batch[] = [];
  for await (const batch of batches(of, { batchSize: 4, labelStride: 8, ...options })) all.push(batch);
  return all;
}
const indices = (all: Batch[]) => all.map((batch) => batch.indices);
const still = { flip: 0, shift: 0, scaleMin: 1, scaleMax: 1, brightness: 0, contrast: 0, saturation: 0 };
const augmentation = { ...still, flip: 0.5, shift: 2 };
const everything = { ...augmentation, scaleMin: 0.5, scaleMax: 2, brightness: 0.4, contrast: 0.3, saturation: 0.2 };

describe("batches", () => {
  it("without a generator keeps the order and augments nothing", async () => {
    const { split: of, orders } = split(10);
    expect(indices(await collect(of, { augmentation }))).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    expect(orders.flatMap(({ flips, shiftsX, shiftsY }) => [...flips, ...shiftsX, ...shiftsY]).some(Boolean)).toBe(
      false,
    );
  });

  it("visits every example once in a shuffled epoch, with its own pixels", async () => {
    const all = await collect(split(10).split, { random: random(1) });
    const order = indices(all).flat();
    expect(order).not.toEqual([...order].sort((a, b) => a - b));
    expect([...order].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(all.flatMap(({ labels }) => [...labels])).toEqual(order);
    expect(all.map(({ size }) => size)).toEqual([4, 4, 2]);
  });

  it("with dropLast leaves out a last batch that is not full", async () => {
    expect(indices(await collect(split(10).split, { dropLast: true }))).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ]);
  });

  it("draws flips and shifts over exactly their range", async () => {
    const { split: of, orders } = split(400);
    await collect(of, { random: random(3), augmentation });
    const shifts = orders.flatMap(({ shiftsX, shiftsY }) => [...shiftsX, ...shiftsY]);
    expect([...new Set(shifts)].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
    const flipped = orders.flatMap(({ flips }) => flips).filter(Boolean).length;
    expect(flipped).toBeGreaterThan(140);
    expect(flipped).toBeLessThan(260);
  });

  it("draws scales, places and colours over exactly their range, the flips and shifts before them unmoved", async () => {
    const { split: of, orders } = split(400);
    await collect(of, { batchSize: 400, random: random(3), augmentation: everything });
    const { zooms = [], colors = [] } = orders[0]!;
    const within = (values: number[], min: number, max: number) => {
      expect(Math.min(...values)).toBeGreaterThanOrEqual(min);
      expect(Math.max(...values)).toBeLessThan(max);
      expect(Math.max(...values) - Math.min(...values)).toBeGreaterThan(0.97 * (max - min));
    };
    within(
      zooms.map(({ scale }) => scale),
      0.5,
      2,
    );
    within(
      zooms.map(({ x }) => x),
      0,
      1,
    );
    within(
      zooms.map(({ y }) => y),
      0,
      1,
    );
    within(
      colors.map(({ brightness }) => brightness),
      0.6,
      1.4,
    );
    within(
      colors.map(({ contrast }) => contrast),
      0.7,
      1.3,
    );
    within(
      colors.map(({ saturation }) => saturation),
      0.8,
      1.2,
    );
    const plain = split(400);
    await collect(plain.split, { batchSize: 400, random: random(3), augmentation });
    expect(orders[0]).toMatchObject(plain.orders[0]!);
    expect(plain.orders[0]).not.toHaveProperty("zooms");
    expect(plain.orders[0]).not.toHaveProperty("colors");
  });

  it("gives the same bytes from the same seed, and others in the next epoch", async () => {
    const drawn = async (generator: ReturnType<typeof random>) =>
      (await collect(split(8).split, { random: generator, augmentation: everything })).map(({ images, labels }) => [
        images,
        labels,
      ]);
    const generator = random(5);
    const first = await drawn(generator);
    const second = await drawn(generator);
    expect(await drawn(random(5))).toEqual(first);
    expect(second).not.toEqual(first);
  });

  it("repeats from the same state of the generator, so that a resumed run draws the same batches", async () => {
    const first = random(9);
    const through = split(20);
    await collect(through.split, { random: first, augmentation });
    const between = first.state;
    await collect(through.split, { random: first, augmentation });
    const resumed = split(20);
    await collect(resumed.split, { random: random(between), augmentation });
    expect(resumed.orders).toEqual(through.orders.slice(5));
    expect(through.orders.slice(5)).not.toEqual(through.orders.slice(0, 5));
  });

  it("has made all draws of the epoch when it returns", () => {
    const generator = random(4);
    const epoch = batches(split(20).split, { batchSize: 4, labelStride: 8, random: generator, augmentation });
    const { state } = generator;
    expect(state).not.toBe(4);
    epoch[Symbol.asyncIterator]();
    expect(generator.state).toBe(state);
  });

  it("requests two batches beyond the current one", async () => {
    const { split: of, orders } = split(40);
    const epoch = batches(of, { batchSize: 4, labelStride: 8 })[Symbol.asyncIterator]();
    await epoch.next();
    expect(orders.length).toBe(3);
    await epoch.next();
    expect(orders.length).toBe(4);
  });

  it("with reuse gives the memory of a batch to a later one", async () => {
    const kept = split(20);
    await collect(kept.split, {});
    expect(kept.spares.some(Boolean)).toBe(false);
    const { split: of, spares } = split(20);
    const all = await collect(of, { reuse: true });
    expect(spares).toEqual([undefined, undefined, undefined, all[0], all[1]]);
    expect(spares[3]).toBe(all[0]);
  });

  it("rejects with the fault of a batch when that batch is requested", async () => {
    const epoch = batches(split(40, 1).split, { batchSize: 4, labelStride: 8 })[Symbol.asyncIterator]();
    expect((await epoch.next()).done).toBe(false);
    await expect(epoch.next()).rejects.toThrow("file is gone");
  });

  it.each([
    ["batch size 0", { batchSize: 0 }, "batch size is 0"],
    ["no full batch", { batchSize: 11, dropLast: true }, "batch size 11 exceeds the 10 examples"],
    ["a stride that does not divide", { labelStride: 3 }, "label stride 3 must be a whole number that divides 8x8"],
    ["half a pixel", { augmentation: { ...still, shift: 0.5 } }, "shift is 0.5 pixels"],
    ["scales out of order", { augmentation: { ...still, scaleMin: 2 } }, "scales are 2 to 1, must be above 0"],
  ])("refuses %s", async (_name, options, message) => {
    await expect(collect(split(10).split, options)).rejects.toThrow(message);
  });
});
