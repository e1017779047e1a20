import { changeColors } from "./color";

const same = { brightness: 1, contrast: 1, saturation: 1 };
/** Greys 0.299 * 100 + 0.587 * 50 + 0.114 * 200 = 82.05 and 40, of mean 61.025. */
const image = Uint8Array.of(100, 50, 200, 40, 40, 40);

describe("changeColors", () => {
  it("with factors of 1 gives the same bytes, as a new image", () => {
    const bytes = Uint8Array.from({ length: 768 }, (_, i) => i % 256);
    expect(changeColors(bytes, same)).toEqual(bytes);
    expect(changeColors(bytes, same)).not.toBe(bytes);
  });

  it.each([
    ["brightness", { ...same, brightness: 1.5 }, [150, 75, 255, 60, 60, 60]],
    ["contrast", { ...same, contrast: 0 }, [61, 61, 61, 61, 61, 61]],
    // 61.025 + 2 * (value - 61.025)
    ["more contrast", { ...same, contrast: 2 }, [139, 39, 255, 19, 19, 19]],
    // 82.05 + 0.5 * (value - 82.05); the second pixel is grey.
    ["saturation", { ...same, saturation: 0.5 }, [91, 66, 141, 40, 40, 40]],
    // Brightness first: 50, 25, 100, greys 41.025 and 20 of mean 30.5125; then contrast: 69.4875, 19.4875, 169.4875 of grey 51.5375, and 9.4875.
    ["all", { brightness: 0.5, contrast: 2, saturation: 0.5 }, [61, 36, 111, 9, 9, 9]],
  ])("%s has the values of a computation by hand", (_name, factors, expected) => {
    expect([...changeColors(image, factors)]).toEqual(expected);
    expect([...image]).toEqual([100, 50, 200, 40, 40, 40]);
  });
});
