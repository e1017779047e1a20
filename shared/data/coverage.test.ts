import { plainValues, type LabelCoding } from "./coding";
import { coverageOf, type Counts } from "./coverage";

const names = ["sky", "road", "car"];
const advice = { values: "", colors: "" };
const folder: LabelCoding = { values: plainValues(3), advice };
/** Pixels per class, and ignored ones. */
function counts(classes: number[], ignored = 0, change: Partial<Counts> = {}): Counts {
  const pixels = new Array<number>(256).fill(0);
  classes.forEach((count, at) => (pixels[at] = count));
  pixels[255] = ignored;
  return { pixels, byValue: true, unlisted: 0, ...change };
}

describe("the coverage of labels", () => {
  it.each<[string, Counts, Counts, string[]]>([
    ["nothing where every class has pixels", counts([5, 5, 5], 14), counts([1, 1, 1]), []],
    [
      "a class without a training pixel, with the ignored share",
      counts([60, 0, 20], 20),
      counts([1, 1, 1]),
      [
        'class "road" has no training pixel; 20.0 % of the training pixels are ignored (255); if 255 is a class, say so in the spec, dataset.label_values: each value with its class',
      ],
    ],
    [
      "a class without a validation pixel",
      counts([6, 2, 2]),
      counts([1, 1, 0], 1),
      ['class "car" has no validation pixel'],
    ],
    [
      "classes without a pixel",
      counts([6, 2, 0]),
      counts([1, 0, 0]),
      [
        'class "car" has no pixel; class "road" has no validation pixel',
        'only class "sky" has validation pixels: a network that predicts nothing else has the best mIoU',
      ],
    ],
    [
      "mostly ignored pixels",
      counts([6, 2, 2], 11),
      counts([1, 1, 1]),
      [
        "52.4 % of the training pixels are ignored (255); if 255 is a class, say so in the spec, dataset.label_values: each value with its class",
      ],
    ],
    [
      "a colour that is not listed",
      counts([6, 2, 2], 1, { unlisted: 4, byValue: false }),
      counts([1, 1, 1], 0, { unlisted: 3 }),
      [
        "7 pixels of labels have the colour 0 0 0, which is that of no class: they are ignored; list the colour if it is a class",
      ],
    ],
  ])("warns of %s", (_name, train, validation, warnings) => {
    expect(coverageOf(names, folder, train, validation)).toEqual({ fault: undefined, warnings });
  });

  it("refuses masks of 0 and 255 whose foreground is ignored, and says how to map it", () => {
    const binary = coverageOf(["no", "yes"], { values: plainValues(2), advice }, counts([75], 25), counts([8], 2));
    expect(binary.fault).toBe(
      'only class "no" has training pixels, so there is nothing to learn; class "yes" has no pixel; 25.0 % of the training pixels are ignored (255); 20.0 % of the validation pixels are ignored (255); if 255 is a class, say so in the spec, dataset.label_values: {0: no, 255: yes}',
    );
  });

  it("refuses a split without a labelled pixel, and tells no way that a data set does not have", () => {
    const camvid: LabelCoding = { values: plainValues(3, [11]) };
    expect(coverageOf(names, camvid, counts([5, 5, 5]), counts([], 9)).fault).toBe(
      "the validation split has no labelled pixel; 100.0 % of the validation pixels are ignored (11, 255)",
    );
    expect(coverageOf(names, folder, counts([], 0), counts([1, 1, 1])).fault).toBe(
      "the training split has no labelled pixel",
    );
  });
});
