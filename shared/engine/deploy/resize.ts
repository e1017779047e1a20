import type { Value } from "../graph";
import type { Recorder } from "../recorder";
import { cast, node, Whole } from "./nodes";

/** As in shared/data/resize.ts, where the reason stands. */
const ROUND = 0.5 + 2 ** -10;

/**
 * The resize of shared/data/resize.ts as ONNX nodes: images [N,H,W,3] uint8 of any extents -> [N,3,h,w] float32 with whole values. ONNX has
 * an antialiased Resize since opset 18, but OpenVINO ignores the attribute without a word, and ONNX Runtime rounds its centres to float32.
 * Here each axis gathers the taps of its outputs and multiplies them by weights that are the same in every runtime.
 */
export function resizeNodes(
  r: Recorder,
  images: Value,
  [height, width]: readonly [Whole, Whole],
  [h, w]: readonly [number, number],
): Value {
  const shaped = (x: Value, shape: readonly number[]) => node(r, "Reshape", [x, r.integers(shape)], x.dtype);
  const turned = (x: Value) => node(r, "Transpose", [x], "float32", { perm: [0, 2, 3, 1] });
  // [N,H,W*3] -> [N,h,1,W*3] -> [N,W,3,h]
  const rows = weighted(r, shaped(images, [0, 0, -1]), tapNodes(r, height, h));
  const upright = turned(shaped(rows, [0, h, -1, 3]));
  // [N,W,3*h] -> [N,w,1,3*h] -> [N,3,h,w]
  const columns = weighted(r, shaped(upright, [0, -1, 3 * h]), tapNodes(r, width, w));
  const resized = turned(shaped(columns, [0, w, 3, h]));
  return node(r, "Floor", [node(r, "Add", [resized, r.scalar(ROUND)], "float32")], "float32");
}

/** Inputs and weights of each output of an axis: indices [m,K] int64, weights [m,1,K] float32. */
interface Taps {
  indices: Value;
  weights: Value;
}

/** x [N,n,C] -> [N,m,1,C] float32. */
function weighted(r: Recorder, x: Value, { indices, weights }: Taps): Value {
  const taps = node(r, "Gather", [x, indices], x.dtype, { axis: 1 });
  return node(r, "MatMul", [weights, x.dtype === "float32" ? taps : cast(r, taps, "float32")], "float32");
}

/** tapsOf of shared/data/resize.ts. Positions and weights are in units of 1 / (2m) of an input pixel. */
function tapNodes(r: Recorder, n: Whole, count: number): Taps {
  const m = Whole.of(r, count);
  const support = n.most(m).times(2);
  const centres = m.upTo().times(2).plus(1).times(n);
  const first = centres.minus(support).plus(m).most(0).over(m.times(2)).column();
  const most = support.plus(m).minus(1).over(m);
  const inputs = first.plus(most.upTo());
  const distances = inputs.times(2).plus(1).times(m).minus(centres.column()).abs();
  // Weights are at most 2 max(n, m) and exact in float32, and so is their sum up to 2^24.
  const raw = support.minus(distances).most(0).times(inputs.below(n));
  const floats = cast(r, raw.value, "float32");
  const axis = r.integers([1]);
  const sums = node(r, "ReduceSum", [floats, axis], "float32", { keepdims: 1 });
  const weights = node(r, "Div", [floats, sums], "float32");
  return { indices: inputs.least(n.minus(1)).value, weights: node(r, "Unsqueeze", [weights, axis], "float32") };
}

/** The input of each of `to` outputs of an axis of `from` by nearest neighbour at pixel centres, as resizeIndices of shared/data/images.ts. */
export function nearestNodes(r: Recorder, from: number, to: Whole): Value {
  return to.upTo().times(2).plus(1).times(from).over(to.times(2)).value;
}
