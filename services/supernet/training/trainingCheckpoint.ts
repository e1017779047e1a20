import { decodeBundle, encodeBundle } from "../../../shared/network/bundle";
import type { NetworkParameters } from "../../../shared/network/export";
import type { TrainingVectors } from "./weightTrainer";

/** Where the training of networks stands, as bytes: a header, what is being moved, and the best so far. */
export function encodeTraining(header: object, vectors: TrainingVectors, best?: NetworkParameters): Uint8Array {
  const { weights, stats, m, v } = vectors;
  const kept = best && { bestWeights: best.weights, bestStats: best.stats };
  return encodeBundle({ header, arrays: { weights, stats, m, v, ...kept } });
}

/** The reverse of encodeTraining; `best` is empty where there was none. `what` names the bytes in errors. */
export function decodeTraining<Header>(
  bytes: Uint8Array,
  what: string,
): { header: Header; vectors: TrainingVectors; best: NetworkParameters } {
  const { header, arrays } = decodeBundle<Header>(bytes, what);
  const take = (name: string) => arrays[name] ?? new Float32Array();
  return {
    header,
    vectors: { weights: take("weights"), stats: take("stats"), m: take("m"), v: take("v") },
    best: { weights: take("bestWeights"), stats: take("bestStats") },
  };
}
