import { tf } from "../tf";
import type { ElementType, Value } from "../graph";
import { cast, concat, expand, oneHot, pad, reshape, slice, sizeOf, transpose, binary } from "../emit";
import { upTo } from "../signature";
import { fromFront, required, type RuleTable } from "./rule";

const axisOf = (value: Value, axis: number): number => value.shape[axis] as number;

export const shapeRules: RuleTable = {
  Reshape: (r, inputs, { shape }: { shape: number[] }) => {
    const x = required(inputs, "x");
    return reshape(r, x, tf.util.inferFromImplicitShape(shape, sizeOf(x)));
  },
  ExpandDims: (r, inputs, { dim }: { dim: number }) => {
    const x = required(inputs, "input");
    return reshape(r, x, x.shape.toSpliced(fromFront(dim, x.shape.length + 1), 0, 1));
  },
  Transpose: (r, inputs, { perm }: { perm: number[] }) => transpose(r, required(inputs, "x"), perm),
  Tile: (r, inputs, { reps }: { reps: number[] }) => {
    const x = required(inputs, "x");
    const shape = x.shape.map((size, i) => size * (reps[i] as number));
    return r.node("Tile", [x, r.integers(reps)], shape, x.dtype);
  },
  BroadcastTo: (r, inputs, { shape }: { shape: number[] }) => expand(r, required(inputs, "x"), shape),
  Concat: (r, inputs, { axis }: { axis: number }) => {
    const values = Object.values(inputs);
    return concat(r, values, fromFront(axis, (values[0] as Value).shape.length));
  },
  Pack: (r, inputs, { axis }: { axis: number }) => {
    const values = Object.values(inputs);
    const front = fromFront(axis, (values[0] as Value).shape.length + 1);
    const parts = values.map((value) => reshape(r, value, value.shape.toSpliced(front, 0, 1)));
    return concat(r, parts, front);
  },
  Unpack: (r, inputs, attrs: { axis: number }) => {
    const x = required(inputs, "value");
    const axis = fromFront(attrs.axis, x.shape.length);
    const shape = x.shape.toSpliced(axis, 1);
    return upTo(axisOf(x, axis)).map((i) => reshape(r, slice(r, x, [axis], [i], [1]), shape));
  },
  SplitV: (r, inputs, attrs: { numOrSizeSplits: number[] | number; axis: number }) => {
    const x = required(inputs, "x");
    const axis = fromFront(attrs.axis, x.shape.length);
    const splits = attrs.numOrSizeSplits;
    const sizes =
      typeof splits === "number"
        ? Array<number>(splits).fill(axisOf(x, axis) / splits)
        : resolveSizes(splits, axisOf(x, axis));
    if (sizes.length === 1) return [x];
    const shapes = sizes.map((size) => x.shape.with(axis, size));
    return r.split("Split", [x, r.integers(sizes)], shapes, x.dtype, { axis });
  },
  Slice: (r, inputs, attrs: { begin: number | number[]; size: number | number[] }) => {
    const x = required(inputs, "x");
    const info = { dataId: {}, shape: [...x.shape], dtype: "float32" as const };
    const [begin, size] = tf.slice_util.parseSliceParams(info, attrs.begin, attrs.size);
    return slice(r, x, [...x.shape.keys()], begin as number[], size as number[]);
  },
  PadV2: (r, inputs, attrs: { paddings: [number, number][]; constantValue: number }) => {
    const [before, after] = [attrs.paddings.map(([n]) => n), attrs.paddings.map(([, n]) => n)];
    return pad(r, required(inputs, "x"), before, after, attrs.constantValue);
  },
  GatherV2: (r, inputs, attrs: { axis: number; batchDims: number }) => {
    const [x, indices] = [required(inputs, "x"), required(inputs, "indices")];
    if (attrs.batchDims !== 0) throw new Error(`GatherV2 with batchDims ${attrs.batchDims}: the tracer has 0 only`);
    const axis = fromFront(attrs.axis, x.shape.length);
    return r.node("Gather", [x, indices], x.shape.toSpliced(axis, 1, ...indices.shape), x.dtype, { axis });
  },
  Fill: (r, _inputs, attrs: { shape: number[]; value: number; dtype?: ElementType }) =>
    expand(r, r.scalar(attrs.value, attrs.dtype ?? "float32"), attrs.shape),
  OneHot: (r, inputs, attrs: { depth: number; onValue: number; offValue: number; dtype?: ElementType }) => {
    const hot = oneHot(r, required(inputs, "indices"), attrs.depth);
    const scaled =
      attrs.onValue === 1 && attrs.offValue === 0
        ? hot
        : binary(r, "Add", binary(r, "Mul", hot, r.scalar(attrs.onValue - attrs.offValue)), r.scalar(attrs.offValue));
    return cast(r, scaled, attrs.dtype ?? "float32");
  },
};

/** TF.js allows one size of -1, which is computed from the others. */
function resolveSizes(sizes: readonly number[], total: number): number[] {
  const given = sizes.reduce((sum, size) => sum + Math.max(size, 0), 0);
  return sizes.map((size) => (size === -1 ? total - given : size));
}
