import { decodeBundle } from "../network/bundle";
import { encodeSupernet, firstState } from "../network/checkpoint";
import { buildSupernet } from "../network/supernet";
import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import type { SearchSpec } from "../proto/lathe/v1/spec";
import { indexGroups } from "../space/groups";
import { argmax } from "../space/genotype";
import { keepSome, keepSurvivors, randomBuffer } from "./networks";
import { tinySpec } from "./searches";
import { uniform } from "./spaces";

type Sections = "dataset" | "space" | "training" | "shrinking" | "retraining";
type Overrides = { seed?: number } & { [K in Sections]?: Partial<NonNullable<SearchSpec[K]>> };

/** A search that trains in a second or two: 16 scenes of 32x64, three epochs of four steps, every dimension searched. */
export function briefSpec(overrides: Overrides = {}): SearchSpec {
  const stage = (channels: number, dropout: number) => ({
    channels,
    minDepth: 1,
    maxDepth: 2,
    widths: [channels / 2, channels],
    dropout,
  });
  return tinySpec({
    seed: overrides.seed ?? 1,
    dataset: { trainExamples: 16, validationExamples: 6, ...overrides.dataset },
    space: {
      inputHeight: 32,
      inputWidth: 64,
      stemChannels: 4,
      stages: [stage(8, 0.1), stage(12, 0.2)],
      dilations: [1, 2],
      scales: [1, 2],
      ...overrides.space,
    },
    training: {
      epochs: 3,
      batchSize: 4,
      weightLearningRate: 2e-3,
      alphaLearningRate: 0.1,
      warmupEpochs: 0,
      ...overrides.training,
    },
    regularization: { rampFrom: 1, rampTo: 61 },
    shrinking: { firstEpoch: 1, ...overrides.shrinking },
    retraining: {
      epochs: 2,
      batchSize: 4,
      pyramidChannels: 3,
      dropout: 0.1,
      validateEvery: 1,
      ...overrides.retraining,
    },
  });
}

/** About half of an epoch's survivors, the same in every repetition of the epoch. */
export function halve(space: SearchSpace, architecture: Architecture, epoch: number): Architecture {
  return keepSome(space, architecture, uniform(epoch), 0.5);
}

/** The most likely survivor of each group. */
export function decideAll(space: SearchSpace, architecture: Architecture): Architecture {
  const groups = indexGroups(architecture);
  return keepSurvivors(space, architecture, ({ id }) => {
    const group = groups.get(id);
    return group ? [argmax(group)] : [];
  });
}

/** A checkpoint or file of weights without its durations: two runs of one seed must be equal in the rest. */
export function timeless(bytes: Uint8Array): unknown {
  return JSON.parse(
    JSON.stringify(decodeBundle(bytes, "checkpoint"), (key, value: unknown) =>
      key === "seconds"
        ? undefined
        : value instanceof Float32Array
          ? Buffer.from(value.buffer).toString("base64")
          : value,
    ),
  );
}

/** A checkpoint of a supernet with random weights, in the form that training stores. */
export function trainedCheckpoint(space: SearchSpace, architecture: Architecture, seed = 1): Uint8Array {
  const supernet = buildSupernet(space, architecture);
  const random = uniform(seed);
  const state = firstState(supernet, randomBuffer(supernet.weights, random), randomBuffer(supernet.stats, random));
  return encodeSupernet(state, { epoch: 3, convergedEpoch: 0, seconds: 1, miou: 0.5, costWeight: 1 });
}
