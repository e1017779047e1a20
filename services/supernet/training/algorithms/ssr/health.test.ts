import type { HealthHistory } from "../../../../../shared/network/checkpoint";
import { HealthAlarmKind as Kind } from "../../../../../shared/proto/lathe/v1/result";
import { Dimension } from "../../../../../shared/proto/lathe/v1/space";
import { HealthPolicy } from "../../../../../shared/proto/lathe/v1/spec";
import { presetSpec } from "../../../../../shared/spec/presets";
import { healthy, judge, kindsOf, type Measures } from "./health";

const { health } = presetSpec("small");
type Health = typeof health;

/** An epoch after the grace epochs that raises no alarm. */
const quiet: Measures = {
  epoch: 10,
  epochs: 40,
  miou: 0.4,
  commonest: { name: "road", predicted: 0.35, labelled: 0.3 },
  norms: { weights: 4, alphas: 0.2 },
  operation: { name: "d1s1", share: 0.3 },
  scale: { name: "1", share: 0.6 },
  dimensions: [
    { dimension: Dimension.DIMENSION_DEPTH, open: 0 },
    { dimension: Dimension.DIMENSION_OPERATION, open: 1 },
  ],
  cost: { ratio: 0.6, smallest: 0.2, target: 0.6 },
  smallestWidths: 0.2,
  decided: false,
};
const best: HealthHistory = { ...healthy, bestMiou: 0.45, bestEpoch: 8 };

function raised(change: Partial<Measures>, set: Partial<Health> = {}, history = best) {
  return judge({ ...health, ...set }, { ...quiet, ...change }, history).alarms.map(
    ({ kind, dimension, value, bound }) =>
      dimension ? [Kind[kind].slice(18), value, bound, dimension] : [Kind[kind].slice(18), value, bound],
  );
}

const norms = (weights: number, alphas: number) => ({ norms: { weights, alphas } });
const road = (predicted: number, labelled = 0.3) => ({ commonest: { name: "road", predicted, labelled } });
const operation = (share: number) => ({ operation: { name: "d1s1", share } });
const scale = (share: number) => ({ scale: { name: "2", share } });
const cost = (ratio: number, smallest = 0.2, target = 0.6) => ({ cost: { ratio, smallest, target } });
const late = (open: number, epoch = 28) => ({
  epoch,
  dimensions: [{ dimension: Dimension.DIMENSION_OPERATION, open }],
});
const near = (value: number) => expect.closeTo(value, 12) as number;

describe("an epoch raises", () => {
  it.each<[string, Partial<Measures>, Partial<Health>, unknown[]]>([
    ["nothing in a search that goes well", {}, {}, []],
    ["nothing at the bound of the gradient norm", norms(100, 100), {}, []],
    ["the larger norm above its bound", norms(101, 3), {}, [["GRADIENT_NORM", 101, 100]]],
    ["that of the architecture parameters as well", norms(3, 250), {}, [["GRADIENT_NORM", 250, 100]]],
    ["a predictor of one class", road(0.96), {}, [["TRIVIAL_PREDICTOR", 0.96, 0.95]]],
    ["nothing at the bound of the class share", road(0.95), {}, []],
    ["nothing where the labels are as uneven", road(0.99, 0.97), {}, []],
    [
      "a predictor of one class where the labels are nearly so",
      road(0.998, 0.97),
      {},
      [["TRIVIAL_PREDICTOR", 0.998, 0.95]],
    ],
    ["a predictor of one class where all labels are of it", road(1, 1), {}, [["TRIVIAL_PREDICTOR", 1, 0.95]]],
    ["a fall of the mIoU below the best", { miou: 0.24 }, {}, [["MIOU_DROP", near(0.21), 0.2]]],
    ["nothing on a smaller fall", { miou: 0.26 }, {}, []],
    ["an operation with nearly all blocks", operation(0.92), {}, [["OPERATION_DOMINANCE", 0.92, 0.9, 2]]],
    ["nothing of an operation with most", operation(0.9), {}, []],
    ["nothing of a scale unless asked to", scale(1.0000001), {}, []],
    ["a scale where asked to", scale(0.8), { maxScaleShare: 0.75 }, [["SCALE_DOMINANCE", 0.8, 0.75, 2]]],
    ["a dimension that is open late", late(0.97), {}, [["LATE_ENTROPY", 0.97, 0.95, 2]]],
    ["nothing of it before the last third", late(0.97, 26), {}, []],
    ["nothing where half of it is decided", late(0.5), {}, []],
    ["nothing late where it is off", late(1.0000001), { maxLateEntropy: 1 }, []],
    // Floor 0.2 + 0.05 * 0.4.
    ["that only the cheapest are left", cost(0.215), {}, [["CAPACITY_GONE", 0.215, near(0.22)]]],
    ["nothing above the floor", cost(0.23), {}, []],
    ["that all widths are smallest", { ...cost(0.4), smallestWidths: 0.995 }, {}, [["CAPACITY_GONE", 0.995, 0.99]]],
    ["nothing of small widths near the target", { ...cost(0.52), smallestWidths: 1 }, {}, []],
    ["nothing where the target is the floor", { ...cost(0.2, 0.2, 0.25), smallestWidths: 1 }, {}, []],
    ["nothing where the target is below the space", cost(0.4, 0.4, 0.2), {}, []],
    [
      "several in the order of their events",
      { ...road(1), ...norms(1e4, 0), miou: 0.01, ...late(1) },
      {},
      [
        ["GRADIENT_NORM", 1e4, 100],
        ["TRIVIAL_PREDICTOR", 1, 0.95],
        ["MIOU_DROP", near(0.44), 0.2],
        ["LATE_ENTROPY", 1, 0.95, 2],
      ],
    ],
    ["nothing in the grace", { ...road(1), ...norms(1e4, 0), miou: 0.01, epoch: 3 }, {}, []],
    [
      "something where there is no grace",
      { ...road(1), epoch: 1 },
      { graceEpochs: 0 },
      [["TRIVIAL_PREDICTOR", 1, 0.95]],
    ],
  ])("%s", (_what, change, set, expected) => {
    expect(raised(change, set)).toEqual(expected);
  });

  it("each with its policy, its epoch and a message that names value and bound", () => {
    const set = { ...health, onMiouDrop: HealthPolicy.HEALTH_POLICY_STOP };
    const { alarms } = judge(set, { ...quiet, miou: 0.2 }, best);
    expect(alarms).toMatchObject([{ epoch: 10, policy: HealthPolicy.HEALTH_POLICY_STOP, dimension: 0 }]);
    expect(alarms[0]!.message).toMatch(
      /^the validation mIoU is 20.0, 25.0 points below the best of epoch 8, above 20.0:/,
    );
  });
});

