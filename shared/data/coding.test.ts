import { classesOf, plainValues, rgb, type LabelCoding } from "./coding";
import { IGNORE } from "./dataset";

const grey = (...data: number[]) => ({
  data: Uint8Array.from(data),
  height: 1,
  width: data.length,
  channels: 1 as const,
});
const colours = (...pixels: number[][]) => ({
  data: Uint8Array.from(pixels.flat()),
  height: 1,
  width: pixels.length,
  channels: 3 as const,
});
const byColor: LabelCoding = {
  colors: new Map([
    [rgb(9, 9, 9), 0],
    [rgb(200, 0, 1), 1],
    [rgb(255, 255, 255), IGNORE],
  ]),
};

describe("the classes of a label", () => {
  it("are those of its values", () => {
    const { data, byValue } = classesOf(grey(0, 2, 7, 255), { values: plainValues(3, [7]) }, "l.png");
    expect([[...data], byValue]).toEqual([[0, 2, IGNORE, IGNORE], true]);
  });

  it("are those of its colours, also where it stores grey or a palette and values mean nothing", () => {
    const { data, byValue } = classesOf(colours([200, 0, 1], [9, 9, 9], [255, 255, 255]), byColor, "l.png");
    expect([[...data], byValue]).toEqual([[1, 0, IGNORE], false]);
    expect([...classesOf(grey(9, 255), byColor, "l.png").data]).toEqual([0, IGNORE]);
    const palette = Uint8Array.of(200, 0, 1, 9, 9, 9);
    expect([...classesOf({ ...grey(1, 0), palette }, byColor, "l.png").data]).toEqual([0, 1]);
    // Where values have a meaning, they go first.
    expect([...classesOf({ ...grey(1, 0), palette }, { ...byColor, values: plainValues(2) }, "l.png").data]).toEqual([
      1, 0,
    ]);
  });

  it("leave black out and count it where no class has it", () => {
    expect(classesOf(colours([0, 0, 0], [9, 9, 9], [0, 0, 0]), byColor, "l.png")).toMatchObject({ unlisted: 2 });
    const black = { colors: new Map([[0, 1]]) };
    expect(classesOf(colours([0, 0, 0]), black, "l.png")).toEqual({
      data: Uint8Array.of(1),
      byValue: false,
      unlisted: 0,
    });
  });

  it.each<[string, ReturnType<typeof grey> | ReturnType<typeof colours>, LabelCoding, string]>([
    [
      "unknown values, with their pixels",
      grey(0, 9, 9, 12, 3, 9),
      { values: plainValues(2), advice: { values: "see the spec", colors: "" } },
      "label l.png has the unknown value 9 at x 1, y 0 (3 pixels), 12 (1 pixel), 3 (1 pixel): known are 0 to 1, 255; see the spec",
    ],
    [
      "unknown colours, five by name",
      colours(...[1, 2, 3, 4, 5, 6, 7].map((red) => [red, 0, 0])),
      byColor,
      "label l.png has the unknown colour 1 0 0 at x 0, y 0 (1 pixel), 2 0 0 (1 pixel), 3 0 0 (1 pixel), 4 0 0 (1 pixel), 5 0 0 (1 pixel), 2 more colours: it is the colour of no class",
    ],
    [
      "colours where classes have none",
      colours([1, 2, 3]),
      { values: plainValues(2) },
      "label l.png is an image of colours: must be grey or palette",
    ],
  ])("are refused for %s", (_name, label, coding, message) => {
    const fault = expect.objectContaining({ message, reason: "DATASET_INVALID" }) as Error;
    expect(() => classesOf(label, coding, "l.png")).toThrow(fault);
  });
});
