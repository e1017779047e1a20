import { datasetOptions, openDataset, withFewTraining } from "../../../shared/data/open";
import type { Engine } from "../../../shared/engine/engine";
import { recalibrationImages } from "../../../shared/evaluation/recalibration";
import { decodeBundle } from "../../../shared/network/bundle";
import { buildDiscrete } from "../../../shared/network/discrete";
import { storeDerived, type NetworkParameters, type Store } from "../../../shared/network/export";
import { LatheError } from "../../../shared/process/errors";
import { ArchitectureRepaired } from "../../../shared/proto/lathe/v1/events";
import { costOfLargest, genotypeCost } from "../../../shared/space/cost";
import { searchedHead } from "../../../shared/space/head";
import { networkCosts } from "../../../shared/space/networkCosts";
import type { JobCalls, RepairJob } from "../jobs";
import { approach } from "./approach";
import { differencesOf } from "./changes";
import { openTrial } from "./trial";

/**
 * Changes the derived network so that its predicted latency comes to the target. The prediction is the table's, times what the measured
 * network took over what the table says of it. Every network that is tried has the weights of the derived one, and is compared by its mIoU on
 * at most 16 validation images (Trial). The chosen one gets statistics of its own and is evaluated on all.
 */
export async function repairNetwork(
  engine: Engine,
  job: RepairJob,
  port: Store & Pick<JobCalls, "progress"> & { signal: AbortSignal },
): Promise<ArchitectureRepaired> {
  const started = performance.now();
  const { spec, space, table, genotype, aim } = job;
  const { number, targetSeconds, predictedSeconds, measuredSeconds } = aim;
  const given = { network: buildDiscrete(genotype, searchedHead(space)), parameters: parametersOf(job) };
  const { batchSize } = spec.training;
  // Only the statistics of a network are of training images.
  const few = await withFewTraining(datasetOptions(spec, space), recalibrationImages(Infinity, batchSize));
  const dataset = await openDataset(few);
  try {
    const trial = await openTrial(engine, given, dataset, { seed: spec.seed, number, batchSize }, port.signal);
    const found = await approach(
      space,
      genotype,
      {
        goal: (targetSeconds * predictedSeconds) / measuredSeconds,
        costOf: (of) => genotypeCost(of, table),
        miouOf: (of) => trial.compared(of),
      },
      (done, of) => port.progress(done, of),
    );
    const changes = differencesOf(genotype, found.genotype);
    const seconds = () => (performance.now() - started) / 1000;
    const { evaluated } = found;
    if (changes.length === 0) return ArchitectureRepaired.fromPartial({ number, evaluated, seconds: seconds() });
    const changed = await trial.made(found.genotype);
    const before = await trial.evaluate(given, dataset.validation);
    const after = await trial.evaluate(changed, dataset.validation);
    return {
      ...{ number, genotype: found.genotype, changes, evaluated },
      miouBefore: before.miou,
      discreteMiou: after.miou,
      miouClasses: after.miouClasses,
      figures: networkCosts(found.genotype, searchedHead(space)),
      ...(await storeDerived(changed.network, changed.parameters, dataset.info, port, `repaired-${number}`)),
      costRatio: genotypeCost(found.genotype, table) / costOfLargest(space, table),
      seconds: seconds(),
    };
  } finally {
    await dataset.close();
  }
}

function parametersOf({ weights: bundle, object }: RepairJob): NetworkParameters {
  const { weights, stats } = decodeBundle(bundle, object).arrays;
  if (weights && stats) return { weights, stats };
  throw new LatheError("INTERNAL", `${object} has no weights or no statistics`, { reason: "BUNDLE_CORRUPT" });
}
