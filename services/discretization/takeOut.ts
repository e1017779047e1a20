import { beginDataset, datasetOptions } from "../../shared/data/open";
import { buildDiscrete } from "../../shared/network/discrete";
import {
  networkOnnx,
  storeDerived,
  storeTrained,
  type NetworkParameters,
  type Store,
} from "../../shared/network/export";
import { decodeTraining, type RandomRecord, type RetrainingRecord } from "../../shared/network/training";
import { LatheError } from "../../shared/process/errors";
import { searchedHead, type Head } from "../../shared/space/head";
import { networkCosts } from "../../shared/space/networkCosts";
import { retrainingHead, type KeepJob, type Taken } from "./jobs";

/**
 * Takes the best network out of a checkpoint of retraining, or an evaluated one out of a checkpoint of algorithm random, and stores it as
 * the end of that training would. The mIoU of a retrained network is in the checkpoint; that of a candidate, which is in its event, is 0.
 */
export async function takeOut({ spec, genotype, checkpoint, candidate }: KeepJob, port: Store): Promise<Taken> {
  const { epoch, validationMiou, parameters } =
    candidate === undefined ? bestEpoch(checkpoint) : { epoch: candidate, ...ofCandidate(checkpoint, candidate) };
  const head: Head = candidate === undefined ? retrainingHead(spec) : searchedHead(genotype);
  const network = buildDiscrete(genotype, head);
  for (const role of ["weights", "stats"] as const)
    if (parameters[role].length !== network[role].size)
      throw corrupt(`${parameters[role].length} values of "${role}", its network has ${network[role].size}`);
  // The files are listed for the names of the classes. They are not read.
  const { dataset } = await beginDataset(datasetOptions(spec, genotype));
  const { info } = dataset;
  await dataset.close();
  const files =
    candidate === undefined
      ? await storeTrained(
          network,
          parameters,
          networkOnnx(network, parameters, info.classes, info.license),
          { ...info, validationMiou },
          port,
        )
      : await storeDerived(network, parameters, info, port);
  return { epoch, validationMiou, figures: networkCosts(genotype, head), ...files };
}

function bestEpoch(
  checkpoint: Uint8Array,
): Pick<Taken, "epoch" | "validationMiou"> & { parameters: NetworkParameters } {
  const { header, best } = decodeTraining<RetrainingRecord>(checkpoint, "retraining checkpoint");
  return { epoch: header.bestEpoch, validationMiou: header.bestMiou, parameters: best };
}

/** A candidate's weights at the end of its training. */
function ofCandidate(checkpoint: Uint8Array, candidate: number) {
  const { header, vectors } = decodeTraining<RandomRecord>(checkpoint, "checkpoint of a random search");
  if (header.candidate === candidate) return { validationMiou: 0, parameters: vectors };
  throw corrupt(`network ${header.candidate}, not network ${candidate}`);
}

function corrupt(holds: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", `the newest checkpoint holds ${holds}`, { reason: "CHECKPOINT_CORRUPT" });
}
