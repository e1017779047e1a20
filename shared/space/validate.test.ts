import { LatheError } from "../process/errors";
import { Dimension, HeadWidths, type Group } from "../proto/lathe/v1/space";
import { randomArchitecture, randomSpace, uniform } from "../testing/spaces";
import { candidatesLeft, group, initialArchitecture } from "./groups";
import { spaceViolations, validateArchitecture } from "./validate";

const space = {
  ...randomSpace(uniform(1)),
  stages: [
    { channels: 16, minDepth: 1, maxDepth: 3, widths: [8, 16], dropout: 0 },
    { channels: 32, minDepth: 1, maxDepth: 2, widths: [16, 32], dropout: 0 },
  ],
  dilations: [1, 2],
  scales: [1, 2],
  kinds: [],
};
const [stage1, stage2] = space.stages;

/** This many widths, ascending to `full`. */
const counted = (count: number, full: number) => Array.from({ length: count }, (_, index) => full - count + 1 + index);

describe("spaceViolations", () => {
  it("finds none in valid spaces", () => {
    for (let seed = 1; seed <= 50; seed++) expect(spaceViolations(randomSpace(uniform(seed)))).toEqual([]);
  });

  it.each([
    [{ inputHeight: 72 }, "input_height"],
    [{ inputWidth: Number.NaN }, "input_width"],
    [{ classes: 255 }, "classes"],
    [{ stemChannels: 3 }, "stem_channels"],
    [{ dilations: [] }, "dilations"],
    [{ dilations: [2, 2] }, "dilations[1]"],
    [{ scales: [2] }, "scales"],
    [{ kinds: [2, 9] }, "kinds[1]"],
    [{ kinds: [2, 3, 2] }, "kinds[2]"],
    [{ kinds: new Array(9).fill(1) }, "kinds"],
    [{ kinds: [1, 3, 5], dilations: Array.from({ length: 11 }, (_, d) => d + 1) }, "kinds"],
    [{ stages: [stage1] }, "stages"],
    [{ stages: [stage2, stage1] }, "stages[1].channels"],
    [{ stages: [{ ...stage1, minDepth: 4 }, stage2] }, "stages[0].min_depth"],
    [{ stages: [{ ...stage1, maxDepth: 65 }, stage2] }, "stages[0].max_depth"],
    [{ stages: [{ ...stage1, widths: [16, 8, 16] }, stage2] }, "stages[0].widths[1]"],
    [{ stages: [{ ...stage1, widths: [8, 12] }, stage2] }, "stages[0].widths"],
    [{ stages: [stage1, { ...stage2, dropout: 1 }] }, "stages[1].dropout"],
  ])("names the field of %j", (change, field) => {
    expect(spaceViolations({ ...space, ...change } as typeof space).map((entry) => entry.field)).toEqual([field]);
  });

  it("accepts 72 rows if no operation has scale 2", () => {
    expect(spaceViolations({ ...space, inputHeight: 72, scales: [1] })).toEqual([]);
  });
});

/** The violations of the LatheError that a check throws, as text. */
function faultsOf(check: () => void): string[] {
  try {
    check();
  } catch (error) {
    return LatheError.from(error).violations.map(({ field, description }) => `${field} ${description}`);
  }
  return [];
}

describe("stages", () => {
  const stages = [16, 32, 48, 64, 80].map((channels) => ({ ...space.stages[0]!, channels, widths: [channels] }));
  const faults = (count: number, inputHeight: number) =>
    spaceViolations({ ...space, stages: stages.slice(0, count), inputHeight, inputWidth: 128 });

  it("are two to four", () => {
    for (const count of [2, 3, 4]) expect(faults(count, 64)).toEqual([]);
    for (const count of [1, 5])
      expect(faults(count, 64)).toEqual([
        { field: "stages", description: `has ${count} entries, must have between 2 and 4` },
      ]);
  });

  it("and scale 2 halve the input", () => {
    for (const [count, factor] of [
      [2, 16],
      [3, 32],
      [4, 64],
    ] as const) {
      expect(faults(count, factor)).toEqual([]);
      expect(faults(count, 1.5 * factor)[0]?.description).toContain(`must be a multiple of ${factor}`);
    }
  });
});

