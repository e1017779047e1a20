import type { Random } from "../engine/random";
import { elementCount } from "../engine/signature";
import type { Kind } from "../space/kinds/kind";
import { kindOf } from "../space/kinds/kinds";
import { at } from "../space/live";
import { blockName } from "../space/parts";
import type { Axis, DeclaredTensor, TensorTable } from "./declaration";
import type { DiscreteNetwork } from "./discrete";
import { initialWeights } from "./initialise";

/**
 * The weights of another network of the same space, made from those of a trained one. What both have is taken over: channels by their
 * number, and blocks whatever the dilation and scale of their operation, because the filters of all operations of a kind have the same
 * shape. What is new computes nothing at first: a new channel has random filters, and whatever reads it has zeros; a new block adds nothing
 * to its input. So a wider or deeper network begins with the function of the given one wherever no residual covers the new channels. The
 * statistics of the batch norms are left to the caller: those of the trained network fit none of other widths or operations.
 */
export function transfer(
  from: DiscreteNetwork,
  weights: Float32Array,
  to: DiscreteNetwork,
  random: Random,
): Float32Array {
  const initial = initialWeights(to.weights, random);
  const kinds = kindsOf(from);
  // The filters of another kind have other shapes or other roles, so a block of another kind is new.
  const kept = new Set([...kindsOf(to)].filter(([part, kind]) => kinds.get(part) === kind).map(([part]) => part));
  const known = {
    ...from.weights,
    entries: from.weights.entries.filter(({ part }) => !kinds.has(part) || kept.has(part)),
  };
  silence(to.weights, initial, known);
  return merged(known, weights, to.weights, initial);
}

/** The kind of each block's operation, by its part. */
function kindsOf({ genotype: { stages } }: DiscreteNetwork): Map<string, Kind> {
  return new Map(
    stages.flatMap(({ blocks }, s) => blocks.map((block, b) => [blockName(s + 1, b + 1), kindOf(block)] as const)),
  );
}

/** A depthwise filter has the same channels at every dilation and scale: its layer "separable-d1s2/depthwise1" is "depthwise1". */
const nameOf = ({ part, layer, kind }: DeclaredTensor): string =>
  `${part} ${layer.replace(/^[^/]+\/depthwise/, "depthwise")} ${kind}`;

/** The last norm of a new block gets gamma 0, so that its residual alone is left. */
function silence(table: TensorTable, values: Float32Array, known: TensorTable): void {
  const names = new Set(known.entries.map(nameOf));
  for (const tensor of table.entries) {
    if (tensor.layer !== "norm2" || tensor.kind !== "gamma" || names.has(nameOf(tensor))) continue;
    values.fill(0, tensor.offset, tensor.offset + elementCount(tensor.shape));
  }
}

/** `values`, the initial ones of `to`, with those elements replaced that `from` has. */
function merged(from: TensorTable, source: Float32Array, to: TensorTable, values: Float32Array): Float32Array {
  const sources = new Map(from.entries.map((tensor) => [nameOf(tensor), tensor]));
  for (const tensor of to.entries) {
    const found = sources.get(nameOf(tensor));
    if (found) copy(found, source, tensor, values);
  }
  return values;
}

type Tensor = TensorTable["entries"][number];

function copy(source: Tensor, values: Float32Array, target: Tensor, into: Float32Array): void {
  const places = target.axes.map((axis, index) => positions(at(source.axes, index), axis));
  const strides = source.shape.map((_, index) => elementCount(source.shape.slice(index + 1)));
  const visit = (depth: number, from: number, to: number, isNewInput: boolean): void => {
    if (depth === places.length) {
      into[target.offset + to] = isNewInput ? 0 : (values[source.offset + from] ?? 0);
      return;
    }
    const size = elementCount(target.shape.slice(depth + 1));
    at(places, depth).forEach((place, index) => {
      // A new output channel keeps its initial values, except where it reads a new input.
      if (place === undefined && depth === 0) return;
      const next = from + (place ?? 0) * at(strides, depth);
      visit(depth + 1, next, to + index * size, isNewInput || place === undefined);
    });
  };
  visit(0, 0, 0, false);
}

/** Place of each element of an axis along that of the source; undefined where the source lacks it. */
function positions(source: Axis, target: Axis): (number | undefined)[] {
  const places = new Map<string, number>();
  let position = 0;
  for (const { of, elements } of source) for (const element of elements) places.set(key(of, element), position++);
  return target.flatMap(({ of, elements }) => elements.map((element) => places.get(key(of, element))));
}

/** The widths of a block have the same channels in all operations: "stage1/block2/d4s2/middle" is "stage1/block2/middle". */
const key = (of: string, element: number): string =>
  `${of.replace(/^(stage\d+\/block\d+)\/[^/]+\//, "$1/")} ${element}`;
