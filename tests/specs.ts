import { SearchSpec, type DatasetKind } from "../shared/proto/lathe/v1/spec";
import { DatasetKind as Kind } from "../shared/proto/lathe/v1/spec";

/** The space of smallSpec. */
export const sizes = {
  inputHeight: 32,
  inputWidth: 64,
  stemChannels: 4,
  stages: [
    { channels: 8, minDepth: 1, maxDepth: 2, widths: [4, 8] },
    { channels: 12, minDepth: 1, maxDepth: 1, widths: [8, 12] },
  ],
  dilations: [1],
  scales: [1, 2],
};

/** The smallest search that trains, shrinks while it trains, converges, retrains and measures; it takes under two seconds. */
export function smallSpec(overrides: Parameters<typeof SearchSpec.fromPartial>[0] = {}): SearchSpec {
  return SearchSpec.fromPartial({
    preset: "tiny",
    dataset: { kind: Kind.DATASET_KIND_STREETS, trainExamples: 16, validationExamples: 8 },
    space: sizes,
    training: { epochs: 6, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.5 },
    shrinking: { firstEpoch: 2 },
    retraining: { epochs: 3, batchSize: 4, pyramidChannels: 4 },
    profiling: { warmupRuns: 1, timedRuns: 5, threads: 1 },
    seed: 7,
    ...overrides,
  });
}

/** The same search with epochs of a second or more, so that a test can act within an epoch. */
export function slowSpec(overrides: Parameters<typeof SearchSpec.fromPartial>[0] = {}): SearchSpec {
  return smallSpec({
    dataset: { kind: Kind.DATASET_KIND_STREETS, trainExamples: 480, validationExamples: 8 },
    training: { epochs: 4, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.05 },
    retraining: { epochs: 1, batchSize: 4, pyramidChannels: 4 },
    ...overrides,
  });
}

/** A search on files. */
export function fileSpec(kind: DatasetKind, path: string, classes = 0): SearchSpec {
  return smallSpec({ dataset: { kind, path }, space: { ...sizes, classes } });
}

/** A search whose epochs take most of a second on an idle core, so that a test can act within an epoch. */
export function longSpec(overrides: Parameters<typeof SearchSpec.fromPartial>[0] = {}): SearchSpec {
  return smallSpec({
    dataset: { kind: Kind.DATASET_KIND_STREETS, trainExamples: 160, validationExamples: 8 },
    space: { ...sizes, inputHeight: 64, inputWidth: 128 },
    training: { epochs: 4, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.1 },
    retraining: { epochs: 2, batchSize: 4, pyramidChannels: 4 },
    ...overrides,
  });
}

/** A search that trains for longer than any test waits before it cancels it, however fast the machine is. */
export const endlessSpec = (overrides: Parameters<typeof SearchSpec.fromPartial>[0] = {}): SearchSpec =>
  longSpec({ training: { epochs: 300, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 1e-3 }, ...overrides });
