import { Dimension } from "../proto/lathe/v1/space";
import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import { presetSpec } from "../spec/presets";
import { randomSpace, uniform } from "../testing/spaces";
import { group, initialArchitecture, operations } from "./groups";
import { contributions, formatLog10, log10Size, networks } from "./size";

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
  kinds: [],
};

/** Counts every assignment of the groups of every depth, one by one. */
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
      // Counts like an odometer over all groups, so that no product of sizes is used.
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

describe("the size of a space", () => {
  it("equals a brute-force enumeration of a toy space", () => {
    const architecture = initialArchitecture(toy);
    expect(count(toy, architecture)).toBe((32 + 32 ** 2) * (2 * 3 ** 4));
    expect(networks(toy)).toBe(BigInt(count(toy, architecture)));
    expect(log10Size(toy)).toBeCloseTo(Math.log10(count(toy, architecture)), 12);
  });

  it("follows the survivors", () => {
    const architecture = initialArchitecture(toy);
    Object.assign(group(architecture, "stage1/block1/operation"), { survivors: [1], alphas: [0] });
    architecture.groups = architecture.groups.filter(({ id }) => !id.startsWith("stage1/block1/d1s1/"));
    Object.assign(group(architecture, "stage2/block1/d2s1/middle"), { survivors: [0, 2], alphas: [0, 0] });
    expect(networks(toy, architecture)).toBe(BigInt(count(toy, architecture)));
    expect(log10Size(toy, architecture)).toBeLessThan(log10Size(toy));
  });

  it("counts the paper's space exactly", () => {
    const { space } = presetSpec("paper");
    const block = 10n * 9n ** 20n;
    const powers = (depth: bigint): bigint => (depth === 0n ? 0n : block ** depth + powers(depth - 1n));
    expect(networks(space)).toBe(powers(5n) * powers(12n));
    // Nearly all networks have the largest depths: (10 * 9^20)^17 of them.
    expect(log10Size(space)).toBeCloseTo(17 * (1 + 20 * Math.log10(9)), 9);
    expect(networks(space).toString()).toMatch(/^27698306/);
    expect(formatLog10(log10Size(space))).toBe("2.77e341");
  });

  it("prints a mantissa and an exponent beyond a double's range", () => {
    expect(formatLog10(324.4440448)).toBe("2.78e324");
    expect(formatLog10(0)).toBe("1.00e0");
    expect(formatLog10(Math.log10(9.999))).toBe("1.00e1");
  });
});

describe("the contributions of the dimensions", () => {
  const { DIMENSION_DEPTH, DIMENSION_OPERATION, DIMENSION_OUTPUT_WIDTH, DIMENSION_MIDDLE_WIDTH } = Dimension;
  const parts = (space: SearchSpace) =>
    new Map(contributions(space).map(({ dimension, log10 }) => [dimension, log10] as const));

  it("count the choices in the deepest networks; depth counts the rest", () => {
    const contributed = parts(toy);
    // Stage 1: 2 blocks of 2 operations with 2 widths each way; stage 2: 1 block of 2 operations with 3 widths.
    const [operation, width] = [2 ** 3, 2 ** 4 * 3 ** 2];
    expect(contributed.get(DIMENSION_OPERATION)).toBeCloseTo(Math.log10(operation), 12);
    expect(contributed.get(DIMENSION_OUTPUT_WIDTH)).toBeCloseTo(Math.log10(width), 12);
    expect(contributed.get(DIMENSION_MIDDLE_WIDTH)).toBeCloseTo(Math.log10(width), 12);
    const rest = count(toy, initialArchitecture(toy)) / (operation * width * width);
    expect(contributed.get(DIMENSION_DEPTH)).toBeCloseTo(Math.log10(rest), 12);
  });

  it.each(Array.from({ length: 20 }, (_, seed) => seed))("sum to the size of a random space (%d)", (seed) => {
    const space = randomSpace(uniform(seed));
    const total = contributions(space).reduce((sum, { log10 }) => sum + log10, 0);
    expect(total).toBeCloseTo(log10Size(space), 9);
  });

  it("for the paper's space are 10^17 of operations and 9^340 of widths", () => {
    const contributed = parts(presetSpec("paper").space);
    expect(contributed.get(DIMENSION_OPERATION)).toBeCloseTo(17, 12);
    const widths = (contributed.get(DIMENSION_OUTPUT_WIDTH) ?? 0) + (contributed.get(DIMENSION_MIDDLE_WIDTH) ?? 0);
    // 17 blocks x 10 candidates x 2 groups of 9 widths; beyond a double, so the oracle is an integer.
    expect(9 ** 340).toBe(Infinity);
    const exact = (9n ** 340n).toString();
    expect(exact).toMatch(/^27698306/);
    expect(exact).toHaveLength(325);
    expect(widths).toBeCloseTo(324 + Math.log10(Number(`${exact[0]}.${exact.slice(1, 18)}`)), 9);
    expect(formatLog10(widths)).toBe("2.77e324");
    // Each stage adds 1 / (10 * 9^20) to its deepest exit, to a first order, which a sum of doubles would lose.
    expect(contributed.get(DIMENSION_DEPTH)! / (2 / (10 * 9 ** 20) / Math.LN10)).toBeCloseTo(1, 9);
  });
});
