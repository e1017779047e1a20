import { OperationKind } from "../proto/lathe/v1/space";
import { LatheError } from "../process/errors";
import { randomArchitecture, randomSpace, uniform } from "../testing/spaces";
import {
  blockInputs,
  choicesOf,
  derive,
  isMember,
  largestGenotype,
  print,
  spaceOf,
  validateGenotype,
} from "./genotype";
import { group, initialArchitecture } from "./groups";
import { spaceViolations } from "./validate";

const space = {
  ...randomSpace(uniform(1)),
  stages: [
    { channels: 16, minDepth: 1, maxDepth: 3, widths: [8, 12, 16], dropout: 0 },
    { channels: 32, minDepth: 2, maxDepth: 4, widths: [16, 32], dropout: 0 },
  ],
  dilations: [1, 2, 4],
  scales: [1, 2],
  kinds: [],
};

describe("derive", () => {
  it("takes the largest alpha among the survivors, the lowest index on a tie", () => {
    const architecture = initialArchitecture(space);
    Object.assign(group(architecture, "stage1/depth"), { survivors: [1, 2], alphas: [0.5, 0.5] });
    group(architecture, "stage1/block1/operation").alphas = [0, 0, 0, 0, 3, 0];
    Object.assign(group(architecture, "stage1/block1/d2s2/output"), { survivors: [0, 1], alphas: [-1, 0] });
    group(architecture, "stage1/block1/d2s2/middle").alphas = [-3, -2, -1];
    // Groups below candidates that are not chosen have no effect.
    group(architecture, "stage1/block1/d1s1/output").alphas = [0, 0, 9];
    const { genotype, converged } = derive(space, architecture);
    expect(converged).toBe(false);
    expect(genotype.stages[0]?.blocks).toHaveLength(2);
    expect(genotype.stages[0]?.blocks[0]).toEqual({ dilation: 2, scale: 2, middleWidth: 16, outputWidth: 12 });
    expect(genotype.stages[0]?.blocks[1]).toEqual({ dilation: 1, scale: 1, middleWidth: 8, outputWidth: 8 });
    expect(genotype.stages[1]?.blocks).toHaveLength(2);
  });

  it("gives a valid member of every random space", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = uniform(seed);
      const any = randomSpace(random);
      const { genotype } = derive(any, randomArchitecture(any, random));
      expect(isMember(any, genotype)).toBe(true);
      expect(() => validateGenotype(genotype)).not.toThrow();
      expect(isMember({ ...any, classes: 6 }, genotype)).toBe(false);
    }
  });
});

describe("blockInputs", () => {
  it("appends only the remaining channels in the next reduction", () => {
    const genotype = largestGenotype(space);
    const last = genotype.stages[0]?.blocks.at(-1);
    if (last !== undefined) last.outputWidth = 12;
    const inputs = blockInputs(genotype);
    expect(inputs.stem).toEqual({ input: 3, convolution: 5, output: 8 });
    expect(inputs.stages[0]).toEqual({
      ...{ reduction: { input: 8, convolution: 8, output: 16 }, blocks: [16, 16, 16] },
      output: 12,
    });
    expect(inputs.stages[1]).toEqual({
      reduction: { input: 12, convolution: 16, output: 28 },
      blocks: [28, 32, 32, 32],
      output: 32,
    });
  });
});

