import { DecidedBy, SearchResult } from "../proto/lathe/v1/result";
import { ListParetoFrontsRequest } from "../proto/lathe/v1/search";
import { DatasetKind, SearchSpec } from "../proto/lathe/v1/spec";
import { candidateOf, type Candidate } from "./candidate";
import { filtered } from "./filter";
import { frontsOf } from "./fronts";

type Result = Parameters<typeof SearchResult.fromPartial>[0];
type Spec = Parameters<typeof SearchSpec.fromPartial>[0];

const measured = {
  ...{ device: "a processor", deviceClass: "cpu", runtime: "onnxruntime-node 1.30.0", precision: "fp32" },
  ...{ batchSize: 1, inputHeight: 360, inputWidth: 480, threads: 2, p50Seconds: 0.01, framesPerSecond: 100 },
  ...{ calibratedP50Seconds: 0, calibrationReferenceSeconds: 0, measuredOn: { key: "k1" } },
};
const result: Result = {
  ...{ retrainedMiou: 0.5, retrainedMiouClasses: 11, retrainedBestEpoch: 3, latency: measured },
  ...{ figures: { params: 10, macs: 20 }, dataset: { sha256: "aa" } },
};
const camvid = { kind: DatasetKind.DATASET_KIND_CAMVID, path: "/data/camvid" };
const spec: Spec = { preset: "small", dataset: camvid, labels: { team: "roads" } };

function found(searchId: string, more: Result = {}, of: Spec = spec) {
  const full = SearchResult.fromPartial({ ...result, ...more });
  return candidateOf({ searchId, name: "", spec: SearchSpec.fromPartial(of), result: full });
}
function candidate(...given: Parameters<typeof found>): Candidate {
  const one = found(...given);
  if ("leftOut" in one) throw new Error(one.leftOut.message);
  return one.candidate;
}
const latency = (more: Partial<typeof measured>): Result => ({ latency: { ...measured, ...more } });
const without: Result = { dataset: undefined };

/** The ids of each front, those of dominated points with the one that dominates. */
const shown = (candidates: Candidate[]) =>
  frontsOf(candidates).map(({ points }) =>
    points.map(({ searchId, dominatedBy }) => (dominatedBy ? `${searchId} < ${dominatedBy}` : searchId)),
  );

describe("a candidate", () => {
  it("carries the reasons not to trust its latency", () => {
    const shaky = { latency: { ...measured, unstableBecause: ["busy"] } };
    expect(candidate("s-1", shaky).point.unstableBecause).toEqual(["busy"]);
    expect(candidate("s-1").point.unstableBecause).toEqual([]);
  });

  it("has the mIoU of the network whose latency was measured", () => {
    expect(candidate("s-1")).toMatchObject({
      point: { miou: 0.5, p50Seconds: 0.01, framesPerSecond: 100, figures: { params: 10, macs: 20 } },
      conditions: { retrained: true, miouClasses: 11, datasetSha256: "aa", datasetPath: "/data/camvid", threads: 2 },
    });
    const derived = {
      ...{ retrainedMiou: 0, retrainedBestEpoch: 0, decidedBy: DecidedBy.DECIDED_BY_ARGMAX },
      ...{ discreteMiou: 0.4, discreteMiouClasses: 10 },
    };
    expect(candidate("s-1", derived)).toMatchObject({
      ...{ point: { miou: 0.4 }, conditions: { retrained: false, miouClasses: 10 } },
    });
  });

  it.each([
    ["NO_LATENCY", { latency: undefined }],
    ["NO_LATENCY", latency({ p50Seconds: 0 })],
    ["NO_LATENCY", latency({ p50Seconds: NaN })],
    ["NO_MIOU", { retrainedBestEpoch: 0 }],
    ["NO_MIOU", { retrainedMiou: NaN }],
    ["DATA_CHANGED", { dataChange: "3 files changed" }],
  ] as [string, Result][])("is none without its figures: %s", (reason, more) => {
    expect(found("s-1", more)).toMatchObject({ leftOut: { searchId: "s-1", reason } });
  });

  it("is none where the search has no result", () => {
    const none = { searchId: "s-1", name: "one", spec: undefined, result: undefined };
    expect(candidateOf(none)).toMatchObject({ leftOut: { reason: "NO_NETWORK", name: "one" } });
  });

  it("of a mIoU of 0 is one", () => expect(candidate("s-1", { retrainedMiou: 0 }).point.miou).toBe(0));
});

