import { eliminateDeadCode, type Attribute, type Graph, type GraphNode, type Initializer, type Value } from "../graph";

/** The nodes that take the place of a node, or undefined where the rule does not apply to it. They define the outputs of the node. */
type NodeRule = (node: GraphNode, draft: Draft) => GraphNode[] | undefined;

/** Applies a rule to each node of a graph. What no output needs any more is left out. */
export function rewriteNodes(graph: Graph, rule: NodeRule): Graph {
  const draft = new Draft(graph);
  const nodes = graph.nodes.flatMap((node) => rule(node, draft) ?? [node]);
  return eliminateDeadCode({ ...graph, nodes, initializers: draft.initializers });
}

/** A graph that is being rewritten: the producer and the readers of each value, and constants old and new. */
export class Draft {
  private readonly producers = new Map<string, GraphNode>();
  private readonly uses = new Map<string, number>();
  private readonly constants: Map<string, Initializer>;

  constructor(graph: Graph) {
    this.constants = new Map(graph.initializers.map((entry) => [entry.value.name, entry]));
    const used = ({ name }: Value) => this.uses.set(name, (this.uses.get(name) ?? 0) + 1);
    for (const node of graph.nodes) {
      node.inputs.forEach(used);
      for (const { name } of node.outputs) this.producers.set(name, node);
    }
    graph.outputs.forEach(used);
  }

  get initializers(): Initializer[] {
    return [...this.constants.values()];
  }

  /** The node that makes a value, if it is of this operator. */
  producer(value: Value | undefined, op: string): GraphNode | undefined {
    const node = value && this.producers.get(value.name);
    return node?.op === op ? node : undefined;
  }

  /** The same, if the value has no other reader than the node that asks. */
  private(value: Value | undefined, op: string): GraphNode | undefined {
    return value && this.readers(value) === 1 ? this.producer(value, op) : undefined;
  }

  /** How often a value is read, also as an output of the graph. */
  readers({ name }: Value): number {
    return this.uses.get(name) ?? 0;
  }

  floats(value: Value | undefined): Float32Array | undefined {
    const data = value?.dtype === "float32" ? this.constants.get(value.name)?.data : undefined;
    return data && new Float32Array(data.slice().buffer);
  }

  integers(value: Value | undefined): number[] | undefined {
    const data = value?.dtype === "int64" ? this.constants.get(value.name)?.data : undefined;
    return data && Array.from(new BigInt64Array(data.slice().buffer), Number);
  }

  constant(name: string, values: Float32Array, shape: readonly number[]): Value {
    const value: Value = { name, shape, dtype: "float32" };
    this.constants.set(name, { value, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) });
    return value;
  }

  /** A constant vector of int64. */
  vector(name: string, values: readonly number[]): Value {
    const value: Value = { name, shape: [values.length], dtype: "int64" };
    this.constants.set(name, { value, data: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) });
    return value;
  }
}

/** A node that takes a part of the place of another: it has the other's origin, and a name of its own from its output. */
export function nodeOf(
  place: GraphNode,
  op: string,
  inputs: readonly Value[],
  output: Value,
  attributes: Record<string, Attribute> = {},
): GraphNode {
  const { origin } = place;
  return {
    ...{ op, name: `${place.name}/${op}_${output.name}`, domain: "", inputs, outputs: [output], attributes },
    ...(origin && { origin }),
  };
}

/** A value of a shape, named after another. */
export const valueOf = (name: string, shape: readonly number[]): Value => ({ name, shape, dtype: "float32" });

export const channelsOf = ({ shape }: Value): number => shape[1] ?? 0;

/** The shape [N,C,H,W] with another number of channels. */
export const withChannels = (shape: readonly number[], channels: number): number[] =>
  shape.map((size, at) => (at === 1 ? channels : size));
