import { createConfusion, count, scores } from "../../../../../shared/evaluation/confusion";
import { Dimension } from "../../../../../shared/proto/lathe/v1/space";
import { costOfLargest, expectedCost, macsTable, smallestCostRatio } from "../../../../../shared/space/cost";
import { dimensionMetrics, initialArchitecture } from "../../../../../shared/space/groups";
import { resolve } from "../../../../../shared/spec/resolve";
import { briefSpec, decideAll } from "../../../../../shared/testing/training";
import { healthy, judge } from "./health";
import { epochHealth, measure } from "./measures";

const { spec, space } = resolve(briefSpec());
const table = macsTable(space);
const norms = { weights: 3, alphas: 40, relativeAlphas: 0.4 };
const confusion = createConfusion(3);
count(confusion, [0, 1, 2, 0], [1, 1, 1, 0]);

function measured(architecture = initialArchitecture(space)) {
  return measure({
    ...{ epoch: 2, epochs: 9, space, architecture, table, norms },
    dimensions: dimensionMetrics(space, architecture),
    validation: { ...scores(confusion), loss: 1 },
    classes: ["sky", "road", "car"],
    costRatio: expectedCost(space, architecture, table) / costOfLargest(space, table),
    costTarget: 0.6,
  });
}

it("an epoch is measured by its predictions, its norms and its architecture", () => {
  const measures = measured();
  expect(measures.commonest).toEqual({ class: 1, name: "road", predicted: 3 / 4, labelled: 1 / 4 });
  expect(measures.norms).toEqual({ weights: 3, alphas: 0.4 });
  // Dilations 1, 2 and scales 1, 2 in every block, all equal; widths half and whole.
  expect(measures.operation.share).toBeCloseTo(4 / 4 / 5, 12);
  expect(measures.scale).toEqual({ name: "1", share: expect.closeTo(4 / 2 / 5, 12) as number });
  expect(measures.smallestWidths).toBeCloseTo(1 / 2, 12);
  expect(measures.dimensions.map(({ dimension, open }) => [dimension, +open.toFixed(9)])).toEqual([
    ...[1, 2, 3, 4].map((dimension) => [dimension, 1]),
  ]);
  expect(measures.decided).toBe(false);
  expect(measures.cost.smallest).toBe(smallestCostRatio(space, table));
});

it("four blocks that agree on d2s2 at the smallest widths are measured, but are no dominance", () => {
  const start = initialArchitecture(space);
  const alphas = (dimension: Dimension, n: number) => {
    const chosen = dimension === Dimension.DIMENSION_OPERATION ? 3 : dimension === Dimension.DIMENSION_DEPTH ? 1 : 0;
    return Array.from({ length: n }, (_, index) => (index === chosen ? 1 : 0));
  };
  const leaning = {
    groups: start.groups.map((group) => ({ ...group, alphas: alphas(group.dimension, group.survivors.length) })),
  };
  const measures = measured(decideAll(space, leaning));
  expect(measures).toMatchObject({ decided: true, smallestWidths: 1 });
  expect(measures.operation).toEqual({ name: "d2s2", share: expect.closeTo(4 / 5, 12) as number });
  expect(measures.scale).toEqual({ name: "2", share: expect.closeTo(4 / 5, 12) as number });
  const { alarms, history } = judge({ ...spec.health, graceEpochs: 0 }, measures, healthy);
  expect(alarms.map(({ message }) => message)).toEqual([
    expect.stringContaining("every block is at its smallest width") as string,
  ]);
  const { ratio, smallest } = measures.cost;
  expect(epochHealth(measures, norms, history)).toMatchObject({
    classShare: 3 / 4,
    bestMiou: measures.miou,
    weightGradientNorm: 3,
    alphaGradientNorm: 40,
    relativeAlphaGradientNorm: 0.4,
    capacity: (ratio - smallest) / (0.6 - smallest),
    standing: [8],
  });
});
