import type { Dataset } from "../../../../shared/data/open";
import type { Engine } from "../../../../shared/engine/engine";
import { discreteEvaluator } from "../../../../shared/evaluation/evaluate";
import type { DiscreteNetwork } from "../../../../shared/network/discrete";
import type { NetworkParameters } from "../../../../shared/network/export";
import { networkCosts } from "../../../../shared/space/networkCosts";
import type { CostWindow } from "../../../../shared/space/sampling";
import type { Candidate } from "./search";
import type { TrainingPort } from "../port";

/** Input for the evaluation of a network. */
export interface EvaluationContext {
  engine: Engine;
  dataset: Dataset;
  window: Pick<CostWindow, "ratio">;
  port: Pick<TrainingPort, "completeCandidate" | "signal">;
  weighting: Float32Array;
  batchSize: number;
  /** Networks that the search evaluates in all. */
  candidates: number;
}

/** A network, and the weights with which it is evaluated. */
interface Contender {
  network: DiscreteNetwork;
  parameters: NetworkParameters;
  /** Counts from 1. */
  index: number;
  parent: number;
  /** Start of its seconds, by performance.now(). */
  started: number;
}

/** Evaluates a network on the validation split and publishes the result. */
export async function evaluateCandidate(context: EvaluationContext, contender: Contender): Promise<Candidate> {
  const { engine, dataset, window, port, weighting, batchSize, candidates } = context;
  const { network, parameters, index, parent, started } = contender;
  const { genotype } = network;
  const { weights, stats } = parameters;
  const evaluator = await discreteEvaluator(engine, network, batchSize);
  try {
    const { miou, miouClasses, loss } = await evaluator.evaluate(
      { weights, stats },
      dataset.validation,
      weighting,
      port.signal,
    );
    const candidate = {
      index,
      candidates,
      genotype,
      parent,
      figures: networkCosts(genotype, network.head),
      costRatio: window.ratio(genotype),
      validationMiou: miou,
      miouClasses,
      validationLoss: loss,
      seconds: (performance.now() - started) / 1000,
    };
    await port.completeCandidate(candidate);
    return candidate;
  } finally {
    await evaluator.release();
  }
}
