import { encodeModel } from "../encode";
import { eliminateDeadCode, type Graph, type Value } from "../graph";
import { Recorder } from "../recorder";
import { rewritten, type Rewrite } from "../rewrites/table";
import { scoped } from "../scope";
import { anyBatch } from "./batch";
import { cast, node, Whole } from "./nodes";
import { nearestNodes, resizeNodes } from "./resize";

/** Names of what a deploy form takes and gives. */
const DEPLOY = { images: "images", classes: "classes", full: "classes_full" } as const;

/**
 * A network from "image" [1,3,h,w] (pixel / 255) to "logits" [1,K,h',w'] in the form that takes what a camera gives. Input "images"
 * [batch,height,width,3] uint8 RGB, each extent free; outputs "classes" [batch,h',w'] uint8, and "classes_full" [batch,height,width] uint8,
 * which is the former by nearest neighbour. K is at most 256.
 */
function deployForm(traced: Graph, rewrites?: readonly Rewrite[]): Graph {
  const network = rewritten(withClasses(traced), rewrites);
  const [image] = network.inputs as [Value];
  const [best] = network.outputs as [Value];
  const [, , h = 0, w = 0] = image.shape;
  const [, cellsHigh = 0, cellsWide = 0] = best.shape;

  const before = new Recorder("before/");
  const images: Value = {
    ...before.input(DEPLOY.images, [1, h, w, 3], "uint8"),
    dims: ["batch", "height", "width", 3],
  };
  const into = scoped("preprocessing", () => {
    const extents = node(before, "Shape", [images], "int64");
    const extent = (axis: number) => node(before, "Gather", [extents, before.scalar(axis, "int64")], "int64");
    const size = [extent(1), extent(2)] as const;
    const axes = [new Whole(before, size[0]), new Whole(before, size[1])] as const;
    const pixels = resizeNodes(before, images, axes, [h, w]);
    return before.finish({
      batch: node(before, "Gather", [extents, before.integers([0])], "int64"),
      height: size[0],
      width: size[1],
      [image.name]: node(before, "Div", [pixels, before.scalar(255)], "float32"),
    });
  });
  const [batch, height, width] = into.outputs as [Value, Value, Value];

  const after = new Recorder("after/");
  const out = scoped("postprocessing", () => {
    const classes = cast(after, best, "uint8");
    // Whole rows are gathered, columns as rows of the turned map: single bytes take three times as long, with both turns.
    const rows = (x: Value, from: number, to: Value) =>
      node(after, "Gather", [x, nearestNodes(after, from, new Whole(after, to))], "uint8", { axis: 1 });
    const turned = (x: Value) => node(after, "Transpose", [x], "uint8", { perm: [0, 2, 1] });
    const full = rows(turned(rows(turned(classes), cellsWide, width)), cellsHigh, height);
    return after.finish({ [DEPLOY.classes]: classes, [DEPLOY.full]: full });
  });
  const dims = [
    ["batch", cellsHigh, cellsWide],
    ["batch", "height", "width"],
  ];
  // The sizes for one image are not used any more.
  return eliminateDeadCode({
    inputs: [images],
    outputs: out.outputs.map((value, at) => ({ ...value, dims: dims[at] ?? [] })),
    nodes: [...into.nodes, ...anyBatch(network, batch), ...out.nodes],
    initializers: [...into.initializers, ...network.initializers, ...out.initializers],
    stated: [image, ...perImage(network)].map((value) => ({ ...value, dims: ["batch", ...value.shape.slice(1)] })),
  });
}

/**
 * The values of a network that the number of images changes. Where it is free, ONNX Runtime does not see by itself that the operands of a sum
 * have one shape if one of them was resized, and computes the sum, and the ReLU after it, outside of its convolutions.
 */
function perImage({ inputs: [image], nodes }: Graph): Value[] {
  const reached = new Set([image?.name]);
  return nodes.flatMap(({ op, inputs, outputs }) => {
    if (!inputs.some(({ name }) => reached.has(name))) return [];
    for (const { name } of outputs) reached.add(name);
    // The shape of a quantised value is that of the value.
    return op === "QuantizeLinear" || op === "DequantizeLinear" ? [] : outputs;
  });
}

/** A network that gives the class of each cell, [1,h',w'] int64, instead of its logits. */
function withClasses(network: Graph): Graph {
  const [logits] = network.outputs as [Value];
  const [n = 1, , high = 0, wide = 0] = logits.shape;
  const best: Value = { name: "best", shape: [n, high, wide], dtype: "int64" };
  const argmax = { op: "ArgMax", name: "postprocessing/ArgMax", domain: "", inputs: [logits], outputs: [best] };
  return {
    ...network,
    outputs: [best],
    nodes: [...network.nodes, { ...argmax, attributes: { axis: 1, keepdims: 0 } }],
  };
}

/** The deploy form of a network as the bytes of an ONNX model of opset 13. `rewrites`: those that apply to it, by default all. */
export function encodeDeploy(
  network: Graph,
  metadata: Readonly<Record<string, string>>,
  rewrites?: readonly Rewrite[],
): Uint8Array {
  return encodeModel(deployForm(network, rewrites), "deploy", metadata);
}
