import { LatheError } from "../process/errors";
import { CostMetric } from "../proto/lathe/v1/space";
import { AlgorithmKind, SearchSpec, type CostSpec } from "../proto/lathe/v1/spec";
import { costOfLargest, macsTable, smallestCostRatio } from "../space/cost";
import { largestGenotype } from "../space/genotype";
import { tinySpec } from "../testing/searches";
import { measuredTable, uniform } from "../testing/spaces";
import { resolve } from "./resolve";
import { leastShare, parseTarget, targetField, targetSeconds, targetsOf, withShare } from "./target";

const { COST_METRIC_MACS: MACS, COST_METRIC_LATENCY: LATENCY } = CostMetric;
const { space } = resolve(tinySpec());
const resolved = (cost: Partial<CostSpec>, others: Partial<SearchSpec> = {}) =>
  resolve(tinySpec({ cost, ...others }), { isNew: true });
const faults = (cost: Partial<CostSpec>, others: Partial<SearchSpec> = {}): string[] => {
  try {
    resolved(cost, others);
  } catch (error) {
    return LatheError.from(error).violations.map(({ field, description }) => `${field} ${description}`);
  }
  return [];
};

describe("a latency target", () => {
  it.each([
    [{ targetMs: 12.5 }, 0.0125, "cost.target_ms is 12.5"],
    [{ targetFps: 40 }, 0.025, "cost.target_fps is 40"],
  ])("of %p is a latency, with an adaptive weight and no share", (cost, seconds, field) => {
    const { spec } = resolved(cost);
    expect(spec.cost).toMatchObject({ ...cost, metric: LATENCY, target: 0, adapt: true });
    expect(targetSeconds(spec.cost)).toBeCloseTo(seconds, 12);
    expect(targetField(spec.cost)).toBe(field);
    expect(resolve(spec).spec).toEqual(spec);
  });

  it("keeps a weight that was asked to stay constant", () => {
    expect(resolved({ targetMs: 5, adapt: false }).spec.cost.adapt).toBe(false);
  });

  it("does not change a spec without one", () => {
    const { spec } = resolve(tinySpec());
    expect(spec.cost).toMatchObject({ metric: MACS, target: 0.6, adapt: false, device: "", targetMs: 0, targetFps: 0 });
    expect(targetSeconds(spec.cost)).toBeUndefined();
    expect(withShare(spec, space, measuredTable(space, uniform(1)))).toBe(spec);
  });

  it("names the device of the measurements, as section profiling does", () => {
    expect(resolved({ targetMs: 5, device: "orin" }).spec.profiling.deviceClass).toBe("orin");
    expect(resolved({ metric: LATENCY, device: "orin" }).spec.profiling.deviceClass).toBe("orin");
  });

  it.each<[Partial<CostSpec>, Partial<SearchSpec>, string[]]>([
    [{ targetMs: 5, targetFps: 9 }, {}, ["cost.target_fps is 9, but cost.target_ms is 5; leave one out"]],
    [{ targetMs: 5, target: 0.5 }, {}, ["cost.target is 0.5, but cost.target_ms is 5; leave one out"]],
    [
      { targetFps: 5, metric: MACS },
      {},
      ["cost.metric is macs, but cost.target_fps is 5, which needs latency; leave one out"],
    ],
    [{ targetMs: -1 }, {}, ["cost.target_ms is -1, must be a number between 0 and 1000000"]],
    [{ targetMs: Number.NaN }, {}, ["cost.target_ms is NaN, must be a number between 0 and 1000000"]],
    [
      { target: 0 },
      {},
      ["cost.target is 0, must be the share of the largest network's cost, a number above 0 and below 1"],
    ],
    [
      { targetMs: 5, device: "a" },
      { profiling: { deviceClass: "b" } },
      ['cost.device is "a", but profiling.device_class is "b"; leave one out'],
    ],
    [{ device: "a" }, {}, ['cost.device is "a", but cost.metric is macs, which no device measures; set it to latency']],
    [
      { targetMs: 5, device: "A b" },
      {},
      ['cost.device is "A b", must be 1 to 32 of a-z, 0-9 and -, and not begin with -'],
    ],
    [
      { targetMs: 5 },
      { algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype: largestGenotype(space) } },
      ["algorithm.kind is fixed, but cost.target_ms is 5: a given network is not searched; leave the target out"],
    ],
  ])("%p with %p is refused by name", (cost, others, expected) => {
    expect(faults(cost, others)).toEqual(expected);
  });
});

