import type { Manifest } from "../engine/parameters";
import { LatheError } from "../process/errors";
import { Architecture, type SearchSpace } from "../proto/lathe/v1/space";
import { packAlphas } from "./alphas";
import { decodeBundle, encodeBundle } from "./bundle";
import { buildSupernet, type DeclaredSupernet } from "./supernet";

/** Flat parameters with their Adam moments m and v, and the number of steps taken. */
export interface Optimized {
  values: Float32Array;
  m: Float32Array;
  v: Float32Array;
  steps: number;
}

/** A supernet and everything that its training changes. */
export interface SupernetState {
  supernet: DeclaredSupernet;
  weights: Optimized;
  stats: Float32Array;
  alphas: Optimized;
}

/** Epochs and results of a training so far, stored beside the state. */
export interface TrainingRecord {
  /** Last completed epoch. */
  epoch: number;
  /** First epoch after which shrinking had decided every group; 0 until then. */
  convergedEpoch: number;
  /** Sum of the epochs' seconds. */
  seconds: number;
  /** Validation mIoU of the last epoch. */
  miou: number;
  /** Weight of the cost term in the next epoch. */
  costWeight: number;
  /** History that the health rules of the next epoch use; absent before the first epoch. */
  health?: HealthHistory;
  /** True if an alarm has ended the training. */
  stopped?: boolean;
}

/** History that the health rules need. */
export interface HealthHistory {
  /** Best validation mIoU so far, and its epoch; 0 before the first. */
  bestMiou: number;
  bestEpoch: number;
  /** Best mIoU since every group was decided (-1 before), and the epochs since then without a better one. */
  decidedMiou: number;
  staleEpochs: number;
  /** Alarms whose condition held after the last epoch: 10 * kind + dimension. */
  standing: number[];
}

interface Header {
  format: number;
  progress: TrainingRecord;
  architecture: unknown;
  weightSteps: number;
  alphaSteps: number;
}

const FORMAT = 1;

/** Encodes a checkpoint of state and record. Random streams are named by epoch, so a checkpoint holds no generator. */
export function encodeSupernet(state: SupernetState, record: TrainingRecord): Uint8Array {
  const { weights, alphas, stats, supernet } = state;
  const header: Header = {
    format: FORMAT,
    progress: record,
    architecture: Architecture.toJSON(supernet.architecture),
    weightSteps: weights.steps,
    alphaSteps: alphas.steps,
  };
  return encodeBundle({
    header,
    arrays: {
      weights: weights.values,
      weightsM: weights.m,
      weightsV: weights.v,
      stats,
      alphas: alphas.values,
      alphasM: alphas.m,
      alphasV: alphas.v,
    },
  });
}

/** Decodes a checkpoint. `what` names the bytes in errors (INVALID_ARGUMENT, reason CHECKPOINT_CORRUPT or BUNDLE_CORRUPT). */
export function decodeSupernet(
  space: SearchSpace,
  bytes: Uint8Array,
  what: string,
): { state: SupernetState; record: TrainingRecord } {
  const { header, arrays } = decodeBundle<Header>(bytes, what);
  if (header.format !== FORMAT) throw corrupt(`${what} has format ${header.format}, this version reads ${FORMAT}`);
  const supernet = buildSupernet(space, Architecture.fromJSON(header.architecture));
  const take = (name: string, { size }: Manifest) => {
    const values = arrays[name];
    if (values?.length === size) return values;
    throw corrupt(`${what} holds ${values?.length ?? 0} values of "${name}", its space has ${size}`);
  };
  const optimized = (name: string, manifest: Manifest, steps: number): Optimized => ({
    values: take(name, manifest),
    m: take(`${name}M`, manifest),
    v: take(`${name}V`, manifest),
    steps,
  });
  return {
    record: header.progress,
    state: {
      supernet,
      weights: optimized("weights", supernet.weights, header.weightSteps),
      stats: take("stats", supernet.stats),
      alphas: optimized("alphas", supernet.alphas, header.alphaSteps),
    },
  };
}

/** The state before the first step: moments are 0, architecture parameters come from the architecture. */
export function firstState(supernet: DeclaredSupernet, weights: Float32Array, stats: Float32Array): SupernetState {
  const alphas = packAlphas(supernet, supernet.architecture);
  return { supernet, weights: unoptimized(weights), stats, alphas: unoptimized(alphas) };
}

function unoptimized(values: Float32Array): Optimized {
  return { values, m: new Float32Array(values.length), v: new Float32Array(values.length), steps: 0 };
}

function corrupt(message: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", message, { reason: "CHECKPOINT_CORRUPT" });
}
