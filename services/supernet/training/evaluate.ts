import { changeOf } from "../../../shared/data/change";
import { openDataset, datasetOptions } from "../../../shared/data/open";
import type { Engine } from "../../../shared/engine/engine";
import { discreteEvaluator } from "../../../shared/evaluation/evaluate";
import { decodeSupernet } from "../../../shared/network/checkpoint";
import { buildDiscrete } from "../../../shared/network/discrete";
import { inheritBuffer } from "../../../shared/network/inherit";
import { searchedHead } from "../../../shared/space/head";
import type { EvaluateJob } from "./jobs";
import { countedClassWeights } from "./classWeights";

/** Validation mIoU and loss of a genotype with the weights that it inherits from a supernet. */
export async function evaluateGenotype(
  engine: Engine,
  { spec, space, checkpoint, genotype, recorded }: EvaluateJob,
  signal: AbortSignal,
): Promise<{ miou: number; miouClasses: number; loss: number; dataChange: string }> {
  const { state } = decodeSupernet(space, checkpoint, "checkpoint");
  const network = buildDiscrete(genotype, searchedHead(space));
  const parameters = {
    weights: inheritBuffer(state.weights.values, "weights", state.supernet, network),
    stats: inheritBuffer(state.stats, "stats", state.supernet, network),
  };
  const dataset = await openDataset(datasetOptions(spec, space));
  const evaluator = await discreteEvaluator(engine, network, spec.training.batchSize);
  try {
    const weighting = await countedClassWeights(dataset, space.classes);
    const { miou, miouClasses, loss } = await evaluator.evaluate(parameters, dataset.validation, weighting, signal);
    return { miou, miouClasses, loss, dataChange: (await changeOf(recorded, dataset)) ?? "" };
  } finally {
    await evaluator.release();
    await dataset.close();
  }
}
