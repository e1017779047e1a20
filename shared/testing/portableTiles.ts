import { encodeAttribute } from "../engine/encode";
import { createEngine, type Engine } from "../engine/engine";
import type { Attribute } from "../engine/graph";
import { createSession } from "../engine/session";
import {
  ModelProto,
  TensorProto_DataType as DataType,
  type AttributeProto,
  type GraphProto,
  type NodeProto,
} from "../proto/onnx/onnx";

const DOMAIN = "com.microsoft.nchwc";

/** Tile sizes of ONNX Runtime's blocked layout: 8 channels with AVX2, 16 with AVX-512. */
export const TILE_SIZES = [8, 16] as const;

/**
 * The engine "onnxruntime" with tiles of `tile` channels in its blocked layout, on any processor. ONNX Runtime derives the tile size from
 * the processor and has no setting for it, so each operator of the blocked layout is replaced by standard operators before a session is
 * created.
 */
export function portableEngine(tile: number): Promise<Engine> {
  return createEngine(
    { engine: "onnxruntime", provider: "cpu", threads: 1 },
    { create: (model, ...rest) => createSession(withStandardOperators(model, tile), ...rest) },
  );
}

/** The model with every operator of the blocked layout replaced by standard ones; all values keep their blocked order in memory. */
function withStandardOperators(bytes: Uint8Array, tile: number): Uint8Array {
  const model = ModelProto.decode(bytes);
  const graph = model.graph as GraphProto;
  const writer = new Writer(graph, tile);
  for (const node of graph.node) {
    const rule = node.domain === DOMAIN ? RULES[node.opType] : undefined;
    if (node.domain === DOMAIN && !rule) throw new Error(`no standard form of ${node.opType} is known`);
    if (rule) writer.finish(rule(writer, node), node);
    else writer.nodes.push(node);
  }
  graph.node = writer.nodes;
  return ModelProto.encode(model).finish();
}

type Rule = (w: Writer, node: NodeProto) => string;

/** By operator: its result in blocked order, from inputs in blocked order. */
const RULES: Readonly<Record<string, Rule>> = {
  ReorderInput: (w, { input: [x = ""] }) => w.blocked(x),
  ReorderOutput: (w, { input: [x = ""] }) => w.plain(x),
  MaxPool: (w, node) => w.blocked(w.node("MaxPool", [w.plain(node.input[0] as string)], node.attribute)),
  AveragePool: (w, node) => w.blocked(w.node("AveragePool", [w.plain(node.input[0] as string)], node.attribute)),
  Upsample: (w, { input: [x = ""] }) => {
    const how = { mode: "nearest", coordinate_transformation_mode: "asymmetric", nearest_mode: "floor" };
    const scales = w.floats([1, 1, 2, 2]);
    return w.blocked(w.node("Resize", [w.plain(x), "", scales], attributes(how)));
  },
  Conv: (w, node) => {
    const [x = "", filter = "", bias, sum] = node.input;
    const group = node.attribute.find(({ name }) => name === "group")?.i ?? 1;
    const inputs = w.shapeOf(filter)?.[1];
    // ONNX Runtime reads inputs with fewer channels than a tile, such as images, in plain order.
    const fewInputs = group === 1 && inputs !== undefined && inputs < w.tile;
    const given = [
      fewInputs ? x : w.plain(x),
      group > 1 || fewInputs ? w.filterOfVectors(filter) : w.filterOfTiles(filter),
      ...(bias ? [bias] : []),
    ];
    const convolved = w.node(
      "Conv",
      given,
      node.attribute.filter(({ name }) => name !== "activation"),
    );
    const added = sum ? w.node("Add", [convolved, w.plain(sum)]) : convolved;
    const activated = node.attribute.some(({ name }) => name === "activation") ? w.node("Relu", [added]) : added;
    return w.blocked(activated);
  },
};

/**
 * Appends nodes and constants to a graph. The graph computes shapes itself, because a model holds only those of its inputs and outputs.
 */
