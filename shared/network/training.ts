import { decodeBundle, encodeBundle } from "./bundle";
import type { NetworkParameters } from "./export";

/** Everything that the training of a network moves: weights, Adam moments, running statistics. */
export interface TrainingVectors extends NetworkParameters {
  m: Float32Array;
  v: Float32Array;
  /** Moving average of weights and statistics, if the training keeps one. */
  average?: NetworkParameters;
}

/** Header of the checkpoints of retraining. */
export interface RetrainingRecord {
  epoch: number;
  steps: number;
  bestMiou: number;
  bestEpoch: number;
  seconds: number;
}

/** Header of the checkpoints of algorithm random. */
export interface RandomRecord {
  /** Number of the network in training, from 1, with its epochs, steps and seconds so far. */
  candidate: number;
  epoch: number;
  steps: number;
  seconds: number;
}

/** Encodes a training as a bundle: a header, the vectors that training moves, and the best parameters so far. */
export function encodeTraining(header: object, vectors: TrainingVectors, best?: NetworkParameters): Uint8Array {
  const { weights, stats, m, v, average } = vectors;
  const averaged = average && { averageWeights: average.weights, averageStats: average.stats };
  const kept = best && { bestWeights: best.weights, bestStats: best.stats };
  return encodeBundle({ header, arrays: { weights, stats, m, v, ...averaged, ...kept } });
}

/** Decodes the bytes of encodeTraining; `best` is empty where there was none. `what` names the bytes in errors. */
export function decodeTraining<Header>(
  bytes: Uint8Array,
  what: string,
): { header: Header; vectors: TrainingVectors; best: NetworkParameters } {
  const { header, arrays } = decodeBundle<Header>(bytes, what);
  const take = (name: string) => arrays[name] ?? new Float32Array();
  const average = { weights: take("averageWeights"), stats: take("averageStats") };
  return {
    header,
    vectors: {
      ...{ weights: take("weights"), stats: take("stats"), m: take("m"), v: take("v") },
      ...("averageWeights" in arrays && { average }),
    },
    best: { weights: take("bestWeights"), stats: take("bestStats") },
  };
}
