import { assembleBatch } from "./assemble";
import { IGNORE, type BatchOrder, type Zoom } from "./dataset";
import { resizeImage } from "./resize";
import { sourcesOf, zoomImage, type AxisChange } from "./zoom";

const size = { height: 8, width: 16 };
const axis = (change: Partial<AxisChange>): AxisChange => ({
  ...{ length: 16, mirrored: false, scale: 1, place: 0, shift: 0 },
  ...change,
});
/** Red grows by 10 a column, green by 20 a row, blue is 90. The label of a pixel is its column. */
const ramp = {
  image: Uint8Array.from({ length: 3 * 8 * 16 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return [10 * (pixel % 16), 20 * Math.floor(pixel / 16), 90][i % 3]!;
  }),
  label: Uint8Array.from({ length: 8 * 16 }, (_, i) => i % 16),
};
const order = (zoom: Zoom, change: Partial<BatchOrder> = {}): BatchOrder => ({
  ...{ indices: [0], flips: [false], shiftsX: [0], shiftsY: [0], labelStride: 1, zooms: [zoom] },
  ...change,
});
const assembled = (zoom: Zoom, change?: Partial<BatchOrder>) => {
  const { images, labels } = assembleBatch([ramp], size, order(zoom, change));
  const at = (c: number, y: number, x: number) => images[c * 128 + y * 16 + x]! * 255;
  return { images, labels, at };
};

describe("a scaled example", () => {
  it("at scale 1 has the bytes of the one that is not scaled, mirrored and shifted or not", () => {
    for (const mirrored of [false, true])
      for (const shift of [-2, 0, 3]) {
        const flat = assembleBatch([ramp], size, {
          ...order({ scale: 1, x: 0, y: 0 }),
          flips: [mirrored],
          shiftsX: [shift],
        });
        const out = new Float32Array(flat.images.length);
        zoomImage(out, ramp.image, size, axis({ length: 8 }), axis({ mirrored, shift }));
        expect(out).toEqual(flat.images);
      }
  });

  it("enlarged twice and cropped, has the values of a linear ramp at half-pixel centres", () => {
    // The crop starts 0.25 * 16 = 4 pixels from the left and 0.5 * 8 = 4 from the top of the image of 32x16.
    const { at, labels } = assembled({ scale: 2, x: 0.25, y: 0.5 });
    for (let y = 0; y < 8; y++)
      for (let x = 0; x < 16; x++) {
        expect(at(0, y, x)).toBeCloseTo(10 * ((x + 0.5 + 4) / 2 - 0.5), 4);
        expect(at(1, y, x)).toBeCloseTo(20 * ((y + 0.5 + 4) / 2 - 0.5), 4);
        expect(at(2, y, x)).toBeCloseTo(90, 4);
        expect(labels[y * 16 + x]).toBe(Math.floor((x + 4) / 2));
      }
  });

  it("halved, is the antialiased resize of the image at its place, black and ignored around it", () => {
    const half = resizeImage(ramp.image, size, { height: 4, width: 8 });
    // 0.75 * 8 = 6 uncovered columns are left of it, and 0.5 * 4 = 2 rows above.
    const { at, labels } = assembled({ scale: 0.5, x: 0.75, y: 0.5 });
    for (let y = 0; y < 8; y++)
      for (let x = 0; x < 16; x++) {
        const inside = y >= 2 && y < 6 && x >= 6 && x < 14;
        for (let c = 0; c < 3; c++) {
          const expected = inside ? half[3 * ((y - 2) * 8 + x - 6) + c]! : 0;
          expect(Math.abs(at(c, y, x) - expected)).toBeLessThanOrEqual(0.501);
        }
        expect(labels[y * 16 + x]).toBe(inside ? 2 * (x - 6) + 1 : IGNORE);
      }
  });

  it.each([0.6, 0.83, 1.3, 1.9])("at scale %d keeps image and label together, flipped and shifted", (scale) => {
    const { at, labels } = assembled({ scale, x: 0.3, y: 0.6 }, { flips: [true], shiftsX: [2], shiftsY: [-1] });
    let inner = 0;
    for (let y = 0; y < 8; y++)
      for (let x = 0; x < 16; x++) {
        const label = labels[y * 16 + x]!;
        if (label === IGNORE) expect(at(2, y, x)).toBe(0);
        else expect(at(2, y, x)).toBeCloseTo(90, 4);
        // A linear ramp is exact only where no tap lies outside of the image.
        if (label < 2 || label > 13) continue;
        inner++;
        // The label is that of the pixel in which the centre lies, so it is at most half a pixel away.
        expect(Math.abs(at(0, y, x) / 10 - label)).toBeLessThanOrEqual(0.5 + 1e-4);
      }
    expect(inner).toBeGreaterThan(20);
  });

  it("takes a label cell from its centre", () => {
    const fine = assembled({ scale: 1.7, x: 0.4, y: 0.2 }).labels;
    const coarse = assembled({ scale: 1.7, x: 0.4, y: 0.2 }, { labelStride: 4 }).labels;
    expect([...coarse]).toEqual([2, 6].flatMap((y) => [2, 6, 10, 14].map((x) => fine[y * 16 + x])));
  });

  it("covers the output whatever the place of an enlarged one, and mirrors sources exactly", () => {
    for (const place of [0, 0.37, 1]) {
      const plain = sourcesOf(axis({ scale: 1.37, place }));
      expect(Math.min(...plain)).toBeGreaterThanOrEqual(0);
      expect([...sourcesOf(axis({ scale: 1.37, place, mirrored: true }))]).toEqual([...plain].map((at) => 15 - at));
    }
  });
});