describe("validateGenotype", () => {
  it("names every fault", () => {
    const genotype = largestGenotype({ ...space, inputHeight: 72, classes: 0, stemChannels: 3 });
    Object.assign(genotype.stages[0]?.blocks[1] ?? {}, { dilation: 0, middleWidth: 17 });
    Object.assign(genotype.stages[1]?.blocks[0] ?? {}, { scale: 2, outputWidth: 1.5 });
    genotype.stages[1]?.blocks.splice(2, 2, { dilation: 1, scale: 3, middleWidth: 16, outputWidth: 16 });
    let thrown: unknown;
    try {
      validateGenotype(genotype);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(LatheError);
    expect((thrown as LatheError).violations.map(({ field }) => field)).toEqual([
      "classes",
      "stem_channels",
      "stages[0].blocks[1].dilation",
      "stages[0].blocks[1].middle_width",
      "stages[1].blocks[0].output_width",
      "stages[1].blocks[2].scale",
      "input_height",
    ]);
  });

  it("refuses a kind that is unknown, and a dilation of a kind that takes none", () => {
    const genotype = largestGenotype(space);
    Object.assign(genotype.stages[0]?.blocks[0] ?? {}, { kind: 99 });
    Object.assign(genotype.stages[0]?.blocks[1] ?? {}, { kind: OperationKind.OPERATION_KIND_PLAIN, dilation: 2 });
    Object.assign(genotype.stages[0]?.blocks[2] ?? {}, { kind: OperationKind.OPERATION_KIND_SEPARABLE, dilation: 2 });
    expect(() => validateGenotype(genotype)).toThrow(
      "stages[0].blocks[0].kind is 99, must be one of factorized, plain, separable, separable5, bottleneck, inverted; " +
        "stages[0].blocks[1].dilation is 2, must be 1 for an operation of kind plain",
    );
  });

  it("requires a multiple of 16 only if the last stage uses scale 2", () => {
    const genotype = { ...largestGenotype(space), inputHeight: 72 };
    expect(() => validateGenotype(genotype)).not.toThrow();
    Object.assign(genotype.stages[1]?.blocks[0] ?? {}, { scale: 2 });
    expect(() => validateGenotype(genotype)).toThrow("input_height is 72, must be a positive multiple of 16");
  });
});

it("the largest network has the inverted bottleneck, which its middle makes the dearer one", () => {
  const kinds = [OperationKind.OPERATION_KIND_BOTTLENECK, OperationKind.OPERATION_KIND_INVERTED];
  const blocks = largestGenotype({ ...space, kinds }).stages.flatMap((stage) => stage.blocks);
  expect(blocks.map(({ kind }) => kind)).toEqual(Array(7).fill(OperationKind.OPERATION_KIND_INVERTED));
});

it("a network's head has at most the full widths, and only where it is that of retraining", () => {
  const genotype = largestGenotype({ ...space, pyramidChannels: 4 });
  const full = genotype.stages[1]!.channels;
  const faults = (head: object) => () => validateGenotype({ ...genotype, ...head });
  expect(faults({ joinedWidth: full + 1 })).toThrow(
    `joined_width is ${full + 1}, must be an integer between 1 and ${full} (the full width)`,
  );
  expect(faults({ pyramidWidth: 5 })).toThrow(
    "pyramid_width is 5, must be an integer between 0 and 4 (the full width)",
  );
  expect(faults({ pyramidChannels: 0, joinedWidth: 8 })).toThrow(
    "joined_width is 8, but the search head has no such width: set pyramid_channels, or leave it out",
  );
  expect(faults({ detailWidth: 0 })).toThrow(
    `detail_width is 0, must be an integer between 1 and ${genotype.stages[0]!.channels} (the full width)`,
  );
  expect(faults({ joinedWidth: 1, pyramidWidth: 0, detailWidth: 1 })).not.toThrow();
});

it("a narrower head belongs to the spaces that search it", () => {
  const headed = {
    ...space,
    pyramidChannels: 4,
    headWidths: { joined: [8, space.stages[1]!.channels], pyramid: [], detail: [] },
  };
  const genotype = largestGenotype(headed);
  expect(isMember(headed, { ...genotype, joinedWidth: 8 })).toBe(true);
  expect(isMember(headed, { ...genotype, joinedWidth: 9 })).toBe(false);
  expect(isMember(headed, { ...genotype, pyramidWidth: 0 })).toBe(false);
  expect(isMember({ ...headed, headWidths: undefined }, { ...genotype, joinedWidth: 8 })).toBe(false);
  // The search head may be that of a network for any space, but the widths of a pyramid are shares of its own.
  expect(isMember(headed, { ...genotype, pyramidChannels: 2 })).toBe(false);
  expect(isMember(headed, { ...genotype, pyramidChannels: 0 })).toBe(true);
  // A network that leaves out which head it has, has the full widths of the space.
  const open = { ...headed, headWidths: { ...headed.headWidths, pyramid: [0, 4] } };
  const { pyramidChannels: _, ...bare } = genotype;
  expect(isMember(open, bare)).toBe(true);
  expect(["head/joined", "head/pyramid"].map((id) => choicesOf(open, bare).get(id))).toEqual([1, 1]);
  expect(
    print({ ...genotype, joinedWidth: 8, pyramidWidth: 0, detailWidth: 4 })
      .split("\n")
      .at(-1),
  ).toBe("head: joined width 8, pyramid width 0, detail width 4");
});

describe("spaceOf", () => {
  it("is a valid space that contains the genotype, with only the widths, depths and operations in use and the full width", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = uniform(seed);
      const any = randomSpace(random);
      const { genotype } = derive(any, randomArchitecture(any, random));
      const own = spaceOf(genotype);
      expect(spaceViolations(own)).toEqual([]);
      expect(isMember(own, genotype)).toBe(true);
      const blocks = genotype.stages.flatMap((stage) => stage.blocks);
      expect(new Set(own.dilations)).toEqual(new Set(blocks.map(({ dilation }) => dilation)));
      own.stages.forEach((stage, index) => {
        const used = genotype.stages[index]?.blocks.flatMap((b) => [b.middleWidth, b.outputWidth]) ?? [];
        expect(stage.minDepth).toBe(stage.maxDepth);
        expect(new Set(stage.widths)).toEqual(new Set([...used, stage.channels]));
      });
    }
  });
});

describe("print", () => {
  it("is a table of one line per block", () => {
    const lines = print(largestGenotype(space)).split("\n");
    expect(lines).toHaveLength(1 + 3 + 4);
    expect(lines[0]?.split(/\s+/)).toEqual(["stage", "block", "dilation", "scale", "input", "middle", "output"]);
    expect(lines[4]?.trim().split(/\s+/)).toEqual(["2", "1", "1", "1", "32", "32", "32"]);
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  });
});
