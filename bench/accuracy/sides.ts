import { rates } from "../../shared/engine/adam";
import type { Engine } from "../../shared/engine/engine";
import { packAlphas } from "../../shared/network/alphas";
import { initialStats } from "../../shared/network/initialise";
import type { DeclaredSupernet } from "../../shared/network/supernet";
import { costOfLargest, macsTable } from "../../shared/space/cost";
import { searchStride } from "../../shared/space/head";
import { formulate } from "../../services/supernet/training/formulation";
import {
  alphaStep,
  CROSS_ENTROPY_WEIGHT,
  MAX_NORM,
  stepSignature,
  trainableSupernet,
  weightStep,
} from "../../services/supernet/training/steps";
import type { Trial } from "./draw";
import type { Vector } from "./errors";

/** Gradients of the cross entropy by flat weights and by flat architecture parameters, in the order of checkpoints. */
export type Gradients = Record<"weights" | "alphas", Vector>;

/** A formulation of the steps on an engine. */
export interface Side {
  name: string;
  gradients(trial: Trial): Promise<Gradients>;
  release(): Promise<void>;
}

/** Compiles the steps of a supernet that has no dropout. Their first moments after one step from 0 are a tenth of the gradients. */
export async function openSide(engine: Engine, supernet: DeclaredSupernet, batchSize: number): Promise<Side> {
  const { space, alphas, architecture } = supernet;
  const formulation = formulate(engine, supernet, batchSize);
  const size = formulation.network.weights.size;
  const shape = {
    ...{ batchSize, height: space.inputHeight, width: space.inputWidth },
    ...{ stride: searchStride(space), classes: space.classes },
  };
  const table = macsTable(space);
  const ssr = { depth: 0, operation: 0, outputWidth: 0, middleWidth: 0 };
  const loss = { table, largestCost: costOfLargest(space, table), target: 1, ssr, weightDecay: 0 };
  const compile = (step: Parameters<Engine["compile"]>[0], vectors: Record<string, number>, scalars: object) =>
    engine.compile(step, stepSignature(vectors, { ...scalars }, shape, []), "step", formulation.optimization);
  const byWeights = await compile(
    weightStep(trainableSupernet(formulation.network), 0, engine.lossScale),
    { weights: size, m: size, v: size, stats: formulation.network.stats.size, alphas: alphas.size },
    { rates: [2] },
  );
  const byAlphas = await compile(
    alphaStep(formulation.network, loss, engine.lossScale),
    { alphas: alphas.size, m: alphas.size, v: alphas.size, weights: size },
    { rates: [2], ssrFactor: [1], costWeight: [1] },
  );
  const values = packAlphas(supernet, architecture);
  const zeros = (length: number) => ({ m: new Float32Array(length), v: new Float32Array(length) });
  return {
    name: `${engine.name.split(" ")[0] ?? engine.name} ${formulation.name.split(":")[0] ?? formulation.name}`,
    gradients: async ({ weights, batch }) => {
      const given = { ...batch, alphas: values, weights: formulation.enter("weights", weights), rates: rates(0, 1) };
      const stats = formulation.enter("stats", initialStats(supernet.stats));
      const none = { ssrFactor: Float32Array.of(0), costWeight: Float32Array.of(0) };
      const first = await byWeights.run({ ...given, ...zeros(size), stats });
      const second = await byAlphas.run({ ...given, ...zeros(alphas.size), ...none });
      return {
        weights: Float64Array.from(formulation.leave("weights", first.m as Float32Array), (m) => 10 * m),
        alphas: unclipped(second.m as Float32Array, second.norm?.[0] ?? NaN),
      };
    },
    release: async () => {
      await byWeights.release();
      await byAlphas.release();
    },
  };
}

/** The gradient of the cross entropy from the first moment of an alpha step, which weighs the loss and clips the gradient. */
function unclipped(m: Float32Array, norm: number): Float64Array {
  const factor = (10 * Math.max(1, norm / MAX_NORM)) / CROSS_ENTROPY_WEIGHT;
  return Float64Array.from(m, (value) => value * factor);
}
