import type { Graph, GraphNode, Value } from "../graph";
import { interpolation } from "../ops/resize";
import { convNode, convolutionOf, inputsOf, isPointwise, POINTWISE, sameSize, type Convolution } from "./convolution";
import { channelsOf, nodeOf, rewriteNodes, valueOf, type Draft } from "./draft";

/** A branch of the pyramid: pooled to bins x bins, a 1x1 convolution and ReLU, enlarged to the size of the features. */
interface Branch {
  readonly bins: number;
  readonly unit: Convolution;
  /** [bins, height] and [bins, width] */
  readonly vertical: Float32Array;
  readonly horizontal: Float32Array;
}

/**
 * Pyramid pooling and the 1x1 convolution of its concatenated features as stacked products. The pools of all branches are rows and columns
 * of one grid, of which each branch needs one square on the diagonal. The branches are one convolution, a mask that keeps the square of
 * each, a second convolution, which is theirs of the concatenation, and one enlargement. Where the grid has more cells than the features, it
 * does not pay.
 */
export function stackPyramid(graph: Graph): Graph {
  return rewriteNodes(graph, (conv, draft) => {
    const whole = convolutionOf(conv, draft);
    const concat = draft.private(whole?.x, "Concat");
    const [x, ...parts] = concat?.inputs ?? [];
    const [output] = conv.outputs;
    if (!whole || !isPointwise(whole) || !output || !x || parts.length === 0) return undefined;
    const branches = parts.flatMap((part) => branchOf(part, x, draft) ?? []);
    const side = branches.reduce((sum, { bins }) => sum + bins, 0);
    const [, , height = 0, width = 0] = x.shape;
    if (branches.length < parts.length || side * side > height * width) return undefined;
    const own = inputsOf(whole, x, 0, channelsOf(x));
    const features = valueOf(`${output.name}/features`, output.shape);
    const [nodes, context] = stacked(conv, whole, x, branches, draft);
    return [
      ...nodes,
      convNode(conv, { ...own, bias: whole.bias }, features, draft),
      nodeOf(conv, "Add", [context, features], output),
    ];
  });
}

/** Resize(Relu(Conv(vertical * x * horizontal))), each read by nothing else. */
function branchOf(part: Value, x: Value, draft: Draft): Branch | undefined {
  const resize = draft.private(part, "Resize");
  const relu = draft.private(resize?.inputs[0], "Relu");
  const unit = convolutionOf(draft.private(relu?.inputs[0], "Conv"), draft);
  const rows = draft.private(unit?.x, "MatMul");
  const columns = draft.private(rows?.inputs[1], "MatMul");
  const vertical = draft.floats(rows?.inputs[0]);
  const turned = draft.producer(columns?.inputs[1], "Transpose");
  const horizontal = draft.floats(turned?.inputs[0]);
  if (!unit || !isPointwise(unit) || !vertical || !horizontal || columns?.inputs[0]?.name !== x.name) return undefined;
  const [, , bins = 0, across] = unit.x.shape;
  const aligned = resize?.attributes.coordinate_transformation_mode === "align_corners";
  return aligned && bins === across ? { bins, unit, vertical, horizontal } : undefined;
}

/** The nodes of the branches, and the sum of what they add to the output. */
function stacked(
  place: GraphNode,
  whole: Convolution,
  x: Value,
  branches: readonly Branch[],
  draft: Draft,
): [GraphNode[], Value] {
  const [n = 1, c = 0, height = 0, width = 0] = x.shape;
  const side = branches.reduce((sum, { bins }) => sum + bins, 0);
  const units = branches.reduce((sum, { unit }) => sum + unit.shape[0], 0);
  const name = `${place.outputs[0]?.name}/pyramid`;
  const [outputs] = whole.shape;
  const unit: Convolution = {
    x: valueOf(`${name}/pooled`, [n, c, side, side]),
    filter: joined(branches.map((branch) => branch.unit.filter)),
    shape: [units, c, 1, 1],
    bias: joined(branches.map((branch) => branch.unit.bias)),
    attributes: POINTWISE,
  };
  const grid = (step: string) => valueOf(`${name}/${step}`, sameSize(unit));
  const masked = grid("masked");
  const mixed = inputsOf(whole, masked, c, units);
  const value = (step: string, rows: number, columns: number, channels = outputs) =>
    valueOf(`${name}/${step}`, [n, channels, rows, columns]);
  const matrix = (of: string, values: Float32Array, rows: number, columns: number) =>
    draft.constant(`${name}/${of}`, values, [rows, columns]);
  const heights = branches.map(({ bins }) => interpolation(bins, height).weights);
  const widths = branches.map(({ bins }) => interpolation(bins, width).weights);
  const [narrow, convolved, active] = [value("narrow", height, side, c), grid("convolved"), grid("active")];
  const [small, tall, context] = [
    value("mixed", side, side),
    value("tall", height, side),
    value("context", height, width),
  ];
  const pools = [
    matrix("horizontal", transposed(joined(branches.map(({ horizontal }) => horizontal)), side, width), width, side),
    matrix("vertical", joined(branches.map(({ vertical }) => vertical)), side, height),
  ] as const;
  const enlarged = [
    matrix("rows", besides(heights, height), height, side),
    matrix("columns", transposed(besides(widths, width), width, side), side, width),
  ] as const;
  const mask = draft.constant(`${name}/mask`, squares(branches, side, units), [1, units, side, side]);
  return [
    [
      nodeOf(place, "MatMul", [x, pools[0]], narrow),
      nodeOf(place, "MatMul", [pools[1], narrow], unit.x),
      convNode(place, unit, convolved, draft),
      nodeOf(place, "Relu", [convolved], active),
      nodeOf(place, "Mul", [active, mask], masked),
      convNode(place, mixed, small, draft),
      nodeOf(place, "MatMul", [enlarged[0], small], tall),
      nodeOf(place, "MatMul", [tall, enlarged[1]], context),
    ],
    context,
  ];
}

function joined(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** Matrices [rows, bins] side by side. */
function besides(matrices: readonly Float32Array[], rows: number): Float32Array {
  const row = (matrix: Float32Array, at: number) => {
    const columns = matrix.length / rows;
    return matrix.subarray(at * columns, (at + 1) * columns);
  };
  return joined(Array.from({ length: rows }, (_, at) => joined(matrices.map((matrix) => row(matrix, at)))));
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  return matrix.map((_, at) => matrix[(at % rows) * columns + Math.floor(at / rows)] ?? 0);
}

/** 1 for the channels of a branch in its square of the grid, else 0. */
function squares(branches: readonly Branch[], side: number, units: number): Float32Array {
  const mask = new Float32Array(units * side * side);
  let [channel, corner] = [0, 0];
  for (const { bins, unit } of branches) {
    for (const last = channel + unit.shape[0]; channel < last; channel++)
      for (let row = corner; row < corner + bins; row++)
        mask.fill(1, (channel * side + row) * side + corner, (channel * side + row) * side + corner + bins);
    corner += bins;
  }
  return mask;
}
