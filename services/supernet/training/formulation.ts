import type { Engine, Optimization } from "../../../shared/engine/engine";
import { blockedSupernet } from "../../../shared/network/blocked";
import { toBlockedOrder, toPlainOrder } from "../../../shared/network/blockedLayout";
import type { DeclaredSupernet, Supernet } from "../../../shared/network/supernet";

/** How the training steps of a supernet are computed: its functions, and the order of its weights and statistics. */
interface Formulation {
  supernet: Supernet;
  /** "blocked", or "plain" with the reason. */
  name: string;
  /** Optimization level of the steps' graphs. */
  optimization: Optimization;
  /** Converts a vector from the order of checkpoints to the order of the steps (enter), and back (leave). */
  enter: (role: "weights" | "stats", vector: Float32Array) => Float32Array;
  leave: (role: "weights" | "stats", vector: Float32Array) => Float32Array;
}

/** Chooses the blocked formulation if the engine has a blocked layout and the supernet fits it, else the plain one. */
export function formulate(engine: Engine, supernet: DeclaredSupernet, batchSize: number): Formulation {
  const blocked =
    engine.tileSize === undefined
      ? `${engine.name} has no blocked layout`
      : blockedSupernet(supernet, batchSize, engine.tileSize);
  if (typeof blocked === "string") {
    // Copied, because the steps write into the vectors.
    const same = (_: string, vector: Float32Array) => vector.slice();
    return { supernet, name: `plain: ${blocked}`, optimization: "all", enter: same, leave: same };
  }
  return {
    supernet: blocked,
    name: "blocked",
    // The graph is already in its final form. Optimising it makes a step 5 % faster, but costs more than that if every epoch shrinks.
    optimization: "disabled",
    enter: (role, vector) => toBlockedOrder(vector, blocked.layout[role]),
    leave: (role, vector) => toPlainOrder(vector, blocked.layout[role]),
  };
}
