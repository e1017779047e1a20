import { conv2d } from "../engine/ops/conv2d";
import { averagePool2x2 } from "../engine/ops/averagePool";
import { relu } from "../engine/ops/relu";
import { adaptiveAveragePool, resizeBilinear } from "../engine/ops/resize";
import { tf } from "../engine/tf";
import { scoped } from "../engine/scope";
import type { Genotype } from "../proto/lathe/v1/space";
import type { Aggregation, Head, HeadWidth } from "../space/head";
import { PYRAMID_BINS } from "../space/networkCosts";
import { at } from "../space/live";
import { FIRST_JOINED, stageName } from "../space/parts";
import { axis, declareFilter, declareNorm, type Axis, type Declaration } from "./declaration";
import type { HeadFactors } from "./factors";
import { named, normed, type Norm, type Tensors } from "./layers";

/** The axes that the filters of a head join. A width of its units that is absent is full: C2, the channels of the pyramid, and C1. */
interface HeadShape extends Partial<Pick<Genotype, HeadWidth["field"]>> {
  classes: number;
  /** Outputs of the stem (1/2) and of the stages. */
  stem: Axis;
  outputs: readonly Axis[];
  /** The declared channels of the stages. C1 and C2 are the widths of the aggregation head's own convolutions. */
  stages: readonly { channels: number }[];
}

/** Declares the head of a network. */
export function declareHead(declaration: Declaration, head: Head, shape: HeadShape): void {
  if (head.kind === "search") declareSearchHead(declaration, shape);
  else declareAggregationHead(declaration, head.pyramidChannels, shape);
}

function declareClassifier(declaration: Declaration, prefix: string, input: Axis, count: number): void {
  const classes = axis("classes", count);
  declareFilter(declaration, { part: "head", layer: `${prefix}conv` }, classes, input, [1, 1]);
  const layer = `${prefix}bias`;
  declaration.weights.push({ part: "head", layer, kind: "bias", name: `head/${layer}`, axes: [classes] });
}

