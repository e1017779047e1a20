import { bytesOf, type Graph, type GraphNode, type Value } from "./graph";

/** Memory of a graph while it runs, in bytes. */
export interface GraphMemory {
  /** Largest sum of the values that are live at once, without graph inputs, outputs and constants. */
  activations: number;
  constants: number;
  /** Graph inputs and outputs, which the caller owns. */
  inputs: number;
  outputs: number;
}

/** Operators whose output is their input under another shape. */
const ALIASES = new Set(["Reshape", "Identity", "Squeeze", "Unsqueeze"]);

/** Operators that overwrite an input of the same size if they are its last reader. */
const IN_PLACE =
  /^(Add|Sub|Mul|Div|Neg|Relu|HardSigmoid|Sqrt|Reciprocal|Exp|Log|Abs|Sigmoid|Softmax|Clip|Min|Max|Pow|Sum|Not)$/;

/** Prefix of the kernels of our own operations, which several nodes make up. */
const OWN = "Lathe";

/**
 * Peak memory of a graph, from the lifetimes of its values: a value lives from the node that makes it to its last reader, in the order of
 * the nodes. The result leaves out fragmentation of the allocator and scratch memory of operators.
 */
export function graphMemory(graph: Graph): GraphMemory {
  const owner = new Map<string, string>();
  const root = (name: string): string => owner.get(name) ?? name;
  const lastUse = new Map<string, number>();
  const sizes = new Map<string, number>();
  graph.nodes.forEach((node, at) => {
    for (const { name } of node.inputs) lastUse.set(root(name), at);
    const [source] = node.inputs;
    for (const output of node.outputs) {
      if (source && ALIASES.has(node.op)) owner.set(output.name, root(source.name));
      else sizes.set(output.name, bytesOf(output));
    }
  });
  // Graph inputs and outputs belong to the caller and are never freed here.
  for (const { name } of graph.outputs) sizes.delete(root(name));
  let live = 0;
  let activations = 0;
  graph.nodes.forEach((node, at) => {
    const ended = [...new Set(node.inputs.map(({ name }) => root(name)))].filter((name) => lastUse.get(name) === at);
    const freed = ended.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
    const made = node.outputs.reduce((sum, { name }) => sum + (sizes.get(name) ?? 0), 0);
    activations = Math.max(activations, live + made - overwritten(node, ended, sizes));
    live += made - freed;
    // A value without a reader is freed immediately.
    for (const { name } of node.outputs) if (!lastUse.has(root(name))) live -= sizes.get(name) ?? 0;
  });
  return {
    activations,
    constants: sizeOf(graph.initializers.map(({ value }) => value)),
    inputs: sizeOf(graph.inputs),
    outputs: sizeOf(graph.outputs),
  };
}

/**
 * Memory of a graph whose step an eager engine runs: each value that one operation hands to another lives until the step ends. What an
 * operation of our own makes inside (shared/engine/ops) is freed with it.
 */
export function eagerMemory(graph: Graph): GraphMemory {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map(({ name }) => [name, node])));
  const isInside = (reader: GraphNode, maker: GraphNode | undefined) =>
    maker?.origin?.kernel.startsWith(OWN) === true && maker.origin.kernel === reader.origin?.kernel;
  const handed = new Map<string, Value>();
  for (const node of graph.nodes)
    for (const value of node.inputs) {
      const maker = makers.get(value.name);
      if (maker && !ALIASES.has(maker.op) && !isInside(node, maker)) handed.set(value.name, value);
    }
  for (const { name } of graph.outputs) handed.delete(name);
  return { ...graphMemory(graph), activations: sizeOf([...handed.values()]) };
}

/**
 * Bytes that the operators of a graph read and write if each runs by itself: every input and output once. On a GPU they bound the time of a
 * step from below, with the bandwidth of its memory.
 */
export const graphTraffic = ({ nodes }: Graph): number =>
  nodes
    .filter(({ op }) => !ALIASES.has(op))
    .reduce((sum, { inputs, outputs }) => sum + sizeOf(inputs) + sizeOf(outputs), 0);

const sizeOf = (values: readonly Value[]) => values.reduce((sum, value) => sum + bytesOf(value), 0);

/** Bytes of an input whose lifetime ends at the node and whose memory the output reuses. */
function overwritten(node: GraphNode, ended: readonly string[], sizes: ReadonlyMap<string, number>): number {
  const size = sizes.get(node.outputs[0]?.name ?? "") ?? 0;
  return IN_PLACE.test(node.op) && ended.some((name) => sizes.get(name) === size) ? size : 0;
}

/** Sum of all memory that a step needs while it runs, in bytes. */
export const total = ({ activations, constants, inputs, outputs }: GraphMemory): number =>
  activations + constants + inputs + outputs;
