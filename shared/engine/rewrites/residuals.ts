import type { GraphNode, Value } from "../graph";
import { convolutionOf } from "./convolution";
import { channelsOf, type Draft } from "./draft";

/** The sum that ends a residual block: relu(y + x) on the channels that x and y have in common, relu(y) on further channels of y. */
export interface Join {
  readonly relu: GraphNode;
  readonly x: Value;
  readonly y: Value;
  readonly output: Value;
}

/** The residual block that ends in a node. */
export function joinOf(relu: GraphNode, draft: Draft): Join | undefined {
  const [sum] = relu.inputs;
  const [output] = relu.outputs;
  if (relu.op !== "Relu" || !sum || !output) return undefined;
  const found = widening(sum, draft) ?? narrowing(sum, draft);
  if (!found) return undefined;
  const resize = draft.producer(found.y, "Resize");
  const convolved = resize ? resize.inputs[0] : found.y;
  // A y that was sliced has two readers: the slice of the common channels and that of the further ones.
  const alone = draft.readers(found.y) === (channelsOf(found.y) > channelsOf(found.x) ? 2 : 1);
  const own = convolutionOf(draft.producer(convolved, "Conv"), draft);
  return alone && own && convolved && (!resize || draft.readers(convolved) === 1)
    ? { relu, output, ...found }
    : undefined;
}

type Operands = Pick<Join, "x" | "y">;

/** concat(y[:in] + x, y[in:]) */
function widening(value: Value, draft: Draft): Operands | undefined {
  const concat = draft.private(value, "Concat");
  const [common, further] = concat?.inputs ?? [];
  const add = draft.private(common, "Add");
  const first = prefix(add?.inputs[0], draft);
  const rest = draft.private(further, "Slice");
  const x = add?.inputs[1];
  if (!x || !first || !rest || rest.inputs[0]?.name !== first.name || concat?.inputs.length !== 2) return undefined;
  const [start] = draft.integers(rest.inputs[1]) ?? [];
  return start === channelsOf(x) && channelsOf(value) === channelsOf(first) ? { x, y: first } : undefined;
}

/** y + x, or y + x[:out] */
function narrowing(value: Value, draft: Draft): Operands | undefined {
  const add = draft.private(value, "Add");
  const [y, residual] = add?.inputs ?? [];
  if (!y || !residual || y.shape.join() !== residual.shape.join()) return undefined;
  return { y, x: prefix(residual, draft) ?? residual };
}

/** Returns the value of which a slice takes the first channels. */
function prefix(value: Value | undefined, draft: Draft): Value | undefined {
  const slice = draft.private(value, "Slice");
  const [from, starts, ends, axes] = slice?.inputs ?? [];
  const bounds = [starts, ends, axes].map((each) => String(draft.integers(each)));
  return value && from && bounds.join(" ") === `0 ${channelsOf(value)} 1` ? from : undefined;
}