describe("validateArchitecture", () => {
  it("accepts initial and shrunk architectures", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = uniform(seed);
      const any = randomSpace(random);
      expect(() => validateArchitecture(any, initialArchitecture(any))).not.toThrow();
      expect(() => validateArchitecture(any, randomArchitecture(any, random))).not.toThrow();
    }
  });

  it("looks at no entry of a list that is too long, and at no more groups than a space may have", () => {
    const long = new Array<number>(500_000).fill(0);
    const stages = [
      { ...space.stages[0]!, widths: long },
      ...new Array<(typeof space.stages)[0]>(1000).fill(space.stages[1]!),
    ];
    expect(spaceViolations({ ...space, dilations: long, scales: long, stages }).map(({ field }) => field)).toEqual([
      "dilations",
      "scales",
      "stages",
      "stages[0].widths",
      "stages[0].widths",
      // The first four stages are looked at; the third and the fourth are equal to the second.
      "stages[2].channels",
      "stages[3].channels",
    ]);
    const architecture = initialArchitecture(space);
    group(architecture, "stage1/depth").survivors = long;
    const found = faultsOf(() => validateArchitecture(space, architecture));
    expect(found.join().length).toBeLessThan(5000);
    expect(found).toContainEqual(
      expect.stringMatching(/^architecture\.groups\["stage1\/depth"\] has survivors \[0, .* \(500000\)\]/),
    );
    architecture.groups = new Array<Group>(10_001).fill(group(architecture, "stage2/depth"));
    expect(faultsOf(() => validateArchitecture(space, architecture))).toEqual([
      "architecture.groups has 10001 entries, must have at most 10000",
    ]);
  });

  it.each([
    [
      { joined: [8, 32], pyramid: [] },
      0,
      ["head_widths.joined is set, but the search head has no such width: set pyramid_channels, or leave it out"],
    ],
    [{ joined: [8, 16], pyramid: [] }, 4, ["head_widths.joined ends with 16, must end with the full width, 32"]],
    [{ joined: [0, 32], pyramid: [0, 4] }, 4, ["head_widths.joined[0] is 0, must be an integer between 1 and 32"]],
    [{ joined: [], pyramid: [2, 2, 4] }, 4, ["head_widths.pyramid[1] is 2, must be above the entry before it, 2"]],
    [{ joined: [], pyramid: [0, 2] }, 4, ["head_widths.pyramid ends with 2, must end with the full width, 4"]],
    [
      { joined: [], pyramid: Array.from({ length: 33 }, (_, width) => width) },
      32,
      ["head_widths.pyramid has 33 entries, must have at most 32"],
    ],
    [{ detail: [0, 16] }, 4, ["head_widths.detail[0] is 0, must be an integer between 1 and 16"]],
    [{ detail: [8, 32] }, 4, ["head_widths.detail ends with 32, must end with the full width, 16"]],
    [{ joined: [32], pyramid: [0, 4], detail: [1, 16] }, 4, []],
    // 16 * (1 + 4 + 1) = 96 networks would be measured, and 8 * (1 + 4 + 3) = 64.
    [
      { joined: counted(16, 32), pyramid: [0, 1, 2, 3, 4], detail: [8, 16] },
      4,
      ["head_widths give 96 heads to measure, must give at most 64: name fewer widths"],
    ],
    [{ joined: counted(8, 32), pyramid: [0, 1, 2, 3, 4], detail: [2, 4, 8, 16] }, 4, []],
  ])("checks the widths of the head %j with pyramid_channels %d", (widths, pyramidChannels, faults) => {
    const headed = { ...space, pyramidChannels, headWidths: HeadWidths.fromPartial(widths) };
    expect(spaceViolations(headed).map(({ field, description }) => `${field} ${description}`)).toEqual(faults);
  });

  it("bounds the candidates of a space", () => {
    const [first, second] = space.stages;
    const widths = Array.from({ length: 32 }, (_, index) => index + 1);
    const wide = {
      ...space,
      stemChannels: 4,
      scales: [1],
      kinds: [],
      dilations: widths,
      stages: [
        { ...first!, maxDepth: 4 },
        { ...second!, maxDepth: 5 },
      ],
    };
    wide.stages.forEach((stage, index) =>
      Object.assign(stage, { minDepth: 1, widths: [...widths.slice(1), 100 + index], channels: 100 + index }),
    );
    // 4 + 5 depths, and per block 32 operations with 2 * 32 widths each: 9 + 9 * 32 * 65.
    expect(faultsOf(() => validateArchitecture(wide, { groups: [] }))).toEqual([
      "space.stages have 18729 candidates in all their groups, must have at most 10000",
    ]);
    expect(candidatesLeft(initialArchitecture(wide))).toBe(18729);
  });

  it("names orphaned, missing, duplicate and malformed groups", () => {
    const architecture = initialArchitecture(space);
    Object.assign(group(architecture, "stage1/depth"), { survivors: [0, 1], alphas: [0, 0] });
    Object.assign(group(architecture, "stage1/block1/operation"), { survivors: [0, 1, 2], alphas: [0, 0, Number.NaN] });
    Object.assign(group(architecture, "stage1/block1/d1s1/output"), { survivors: [1, 0] });
    Object.assign(group(architecture, "stage1/block1/d1s1/middle"), { alphas: [0] });
    group(architecture, "stage2/depth").dimension = Dimension.DIMENSION_OPERATION;
    architecture.groups = architecture.groups.filter(({ id }) => id !== "stage2/block2/d1s2/middle");
    architecture.groups.push(group(architecture, "stage2/block1/operation"));
    const found = faultsOf(() => validateArchitecture(space, architecture));
    for (const expected of [
      'architecture.groups["stage2/block2/d1s2/middle"] is missing',
      'architecture.groups["stage1/block3/operation"] is not a live group',
      'architecture.groups["stage1/block1/d2s2/output"] is not a live group',
      'architecture.groups["stage1/block1/operation"] has the alpha NaN',
      'architecture.groups["stage1/block1/d1s1/output"] has survivors [1, 0]',
      'architecture.groups["stage1/block1/d1s1/middle"] has 1 alphas for 2 survivors',
      'architecture.groups["stage2/depth"] has dimension DIMENSION_OPERATION, must be DIMENSION_DEPTH',
      'architecture.groups["stage2/block1/operation"] occurs twice',
    ])
      expect(found.some((line) => line.startsWith(expected))).toBe(true);
  });

  it("limits the size of its error if every group is wrong", () => {
    let thrown: unknown;
    try {
      validateArchitecture(space, {
        groups: new Array<Group>(5000).fill({ ...group(initialArchitecture(space), "stage1/depth") }),
      });
    } catch (error) {
      thrown = error;
    }
    expect((thrown as LatheError).violations).toHaveLength(40);
    expect((thrown as LatheError).message).toMatch(/and \d+ more$/);
  });
});
