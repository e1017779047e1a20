import { assembleBatch } from "./assemble";
import type { BatchOrder, Example } from "./dataset";

const size = { height: 2, width: 4 };
/** Pixel p has red p, green 100 + p, blue 200 + p and label p, so that each value identifies its pixel. */
const example: Example = {
  image: Uint8Array.from({ length: 24 }, (_, i) => 100 * (i % 3) + Math.floor(i / 3)),
  label: Uint8Array.from({ length: 8 }, (_, i) => i),
};
const order = (change: Partial<BatchOrder> = {}): BatchOrder => ({
  indices: [0],
  flips: [false],
  shiftsX: [0],
  shiftsY: [0],
  labelStride: 1,
  ...change,
});

describe("assembleBatch", () => {
  it("writes the same into the memory of a spare batch", () => {
    const moved = order({ flips: [true], shiftsX: [2], shiftsY: [-1] });
    const spare = assembleBatch([example], size, order());
    const { images, labels } = assembleBatch([example], size, moved);
    const again = assembleBatch([example], size, moved, spare);
    expect(again.images.buffer).toBe(spare.images.buffer);
    expect([again.images, again.labels]).toEqual([images, labels]);
    const larger = { ...moved, indices: [0, 0] };
    expect(assembleBatch([example, example], size, larger, spare).images).toHaveLength(2 * images.length);
  });

  it("writes images as planes in 0..1, and labels unchanged", () => {
    const { images, labels, size: count } = assembleBatch([example], size, order());
    expect(count).toBe(1);
    const planes = [0, 100, 200].flatMap((base) => Array.from({ length: 8 }, (_, p) => base + p));
    expect(images).toEqual(Float32Array.from(planes, (value) => value / 255));
    expect([...labels]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it.each([
    ["flip", { flips: [true] }, [3, 2, 1, 0, 7, 6, 5, 4]],
    ["shift right", { shiftsX: [1] }, [255, 0, 1, 2, 255, 4, 5, 6]],
    ["shift left", { shiftsX: [-2] }, [2, 3, 255, 255, 6, 7, 255, 255]],
    ["shift down", { shiftsY: [1] }, [255, 255, 255, 255, 0, 1, 2, 3]],
    ["shift up", { shiftsY: [-1] }, [4, 5, 6, 7, 255, 255, 255, 255]],
    [
      "flip, then shift right and up",
      { flips: [true], shiftsX: [1], shiftsY: [-1] },
      [255, 7, 6, 5, 255, 255, 255, 255],
    ],
    ["shift past the edge", { shiftsX: [9] }, new Array(8).fill(255)],
  ])("%s: labels move, uncovered ones are ignored, and the image moves with them", (_name, change, expected) => {
    const { images, labels } = assembleBatch([example], size, order(change));
    expect([...labels]).toEqual(expected);
    for (const [plane, base] of [0, 100, 200].entries()) {
      const pixels = [...images.subarray(plane * 8, plane * 8 + 8)].map((value) => Math.round(value * 255));
      expect(pixels).toEqual((expected as number[]).map((p) => (p === 255 ? 0 : base + p)));
    }
  });

  it("takes a label cell from its centre, after the transform", () => {
    expect([...assembleBatch([example], size, order({ labelStride: 2 })).labels]).toEqual([5, 7]);
    expect([...assembleBatch([example], size, order({ labelStride: 2, flips: [true] })).labels]).toEqual([6, 4]);
    expect([...assembleBatch([example], size, order({ labelStride: 2, shiftsX: [2] })).labels]).toEqual([255, 5]);
  });

  it("gives each example of a batch its own transform", () => {
    const two = order({ indices: [4, 9], flips: [false, true], shiftsX: [0, 0], shiftsY: [0, 0] });
    const batch = assembleBatch([example, example], size, two);
    expect(batch.indices).toEqual([4, 9]);
    expect([...batch.labels]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 3, 2, 1, 0, 7, 6, 5, 4]);
    expect(batch.images.length).toBe(2 * 24);
  });
});
