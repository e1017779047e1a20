import { figuresByPart } from "../space/figures";
import { initialArchitecture } from "../space/groups";
import { decidedArchitecture, randomGenotype, smallSpace } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { convolutionMacs } from "./macs";
import { buildSupernet } from "./supernet";

describe("MACs of a supernet's convolutions", () => {
  const space = smallSpace();

  it("are those of the network where one is left, part by part", () => {
    const genotype = randomGenotype(space, uniform(3));
    const macs = convolutionMacs(buildSupernet(space, decidedArchitecture(space, genotype)));
    const want = figuresByPart(genotype, { kind: "search" }).map(({ name, macs }) => ({ part: name, macs }));
    expect(macs).toEqual(want);
  });

  it("count every candidate at its largest width", () => {
    // Stage 1 at 8x16: per dilation 3*8*(8+8) per pixel at full and at half resolution.
    const block = 2 * (3 * 8 * 16 * 128 + 3 * 8 * 16 * 32);
    expect(convolutionMacs(buildSupernet(space, initialArchitecture(space)))[2]).toEqual({
      part: "stage1/block1",
      macs: block,
    });
  });
});
