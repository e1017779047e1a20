import { validationChange } from "../../shared/data/change";
import { datasetOptions, openDataset } from "../../shared/data/open";
import type { Engine } from "../../shared/engine/engine";
import { discreteEvaluator, supernetEvaluator } from "../../shared/evaluation/evaluate";
import { decodeSupernet } from "../../shared/network/checkpoint";
import { buildDiscrete } from "../../shared/network/discrete";
import { storeDerived, type Store } from "../../shared/network/export";
import { inheritBuffer } from "../../shared/network/inherit";
import { LatheError } from "../../shared/process/errors";
import type { ArchitectureDerived } from "../../shared/proto/lathe/v1/events";
import { costOfLargest, genotypeCost, smallestCostRatio } from "../../shared/space/cost";
import { searchedHead } from "../../shared/space/head";
import { networkCosts } from "../../shared/space/networkCosts";
import { derive } from "../../shared/space/genotype";
import type { DeriveJob } from "./jobs";

/**
 * Derives the discrete network of a supernet with inherited weights, stores it, and measures the discretization gap: mIoU of the
 * supernet minus mIoU of the network, both on the validation split with running statistics (docs/method.md#after-the-search). The training
 * split is not read.
 */
export async function deriveNetwork(
  engine: Engine,
  job: DeriveJob,
  port: Store & { signal: AbortSignal },
): Promise<ArchitectureDerived> {
  const { spec } = job;
  const { space, architecture, decidedBy, checkpoint } = job.supernet;
  if (!space || !architecture)
    throw new LatheError("INVALID_ARGUMENT", "the event of the supernet has no space or no architecture", {
      reason: "EVENT_INVALID",
    });
  const { state } = decodeSupernet(space, job.checkpoint, `checkpoint ${checkpoint?.object ?? ""}`);
  const { genotype } = derive(space, architecture);
  const { table } = job;
  const largest = costOfLargest(space, table);
  const network = buildDiscrete(genotype, searchedHead(space));
  const weights = inheritBuffer(state.weights.values, "weights", state.supernet, network);
  const stats = inheritBuffer(state.stats, "stats", state.supernet, network);
  const dataset = await openDataset({ ...datasetOptions(spec, space), trainExamples: 1 });
  const opened: { release(): Promise<void> }[] = [];
  try {
    const { batchSize } = spec.training;
    // Class weights affect the loss only, and the loss is not used.
    const even = new Float32Array(space.classes).fill(1);
    const before = await supernetEvaluator(engine, state.supernet, batchSize);
    opened.push(before);
    const after = await discreteEvaluator(engine, network, batchSize);
    opened.push(after);
    const supernetParameters = { weights: state.weights.values, stats: state.stats, alphas: state.alphas.values };
    const supernet = await before.evaluate(supernetParameters, dataset.validation, even, port.signal);
    const discrete = await after.evaluate({ weights, stats }, dataset.validation, even, port.signal);
    return {
      genotype,
      decidedBy,
      supernetMiou: supernet.miou,
      discreteMiou: discrete.miou,
      miouClasses: discrete.miouClasses,
      discretizationGap: supernet.miou - discrete.miou,
      figures: networkCosts(genotype, network.head),
      costRatio: genotypeCost(genotype, table) / largest,
      smallestCostRatio: smallestCostRatio(space, table),
      ...(await storeDerived(network, { weights, stats }, dataset.info, port)),
      selection: undefined,
      dataChange: (await validationChange(job.recorded, dataset)) ?? "",
    };
  } finally {
    for (const each of opened) await each.release();
    await dataset.close();
  }
}
