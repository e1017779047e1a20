import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import { presetSpec } from "../spec/presets";
import { group, initialArchitecture, operations } from "./groups";
import { formatLog10, log10Size } from "./size";

const toy: SearchSpace = {
  inputHeight: 64,
  inputWidth: 64,
  classes: 3,
  stemChannels: 4,
  stages: [
    { channels: 8, minDepth: 1, maxDepth: 2, widths: [6, 8], dropout: 0 },
    { channels: 12, minDepth: 1, maxDepth: 1, widths: [4, 8, 12], dropout: 0 },
  ],
  dilations: [1, 2],
  scales: [1],
};

/** Counts by walking every assignment of every group that a depth holds, one by one. */
function count(space: SearchSpace, architecture: Architecture): number {
  const names = operations(space).map(({ name }) => name);
  return space.stages.reduce((product, stage, index) => {
    let ways = 0;
    for (const exit of group(architecture, `stage${index + 1}/depth`).survivors) {
      const sizes: number[] = [];
      for (let b = 1; b <= stage.minDepth + exit; b++) {
        const block = group(architecture, `stage${index + 1}/block${b}/operation`);
        sizes.push(block.survivors.length);
        for (const survivor of block.survivors)
          for (const kind of ["output", "middle"])
            sizes.push(
              group(architecture, `stage${index + 1}/block${b}/${names[survivor] ?? ""}/${kind}`).survivors.length,
            );
      }
      // An odometer over all groups at once, so that no product of sizes is taken.
      const digits = sizes.map(() => 0);
      for (let position = 0; position < digits.length;) {
        ways += 1;
        for (position = 0; position < digits.length; position++) {
          const next = (digits[position] ?? 0) + 1;
          digits[position] = next % (sizes[position] ?? 1);
          if (digits[position] !== 0) break;
        }
      }
    }
    return product * ways;
  }, 1);
}

describe("log10Size", () => {
  it("equals a brute-force enumeration of a toy space", () => {
    const architecture = initialArchitecture(toy);
    expect(count(toy, architecture)).toBe((32 + 32 ** 2) * (2 * 3 ** 4));
    expect(log10Size(toy)).toBeCloseTo(Math.log10(count(toy, architecture)), 12);
  });

  it("follows the survivors", () => {
    const architecture = initialArchitecture(toy);
    Object.assign(group(architecture, "stage1/block1/operation"), { survivors: [1], alphas: [0] });
    architecture.groups = architecture.groups.filter(({ id }) => !id.startsWith("stage1/block1/d1s1/"));
    Object.assign(group(architecture, "stage2/block1/d2s1/middle"), { survivors: [0, 2], alphas: [0, 0] });
    expect(log10Size(toy, architecture)).toBeCloseTo(Math.log10(count(toy, architecture)), 12);
    expect(log10Size(toy, architecture)).toBeLessThan(log10Size(toy));
  });

  it("is the formula's own figure at the paper's sizes", () => {
    const { space } = presetSpec("paper");
    // (10 * 9^10 * 9^10)^13: shallower exits add one part in 10^20. The paper names 2.78e324, which this formula does not give.
    expect(log10Size(space)).toBeCloseTo(13 * (1 + 20 * Math.log10(9)), 9);
    expect(formatLog10(log10Size(space))).toBe("1.27e261");
    const [first, second] = space.stages;
    if (first === undefined || second === undefined) throw new Error("the paper has two stages");
    const searched = {
      ...space,
      stages: [
        { ...first, maxDepth: 4 },
        { ...second, maxDepth: 9 },
      ],
    };
    expect(log10Size(searched)).toBeCloseTo(log10Size(space), 9);
  });

  it("prints a mantissa and an exponent beyond a double's range", () => {
    expect(formatLog10(324.4440448)).toBe("2.78e324");
    expect(formatLog10(0)).toBe("1.00e0");
    expect(formatLog10(Math.log10(9.999))).toBe("1.00e1");
  });
});