describe("the latency of a preset", () => {
  const ofMedium = (spec: object) =>
    resolve(SearchSpec.fromPartial({ preset: "medium", dataset: { path: "/d" }, ...spec })).spec.cost;

  it("is searched for where the spec names no target", () =>
    expect(ofMedium({ cost: { weight: 100 } })).toMatchObject({
      metric: LATENCY,
      targetMs: 10,
      target: 0,
      weight: 100,
    }));

  it.each([
    [{ targetFps: 50 }, { metric: LATENCY, targetMs: 0, targetFps: 50, target: 0 }],
    [{ targetMs: 20 }, { metric: LATENCY, targetMs: 20, target: 0 }],
    [{ targets: ["20ms", "30ms"] }, { metric: LATENCY, targetMs: 0, targets: ["20ms", "30ms"], target: 0 }],
    [{ target: 0.4 }, { metric: LATENCY, targetMs: 0, target: 0.4 }],
    [{ metric: MACS }, { metric: MACS, targetMs: 0, target: 0.6, adapt: false }],
    [
      { metric: MACS, target: 0.7 },
      { metric: MACS, targetMs: 0, target: 0.7 },
    ],
  ])("gives way to %j", (cost, want) => {
    const found = ofMedium({ cost });
    expect(found).toMatchObject(want);
    expect(ofMedium({ cost: found })).toEqual(found);
  });

  it.each([
    [{ inputHeight: 480, inputWidth: 640 }, 40],
    [{ inputHeight: 128, inputWidth: 144 }, 2.4],
    [{ inputHeight: 320 }, 13],
    [{ inputWidth: 320 }, 10],
  ])("is in proportion to the pixels of an image (%j)", (size, targetMs) => {
    const found = ofMedium({ space: size });
    expect(found).toMatchObject({ metric: LATENCY, targetMs });
    expect(ofMedium({ space: size, cost: found })).toEqual(found);
    expect(ofMedium({ space: size, cost: { targetMs: 20 } })).toMatchObject({ targetMs: 20 });
  });

  it("gives way to a given network, which is not searched", () => {
    const algorithm = { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype: largestGenotype(space) };
    expect(ofMedium({ algorithm })).toMatchObject({ metric: MACS, targetMs: 0 });
    expect(ofMedium({ algorithm, cost: { metric: LATENCY } })).toMatchObject({ metric: LATENCY, targetMs: 0 });
  });

  it("gives way to a share of 0, which is refused", () =>
    expect(() => ofMedium({ cost: { target: 0 } })).toThrow("cost.target is 0, must be the share"));

  it("is a share of the largest network's latency for preset large", () => {
    const { cost } = resolve(SearchSpec.fromPartial({ preset: "large", dataset: { path: "/d" } })).spec;
    expect(cost).toMatchObject({ metric: LATENCY, targetMs: 0, target: 0.6 });
  });
});

describe("a share of the largest network's cost", () => {
  const { ALGORITHM_KIND_RANDOM: RANDOM, ALGORITHM_KIND_FIXED: FIXED } = AlgorithmKind;
  const smallest = smallestCostRatio(space, macsTable(space));
  const fault = (target: number) =>
    `cost.target is ${target}, but the smallest network of the space costs ${smallest.toFixed(3)} of the largest; give space smaller widths or depths, or a larger target`;
  const [above, near, below] = [1.001, 0.92, 0.9].map((part) => part * smallest) as [number, number, number];

  it("may be a tenth below the smallest network, but no more", () => {
    for (const target of [above, near]) expect(faults({ target })).toEqual([]);
    expect(faults({ target: below })).toEqual([fault(below)]);
  });

  it("of a stored search, which an earlier version accepted, is not checked again", () => {
    expect(resolve(tinySpec({ cost: { target: below } })).spec.cost.target).toBe(below);
  });

  it("is not below the smallest network where networks are drawn", () => {
    const drawn = { algorithm: { kind: RANDOM, genotype: undefined }, sampling: { costTolerance: 0.9 } };
    expect(faults({ target: above }, drawn)).toEqual([]);
    expect(faults({ target: near }, drawn)).toEqual([fault(near)]);
  });

  it("is free where nothing is searched for it, and where operators must be measured first", () => {
    expect(faults({ target: below, weight: 0 })).toEqual([]);
    expect(faults({ target: below }, { algorithm: { kind: FIXED, genotype: largestGenotype(space) } })).toEqual([]);
    expect(faults({ target: below, metric: LATENCY })).toEqual([]);
    expect(faults({ targetMs: 1 })).toEqual([]);
  });

  it("of a latency is known by its table", () => {
    const table = measuredTable(space, uniform(3));
    const least = smallestCostRatio(space, table);
    const shareOf = (target: number) => leastShare(resolved({ target, metric: LATENCY }).spec, space, table);
    expect(shareOf(0.95 * least)).toBeUndefined();
    expect(shareOf(0.9 * least)).toBe(least);
  });
});

