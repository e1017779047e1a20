import type { ArchitectureDerived } from "../proto/lathe/v1/events";
import type { StoredEvent } from "./catalog";

/** The network that a search has derived, as it is after its newest repair, or as the search has chosen it; undefined before the derivation. */
export function derivedNetwork(history: readonly StoredEvent[]): ArchitectureDerived | undefined {
  let network: ArchitectureDerived | undefined;
  for (const { event } of history) {
    if (event.type === "architecture.derived") network = event.data;
    const isChange = event.type === "architecture.repaired" && event.data.changes.length > 0;
    if (!network || !(isChange || event.type === "architecture.chosen")) continue;
    const { genotype, discreteMiou, miouClasses, figures, onnx, weights, costRatio } = event.data;
    network = { ...network, genotype, discreteMiou, miouClasses, figures, onnx, weights, costRatio };
  }
  return network;
}
