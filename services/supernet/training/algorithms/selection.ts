import type { DatasetInfo } from "../../../../shared/data/dataset";
import type { DiscreteNetwork } from "../../../../shared/network/discrete";
import { storeDerived, type NetworkParameters, type Store } from "../../../../shared/network/export";
import type { ArchitectureDerived, Selection } from "../../../../shared/proto/lathe/v1/events";
import { DecidedBy } from "../../../../shared/proto/lathe/v1/result";
import { networkCosts } from "../../../../shared/space/networkCosts";
import type { CostWindow } from "../../../../shared/space/sampling";

/** The network that was chosen among the evaluated ones, and how. */
interface Choice {
  network: DiscreteNetwork;
  parameters: NetworkParameters;
  miou: number;
  /** Number of classes that miou is the mean over. */
  miouClasses: number;
  selection: Selection;
}

/** Stores the chosen network and returns the event of its derivation. It was not cut out of a supernet, so supernet mIoU and gap are 0. */
export async function deriveSelected(
  { network, parameters, miou, miouClasses, selection }: Choice,
  window: CostWindow,
  data: Pick<DatasetInfo, "classes" | "license">,
  port: Store,
): Promise<ArchitectureDerived> {
  const { genotype } = network;
  return {
    genotype,
    decidedBy: DecidedBy.DECIDED_BY_SELECTION,
    supernetMiou: 0,
    discreteMiou: miou,
    miouClasses,
    discretizationGap: 0,
    figures: networkCosts(genotype, network.head),
    costRatio: window.ratio(genotype),
    smallestCostRatio: window.smallest,
    ...(await storeDerived(network, parameters, data, port)),
    selection,
    // A training has said so by an alarm.
    dataChange: "",
  };
}
