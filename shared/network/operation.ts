import { conv2d } from "../engine/ops/conv2d";
import { depthwise } from "../engine/ops/depthwise";
import type { tf } from "../engine/tf";
import type { Half } from "../space/kinds/kind";
import { kindOf } from "../space/kinds/kinds";
import { operationName } from "../space/parts";
import { axis, declareFilter, type Axis, type Declaration } from "./declaration";
import { named, type Tensors } from "./layers";

/** The half of an operation that leads to its middle channels (1), or from them to its output (2). */
type Side = 1 | 2;

type OperationFields = Parameters<typeof operationName>[0];

const halfOf = (operation: OperationFields, side: Side): Half =>
  side === 1 ? kindOf(operation).first : kindOf(operation).second;

/**
 * Declares the filters of a half of an operation: depthwise<side> [inputs, 1, kh, kw] if the half has one, then conv<side> [outputs, inputs, kh,
 * kw]. `name` begins their names. The operations of a block read the same channels, so the layer of a depthwise filter names its operation.
 */
export function declareHalf(
  declaration: Declaration,
  { part, name }: { part: string; name: string },
  operation: OperationFields,
  side: Side,
  output: Axis,
  input: Axis,
): void {
  const { depthwise: spread, dense } = halfOf(operation, side);
  const layer = `${operationName(operation)}/depthwise${side}`;
  const one = axis("one", 1);
  if (spread) declareFilter(declaration, { part, layer, name: `${name}/depthwise${side}` }, input, one, spread);
  declareFilter(declaration, { part, layer: `conv${side}`, name: `${name}/conv${side}` }, output, input, dense);
}

/** The convolutions of a half of an operation: x [N, inputs, H, W] -> [N, outputs, H, W]. */
export function half(
  weights: Tensors,
  name: string,
  operation: OperationFields,
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
