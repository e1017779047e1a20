import { Dimension, type SearchSpace } from "../proto/lathe/v1/space";
import { decidedArchitecture } from "./decided";
import { keepSurvivors, randomGenotype } from "../testing/networks";
import { randomSpace, uniform } from "../testing/spaces";
import { blockInputs } from "./genotype";
import { group, indexGroups, initialArchitecture, liveGroups } from "./groups";
import { liveStages } from "./live";

const space: SearchSpace = {
  inputHeight: 32,
  inputWidth: 32,
  classes: 2,
  stemChannels: 4,
  dilations: [1, 2],
  scales: [1],
  kinds: [],
  stages: [
    { channels: 8, minDepth: 1, maxDepth: 3, widths: [2, 4, 8], dropout: 0.1 },
    { channels: 16, minDepth: 1, maxDepth: 1, widths: [8, 16], dropout: 0 },
  ],
};

/** Stage 1 exits after block 1 or 2; block 1 keeps only d2s1; the largest output width is removed everywhere. */
const architecture = keepSurvivors(space, initialArchitecture(space), ({ id, survivors }) => {
  if (id === "stage1/depth") return [0, 1];
  if (id === "stage1/block1/operation") return [1];
  return /^stage1\/block\d\/.*\/output$/.test(id) ? [0, 1] : survivors;
});

describe("liveGroups", () => {
  it("are the groups below surviving depths and operations", () => {
    const live = liveGroups(space, indexGroups(architecture));
    expect(live.slice(0, 5)).toEqual([
      { id: "stage1/depth", dimension: Dimension.DIMENSION_DEPTH, candidates: ["1", "2", "3"] },
      { id: "stage1/block1/operation", dimension: Dimension.DIMENSION_OPERATION, candidates: ["d1s1", "d2s1"] },
      { id: "stage1/block1/d2s1/output", dimension: Dimension.DIMENSION_OUTPUT_WIDTH, candidates: ["2", "4", "8"] },
      { id: "stage1/block1/d2s1/middle", dimension: Dimension.DIMENSION_MIDDLE_WIDTH, candidates: ["2", "4", "8"] },
      { id: "stage1/block2/operation", dimension: Dimension.DIMENSION_OPERATION, candidates: ["d1s1", "d2s1"] },
    ]);
    expect(live.map(({ id }) => id).filter((id) => id.startsWith("stage1/block3"))).toEqual([]);
  });

  it("are none below a group that is missing", () => {
    const groups = indexGroups(architecture);
    groups.delete("stage1/block2/operation");
    groups.delete("stage2/depth");
    const ids = liveGroups(space, groups).map(({ id }) => id);
    expect(ids.slice(4)).toEqual(["stage1/block2/operation", "stage2/depth"]);
  });
});

describe("liveStages", () => {
  it("have the channels that the widest survivors need", () => {
    const [first, second] = liveStages(space, architecture);
    expect(first).toMatchObject({ name: "stage1", exits: [1, 2], reduction: { input: 4, convolution: 4, output: 8 } });
    expect(first?.blocks).toMatchObject([
      {
        name: "stage1/block1",
        ...{ inputs: 8, outputs: 4 },
        operations: [{ index: 1, operation: { name: "d2s1" }, outputWidth: 4, middleChannels: 8 }],
      },
      { name: "stage1/block2", inputs: 4, outputs: 4, operations: [{ index: 0 }, { index: 1 }] },
    ]);
    expect(first?.outputs).toBe(4);
    expect(second).toMatchObject({ reduction: { input: 4, convolution: 8, output: 12 }, outputs: 16 });
    expect(second?.blocks[0]?.inputs).toBe(12);
  });

  it("of a decided architecture have the channels of its genotype", () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = uniform(seed);
      const any = randomSpace(random);
      const genotype = randomGenotype(any, random);
      const stages = liveStages(any, decidedArchitecture(any, genotype));
      const channels = blockInputs(genotype);
      expect(
        stages.map(({ reduction, blocks, outputs: output }) => ({
          ...{ reduction, output },
          blocks: blocks.map(({ inputs }) => inputs),
        })),
      ).toEqual(channels.stages);
    }
  });

  it("name a candidate that the space does not have, and a group that is missing", () => {
    const wrong = structuredClone(architecture);
    group(wrong, "stage1/block1/operation").survivors = [2];
    expect(() => liveStages(space, wrong)).toThrow('group "stage1/block1/operation" holds candidate 2 of 2');
    const gap = { groups: architecture.groups.filter(({ id }) => id !== "stage1/block1/d2s1/middle") };
    expect(() => liveStages(space, gap)).toThrow('group "stage1/block1/d2s1/middle" is not live');
  });
});
