import { conv2d } from "../engine/ops/conv2d";
import { averagePool2x2 } from "../engine/ops/averagePool";
import { relu } from "../engine/ops/relu";
import { adaptiveAveragePool, resizeBilinear } from "../engine/ops/resize";
import { tf } from "../engine/tf";
import { scoped } from "../engine/scope";
import { PYRAMID_BINS } from "../space/networkCosts";
import { at } from "../space/live";
import { FIRST_JOINED, stageName } from "../space/parts";
import { axis, declareFilter, declareNorm, type Axis, type Declaration } from "./declaration";
import { named, normed, type Norm, type Tensors } from "./layers";

/** "search": 1x1 convolutions, logits at 1/8 of the input. "aggregation": the head of retraining, logits at the input's size. */
export type Head = { kind: "search" } | { kind: "aggregation"; pyramidChannels: number; dropout: number };

/** Inputs and widths of the aggregation head. */
interface AggregationShape {
  classes: number;
  pyramidChannels: number;
  /** Outputs of the stem (1/2), the first stage (1/4) and the last stage. */
  stem: Axis;
  low: Axis;
  high: Axis;
  /** C1 and C2, of the first and the second stage: widths of the head's own convolutions. */
  lowChannels: number;
  highChannels: number;
}

function declareClassifier(declaration: Declaration, prefix: string, input: Axis, count: number): void {
  const classes = axis("classes", count);
  declareFilter(declaration, { part: "head", layer: `${prefix}conv` }, classes, input, [1, 1]);
  const layer = `${prefix}bias`;
  declaration.weights.push({ part: "head", layer, kind: "bias", name: `head/${layer}`, axes: [classes] });
}

/** Declares the search head: filters of the joined stages, of which the last one's comes first and has the bias. stages: their output axes. */
export function declareSearchHead(declaration: Declaration, stages: readonly Axis[], classes: number): void {
  const joined = stages.slice(FIRST_JOINED - 1);
  declareClassifier(declaration, "", at(joined, joined.length - 1), classes);
  joined.slice(0, -1).forEach((stage, i) => {
    const layer = `${stageName(FIRST_JOINED + i)}/conv`;
    declareFilter(declaration, { part: "head", layer }, axis("classes", classes), stage, [1, 1]);
  });
}

/**
 * Search head (docs/method.md#the-network): the sum of 1x1 convolutions of the outputs of all stages from the second on, each enlarged to the
 * second's size. outputs: [N,C,h,w] of each stage -> logits [N,classes,H/8,W/8].
 */
export function searchHead(weights: Tensors, outputs: readonly tf.Tensor[]): tf.Tensor4D {
  const joined = outputs.slice(FIRST_JOINED - 1);
  const [, , height, width] = at(joined, 0).shape as [number, number, number, number];
  const last = biased(weights, "head/conv", "head/bias", at(joined, joined.length - 1));
  const others = joined
    .slice(0, -1)
    .map((x, i) => conv2d(x, named(weights, `head/${stageName(FIRST_JOINED + i)}/conv`)));
  if (others.length === 0) return last;
  return tf.addN([...others, last].map((x) => resized(x, height, width)));
}

/** Bilinear, but for a tensor that has the size. */
function resized(x: tf.Tensor4D, height: number, width: number): tf.Tensor4D {
  const [, , h, w] = x.shape;
  return h === height && w === width ? x : resizeBilinear(x, height, width);
}

export function declareAggregationHead(declaration: Declaration, shape: AggregationShape): void {
  const conv = (name: string, input: Axis, count: number, size: number): Axis => {
    const outputs = axis(name, count);
    declareFilter(declaration, { part: "head", layer: `${name}/conv` }, outputs, input, [size, size]);
    declareNorm(declaration, { part: "head", layer: `${name}/norm` }, outputs);
    return outputs;
  };
  const { stem, low, high, lowChannels, highChannels } = shape;
  const pyramid = PYRAMID_BINS.flatMap((bins) => conv(`pyramid${bins}`, high, shape.pyramidChannels, 1));
  const context = conv("context", [...high, ...pyramid], highChannels, 1);
  const detail = conv("detail", [...low, ...stem], lowChannels, 3);
  const fusion = conv("fusion", [...context, ...detail], highChannels, 1);
  declareClassifier(declaration, "classifier/", fusion, shape.classes);
}

/** The units of the aggregation head that dropout follows. */
export const DROPPED = ["context", "fusion"] as const;
export const dropoutName = (unit: (typeof DROPPED)[number]) => `head/${unit}/dropout`;

/** The features that the aggregation head joins: outputs of the stem [N,c0,H/2,W/2], the first stage [N,C1,H/4,W/4] and the last stage. */
type Features = Record<"stem" | "low" | "high", tf.Tensor>;

/** Logits of the features of a network: outputs of the stem and of the stages, in plain order. size: height and width of the images. */
export function headLogits(
  head: Head,
  weights: Tensors,
  { stem, outputs }: { stem: tf.Tensor; outputs: readonly tf.Tensor[] },
  size: readonly [number, number],
  norm: Norm,
  dropouts: Tensors,
): tf.Tensor4D {
  const [low, high] = [outputs[0], outputs.at(-1)];
  if (!low || !high || low === high) throw new Error(`the head joins 2 stages, got ${outputs.length}`);
  return scoped("head", () =>
    head.kind === "search"
      ? searchHead(weights, outputs)
      : aggregationHead(weights, { stem, low, high }, size, norm, dropouts),
  );
}

/**
 * Aggregation head (docs/method.md#the-network): context from pyramid pooling on the last stage, detail from the first stage and the pooled
 * stem, joined at 1/4. Returns logits [N, classes, H, W] at the input's size. dropouts: factors [N, C2, 1, 1] after context and fusion.
 */
function aggregationHead(
  weights: Tensors,
  features: Features,
  size: readonly [number, number],
  norm: Norm,
  dropouts: Tensors = {},
): tf.Tensor4D {
  const drop = (name: (typeof DROPPED)[number], x: tf.Tensor) => {
    const factors = dropouts[dropoutName(name)];
    return factors ? tf.mul(x, factors) : x;
  };
  const unit = (name: string, x: tf.Tensor) =>
    relu(normed(weights, `head/${name}/norm`, conv2d(x, named(weights, `head/${name}/conv`)), norm));
  const { stem, low, high } = features;
  const [, , height, width] = high.shape as [number, number, number, number];
  const [, , h4, w4] = low.shape as [number, number, number, number];
  const pyramid = PYRAMID_BINS.map((bins) =>
    resizeBilinear(unit(`pyramid${bins}`, adaptiveAveragePool(high, bins, bins)), height, width),
  );
  const context = drop("context", unit("context", tf.concat([high, ...pyramid], 1)));
  const detail = unit("detail", tf.concat([low, averagePool2x2(stem)], 1));
  const fusion = unit("fusion", tf.concat([resizeBilinear(context, h4, w4), detail], 1));
  const logits = biased(weights, "head/classifier/conv", "head/classifier/bias", drop("fusion", fusion));
  return resizeBilinear(logits, size[0], size[1]);
}

function biased(weights: Tensors, conv: string, bias: string, x: tf.Tensor): tf.Tensor4D {
  const filter = named(weights, conv) as tf.Tensor4D;
  return tf.add(conv2d(x, filter), tf.reshape(named(weights, bias), [1, filter.shape[0], 1, 1]));
}
