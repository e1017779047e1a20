import type { Batch } from "../../../../../shared/data/batches";
import type { Engine } from "../../../../../shared/engine/engine";
import { recalibratedStats } from "../../../../../shared/evaluation/recalibration";
import type { SupernetState } from "../../../../../shared/network/checkpoint";
import { buildDiscrete, type DiscreteNetwork } from "../../../../../shared/network/discrete";
import type { NetworkParameters } from "../../../../../shared/network/export";
import { inheritBuffer } from "../../../../../shared/network/inherit";
import type { Genotype } from "../../../../../shared/proto/lathe/v1/space";
import { searchedHead } from "../../../../../shared/space/head";

/** Builds a genotype's network with weights inherited from a supernet and recalibrated statistics. */
export async function inherit(
  engine: Engine,
  state: SupernetState,
  genotype: Genotype,
  calibration: readonly Batch[],
  signal: AbortSignal,
): Promise<{ network: DiscreteNetwork; parameters: NetworkParameters }> {
  const network = buildDiscrete(genotype, searchedHead(state.supernet.space));
  const weights = inheritBuffer(state.weights.values, "weights", state.supernet, network);
  const stats = await recalibratedStats(engine, network, weights, calibration, signal);
  return { network, parameters: { weights, stats } };
}