describe("fronts", () => {
  it("have the fastest point first and say what dominates the others", () => {
    const slow = candidate("s-slow", { ...latency({ p50Seconds: 0.02 }), retrainedMiou: 0.6 });
    const bad = candidate("s-bad", { ...latency({ p50Seconds: 0.03 }), retrainedMiou: 0.55 });
    expect(shown([bad, slow, candidate("s-2"), candidate("s-1")])).toEqual([
      ["s-1", "s-2", "s-slow", "s-bad < s-slow"],
    ]);
    expect(shown([])).toEqual([]);
  });

  it("compare calibrated medians at the lowest time of the calibration network", () => {
    const calibrated = (p50Seconds: number, calibratedP50Seconds: number, calibrationReferenceSeconds: number) =>
      latency({ p50Seconds, calibratedP50Seconds, calibrationReferenceSeconds });
    // As measured, the first is slower. Its machine was slow from the beginning, so it knew a reference of twice the time.
    const [front] = frontsOf([
      candidate("s-slow-machine", { ...calibrated(0.024, 0.02, 0.002), retrainedMiou: 0.6 }),
      candidate("s-quiet", calibrated(0.012, 0.011, 0.001)),
      candidate("s-uncalibrated", latency({ p50Seconds: 0.0105 })),
    ]);
    expect(front?.calibrationReferenceSeconds).toBe(0.001);
    expect(front?.points.map(({ searchId, ...point }) => [searchId, point.comparedSeconds, point.calibrated])).toEqual([
      ["s-slow-machine", 0.01, true],
      ["s-uncalibrated", 0.0105, false],
      ["s-quiet", 0.011, true],
    ]);
    expect(front?.points.map(({ p50Seconds }) => p50Seconds)).toEqual([0.024, 0.0105, 0.012]);
    expect(front?.points.map(({ dominatedBy }) => dominatedBy)).toEqual(["", "s-slow-machine", "s-slow-machine"]);
    expect(frontsOf([candidate("s-1")])[0]?.calibrationReferenceSeconds).toBe(0);
  });

  it("let no unstable latency dominate a stable one", () => {
    const unstable = { latency: { ...measured, p50Seconds: 0.001, unstableBecause: ["busy"] }, retrainedMiou: 0.9 };
    expect(shown([candidate("s-1"), candidate("s-shaky", unstable), candidate("s-2", { retrainedMiou: 0.4 })])).toEqual(
      [["s-shaky", "s-1", "s-2 < s-1"]],
    );
  });

  it.each([
    ["device", latency({ device: "another processor" })],
    ["device class", latency({ deviceClass: "cuda" })],
    ["runtime", latency({ runtime: "onnxruntime-node 1.29.0" })],
    ["precision", latency({ precision: "tf32" })],
    ["batch size", latency({ batchSize: 4 })],
    ["input height", latency({ inputHeight: 480 })],
    ["input width", latency({ inputWidth: 640 })],
    ["threads", latency({ threads: 1 })],
    ["key of the device", latency({ measuredOn: { key: "k2" } })],
    ["key of the device, where one has none", latency({ measuredOn: { key: "" } })],
    ["data", { dataset: { sha256: "bb" } }],
    ["number of classes", { retrainedMiouClasses: 12 }],
    ["kind of network", { retrainedBestEpoch: 0, decidedBy: DecidedBy.DECIDED_BY_ARGMAX, discreteMiouClasses: 11 }],
  ] as [string, Result][])("never compare points that differ in their %s", (_, more) => {
    const other = candidate("s-3", { retrainedMiou: 0.1, discreteMiou: 0.1, ...more });
    expect(shown([candidate("s-1"), other, candidate("s-2")])).toEqual([["s-1", "s-2"], ["s-3"]]);
  });

  it("compare the same data wherever they lie", () => {
    const moved = { ...spec, dataset: { ...camvid, path: "/mnt/camvid" } };
    expect(shown([candidate("s-1"), candidate("s-2", {}, moved)])).toEqual([["s-1", "s-2"]]);
    // Without fingerprints, the data are those of the spec.
    expect(shown([candidate("s-1", without), candidate("s-2", without, moved)])).toEqual([["s-1"], ["s-2"]]);
    const licensed = { ...spec, dataset: { ...camvid, license: "CC0" } };
    expect(shown([candidate("s-1", without), candidate("s-2", without, licensed)])).toEqual([["s-1", "s-2"]]);
  });

  it("take a search without a fingerprint for that of its data set in the spec, where there is a single one", () => {
    const [old, one, other] = [
      candidate("s-old", without),
      candidate("s-one"),
      candidate("s-other", { dataset: { sha256: "bb" } }),
    ];
    expect(shown([old, one])).toEqual([["s-old", "s-one"]]);
    expect(frontsOf([old, one])[0]?.conditions?.datasetSha256).toBe("aa");
    // It cannot be said which of the two the old search read.
    expect(shown([old, one, other]).flat()).toHaveLength(3);
    expect(shown([old, one, other])).toHaveLength(3);
  });

  it("take scenes of another seed for other data", () => {
    const scenes = (seed: number): Spec => ({ dataset: { kind: DatasetKind.DATASET_KIND_STREETS }, seed });
    const [a, b, c] = [1, 1, 2].map((seed, index) => candidate(`s-${index}`, without, scenes(seed)));
    expect(shown([a!, b!, c!])).toEqual([["s-0", "s-1"], ["s-2"]]);
  });
});

