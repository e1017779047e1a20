import type { Engine, Optimization } from "../../../shared/engine/engine";
import { blockedSupernet } from "../../../shared/network/blocked";
import { toBlockedOrder, toPlainOrder } from "../../../shared/network/blockedLayout";
import type { DeclaredSupernet, Supernet } from "../../../shared/network/supernet";

/** How the training steps of a supernet are written, and the order in which they hold its weights and statistics. */
interface Formulation {
  supernet: Supernet;
  /** "blocked", or "plain" with the reason. */
  name: string;
  /** Optimization level of the steps' graphs. */
  optimization: Optimization;
  /** A vector from the order of checkpoints to that of the steps, and back. */
  enter: (role: "weights" | "stats", vector: Float32Array) => Float32Array;
  leave: (role: "weights" | "stats", vector: Float32Array) => Float32Array;
}

/** The blocked formulation where the engine has a blocked layout and the supernet fits it, else the plain one. */
export function formulate(engine: Engine, supernet: DeclaredSupernet, batchSize: number): Formulation {
  const blocked =
    engine.tileSize === undefined
      ? `${engine.name} has no blocked layout`
      : blockedSupernet(supernet, batchSize, engine.tileSize);
  if (typeof blocked === "string") {
    // Copies, as those of the other order are: the steps write into them.
    const same = (_: string, vector: Float32Array) => vector.slice();
    return { supernet, name: `plain: ${blocked}`, optimization: "all", enter: same, leave: same };
  }
  return {
    supernet: blocked,
    name: "blocked",
    // Written as it is to run: optimising it gains a twentieth of a step, and costs more than that where a shrink comes every epoch.
    optimization: "disabled",
    enter: (role, vector) => toBlockedOrder(vector, blocked.layout[role]),
    leave: (role, vector) => toPlainOrder(vector, blocked.layout[role]),
  };
}
