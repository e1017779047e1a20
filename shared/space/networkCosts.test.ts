import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import { decidedArchitecture } from "./decided";
import { randomGenotype, smallSpace } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { searchedHead } from "./head";
import { costsByPart, supernetMacs } from "./networkCosts";
import { initialArchitecture } from "./groups";
import { KINDS } from "./kinds/kinds";
import { liveHead, liveStages } from "./live";

describe("MACs of a supernet's convolutions", () => {
  const space = smallSpace();
  const macsIn = (of: SearchSpace, architecture: Architecture) =>
    supernetMacs(of, { stages: liveStages(of, architecture), head: liveHead(of, architecture) });

  const headWidths = { joined: [4, 12], pyramid: [0, 2, 4], detail: [3, 8] };
  const heads = [{ pyramidChannels: 0 }, { pyramidChannels: 4 }, { pyramidChannels: 4, headWidths }];
  const both = KINDS.flatMap(({ kind }) => heads.map((head) => ({ kind, ...head })));

  it.each(both)("equal those of the network, part by part, if only one is left (%j)", ({ kind, ...head }) => {
    const own = { ...space, kinds: [kind], ...head };
    const genotype = randomGenotype(own, uniform(3));
    const macs = macsIn(own, decidedArchitecture(own, genotype));
    const want = costsByPart(genotype, searchedHead(genotype)).map(({ name, macs }) => ({ part: name, macs }));
    expect(macs).toEqual(want);
  });

  it("count every candidate at its largest width", () => {
    // Stage 1 at 8x16: per dilation 3*8*(8+8) per pixel at full and at half resolution.
    const block = 2 * (3 * 8 * 16 * 128 + 3 * 8 * 16 * 32);
    expect(macsIn(space, initialArchitecture(space))[2]).toEqual({ part: "stage1/block1", macs: block });
  });
});
