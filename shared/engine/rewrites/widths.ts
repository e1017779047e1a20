import { eliminateDeadCode, type Graph, type GraphNode, type Value } from "../graph";
import {
  convNode,
  convolutionOf,
  depthwiseOf,
  diagonal,
  masked,
  placed,
  spread,
  type Convolution,
} from "./convolution";
import { channelsOf, Draft, nodeOf, valueOf, withChannels } from "./draft";
import { joinOf, type Join } from "./residuals";

/** Channels that ONNX Runtime computes at once with AVX-512. It fills up the last tile of a convolution itself, so up to there width is free. */
export const TILE = 16;

/** Operators that treat each channel by itself, so that channels of zeros stay zeros. */
const PER_CHANNEL = new Set(["Relu", "MaxPool", "AveragePool", "Resize"]);

/** Operators whose output gets channels of zeros if this number of inputs has them; a convolution makes them itself. */
const SOURCES: Readonly<Record<string, number>> = { Conv: 0, Relu: 1, Resize: 1, Add: 2 };
const PRODUCERS = Object.keys(SOURCES);

/**
 * Gives the input and the output of a residual block one width where both fill the same number of tiles, by channels of zeros. Then no slice
 * and no concatenation is left around the sum. Where the numbers of tiles differ, a 1x1 convolution takes the channels that both have.
 *
 * A block that narrows leaves residues in the channels that it drops: those of its input, as y adds nothing to them. Convolutions read them
 * with weights of zero, and later sums pass them on as they are. Only a block that widens over them must not add them to its y: there a
 * convolution with one weight per channel, 1 or 0, takes the residual. So every constant is a weight of the network, 0 or 1, and every value is
 * one that the plain network has as well: a conversion to float16 or int8 meets no other range than there.
 */
export function padWidths(graph: Graph): Graph {
  const draft = new Draft(graph);
  const joins = new Map(
    graph.nodes.flatMap((node) => {
      const join = joinOf(node, draft);
      return join ? [[node, join] as const] : [];
    }),
  );
  const uneven = [...joins.values()].some(({ x, output }) => channelsOf(x) !== channelsOf(output));
  return uneven ? new Padding(graph, draft, joins).graph() : graph;
}

class Padding {
  /** Widths that values are made in, where these are not their own. */
  private readonly widths = new Map<string, number>();
  /** Values as they are made, by the name of the original. */
  private readonly made = new Map<string, Value>();
  /** Channels up to which a value, by the name of the original, holds residues: those from its own number on. */
  private readonly residues = new Map<string, number>();

  constructor(
    private readonly source: Graph,
    private readonly draft: Draft,
    private readonly joins: ReadonlyMap<GraphNode, Join>,
  ) {
    for (const group of groupsOf([...joins.values()])) {
      const width = Math.max(...group.map(channelsOf));
      for (const value of group) this.widen(value, width);
    }
  }

  graph(): Graph {
    const nodes = this.source.nodes.flatMap((node) => this.rewritten(node));
    return eliminateDeadCode({ ...this.source, nodes, initializers: this.draft.initializers });
  }

  /** Plans a value to be made with a width, if its producers allow that. */
  private widen(value: Value, width: number): void {
    const through = this.producersTo(value, width);
    through?.forEach((name) => this.widths.set(name, width));
  }

  /** Names of the values that must be made with a width, so that this one can be; undefined if it cannot. */
  private producersTo(value: Value, width: number): string[] | undefined {
    if (channelsOf(value) === width) return [];
    const node = PRODUCERS.map((op) => this.draft.producer(value, op)).find(Boolean);
    if (!node || (node.op === "Conv" && !convolutionOf(node, this.draft))) return undefined;
    const join = this.joins.get(node);
    const sources = join ? [join.y] : node.inputs.slice(0, SOURCES[node.op]);
    const found = sources.map((source) => this.producersTo(source, width));
    return found.every((names) => names !== undefined) ? [value.name, ...found.flat()] : undefined;
  }

  private rewritten(node: GraphNode): GraphNode[] {
    const join = this.joins.get(node);
    if (join) return this.joined(join);
    const convolution = convolutionOf(node, this.draft);
    const [output] = node.outputs;
    if (convolution && output) return this.convolved(node, convolution, output);
    const inputs = node.inputs.map((value) => this.made.get(value.name) ?? value);
    const [x] = inputs;
    if (!x || !output || inputs.every((value, at) => value === node.inputs[at])) return [node];
    const depthwise = depthwiseOf(node, this.draft);
    if (depthwise) return [this.perChannel(node, depthwise, x, output)];
    const used = Math.max(0, ...node.inputs.map(({ name }) => this.residues.get(name) ?? 0));
    if (used > 0) this.residues.set(output.name, used);
    if (PER_CHANNEL.has(node.op) || (node.op === "Add" && this.widths.has(output.name)))
      return [this.sized(node, inputs, output, channelsOf(x))];
    if (node.op === "MatMul") {
      const made = inputs.find((value, at) => value !== node.inputs[at])!;
      if (inputs.some(({ shape }) => shape.length === 2)) return [this.sized(node, inputs, output, channelsOf(made))];
    }
    return this.narrowed(node, inputs);
  }

