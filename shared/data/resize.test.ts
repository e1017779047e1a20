import { encodeModel } from "../engine/encode";
import { openOnnx } from "../engine/onnx";
import { uniform } from "../testing/spaces";
import { resizeImage, type Size } from "./resize";

/** The definition, pixel by pixel in the plain: the weighted mean over both axes at once, before it is rounded. */
function expected(rgb: Uint8Array, from: Size, to: Size, y: number, x: number, channel: number): number {
  const weight = (n: number, m: number, i: number, j: number) =>
    Math.max(0, 1 - Math.abs(j + 0.5 - ((i + 0.5) * n) / m) / Math.max(n / m, 1));
  let [sum, total] = [0, 0];
  for (let row = 0; row < from.height; row++)
    for (let column = 0; column < from.width; column++) {
      const w = weight(from.height, to.height, y, row) * weight(from.width, to.width, x, column);
      sum += w * rgb[3 * (row * from.width + column) + channel]!;
      total += w;
    }
  return sum / total;
}

/** ONNX's Resize of [H,W,3] with antialiasing, before it is rounded. */
async function onnxResize(rgb: Uint8Array, from: Size, to: Size): Promise<Float32Array> {
  const value = (name: string, shape: number[], dtype: "float32" | "int64" = "float32") => ({ name, shape, dtype });
  const [image, none, size] = [
    value("image", [from.height, from.width, 3]),
    value("", [0]),
    value("size", [2], "int64"),
  ];
  const resized = value("resized", [to.height, to.width, 3]);
  const node = {
    ...{ op: "Resize", name: "resize", domain: "", inputs: [image, none, none, size], outputs: [resized] },
    attributes: {
      ...{ mode: "linear", coordinate_transformation_mode: "half_pixel" },
      ...{ antialias: 1, exclude_outside: 1, axes: [0, 1] },
    },
  };
  const data = new Uint8Array(BigInt64Array.of(BigInt(to.height), BigInt(to.width)).buffer);
  const graph = {
    inputs: [image],
    outputs: [resized],
    nodes: [node],
    initializers: [{ value: size, data }],
    opset: 18,
  };
  const model = await openOnnx(encodeModel(graph, "resize"));
  const { resized: floats } = await model.run({ image: Float32Array.from(rgb) });
  await model.release();
  return floats as Float32Array;
}

/** One row of grey pixels, or one column. */
const row = (...values: number[]) => Uint8Array.from(values.flatMap((v) => [v, v, v]));
const reds = (rgb: Uint8Array) => [...rgb].filter((_, at) => at % 3 === 0);
const wide = (width: number): Size => ({ height: 1, width });
const tall = (height: number): Size => ({ height, width: 1 });

describe("resizeImage", () => {
  it.each([
    // Two output pixels in each input pixel, at a quarter from its edges: 3/4 of it and 1/4 of the neighbour; at the border it alone.
    ["doubled", [0, 100], [0, 25, 75, 100]],
    // Triangle over 4 inputs: (1 3 3 1) / 8, of which the border has (3 3 1) / 7.
    ["halved", [0, 70, 140, 210], [50, 160]],
    // Centres 0.75 and 2.25, support 1.5: (5 3) / 8 with weights 1 - 0.25/1.5, 1 - 0.75/1.5 -> 5/6, 1/2; the third is at distance 1.75.
    ["3 to 2", [0, 80, 160], [30, 130]],
    ["to one pixel", [0, 30, 60], [30]],
    ["one pixel", [7], [7, 7, 7, 7, 7]],
  ])("%s: values computed by hand, along either axis", (_name, values, result) => {
    const [n, m] = [values.length, result.length];
    expect(reds(resizeImage(row(...values), wide(n), wide(m)))).toEqual(result);
    expect(reds(resizeImage(row(...values), tall(n), tall(m)))).toEqual(result);
  });

  it("rounds once, halves up", () => {
    expect(reds(resizeImage(row(0, 1), wide(2), wide(1)))).toEqual([1]);
    // 1/4. Rounded after each axis it would be 1: 1/2 -> 1, then 1/2 -> 1.
    const corner = Uint8Array.of(0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0);
    expect(reds(resizeImage(corner, { height: 2, width: 2 }, wide(1)))).toEqual([0]);
  });

  it.each([
    [12, 17, 12, 17],
    [12, 17, 5, 6],
    [12, 17, 23, 40],
    [12, 17, 5, 40],
    [12, 17, 23, 6],
    [12, 17, 12, 40],
    [12, 17, 12, 6],
    [12, 17, 23, 17],
    [12, 17, 5, 17],
    [31, 1, 1, 31],
    [64, 48, 3, 2],
  ])("%ix%i to %ix%i is the definition, and ONNX Runtime's Resize, to half a step", async (h, w, height, width) => {
    const [from, to] = [
      { height: h, width: w },
      { height, width },
    ];
    const random = uniform(h * width);
    const rgb = Uint8Array.from({ length: 3 * h * w }, () => Math.floor(256 * random()));
    const out = resizeImage(rgb, from, to);
    expect(out).toHaveLength(3 * height * width);
    let worst = 0;
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < 3; c++)
          worst = Math.max(worst, Math.abs(out[3 * (y * width + x) + c]! - expected(rgb, from, to, y, x, c)));
    expect(worst).toBeLessThan(0.5 + 2 ** -9);
    const floats = await onnxResize(rgb, from, to);
    // ONNX Runtime computes centres and weights in float32, and is up to 0.001 off the definition.
    out.forEach((value, at) => (worst = Math.max(worst, Math.abs(value - floats[at]!))));
    expect(worst).toBeLessThan(0.5 + 2 ** -8);
    if (h === height && w === width) expect(out).toEqual(rgb);
  });

  it("keeps flat colour, and the extremes stay within a byte", () => {
    for (const value of [0, 1, 254, 255])
      for (const side of [3, 7, 19, 50]) {
        const out = resizeImage(
          new Uint8Array(3 * 19 * 19).fill(value),
          { height: 19, width: 19 },
          { height: side, width: 50 },
        );
        expect(new Set(out)).toEqual(new Set([value]));
      }
  });

  it.each([100, 96, 176])("keeps an edge where it is when only the width changes, to %i", (width) => {
    const image = new Uint8Array(48 * 100 * 3);
    image.fill(255, 24 * 100 * 3);
    const out = resizeImage(image, { height: 48, width: 100 }, { height: 48, width });
    const column = [22, 23, 24, 25].map((y) => out[3 * (y * width + 50)]);
    expect(column).toEqual([0, 0, 255, 255]);
  });
});
