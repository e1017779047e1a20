import { matMul, reshape } from "../../emit";
import type { Value } from "../../graph";
import { transposed, type Resampling } from "../../ops/resample";
import { interpolation } from "../../ops/resize";
import type { Recorder } from "../../recorder";
import { affine, channelsOf, maxPool, split, sum, toBlocked, toPlain, withChannels } from "../emit";
import { moments, normCoefficients, splitFactors } from "../norm";
import { convolve } from "./convolve";
import { dropping } from "./dropout";
import { splitFilters } from "./filters";
import { channelFilters, convolveChannels } from "./depthwise";
import { convolutions, imageShape, rowsShape, type Branch, type MixturePlan } from "./plan";

/** Values of the forward pass that the gradient reads: per branch, and the moments of both norms over all branches. */
export interface Activations {
  /** x at half resolution, if a branch works at half resolution. */
  pooled?: Value;
  /** Outputs of the first convolution, of the ReLU after its norm, and of the second convolution. */
  hidden: Value[];
  active: Value[];
  last: Value[];
  /** Outputs of the depthwise convolutions, by layer and branch, where there are any. */
  spread: Record<1 | 2, (Value | undefined)[]>;
  mean1: Value;
  variance1: Value;
  mean2: Value;
  variance2: Value;
}

export interface MixtureInputs {
  /** [1, inputs, H, N*W] blocked. */
  x: Value;
  /** [squares, tile, tile] in the order of `squares`. */
  filters: Value;
  /** Filters of the depthwise convolutions in the order of `depthwises`. Absent: there are none. */
  depthwise?: Value | undefined;
  /** Masked gamma and beta of the norms of all branches, concatenated. */
  gamma1: Value;
  beta1: Value;
  gamma2: Value;
  beta2: Value;
  /** Factors of the skip, [outputs]; 0 beyond the input's channels. */
  presence: Value;
  /** Factors of channel dropout in the order of `dropping`. Absent: no channel is dropped. */
  dropout?: Value | undefined;
}

/**
 * y = ReLU(presence * x + sum of branches), each dropout * BN(conv(ReLU(BN(conv(x))))) (docs/method.md#identities). A depthwise convolution
 * precedes a conv where the branch has one.
 */
export function emitForward(r: Recorder, plan: MixturePlan, inputs: MixtureInputs): { y: Value } & Activations {
  const { branches } = plan;
  const middles = branches.map(({ middle }) => middle);
  const outputs = branches.map(({ output }) => output);
  const filters = splitFilters(r, inputs.filters, convolutions(plan));
  const channelwise = channelFilters(r, plan, inputs.depthwise);
  const spread: Activations["spread"] = { 1: [], 2: [] };
  /** A convolution of a branch reads x, or the output of the depthwise convolution before it. */
  const read = (at: number, layer: 1 | 2, x: Value): Value => {
    const filter = channelwise[layer][at];
    if (!filter) return x;
    const y = convolveChannels(r, plan, branches[at] as Branch, x, filter);
    spread[layer][at] = y;
    return y;
  };
  const halves = branches.some(({ scale }) => scale === 2);
  const pooled = halves ? maxPool(r, inputs.x) : undefined;
  const hidden = branches.map((branch, at) => {
    const x = branch.scale === 2 && pooled ? pooled : inputs.x;
    return convolve(r, plan, branch, 1, read(at, 1, x), filters[1][at] as Value, branch.middle);
  });
  const moments1 = moments(r, hidden);
  const norm1 = normCoefficients(r, moments1, inputs.gamma1, inputs.beta1, plan.epsilon);
  const [scales1, shifts1] = [splitFactors(r, norm1.scale, middles), split(r, norm1.shift, middles)];
  const active = hidden.map((h, at) => affine(r, h, scales1[at] as Value, { shift: shifts1[at] as Value, relu: true }));
  // In the view of rows, in which most last convolutions leave it.
  const last = branches.map((branch, at) => {
    const y = convolve(r, plan, branch, 2, read(at, 2, active[at] as Value), filters[2][at] as Value, branch.output);
    return reshape(r, y, rowsShape(plan, branch.scale, branch.output));
  });
  const moments2 = moments(r, last);
  const norm2 = normCoefficients(r, moments2, inputs.gamma2, inputs.beta2, plan.epsilon);
  const [scales2, shifts2] = [splitFactors(r, norm2.scale, outputs), split(r, norm2.shift, outputs)];
  const drop = inputs.dropout && dropping(r, plan, inputs.dropout);
  const added = (scale: 1 | 2, start: Value | undefined): Value | undefined => {
    // Ascending, so that the sum is widened as rarely as possible.
    const order = branches.map((_, at) => at).filter((at) => branches[at]?.scale === scale);
    order.sort((a, b) => (outputs[a] as number) - (outputs[b] as number));
    return order.reduce<Value | undefined>((total, at) => {
      const y = last[at] as Value;
      const shift = shifts2[at] as Value;
      if (drop || (total && channelsOf(total) > channelsOf(y))) {
        const normed = affine(r, y, scales2[at] as Value, { shift });
        const own = drop ? drop(normed, at) : normed;
        return total ? sum(r, total, own) : own;
      }
      const before = total && { sum: withChannels(r, total, channelsOf(y)) };
      return affine(r, y, scales2[at] as Value, { shift, ...before });
    }, start);
  };
  const half = added(2, undefined);
  const total = added(1, half && r.within("Resize", () => emitResize(r, half, plan, "up")));
  // In the rows view, in which the last convolutions have left it.
  const x = reshape(r, inputs.x, rowsShape(plan, 1, plan.inputs));
  const y = affine(r, withChannels(r, x, plan.outputs), inputs.presence, {
    ...(total && { sum: withChannels(r, total, plan.outputs) }),
    relu: true,
  });
  return {
    y: reshape(r, y, imageShape(plan, 1, plan.outputs)),
    ...(pooled && { pooled }),
    hidden,
    active,
    last,
    spread,
    mean1: moments1.mean,
    variance1: moments1.variance,
    mean2: moments2.mean,
    variance2: moments2.variance,
  };
}

/** The input of a layer of a branch: x at the branch's scale, or the output of its ReLU. */
export function layerInput(
  { branches }: MixturePlan,
  x: Value,
  { active, pooled }: Activations,
  { branch, layer }: { branch: number; layer: 1 | 2 },
): Value {
  if (layer === 2) return active[branch] as Value;
  return branches[branch]?.scale === 2 && pooled ? pooled : x;
}

/** Bilinear resize with aligned corners from half to full resolution, or the transposed map from full to half. */
export function emitResize(r: Recorder, x: Value, plan: MixturePlan, direction: "up" | "down"): Value {
  const { batch, height, width } = plan;
  const channels = channelsOf(x);
  const [h, w] = [height / 2, width / 2];
  const [tall, wide] = [interpolation(h, height), interpolation(w, width)];
  const matrix = ({ to, from, weights }: Resampling) => r.constant(weights, [to, from], "float32");
  const plain = toPlain(r, x);
  if (direction === "up") {
    const rows = matMul(r, reshape(r, plain, [channels * h * batch, w]), matrix(transposed(wide)));
    const image = matMul(r, matrix(tall), reshape(r, rows, [channels, h, batch * width]));
    return toBlocked(r, reshape(r, image, rowsShape(plan, 1, channels)));
  }
  const image = matMul(r, matrix(transposed(tall)), reshape(r, plain, [channels, height, batch * width]));
  const rows = matMul(r, reshape(r, image, [channels * h * batch, width]), matrix(wide));
  return toBlocked(r, reshape(r, rows, rowsShape(plan, 2, channels)));
}
