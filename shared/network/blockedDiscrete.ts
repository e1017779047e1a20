import { wholeTiles } from "../engine/nchwc/emit";
import type { Manifest } from "../engine/parameters";
import { scoped } from "../engine/scope";
import { decidedArchitecture } from "../space/decided";
import { spaceOf } from "../space/genotype";
import { kindOf, operationMacs } from "../space/kinds/kinds";
import { at, liveStages, type LiveStage } from "../space/live";
import { strideOf } from "../space/parts";
import { blockedBlock, blockedReduction, blockedStem, plainOrder } from "./blocked";
import { blockedTables, type BlockedTables } from "./blockedLayout";
import { blockedPlans, planFor } from "./blockedPlans";
import type { DiscreteNetwork } from "./discrete";
import { headLogits } from "./heads";

/** A discrete network as its training step computes it. */
export interface TrainedNetwork extends Pick<DiscreteNetwork, "dropouts" | "logits"> {
  weights: Manifest;
  stats: Manifest;
}

/** A discrete network that computes in ONNX Runtime's blocked layout up to its head: the same function, flat vectors in another order. */
type BlockedNetwork = TrainedNetwork & BlockedTables;

/** Most MACs of the blocks with whole tiles, as a share of their own: above it, filling up costs more than the layout gains. */
const MOST_FILLED = 1.5;

/**
 * The blocked formulation of a network's training step at a batch size, with tiles of `tile` channels; or the reason why a precondition does
 * not hold. A decided supernet of the same blocks gives the plans: each mixture has one branch.
 */
export function blockedDiscrete(network: DiscreteNetwork, batch: number, tile: number): BlockedNetwork | string {
  const { genotype } = network;
  if (genotype.stages.some(({ blocks }) => blocks.length === 0)) return "a stage has no block";
  const space = spaceOf(genotype);
  const stages = liveStages(space, decidedArchitecture(space, genotype));
  const plans = blockedPlans({ space, stages }, batch, tile);
  if (typeof plans === "string") return plans;
  const filled = filledShare(stages, tile);
  if (filled > MOST_FILLED)
    return `whole tiles of ${tile} channels take ${filled.toFixed(2)} times the MACs of its blocks, more than ${MOST_FILLED}`;
  const plain = plainOrder(genotype, batch);
  return {
    ...network,
    ...blockedTables(network, plans),
    logits: (weights, images, norm, dropouts = {}) => {
      let x = scoped("stem", () => blockedStem(weights, planFor(plans.reductions, "stem"), images, norm));
      const stem = plain(x, genotype.stemChannels, 2);
      const outputs = stages.map((stage, s) => {
        const name = `${stage.name}/reduction`;
        x = scoped(name, () => blockedReduction(weights, name, planFor(plans.reductions, name), x, norm));
        for (const block of stage.blocks) {
          const from = x;
          x = scoped(block.name, () => blockedBlock(weights, planFor(plans.mixtures, block.name), {}, from, norm));
        }
        return plain(x, at(stage.blocks, stage.blocks.length - 1).outputs, strideOf(s + 1));
      });
      return headLogits(network.head, weights, { stem, outputs }, norm, { dropouts });
    },
  };
}

/** MACs of the blocks with widths that are whole tiles, as a share of their own. A position of a stage is four of the next one. */
function filledShare(stages: readonly LiveStage[], tile: number): number {
  const whole = (channels: number) => wholeTiles(channels, tile);
  let [own, filled] = [0, 0];
  stages.forEach(({ blocks }, stage) => {
    for (const { inputs, operations } of blocks)
      for (const { operation, middleChannels, outputWidth } of operations) {
        const positions = 1 / 4 ** stage / operation.scale ** 2;
        const kind = kindOf(operation);
        own += positions * operationMacs(kind, inputs, middleChannels, outputWidth);
        filled += positions * operationMacs(kind, whole(inputs), whole(middleChannels), whole(outputWidth));
      }
  });
  return filled / own;
}