  /** A depthwise convolution of a widened value. Its filters of zeros end what the added channels hold. */
  private perChannel(
    node: GraphNode,
    { filter, shape: [, ...behind] }: Pick<Convolution, "filter" | "shape">,
    x: Value,
    output: Value,
  ): GraphNode {
    const width = channelsOf(x);
    const wide = new Float32Array(behind.reduce((size, extent) => size * extent, width));
    wide.set(filter);
    const kernel = this.draft.constant(`${output.name}/kernel`, wide, [width, ...behind]);
    const made = this.as(output, width);
    return { ...nodeOf(node, "Conv", [x, kernel], made, { ...node.attributes, group: width }), name: node.name };
  }

  private joined({ relu, x, y, output }: Join): GraphNode[] {
    const [from, into] = [this.made.get(x.name) ?? x, this.made.get(y.name) ?? y];
    const nodes: GraphNode[] = [];
    let residual = from;
    const used = this.residues.get(x.name) ?? channelsOf(x);
    const [uneven, widens] = [channelsOf(from) !== channelsOf(into), channelsOf(x) < channelsOf(output)];
    if (uneven || (widens && used > channelsOf(x))) {
      residual = valueOf(`${output.name}/residual`, into.shape);
      const common = Math.min(channelsOf(x), channelsOf(output));
      const ones = diagonal(from, new Float32Array(common).fill(1), new Float32Array(common));
      const taken = uneven ? placed(ones, from, channelsOf(from), channelsOf(into)) : masked(from, common);
      nodes.push(convNode(relu, taken, residual, this.draft));
    } else if (used > channelsOf(output)) this.residues.set(output.name, used);
    const sum = valueOf(`${output.name}/sum`, into.shape);
    const active = this.as(output, channelsOf(into));
    return [...nodes, nodeOf(relu, "Add", [into, residual], sum), { ...relu, inputs: [sum], outputs: [active] }];
  }

  private convolved(node: GraphNode, convolution: Convolution, output: Value): GraphNode[] {
    const width = this.widths.get(output.name) ?? channelsOf(output);
    const concat = this.draft.private(convolution.x, "Concat");
    const parts = concat?.inputs.map((part) => this.made.get(part.name) ?? part) ?? [];
    const padded = concat !== undefined && parts.some((part, at) => part !== concat.inputs[at]);
    const x = this.made.get(convolution.x.name) ?? convolution.x;
    if (!padded && x === convolution.x && width === channelsOf(output)) return [node];
    const joined = padded ? this.concatenated(concat, parts, output) : undefined;
    const read =
      concat && joined ? spread(convolution, concat.inputs.map(channelsOf), parts.map(channelsOf)) : convolution;
    const from = joined?.outputs[0] ?? x;
    const wide = placed(read, from, channelsOf(from), width);
    const made = { ...convNode(node, wide, this.as(output, width), this.draft), name: node.name };
    return joined ? [joined, made] : [made];
  }

  /** The concatenation that a convolution reads, of parts with channels of zeros. */
  private concatenated(concat: GraphNode, parts: readonly Value[], output: Value): GraphNode {
    const [part] = parts as [Value];
    const channels = parts.reduce((sum, each) => sum + channelsOf(each), 0);
    const whole = valueOf(`${output.name}/concatenated`, withChannels(part.shape, channels));
    return nodeOf(concat, "Concat", parts, whole, { ...concat.attributes });
  }

  /** A node on values of another width. */
  private sized(node: GraphNode, inputs: Value[], output: Value, width: number): GraphNode {
    const sizes = node.op === "Resize" ? this.draft.integers(inputs[3]) : undefined;
    if (sizes) inputs[3] = this.draft.vector(`${output.name}/size`, withChannels(sizes, width));
    return { ...node, inputs, outputs: [this.as(output, width)] };
  }

  /** A node that must not see the channels of zeros. */
  private narrowed(node: GraphNode, inputs: readonly Value[]): GraphNode[] {
    const slices: GraphNode[] = [];
    const own = node.inputs.map((value, at) => {
      const made = inputs[at] ?? value;
      if (made === value) return value;
      const name = `${node.name}/${value.name}`;
      const narrow = valueOf(name, value.shape);
      const bounds = [0, channelsOf(value), 1].map((bound, i) => this.draft.vector(`${name}/bound${i}`, [bound]));
      slices.push(nodeOf(node, "Slice", [made, ...bounds], narrow));
      return narrow;
    });
    return [...slices, { ...node, inputs: own }];
  }

  private as(value: Value, width: number): Value {
    if (width === channelsOf(value)) return value;
    const made = { ...value, shape: withChannels(value.shape, width) };
    this.made.set(value.name, made);
    return made;
  }
}

/** Inputs and outputs of residual blocks that fill one number of tiles and are added to each other, in groups. */
function groupsOf(joins: readonly Join[]): Value[][] {
  const groups: Map<string, Value>[] = [];
  const tiles = (value: Value) => Math.ceil(channelsOf(value) / TILE);
  for (const { x, output } of joins) {
    const group = tiles(x) === tiles(output) ? groups.find((each) => each.has(x.name)) : undefined;
    if (group) group.set(output.name, output);
    else if (tiles(x) === tiles(output)) groups.push(new Map([x, output].map((value) => [value.name, value])));
    else groups.push(new Map([[output.name, output]]));
  }
  return groups.map((group) => [...group.values()]);
}