describe("a filter", () => {
  it.each([
    ["OTHER_LABELS", { labels: { team: "trains" } }, "team=trains"],
    ["OTHER_DATA", { datasetSha256: "bb" }, "the data have aa, not bb"],
    ["OTHER_DATA", { datasetKind: DatasetKind.DATASET_KIND_STREETS }, "is of kind camvid, not streets"],
    ["OTHER_DATA", { datasetPath: "/data" }, "is /data/camvid, not /data"],
    ["OTHER_DEVICE", { deviceClass: "cuda" }, "is of device class cpu, not cuda"],
    ["OTHER_DEVICE", { device: "b" }, "is of device a processor, not b"],
    ["OTHER_SETTINGS", { inputHeight: 96 }, "an input height of 360, not 96"],
    ["OTHER_SETTINGS", { inputWidth: 96 }, "an input width of 480, not 96"],
    ["OTHER_SETTINGS", { batchSize: 8 }, "a batch size of 1, not 8"],
    ["OTHER_SETTINGS", { threads: 1 }, "a number of threads of 2, not 1"],
  ])("says why it leaves a search out: %s", (reason, filter, message) => {
    const out = filtered(candidate("s-1"), ListParetoFrontsRequest.fromPartial(filter));
    expect(out).toMatchObject({ searchId: "s-1", reason });
    expect(out?.message).toContain(message);
  });

  it("passes what has all that it asks for", () => {
    const asked = {
      ...{ labels: { team: "roads" }, datasetSha256: "aa", datasetKind: camvid.kind, datasetPath: camvid.path },
      ...{ deviceClass: "cpu", device: "a processor", inputHeight: 360, inputWidth: 480, batchSize: 1, threads: 2 },
    };
    for (const filter of [{}, asked])
      expect(filtered(candidate("s-1"), ListParetoFrontsRequest.fromPartial(filter))).toBeUndefined();
  });
});