/** Declares the search head: filters of the joined stages, of which the last one's comes first and has the bias. */
function declareSearchHead(declaration: Declaration, { outputs, classes }: HeadShape): void {
  const joined = outputs.slice(FIRST_JOINED - 1);
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
function searchHead(weights: Tensors, outputs: readonly tf.Tensor[]): tf.Tensor4D {
  const joined = outputs.slice(FIRST_JOINED - 1);
  const [, , height, width] = at(joined, 0).shape as [number, number, number, number];
  const last = biased(weights, "head/conv", "head/bias", at(joined, joined.length - 1));
  const others = joined
    .slice(0, -1)
    .map((x, i) => conv2d(x, named(weights, `head/${stageName(FIRST_JOINED + i)}/conv`)));
  if (others.length === 0) return last;
  return tf.addN([...others, last].map((x) => resizeBilinear(x, height, width)));
}

function declareAggregationHead(declaration: Declaration, pyramidChannels: number, shape: HeadShape): void {
  const conv = (name: string, input: Axis, count: number, size: number): Axis => {
    const outputs = axis(name, count);
    declareFilter(declaration, { part: "head", layer: `${name}/conv` }, outputs, input, [size, size]);
    declareNorm(declaration, { part: "head", layer: `${name}/norm` }, outputs);
    return outputs;
  };
  const { stem, outputs, stages, pyramidWidth = pyramidChannels } = shape;
  const [c1, c2] = [shape.detailWidth ?? at(stages, 0).channels, shape.joinedWidth ?? at(stages, 1).channels];
  const [low, high] = [at(outputs, 0), at(outputs, outputs.length - 1)];
  const bins = pyramidWidth > 0 ? PYRAMID_BINS : [];
  const pyramid = bins.flatMap((count) => conv(`pyramid${count}`, high, pyramidWidth, 1));
  const context = conv("context", [...high, ...pyramid], c2, 1);
  for (const { name, index } of middles(outputs)) conv(name, at(outputs, index), c2, 1);
  const detail = conv("detail", [...low, ...stem], c1, 3);
  const fusion = conv("fusion", [...context, ...detail], c2, 1);
  declareClassifier(declaration, "classifier/", fusion, shape.classes);
}

/** The units that join the stages between the first and the last, by their places in a list of all stages, the deepest first. */
function middles(stages: readonly unknown[]): { name: string; index: number }[] {
  return stages
    .flatMap((_, index) => (index > 0 && index < stages.length - 1 ? [{ name: `join${index + 1}`, index }] : []))
    .reverse();
}

/** The units of the aggregation head that dropout follows. */
export const DROPPED = ["context", "fusion"] as const;
export const dropoutName = (unit: (typeof DROPPED)[number]) => `head/${unit}/dropout`;

/** The features of a network: outputs of the stem [N,c0,H/2,W/2] and of the stages, the first [N,C1,H/4,W/4], in plain order. */
export interface Features {
  stem: tf.Tensor;
  outputs: readonly tf.Tensor[];
}

/** Logits of the features of a network, at 1/headStride of the images. dropouts and factors: of an aggregation head. */
export function headLogits(
  head: Head,
  weights: Tensors,
  features: Features,
  norm: Norm,
  { dropouts = {}, factors = {} }: { dropouts?: Tensors; factors?: HeadFactors } = {},
): tf.Tensor4D {
  return scoped("head", () =>
    head.kind === "search"
      ? searchHead(weights, features.outputs)
      : aggregationHead(head, weights, features, norm, dropouts, factors),
  );
}

/**
 * Aggregation head (docs/method.md#the-network): context from pyramid pooling on the last stage, to which the stages before are added down to
 * the second; detail from the first stage and the pooled stem, joined at 1/4. Returns logits [N, classes, H, W] at the input's
 * size, which is twice the stem's, or [N, classes, H/4, W/4] if the head is coarse. dropouts: factors [N, C2, 1, 1] after context and fusion.
 */
function aggregationHead(
  { coarse }: Aggregation,
  weights: Tensors,
  features: Features,
  norm: Norm,
  dropouts: Tensors,
  factors: HeadFactors,
): tf.Tensor4D {
  const drop = (name: (typeof DROPPED)[number], x: tf.Tensor) => {
    const dropped = dropouts[dropoutName(name)];
    return dropped ? tf.mul(x, dropped) : x;
  };
  const convolved = (name: string, x: tf.Tensor, mask?: tf.Tensor) =>
    normed(weights, `head/${name}/norm`, conv2d(x, named(weights, `head/${name}/conv`)), norm, mask);
  const unit = (name: string, x: tf.Tensor, mask?: tf.Tensor) => relu(convolved(name, x, mask));
  const { stem, outputs } = features;
  const [low, high] = [at(outputs, 0), at(outputs, outputs.length - 1)];
  const [, , height, width] = high.shape as [number, number, number, number];
  const [, , h4, w4] = low.shape as [number, number, number, number];
  // A head whose pyramid has a width of 0 has no branches.
  const pyramid = PYRAMID_BINS.filter((bins) => weights[`head/pyramid${bins}/conv`]).map((bins) =>
    resizeBilinear(unit(`pyramid${bins}`, adaptiveAveragePool(high, bins, bins), factors.pyramid), height, width),
  );
  const last = pyramid.length > 0 ? tf.concat([high, ...pyramid], 1) : high;
  const context = drop("context", unit("context", last, factors.joined));
  const joined = middles(outputs).reduce((deeper: tf.Tensor, { name, index }) => {
    const x = at(outputs, index);
    const [, , rows, columns] = x.shape as [number, number, number, number];
    return relu(tf.add(convolved(name, x, factors.joined), resizeBilinear(deeper, rows, columns)));
  }, context);
  const detail = unit("detail", tf.concat([low, averagePool2x2(stem)], 1), factors.detail);
  const fusion = unit("fusion", tf.concat([resizeBilinear(joined, h4, w4), detail], 1), factors.joined);
  const logits = biased(weights, "head/classifier/conv", "head/classifier/bias", drop("fusion", fusion));
  if (coarse) return logits;
  const [, , h2, w2] = stem.shape as [number, number, number, number];
  return resizeBilinear(logits, 2 * h2, 2 * w2);
}

function biased(weights: Tensors, conv: string, bias: string, x: tf.Tensor): tf.Tensor4D {
  const filter = named(weights, conv) as tf.Tensor4D;
  return tf.add(conv2d(x, filter), tf.reshape(named(weights, bias), [1, filter.shape[0], 1, 1]));
}
