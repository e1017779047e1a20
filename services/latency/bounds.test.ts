import { middleBounds, stageBounds } from "./bounds";

const space = (stages: [channels: number, widths: number[]][]) => ({
  ...{ inputHeight: 32, inputWidth: 64, classes: 5, stemChannels: 4, dilations: [1], scales: [1], kinds: [] },
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
      { inputs: [48, 64], outputs: [48, 64] },
      // The reduction adds 56 channels to an output of the stage before, from 92 on.
      { inputs: [64, 96, 112, 120], outputs: [64, 112, 120] },
    ]);
    expect(middleBounds({ channels: 120, widths: [64, 100, 112, 116, 120] }, 1, 16)).toEqual([64, 112, 120]);
  });

  it("are the widths themselves below one tile, but between the blocks of a stage of one tile all channels", () => {
    const small = space([
      [16, [8, 10, 16]],
      [32, [12, 16, 20, 32]],
    ]);
    expect(stageBounds(small, 16)).toEqual([
      { inputs: [16], outputs: [16] },
      // 24, 26 and 32 enter.
      { inputs: [12, 16, 32], outputs: [12, 16, 32] },
    ]);
    expect(middleBounds({ channels: 16, widths: [8, 10, 16] }, 1, 16)).toEqual([8, 10, 16]);
  });

  it("are between blocks those of the export's tile, where that of the device is smaller", () => {
    expect(stageBounds(space([[32, [16, 20, 32]]]), 8)).toEqual([{ inputs: [16, 32], outputs: [16, 32] }]);
    expect(middleBounds({ channels: 32, widths: [16, 20, 32] }, 1, 8)).toEqual([16, 24, 32]);
  });

  it("of a middle are those of the channels that its kind has there", () => {
    // Twice 6, 12, 20 and 24 channels are 12, 24, 40 and 48; the tiles behind them end at 12 (below a tile), 32, 48 and 48.
    expect(middleBounds({ channels: 24, widths: [6, 12, 20, 24] }, 2, 16)).toEqual([6, 16, 24]);
    // Three times 10 are 30, and the tile ends at 32: 10 channels of the width fit.
    expect(middleBounds({ channels: 64, widths: [10, 64] }, 3, 16)).toEqual([10, 64]);
  });
});