class Writer {
  readonly nodes: NodeProto[] = [];
  private count = 0;

  constructor(
    private readonly graph: GraphProto,
    readonly tile: number,
  ) {}

  node(opType: string, input: string[], attribute: AttributeProto[] = []): string {
    const name = `portable_${this.count++}`;
    this.nodes.push({ name, opType, domain: "", input, output: [name], attribute });
    return name;
  }

  /** Gives a result the output name of the replaced node. */
  finish(result: string, { name, output }: NodeProto): void {
    this.nodes.push({ name, opType: "Identity", domain: "", input: [result], output, attribute: [] });
  }

  /** x [N,C,H,W] in plain order, from [N, C/tile, H, W, tile] in memory. */
  plain(x: string): string {
    const tiled = this.reshape(x, this.sizes(x, [1, this.tile, 1, 1], [this.tile]));
    return this.like(x, this.transpose(tiled, [0, 1, 4, 2, 3]));
  }

  /** The reverse of `plain`. */
  blocked(x: string): string {
    const sizes = this.node("Gather", [
      this.sizes(x, [1, this.tile, 1, 1], [this.tile]),
      this.integers([0, 1, 4, 2, 3]),
    ]);
    return this.like(x, this.transpose(this.reshape(x, sizes), [0, 1, 3, 4, 2]));
  }

  /** A filter [O,I,h,w], from [O/tile, I/tile, h, w, tile of I, tile of O] in memory. */
  filterOfTiles(filter: string): string {
    const sizes = this.sizes(filter, [this.tile, this.tile, 1, 1], [this.tile, this.tile]);
    return this.like(filter, this.transpose(this.reshape(filter, sizes), [0, 5, 1, 4, 2, 3]));
  }

  /** A filter [O,I,h,w], from [O/tile, I, h, w, tile of O] in memory: depthwise, or for inputs in plain order. */
  filterOfVectors(filter: string): string {
    const sizes = this.sizes(filter, [this.tile, 1, 1, 1], [this.tile]);
    return this.like(filter, this.transpose(this.reshape(filter, sizes), [0, 4, 1, 2, 3]));
  }

  /** Shape of a value that is a constant or reshaped to one; undefined where the model does not hold it. */
  shapeOf(value: string): number[] | undefined {
    const constant = this.graph.initializer.find(({ name }) => name === value);
    if (constant) return constant.dims;
    const reshaped = this.graph.node.find(({ output, opType }) => opType === "Reshape" && output[0] === value);
    const shape = this.graph.initializer.find(({ name }) => name === reshaped?.input[1]);
    return shape && [...new BigInt64Array(Uint8Array.from(shape.rawData).buffer)].map(Number);
  }

  floats(values: number[]): string {
    return this.constant(DataType.FLOAT, values.length, Float32Array.from(values));
  }

  /** Shape of x divided by `divisors`, with `behind` appended. */
  private sizes(x: string, divisors: number[], behind: number[]): string {
    const tiles = this.node("Div", [this.node("Shape", [x]), this.integers(divisors)]);
    return this.node("Concat", [tiles, this.integers(behind)], attributes({ axis: 0 }));
  }

  private like(x: string, value: string): string {
    return this.reshape(value, this.node("Shape", [x]));
  }

  private reshape(x: string, sizes: string): string {
    return this.node("Reshape", [x, sizes]);
  }

  private transpose(x: string, order: number[]): string {
    return this.node("Transpose", [x], attributes({ perm: order }));
  }

  private integers(values: number[]): string {
    return this.constant(DataType.INT64, values.length, BigInt64Array.from(values.map(BigInt)));
  }

  private constant(dataType: DataType, length: number, { buffer }: Float32Array | BigInt64Array): string {
    const name = `portable_${this.count++}`;
    this.graph.initializer.push({ name, dims: [length], dataType, rawData: Buffer.from(buffer as ArrayBuffer) });
    return name;
  }
}

const attributes = (values: Readonly<Record<string, Attribute>>) => Object.entries(values).map(encodeAttribute);
