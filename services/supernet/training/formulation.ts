import type { Engine, Optimization } from "../../../shared/engine/engine";
import { blockedSupernet } from "../../../shared/network/blocked";
import { blockedDiscrete, type TrainedNetwork } from "../../../shared/network/blockedDiscrete";
import { toBlockedOrder, toPlainOrder, type BlockedTables } from "../../../shared/network/blockedLayout";
import type { DiscreteNetwork } from "../../../shared/network/discrete";
import type { DeclaredSupernet, Supernet } from "../../../shared/network/supernet";

/** How the training steps of a network are computed: its functions, and the order of its weights and statistics. */
export interface Formulation<Network> {
  network: Network;
  /** "blocked", or "plain" with the reason. */
  name: string;
  /** Optimization level of the steps' graphs. */
  optimization: Optimization;
  /** Converts a vector from the order of checkpoints to the order of the steps (enter), and back (leave). Both copy. */
  enter: (role: "weights" | "stats", vector: Float32Array) => Float32Array;
  leave: (role: "weights" | "stats", vector: Float32Array) => Float32Array;
}

/** The formulation of a supernet's steps: blocked if the engine has a blocked layout and the supernet fits it, else plain. */
export const formulate = (engine: Engine, supernet: DeclaredSupernet, batchSize: number): Formulation<Supernet> =>
  chosen<Supernet>(engine, supernet, (tile) => blockedSupernet(supernet, batchSize, tile));

/** The formulation of the training step of a discrete network, chosen as that of a supernet. */
export const formulateNetwork = (
  engine: Engine,
  network: DiscreteNetwork,
  batchSize: number,
): Formulation<TrainedNetwork> =>
  chosen<TrainedNetwork>(engine, network, (tile) => blockedDiscrete(network, batchSize, tile));

function chosen<Network>(
  engine: Engine,
  plain: Network,
  blockedOf: (tile: number) => (Network & BlockedTables) | string,
): Formulation<Network> {
  const blocked = engine.tileSize === undefined ? `${engine.name} has no blocked layout` : blockedOf(engine.tileSize);
  if (typeof blocked === "string") {
    // Copied, because the steps write into the vectors.
    const same = (_: string, vector: Float32Array) => vector.slice();
    return { network: plain, name: `plain: ${blocked}`, optimization: "all", enter: same, leave: same };
  }
  return {
    network: blocked,
    name: "blocked",
    // The graph is already in its final form. Optimising it makes a step 5 % faster, but costs more than that if every epoch shrinks.
    optimization: "disabled",
    enter: (role, vector) => toBlockedOrder(vector, blocked.layout[role]),
    leave: (role, vector) => toPlainOrder(vector, blocked.layout[role]),
  };
}
