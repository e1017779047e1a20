import { isMember, largestGenotype } from "../../../shared/space/genotype";
import { keyOf } from "../../../shared/space/sampling";
import { randomGenotype, smallSpace } from "../../../shared/testing/networks";
import { uniform } from "../../../shared/testing/spaces";
import { changesOf, differencesOf } from "./changes";

const space = smallSpace();

describe("the changes of a genotype", () => {
  it.each([0, 1, 2, 3])("are all that change one decision, and stay in the space (network %d)", (seed) => {
    const genotype = randomGenotype(space, uniform(seed));
    const changes = changesOf(space, genotype);
    // A stage has one other depth; a block has 2 other middle widths, 2 other output widths and 3 other operations.
    const blocks = genotype.stages.reduce((sum, stage) => sum + stage.blocks.length, 0);
    expect(changes).toHaveLength(genotype.stages.length + 7 * blocks);
    const made = changes.map(({ apply }) => apply(genotype)!);
    expect(new Set(made.map(keyOf)).size).toBe(changes.length);
    made.forEach((one, index) => {
      expect(isMember(space, one)).toBe(true);
      expect(differencesOf(genotype, one)[0]).toContain(`${changes[index]?.decision} `);
      expect(differencesOf(genotype, one)).toHaveLength(1);
    });
  });

  it("include the widths of the head", () => {
    const headed = smallSpace({
      pyramidChannels: 4,
      headWidths: { joined: [4, 8, 12], pyramid: [0, 4], detail: [2, 8] },
    });
    const genotype = { ...randomGenotype(headed, uniform(5)), joinedWidth: 8, detailWidth: 2 };
    const changes = changesOf(headed, genotype).filter(({ decision }) => decision.startsWith("head/"));
    const made = changes.map(({ apply }) => apply(genotype)!);
    expect(
      made
        .map((one) => differencesOf(genotype, one))
        .flat()
        .sort(),
    ).toEqual([
      "head/detail 2 -> 8",
      "head/joined 8 -> 12",
      "head/joined 8 -> 4",
      ...(genotype.pyramidWidth === 0 ? ["head/pyramid 0 -> 4"] : ["head/pyramid 4 -> 0"]),
    ]);
    for (const one of made) expect(isMember(headed, one)).toBe(true);
  });

  it("are void for a block that a change before them has removed", () => {
    const largest = largestGenotype(space);
    const changes = changesOf(space, largest);
    const shallower = changes.find(({ decision }) => decision === "stage2/depth")!.apply(largest)!;
    const narrower = changes.find(({ decision }) => decision === "stage2/block2/middle")!;
    expect(narrower.apply(shallower)).toBeUndefined();
  });

  it("are told from one network to another", () => {
    const largest = largestGenotype(space);
    const other = structuredClone(largest);
    other.stages[0]!.blocks.pop();
    Object.assign(other.stages[1]!.blocks[0]!, { dilation: 2, scale: 2, outputWidth: 6 });
    expect(differencesOf(largest, other)).toEqual([
      "stage1/depth 2 -> 1",
      "stage2/block1/operation d1s1 -> d2s2",
      "stage2/block1/output 12 -> 6",
    ]);
    expect(differencesOf(largest, largest)).toEqual([]);
  });
});
