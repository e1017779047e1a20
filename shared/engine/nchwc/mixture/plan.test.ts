import { convolutions, mixtureObstacle, squares, type Branch, type MixturePlan } from "./plan";

const kernels = { 1: [3, 1], 2: [1, 3] } as const;
const plan: MixturePlan = {
  tile: 8,
  batch: 2,
  height: 8,
  width: 16,
  inputs: 16,
  outputs: 24,
  branches: [
    { scale: 1, dilation: 1, kernels, middle: 8, output: 24 },
    { scale: 2, dilation: 4, kernels, middle: 16, output: 8 },
  ],
  epsilon: 1e-3,
};

describe("squares", () => {
  it("list every square of every filter exactly once", () => {
    const all = squares(plan);
    // In tiles of 8: 2x1 and 1x3 in the first branch, 2x2 and 2x1 in the second, three taps each.
    expect(all).toHaveLength(3 * (2 + 3 + 4 + 2));
    expect(new Set(all.map((square) => JSON.stringify(square))).size).toBe(all.length);
    expect(all[3]).toEqual({ convolution: 0, outputTile: 0, inputTile: 1, tap: 0 });
  });
});

describe("convolutions", () => {
  it("come in the order of layers, and in layer 2 by their number of inputs", () => {
    const [narrow, wide] = plan.branches as [Branch, Branch];
    const list = convolutions({ ...plan, branches: [wide, narrow, { ...wide, output: 24 }] });
    expect(list.map(({ branch, layer, inputs, outputs }) => [branch, layer, inputs, outputs])).toEqual([
      [0, 1, 16, 16],
      [1, 1, 16, 8],
      [2, 1, 16, 16],
      [1, 2, 8, 24],
      [0, 2, 16, 8],
      [2, 2, 16, 24],
    ]);
  });
});

describe("obstacle", () => {
  it("is undefined if every precondition holds", () => {
    expect(mixtureObstacle(plan)).toBeUndefined();
  });

  it.each<[string, Partial<MixturePlan>, string]>([
    ["channels that are no multiple of the tile", { inputs: 12 }, "channels 12,24,8,24,16,8 are not multiples of 8"],
    ["a height that cannot be halved", { height: 9 }, "9x16 has no scale 2"],
    [
      "rows that are no multiple of a square",
      { batch: 1, width: 8 },
      "rows of 4 positions at scale 2 are not multiples of 8",
    ],
  ])("names %s", (_, change, why) => {
    expect(mixtureObstacle({ ...plan, ...change })).toBe(why);
  });
});
