import { LatheError } from "../process/errors";
import type { Origin } from "./scope";
import { elementCount } from "./signature";

export type ElementType =
  "float32" | "float64" | "float16" | "bfloat16" | "uint8" | "int8" | "int32" | "int64" | "bool";

/** A tensor of the graph: its name, shape and type. */
export interface Value {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: ElementType;
  /** Input or output of a model: its extents where some are free, which then have names. */
  readonly dims?: readonly (number | string)[];
}

/** An integer, a list of integers, a string, or a float (tagged, as JavaScript has one number type). */
export type Attribute = number | readonly number[] | string | { readonly float: number };

export interface GraphNode {
  readonly op: string;
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** Origin of the node, for profiles; it does not change the computation. */
  readonly origin?: Origin;
}

export interface Initializer {
  readonly value: Value;
  readonly data: Uint8Array;
}

/** A traced computation as a value. The nodes are in an order in which they can run. */
export interface Graph {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly nodes: readonly GraphNode[];
  readonly initializers: readonly Initializer[];
  /** Values whose shapes the model states, because a runtime could not infer them. */
  readonly stated?: readonly Value[];
  /** Opset of the default ONNX domain in which the nodes are written; default: the tracer's (shared/engine/encode.ts). */
  readonly opset?: number;
}

/** The graph without the nodes and initializers that no output needs. All inputs stay, because they are the signature. */
export function eliminateDeadCode(graph: Graph): Graph {
  const producers = new Map<string, GraphNode>();
  for (const node of graph.nodes) for (const output of node.outputs) producers.set(output.name, node);
  const live = new Set<GraphNode>();
  const needed = new Set<string>();
  const pending = graph.outputs.map((output) => output.name);
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (needed.has(name)) continue;
    needed.add(name);
    const producer = producers.get(name);
    if (producer === undefined || live.has(producer)) continue;
    live.add(producer);
    for (const input of producer.inputs) pending.push(input.name);
  }
  return {
    ...graph,
    nodes: graph.nodes.filter((node) => live.has(node)),
    initializers: graph.initializers.filter(({ value }) => needed.has(value.name)),
    ...(graph.stated && { stated: graph.stated.filter(({ name }) => needed.has(name)) }),
  };
}

const bytesPerElement = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  uint8: 1,
  int8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
};

export const bytesOf = ({ shape, dtype }: Value): number => elementCount(shape) * bytesPerElement[dtype];

/**
 * Checks that every value is defined once, before its use, with one shape and type throughout; else throws INTERNAL with node and value.
 */
export function checkGraph(graph: Graph): void {
  const defined = new Map<string, Value>();
  const names = new Set<string>();
  const fail = (message: string): never => {
    throw new LatheError("INTERNAL", `traced graph: ${message}`, { reason: "GRAPH_INVALID" });
  };
  const define = (value: Value, by: string): void => {
    if (value.name === "") fail(`${by} defines a value without a name`);
    if (defined.has(value.name)) fail(`value "${value.name}" is defined a second time by ${by}`);
    if (!value.shape.every((size) => Number.isInteger(size) && size >= 0)) {
      fail(`value "${value.name}" of ${by} has shape [${value.shape.join(",")}], sizes must be integers >= 0`);
    }
    defined.set(value.name, value);
  };
  const use = (value: Value, by: string): void => {
    const definition = defined.get(value.name) ?? fail(`${by} uses "${value.name}" before it is defined`);
    if (definition === value) return;
    if (definition.dtype !== value.dtype || definition.shape.join() !== value.shape.join()) {
      fail(`${by} takes "${value.name}" for ${describe(value)}, it is ${describe(definition)}`);
    }
  };
  for (const input of graph.inputs) define(input, "the inputs");
  for (const { value, data } of graph.initializers) {
    define(value, "the initializers");
    const bytes = bytesOf(value);
    if (data.byteLength !== bytes) fail(`initializer "${value.name}" has ${data.byteLength} bytes, must have ${bytes}`);
  }
  for (const node of graph.nodes) {
    const by = `node "${node.name}" (${node.op})`;
    if (node.name === "" || names.has(node.name)) fail(`${by} needs a name of its own`);
    names.add(node.name);
    for (const input of node.inputs) use(input, by);
    checkShapes(node, (message) => fail(`${by} ${message}`));
    for (const output of node.outputs) define(output, by);
  }
  for (const output of graph.outputs) use(output, "the outputs");
}

const describe = (value: Value): string => `${value.dtype}[${value.shape.join(",")}]`;

/** Checks of shapes that need no operator-specific attributes. ONNX Runtime infers the rest when it loads the model. */
function checkShapes({ op, inputs, outputs }: GraphNode, fail: (message: string) => never): void {
  const [a, b] = inputs;
  const [out] = outputs;
  if (a === undefined || out === undefined) return;
  if (op === "Reshape" && elementCount(a.shape) !== elementCount(out.shape))
    fail(`turns ${describe(a)} into ${describe(out)}`);
  if (op === "MatMul" && b !== undefined && a.shape.at(-1) !== b.shape.at(-2)) {
    fail(`multiplies ${describe(a)} by ${describe(b)}`);
  }
  if (op === "Concat" && inputs.reduce((sum, { shape }) => sum + elementCount(shape), 0) !== elementCount(out.shape)) {
    fail(`makes ${describe(out)} of ${inputs.map(describe).join(", ")}`);
  }
}
