import { wholeTiles } from "../engine/nchwc/emit";
import { mixtureObstacle, type MixturePlan } from "../engine/nchwc/mixture/plan";
import { reductionObstacle, type ReductionPlan } from "../engine/nchwc/reduction/plan";
import { kindOf } from "../space/kinds/kinds";
import type { LiveBlock } from "../space/live";
import { stemReduction, type ReductionChannels } from "../space/parts";
import { EPSILON } from "./layers";
import type { Supernet } from "./supernet";

/** A search block, and its sizes in blocked layout. */
export interface PlannedBlock {
  block: LiveBlock;
  plan: MixturePlan;
}

/** Sizes of a supernet's parts in blocked layout, by name: search blocks, and reductions including the stem. */
export interface BlockedPlans {
  mixtures: ReadonlyMap<string, PlannedBlock>;
  reductions: ReadonlyMap<string, ReductionPlan>;
}

/** Plans all parts; or returns the reason why the supernet has no blocked formulation. */
export function blockedPlans(
  { space, stages }: Pick<Supernet, "space" | "stages">,
  batch: number,
  tile: number,
): BlockedPlans | string {
  const mixtures = new Map<string, PlannedBlock>();
  const reductions = new Map<string, ReductionPlan>();
  let size = { batch, height: space.inputHeight, width: space.inputWidth };
  const reduce = (name: string, { input: inputs, convolution }: ReductionChannels) => {
    const plan = { tile, ...size, inputs, convolution, epsilon: EPSILON };
    reductions.set(name, plan);
    size = { ...size, height: size.height / 2, width: size.width / 2 };
    const why = reductionObstacle(plan);
    return why && `${name}: ${why}`;
  };
  const why = reduce("stem", stemReduction(space));
  if (why) return why;
  for (const stage of stages) {
    const why = reduce(`${stage.name}/reduction`, stage.reduction);
    if (why) return why;
    for (const block of stage.blocks) {
      const plan = mixturePlan(block, size, tile);
      const why = mixtureObstacle(plan);
      if (why !== undefined) return `${block.name}: ${why}`;
      mixtures.set(block.name, { block, plan });
    }
  }
  return { mixtures, reductions };
}

function mixturePlan(
  { operations, inputs, outputs }: LiveBlock,
  size: { batch: number; height: number; width: number },
  tile: number,
): MixturePlan {
  const whole = (channels: number) => wholeTiles(channels, tile);
  return {
    tile,
    ...size,
    inputs: whole(inputs),
    outputs: whole(outputs),
    branches: operations.map(({ operation, middleChannels, outputWidth }) => {
      const { first, second } = kindOf(operation);
      return {
        scale: operation.scale as 1 | 2,
        dilation: operation.dilation,
        kernels: { 1: first.dense, 2: second.dense },
        depthwise: { ...(first.depthwise && { 1: first.depthwise }), ...(second.depthwise && { 2: second.depthwise }) },
        middle: whole(middleChannels),
        output: whole(outputWidth),
      };
    }),
    epsilon: EPSILON,
  };
}

export function planFor<Plan>(plans: ReadonlyMap<string, Plan>, part: string): Plan {
  const plan = plans.get(part);
  if (!plan) throw new Error(`no plan for ${part}`);
  return plan;
}
