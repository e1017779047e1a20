import { elementTypes } from "./encode";
import { tf } from "./tf";
import type { ElementType, Value } from "./graph";
import type { Recorder } from "./recorder";
import { elementCount, upTo } from "./signature";

// ONNX operators with the shapes of their results. All kernel rules are written with these functions.

/** Number of elements of a value. */
export const sizeOf = ({ shape }: Value): number => elementCount(shape);

export function unary(r: Recorder, op: string, x: Value): Value {
  return r.node(op, [x], x.shape, x.dtype);
}

/** An elementwise operator of two values under NumPy broadcasting. */
export function binary(r: Recorder, op: string, a: Value, b: Value, dtype: ElementType = a.dtype): Value {
  return r.node(op, [a, b], broadcast(a.shape, b.shape), dtype);
}

export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  return tf.broadcast_util.assertAndGetBroadcastShape([...a], [...b]);
}

export function reshape(r: Recorder, x: Value, shape: readonly number[]): Value {
  return r.reshape(x, shape);
}

export function transpose(r: Recorder, x: Value, perm: readonly number[]): Value {
  if (perm.every((axis, i) => axis === i)) return x;
  const shape = perm.map((axis) => x.shape[axis] as number);
  return r.node("Transpose", [x], shape, x.dtype, { perm });
}

export function cast(r: Recorder, x: Value, dtype: ElementType): Value {
  return x.dtype === dtype ? x : r.node("Cast", [x], x.shape, dtype, { to: elementTypes[dtype] });
}

export function expand(r: Recorder, x: Value, shape: readonly number[]): Value {
  if (x.shape.join() === shape.join()) return x;
  return r.node("Expand", [x, r.integers(shape)], shape, x.dtype);
}

export function concat(r: Recorder, values: readonly Value[], axis: number): Value {
  const [first] = values;
  if (first === undefined) throw new Error("concat of nothing");
  if (values.length === 1) return first;
  const shape = [...first.shape];
  shape[axis] = values.reduce((sum, value) => sum + (value.shape[axis] as number), 0);
  return r.node("Concat", values, shape, first.dtype, { axis });
}

/** `size` elements of each listed axis: begin, begin + stride, ... */
export function slice(
  r: Recorder,
  x: Value,
  axes: readonly number[],
  begin: readonly number[],
  size: readonly number[],
  stride?: readonly number[],
): Value {
  const keep = axes.map((_, i) => i).filter((i) => begin[i] !== 0 || size[i] !== x.shape[axes[i] as number]);
  if (keep.length === 0) return x;
  const step = (i: number): number => stride?.[i] ?? 1;
  const shape = [...x.shape];
  for (const i of keep) shape[axes[i] as number] = size[i] as number;
  const starts = keep.map((i) => begin[i] as number);
  const ends = keep.map((i) => (begin[i] as number) + ((size[i] as number) - 1) * step(i) + 1);
  const inputs = [x, r.integers(starts), r.integers(ends), r.integers(keep.map((i) => axes[i] as number))];
  if (keep.some((i) => step(i) !== 1)) inputs.push(r.integers(keep.map(step)));
  return r.node("Slice", inputs, shape, x.dtype);
}

export function pad(r: Recorder, x: Value, before: readonly number[], after: readonly number[], fill = 0): Value {
  if ([...before, ...after].every((size) => size === 0)) return x;
  const shape = x.shape.map((size, i) => size + (before[i] as number) + (after[i] as number));
  const inputs = [x, r.integers([...before, ...after]), r.scalar(fill, x.dtype)];
  return r.node("Pad", inputs, shape, x.dtype, { mode: "constant" });
}

export function reduce(
  r: Recorder,
  op: "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd",
  x: Value,
  axes: readonly number[],
  keepDims: boolean,
): Value {
  if (axes.length === 0) return x;
  const shape = x.shape.flatMap((size, i) => (!axes.includes(i) ? [size] : keepDims ? [1] : []));
  const keepdims = keepDims ? 1 : 0;
  // Since opset 13 the axes of ReduceSum are an input; those of the other operators are still an attribute.
  if (op === "ReduceSum") return r.node(op, [x, r.integers(axes)], shape, x.dtype, { keepdims });
  return r.node(op, [x], shape, x.dtype, { axes, keepdims });
}

/** The shortest runs of terms that a sum adds up in float32 before it goes on in float64. */
const RUN = 16;

/** The length of such runs in a sum of `count` terms: the least divisor that is not below RUN. The sum of a run loses hardly any digit. */
export function runLength(count: number): number {
  for (let length = RUN; length < count; length++) if (count % length === 0) return length;
  return count;
}

/** The elements of x at these indices of an axis. */
export function gather(r: Recorder, x: Value, indices: readonly number[], axis = 0): Value {
  return r.node("Gather", [x, r.integers(indices)], x.shape.with(axis, indices.length), x.dtype, { axis });
}

/** Matrix product over the last two axes, leading axes broadcast. */
export function matMul(r: Recorder, a: Value, b: Value): Value {
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return r.node("MatMul", [a, b], [...batch, a.shape.at(-2) as number, b.shape.at(-1) as number], a.dtype);
}

/** a times b with b's last two axes exchanged: one operator of ONNX Runtime, which packs b while it reads it. */
export function matMulTransposed(r: Recorder, a: Value, b: Value): Value {
  const shape = [...broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)), a.shape.at(-2) as number];
  return r.node("FusedMatMul", [a, b], [...shape, b.shape.at(-2) as number], a.dtype, { transB: 1 }, "com.microsoft");
}

/** x with its last two axes exchanged. ONNX Runtime fuses it into the MatMul that follows. */
export function transposeMatrix(r: Recorder, x: Value): Value {
  const axes = x.shape.map((_, i) => i);
  const rank = axes.length;
  return transpose(r, x, [...axes.slice(0, -2), rank - 1, rank - 2]);
}

// Steep enough for every float of interest, and small enough that 1e30 * 1e8 stays finite.
const steep = { float: 1e30 };

/** 1 where x > 0, else 0, as float32: a clipped steep line, several times cheaper in ONNX Runtime than Greater and Cast. */
export function step(r: Recorder, x: Value): Value {
  return r.node("HardSigmoid", [x], x.shape, x.dtype, { alpha: steep, beta: { float: 0 } });
}

/** 1 where x >= 0, else 0, as float32. */
export function stepFromZero(r: Recorder, x: Value): Value {
  return r.node("HardSigmoid", [x], x.shape, x.dtype, { alpha: steep, beta: { float: 1 } });
}

/** One-hot of indices along a new last axis, as float32; indices outside 0..depth-1 give zeros. */
export function oneHot(r: Recorder, indices: Value, depth: number): Value {
  const iota = r.constant(upTo(depth), [depth], "int32");
  const column = reshape(r, cast(r, indices, "int32"), [...indices.shape, 1]);
  return cast(r, binary(r, "Equal", column, iota, "bool"), "float32");
}