describe("over epochs", () => {
  const over = (epochs: Partial<Measures>[], set: Partial<Health> = {}) => {
    let history = healthy;
    return epochs.map((change, at) => {
      const judged = judge({ ...health, graceEpochs: 0, ...set }, { ...quiet, epoch: at + 1, ...change }, history);
      history = judged.history;
      return { kinds: judged.alarms.map(({ kind }) => Kind[kind].slice(18)), history };
    });
  };

  it("an alarm is raised when its condition begins, not while it lasts, and again when it begins anew", () => {
    const course = over([road(0.5), road(0.96), road(0.99), road(0.5), road(0.97)]);
    expect(course.map(({ kinds }) => kinds.join())).toEqual(["", "TRIVIAL_PREDICTOR", "", "", "TRIVIAL_PREDICTOR"]);
    expect(course.map(({ history }) => kindsOf(history.standing).length)).toEqual([0, 1, 1, 0, 1]);
  });

  it("a dimension that stays open is one alarm, another is one more", () => {
    const open = (...dimensions: Dimension[]) => ({
      epoch: 39,
      dimensions: dimensions.map((dimension) => ({ dimension, open: 1 })),
    });
    const [first, second] = over([open(1), open(1, 3)]);
    expect(first!.kinds).toEqual(["LATE_ENTROPY"]);
    expect(second!.kinds).toEqual(["LATE_ENTROPY"]);
    expect(second!.history.standing).toEqual([71, 73]);
    expect(kindsOf(second!.history.standing)).toEqual([Kind.HEALTH_ALARM_KIND_LATE_ENTROPY]);
  });

  it("the best mIoU is that of all epochs, including the first", () => {
    const course = over([0.3, 0.4, 0.35].map((miou) => ({ miou })));
    expect(course.map(({ history: { bestMiou, bestEpoch } }) => [bestMiou, bestEpoch])).toEqual([
      [0.3, 1],
      [0.4, 2],
      [0.4, 2],
    ]);
  });

  it("patience counts epochs that are not better than the best since every group is decided", () => {
    const mious = [0.5, 0.3, 0.4, 0.4, 0.39, 0.41, 0.4, 0.4];
    const epochs = mious.map((miou, at) => ({ miou, decided: at > 0 }));
    expect(over(epochs).map(({ history }) => history.staleEpochs)).toEqual([0, 0, 0, 1, 2, 0, 1, 2]);
    expect(over(epochs, { patience: 2 }).map(({ kinds }) => kinds.join())).toEqual([
      ...["", "", "", "", "PLATEAU", "", "", "PLATEAU"],
    ]);
    expect(over(epochs).flatMap(({ kinds }) => kinds)).toEqual([]);
  });
});
