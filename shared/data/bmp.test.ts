import { readBmp } from "./bmp";

interface Change {
  depth?: number;
  height?: number;
  compression?: number;
  palette?: readonly (readonly number[])[];
  masks?: readonly number[];
}

/** Writes a BMP of stored rows, each padded to 4 bytes, by the layout of its two headers. */
function bmp(width: number, rows: readonly (readonly number[])[], change: Change = {}): Buffer {
  const { depth = 24, height = rows.length, compression = 0, palette = [], masks = [] } = change;
  const header = Buffer.alloc(54);
  header.write("BM", "latin1");
  header.writeUInt32LE(54 + 4 * palette.length + 4 * masks.length, 10);
  header.writeUInt32LE(40, 14);
  header.writeInt32LE(width, 18);
  header.writeInt32LE(height, 22);
  header.writeUInt16LE(depth, 28);
  header.writeUInt32LE(compression, 30);
  header.writeUInt32LE(palette.length, 46);
  const colors = palette.map(([red = 0, green = 0, blue = 0]) => Buffer.of(blue, green, red, 0));
  const words = masks.map((mask) => {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(mask);
    return word;
  });
  const padded = rows.map((row) => Buffer.from([...row, ...new Array<number>((4 - (row.length % 4)) % 4).fill(99)]));
  return Buffer.concat([header, ...words, ...colors, ...padded]);
}

describe("readBmp", () => {
  it("reads colours of 24 bits, rows from the bottom and in the order blue, green, red", () => {
    const bytes = bmp(2, [
      [3, 2, 1, 6, 5, 4],
      [9, 8, 7, 12, 11, 10],
    ]);
    expect(readBmp(bytes)).toEqual({
      height: 2,
      width: 2,
      channels: 3,
      data: Uint8Array.of(7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6),
    });
  });

  it("reads rows from the top where the height is negative, and 32 bits without their fourth byte", () => {
    const rows = [
      [3, 2, 1, 77],
      [6, 5, 4, 77],
    ];
    const expected = { height: 2, width: 1, channels: 3, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
    expect(readBmp(bmp(1, rows, { depth: 32, height: -2 }))).toEqual(expected);
    const masks = [0xff0000, 0xff00, 0xff];
    expect(readBmp(bmp(1, rows, { depth: 32, height: -2, compression: 3, masks }))).toEqual(expected);
  });

  it.each([
    [8, [[0, 2, 1]], [0, 2, 1]],
    [4, [[0x02, 0x10]], [0, 2, 1]],
    [1, [[0b10100000]], [1, 0, 1]],
  ])("reads indices of %i bits and their palette", (depth, rows, indices) => {
    const palette = [
      [1, 2, 3],
      [4, 5, 6],
      [7, 8, 9],
    ];
    const read = readBmp(bmp(3, rows, { depth, palette }));
    expect(read).toMatchObject({ height: 1, width: 3, channels: 1 });
    expect([...read.data]).toEqual(indices);
    expect([...(read.palette ?? [])]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it.each([
    ["a cut file", bmp(2, [[1, 2, 3, 4, 5, 6]]).subarray(0, 58), "ends early, after 58 bytes"],
    ["a cut header", bmp(2, []).subarray(0, 30), "ends early, after 30 bytes"],
    ["run lengths", bmp(3, [[0, 2, 1]], { depth: 8, compression: 1 }), "compression 1, must be uncompressed"],
    ["other masks", bmp(1, [[1, 2, 3, 4]], { depth: 32, compression: 3, masks: [1, 2, 4] }), "must be uncompressed"],
    ["16 bits", bmp(1, [[1, 2]], { depth: 16 }), "is a BMP of 16 bits"],
    ["more pixels than are allowed", bmp(8192, [], { height: 8193 }), "has 8192x8193 pixels"],
  ])("refuses %s", (_name, bytes, message) => {
    expect(() => readBmp(bytes)).toThrow(message);
  });
});