describe("several latency targets", () => {
  it("are searched for with the slowest", () => {
    const { spec } = resolved({ targets: ["20ms", "30fps", "10ms"] });
    expect(spec.cost).toMatchObject({ metric: LATENCY, target: 0, adapt: true, targets: ["20ms", "30fps", "10ms"] });
    expect(targetSeconds(spec.cost)).toBeCloseTo(1 / 30, 12);
    expect(targetsOf(spec.cost).map(({ text }) => text)).toEqual(["30fps", "20ms", "10ms"]);
    expect(targetField(spec.cost)).toBe("cost.targets is 20ms, 30fps, 10ms");
    expect(resolve(spec).spec).toEqual(spec);
  });

  it.each([
    ["10ms", { targetMs: 10, targetFps: 0 }],
    ["0.5ms", { targetMs: 0.5, targetFps: 0 }],
    ["29.97fps", { targetMs: 0, targetFps: 29.97 }],
    ["10", undefined],
    ["0ms", undefined],
    ["-1ms", undefined],
    ["1e9ms", undefined],
    ["10 ms", undefined],
    ["10000000000000000ms", undefined],
  ])("%s is %p", (text, target) => {
    expect(parseTarget(text)).toEqual(target);
  });

  it.each<[Partial<CostSpec>, Partial<SearchSpec>, string[]]>([
    [{ targets: ["1", "2ms"] }, {}, ['cost.targets[0] is "1", must be a latency such as "10ms" or "30fps"']],
    [{ targets: ["2ms", "500fps"] }, {}, ["cost.targets has 500fps twice, must have different latencies"]],
    [{ targets: ["2ms"], targetMs: 3 }, {}, ["cost.target_ms is 3, but cost.targets is set; leave one out"]],
    [{ targets: ["2ms"], target: 0.5 }, {}, ["cost.target is 0.5, but cost.targets is 2ms; leave one out"]],
    [
      { targets: Array.from({ length: 9 }, (_, at) => `${at + 1}ms`) },
      {},
      ["cost.targets has 9 entries, must have at most 8"],
    ],
    [
      { targets: ["1ms", "2ms"] },
      { algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_RANDOM, genotype: undefined } },
      ["cost.targets has 2 entries, must have one for algorithm random or evolution, which leave no supernet"],
    ],
  ])("%p with %p is refused by name", (cost, others, expected) => {
    expect(faults(cost, others)).toEqual(expected);
  });
});

describe("the share of a latency target", () => {
  const table = measuredTable(space, uniform(2));
  const largest = costOfLargest(space, table);

  it("is the latency over that of the largest network, and the weight grows with the part that no choice changes", () => {
    const { spec } = resolved({ targetMs: 400 * largest, weight: 100 });
    const { cost } = withShare(spec, space, table);
    expect(cost).toMatchObject({ metric: LATENCY, targetMs: 0, targetFps: 0, adapt: true });
    expect(cost?.target).toBeCloseTo(0.4, 12);
    expect(cost?.weight).toBeCloseTo(100 / (1 - smallestCostRatio(space, table)) ** 2, 8);
    // The worker resolves it again.
    expect(resolve(withShare(spec, space, table)).spec.cost.target).toBe(cost?.target);
  });

  it("stays below 1 where the target exceeds the prediction for the largest network", () => {
    const { spec } = resolved({ targetMs: 1200 * largest });
    expect(withShare(spec, space, table).cost?.target).toBe(0.99);
  });
});
