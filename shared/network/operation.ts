import { conv2d } from "../engine/ops/conv2d";
import { depthwise } from "../engine/ops/depthwise";
import type { tf } from "../engine/tf";
import type { Half } from "../space/kinds/kind";
import { kindOf } from "../space/kinds/kinds";
import type { OperationKind } from "../proto/lathe/v1/space";
import { declareDepthwise, declareFilter, type Axis, type Declaration } from "./declaration";
import { named, type Tensors } from "./layers";

/** The half of an operation that leads to its middle channels (1), or from them to its output (2). */
type Side = 1 | 2;

const halfOf = (operation: { kind?: OperationKind | undefined }, side: Side): Half =>
  side === 1 ? kindOf(operation).first : kindOf(operation).second;

/**
 * Declares the filters of a half of an operation: depthwise<side> [1, inputs, kh, kw] if the half has one, then conv<side> [outputs, inputs, kh,
 * kw]. `name` begins their names. The first axis of both belongs to the operation, by which a shrink finds its tensors.
 */
export function declareHalf(
  declaration: Declaration,
  { part, name }: { part: string; name: string },
  operation: { kind?: OperationKind | undefined },
  side: Side,
  output: Axis,
  input: Axis,
): void {
  const { depthwise: spread, dense } = halfOf(operation, side);
  const filter = (layer: string) => ({ part, layer, name: `${name}/${layer}` });
  const [{ of: owner } = { of: part }] = output;
  if (spread) declareDepthwise(declaration, filter(`depthwise${side}`), owner, input, spread);
  declareFilter(declaration, filter(`conv${side}`), output, input, dense);
}

/** The convolutions of a half of an operation: x [N, inputs, H, W] -> [N, outputs, H, W]. */
export function half(
  weights: Tensors,
  name: string,
  operation: { kind?: OperationKind | undefined; dilation: number },
  side: Side,
  x: tf.Tensor,
): tf.Tensor4D {
  const { depthwise: spread, dense } = halfOf(operation, side);
  const along = ([rows, columns]: readonly [number, number]): [number, number] => [
    rows > 1 ? operation.dilation : 1,
    columns > 1 ? operation.dilation : 1,
  ];
  const moved = spread ? depthwise(x, named(weights, `${name}/depthwise${side}`), along(spread)) : x;
  return conv2d(moved, named(weights, `${name}/conv${side}`), { dilation: along(dense) });
}
