import { CostSpec } from "../../shared/proto/lathe/v1/spec";
import { costMiss } from "./costTarget";

const cost = CostSpec.fromPartial({ target: 0.4, weight: 3000 });

describe("costMiss", () => {
  it.each([0.36, 0.4, 0.44])("is empty within a tenth of the target: %d", (costRatio) => {
    expect(costMiss(cost, { costRatio, smallestCostRatio: 0.2 })).toBe("");
  });

  it("names what the space cannot reach", () => {
    expect(costMiss(cost, { costRatio: 0.5, smallestCostRatio: 0.45 })).toBe(
      "the network costs 50.0 % of the largest, the target is 40.0 %: the smallest network of the space costs 45.0 %; give space smaller widths or depths",
    );
  });

  it("says what to change where the target is within reach", () => {
    expect(costMiss(cost, { costRatio: 0.3, smallestCostRatio: 0.2 })).toMatch(
      /costs 30.0 % .* can reach \(from 20.0 % on\): raise cost.weight or set cost.adapt/,
    );
  });

  it.each([
    ["no target", CostSpec.fromPartial({ weight: 1 })],
    ["no weight", CostSpec.fromPartial({ target: 0.4, weight: 0 })],
    ["no cost at all", undefined],
  ])("is empty with %s", (_, spec) => {
    expect(costMiss(spec, { costRatio: 0.9, smallestCostRatio: 0.2 })).toBe("");
  });
});
