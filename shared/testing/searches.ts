import type { LatheEvent } from "../events/catalog";
import {
  ArchitectureDerived,
  CandidateEvaluated,
  EpochCompleted,
  NetworkProfiled,
  NetworkTrained,
  OperatorsProfiled,
  RetrainingEpochCompleted,
  SamplingEpochCompleted,
  SupernetConverged,
} from "../proto/lathe/v1/events";
import { DecidedBy, type ArtifactRef } from "../proto/lathe/v1/result";
import type { CostCheck, CostTable, SearchSpace } from "../proto/lathe/v1/space";
import { SearchSpec } from "../proto/lathe/v1/spec";
import { costOfLargest, macsTable } from "../space/cost";
import { largestGenotype } from "../space/genotype";
import { candidatesLeft, dimensionMetrics, initialArchitecture } from "../space/groups";
import { log10Size } from "../space/size";

/** The smallest spec a client may send. */
export const tinySpec = (overrides: Parameters<typeof SearchSpec.fromPartial>[0] = {}): SearchSpec =>
  SearchSpec.fromPartial({ preset: "tiny", ...overrides });

const ref = (object: string, kind: string): ArtifactRef => ({
  object,
  kind,
  sizeBytes: 1,
  sha256: "00",
  mediaType: "application/octet-stream",
});

/** A cost table of measured operators in which the largest network of a space takes these seconds, and the others in proportion to their MACs. */
export function latencyTable(space: SearchSpace, largestSeconds: number, check?: CostCheck): CostTable {
  const macs = macsTable(space);
  const scale = largestSeconds / costOfLargest(space, macs);
  const candidates = macs.candidates.map((row) => ({
    ...row,
    inMiddle: scale * row.inMiddle,
    middleOut: scale * row.middleOut,
    perInput: scale * row.perInput,
    perMiddle: scale * row.perMiddle,
  }));
  return {
    ...macs,
    candidates,
    fixed: scale * macs.fixed,
    device: "cpu",
    check,
    unit: { deviceKey: "k", seconds: 0.001 },
  };
}

/** The events of one search that workers publish, by name. The numbers are arbitrary but differ from each other. */
export function workerEvents(space: SearchSpace, epochs = 2) {
  const architecture = initialArchitecture(space);
  const epoch = (n: number): LatheEvent => ({
    type: "epoch.completed",
    data: EpochCompleted.fromPartial({
      metrics: {
        epoch: n,
        epochs,
        weightLoss: 1 / n,
        alphaLoss: 2 / n,
        validationMiou: 0.1 * n,
        seconds: 5,
        log10Space: log10Size(space),
        dimensions: dimensionMetrics(space, architecture),
      },
      architecture,
      checkpoint: ref(`s/epoch${n}`, "checkpoint"),
      policy: { threshold: 0.1, firstEpoch: 1 },
      space,
    }),
  });
  return {
    operatorsProfiled: {
      type: "operators.profiled",
      data: OperatorsProfiled.fromPartial({ table: { ...latencyTable(space, 0.02), metric: 2 } }),
    },
    epoch,
    kept: (n: number): LatheEvent => ({ type: "space.kept", data: { epoch: n, converged: false } }),
    shrunk: (n: number): LatheEvent => ({
      type: "space.shrunk",
      data: {
        epoch: n,
        removals: [],
        architecture,
        log10Space: 1,
        candidatesLeft: candidatesLeft(architecture) - n,
        converged: false,
      },
    }),
    converged: {
      type: "supernet.converged",
      data: SupernetConverged.fromPartial({
        decidedBy: DecidedBy.DECIDED_BY_SHRINKING,
        convergedEpoch: 1,
        epochs,
        checkpoint: ref("s/supernet", "checkpoint"),
        architecture,
        space,
        validationMiou: 0.4,
        seconds: 11,
      }),
    },
    derived: {
      type: "architecture.derived",
      data: ArchitectureDerived.fromPartial({
        genotype: largestGenotype(space),
        supernetMiou: 0.41,
        discreteMiou: 0.4,
        miouClasses: 2,
        discretizationGap: 0.01,
        figures: { params: 10, macs: 20 },
        costRatio: 0.6,
        smallestCostRatio: 0.2,
        onnx: ref("s/derived", "derived.onnx"),
        weights: ref("s/weights", "derived.weights"),
        decidedBy: DecidedBy.DECIDED_BY_SHRINKING,
      }),
    },
    sampled: (n: number): LatheEvent => ({
      type: "sampling.epoch.completed",
      data: SamplingEpochCompleted.fromPartial({ epoch: n, epochs: 2, candidate: n, loss: 0.7, seconds: 3 }),
    }),
    candidate: (n: number): LatheEvent => ({
      type: "candidate.evaluated",
      data: CandidateEvaluated.fromPartial({
        ...{ index: n, candidates: 2, genotype: largestGenotype(space), figures: { params: 10, macs: 20 } },
        ...{ costRatio: 0.58, validationMiou: 0.3 + n / 100, seconds: 0.5 },
      }),
    }),
    selected: {
      type: "architecture.derived",
      data: ArchitectureDerived.fromPartial({
        ...{ genotype: largestGenotype(space), discreteMiou: 0.32, figures: { params: 10, macs: 20 } },
        ...{ costRatio: 0.4, smallestCostRatio: 0.2, decidedBy: DecidedBy.DECIDED_BY_SELECTION },
        ...{ onnx: ref("s/derived", "derived.onnx"), weights: ref("s/weights", "derived.weights") },
        selection: { candidates: 2, trainingImages: 960, seconds: 7, engine: "an engine" },
      }),
    },
    retrained: (n: number): LatheEvent => ({
      type: "retraining.epoch.completed",
      data: RetrainingEpochCompleted.fromPartial({ epoch: n, epochs: 2, loss: 0.3, validationMiou: 0.5, seconds: 4 }),
    }),
    trained: {
      type: "network.trained",
      data: NetworkTrained.fromPartial({
        validationMiou: 0.6,
        bestEpoch: 2,
        figures: { params: 30, macs: 40 },
        onnx: ref("s/network", "network.onnx"),
        weights: ref("s/network-weights", "network.weights"),
        deploy: ref("s/deploy", "deploy.onnx"),
        classScores: [{ name: "road", iou: 0.9, occurs: true }],
        predictions: [ref("s/1.png", "predictions/1.png")],
        confusion: ref("s/confusion", "confusion.json"),
        seconds: 22,
      }),
    },
    profiled: {
      type: "network.profiled",
      data: NetworkProfiled.fromPartial({ latency: { device: "cpu", p50Seconds: 0.004, framesPerSecond: 250 } }),
    },
  } satisfies Record<string, LatheEvent | ((n: number) => LatheEvent)>;
}
