import { stageBounds } from "./bounds";

const space = (stages: [channels: number, widths: number[]][]) => ({
  ...{ inputHeight: 32, inputWidth: 64, classes: 5, stemChannels: 4, dilations: [1], scales: [1] },
  stages: stages.map(([channels, widths]) => ({ channels, minDepth: 1, maxDepth: 1, widths, dropout: 0 })),
});

describe("the bounds of a space", () => {
  it("are multiples of the tile from one tile on, and at most all channels", () => {
    expect(
      stageBounds(
        space([
          [64, [36, 44, 48, 52, 64]],
          [120, [64, 100, 112, 116, 120]],
        ]),
        16,
      ),
    ).toEqual([
      { inputs: [48, 64], widths: [48, 64] },
      // The reduction adds 56 channels to an output of the stage before, from 92 on.
      { inputs: [64, 96, 112, 120], widths: [64, 112, 120] },
    ]);
  });

  it("are the widths themselves below one tile", () => {
    const small = space([
      [16, [8, 10, 16]],
      [32, [16, 20, 32]],
    ]);
    expect(stageBounds(small, 16)).toEqual([
      { inputs: [8, 10, 16], widths: [8, 10, 16] },
      // 24, 26 and 32 enter.
      { inputs: [16, 32], widths: [16, 32] },
    ]);
    expect(stageBounds(small, 8)[1]).toEqual({ inputs: [16, 24, 32], widths: [16, 24, 32] });
  });
});
